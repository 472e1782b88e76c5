//! Events of billing and of mandates.
//!
//! Amounts are micro-credits. Credit burn is the sum of `settled_micro` less the sum of `refunded_micro`,
//! by kind of grant, and reconciles with the ledger's account `earnings` to the micro-credit.

use backlot_foundation_events::{EventSchema, EventType, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GrantId, HoldId, MandateId, OrganisationId, ProjectId, UserId};

/// Declares an event's name and version beside its struct.
macro_rules! event {
    ($name:ident, $kind:literal) => {
        impl EventType for $name {
            const TYPE: &'static str = $kind;
            const VERSION: u32 = 1;
        }
    };
}

/// Where credits came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreditKind {
    /// Given: at sign-up, by support.
    Promotional,
    /// Bought.
    Paid,
}

/// Credits came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantCreated {
    /// Which grant.
    pub grant_id: GrantId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Where it came from.
    pub kind: CreditKind,
    /// What made it: `sign_up`, `invoice`, `staff`.
    pub source: String,
    /// How much.
    pub amount_micro: i64,
    /// When it runs out, in Unix microseconds.
    pub expires_at_us: Option<i64>,
}
event!(GrantCreated, "billing.grant.created");

/// Unused credits left a grant: they ran out, or were taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantReduced {
    /// Which grant.
    pub grant_id: GrantId,
    /// Whose.
    pub organisation_id: OrganisationId,
    /// Where it came from.
    pub kind: CreditKind,
    /// How much left it.
    pub amount_micro: i64,
    /// `expired` or `revoked`.
    pub reason: String,
}
event!(GrantReduced, "billing.grant.reduced");

/// A run took credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldCreated {
    /// The run; also the name of the hold.
    pub run_id: HoldId,
    /// Whose credits.
    pub organisation_id: OrganisationId,
    /// For which project.
    pub project_id: Option<ProjectId>,
    /// Under which mandate.
    pub mandate_id: MandateId,
    /// How many mandates lie between it and the root, both counted.
    pub chain_length: u32,
    /// What is done, for example `tools.run`.
    pub action: String,
    /// With which tool; may be empty.
    pub tool: String,
    /// What was taken.
    pub held_micro: i64,
    /// Of it from grants that were given.
    pub held_promotional_micro: i64,
    /// Of it from grants that were bought.
    pub held_paid_micro: i64,
}
event!(HoldCreated, "billing.hold.created");

/// A run was charged; the rest of what it held returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldSettled {
    /// The run; also the name of the hold.
    pub run_id: HoldId,
    /// Whose credits.
    pub organisation_id: OrganisationId,
    /// For which project.
    pub project_id: Option<ProjectId>,
    /// Under which mandate.
    pub mandate_id: MandateId,
    /// With which tool; may be empty.
    pub tool: String,
    /// What was taken.
    pub held_micro: i64,
    /// What was charged.
    pub settled_micro: i64,
    /// Of it from grants that were given.
    pub settled_promotional_micro: i64,
    /// Of it from grants that were bought.
    pub settled_paid_micro: i64,
    /// What we paid ourselves.
    pub absorbed_micro: i64,
    /// `succeeded`, or the class of failure.
    pub reason: String,
}
event!(HoldSettled, "billing.hold.settled");

/// All credits of a run returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldVoided {
    /// The run; also the name of the hold.
    pub run_id: HoldId,
    /// Whose credits.
    pub organisation_id: OrganisationId,
    /// For which project.
    pub project_id: Option<ProjectId>,
    /// Under which mandate.
    pub mandate_id: MandateId,
    /// With which tool; may be empty.
    pub tool: String,
    /// What was taken, and returned.
    pub held_micro: i64,
    /// What we paid ourselves.
    pub absorbed_micro: i64,
    /// Why, as the class of failure.
    pub reason: String,
}
event!(HoldVoided, "billing.hold.voided");

/// A part of a charge was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldRefunded {
    /// The run; also the name of the hold.
    pub run_id: HoldId,
    /// Whose credits.
    pub organisation_id: OrganisationId,
    /// For which project.
    pub project_id: Option<ProjectId>,
    /// What was given back now.
    pub refunded_micro: i64,
    /// Of it to grants that were given.
    pub refunded_promotional_micro: i64,
    /// Of it to grants that were bought.
    pub refunded_paid_micro: i64,
}
event!(HoldRefunded, "billing.hold.refunded");

/// A hold is open for longer than its run should take. Somebody looks; billing never voids it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldOverdue {
    /// The run; also the name of the hold.
    pub run_id: HoldId,
    /// Whose credits.
    pub organisation_id: OrganisationId,
    /// What is held.
    pub held_micro: i64,
    /// When it began, in Unix microseconds.
    pub created_at_us: i64,
}
event!(HoldOverdue, "billing.hold.overdue");

/// An organisation is on another plan, or began a new period of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionChanged {
    /// Who.
    pub organisation_id: OrganisationId,
    /// The plan before; none at sign-up.
    pub previous_plan: Option<String>,
    /// The plan in force.
    pub plan: String,
    /// Price of one period in the currency's smallest unit.
    pub price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// When the period ends, in Unix microseconds; none for a plan without a price.
    pub period_end_us: Option<i64>,
}
event!(SubscriptionChanged, "billing.subscription.changed");

/// Somebody was given authority and a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MandateGiven {
    /// Which.
    pub mandate_id: MandateId,
    /// The mandate it was given out of; none for the root.
    pub parent_id: Option<MandateId>,
    /// Where.
    pub organisation_id: OrganisationId,
    /// In which project; none: everywhere.
    pub project_id: Option<ProjectId>,
    /// Who gave it.
    pub grantor_id: UserId,
    /// Who holds it.
    pub grantee_id: UserId,
    /// `unlimited`, `cap` or `transfer`.
    pub envelope_mode: String,
    /// The cap's limit, or what was set aside.
    pub envelope_micro: Option<i64>,
    /// When it runs out, in Unix microseconds.
    pub expires_at_us: Option<i64>,
}
event!(MandateGiven, "mandates.mandate.given");

/// Authority ended. What is queued under any of these mandates is to be canceled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MandateRevoked {
    /// Which.
    pub mandate_id: MandateId,
    /// Where.
    pub organisation_id: OrganisationId,
    /// This mandate and every one that was given out of it, directly or not.
    pub mandate_ids: Vec<MandateId>,
    /// `revoked` or `expired`.
    pub reason: String,
    /// What was unspent in their envelopes and returned.
    pub returned_micro: i64,
}
event!(MandateRevoked, "mandates.mandate.revoked");

/// The schemas of billing's and mandates' events.
pub fn schemas() -> Vec<EventSchema> {
    vec![
        schema_of::<GrantCreated>(),
        schema_of::<GrantReduced>(),
        schema_of::<HoldCreated>(),
        schema_of::<HoldSettled>(),
        schema_of::<HoldVoided>(),
        schema_of::<HoldRefunded>(),
        schema_of::<HoldOverdue>(),
        schema_of::<SubscriptionChanged>(),
        schema_of::<MandateGiven>(),
        schema_of::<MandateRevoked>(),
    ]
}
