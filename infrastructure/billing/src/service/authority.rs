//! Deciding over stored chains.

use backlot_foundation_errors::Problem;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, OrganisationId, ProjectId, UserId};
use backlot_infrastructure_mandates::{Allowance, Chain, Decision, Request, Scope, Source, decide, nearest};
use sea_orm::ConnectionTrait;

use super::Service;
use crate::error::Error;
use crate::ledger::{Account, burn};
use crate::store;

/// Mandates of one person that are considered where a request names none.
const CONSIDERED_MAX: usize = 64;

/// "May this actor do this, and with how much?"
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOrder {
    /// Where.
    pub organisation: OrganisationId,
    /// Who.
    pub actor: UserId,
    /// Under which mandate; none: the nearest that allows it.
    pub mandate: Option<MandateId>,
    /// What, for example `tools.run`.
    pub action: String,
    /// In which project; none: in the organisation itself.
    pub project: Option<ProjectId>,
    /// With which tool; may be empty.
    pub tool: String,
    /// The price of one use.
    pub unit_price_micro: i64,
    /// What it takes from the envelopes; 0 where no money is involved.
    pub amount_micro: i64,
}

impl CheckOrder {
    /// As the pure decision reads it.
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            actor: self.actor,
            scope: Scope { organisation: self.organisation, project: self.project },
            action: &self.action,
            tool: (!self.tool.is_empty()).then_some(self.tool.as_str()),
            unit_price_micro: self.unit_price_micro,
            amount_micro: self.amount_micro,
        }
    }
}

/// The answer to a [`CheckOrder`].
#[derive(Debug, Clone, PartialEq)]
pub enum CheckOutcome {
    /// It may, under the first of these mandates.
    Allowed {
        /// From the mandate up to the root.
        chain: Vec<MandateId>,
    },
    /// It may not.
    Refused {
        /// Why, with a stable code.
        problem: Problem,
    },
}

impl Service {
    /// Decides without spending, over what is stored now.
    ///
    /// # Errors
    /// Only faults; a refusal is an answer.
    pub async fn check(&self, order: &CheckOrder) -> Result<CheckOutcome, Error> {
        let (connection, now) = (self.db().read(), self.now());
        match check_in(connection, now, order).await {
            Ok(chain) => Ok(CheckOutcome::Allowed { chain }),
            Err(
                error @ (Error::Chain(_) | Error::Unbalanced(_) | Error::Overdrawn { .. } | Error::Db(_)),
            ) => Err(error),
            Err(refusal) => Ok(CheckOutcome::Refused { problem: refusal.into() }),
        }
    }
}

/// Decides over what this connection sees; the grants must suffice, too.
pub(crate) async fn check_in(
    connection: &impl ConnectionTrait,
    now: Timestamp,
    order: &CheckOrder,
) -> Result<Vec<MandateId>, Error> {
    let (chain, allowance) = authorise(connection, now, order).await?;
    if order.amount_micro > 0 && allowance.charge.source == Source::Grants {
        let lots = store::ledger::lots(connection, order.organisation, None).await?;
        let available_micro = burn::usable_micro(now, &lots);
        if available_micro < order.amount_micro {
            return Err(Error::InsufficientCredits { needed_micro: order.amount_micro, available_micro });
        }
    }
    Ok(chain.ids())
}

/// Finds the chain that allows it: the mandate that is named, or the actor's nearest that allows it.
pub(crate) async fn authorise(
    connection: &impl ConnectionTrait,
    now: Timestamp,
    order: &CheckOrder,
) -> Result<(Chain, Allowance), Error> {
    let request = order.request();
    if let Some(id) = order.mandate {
        let row = store::mandates::find(connection, order.organisation, id).await?;
        let row = row.ok_or(Error::Unknown("mandate"))?;
        let chain = store::mandates::chain(connection, row.mandate, now).await?;
        return match decide(now, &chain, &request) {
            Decision::Allowed(allowance) => Ok((chain, allowance)),
            Decision::Refused(refusal) => Err(Error::refused(&chain, refusal, order.amount_micro)),
        };
    }
    let held = store::mandates::held_by(connection, order.organisation, order.actor).await?;
    let mut chains = Vec::new();
    for row in held.into_iter().take(CONSIDERED_MAX) {
        chains.push(store::mandates::chain(connection, row.mandate, now).await?);
    }
    match nearest(now, &chains, &request) {
        Some((chain, Ok(allowance))) => Ok((chain.clone(), allowance)),
        Some((chain, Err(refusal))) => Err(Error::refused(chain, refusal, order.amount_micro)),
        None => Err(Error::NoMandate(order.actor)),
    }
}

/// The account that pays, where it is an envelope.
pub(crate) const fn envelope_of(source: Source) -> Option<Account> {
    match source {
        Source::Grants => None,
        Source::Envelope(mandate) => Some(Account::Envelope(mandate)),
    }
}
