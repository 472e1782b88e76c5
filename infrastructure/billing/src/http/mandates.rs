//! Routes about mandates.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{IdempotencyKey, Path, ValidJson};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, OrganisationId, ProjectId, UserId};
use backlot_infrastructure_mandates::{ActionPattern, Envelope, Period};
use garde::Validate;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Member, Page, nothing};
use crate::error::Error;
use crate::service::{GiveOrder, MandateView, Service};
use crate::store::mandates::{envelope_parts, state_str};

/// Longest text field that is looked at, in bytes; the rules themselves are stricter.
const TEXT_BYTES_MAX: usize = 2_048;
/// Longest list that is looked at.
const LIST_MAX: usize = 256;

/// How much may be spent under a mandate.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EnvelopeJson {
    /// `unlimited`, `cap` (a counter, shared, may be over-committed) or `transfer` (credits set aside).
    mode: &'static str,
    /// The cap's limit in one period, or what was set aside; null: no limit of its own.
    amount_micro: Option<i64>,
    /// How often a cap begins again: `life` (never), `day` or `month`, in UTC.
    period: &'static str,
    /// Held and spent: of a cap in the present period, given on included; of a transfer ever.
    used_micro: i64,
    /// What its own envelope has left; null: no limit of its own. Ancestors' envelopes count too.
    left_micro: Option<i64>,
    /// The mandate whose account pays; null: the organisation's grants.
    paid_by: Option<MandateId>,
}

/// Authority and a budget, given by one person to another.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MandateJson {
    id: MandateId,
    /// The mandate it was given out of; null: the root, which an owner holds.
    parent_id: Option<MandateId>,
    organisation_id: OrganisationId,
    /// The project it is for; null: all.
    project_id: Option<ProjectId>,
    grantor_id: UserId,
    grantee_id: UserId,
    /// What it allows, where every mandate above allows it too.
    actions: Vec<String>,
    /// The only tools that may be used; null: all.
    tools: Option<Vec<String>>,
    /// The highest price of one use; null: any.
    max_unit_price_micro: Option<i64>,
    envelope: EnvelopeJson,
    /// Mandates above it.
    depth: u32,
    /// How often it may still be given on.
    depth_max: u32,
    not_before: Timestamp,
    expires_at: Option<Timestamp>,
    /// The holder's part of the benefit, in hundredths of a per cent.
    share_bps: u32,
    /// `active`, `revoked` or `expired`. A mandate under one that has ended has ended too.
    state: &'static str,
    purpose: String,
    /// The role that it came with; null: somebody gave it.
    role: Option<String>,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl From<MandateView> for MandateJson {
    fn from(view: MandateView) -> Self {
        let mandate = view.row.mandate;
        let (mode, amount_micro, period) = envelope_parts(mandate.envelope);
        Self {
            id: mandate.id,
            parent_id: mandate.parent,
            organisation_id: mandate.scope.organisation,
            project_id: mandate.scope.project,
            grantor_id: mandate.grantor,
            grantee_id: mandate.grantee,
            actions: mandate.actions.iter().map(ToString::to_string).collect(),
            tools: mandate.conditions.tools.map(|tools| tools.into_iter().collect()),
            max_unit_price_micro: mandate.conditions.max_unit_price_micro,
            envelope: EnvelopeJson {
                mode,
                amount_micro,
                period,
                used_micro: view.used_micro,
                left_micro: view.left_micro,
                paid_by: view.paid_by,
            },
            depth: view.depth,
            depth_max: mandate.depth_max,
            not_before: mandate.not_before,
            expires_at: mandate.expires_at,
            share_bps: mandate.share_bps,
            state: state_str(mandate.state),
            purpose: mandate.purpose,
            role: (!view.row.role.is_empty()).then_some(view.row.role),
            created_at: view.row.created_at,
            ended_at: view.row.ended_at,
        }
    }
}

/// The organisation's mandates, those above before those given out of them.
#[utoipa::path(get, path = "/v1/mandates", tag = "mandates",
    responses((status = 200, body = Page<MandateJson>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(service): State<Service>,
    member: Member,
) -> Result<Json<Page<MandateJson>>, Problem> {
    let views = service.mandates(member.organisation).await?;
    Ok(Json(Page::whole(views.into_iter().map(Into::into).collect())))
}

/// One mandate.
#[utoipa::path(get, path = "/v1/mandates/{id}", tag = "mandates", params(("id" = MandateId, Path)),
    responses((status = 200, body = MandateJson), (status = "default", body = Problem)))]
pub(super) async fn get(
    State(service): State<Service>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<MandateJson>, Problem> {
    let id = MandateId::parse(&id).map_err(|_| nothing("mandate"))?;
    Ok(Json(service.mandate(member.organisation, id).await?.into()))
}

/// The mode of an envelope.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EnvelopeMode {
    /// No limit of its own.
    Unlimited,
    /// A counter that is shared and may be over-committed.
    Cap,
    /// Credits set aside when it is given.
    Transfer,
}

/// How often a cap begins again.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PeriodJson {
    /// Never.
    Life,
    /// At 00:00 UTC.
    Day,
    /// On the first of the month, 00:00 UTC.
    Month,
}

/// How much may be spent.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvelopeBody {
    /// Micro-credits; left out for `unlimited` only.
    #[garde(skip)]
    amount_micro: Option<i64>,
    #[garde(skip)]
    mode: EnvelopeMode,
    /// For a cap; `life` where it is left out.
    #[garde(skip)]
    period: Option<PeriodJson>,
}

/// A mandate to give.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GiveBody {
    /// A mandate that you hold.
    #[garde(skip)]
    parent_id: MandateId,
    /// A member of the organisation.
    #[garde(skip)]
    grantee_id: UserId,
    /// Left out: as wide as your own.
    #[garde(skip)]
    project_id: Option<ProjectId>,
    /// `tools.run`, `assets.*`, `*`; nothing that you do not hold.
    #[garde(length(max = LIST_MAX))]
    actions: Vec<String>,
    /// Left out: all that you may use.
    #[garde(inner(length(max = LIST_MAX)))]
    tools: Option<Vec<String>>,
    #[garde(skip)]
    max_unit_price_micro: Option<i64>,
    #[garde(dive)]
    envelope: EnvelopeBody,
    /// How often it may be given on; less than your own. 0: not at all.
    #[serde(default)]
    #[garde(skip)]
    depth_max: u32,
    #[garde(skip)]
    expires_at: Option<Timestamp>,
    /// Hundredths of a per cent of your own benefit.
    #[serde(default)]
    #[garde(skip)]
    share_bps: u32,
    /// What for; at most 200 characters.
    #[serde(default)]
    #[garde(length(bytes, max = TEXT_BYTES_MAX))]
    purpose: String,
}

impl EnvelopeBody {
    fn envelope(&self) -> Result<Envelope, Error> {
        let invalid = |pointer, message: &str| Error::Invalid { pointer, message: message.to_owned() };
        let period = match self.period {
            None | Some(PeriodJson::Life) => Period::Life,
            Some(PeriodJson::Day) => Period::Day,
            Some(PeriodJson::Month) => Period::Month,
        };
        match (self.mode, self.amount_micro) {
            (EnvelopeMode::Unlimited, None) => Ok(Envelope::Unlimited),
            (EnvelopeMode::Unlimited, Some(_)) => {
                Err(invalid("/envelope/amount_micro", "is not for an unlimited envelope"))
            }
            (EnvelopeMode::Cap | EnvelopeMode::Transfer, None) => {
                Err(invalid("/envelope/amount_micro", "is missing"))
            }
            (EnvelopeMode::Cap, Some(limit_micro)) => Ok(Envelope::Cap { limit_micro, period }),
            (EnvelopeMode::Transfer, Some(_)) if period != Period::Life => {
                Err(invalid("/envelope/period", "is for a cap; a transfer is set aside once"))
            }
            (EnvelopeMode::Transfer, Some(amount_micro)) => Ok(Envelope::Transfer { amount_micro }),
        }
    }
}

impl GiveBody {
    fn order(self, organisation: OrganisationId, giver: UserId) -> Result<GiveOrder, Error> {
        let mut actions = BTreeSet::new();
        for action in &self.actions {
            let pattern = ActionPattern::parse(action);
            actions.insert(
                pattern
                    .map_err(|error| Error::Invalid { pointer: "/actions", message: error.to_string() })?,
            );
        }
        Ok(GiveOrder {
            organisation,
            giver,
            parent: self.parent_id,
            grantee: self.grantee_id,
            project: self.project_id,
            actions,
            tools: self.tools.map(|tools| tools.into_iter().collect()),
            max_unit_price_micro: self.max_unit_price_micro,
            envelope: self.envelope.envelope()?,
            depth_max: self.depth_max,
            expires_at: self.expires_at,
            share_bps: self.share_bps,
            purpose: self.purpose.trim().to_owned(),
        })
    }
}

/// Give a part of a mandate that you hold. A transfer is set aside at once. The same Idempotency-Key gives once.
#[utoipa::path(post, path = "/v1/mandates", tag = "mandates", request_body = GiveBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Same key and mandate: given once")),
    responses((status = 201, body = MandateJson), (status = "default", body = Problem)))]
pub(super) async fn give(
    State(service): State<Service>,
    member: Member,
    IdempotencyKey(key): IdempotencyKey,
    ValidJson(body): ValidJson<GiveBody>,
) -> Result<(StatusCode, Json<MandateJson>), Problem> {
    let order = body.order(member.organisation, member.user)?;
    Ok((StatusCode::CREATED, Json(service.give_with_key(&order, key.as_deref()).await?.into())))
}

/// Take a mandate back, with everything that was given out of it. Unspent credits return, queued runs are
/// canceled. Revoking what has ended changes nothing.
#[utoipa::path(post, path = "/v1/mandates/{id}/revoke", tag = "mandates", params(("id" = MandateId, Path)),
    responses((status = 200, body = MandateJson), (status = "default", body = Problem)))]
pub(super) async fn revoke(
    State(service): State<Service>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<MandateJson>, Problem> {
    let id = MandateId::parse(&id).map_err(|_| nothing("mandate"))?;
    service.revoke(member.organisation, member.user, id).await?;
    Ok(Json(service.mandate(member.organisation, id).await?.into()))
}
