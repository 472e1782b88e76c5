//! The HTTP API of the community: decode, call, encode.

mod comments;
mod moderation;
mod notifications;
mod posts;
mod profiles;
mod remixes;

use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use backlot_business_api::PostId;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::Caller;
use backlot_infrastructure_api::codes::identity::SCOPE_MISSING;
use backlot_infrastructure_api::{OrganisationId, UserId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::Error;
use crate::limits::{BODY_BYTES_MAX, PAGE_DEFAULT, PAGE_MAX};
use crate::service::{Service, Viewer};

/// Scope of an API key that may look.
const SCOPE_READ: &str = "posts:read";
/// Scope of an API key that may take part.
const SCOPE_WRITE: &str = "posts:write";
/// For so long a browser reuses a redirection: short, so that what is removed is soon gone.
const REDIRECT_CACHE_CONTROL: &str = "private, max-age=60";

impl Service {
    /// The routes of the community, with their description.
    pub fn http(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(profiles::get_my_profile, profiles::put_my_profile))
            .routes(routes!(profiles::get_profile))
            .routes(routes!(profiles::get_avatar))
            .routes(routes!(profiles::put_follow, profiles::delete_follow))
            .routes(routes!(profiles::put_block, profiles::delete_block))
            .routes(routes!(profiles::put_mute, profiles::delete_mute))
            .routes(routes!(posts::list_posts, posts::create_post))
            .routes(routes!(posts::get_post, posts::change_post, posts::delete_post))
            .routes(routes!(posts::get_post_media))
            .routes(routes!(posts::get_post_preview))
            .routes(routes!(posts::put_like, posts::delete_like))
            .routes(routes!(comments::list_post_comments, comments::create_post_comment))
            .routes(routes!(comments::delete_post_comment))
            .routes(routes!(posts::list_tags))
            .routes(routes!(remixes::remix_post))
            .routes(routes!(remixes::get_post_lineage))
            .routes(routes!(notifications::list_notifications))
            .routes(routes!(notifications::read_notifications))
            .routes(routes!(notifications::notification_events))
            .routes(routes!(moderation::create_report))
            .routes(routes!(moderation::moderation_queue))
            .routes(routes!(moderation::moderation_audit))
            .routes(routes!(moderation::decide_case))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }
}

/// Who calls, with a credential that covers the community.
struct Person(Viewer);

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(claims) = Caller::from_request_parts(parts, state).await?;
        let looks = parts.method == Method::GET || parts.method == Method::HEAD;
        let scope = if looks { SCOPE_READ } else { SCOPE_WRITE };
        // Whoever may write may look.
        let covered = claims.allows_scope(scope) || (looks && claims.allows_scope(SCOPE_WRITE));
        if !covered {
            return Err(Problem::new(&SCOPE_MISSING, format!("Use a key that has the scope \"{scope}\"."))
                .with_extra("scope", scope));
        }
        let user = UserId::parse(&claims.sub).ok().filter(|_| !claims.is_service());
        let user = user.ok_or(Error::NotAPerson)?;
        let organisation = OrganisationId::parse(&claims.org).ok();
        Ok(Self(Viewer { user, organisation, staff: claims.staff }))
    }
}

/// The size of a page, as asked for.
fn page_size(limit: Option<u64>) -> usize {
    usize::try_from(limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)).unwrap_or(1)
}

/// A text that is no id names no post.
fn post_id(text: &str) -> Result<PostId, Error> {
    PostId::parse(text).map_err(|_| Error::PostUnknown(text.chars().take(64).collect()))
}

fn redirect(to: &str) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(to).map_err(|error| Problem::internal(&error))?;
    let cache = HeaderValue::from_static(REDIRECT_CACHE_CONTROL);
    Ok((StatusCode::FOUND, [(header::LOCATION, location), (header::CACHE_CONTROL, cache)]).into_response())
}
