//! The decision over one chain.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, UserId};

use crate::{Chain, Envelope, Link, Mandate, Scope, State};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Who.
    pub actor: UserId,
    /// Where.
    pub scope: Scope,
    /// What, for example `tools.run`.
    pub action: &'a str,
    /// With which tool, where one is involved.
    pub tool: Option<&'a str>,
    /// The price of one use.
    pub unit_price_micro: i64,
    /// What it takes from the envelopes; 0 where no money is involved.
    pub amount_micro: i64,
}

/// Whether it may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may, and this is how it is charged.
    Allowed(Allowance),
    /// It may not.
    Refused(Refusal),
}

/// How an allowed request is charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// From the mandate used up to the root.
    pub chain: Vec<MandateId>,
    /// The earliest expiry along the chain.
    pub expires_at: Option<Timestamp>,
    /// Where the credits come from, and which caps count them.
    pub charge: Charge,
}

/// Where credits come from, and which caps count them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The account that pays.
    pub source: Source,
    /// The caps that count the amount, from the leaf upwards, as far as the source. What a transfer set
    /// aside was counted by the caps above it when it was given, so they do not count it twice.
    pub caps: Vec<MandateId>,
}

/// The account that pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The organisation's grants, in their order.
    Grants,
    /// The account of this transfer mandate.
    Envelope(MandateId),
}

/// Why not, and whose mandate it is that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable.
    pub reason: Reason,
    /// The mandate that refuses: the one used, or an ancestor.
    pub mandate: MandateId,
    /// Who holds that mandate.
    pub holder: UserId,
    /// What its envelope has left, where the reason is [`Reason::EnvelopeExceeded`].
    pub left_micro: Option<i64>,
}

/// Why a request is refused. The codes are stable: programs and pages name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It, or an ancestor, was taken back.
    Revoked,
    /// It, or an ancestor, has run out.
    Expired,
    /// It, or an ancestor, is not valid yet.
    NotYetValid,
    /// The depths along the chain do not fall.
    DepthExceeded,
    /// Somebody else holds it.
    NotHeld,
    /// It, or an ancestor, is for another organisation or project.
    ScopeNotAllowed,
    /// It, or an ancestor, does not allow the action.
    ActionNotAllowed,
    /// It, or an ancestor, does not allow the tool.
    ToolNotAllowed,
    /// One use costs more than it, or an ancestor, allows.
    UnitPriceExceeded,
    /// Its envelope, or an ancestor's, has less left.
    EnvelopeExceeded,
}

impl Reason {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Revoked => "mandate_revoked",
            Self::Expired => "mandate_expired",
            Self::NotYetValid => "mandate_not_yet_valid",
            Self::DepthExceeded => "mandate_depth_exceeded",
            Self::NotHeld => "mandate_not_held",
            Self::ScopeNotAllowed => "scope_not_allowed",
            Self::ActionNotAllowed => "action_not_allowed",
            Self::ToolNotAllowed => "tool_not_allowed",
            Self::UnitPriceExceeded => "unit_price_exceeded",
            Self::EnvelopeExceeded => "envelope_exceeded",
        }
    }

    /// A sentence for people, without who or how much.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Revoked => "The mandate, or one it was given out of, has been revoked.",
            Self::Expired => "The mandate, or one it was given out of, has expired.",
            Self::NotYetValid => "The mandate, or one it was given out of, is not valid yet.",
            Self::DepthExceeded => "The mandate was given on more often than its chain allows.",
            Self::NotHeld => "Somebody else holds this mandate.",
            Self::ScopeNotAllowed => "The mandate does not reach this project.",
            Self::ActionNotAllowed => "The mandate, or one it was given out of, does not allow this action.",
            Self::ToolNotAllowed => "The mandate, or one it was given out of, does not allow this tool.",
            Self::UnitPriceExceeded => "One use costs more than the mandate, or one above it, allows.",
            Self::EnvelopeExceeded => "The envelope of the mandate, or of one above it, has less left.",
        }
    }
}

/// Decides whether the holder of the chain's first mandate may do what is asked, at this moment.
///
/// Every mandate of the chain must be live, hold the request inside its scope, allow the action, the
/// tool and the unit price; then the envelopes are charged ([`charge`]). The first refusal is the one
/// nearest to the root for life and authority, nearest to the leaf for envelopes.
#[must_use]
pub fn decide(now: Timestamp, chain: &Chain, request: &Request<'_>) -> Decision {
    let decision = check_life(now, chain)
        .and_then(|()| check_holder(chain, request.actor))
        .and_then(|()| check_authority(chain, request))
        .and_then(|()| charge(chain, request.amount_micro));
    match decision {
        Ok(charge) => {
            Decision::Allowed(Allowance { chain: chain.ids(), expires_at: earliest_expiry(chain), charge })
        }
        Err(refusal) => Decision::Refused(refusal),
    }
}

/// Finds the account that pays `amount_micro` and the caps that count it, or the envelope that refuses.
///
/// The nearest transfer mandate pays from its account; without one, the organisation's grants do (whose
/// balance is the ledger's to check). Caps above the paying account are not asked: they counted the
/// whole transfer when it was given.
pub fn charge(chain: &Chain, amount_micro: i64) -> Result<Charge, Refusal> {
    let mut caps = Vec::new();
    for link in chain.links() {
        let left_micro = match link.mandate.envelope {
            Envelope::Unlimited => continue,
            Envelope::Cap { limit_micro, .. } => limit_micro.saturating_sub(link.counted_micro),
            Envelope::Transfer { .. } => link.account_micro,
        };
        if amount_micro > left_micro.max(0) {
            return Err(Refusal {
                left_micro: Some(left_micro.max(0)),
                ..refuse(&link.mandate, Reason::EnvelopeExceeded)
            });
        }
        match link.mandate.envelope {
            Envelope::Transfer { .. } => {
                return Ok(Charge { source: Source::Envelope(link.mandate.id), caps });
            }
            Envelope::Cap { .. } => caps.push(link.mandate.id),
            Envelope::Unlimited => {}
        }
    }
    Ok(Charge { source: Source::Grants, caps })
}

/// Whether every mandate of the chain lives at this moment, and depth falls strictly.
pub(crate) fn check_life(now: Timestamp, chain: &Chain) -> Result<(), Refusal> {
    let mut depth_above: Option<u32> = None;
    for Link { mandate, .. } in chain.links().iter().rev() {
        match mandate.state {
            State::Active => {}
            State::Revoked => return Err(refuse(mandate, Reason::Revoked)),
            State::Expired => return Err(refuse(mandate, Reason::Expired)),
        }
        if mandate.expires_at.is_some_and(|expiry| now >= expiry) {
            return Err(refuse(mandate, Reason::Expired));
        }
        if now < mandate.not_before {
            return Err(refuse(mandate, Reason::NotYetValid));
        }
        if depth_above.is_some_and(|above| mandate.depth_max >= above) {
            return Err(refuse(mandate, Reason::DepthExceeded));
        }
        depth_above = Some(mandate.depth_max);
    }
    Ok(())
}

pub(crate) fn check_holder(chain: &Chain, actor: UserId) -> Result<(), Refusal> {
    if chain.leaf().grantee == actor { Ok(()) } else { Err(refuse(chain.leaf(), Reason::NotHeld)) }
}

fn check_authority(chain: &Chain, request: &Request<'_>) -> Result<(), Refusal> {
    for Link { mandate, .. } in chain.links().iter().rev() {
        if !mandate.scope.contains(&request.scope) {
            return Err(refuse(mandate, Reason::ScopeNotAllowed));
        }
        if !mandate.actions.iter().any(|pattern| pattern.allows(request.action)) {
            return Err(refuse(mandate, Reason::ActionNotAllowed));
        }
        let is_tool_refused = mandate
            .conditions
            .tools
            .as_ref()
            .is_some_and(|tools| request.tool.is_some_and(|tool| !tools.contains(tool)));
        if is_tool_refused {
            return Err(refuse(mandate, Reason::ToolNotAllowed));
        }
        if mandate.conditions.max_unit_price_micro.is_some_and(|highest| request.unit_price_micro > highest) {
            return Err(refuse(mandate, Reason::UnitPriceExceeded));
        }
    }
    Ok(())
}

fn earliest_expiry(chain: &Chain) -> Option<Timestamp> {
    chain.links().iter().filter_map(|link| link.mandate.expires_at).min()
}

pub(crate) fn refuse(mandate: &Mandate, reason: Reason) -> Refusal {
    Refusal { reason, mandate: mandate.id, holder: mandate.grantee, left_micro: None }
}
