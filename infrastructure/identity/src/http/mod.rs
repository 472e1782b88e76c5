//! Identity's HTTP API: decode, call, encode. The edge has swapped cookie or key for a token by then.

use axum::extract::{DefaultBodyLimit, FromRequestParts};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::Caller;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::Error;
use crate::service::{Actor, Service, StartedSession};

mod account;
mod organisation;

/// Name of the session cookie.
pub const SESSION_COOKIE: &str = "backlot_session";
/// The header in which the edge says from where a request came. It removes what clients send under this name.
pub const CLIENT_ADDRESS_HEADER: &str = "x-backlot-client-address";
/// Largest body that identity reads.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Rows of a list, unless the request names fewer.
const LIMIT_DEFAULT: u64 = 50;
/// Most rows of a list.
const LIMIT_MAX: u64 = 200;

impl Service {
    /// Identity's routes, with their description.
    pub fn http(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(account::sign_up))
            .routes(routes!(account::sign_in))
            .routes(routes!(account::sign_out))
            .routes(routes!(account::me, account::delete_me))
            .routes(routes!(account::switch))
            .routes(routes!(account::password))
            .routes(routes!(account::export))
            .routes(routes!(account::sessions, account::end_all_sessions))
            .routes(routes!(account::end_session))
            .routes(routes!(account::keys, account::create_key))
            .routes(routes!(account::revoke_key))
            .routes(routes!(account::set_state))
            .routes(routes!(organisation::projects, organisation::create_project))
            .routes(routes!(organisation::project))
            .routes(routes!(organisation::members))
            .routes(routes!(organisation::change_role, organisation::remove_member))
            .routes(routes!(organisation::invitations, organisation::invite))
            .routes(routes!(organisation::accept_invitation))
            .routes(routes!(organisation::revoke_invitation))
            .routes(routes!(organisation::audit))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }
}

/// The person who calls, whose credential covers identity: `identity:read` to look, `identity:write` to change.
struct Person(Actor);

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(claims) = Caller::from_request_parts(parts, state).await?;
        let actor = Actor::from_claims(&claims)?;
        let looks = parts.method == Method::GET || parts.method == Method::HEAD;
        actor.require_scope(if looks { "identity:read" } else { "identity:write" })?;
        Ok(Self(actor))
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
struct Page<T: ToSchema> {
    /// What is on it.
    items: Vec<T>,
    /// Where the next one begins; null: this is the last.
    next: Option<String>,
}

impl<T: ToSchema> Page<T> {
    fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// A page of at most `limit` of the `limit + 1` rows that were asked for.
    fn of(mut items: Vec<T>, limit: u64, id: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = more.then(|| items.last().map(id)).flatten();
        Self { items, next }
    }
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
struct PageQuery {
    /// Most rows, 1 to 200; 50 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

impl PageQuery {
    fn limit(&self) -> u64 {
        page_limit(self.limit)
    }
}

/// How many rows a page has, where so many are asked for.
fn page_limit(asked: Option<u64>) -> u64 {
    asked.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

/// From where the request came, as the edge says.
fn client_address(headers: &HeaderMap) -> Option<&str> {
    headers.get(CLIENT_ADDRESS_HEADER)?.to_str().ok()
}

/// The cookie that carries a session. Scripts cannot read it; other sites cannot send it with a change.
fn session_cookie(service: &Service, session: &StartedSession) -> (header::HeaderName, HeaderValue) {
    cookie(service, &session.token, service.config().session_life_s)
}

/// The cookie that takes the session away.
fn no_cookie(service: &Service) -> (header::HeaderName, HeaderValue) {
    cookie(service, "", 0)
}

fn cookie(service: &Service, value: &str, max_age_s: u32) -> (header::HeaderName, HeaderValue) {
    let secure = if service.config().cookie_secure { "; Secure" } else { "" };
    let text =
        format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}{secure}");
    // The value is base64 or empty, so the text is always a header's.
    let value = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    (header::SET_COOKIE, value)
}

/// A path's id that is no id names nothing.
fn nothing(what: &'static str) -> Problem {
    Error::NotFound(what).into()
}
