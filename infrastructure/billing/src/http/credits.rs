//! Routes about credits: balance, holds, journal, grants.

use axum::Json;
use axum::extract::State;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{IdempotencyKey, Path, Query, ValidJson};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{GrantId, HoldId, MandateId, OrganisationId, ProjectId, UserId};
use garde::Validate;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Member, Page, Staff, nothing};
use crate::ledger::GrantKind;
use crate::service::{Balance, GrantOrder, GrantView, LedgerReport, Service};
use crate::store::holds::Hold;
use crate::store::ledger::TransactionRow;

/// Rows of a list, unless the request names fewer.
const LIMIT_DEFAULT: i64 = 50;
/// Most rows of a list.
const LIMIT_MAX: i64 = 200;
/// Longest text field that is looked at, in bytes; the rules themselves are stricter.
const TEXT_BYTES_MAX: usize = 2_048;

/// A grant and what became of it: the amounts below sum to `amount_micro`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantJson {
    id: GrantId,
    /// `promotional` or `paid`.
    kind: &'static str,
    /// `sign_up`, `invoice` or `staff`.
    source: String,
    reason: String,
    amount_micro: i64,
    /// Not used, envelopes included.
    available_micro: i64,
    held_micro: i64,
    spent_micro: i64,
    expired_micro: i64,
    revoked_micro: i64,
    effective_at: Timestamp,
    expires_at: Option<Timestamp>,
    /// What runs brought back after `expires_at` may be used until then; null: nothing came back so late.
    returned_until: Option<Timestamp>,
    /// When it was taken back; what runs or refunds bring back to it from then on is taken back, too.
    revoked_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// What the organisation has.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BalanceJson {
    /// May be used now, envelopes included.
    available_micro: i64,
    /// Taken by runs that have not ended.
    held_micro: i64,
    /// Charged, less what was given back.
    spent_micro: i64,
    /// Ever given or bought.
    granted_micro: i64,
    /// In the order in which they burn.
    grants: Vec<GrantJson>,
}

impl From<GrantView> for GrantJson {
    fn from(grant: GrantView) -> Self {
        Self {
            id: grant.id,
            kind: grant.kind.as_str(),
            source: grant.source,
            reason: grant.reason,
            amount_micro: grant.amount_micro,
            available_micro: grant.available_micro,
            held_micro: grant.held_micro,
            spent_micro: grant.spent_micro,
            expired_micro: grant.expired_micro,
            revoked_micro: grant.revoked_micro,
            effective_at: grant.effective_at,
            expires_at: grant.expires_at,
            returned_until: grant.returned_until,
            revoked_at: grant.revoked_at,
            created_at: grant.created_at,
        }
    }
}

impl From<Balance> for BalanceJson {
    fn from(balance: Balance) -> Self {
        Self {
            available_micro: balance.available_micro,
            held_micro: balance.held_micro,
            spent_micro: balance.spent_micro,
            granted_micro: balance.granted_micro,
            grants: balance.grants.into_iter().map(Into::into).collect(),
        }
    }
}

/// What the organisation has, and each grant in the order in which they burn.
#[utoipa::path(get, path = "/v1/billing/balance", tag = "billing",
    responses((status = 200, body = BalanceJson), (status = "default", body = Problem)))]
pub(super) async fn balance(
    State(service): State<Service>,
    member: Member,
) -> Result<Json<BalanceJson>, Problem> {
    Ok(Json(service.balance(member.organisation).await?.into()))
}

/// What one grant gave to a run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PartJson {
    grant_id: GrantId,
    /// `promotional` or `paid`.
    kind: &'static str,
    /// The account that it came from: `grant:ID` or `envelope:MANDATE`.
    source: String,
    held_micro: i64,
    settled_micro: i64,
    refunded_micro: i64,
}

/// Credits that a run has taken, and what became of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HoldJson {
    run_id: HoldId,
    project_id: Option<ProjectId>,
    actor_id: UserId,
    mandate_id: MandateId,
    /// From that mandate up to the root.
    mandate_chain: Vec<MandateId>,
    action: String,
    tool: String,
    /// `held`, `settled` or `voided`.
    state: &'static str,
    held_micro: i64,
    settled_micro: i64,
    refunded_micro: i64,
    /// What we paid ourselves.
    absorbed_micro: i64,
    /// Why it ended; null: it has not.
    reason: Option<String>,
    /// In the order in which they were taken.
    parts: Vec<PartJson>,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl From<Hold> for HoldJson {
    fn from(hold: Hold) -> Self {
        let parts = hold.parts.iter().map(|part| PartJson {
            grant_id: part.grant,
            kind: part.kind.as_str(),
            source: part.source.to_string(),
            held_micro: part.held_micro,
            settled_micro: part.settled_micro,
            refunded_micro: part.refunded_micro,
        });
        Self {
            run_id: hold.run,
            project_id: hold.project,
            actor_id: hold.actor,
            mandate_id: hold.mandate,
            parts: parts.collect(),
            mandate_chain: hold.chain,
            action: hold.action,
            tool: hold.tool,
            state: hold.state.as_str(),
            held_micro: hold.held_micro,
            settled_micro: hold.settled_micro,
            refunded_micro: hold.refunded_micro,
            absorbed_micro: hold.absorbed_micro,
            reason: hold.ended_at.map(|_| hold.reason),
            created_at: hold.created_at,
            ended_at: hold.ended_at,
        }
    }
}

/// What a run held and was charged, from which grants, under which mandates.
#[utoipa::path(get, path = "/v1/billing/holds/{run_id}", tag = "billing", params(("run_id" = HoldId, Path)),
    responses((status = 200, body = HoldJson), (status = "default", body = Problem)))]
pub(super) async fn hold(
    State(service): State<Service>,
    member: Member,
    Path(run_id): Path<String>,
) -> Result<Json<HoldJson>, Problem> {
    let run = HoldId::parse(&run_id).map_err(|_| nothing("hold"))?;
    Ok(Json(service.get_hold(member.organisation, run).await?.into()))
}

/// What to give back.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundBody {
    /// Whose run it was.
    #[garde(skip)]
    organisation_id: OrganisationId,
    /// At most what is left of the charge.
    #[garde(skip)]
    amount_micro: i64,
    /// What for, in the organisation's audit log; at most 200 characters, and nobody's name.
    #[garde(length(bytes, min = 1, max = TEXT_BYTES_MAX))]
    reason: String,
}

/// Give a part of a charge back to the grants that it came from. For platform staff. The same Idempotency-Key gives
/// back once. The organisation's audit log tells who gave back, and why.
#[utoipa::path(post, path = "/v1/billing/holds/{run_id}/refund", tag = "billing",
    params(("run_id" = HoldId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Same key, run and amount: refunded once")),
    request_body = RefundBody,
    responses((status = 200, body = HoldJson), (status = "default", body = Problem)))]
pub(super) async fn refund(
    State(service): State<Service>,
    staff: Staff,
    Path(run_id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    ValidJson(body): ValidJson<RefundBody>,
) -> Result<Json<HoldJson>, Problem> {
    let run = HoldId::parse(&run_id).map_err(|_| nothing("hold"))?;
    let (by, key) = (staff.by_hand(body.reason), key.as_deref());
    let hold = service.refund_with_key(body.organisation_id, run, body.amount_micro, &by, key).await?;
    Ok(Json(hold.into()))
}

/// One line of a transaction.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PostingJson {
    /// For example `grant:ID`, `envelope:MANDATE`, `hold`, `earnings`.
    account: String,
    /// The grant whose credits they are; null for costs.
    grant_id: Option<String>,
    /// Into the account; below zero: out of it.
    amount_micro: i64,
}

/// One transaction of the journal. Its lines sum to zero.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TransactionJson {
    /// Counts from 1 without a gap.
    number: i64,
    /// `grant`, `hold`, `settle`, `void`, `refund`, `transfer` …
    kind: String,
    /// The run, grant or mandate that it is about.
    subject: String,
    postings: Vec<PostingJson>,
    created_at: Timestamp,
}

impl From<TransactionRow> for TransactionJson {
    fn from(row: TransactionRow) -> Self {
        let posting = |(account, grant, amount_micro): (String, String, i64)| PostingJson {
            account,
            grant_id: (!grant.is_empty()).then_some(grant),
            amount_micro,
        };
        Self {
            number: row.number,
            kind: row.kind,
            subject: row.subject,
            postings: row.postings.into_iter().map(posting).collect(),
            created_at: row.created_at,
        }
    }
}

/// Which part of the journal.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct PageQuery {
    /// Most rows, 1 to 200; 50 where it is left out.
    limit: Option<i64>,
    /// The `next` of the page before.
    before: Option<i64>,
}

/// The organisation's journal, newest first.
#[utoipa::path(get, path = "/v1/billing/transactions", tag = "billing", params(PageQuery),
    responses((status = 200, body = Page<TransactionJson>), (status = "default", body = Problem)))]
pub(super) async fn transactions(
    State(service): State<Service>,
    member: Member,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<TransactionJson>>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let rows = service.transactions(member.organisation, query.before, limit).await?;
    let next = rows.last().filter(|row| row.number > 1).map(|row| row.number.to_string());
    Ok(Json(Page { items: rows.into_iter().map(Into::into).collect(), next }))
}

/// What the fold of the journal says.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LedgerJson {
    /// Whether every invariant holds.
    balanced: bool,
    transactions: i64,
    /// Of them covered by the hash chain; the sealer follows within seconds.
    sealed_transactions: i64,
    /// Whether every seal reproduces from the journal.
    chain_verified: bool,
    /// Runs that hold credits now.
    open_holds: i64,
    /// What does not hold.
    problems: Vec<String>,
}

impl From<LedgerReport> for LedgerJson {
    fn from(report: LedgerReport) -> Self {
        Self {
            balanced: report.balanced,
            transactions: report.transactions,
            sealed_transactions: report.sealed_transactions,
            chain_verified: report.chain_verified,
            open_holds: report.open_holds,
            problems: report.problems,
        }
    }
}

/// Whose ledger.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct CheckQuery {
    /// Every organisation's, added up. For platform staff.
    #[serde(default)]
    all: bool,
}

/// Fold the whole journal, compare it with every balance, grant, hold and envelope, verify the hash chain.
#[utoipa::path(get, path = "/v1/billing/ledger-check", tag = "billing", params(CheckQuery),
    responses((status = 200, body = LedgerJson), (status = "default", body = Problem)))]
pub(super) async fn ledger_check(
    State(service): State<Service>,
    member: Member,
    Query(query): Query<CheckQuery>,
) -> Result<Json<LedgerJson>, Problem> {
    if query.all {
        member.claims.require_staff()?;
        return Ok(Json(service.check_all().await?.into()));
    }
    Ok(Json(service.prove_for(member.organisation).await?.into()))
}

/// Credits to give.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantBody {
    #[garde(skip)]
    organisation_id: OrganisationId,
    #[garde(skip)]
    amount_micro: i64,
    #[garde(skip)]
    expires_at: Option<Timestamp>,
    /// What for; at most 200 characters.
    #[garde(length(bytes, min = 1, max = TEXT_BYTES_MAX))]
    reason: String,
}

/// A grant that was given.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantGiven {
    id: GrantId,
}

/// Give credits to an organisation. For platform staff. The same Idempotency-Key gives once. The organisation's audit log
/// tells who gave, and why.
#[utoipa::path(post, path = "/v1/billing/grants", tag = "billing", request_body = GrantBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Same key and grant: given once; at most 64 characters")),
    responses((status = 201, body = GrantGiven), (status = "default", body = Problem)))]
pub(super) async fn grant(
    State(service): State<Service>,
    staff: Staff,
    IdempotencyKey(key): IdempotencyKey,
    ValidJson(body): ValidJson<GrantBody>,
) -> Result<(StatusCode, Json<GrantGiven>), Problem> {
    let order = GrantOrder {
        organisation: body.organisation_id,
        kind: GrantKind::Promotional,
        source: "staff",
        source_ref: key.unwrap_or_else(|| GrantId::generate().to_string()),
        priority: crate::service::PRIORITY_DEFAULT,
        amount_micro: body.amount_micro,
        expires_at: body.expires_at,
        reason: body.reason,
    };
    let id = service.grant(&order, &staff.0.sub).await?;
    Ok((StatusCode::CREATED, Json(GrantGiven { id })))
}

/// Whose grant it is.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeGrantBody {
    #[garde(skip)]
    organisation_id: OrganisationId,
    /// What for, in the organisation's audit log; at most 200 characters, and nobody's name.
    #[garde(length(bytes, min = 1, max = TEXT_BYTES_MAX))]
    reason: String,
}

/// What was unused and is taken back now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantRevoked {
    revoked_micro: i64,
}

/// Take back what is unused of a grant, and whatever comes back to it later. For platform staff. The organisation's audit log tells who took, and why.
#[utoipa::path(post, path = "/v1/billing/grants/{id}/revoke", tag = "billing",
    params(("id" = GrantId, Path)), request_body = RevokeGrantBody,
    responses((status = 200, body = GrantRevoked), (status = "default", body = Problem)))]
pub(super) async fn revoke_grant(
    State(service): State<Service>,
    staff: Staff,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<RevokeGrantBody>,
) -> Result<Json<GrantRevoked>, Problem> {
    let id = GrantId::parse(&id).map_err(|_| nothing("grant"))?;
    let by = staff.by_hand(body.reason);
    let revoked_micro = service.revoke_grant(body.organisation_id, id, &by).await?;
    Ok(Json(GrantRevoked { revoked_micro }))
}
