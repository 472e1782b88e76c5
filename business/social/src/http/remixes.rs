//! Remixes and the tree that they make.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{IdempotencyKey, Path};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Person, post_id};
use crate::service::Service;
use crate::view::LineageView;

/// A board that was made from a post.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RemixView {
    /// The board, which names the post as its parent.
    board_id: String,
}

/// Make a board from a post: with its medium, and with its recipe where its author shares it. Without a key, a second
/// request in the same minute answers the same board.
#[utoipa::path(post, path = "/v1/posts/{id}/remix", tag = "community",
    params(("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and post: the same board")),
    responses((status = 201, body = RemixView), (status = "default", body = Problem)))]
pub(super) async fn remix_post(
    State(service): State<Service>,
    Person(viewer): Person,
    IdempotencyKey(key): IdempotencyKey,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<RemixView>), Problem> {
    let board_id = service.remix(&viewer, post_id(&id)?, key.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(RemixView { board_id })))
}

/// The remix tree of a post: what it was made from, and what was made from it.
#[utoipa::path(get, path = "/v1/posts/{id}/lineage", tag = "community", params(("id" = String, Path)),
    responses((status = 200, body = LineageView), (status = "default", body = Problem)))]
pub(super) async fn get_post_lineage(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
) -> Result<Json<LineageView>, Problem> {
    let tree = service.lineage(&viewer, post_id(&id)?).await?;
    Ok(Json(service.lineage_view(&viewer, tree).await?))
}
