//! The HTTP API of billing and mandates: decode, call, encode. The organisation comes from the token.

mod credits;
mod mandates;
mod plans;

use axum::extract::{DefaultBodyLimit, FromRequestParts};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::Caller;
use backlot_foundation_tokens::Claims;
use backlot_infrastructure_api::codes::identity::SCOPE_MISSING;
use backlot_infrastructure_api::{OrganisationId, UserId};
use http::Method;
use http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::Error;
use crate::service::{ByHand, Service};

/// Largest body that billing reads.
const BODY_BYTES_MAX: usize = 16 * 1024;

impl Service {
    /// The routes of billing and mandates, with their description.
    pub fn http(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(mandates::list, mandates::give))
            .routes(routes!(mandates::get))
            .routes(routes!(mandates::revoke))
            .routes(routes!(credits::balance))
            .routes(routes!(credits::hold))
            .routes(routes!(credits::refund))
            .routes(routes!(credits::transactions))
            .routes(routes!(credits::ledger_check))
            .routes(routes!(credits::grant))
            .routes(routes!(credits::revoke_grant))
            .routes(routes!(plans::plans))
            .routes(routes!(plans::subscription, plans::subscribe))
            .routes(routes!(plans::invoices))
            .routes(routes!(plans::mark_paid))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }
}

/// The person who calls, in their organisation. A key must cover `billing:read` to look and
/// `billing:write` to change.
struct Member {
    user: UserId,
    organisation: OrganisationId,
    claims: Claims,
}

impl<S: Send + Sync> FromRequestParts<S> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(claims) = Caller::from_request_parts(parts, state).await?;
        require_scope(&claims, parts)?;
        let user = UserId::parse(&claims.sub).map_err(|_| Error::Unknown("person"))?;
        let organisation = OrganisationId::parse(&claims.org).map_err(|_| Error::Unknown("organisation"))?;
        Ok(Self { user, organisation, claims })
    }
}

/// Platform staff, who act in any organisation.
struct Staff(Claims);

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(claims) = Caller::from_request_parts(parts, state).await?;
        claims.require_staff()?;
        require_scope(&claims, parts)?;
        Ok(Self(claims))
    }
}

impl Staff {
    /// Who acts, and why, for the audit log.
    fn by_hand(&self, reason: String) -> ByHand {
        ByHand { staff: self.0.sub.clone(), reason }
    }
}

/// Mandates and billing are two areas of the public API, as the edge counts them.
fn require_scope(claims: &Claims, parts: &Parts) -> Result<(), Problem> {
    let looks = parts.method == Method::GET || parts.method == Method::HEAD;
    let area = if parts.uri.path().starts_with("/v1/mandates") { "mandates" } else { "billing" };
    let scope = format!("{area}:{}", if looks { "read" } else { "write" });
    if claims.allows_scope(&scope) {
        return Ok(());
    }
    Err(Problem::new(&SCOPE_MISSING, format!("This API key does not have the scope \"{scope}\".")))
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
}

/// A path's id that is no id names nothing.
fn nothing(what: &'static str) -> Problem {
    Error::Unknown(what).into()
}
