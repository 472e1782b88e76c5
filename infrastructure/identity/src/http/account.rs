//! Routes about the person: sign-up, sign-in, sessions, keys, export, deletion.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Path, ValidJson};
use backlot_foundation_tokens::Claims;
use backlot_infrastructure_api::{ApiKeyId, OrganisationId, ProjectId, SessionId, UserId};
use garde::Validate;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, Person, client_address, no_cookie, nothing, session_cookie};
use crate::roles::Role;
use crate::service::{
    Actor, ApiKey, Credential, Me, MeOrganisation, Project, Service, Session, SignUp, StartedSession,
};

/// Longest text field that is looked at, in bytes; the rules themselves are stricter.
const TEXT_BYTES_MAX: usize = 2_048;

/// Who wants to join.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct SignUpBody {
    /// Unique among accounts.
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    #[schema(example = "ada@example.com")]
    email: String,
    /// 10 to 256 characters.
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    password: String,
    /// How you are called, 1 to 120 characters.
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    name: String,
    /// How your organisation is called; left out: like you.
    #[serde(default)]
    #[garde(inner(length(bytes, max = TEXT_BYTES_MAX)))]
    organisation: Option<String>,
}

/// An account as its person sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct UserView {
    id: UserId,
    email: String,
    name: String,
    /// The operator's own people.
    staff: bool,
}

/// A project's name.
#[derive(Serialize, ToSchema)]
pub(super) struct ProjectView {
    id: ProjectId,
    name: String,
}

/// What a sign-up made.
#[derive(Serialize, ToSchema)]
pub(super) struct SignedUpView {
    user: UserView,
    organisation: MeOrganisation,
    project: ProjectView,
}

/// A person and where they belong.
#[derive(Serialize, ToSchema)]
pub(super) struct MeView {
    user: UserView,
    /// All of theirs.
    organisations: Vec<MeOrganisation>,
    /// The one that the credential acts in.
    organisation: Option<MeOrganisation>,
    /// Of that organisation, oldest first.
    projects: Vec<ProjectView>,
}

impl From<Me> for MeView {
    fn from(me: Me) -> Self {
        Self {
            user: UserView { id: me.user, email: me.email, name: me.name, staff: me.staff },
            organisations: me.organisations,
            organisation: me.organisation,
            projects: me.projects.into_iter().map(ProjectView::from).collect(),
        }
    }
}

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        Self { id: project.id, name: project.name }
    }
}

/// As a session that has just begun.
fn actor_of(user: UserId, session: &StartedSession, organisation: Option<OrganisationId>) -> Actor {
    Actor {
        user,
        organisation,
        credential: Credential::Session(session.id),
        scopes: Vec::new(),
        staff: false,
    }
}

/// Sign up: an account, its organisation with the free plan's credits, and a first project.
#[utoipa::path(post, path = "/v1/identity/sign-up", tag = "identity", request_body = SignUpBody,
    security(()),
    responses((status = 201, body = SignedUpView), (status = "default", body = Problem)))]
pub(super) async fn sign_up(
    State(service): State<Service>,
    headers: HeaderMap,
    ValidJson(body): ValidJson<SignUpBody>,
) -> Result<Response, Problem> {
    let input = SignUp {
        email: body.email,
        password: body.password,
        name: body.name,
        organisation: body.organisation,
    };
    let made = service.sign_up(input, client_address(&headers)).await?;
    let me = service.me(&actor_of(made.user, &made.session, Some(made.organisation))).await?;
    let project = me.projects.into_iter().find(|project| project.id == made.project);
    let view = SignedUpView {
        user: UserView { id: me.user, email: me.email, name: me.name, staff: me.staff },
        organisation: me.organisation.unwrap_or_else(|| MeOrganisation {
            id: made.organisation,
            name: String::new(),
            role: Role::Owner,
        }),
        project: ProjectView { id: made.project, name: project.map(|p| p.name).unwrap_or_default() },
    };
    Ok((StatusCode::CREATED, [session_cookie(&service, &made.session)], Json(view)).into_response())
}

/// E-mail and password.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct SignInBody {
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    email: String,
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    password: String,
}

/// Sign in: sets the session cookie.
#[utoipa::path(post, path = "/v1/identity/sign-in", tag = "identity", request_body = SignInBody,
    security(()),
    responses((status = 200, body = MeView), (status = "default", body = Problem)))]
pub(super) async fn sign_in(
    State(service): State<Service>,
    headers: HeaderMap,
    ValidJson(body): ValidJson<SignInBody>,
) -> Result<Response, Problem> {
    let (user, session) = service.sign_in(&body.email, &body.password, client_address(&headers)).await?;
    let principal = service.authenticate_session(&session.token).await?;
    let me = service.me(&actor_of(user, &session, principal.organisation)).await?;
    Ok(([session_cookie(&service, &session)], Json(MeView::from(me))).into_response())
}

/// Sign out: ends the session that asks, where there is one, and takes the cookie away.
#[utoipa::path(post, path = "/v1/identity/sign-out", tag = "identity",
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn sign_out(
    State(service): State<Service>,
    claims: Option<Extension<Claims>>,
) -> Result<Response, Problem> {
    if let Some(Extension(claims)) = claims {
        service.sign_out(&Actor::from_claims(&claims)?).await?;
    }
    Ok((StatusCode::NO_CONTENT, [no_cookie(&service)]).into_response())
}

/// Who am I, and where.
#[utoipa::path(get, path = "/v1/identity/me", tag = "identity",
    responses((status = 200, body = MeView), (status = "default", body = Problem)))]
pub(super) async fn me(
    State(service): State<Service>,
    Person(actor): Person,
) -> Result<Json<MeView>, Problem> {
    Ok(Json(service.me(&actor).await?.into()))
}

/// The password again, before something that cannot be undone.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct ConfirmBody {
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    password: String,
}

/// Delete my account. Name, e-mail and password are erased; an organisation of which I am the only member closes.
#[utoipa::path(delete, path = "/v1/identity/me", tag = "identity", request_body = ConfirmBody,
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn delete_me(
    State(service): State<Service>,
    Person(actor): Person,
    ValidJson(body): ValidJson<ConfirmBody>,
) -> Result<Response, Problem> {
    service.delete_account(&actor, &body.password).await?;
    Ok((StatusCode::NO_CONTENT, [no_cookie(&service)]).into_response())
}

/// Another organisation of mine.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct SwitchBody {
    #[garde(skip)]
    organisation_id: OrganisationId,
}

/// Let this session act in another organisation of mine.
#[utoipa::path(post, path = "/v1/identity/switch", tag = "identity", request_body = SwitchBody,
    responses((status = 200, body = MeView), (status = "default", body = Problem)))]
pub(super) async fn switch(
    State(service): State<Service>,
    Person(mut actor): Person,
    ValidJson(body): ValidJson<SwitchBody>,
) -> Result<Json<MeView>, Problem> {
    service.switch(&actor, body.organisation_id).await?;
    actor.organisation = Some(body.organisation_id);
    Ok(Json(service.me(&actor).await?.into()))
}

/// The old and the new password.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct PasswordBody {
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    old: String,
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    new: String,
}

/// Change my password. Every other session ends.
#[utoipa::path(post, path = "/v1/identity/password", tag = "identity", request_body = PasswordBody,
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn password(
    State(service): State<Service>,
    Person(actor): Person,
    ValidJson(body): ValidJson<PasswordBody>,
) -> Result<StatusCode, Problem> {
    service.change_password(&actor, &body.old, &body.new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everything that identity holds about me.
#[utoipa::path(get, path = "/v1/identity/export", tag = "identity",
    responses((status = 200, body = Object), (status = "default", body = Problem)))]
pub(super) async fn export(
    State(service): State<Service>,
    Person(actor): Person,
) -> Result<Json<serde_json::Value>, Problem> {
    Ok(Json(service.export(&actor).await?))
}

/// My sessions, newest first.
#[utoipa::path(get, path = "/v1/identity/sessions", tag = "identity",
    responses((status = 200, body = Page<Session>), (status = "default", body = Problem)))]
pub(super) async fn sessions(
    State(service): State<Service>,
    Person(actor): Person,
) -> Result<Json<Page<Session>>, Problem> {
    Ok(Json(Page::whole(service.sessions(&actor).await?)))
}

/// End all my sessions, this one too.
#[utoipa::path(delete, path = "/v1/identity/sessions", tag = "identity",
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn end_all_sessions(
    State(service): State<Service>,
    Person(actor): Person,
) -> Result<Response, Problem> {
    service.end_all_sessions(&actor).await?;
    Ok((StatusCode::NO_CONTENT, [no_cookie(&service)]).into_response())
}

/// End one of my sessions.
#[utoipa::path(delete, path = "/v1/identity/sessions/{id}", tag = "identity",
    params(("id" = SessionId, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn end_session(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = SessionId::parse(&id).map_err(|_| nothing("session"))?;
    service.end_session_by_id(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the key is for.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct KeyBody {
    /// 1 to 120 characters.
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    name: String,
    /// `area:read`, `area:write` or `*`; left out: everything that I may.
    #[serde(default)]
    #[garde(skip)]
    scopes: Vec<String>,
    /// Seconds until it ends by itself; left out: never.
    #[serde(default)]
    #[garde(skip)]
    expires_in_s: Option<u64>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct NewKeyView {
    /// The key itself. It is not shown again.
    key: String,
    #[serde(flatten)]
    listed: ApiKey,
}

/// Make an API key. The answer is the only place where it is shown.
#[utoipa::path(post, path = "/v1/identity/api-keys", tag = "identity", request_body = KeyBody,
    responses((status = 201, body = NewKeyView), (status = "default", body = Problem)))]
pub(super) async fn create_key(
    State(service): State<Service>,
    Person(actor): Person,
    ValidJson(body): ValidJson<KeyBody>,
) -> Result<(StatusCode, Json<NewKeyView>), Problem> {
    let made = service.create_key(&actor, &body.name, body.scopes, body.expires_in_s).await?;
    Ok((StatusCode::CREATED, Json(NewKeyView { key: made.key, listed: made.listed })))
}

/// My API keys here; for owners and admins everybody's.
#[utoipa::path(get, path = "/v1/identity/api-keys", tag = "identity",
    responses((status = 200, body = Page<ApiKey>), (status = "default", body = Problem)))]
pub(super) async fn keys(
    State(service): State<Service>,
    Person(actor): Person,
) -> Result<Json<Page<ApiKey>>, Problem> {
    Ok(Json(Page::whole(service.keys(&actor).await?)))
}

/// Take an API key back. It is refused within a second, everywhere.
#[utoipa::path(delete, path = "/v1/identity/api-keys/{id}", tag = "identity",
    params(("id" = ApiKeyId, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn revoke_key(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = ApiKeyId::parse(&id).map_err(|_| nothing("API key"))?;
    service.revoke_key(&actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether an account may act.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct StateBody {
    /// True: it may not, and its sessions end.
    #[garde(skip)]
    suspended: bool,
}

/// Suspend or reinstate an account; for staff.
#[utoipa::path(post, path = "/v1/identity/users/{id}/state", tag = "identity",
    params(("id" = UserId, Path)), request_body = StateBody,
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn set_state(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<StateBody>,
) -> Result<StatusCode, Problem> {
    // A stranger learns nothing about who has an account.
    let id = UserId::parse(&id).map_err(|_| nothing("account"))?;
    service.set_suspended(&actor, id, body.suspended).await?;
    Ok(StatusCode::NO_CONTENT)
}
