//! Comments.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backlot_business_api::CommentId;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Path, Query, ValidJson};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Person, page_size, post_id};
use crate::error::Error;
use crate::service::Service;
use crate::view::CommentView;

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CommentsQuery {
    /// Most items, 1 to 100; 24 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// Comments on a post.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommentList {
    /// Newest first.
    items: Vec<CommentView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// The comments on a post, newest first.
#[utoipa::path(get, path = "/v1/posts/{id}/comments", tag = "community",
    params(("id" = String, Path), CommentsQuery),
    responses((status = 200, body = CommentList), (status = "default", body = Problem)))]
pub(super) async fn list_post_comments(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
    Query(query): Query<CommentsQuery>,
) -> Result<Json<CommentList>, Problem> {
    let wrong = |_| Error::field("/before", "is not the \"next\" of a page");
    let before = query.before.as_deref().map(CommentId::parse).transpose().map_err(wrong)?;
    let page = service.comments(&viewer, post_id(&id)?, before, page_size(query.limit)).await?;
    Ok(Json(CommentList { items: service.comment_views(&viewer, &page.items).await?, next: page.next }))
}

/// What to say.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommentBody {
    /// 1 to 1,000 characters.
    #[garde(length(chars, max = 4000))]
    text: String,
}

/// Comment on a post.
#[utoipa::path(post, path = "/v1/posts/{id}/comments", tag = "community", params(("id" = String, Path)),
    request_body = CommentBody,
    responses((status = 201, body = CommentView), (status = "default", body = Problem)))]
pub(super) async fn create_post_comment(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<CommentBody>,
) -> Result<(StatusCode, Json<CommentView>), Problem> {
    let comment = service.comment(&viewer, post_id(&id)?, &body.text).await?;
    let views = service.comment_views(&viewer, std::slice::from_ref(&comment)).await?;
    let view = views.into_iter().next().ok_or_else(|| Error::CommentUnknown(comment.id.to_string()))?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Delete a comment: your own, one on your post, or any as staff. Safe to repeat.
#[utoipa::path(delete, path = "/v1/posts/{id}/comments/{comment_id}", tag = "community",
    params(("id" = String, Path), ("comment_id" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn delete_post_comment(
    State(service): State<Service>,
    Person(viewer): Person,
    Path((id, comment)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let unknown = |_| Error::CommentUnknown(comment.chars().take(64).collect());
    let comment = CommentId::parse(&comment).map_err(unknown)?;
    service.delete_comment(&viewer, post_id(&id)?, comment).await?;
    Ok(StatusCode::NO_CONTENT)
}
