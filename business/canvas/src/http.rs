//! The HTTP API of the canvas: decode, call, encode.

mod boards;
mod files;
mod films;
mod people;
mod runs;

use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::Method;
use axum::http::request::Parts;
use backlot_business_api::{BoardId, codes};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::Caller;
use backlot_infrastructure_api::OrganisationId;
use backlot_infrastructure_api::codes::identity::SCOPE_MISSING;
use utoipa_axum::router::OpenApiRouter;

use crate::service::{Actor, Service};

/// Largest body: five hundred commands.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Items of a list, unless the request names fewer.
const LIMIT_DEFAULT: u64 = 50;
/// Most items of a list.
const LIMIT_MAX: u64 = 200;
/// Scope of an API key that may look.
const SCOPE_READ: &str = "boards:read";
/// Scope of an API key that may change.
const SCOPE_WRITE: &str = "boards:write";

impl Service {
    /// The routes of the canvas, with their description.
    pub fn http(&self) -> OpenApiRouter {
        boards::routes()
            .merge(people::routes())
            .merge(runs::routes())
            .merge(films::routes())
            .merge(files::routes())
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }
}

/// Who calls, with a credential that covers boards.
struct Person {
    actor: Actor,
    /// The credential covers looking, not changing.
    only_looks: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(claims) = Caller::from_request_parts(parts, state).await?;
        let writes = claims.allows_scope(SCOPE_WRITE);
        let looks = parts.method == Method::GET || parts.method == Method::HEAD;
        let covered = writes || (looks && claims.allows_scope(SCOPE_READ));
        if !covered {
            let scope = if looks { SCOPE_READ } else { SCOPE_WRITE };
            return Err(Problem::new(&SCOPE_MISSING, format!("Use a key that has the scope \"{scope}\"."))
                .with_extra("scope", scope));
        }
        let organisation = OrganisationId::parse(&claims.org).map_err(|_| {
            Problem::new(
                &backlot_foundation_errors::codes::FORBIDDEN,
                "Boards belong to an organisation: act in one.",
            )
        })?;
        let actor = Actor { organisation, id: claims.sub, credential: claims.credential };
        Ok(Self { actor, only_looks: !writes })
    }
}

/// A text that is no id names no board.
fn board_id(text: &str) -> Result<BoardId, Problem> {
    BoardId::parse(text).map_err(|_| {
        let text: String = text.chars().take(64).collect();
        Problem::new(
            &codes::BOARD_UNKNOWN,
            format!("There is no board {text} that you may see. GET /v1/boards lists those that you may."),
        )
    })
}
