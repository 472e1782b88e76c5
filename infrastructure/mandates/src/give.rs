//! Giving a part of one's own authority on. Nobody gives what they do not hold.

use std::collections::BTreeSet;

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, ProjectId, UserId};

use crate::decide::{check_holder, check_life};
use crate::{
    ActionPattern, CHAIN_LINKS_MAX, Chain, Charge, Conditions, Envelope, Link, Mandate, Refusal,
    SHARE_BPS_WHOLE, Scope, State, charge,
};

/// What somebody wants to give out of a mandate of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The name of the new mandate.
    pub id: MandateId,
    /// Who gets it.
    pub grantee: UserId,
    /// The project it is for; none: as wide as the parent's scope.
    pub project: Option<ProjectId>,
    /// What it allows.
    pub actions: BTreeSet<ActionPattern>,
    /// Further limits.
    pub conditions: Conditions,
    /// How much may be spent.
    pub envelope: Envelope,
    /// How often it may be given on.
    pub depth_max: u32,
    /// Not valid before; none: now.
    pub not_before: Option<Timestamp>,
    /// Until when; none: as long as the ancestors live.
    pub expires_at: Option<Timestamp>,
    /// The grantee's part of the benefit.
    pub share_bps: u32,
    /// What for.
    pub purpose: String,
}

/// A mandate that may be given, and what giving it costs its giver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The new mandate.
    pub mandate: Mandate,
    /// For a transfer: where the credits come from and which caps count them.
    pub charge: Option<Charge>,
}

/// Why a proposal is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GiveRefusal {
    /// The giver's own chain does not carry it.
    Chain(Refusal),
    /// The giver may not give on: depth is used up, or the new depth does not fall.
    Depth {
        /// The largest depth that could be given; none where nothing can be.
        most: Option<u32>,
    },
    /// The receiver already holds a mandate of the chain: that would raise them by themselves.
    SelfRaise,
    /// Outside the giver's scope.
    Scope,
    /// An action that the giver does not hold.
    Action(ActionPattern),
    /// A tool that the giver may not use, or all tools where the giver may use some.
    Tools,
    /// A unit price above the giver's.
    UnitPrice {
        /// The highest that could be given.
        most_micro: i64,
    },
    /// A larger envelope than an ancestor's.
    Envelope {
        /// Whose mandate limits it.
        mandate: MandateId,
        /// The most that could be given.
        most_micro: i64,
    },
    /// Later than the giver's own expiry.
    Expiry {
        /// The latest that could be given.
        latest: Timestamp,
    },
    /// More of the benefit than is left.
    Share {
        /// What is left.
        left_bps: u32,
    },
}

impl GiveRefusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Chain(refusal) => refusal.reason.code(),
            Self::Depth { .. } => "mandate_depth_exceeded",
            Self::SelfRaise => "mandate_self_raise",
            Self::Scope => "scope_not_allowed",
            Self::Action(_) => "action_not_allowed",
            Self::Tools => "tool_not_allowed",
            Self::UnitPrice { .. } => "unit_price_exceeded",
            Self::Envelope { .. } => "envelope_exceeded",
            Self::Expiry { .. } => "mandate_expiry_exceeded",
            Self::Share { .. } => "mandate_share_exceeded",
        }
    }
}

/// Decides whether `giver` may give `proposal` out of the first mandate of `parent`.
///
/// `siblings_share_bps` is the sum of the shares already given out of the same mandate. Holding a mandate
/// with depth left is what permits giving on; no action is needed beside it.
pub fn give(
    now: Timestamp,
    parent: &Chain,
    giver: UserId,
    siblings_share_bps: u32,
    proposal: Proposal,
) -> Result<Given, GiveRefusal> {
    check_life(now, parent).map_err(GiveRefusal::Chain)?;
    check_holder(parent, giver).map_err(GiveRefusal::Chain)?;
    check_depth(parent, &proposal)?;
    if parent.is_held_by(proposal.grantee) || proposal.grantee == giver {
        return Err(GiveRefusal::SelfRaise);
    }
    let scope = check_scope(parent, &proposal)?;
    for link in parent.links() {
        check_against(&link.mandate, &proposal)?;
    }
    let left_bps = SHARE_BPS_WHOLE.saturating_sub(siblings_share_bps);
    if proposal.share_bps > left_bps {
        return Err(GiveRefusal::Share { left_bps });
    }
    let charge = match proposal.envelope {
        Envelope::Transfer { amount_micro } => {
            Some(charge(parent, amount_micro).map_err(GiveRefusal::Chain)?)
        }
        Envelope::Unlimited | Envelope::Cap { .. } => None,
    };
    let mandate = Mandate {
        id: proposal.id,
        parent: Some(parent.leaf().id),
        grantor: giver,
        grantee: proposal.grantee,
        scope,
        actions: proposal.actions,
        conditions: proposal.conditions,
        envelope: proposal.envelope,
        depth_max: proposal.depth_max,
        not_before: proposal.not_before.unwrap_or(now),
        expires_at: proposal.expires_at,
        share_bps: proposal.share_bps,
        state: State::Active,
        purpose: proposal.purpose,
    };
    Ok(Given { mandate, charge })
}

/// Whether this person may take the chain's first mandate back: the holder of any live ancestor, or its
/// own holder, who gives it up. Nobody takes the root: the last owner is protected.
#[must_use]
pub fn may_revoke(now: Timestamp, chain: &Chain, person: UserId) -> bool {
    let Some((leaf, ancestors)) = chain.links().split_first() else { return false };
    if leaf.mandate.parent.is_none() {
        return false;
    }
    let is_live = |link: &Link| {
        link.mandate.state == State::Active && link.mandate.expires_at.is_none_or(|expiry| now < expiry)
    };
    leaf.mandate.grantee == person
        || ancestors
            .iter()
            .enumerate()
            .any(|(index, link)| link.mandate.grantee == person && ancestors[index..].iter().all(is_live))
}

fn check_depth(parent: &Chain, proposal: &Proposal) -> Result<(), GiveRefusal> {
    let most =
        if parent.links().len() < CHAIN_LINKS_MAX { parent.leaf().depth_max.checked_sub(1) } else { None };
    if most.is_some_and(|most| proposal.depth_max <= most) {
        Ok(())
    } else {
        Err(GiveRefusal::Depth { most })
    }
}

fn check_scope(parent: &Chain, proposal: &Proposal) -> Result<Scope, GiveRefusal> {
    let own = parent.leaf().scope;
    let scope = Scope { organisation: own.organisation, project: proposal.project.or(own.project) };
    if parent.links().iter().all(|link| link.mandate.scope.contains(&scope)) {
        Ok(scope)
    } else {
        Err(GiveRefusal::Scope)
    }
}

/// Whether one ancestor holds all that is proposed.
fn check_against(ancestor: &Mandate, proposal: &Proposal) -> Result<(), GiveRefusal> {
    if let Some(action) =
        proposal.actions.iter().find(|action| !ancestor.actions.iter().any(|own| own.covers(action)))
    {
        return Err(GiveRefusal::Action(action.clone()));
    }
    if let Some(own) = &ancestor.conditions.tools
        && !proposal.conditions.tools.as_ref().is_some_and(|tools| tools.is_subset(own))
    {
        return Err(GiveRefusal::Tools);
    }
    if let Some(most_micro) = ancestor.conditions.max_unit_price_micro
        && proposal.conditions.max_unit_price_micro.is_none_or(|price| price > most_micro)
    {
        return Err(GiveRefusal::UnitPrice { most_micro });
    }
    if let Some(most_micro) = ancestor.envelope.limit_micro()
        && proposal.envelope.limit_micro().is_none_or(|limit| limit > most_micro)
    {
        return Err(GiveRefusal::Envelope { mandate: ancestor.id, most_micro });
    }
    if let Some(latest) = ancestor.expires_at
        && proposal.expires_at.is_some_and(|expiry| expiry > latest)
    {
        return Err(GiveRefusal::Expiry { latest });
    }
    Ok(())
}
