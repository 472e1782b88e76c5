//! Reports, and the staff's queue.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use backlot_business_api::{CaseId, CommentId};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Caller, Path, Query, ValidJson};
use backlot_foundation_time::Timestamp;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{Person, page_size, post_id};
use crate::error::Error;
use crate::rows::AuditLine;
use crate::service::{Decision, Reason, Reported, Service, Viewer};
use crate::store::CasePosition;
use crate::view::CaseView;

/// Somebody of the staff.
pub(super) struct Staff(Viewer);

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, state).await?.0.require_staff()?;
        Ok(Self(Person::from_request_parts(parts, state).await?.0))
    }
}

/// What is wrong with what: exactly one of `post_id`, `comment_id` and `handle`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportBody {
    /// A post.
    #[garde(inner(length(max = 64)))]
    post_id: Option<String>,
    /// A comment.
    #[garde(inner(length(max = 64)))]
    comment_id: Option<String>,
    /// Somebody.
    #[garde(inner(length(max = 64)))]
    handle: Option<String>,
    /// Why.
    #[garde(skip)]
    reason: Reason,
    /// Up to 1,000 characters.
    #[serde(default)]
    #[garde(length(chars, max = 4000))]
    text: String,
}

/// A report that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportView {
    /// The case that it belongs to.
    case_id: CaseId,
}

/// Report a post, a comment or somebody. A person of the staff looks at it; nobody learns who reported it.
#[utoipa::path(post, path = "/v1/reports", tag = "community", request_body = ReportBody,
    responses((status = 201, body = ReportView), (status = "default", body = Problem)))]
pub(super) async fn create_report(
    State(service): State<Service>,
    Person(viewer): Person,
    ValidJson(body): ValidJson<ReportBody>,
) -> Result<(StatusCode, Json<ReportView>), Problem> {
    let reported = match (body.post_id, body.comment_id, body.handle) {
        (Some(id), None, None) => Reported::Post(post_id(&id)?),
        (None, Some(id), None) => {
            Reported::Comment(CommentId::parse(&id).map_err(|_| Error::CommentUnknown(id.clone()))?)
        }
        (None, None, Some(handle)) => Reported::Profile(handle),
        _ => return Err(Error::field("/post_id", "name one of post_id, comment_id and handle").into()),
    };
    let case_id = service.report(&viewer, &reported, body.reason, &body.text).await?;
    Ok((StatusCode::CREATED, Json(ReportView { case_id })))
}

/// Which cases.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CaseState {
    /// They wait for a decision.
    #[default]
    Open,
    /// They were decided.
    Decided,
}

/// Which part of the queue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct QueueQuery {
    /// `open` or `decided`; `open` where it is left out.
    #[serde(default)]
    #[param(inline)]
    state: CaseState,
    /// Most items, 1 to 100; 24 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// Cases.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CaseList {
    /// Those that wait longest first.
    items: Vec<CaseView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// What people reported. For the platform's staff.
#[utoipa::path(get, path = "/v1/moderation/queue", tag = "community", params(QueueQuery),
    responses((status = 200, body = CaseList), (status = "default", body = Problem)))]
pub(super) async fn moderation_queue(
    State(service): State<Service>,
    Staff(viewer): Staff,
    Query(query): Query<QueueQuery>,
) -> Result<Json<CaseList>, Problem> {
    let after = query.before.as_deref().map(position).transpose()?;
    let decided = matches!(query.state, CaseState::Decided);
    let page = service.cases(decided, after, page_size(query.limit)).await?;
    Ok(Json(CaseList { items: service.case_views(&viewer, &page.items).await?, next: page.next }))
}

fn position(text: &str) -> Result<CasePosition, Error> {
    let wrong = || Error::field("/before", "is not the \"next\" of a page");
    let (at, id) = text.split_once('.').ok_or_else(wrong)?;
    let opened_at = Timestamp::from_micros(at.parse().map_err(|_| wrong())?);
    Ok(CasePosition { opened_at, id: CaseId::parse(id).map_err(|_| wrong())? })
}

/// What to do.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseDecisionBody {
    /// `keep`, `remove` or `ban`. Keeping what was taken down brings it back.
    #[garde(skip)]
    decision: Decision,
    /// Up to 1,000 characters, which the author reads.
    #[serde(default)]
    #[garde(length(chars, max = 4000))]
    reason: String,
}

/// Decide a case; a later decision overturns an earlier one. For the platform's staff.
#[utoipa::path(post, path = "/v1/moderation/{id}", tag = "community", params(("id" = String, Path)),
    request_body = CaseDecisionBody,
    responses((status = 200, body = CaseView), (status = "default", body = Problem)))]
pub(super) async fn decide_case(
    State(service): State<Service>,
    Staff(viewer): Staff,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<CaseDecisionBody>,
) -> Result<Json<CaseView>, Problem> {
    let unknown = || Error::CaseUnknown(id.chars().take(64).collect());
    let id = CaseId::parse(&id).map_err(|_| unknown())?;
    let case = service.decide(&viewer, id, body.decision, &body.reason).await?;
    let views = service.case_views(&viewer, std::slice::from_ref(&case)).await?;
    Ok(Json(views.into_iter().next().ok_or_else(unknown)?))
}

/// Which part of the audit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Most items, 1 to 100; 24 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// A line of what staff did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditView {
    /// Its id.
    id: String,
    /// When.
    at: Timestamp,
    /// Who.
    actor_id: String,
    /// What, for example `moderation.remove`.
    action: String,
    /// `post`, `comment` or `profile`.
    subject: String,
    /// Its id.
    target_id: String,
    /// The case, the reason, the reports and the decision before.
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<AuditLine> for AuditView {
    fn from(line: AuditLine) -> Self {
        Self {
            id: line.id,
            at: line.at,
            actor_id: line.actor_id.to_string(),
            action: line.action,
            subject: line.subject,
            target_id: line.target_id,
            detail: serde_json::from_str(&line.detail).unwrap_or_default(),
        }
    }
}

/// What staff did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditList {
    /// Newest first.
    items: Vec<AuditView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// What staff decided, and why. For the platform's staff.
#[utoipa::path(get, path = "/v1/moderation/audit", tag = "community", params(AuditQuery),
    responses((status = 200, body = AuditList), (status = "default", body = Problem)))]
pub(super) async fn moderation_audit(
    State(service): State<Service>,
    _staff: Staff,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditList>, Problem> {
    let page = service.audit(query.before.as_deref(), page_size(query.limit)).await?;
    Ok(Json(AuditList { items: page.items.into_iter().map(AuditView::from).collect(), next: page.next }))
}
