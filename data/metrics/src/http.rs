//! `/v1/metrics` and `/v1/data/reconciliation`: decode, call, encode. Staff only.

use axum::Json;
use axum::extract::State;
use backlot_data_api::{Metric, MetricList, MetricRows, Reconciliation};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Caller, Path, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Service;

impl Service {
    /// The routes.
    #[must_use]
    pub fn http(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list_metrics))
            .routes(routes!(get_metric))
            .routes(routes!(get_metric_rows))
            .routes(routes!(get_reconciliation))
            .with_state(self.clone())
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Also those that are only inputs of others.
    #[serde(default)]
    components: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RangeQuery {
    /// First day, UTC, `YYYY-MM-DD`; 30 days before `to` where absent.
    from: Option<String>,
    /// Last day, UTC, inclusive; today where absent.
    to: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RowsQuery {
    /// The day, UTC, `YYYY-MM-DD`; today where absent.
    date: Option<String>,
    /// Most rows, 1 to 5,000; 100 where absent.
    limit: Option<usize>,
}

/// All metrics
#[utoipa::path(get, path = "/v1/metrics", tag = "metrics", params(ListQuery), responses(
    (status = 200, body = MetricList),
    (status = 403, description = "Only for staff", body = Problem),
))]
async fn list_metrics(
    State(service): State<Service>,
    Caller(claims): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<MetricList>, Problem> {
    claims.require_staff()?;
    Ok(Json(service.list(query.components)))
}

/// One metric by day, with its definition, SQL and exclusions
#[utoipa::path(get, path = "/v1/metrics/{name}", tag = "metrics",
    params(("name" = String, Path, description = "As in the list"), RangeQuery), responses(
    (status = 200, body = Metric),
    (status = 403, description = "Only for staff", body = Problem),
    (status = 404, description = "No such metric", body = Problem),
    (status = 422, description = "Dates that cannot be used", body = Problem),
))]
async fn get_metric(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(name): Path<String>,
    Query(query): Query<RangeQuery>,
) -> Result<Json<Metric>, Problem> {
    claims.require_staff()?;
    Ok(Json(service.metric(&name, query.from.as_deref(), query.to.as_deref()).await?))
}

/// The events behind one day of a metric, also those of people who are left out
#[utoipa::path(get, path = "/v1/metrics/{name}/rows", tag = "metrics",
    params(("name" = String, Path, description = "As in the list"), RowsQuery), responses(
    (status = 200, body = MetricRows),
    (status = 403, description = "Only for staff", body = Problem),
    (status = 404, description = "No such metric", body = Problem),
    (status = 422, description = "A date that cannot be used", body = Problem),
))]
async fn get_metric_rows(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(name): Path<String>,
    Query(query): Query<RowsQuery>,
) -> Result<Json<MetricRows>, Problem> {
    claims.require_staff()?;
    Ok(Json(service.rows(&name, query.date.as_deref(), query.limit).await?))
}

/// Settled and refunded credits by organisation as the lake knows them, to be held against the ledger
#[utoipa::path(get, path = "/v1/data/reconciliation", tag = "metrics", params(RangeQuery), responses(
    (status = 200, body = Reconciliation),
    (status = 403, description = "Only for staff", body = Problem),
    (status = 422, description = "Dates that cannot be used", body = Problem),
))]
async fn get_reconciliation(
    State(service): State<Service>,
    Caller(claims): Caller,
    Query(query): Query<RangeQuery>,
) -> Result<Json<Reconciliation>, Problem> {
    claims.require_staff()?;
    Ok(Json(service.reconciliation(query.from.as_deref(), query.to.as_deref()).await?))
}
