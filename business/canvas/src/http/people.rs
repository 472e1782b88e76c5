//! Who may do what with a board, and what they say about it.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backlot_business_api::doors::Named;
use backlot_business_api::{BoardCommentId, BoardId, BoardShareId};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::http::{Path, Query, ValidJson};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::UserId;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::boards::BoardView;
use super::{LIMIT_DEFAULT, LIMIT_MAX, Person, board_id};
use crate::error::Error;
use crate::limits::ID_CHARS_MAX;
use crate::role::Role;
use crate::service::Service;
use crate::store::{CommentRow, MemberRow, ShareRow};

/// Longest life of a share link: ninety days.
const SHARE_S_MAX: i64 = 90 * 86_400;
/// Characters of a comment.
const COMMENT_CHARS_MAX: usize = 4_000;
/// Characters of a share link's token that are looked at.
const TOKEN_CHARS_MAX: usize = 128;

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(list_board_members, put_board_member))
        .routes(routes!(remove_board_member))
        .routes(routes!(list_board_shares, create_board_share))
        .routes(routes!(withdraw_board_share))
        .routes(routes!(accept_board_share))
        .routes(routes!(list_board_comments, add_board_comment))
        .routes(routes!(delete_board_comment))
        .routes(routes!(resolve_board_comment))
}

/// Somebody with a role of their own.
#[derive(Debug, Serialize, ToSchema)]
struct MemberView {
    /// Who.
    user_id: String,
    /// As they call themselves.
    name: String,
    /// Names their profile: `GET /v1/profiles/{handle}`; null: they have none.
    handle: Option<String>,
    /// What they are.
    role: Role,
    /// Who gave it.
    added_by: String,
    /// When.
    at: Timestamp,
}

impl MemberView {
    fn of(member: MemberRow, named: Named) -> Option<Self> {
        Some(Self {
            role: Role::parse(&member.role)?,
            name: named.name,
            handle: named.handle,
            user_id: member.user_id,
            added_by: member.added_by,
            at: member.at,
        })
    }
}

/// A page of them.
#[derive(Debug, Serialize, ToSchema)]
struct MemberList {
    /// The first to come first.
    items: Vec<MemberView>,
    /// Always null: it is one page.
    next: Option<String>,
}

/// Everybody with a role of their own. Others may have one by a mandate.
#[utoipa::path(get, path = "/v1/boards/{id}/members", tag = "boards", params(("id" = BoardId, Path)),
    responses((status = 200, body = MemberList), (status = "default", body = Problem)))]
async fn list_board_members(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<MemberList>, Problem> {
    let members = service.members(&person.actor, board_id(&id)?).await?;
    let mut called = service.called(members.iter().map(|member| member.user_id.clone()).collect()).await;
    let view = |member: MemberRow| {
        let named = called.remove(&member.user_id)?;
        MemberView::of(member, named)
    };
    Ok(Json(MemberList { items: members.into_iter().filter_map(view).collect(), next: None }))
}

/// A role to give.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutMember {
    /// To whom.
    #[garde(skip)]
    user_id: UserId,
    /// Which.
    #[garde(skip)]
    role: Role,
}

/// Give somebody a role, or another one.
#[utoipa::path(post, path = "/v1/boards/{id}/members", tag = "boards", params(("id" = BoardId, Path)),
    request_body = PutMember,
    responses((status = 200, body = MemberView), (status = "default", body = Problem)))]
async fn put_board_member(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<PutMember>,
) -> Result<Json<MemberView>, Problem> {
    let user_id = body.user_id.to_string();
    let at = service.put_member(&person.actor, board_id(&id)?, &user_id, body.role).await?;
    let Named { name, handle } = service.name_of(&user_id).await;
    Ok(Json(MemberView { user_id, name, handle, role: body.role, added_by: person.actor.id, at }))
}

/// Take somebody's role away. Their live connection ends at once; the last owner stays.
#[utoipa::path(delete, path = "/v1/boards/{id}/members/{user_id}", tag = "boards",
    params(("id" = BoardId, Path), ("user_id" = UserId, Path)),
    responses((status = 204, description = "They have none"), (status = "default", body = Problem)))]
async fn remove_board_member(
    State(service): State<Service>,
    person: Person,
    Path((id, user)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    service.remove_member(&person.actor, board_id(&id)?, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A share link.
#[derive(Debug, Serialize, ToSchema)]
struct ShareView {
    /// Names it.
    id: BoardShareId,
    /// What it gives.
    role: Role,
    /// Who made it.
    created_by: String,
    /// When.
    created_at: Timestamp,
    /// When it runs out; null: never.
    expires_at: Option<Timestamp>,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The web app's address that accepts it; shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl ShareView {
    fn of(share: ShareRow, token: Option<String>) -> Option<Self> {
        Some(Self {
            id: share.id,
            role: Role::parse(&share.role)?,
            created_by: share.created_by,
            created_at: share.created_at,
            expires_at: share.expires_at,
            url: token.as_ref().map(|token| format!("/boards/join?token={token}")),
            token,
        })
    }
}

/// A page of them.
#[derive(Debug, Serialize, ToSchema)]
struct ShareList {
    /// The oldest first.
    items: Vec<ShareView>,
    /// Always null: it is one page.
    next: Option<String>,
}

/// The board's share links that still open it.
#[utoipa::path(get, path = "/v1/boards/{id}/shares", tag = "boards", params(("id" = BoardId, Path)),
    responses((status = 200, body = ShareList), (status = "default", body = Problem)))]
async fn list_board_shares(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<ShareList>, Problem> {
    let shares = service.shares(&person.actor, board_id(&id)?).await?;
    let items = shares.into_iter().filter_map(|share| ShareView::of(share, None)).collect();
    Ok(Json(ShareList { items, next: None }))
}

/// A share link to make.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateShare {
    /// What it gives: anything but owner.
    #[garde(skip)]
    role: Role,
    /// Seconds until it runs out, at most ninety days; left out: never.
    #[garde(inner(range(min = 60, max = SHARE_S_MAX)))]
    expires_in_s: Option<i64>,
}

/// Make a share link. Whoever opens it gets the role; withdrawing it takes nobody's role away.
#[utoipa::path(post, path = "/v1/boards/{id}/shares", tag = "boards", params(("id" = BoardId, Path)),
    request_body = CreateShare,
    responses((status = 201, body = ShareView), (status = "default", body = Problem)))]
async fn create_board_share(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<CreateShare>,
) -> Result<(StatusCode, Json<ShareView>), Problem> {
    let made = service.share(&person.actor, board_id(&id)?, body.role, body.expires_in_s).await?;
    let view = ShareView::of(made.0, Some(made.1)).ok_or_else(|| Problem::internal(&"a role"))?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Withdraw a share link.
#[utoipa::path(delete, path = "/v1/boards/{id}/shares/{share_id}", tag = "boards",
    params(("id" = BoardId, Path), ("share_id" = BoardShareId, Path)),
    responses((status = 204, description = "It opens nothing"), (status = "default", body = Problem)))]
async fn withdraw_board_share(
    State(service): State<Service>,
    person: Person,
    Path((id, share)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let share = BoardShareId::parse(&share).map_err(|_| Problem::from(Error::ShareUnknown))?;
    service.withdraw_share(&person.actor, board_id(&id)?, share).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A share link that somebody was given.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcceptShare {
    /// Out of the link.
    #[garde(length(chars, min = 1, max = TOKEN_CHARS_MAX))]
    token: String,
}

/// Accept a share link: you get its role, or keep a higher one.
#[utoipa::path(post, path = "/v1/boards/shares/accept", tag = "boards", request_body = AcceptShare,
    responses((status = 200, body = BoardView), (status = "default", body = Problem)))]
async fn accept_board_share(
    State(service): State<Service>,
    person: Person,
    ValidJson(body): ValidJson<AcceptShare>,
) -> Result<Json<BoardView>, Problem> {
    let id = service.accept_share(&person.actor, &body.token).await?;
    let (row, role) = service.role(&person.actor, id).await?;
    Ok(Json(BoardView::of(row, role)))
}

/// A comment.
#[derive(Debug, Serialize, ToSchema)]
struct BoardCommentView {
    /// Names it.
    id: BoardCommentId,
    /// The node that it is about; null: the board.
    node: Option<String>,
    /// What it says.
    text: String,
    /// Who says it.
    author_id: String,
    /// As they call themselves.
    author_name: String,
    /// Names their profile; null: they have none.
    author_handle: Option<String>,
    /// When.
    created_at: Timestamp,
    /// When it was done with.
    resolved_at: Option<Timestamp>,
    /// Who said so.
    resolved_by: Option<String>,
    /// As they call themselves.
    resolved_by_name: Option<String>,
}

impl BoardCommentView {
    /// Comments with the names of who wrote them.
    async fn all(service: &Service, rows: Vec<CommentRow>) -> Vec<Self> {
        let people = rows.iter().flat_map(|row| row.resolved_by.iter().chain([&row.author_id]));
        let called = service.called(people.cloned().collect()).await;
        rows.into_iter().filter_map(|row| Self::of(row, &called)).collect()
    }

    async fn one(service: &Service, row: CommentRow) -> Result<Self, Problem> {
        let views = Self::all(service, vec![row]).await;
        views.into_iter().next().ok_or_else(|| Problem::internal(&"a comment without a name"))
    }

    fn of(row: CommentRow, called: &HashMap<String, Named>) -> Option<Self> {
        let author = called.get(&row.author_id)?;
        let resolver = row.resolved_by.as_ref().and_then(|user| called.get(user));
        Some(Self {
            author_name: author.name.clone(),
            author_handle: author.handle.clone(),
            resolved_by_name: resolver.map(|named| named.name.clone()),
            id: row.id,
            node: row.node,
            text: row.body,
            author_id: row.author_id,
            created_at: row.created_at,
            resolved_at: row.resolved_at,
            resolved_by: row.resolved_by,
        })
    }
}

/// A page of them.
#[derive(Debug, Serialize, ToSchema)]
struct BoardCommentList {
    /// The oldest first.
    items: Vec<BoardCommentView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
struct CommentsQuery {
    /// Most items, 1 to 200; 50 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// What people say about a board, oldest first.
#[utoipa::path(get, path = "/v1/boards/{id}/comments", tag = "boards",
    params(("id" = BoardId, Path), CommentsQuery),
    responses((status = 200, body = BoardCommentList), (status = "default", body = Problem)))]
async fn list_board_comments(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    Query(query): Query<CommentsQuery>,
) -> Result<Json<BoardCommentList>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let after = query.after.as_deref().map(BoardCommentId::parse).transpose();
    let after = after.map_err(|error| Problem::new(&codes::BAD_REQUEST, format!("\"after\": {error}")))?;
    let mut rows = service.comments(&person.actor, board_id(&id)?, after, limit + 1).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = more.then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(Json(BoardCommentList { items: BoardCommentView::all(&service, rows).await, next }))
}

/// A comment to make.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddComment {
    /// The node that it is about; left out: the board.
    #[garde(inner(length(chars, min = 1, max = ID_CHARS_MAX)))]
    node: Option<String>,
    /// What it says.
    #[garde(length(chars, min = 1, max = COMMENT_CHARS_MAX))]
    text: String,
}

/// Say something about a board or one of its nodes.
#[utoipa::path(post, path = "/v1/boards/{id}/comments", tag = "boards", params(("id" = BoardId, Path)),
    request_body = AddComment,
    responses((status = 201, body = BoardCommentView), (status = "default", body = Problem)))]
async fn add_board_comment(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<AddComment>,
) -> Result<(StatusCode, Json<BoardCommentView>), Problem> {
    let row = service.comment(&person.actor, board_id(&id)?, body.node, body.text).await?;
    Ok((StatusCode::CREATED, Json(BoardCommentView::one(&service, row).await?)))
}

fn comment_id(text: &str) -> Result<BoardCommentId, Problem> {
    BoardCommentId::parse(text).map_err(|_| Error::CommentUnknown(text.chars().take(64).collect()).into())
}

/// Delete a comment: its author may, and an owner of the board.
#[utoipa::path(delete, path = "/v1/boards/{id}/comments/{comment_id}", tag = "boards",
    params(("id" = BoardId, Path), ("comment_id" = BoardCommentId, Path)),
    responses((status = 204, description = "It is gone"), (status = "default", body = Problem)))]
async fn delete_board_comment(
    State(service): State<Service>,
    person: Person,
    Path((id, comment)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    service.delete_comment(&person.actor, board_id(&id)?, comment_id(&comment)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mark a comment as done with.
#[utoipa::path(post, path = "/v1/boards/{id}/comments/{comment_id}/resolve", tag = "boards",
    params(("id" = BoardId, Path), ("comment_id" = BoardCommentId, Path)),
    responses((status = 200, body = BoardCommentView), (status = "default", body = Problem)))]
async fn resolve_board_comment(
    State(service): State<Service>,
    person: Person,
    Path((id, comment)): Path<(String, String)>,
) -> Result<Json<BoardCommentView>, Problem> {
    let row = service.resolve_comment(&person.actor, board_id(&id)?, comment_id(&comment)?).await?;
    Ok(Json(BoardCommentView::one(&service, row).await?))
}
