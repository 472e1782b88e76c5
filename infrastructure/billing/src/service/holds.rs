//! Hold, settle, void, refund: the two phases of a run's credits.

use backlot_foundation_db::WriteTx;
use backlot_foundation_events::{EventMeta, outbox};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::billing as events;
use backlot_infrastructure_api::{HoldId, MandateId, OrganisationId, ProjectId, UserId};
use backlot_infrastructure_mandates::{Allowance, Chain};
use sha2::{Digest, Sha256};
use std::time::Duration;

use super::authority::{CheckOrder, authorise, envelope_of};
use super::returns::Returns;
use super::{Service, check_amount, retried};
use crate::error::Error;
use crate::ledger::posting::{absorbed, moved};
use crate::ledger::{Account, EntryKind, GrantKind, Part};
use crate::ledger::{settle, take};
use crate::store;
use crate::store::holds::{Hold, HoldState};

/// Longest reason, in bytes; it is a word such as `succeeded` or a class of failure.
const REASON_BYTES_MAX: usize = 64;
/// Longest name of a tool, in bytes.
const TOOL_BYTES_MAX: usize = 128;
/// Longest name of an action, in bytes.
const ACTION_BYTES_MAX: usize = 64;
/// Longest time until a hold is overdue.
const OVERDUE_AFTER_MAX: Duration = Duration::from_secs(30 * 86_400);

/// A run asks for credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldOrder {
    /// The run; also the name of the hold.
    pub run: HoldId,
    /// Whose credits.
    pub organisation: OrganisationId,
    /// For which project; none: for the organisation itself.
    pub project: Option<ProjectId>,
    /// Who runs.
    pub actor: UserId,
    /// Under which mandate; none: the actor's nearest that allows it.
    pub mandate: Option<MandateId>,
    /// What is done.
    pub action: String,
    /// With which tool; may be empty.
    pub tool: String,
    /// How much; also taken as the price of one use.
    pub amount_micro: i64,
    /// When somebody should be told that it is still open; zero: as configured.
    pub overdue_after: Duration,
}

impl HoldOrder {
    fn validate(&self) -> Result<(), Error> {
        check_amount(self.amount_micro, "/amount_micro")?;
        if self.action.is_empty() || self.action.len() > ACTION_BYTES_MAX {
            let message = format!("must have 1 to {ACTION_BYTES_MAX} bytes");
            return Err(Error::Invalid { pointer: "/action", message });
        }
        if self.tool.len() > TOOL_BYTES_MAX {
            let message = format!("must have at most {TOOL_BYTES_MAX} bytes");
            return Err(Error::Invalid { pointer: "/tool", message });
        }
        Ok(())
    }

    fn check_order(&self) -> CheckOrder {
        CheckOrder {
            organisation: self.organisation,
            actor: self.actor,
            mandate: self.mandate,
            action: self.action.clone(),
            project: self.project,
            tool: self.tool.clone(),
            unit_price_micro: self.amount_micro,
            amount_micro: self.amount_micro,
        }
    }

    /// What a repeated call must agree with. When to alert is no part of it.
    fn body_hash(&self) -> String {
        let text = |id: Option<String>| id.unwrap_or_default();
        let body = [
            self.organisation.to_string(),
            text(self.project.map(|id| id.to_string())),
            self.actor.to_string(),
            text(self.mandate.map(|id| id.to_string())),
            self.action.clone(),
            self.tool.clone(),
            self.amount_micro.to_string(),
        ];
        hex::encode(Sha256::digest(body.join("\n").as_bytes()))
    }
}

/// A run is over: what it is charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleOrder {
    /// The run.
    pub run: HoldId,
    /// What it is charged, at most what it held.
    pub amount_micro: i64,
    /// What we pay ourselves.
    pub absorbed_micro: i64,
    /// `succeeded`, or the class of failure.
    pub reason: String,
}

/// What ends a hold.
enum Ending<'a> {
    Settle(&'a SettleOrder),
    Void { run: HoldId, reason: &'a str, absorbed_micro: i64 },
}

impl Ending<'_> {
    const fn run(&self) -> HoldId {
        match self {
            Self::Settle(order) => order.run,
            Self::Void { run, .. } => *run,
        }
    }

    /// State, charge, absorbed, reason.
    fn outcome(&self) -> (HoldState, i64, i64, &str) {
        match self {
            Self::Settle(order) => {
                (HoldState::Settled, order.amount_micro, order.absorbed_micro, &order.reason)
            }
            Self::Void { reason, absorbed_micro, .. } => (HoldState::Voided, 0, *absorbed_micro, reason),
        }
    }
}

impl Service {
    /// Checks the chain of mandates and takes the amount from the ordered grants and every envelope of the
    /// chain, in one transaction. The same call again gives the same answer.
    ///
    /// # Errors
    /// A refusal of the chain, too few credits, or a hold of that run on other terms; nothing is held then.
    pub async fn hold(&self, order: &HoldOrder) -> Result<Hold, Error> {
        order.validate()?;
        retried(|| self.hold_once(order)).await
    }

    async fn hold_once(&self, order: &HoldOrder) -> Result<Hold, Error> {
        let tx = self.db().begin_write().await?;
        let mut ledger = store::ledger::lock(&tx, order.organisation).await?;
        let now = self.now();
        let body_hash = order.body_hash();
        if let Some(hold) = store::holds::find(&*tx, order.run).await? {
            let is_same = hold.body_hash == body_hash;
            return if is_same { Ok(hold) } else { Err(Error::HoldConflict(order.run)) };
        }
        if self.directory().is_closed(&tx, order.organisation).await? {
            return Err(Error::OrganisationClosed(order.organisation));
        }
        let (chain, allowance) = authorise(&*tx, now, &order.check_order()).await?;
        let parts = take_parts(&tx, now, order, &allowance).await?;
        let hold = self.new_hold(order, body_hash, &chain, parts, now);
        let lines =
            hold.parts.iter().flat_map(|part| moved(part.source, Account::Hold, part.grant, part.held_micro));
        let (subject, lines) = (hold.run.to_string(), lines.collect());
        store::ledger::post_lines(&tx, &mut ledger, now, &subject, EntryKind::Hold, lines).await?;
        for link in chain.links().iter().filter(|link| allowance.charge.caps.contains(&link.mandate.id)) {
            let cause = hold.run.to_string();
            store::mandates::count(&tx, &cause, &link.mandate, order.amount_micro, now).await?;
        }
        store::holds::insert(&tx, &hold).await?;
        publish_created(&tx, &hold).await?;
        tx.commit().await?;
        Ok(hold)
    }

    fn new_hold(
        &self,
        order: &HoldOrder,
        body_hash: String,
        chain: &Chain,
        parts: Vec<Part>,
        now: Timestamp,
    ) -> Hold {
        let configured = Duration::from_secs(self.config().hold_overdue_after_s);
        let overdue_after = if order.overdue_after.is_zero() { configured } else { order.overdue_after };
        Hold {
            run: order.run,
            organisation: order.organisation,
            project: order.project,
            actor: order.actor,
            mandate: chain.leaf().id,
            chain: chain.ids(),
            action: order.action.clone(),
            tool: order.tool.clone(),
            state: HoldState::Held,
            held_micro: order.amount_micro,
            settled_micro: 0,
            refunded_micro: 0,
            absorbed_micro: 0,
            reason: String::new(),
            body_hash,
            overdue_at: now.plus(overdue_after.min(OVERDUE_AFTER_MAX)),
            created_at: now,
            ended_at: None,
            parts,
        }
    }

    /// Charges what was used, at most what was held, and returns the rest in the same transaction. The
    /// same call again gives the same answer.
    ///
    /// # Errors
    /// More than was held (the hold stays open), or a hold that ended in another way.
    pub async fn settle(&self, order: &SettleOrder) -> Result<Hold, Error> {
        check_amount(order.amount_micro, "/amount_micro")?;
        check_amount(order.absorbed_micro, "/absorbed_micro")?;
        check_reason(&order.reason)?;
        retried(|| self.end_once(Ending::Settle(order))).await
    }

    /// Returns everything. The same call again gives the same answer.
    ///
    /// # Errors
    /// A hold that was settled.
    pub async fn void(&self, run: HoldId, reason: &str, absorbed_micro: i64) -> Result<Hold, Error> {
        check_amount(absorbed_micro, "/absorbed_micro")?;
        check_reason(reason)?;
        retried(|| self.end_once(Ending::Void { run, reason, absorbed_micro })).await
    }

    async fn end_once(&self, ending: Ending<'_>) -> Result<Hold, Error> {
        let run = ending.run();
        let tx = self.db().begin_write().await?;
        let organisation = store::holds::organisation_of(&*tx, run).await?.ok_or(Error::UnknownHold(run))?;
        let mut ledger = store::ledger::lock(&tx, organisation).await?;
        let now = self.now();
        let mut hold = store::holds::find(&*tx, run).await?.ok_or(Error::UnknownHold(run))?;
        let (state, amount_micro, absorbed_micro, reason) = ending.outcome();
        if hold.state != HoldState::Held {
            let is_same = hold.state == state && hold.settled_micro == amount_micro;
            let Hold { state, settled_micro, .. } = hold;
            return if is_same { Ok(hold) } else { Err(Error::HoldEnded { run, state, settled_micro }) };
        }
        let spent = settle(&hold.parts, amount_micro)
            .map_err(|_| Error::SettleExceedsHold { held_micro: hold.held_micro })?;
        let (mut lines, mut returns) = (Vec::new(), Returns::new(Account::Hold, hold.created_at));
        for (part, spent_micro) in hold.parts.iter_mut().zip(spent) {
            part.settled_micro = spent_micro;
            lines.extend(moved(Account::Hold, Account::Earnings, part.grant, spent_micro));
            let rest_micro = part.held_micro - spent_micro;
            returns.give_back(&tx, &mut ledger, now, part, rest_micro).await?;
        }
        lines.extend(returns.take_lines());
        lines.extend(absorbed(absorbed_micro));
        let kind = if state == HoldState::Settled { EntryKind::Settle } else { EntryKind::Void };
        store::ledger::post_lines(&tx, &mut ledger, now, &run.to_string(), kind, lines).await?;
        returns.close(&tx, &mut ledger, now).await?;
        store::mandates::uncount(&tx, &run.to_string(), hold.held_micro - amount_micro).await?;
        hold.state = state;
        hold.settled_micro = amount_micro;
        hold.absorbed_micro = absorbed_micro;
        hold.reason = reason.to_owned();
        hold.ended_at = Some(now);
        store::holds::update(&tx, &hold).await?;
        publish_ended(&tx, &hold, now).await?;
        tx.commit().await?;
        Ok(hold)
    }

    /// A hold of this organisation.
    ///
    /// # Errors
    /// Where there is none, or it is another organisation's.
    pub async fn get_hold(&self, organisation: OrganisationId, run: HoldId) -> Result<Hold, Error> {
        self.hold_of(self.db().read(), organisation, run).await
    }

    /// A hold of any organisation, for other systems.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn find_hold(&self, run: HoldId) -> Result<Hold, Error> {
        store::holds::find(self.db().read(), run).await?.ok_or(Error::UnknownHold(run))
    }

    pub(super) async fn hold_of(
        &self,
        connection: &impl sea_orm::ConnectionTrait,
        organisation: OrganisationId,
        run: HoldId,
    ) -> Result<Hold, Error> {
        let hold = store::holds::find(connection, run).await?;
        hold.filter(|hold| hold.organisation == organisation).ok_or(Error::UnknownHold(run))
    }

    /// Tells, once, of each hold that is open for too long. Never ends one.
    ///
    /// # Errors
    /// The database's.
    pub async fn alert_overdue(&self, limit: i64) -> Result<usize, Error> {
        let now = self.now();
        let (open, late) = store::holds::count_open(self.db().read(), now).await?;
        metrics::gauge!("backlot_billing_holds_open").set(open as f64);
        metrics::gauge!("backlot_billing_holds_overdue").set(late as f64);
        let overdue = store::holds::overdue(self.db().read(), now, limit).await?;
        for run in &overdue {
            let tx = self.db().begin_write().await?;
            let hold = store::holds::find(&*tx, *run).await?.ok_or(Error::UnknownHold(*run))?;
            if store::holds::mark_alerted(&tx, *run, now).await? {
                let event = events::HoldOverdue {
                    run_id: hold.run,
                    organisation_id: hold.organisation,
                    held_micro: hold.held_micro,
                    created_at_us: hold.created_at.micros(),
                };
                outbox::publish(&tx, meta(&hold, now), &event).await?;
                tx.commit().await?;
                tracing::warn!(run = %hold.run, held_micro = hold.held_micro, "a hold is overdue");
            }
        }
        Ok(overdue.len())
    }
}

fn check_reason(reason: &str) -> Result<(), Error> {
    if reason.len() <= REASON_BYTES_MAX {
        return Ok(());
    }
    let message = format!("must have at most {REASON_BYTES_MAX} bytes");
    Err(Error::Invalid { pointer: "/reason", message })
}

/// Takes the amount from the account that pays, in the order in which grants burn.
async fn take_parts(
    tx: &WriteTx,
    now: Timestamp,
    order: &HoldOrder,
    allowance: &Allowance,
) -> Result<Vec<Part>, Error> {
    let envelope = envelope_of(allowance.charge.source);
    let lots = store::ledger::lots(&**tx, order.organisation, envelope).await?;
    let taken = take(now, lots, order.amount_micro).map_err(|short| Error::InsufficientCredits {
        needed_micro: order.amount_micro,
        available_micro: short.available_micro,
    })?;
    let part = |taken: crate::ledger::Taken| Part {
        source: envelope.unwrap_or(Account::Grant(taken.grant)),
        grant: taken.grant,
        kind: taken.kind,
        held_micro: taken.amount_micro,
        settled_micro: 0,
        refunded_micro: 0,
    };
    Ok(taken.into_iter().map(part).collect())
}

pub(super) fn meta(hold: &Hold, time: Timestamp) -> EventMeta {
    EventMeta {
        subject: hold.run.to_string(),
        organisation: hold.organisation.to_string(),
        actor: hold.actor.to_string(),
        time,
    }
}

/// Sums over the parts of promotional grants, and over the others.
fn by_kind(hold: &Hold, amount: impl Fn(&Part) -> i64) -> (i64, i64) {
    hold.parts.iter().fold((0, 0), |(promotional, paid), part| match part.kind {
        GrantKind::Promotional => (promotional + amount(part), paid),
        GrantKind::Paid => (promotional, paid + amount(part)),
    })
}

async fn publish_created(tx: &WriteTx, hold: &Hold) -> Result<(), Error> {
    let (held_promotional_micro, held_paid_micro) = by_kind(hold, |part| part.held_micro);
    let event = events::HoldCreated {
        run_id: hold.run,
        organisation_id: hold.organisation,
        project_id: hold.project,
        mandate_id: hold.mandate,
        chain_length: u32::try_from(hold.chain.len()).unwrap_or(u32::MAX),
        action: hold.action.clone(),
        tool: hold.tool.clone(),
        held_micro: hold.held_micro,
        held_promotional_micro,
        held_paid_micro,
    };
    Ok(outbox::publish(tx, meta(hold, hold.created_at), &event).await?)
}

async fn publish_ended(tx: &WriteTx, hold: &Hold, now: Timestamp) -> Result<(), Error> {
    if hold.state == HoldState::Voided {
        let event = events::HoldVoided {
            run_id: hold.run,
            organisation_id: hold.organisation,
            project_id: hold.project,
            mandate_id: hold.mandate,
            tool: hold.tool.clone(),
            held_micro: hold.held_micro,
            absorbed_micro: hold.absorbed_micro,
            reason: hold.reason.clone(),
        };
        return Ok(outbox::publish(tx, meta(hold, now), &event).await?);
    }
    let (settled_promotional_micro, settled_paid_micro) = by_kind(hold, |part| part.settled_micro);
    let event = events::HoldSettled {
        run_id: hold.run,
        organisation_id: hold.organisation,
        project_id: hold.project,
        mandate_id: hold.mandate,
        tool: hold.tool.clone(),
        held_micro: hold.held_micro,
        settled_micro: hold.settled_micro,
        settled_promotional_micro,
        settled_paid_micro,
        absorbed_micro: hold.absorbed_micro,
        reason: hold.reason.clone(),
    };
    Ok(outbox::publish(tx, meta(hold, now), &event).await?)
}
