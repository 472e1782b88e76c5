//! The staff's API of reviews: decode, call, encode.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use backlot_business_api::{ReviewId, codes};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Caller, Path, Query, ValidJson};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reviews::{Decision, ReviewFilter, ReviewState, ReviewView};
use crate::service::Service;

/// Items of a list, unless the request names fewer.
const LIMIT_DEFAULT: u64 = 50;
/// Most items of a list.
const LIMIT_MAX: u64 = 100;
/// Longest note of a decision.
const NOTE_CHARS_MAX: usize = 500;

/// The routes of reviews.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list_reviews)).routes(routes!(get_review, decide_review))
}

/// Somebody of the platform's staff: their user id.
struct Staff(String);

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(claims) = Caller::from_request_parts(parts, state).await?;
        claims.require_staff()?;
        Ok(Self(claims.sub))
    }
}

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
struct ReviewsQuery {
    /// Left out: those that are open.
    state: Option<ReviewState>,
    /// Most items, 1 to 100; 50 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// Reviews.
#[derive(Debug, Serialize, ToSchema)]
struct ReviewList {
    /// Open ones: that which waits longest first; decided ones: the newest first.
    items: Vec<ReviewView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// What moderation withheld or refused. For the platform's staff.
#[utoipa::path(get, path = "/v1/reviews", tag = "moderation", params(ReviewsQuery),
    responses((status = 200, body = ReviewList), (status = "default", body = Problem)))]
async fn list_reviews(
    State(service): State<Service>,
    _staff: Staff,
    Query(query): Query<ReviewsQuery>,
) -> Result<Json<ReviewList>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let after = query.before.as_deref().map(ReviewId::parse).transpose().map_err(|error| {
        Problem::new(&backlot_foundation_errors::codes::BAD_REQUEST, format!("\"before\": {error}"))
    })?;
    let state = query.state.unwrap_or(ReviewState::Open);
    let mut items = service.reviews(ReviewFilter { state, after, limit: limit + 1 }).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > size;
    items.truncate(size);
    let next = more.then(|| items.last().map(|review| review.id.to_string())).flatten();
    Ok(Json(ReviewList { items, next }))
}

/// A review, with URLs of what is judged. For the platform's staff.
#[utoipa::path(get, path = "/v1/reviews/{id}", tag = "moderation", params(("id" = ReviewId, Path)),
    responses((status = 200, body = ReviewView), (status = "default", body = Problem)))]
async fn get_review(
    State(service): State<Service>,
    _staff: Staff,
    Path(id): Path<String>,
) -> Result<Json<ReviewView>, Problem> {
    Ok(Json(service.review(review_id(&id)?).await?))
}

/// What a person of the staff decides.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReviewDecisionBody {
    /// Let it pass, or keep it refused.
    #[garde(skip)]
    decision: Decision,
    /// Why.
    #[serde(default)]
    #[garde(length(chars, max = NOTE_CHARS_MAX))]
    note: String,
}

/// Decide a review. A released output is delivered and charged, an upheld one is thrown away and costs nothing; a
/// released input passes in its organisation's next run.
#[utoipa::path(post, path = "/v1/reviews/{id}", tag = "moderation", params(("id" = ReviewId, Path)),
    request_body = ReviewDecisionBody,
    responses((status = 200, body = ReviewView), (status = "default", body = Problem)))]
async fn decide_review(
    State(service): State<Service>,
    Staff(user): Staff,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<ReviewDecisionBody>,
) -> Result<Json<ReviewView>, Problem> {
    Ok(Json(service.decide_review(&user, review_id(&id)?, body.decision, &body.note).await?))
}

/// A text that is no id names no review.
fn review_id(text: &str) -> Result<ReviewId, Problem> {
    ReviewId::parse(text)
        .map_err(|_| Problem::new(&codes::REVIEW_UNKNOWN, "GET /v1/reviews lists what waits for a decision."))
}
