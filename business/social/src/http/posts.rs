//! Posts, feeds, likes and tags.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{IdempotencyKey, Path, Query, ValidJson};
use backlot_infrastructure_api::AssetId;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Person, page_size, post_id, redirect};
use crate::rows::post_state;
use crate::service::{Feed, FeedQuery, NewPost, PostChange, Service};
use crate::view::PostView;

/// Most tags that are read; more than may be, so that the answer says which limit was broken.
const TAGS_READ_MAX: usize = 64;

/// Which feed.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FeedName {
    /// Newest first.
    #[default]
    New,
    /// Hottest first; `docs/community.md` has the formula. A search answers newest first all the same.
    Hot,
    /// Of those whom you follow, newest first.
    Following,
}

/// Which posts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PostsQuery {
    /// `new`, `hot` or `following`; `new` where it is left out.
    #[serde(default)]
    #[param(inline)]
    feed: FeedName,
    /// Only with this tag.
    tag: Option<String>,
    /// Only of the author with this handle.
    author: Option<String>,
    /// Only with these words in tags, title or text; the last may be the beginning of a word.
    q: Option<String>,
    /// Most items, 1 to 100; 24 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// Posts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PostList {
    /// In the order of the feed.
    items: Vec<PostView>,
    /// Where the next page begins; null: this is the last. A page may have fewer items and a next one.
    next: Option<String>,
}

/// What everybody signed in published. New posts do not move the pages of who reads on.
#[utoipa::path(get, path = "/v1/posts", tag = "community", params(PostsQuery),
    responses((status = 200, body = PostList), (status = "default", body = Problem)))]
pub(super) async fn list_posts(
    State(service): State<Service>,
    Person(viewer): Person,
    Query(query): Query<PostsQuery>,
) -> Result<Json<PostList>, Problem> {
    let feed = match query.feed {
        FeedName::New => Feed::New,
        FeedName::Hot => Feed::Hot,
        FeedName::Following => Feed::Following,
    };
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let query = FeedQuery {
        feed,
        tag: filled(query.tag),
        author: filled(query.author),
        search: filled(query.q),
        before: filled(query.before),
        limit: page_size(query.limit),
    };
    let page = service.feed(&viewer, &query).await?;
    Ok(Json(PostList { items: service.post_views(&viewer, &page.items).await?, next: page.next }))
}

/// What to publish.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostBody {
    /// A ready picture or clip of your organisation.
    #[garde(skip)]
    asset_id: AssetId,
    /// 1 to 120 characters in one line.
    #[garde(length(chars, max = 500))]
    title: String,
    /// Up to 2,000 characters.
    #[serde(default)]
    #[garde(length(chars, max = 8000))]
    text: String,
    /// Up to 8, each 2 to 32 letters, digits, - and _.
    #[serde(default)]
    #[garde(length(max = TAGS_READ_MAX), inner(length(chars, max = 200)))]
    tags: Vec<String>,
    /// The board that it was made on.
    #[garde(inner(length(chars, max = 64)))]
    board_id: Option<String>,
    /// Whether others see the tool's input, without its media.
    #[serde(default)]
    #[garde(skip)]
    share_parameters: bool,
    /// Whether others may make boards from it.
    #[serde(default)]
    #[garde(skip)]
    remixable: bool,
}

/// Publish a picture or a film: everybody signed in sees it.
#[utoipa::path(post, path = "/v1/posts", tag = "community", request_body = PostBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body: the same post")),
    responses((status = 201, body = PostView), (status = 202, body = PostView, description = "Being published"),
        (status = "default", body = Problem)))]
pub(super) async fn create_post(
    State(service): State<Service>,
    Person(viewer): Person,
    IdempotencyKey(key): IdempotencyKey,
    ValidJson(body): ValidJson<PostBody>,
) -> Result<(StatusCode, Json<PostView>), Problem> {
    let new = NewPost {
        asset: body.asset_id,
        title: body.title,
        text: body.text,
        tags: body.tags,
        board_id: body.board_id,
        share_parameters: body.share_parameters,
        remixable: body.remixable,
    };
    let post = service.publish(&viewer, new, key.as_deref()).await?;
    let waits = post.state == post_state::PUBLISHING;
    let status = if waits { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok((status, Json(service.view_of_post(&viewer, &post).await?)))
}

/// A post.
#[utoipa::path(get, path = "/v1/posts/{id}", tag = "community", params(("id" = String, Path)),
    responses((status = 200, body = PostView), (status = "default", body = Problem)))]
pub(super) async fn get_post(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
) -> Result<Json<PostView>, Problem> {
    let post = service.visible_post(&viewer, post_id(&id)?).await?;
    Ok(Json(service.view_of_post(&viewer, &post).await?))
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostChangeBody {
    /// 1 to 120 characters in one line.
    #[garde(inner(length(chars, max = 500)))]
    title: Option<String>,
    /// Up to 2,000 characters.
    #[garde(inner(length(chars, max = 8000)))]
    text: Option<String>,
    /// Up to 8.
    #[garde(inner(length(max = TAGS_READ_MAX), inner(length(chars, max = 200))))]
    tags: Option<Vec<String>>,
    /// Whether others see the tool's input, without its media.
    #[garde(skip)]
    share_parameters: Option<bool>,
    /// Whether others may make boards from it.
    #[garde(skip)]
    remixable: Option<bool>,
}

/// Change your post.
#[utoipa::path(patch, path = "/v1/posts/{id}", tag = "community", params(("id" = String, Path)),
    request_body = PostChangeBody,
    responses((status = 200, body = PostView), (status = "default", body = Problem)))]
pub(super) async fn change_post(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<PostChangeBody>,
) -> Result<Json<PostView>, Problem> {
    let change = PostChange {
        title: body.title,
        text: body.text,
        tags: body.tags,
        share_parameters: body.share_parameters,
        remixable: body.remixable,
    };
    let post = service.change_post(&viewer, post_id(&id)?, change).await?;
    Ok(Json(service.view_of_post(&viewer, &post).await?))
}

/// Remove your post. Its medium stays yours and is public no longer. Safe to repeat.
#[utoipa::path(delete, path = "/v1/posts/{id}", tag = "community", params(("id" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn delete_post(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.remove_post(&viewer, post_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Redirects to a signed address of a post's medium.
#[utoipa::path(get, path = "/v1/posts/{id}/media", tag = "community", params(("id" = String, Path)),
    responses((status = 302), (status = "default", body = Problem)))]
pub(super) async fn get_post_media(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    redirect(&service.media_address(&viewer, post_id(&id)?, false).await?)
}

/// Redirects to a signed address of a small picture of a post's medium.
#[utoipa::path(get, path = "/v1/posts/{id}/preview", tag = "community", params(("id" = String, Path)),
    responses((status = 302), (status = "default", body = Problem)))]
pub(super) async fn get_post_preview(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    redirect(&service.media_address(&viewer, post_id(&id)?, true).await?)
}

/// Like a post. Safe to repeat.
#[utoipa::path(put, path = "/v1/posts/{id}/like", tag = "community", params(("id" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn put_like(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.like(&viewer, post_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Like a post no longer. Safe to repeat.
#[utoipa::path(delete, path = "/v1/posts/{id}/like", tag = "community", params(("id" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn delete_like(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.unlike(&viewer, post_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which tags.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TagsQuery {
    /// How they begin; all where it is left out.
    #[serde(default)]
    q: String,
    /// Most items, 1 to 50; 50 where it is left out.
    limit: Option<u64>,
}

/// A tag.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TagView {
    /// Lower case, without `#`.
    tag: String,
    /// How many posts have it.
    posts: i64,
}

/// Tags.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TagList {
    /// Those of most posts first, 50 at most.
    items: Vec<TagView>,
    /// Always null: it is one page.
    next: Option<String>,
}

/// The tags of most posts.
#[utoipa::path(get, path = "/v1/tags", tag = "community", params(TagsQuery),
    responses((status = 200, body = TagList), (status = "default", body = Problem)))]
pub(super) async fn list_tags(
    State(service): State<Service>,
    _person: Person,
    Query(query): Query<TagsQuery>,
) -> Result<Json<TagList>, Problem> {
    let words = service.tags(&query.q, query.limit).await?;
    let items = words.into_iter().map(|word| TagView { tag: word.word, posts: word.posts }).collect();
    Ok(Json(TagList { items, next: None }))
}
