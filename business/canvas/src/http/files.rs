//! Files on a board: brought to it, and read.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use backlot_business_api::BoardId;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Path, Query, ValidJson};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::AssetId;
use backlot_infrastructure_api::v1::{Asset, AssetState};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Person, board_id};
use crate::bring::NewFile;
use crate::error::Error;
use crate::http::boards::media_url;
use crate::service::Service;

/// The address is asked for again before it runs out.
const MEDIA_CACHE_CONTROL: &str = "private, max-age=300";
/// Longest name or media type of a file.
const NAME_CHARS_MAX: usize = 255;

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(begin_board_media))
        .routes(routes!(complete_board_media))
        .routes(routes!(get_board_media, cancel_board_media))
}

fn media_id(text: &str) -> Result<AssetId, Error> {
    AssetId::parse(text).map_err(|_| Error::MediaUnknown(text.chars().take(64).collect()))
}

/// A file to bring.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct BringFile {
    /// File name.
    #[garde(length(chars, min = 1, max = NAME_CHARS_MAX))]
    name: String,
    /// Media type; left out: it is found out.
    #[serde(default)]
    #[garde(length(max = NAME_CHARS_MAX))]
    content_type: String,
    /// Exact size in bytes.
    #[garde(range(min = 1))]
    size_bytes: i64,
}

/// Where the bytes of a file go.
#[derive(Debug, Serialize, ToSchema)]
struct BoardUploadTarget {
    /// PUT.
    method: &'static str,
    /// Absolute address; needs no credential.
    url: String,
    /// Headers to send.
    headers: BTreeMap<String, String>,
    /// When the address ends.
    expires_at: Timestamp,
}

/// A file on its way to a board.
#[derive(Debug, Serialize, ToSchema)]
struct BoardUploadView {
    /// What the file will be called in the document.
    asset_id: AssetId,
    /// Where its bytes go; then complete it.
    upload: BoardUploadTarget,
}

/// A file of a board.
#[derive(Debug, Serialize, ToSchema)]
struct BoardMediaView {
    /// What it is called in the document: `params.asset` of a node.
    asset_id: AssetId,
    /// File name.
    name: String,
    /// By its bytes.
    content_type: String,
    /// Bytes.
    size_bytes: i64,
    /// Pixels; 0 of a sound.
    width: i32,
    /// Pixels; 0 of a sound.
    height: i32,
    /// Milliseconds, of video and sound.
    duration_ms: Option<i64>,
    /// Route of it, once a node shows it.
    media_url: String,
    /// Route of a small picture of it, once a node shows it.
    preview_url: Option<String>,
}

impl BoardMediaView {
    fn of(board: BoardId, asset: Asset) -> Result<Self, Error> {
        if asset.state() != AssetState::Ready {
            return Err(Error::MediaUnknown(asset.id));
        }
        Ok(Self {
            asset_id: media_id(&asset.id)?,
            media_url: media_url(board, &asset.id, false),
            preview_url: asset.has_preview.then(|| media_url(board, &asset.id, true)),
            name: asset.name,
            content_type: asset.content_type,
            size_bytes: asset.size_bytes,
            width: asset.width_px,
            height: asset.height_px,
            duration_ms: Some(asset.duration_ms).filter(|ms| *ms > 0),
        })
    }
}

/// Bring a file to a board, from whichever organisation: begins an upload. The file belongs to the board's organisation and
/// counts against its quota. It takes the role of an editor.
#[utoipa::path(post, path = "/v1/boards/{id}/media", tag = "boards", params(("id" = BoardId, Path)),
    request_body = BringFile,
    responses((status = 201, body = BoardUploadView), (status = "default", body = Problem)))]
async fn begin_board_media(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<BringFile>,
) -> Result<(StatusCode, Json<BoardUploadView>), Problem> {
    let BringFile { name, content_type, size_bytes } = body;
    let file = NewFile { name, content_type, size_bytes };
    let (asset_id, upload) = service.begin_file(&person.actor, board_id(&id)?, file).await?;
    let upload = BoardUploadTarget {
        method: "PUT",
        url: upload.url,
        headers: upload.headers.into_iter().collect(),
        expires_at: Timestamp::from_micros(upload.expires_at_us),
    };
    Ok((StatusCode::CREATED, Json(BoardUploadView { asset_id, upload })))
}

/// Complete a file's upload: its bytes are looked at, and it is taken or refused. Safe to repeat. A command then shows it on
/// the board.
#[utoipa::path(post, path = "/v1/boards/{id}/media/{asset_id}/complete", tag = "boards",
    params(("id" = BoardId, Path), ("asset_id" = AssetId, Path)),
    responses((status = 200, body = BoardMediaView), (status = "default", body = Problem)))]
async fn complete_board_media(
    State(service): State<Service>,
    person: Person,
    Path((id, asset)): Path<(String, String)>,
) -> Result<Json<BoardMediaView>, Problem> {
    let id = board_id(&id)?;
    let made = service.complete_file(&person.actor, id, media_id(&asset)?).await?;
    Ok(Json(BoardMediaView::of(id, made)?))
}

/// Cancel a file's upload before it is complete: nothing of it stays, and it takes no room any more. Only who began it can;
/// what is complete stays, and is taken off the board by a command.
#[utoipa::path(delete, path = "/v1/boards/{id}/media/{asset_id}", tag = "boards",
    params(("id" = BoardId, Path), ("asset_id" = AssetId, Path)),
    responses((status = 204, description = "It was canceled"), (status = "default", body = Problem)))]
async fn cancel_board_media(
    State(service): State<Service>,
    person: Person,
    Path((id, asset)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    service.cancel_file(&person.actor, board_id(&id)?, media_id(&asset)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which bytes of a file.
#[derive(Debug, Deserialize, IntoParams)]
struct MediaQuery {
    /// A small picture of it instead.
    #[serde(default)]
    preview: bool,
}

/// Redirects to a signed address of a file that is on the board, for everybody who may see the board: also people of
/// other organisations, to whom `/v1/assets` shows nothing of it.
#[utoipa::path(get, path = "/v1/boards/{id}/media/{asset_id}", tag = "boards",
    params(("id" = BoardId, Path), ("asset_id" = AssetId, Path), MediaQuery),
    responses((status = 302, description = "The file, for a quarter of an hour"), (status = "default", body = Problem)))]
async fn get_board_media(
    State(service): State<Service>,
    person: Person,
    Path((id, asset)): Path<(String, String)>,
    Query(query): Query<MediaQuery>,
) -> Result<Response, Problem> {
    let id = board_id(&id)?;
    let address = service.media_address(&person.actor, id, media_id(&asset)?, query.preview).await?;
    let location = HeaderValue::from_str(&address).map_err(|error| Problem::internal(&error))?;
    let cache = HeaderValue::from_static(MEDIA_CACHE_CONTROL);
    Ok((StatusCode::FOUND, [(header::LOCATION, location), (header::CACHE_CONTROL, cache)]).into_response())
}
