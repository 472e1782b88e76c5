//! The film of a board: what it would cost, its export, its cut.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backlot_business_api::{BoardId, BoardRunId};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{IdempotencyKey, Path, ValidJson};
use backlot_infrastructure_api::MandateId;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::{BoardRunView, run_id, view};
use super::{Person, board_id};
use crate::error::Error;
use crate::film::{FilmOrder, timeline};
use crate::service::Service;

/// What streaming services bring sound to.
const LOUDNESS_LUFS: f64 = -16.0;

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(export_film))
        .routes(routes!(quote_film))
        .routes(routes!(get_board_run_otio))
}

/// How the film is to be.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExportBody {
    /// Pixels, even.
    #[garde(range(min = 16, max = 3840))]
    width: u32,
    /// Pixels, even.
    #[garde(range(min = 16, max = 3840))]
    height: u32,
    /// Frames a second.
    #[garde(range(min = 12, max = 60))]
    fps: u32,
    /// What all sound together is brought to; left out: -16.
    #[garde(inner(range(min = -40.0, max = -5.0)))]
    loudness_lufs: Option<f64>,
    /// Refuse above this price.
    #[garde(inner(range(min = 0)))]
    max_price_micro: Option<i64>,
    /// The mandate that is to pay; left out: the nearest of yours that allows it.
    #[garde(skip)]
    mandate_id: Option<MandateId>,
}

impl From<ExportBody> for FilmOrder {
    fn from(body: ExportBody) -> Self {
        Self {
            width: body.width,
            height: body.height,
            fps: body.fps,
            loudness_lufs: body.loudness_lufs.unwrap_or(LOUDNESS_LUFS),
            max_price_micro: body.max_price_micro,
            mandate: body.mandate_id,
        }
    }
}

/// What a film would cost. It promises nothing.
#[derive(Debug, Serialize, ToSchema)]
struct FilmQuoteView {
    /// Of the document.
    revision: i64,
    /// What the export would hold, and charge where it succeeds.
    price_micro: i64,
    /// How long the film would be.
    seconds: f64,
    /// How many clips it would be cut from.
    clips: usize,
    /// How long making it would take.
    run_ms: i64,
}

/// Ask what the export would cost, and whether the storyboard can be exported. Nothing is held.
#[utoipa::path(post, path = "/v1/boards/{id}/export/quote", tag = "boards", params(("id" = BoardId, Path)),
    request_body = ExportBody,
    responses((status = 200, body = FilmQuoteView), (status = "default", body = Problem)))]
async fn quote_film(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<ExportBody>,
) -> Result<Json<FilmQuoteView>, Problem> {
    let quote = service.quote_film(&person.actor, board_id(&id)?, &body.into()).await?;
    Ok(Json(FilmQuoteView {
        revision: quote.revision,
        price_micro: quote.price_micro,
        seconds: quote.length_ms() as f64 / 1_000.0,
        clips: quote.clips(),
        run_ms: quote.run_ms,
    }))
}

/// Export the board's storyboard as a film: a run of kind `film`, priced by its seconds.
#[utoipa::path(post, path = "/v1/boards/{id}/export", tag = "boards", params(("id" = BoardId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body: the same film")),
    request_body = ExportBody,
    responses((status = 202, body = BoardRunView), (status = "default", body = Problem)))]
async fn export_film(
    State(service): State<Service>,
    person: Person,
    IdempotencyKey(key): IdempotencyKey,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<ExportBody>,
) -> Result<(StatusCode, Json<BoardRunView>), Problem> {
    let run = service.order_film(&person.actor, board_id(&id)?, &body.into(), key.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(view(&service, run).await?)))
}

/// The cut of a film as OpenTimelineIO JSON: exactly what the film was made from, in whole frames.
#[utoipa::path(get, path = "/v1/board-runs/{id}/otio", tag = "boards", params(("id" = BoardRunId, Path)),
    responses((status = 200, description = "A Timeline.1", body = Object), (status = "default", body = Problem)))]
async fn get_board_run_otio(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let run = service.board_run(&person.actor, run_id(&id)?).await?;
    let children = service.store().children(run.id).await?;
    let film = children.first().filter(|_| run.kind == "film");
    let timeline = film.and_then(|child| timeline(&run, child));
    Ok(Json(timeline.ok_or_else(|| Error::RunUnknown(format!("{id} of kind film")))?))
}
