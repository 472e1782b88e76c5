//! Routes about the organisation: projects, members, invitations, audit.

use axum::Json;
use axum::extract::State;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Path, Query, ValidJson};
use backlot_infrastructure_api::{InvitationId, ProjectId, UserId};
use garde::Validate;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, PageQuery, Person, nothing, page_limit};
use crate::audit::Wanted;
use crate::roles::Role;
use crate::service::{AuditRow, Invitation, MeOrganisation, Member, Project, Service};

/// Longest text field that is looked at, in bytes; the rules themselves are stricter.
const TEXT_BYTES_MAX: usize = 2_048;

/// The organisation's projects, oldest first.
#[utoipa::path(get, path = "/v1/identity/projects", tag = "identity",
    responses((status = 200, body = Page<Project>), (status = "default", body = Problem)))]
pub(super) async fn projects(
    State(service): State<Service>,
    Person(actor): Person,
) -> Result<Json<Page<Project>>, Problem> {
    Ok(Json(Page::whole(service.projects(&actor).await?)))
}

/// How the project is called.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct ProjectBody {
    /// 1 to 120 characters.
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    name: String,
}

/// Begin a project.
#[utoipa::path(post, path = "/v1/identity/projects", tag = "identity", request_body = ProjectBody,
    responses((status = 201, body = Project), (status = "default", body = Problem)))]
pub(super) async fn create_project(
    State(service): State<Service>,
    Person(actor): Person,
    ValidJson(body): ValidJson<ProjectBody>,
) -> Result<(StatusCode, Json<Project>), Problem> {
    Ok((StatusCode::CREATED, Json(service.create_project(&actor, &body.name).await?)))
}

/// One project.
#[utoipa::path(get, path = "/v1/identity/projects/{id}", tag = "identity",
    params(("id" = ProjectId, Path)),
    responses((status = 200, body = Project), (status = "default", body = Problem)))]
pub(super) async fn project(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
) -> Result<Json<Project>, Problem> {
    let id = ProjectId::parse(&id).map_err(|_| nothing("project"))?;
    Ok(Json(service.project(&actor, id).await?))
}

/// The organisation's members.
#[utoipa::path(get, path = "/v1/identity/members", tag = "identity", params(PageQuery),
    responses((status = 200, body = Page<Member>), (status = "default", body = Problem)))]
pub(super) async fn members(
    State(service): State<Service>,
    Person(actor): Person,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Member>>, Problem> {
    let after = query.before.as_deref().map(UserId::parse).transpose().map_err(|_| nothing("page"))?;
    let rows = service.members(&actor, after, query.limit() + 1).await?;
    Ok(Json(Page::of(rows, query.limit(), |member| member.user_id.to_string())))
}

/// A member's new place.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct RoleBody {
    #[garde(skip)]
    role: Role,
}

/// Give a member another role.
#[utoipa::path(patch, path = "/v1/identity/members/{user_id}", tag = "identity",
    params(("user_id" = UserId, Path)), request_body = RoleBody,
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn change_role(
    State(service): State<Service>,
    Person(actor): Person,
    Path(user_id): Path<String>,
    ValidJson(body): ValidJson<RoleBody>,
) -> Result<StatusCode, Problem> {
    let user = UserId::parse(&user_id).map_err(|_| nothing("member"))?;
    service.change_role(&actor, user, body.role).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a member, or leave.
#[utoipa::path(delete, path = "/v1/identity/members/{user_id}", tag = "identity",
    params(("user_id" = UserId, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn remove_member(
    State(service): State<Service>,
    Person(actor): Person,
    Path(user_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let user = UserId::parse(&user_id).map_err(|_| nothing("member"))?;
    service.remove_member(&actor, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Invitations that can still be accepted.
#[utoipa::path(get, path = "/v1/identity/invitations", tag = "identity",
    responses((status = 200, body = Page<Invitation>), (status = "default", body = Problem)))]
pub(super) async fn invitations(
    State(service): State<Service>,
    Person(actor): Person,
) -> Result<Json<Page<Invitation>>, Problem> {
    Ok(Json(Page::whole(service.invitations(&actor).await?)))
}

/// Whom to invite, as what.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct InviteBody {
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    email: String,
    #[garde(skip)]
    role: Role,
}

/// An invitation that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct NewInvitationView {
    /// Hand it to the person. It is not shown again.
    token: String,
    #[serde(flatten)]
    listed: Invitation,
}

/// Invite somebody. The token is for you to hand over; it is good for seven days.
#[utoipa::path(post, path = "/v1/identity/invitations", tag = "identity", request_body = InviteBody,
    responses((status = 201, body = NewInvitationView), (status = "default", body = Problem)))]
pub(super) async fn invite(
    State(service): State<Service>,
    Person(actor): Person,
    ValidJson(body): ValidJson<InviteBody>,
) -> Result<(StatusCode, Json<NewInvitationView>), Problem> {
    let made = service.invite(&actor, &body.email, body.role).await?;
    Ok((StatusCode::CREATED, Json(NewInvitationView { token: made.token, listed: made.listed })))
}

/// What the inviter handed over.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct AcceptBody {
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    token: String,
}

/// Accept an invitation that was made for my e-mail.
#[utoipa::path(post, path = "/v1/identity/invitations/accept", tag = "identity",
    request_body = AcceptBody,
    responses((status = 200, body = MeOrganisation), (status = "default", body = Problem)))]
pub(super) async fn accept_invitation(
    State(service): State<Service>,
    Person(actor): Person,
    ValidJson(body): ValidJson<AcceptBody>,
) -> Result<Json<MeOrganisation>, Problem> {
    Ok(Json(service.accept_invitation(&actor, &body.token).await?))
}

/// Take an invitation back.
#[utoipa::path(delete, path = "/v1/identity/invitations/{id}", tag = "identity",
    params(("id" = InvitationId, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn revoke_invitation(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = InvitationId::parse(&id).map_err(|_| nothing("open invitation"))?;
    service.revoke_invitation(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which part of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct AuditQuery {
    /// Most rows, 1 to 200; 50 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
    /// Only actions of this kind, the word before the dot: `api_key`, `membership`, `session`.
    kind: Option<String>,
    /// Only what this user or `service:NAME` did.
    actor: Option<String>,
}

/// Who changed what, newest first; for owners and admins.
#[utoipa::path(get, path = "/v1/identity/audit", tag = "identity", params(AuditQuery),
    responses((status = 200, body = Page<AuditRow>), (status = "default", body = Problem)))]
pub(super) async fn audit(
    State(service): State<Service>,
    Person(actor): Person,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Page<AuditRow>>, Problem> {
    let limit = page_limit(query.limit);
    let wanted = Wanted {
        before: query.before.as_deref(),
        kind: query.kind.as_deref(),
        actor: query.actor.as_deref(),
        limit: limit + 1,
    };
    let rows = service.audit(&actor, wanted).await?;
    Ok(Json(Page::of(rows, limit, |row| row.id.clone())))
}
