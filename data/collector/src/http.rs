//! `/v1/events/quarantine` and `/v1/quarantine/replay`, for staff; the tracking protocol is in [`crate::segment`].

use axum::Json;
use axum::extract::State;
use backlot_data_api::{QuarantinedList, Replayed};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Caller, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{Service, segment};

impl Service {
    /// The routes.
    #[must_use]
    pub fn http(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list_quarantine))
            .routes(routes!(replay_quarantine))
            .with_state(self.clone())
            .merge(segment::routes(self))
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Only events with a smaller number: `next` of the page before.
    before: Option<i64>,
    /// Most events, 1 to 500; 50 where absent.
    limit: Option<usize>,
}

/// Events that were not accepted, with the reason
#[utoipa::path(get, path = "/v1/events/quarantine", tag = "events", params(PageQuery), responses(
    (status = 200, body = QuarantinedList),
    (status = 403, description = "Only for staff", body = Problem),
))]
async fn list_quarantine(
    State(service): State<Service>,
    Caller(claims): Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<QuarantinedList>, Problem> {
    claims.require_staff()?;
    Ok(Json(service.quarantined(query.before, query.limit).await?))
}

/// Judges all quarantined events again, by today's schemas
#[utoipa::path(post, path = "/v1/quarantine/replay", tag = "events", responses(
    (status = 200, body = Replayed),
    (status = 403, description = "Only for staff", body = Problem),
))]
async fn replay_quarantine(
    State(service): State<Service>,
    Caller(claims): Caller,
) -> Result<Json<Replayed>, Problem> {
    claims.require_staff()?;
    Ok(Json(service.replay(false).await?))
}
