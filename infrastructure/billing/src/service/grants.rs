//! Credits coming in, running out, being taken back; and what an organisation has.

use std::collections::BTreeMap;

use backlot_foundation_db::WriteTx;
use backlot_foundation_events::{EventMeta, outbox};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::billing as events;
use backlot_infrastructure_api::{GrantId, OrganisationId};

use super::by_hand::{ByHand, Deed, write_down};
use super::{Service, check_amount, retried};
use crate::error::Error;
use crate::ledger::posting::moved;
use crate::ledger::{Account, EntryKind, GrantKind, Lot, burn};
use crate::store;
use crate::store::grants::{GrantRow, Uses};
use crate::store::ledger::{Ledger, TransactionRow};

/// Where most grants stand in the order of burning.
pub(crate) const PRIORITY_DEFAULT: i32 = 100;
/// Longest reason of a grant, in characters.
const REASON_CHARS_MAX: usize = 200;
/// Longest reference of a source, in bytes.
const SOURCE_REF_BYTES_MAX: usize = 64;

/// Credits to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantOrder {
    /// To whom.
    pub organisation: OrganisationId,
    /// Given or bought.
    pub kind: GrantKind,
    /// What gives: `sign_up`, `invoice`, `staff`.
    pub source: &'static str,
    /// Which of those. A source gives once: the same order again gives the same grant.
    pub source_ref: String,
    /// Smaller burns first.
    pub priority: i32,
    /// How much.
    pub amount_micro: i64,
    /// When it runs out.
    pub expires_at: Option<Timestamp>,
    /// What for, for people.
    pub reason: String,
}

impl GrantOrder {
    /// Whether this very order made that grant: the same reference with other terms is another order.
    fn made(&self, row: &GrantRow) -> bool {
        row.kind == self.kind
            && row.amount_micro == self.amount_micro
            && row.expires_at == self.expires_at
            && row.reason == self.reason
    }
}

/// A grant and what became of it.
#[derive(Debug, Clone)]
pub struct GrantView {
    /// Which.
    pub id: GrantId,
    /// Given or bought.
    pub kind: GrantKind,
    /// What gave it.
    pub source: String,
    /// What for.
    pub reason: String,
    /// What was given.
    pub amount_micro: i64,
    /// What may be used, envelopes included.
    pub available_micro: i64,
    /// What open holds have taken.
    pub held_micro: i64,
    /// What was spent.
    pub spent_micro: i64,
    /// What ran out unused.
    pub expired_micro: i64,
    /// What was taken back unused.
    pub revoked_micro: i64,
    /// Not to be used before.
    pub effective_at: Timestamp,
    /// When it runs out.
    pub expires_at: Option<Timestamp>,
    /// Until when what came back after that may be used.
    pub returned_until: Option<Timestamp>,
    /// When it was taken back. What open holds return to it from then on is taken back, too.
    pub revoked_at: Option<Timestamp>,
    /// When it was given.
    pub created_at: Timestamp,
}

/// Why unused credits leave a grant.
#[derive(Clone, Copy)]
pub(super) enum Reduced<'a> {
    /// They ran out.
    Expired,
    /// Somebody takes the grant back.
    Revoked(&'a ByHand),
    /// They came back to a grant that had been taken back.
    CameBack,
}

/// What an organisation has, in micro-credits.
#[derive(Debug, Clone, Default)]
pub struct Balance {
    /// What may be used now, envelopes included.
    pub available_micro: i64,
    /// What open holds have taken.
    pub held_micro: i64,
    /// What was spent, less what was given back.
    pub spent_micro: i64,
    /// What was ever given.
    pub granted_micro: i64,
    /// Each grant, in the order in which they burn.
    pub grants: Vec<GrantView>,
}

impl Service {
    /// Gives credits by the hand of `staff`, a person as the token names them, which the audit log tells. The same
    /// source gives once.
    ///
    /// # Errors
    /// An unknown organisation, an amount out of range, an expiry in the past, or a source that gave on other terms.
    pub async fn grant(&self, order: &GrantOrder, staff: &str) -> Result<GrantId, Error> {
        check_amount(order.amount_micro, "/amount_micro")?;
        if order.amount_micro == 0 {
            return Err(Error::AmountOutOfRange { pointer: "/amount_micro" });
        }
        if order.reason.chars().count() > REASON_CHARS_MAX {
            let message = format!("must have at most {REASON_CHARS_MAX} characters");
            return Err(Error::Invalid { pointer: "/reason", message });
        }
        if order.source_ref.is_empty() || order.source_ref.len() > SOURCE_REF_BYTES_MAX {
            let message = format!("must have 1 to {SOURCE_REF_BYTES_MAX} bytes");
            return Err(Error::Invalid { pointer: "/reference", message });
        }
        retried(|| self.grant_once(order, staff)).await
    }

    async fn grant_once(&self, order: &GrantOrder, staff: &str) -> Result<GrantId, Error> {
        let tx = self.db().begin_write().await?;
        let mut ledger = store::ledger::lock(&tx, order.organisation).await?;
        if let Some(given) = given_before(&tx, order).await? {
            return Ok(given);
        }
        let now = self.now();
        let grant = give_new(&tx, &mut ledger, now, order).await?;
        let deed = Deed {
            organisation: order.organisation,
            staff,
            action: "credits.granted",
            subject: grant.to_string(),
            amount_micro: order.amount_micro,
            reason: Some(&order.reason),
        };
        write_down(&tx, now, deed).await?;
        tx.commit().await?;
        Ok(grant)
    }

    /// Takes back what is unused of a grant, wherever it lies, and what comes back to it later, from holds that are
    /// open now or by refunds. What is held or spent stays. The audit log tells by whom and why. Doing it again
    /// changes nothing.
    ///
    /// # Errors
    /// An unknown grant, or a reason that is none.
    pub async fn revoke_grant(
        &self,
        organisation: OrganisationId,
        grant: GrantId,
        by: &ByHand,
    ) -> Result<i64, Error> {
        by.validate()?;
        retried(|| self.reduce_once(organisation, grant, Reduced::Revoked(by))).await
    }

    /// Moves what has run out to `breakage`. It cannot be used from its expiry on anyway.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire_grants(&self, limit: i64) -> Result<usize, Error> {
        let expired = store::grants::expired(self.db().read(), self.now(), limit).await?;
        let mut closed = 0;
        for (organisation, grant) in &expired {
            match retried(|| self.reduce_once(*organisation, *grant, Reduced::Expired)).await {
                Ok(_) => closed += 1,
                // One that cannot be closed must not keep the others: the next round tries it again.
                Err(error) => tracing::error!(%error, %grant, "a grant that ran out could not be closed"),
            }
        }
        Ok(closed)
    }

    /// Closes a grant that ran out, or takes it back by somebody's hand.
    async fn reduce_once(
        &self,
        organisation: OrganisationId,
        grant: GrantId,
        why: Reduced<'_>,
    ) -> Result<i64, Error> {
        let tx = self.db().begin_write().await?;
        let mut ledger = store::ledger::lock(&tx, organisation).await?;
        let now = self.now();
        let row = store::grants::find(&*tx, grant).await?;
        let row = row.filter(|row| row.organisation == organisation).ok_or(Error::Unknown("grant"))?;
        // Something may have come back since the sweeper looked.
        if matches!(why, Reduced::Expired) && row.ends_at().is_none_or(|end| now < end) {
            return Ok(0);
        }
        let amount_micro = reduce_in(&tx, &mut ledger, now, &row, why).await?;
        let mut is_changed = amount_micro > 0;
        if let Reduced::Revoked(by) = why
            && store::grants::mark_revoked(&tx, grant, now).await?
        {
            is_changed = true;
            let deed = Deed {
                organisation,
                staff: &by.staff,
                action: "credits.revoked",
                subject: grant.to_string(),
                amount_micro,
                reason: Some(&by.reason),
            };
            write_down(&tx, now, deed).await?;
        }
        if is_changed {
            tx.commit().await?;
        }
        Ok(amount_micro)
    }

    /// What an organisation has, from the snapshot.
    ///
    /// # Errors
    /// An unknown organisation.
    pub async fn balance(&self, organisation: OrganisationId) -> Result<Balance, Error> {
        let (connection, now) = (self.db().read(), self.now());
        if !store::ledger::exists(connection, organisation).await? {
            return Err(Error::UnknownOrganisation(organisation));
        }
        let mut uses = uses(&store::checks::balances(connection, organisation).await?);
        let mut rows = store::grants::of_organisation(connection, organisation).await?;
        burn::sort_by_burn_order(&mut rows, lot_of);
        let mut balance = Balance::default();
        for row in rows {
            let mut used = uses.remove(&row.id).unwrap_or_default();
            used.revoked_micro = row.amount_micro
                - (used.available_micro + used.held_micro + used.spent_micro + used.expired_micro);
            let is_usable = row.effective_at <= now && row.ends_at().is_none_or(|end| now < end);
            balance.available_micro += if is_usable { used.available_micro } else { 0 };
            balance.held_micro += used.held_micro;
            balance.spent_micro += used.spent_micro;
            balance.granted_micro += row.amount_micro;
            balance.grants.push(grant_view(row, used));
        }
        Ok(balance)
    }

    /// The newest transactions with numbers below `before`, newest first.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn transactions(
        &self,
        organisation: OrganisationId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<TransactionRow>, Error> {
        let connection = self.db().read();
        let last = match before {
            Some(before) => before.saturating_sub(1),
            None => store::ledger::last_number(connection, organisation).await?,
        };
        let first = last.saturating_sub(limit - 1).max(1);
        let mut rows = store::ledger::transactions(connection, organisation, first, last).await?;
        rows.reverse();
        Ok(rows)
    }
}

/// Moves what is unused of a grant, wherever it lies, to where it goes. Inside a transaction that has locked the ledger;
/// answers how much it was.
pub(super) async fn reduce_in(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    row: &GrantRow,
    why: Reduced<'_>,
) -> Result<i64, Error> {
    let (organisation, grant) = (row.organisation, row.id);
    let (kind, to, reason) = match why {
        Reduced::Expired => (EntryKind::GrantExpired, Account::Breakage, "expired"),
        Reduced::Revoked(_) | Reduced::CameBack => (EntryKind::GrantRevoked, funding(row.kind), "revoked"),
    };
    let mut lines = Vec::new();
    for (account, amount_micro) in store::grants::unused(&**tx, organisation, grant).await? {
        let from = Account::parse(&account).ok_or_else(|| store::unreadable("account", &account))?;
        lines.extend(moved(from, to, grant, amount_micro));
    }
    let amount_micro = lines.iter().map(|line| line.amount_micro.max(0)).sum();
    if amount_micro == 0 {
        return Ok(0);
    }
    store::ledger::post_lines(tx, ledger, now, &grant.to_string(), kind, lines).await?;
    let event = events::GrantReduced {
        grant_id: grant,
        organisation_id: organisation,
        kind: credit_kind(row.kind),
        amount_micro,
        reason: reason.to_owned(),
    };
    outbox::publish(tx, meta(organisation, grant, now), &event).await?;
    Ok(amount_micro)
}

/// Gives credits inside a transaction that has locked the ledger. The same source gives once.
pub(crate) async fn grant_in(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    order: &GrantOrder,
) -> Result<GrantId, Error> {
    match given_before(tx, order).await? {
        Some(given) => Ok(given),
        None => give_new(tx, ledger, now, order).await,
    }
}

/// The grant that this source gave before.
async fn given_before(tx: &WriteTx, order: &GrantOrder) -> Result<Option<GrantId>, Error> {
    let organisation = order.organisation;
    let given = store::grants::find_by_source(&**tx, organisation, order.source, &order.source_ref).await?;
    match given {
        None => Ok(None),
        Some(row) if order.made(&row) => Ok(Some(row.id)),
        Some(_) => Err(Error::KeyReused),
    }
}

async fn give_new(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    order: &GrantOrder,
) -> Result<GrantId, Error> {
    let organisation = ledger.organisation;
    if order.expires_at.is_some_and(|expiry| expiry <= now) {
        let message = "must lie in the future".to_owned();
        return Err(Error::Invalid { pointer: "/expires_at", message });
    }
    let row = GrantRow {
        id: GrantId::generate(),
        organisation,
        kind: order.kind,
        source: order.source.to_owned(),
        source_ref: order.source_ref.clone(),
        priority: order.priority,
        amount_micro: order.amount_micro,
        effective_at: now,
        expires_at: order.expires_at,
        returned_until: None,
        revoked_at: None,
        created_at: now,
        reason: order.reason.clone(),
    };
    store::grants::insert(tx, &row).await?;
    let lines = moved(funding(row.kind), Account::Grant(row.id), row.id, row.amount_micro).to_vec();
    store::ledger::post_lines(tx, ledger, now, &row.id.to_string(), EntryKind::Grant, lines).await?;
    let event = events::GrantCreated {
        grant_id: row.id,
        organisation_id: organisation,
        kind: credit_kind(row.kind),
        source: row.source,
        amount_micro: row.amount_micro,
        expires_at_us: row.expires_at.map(Timestamp::micros),
    };
    outbox::publish(tx, meta(organisation, row.id, now), &event).await?;
    Ok(row.id)
}

/// Who pays for credits of this kind.
const fn funding(kind: GrantKind) -> Account {
    match kind {
        GrantKind::Promotional => Account::PromoExpense,
        GrantKind::Paid => Account::CashClearing,
    }
}

const fn credit_kind(kind: GrantKind) -> events::CreditKind {
    match kind {
        GrantKind::Promotional => events::CreditKind::Promotional,
        GrantKind::Paid => events::CreditKind::Paid,
    }
}

fn meta(organisation: OrganisationId, grant: GrantId, time: Timestamp) -> EventMeta {
    EventMeta {
        subject: grant.to_string(),
        organisation: organisation.to_string(),
        actor: String::new(),
        time,
    }
}

fn lot_of(row: &GrantRow) -> Lot {
    Lot {
        grant: row.id,
        kind: row.kind,
        priority: row.priority,
        effective_at: row.effective_at,
        expires_at: row.ends_at(),
        created_at: row.created_at,
        available_micro: row.amount_micro,
    }
}

/// What became of each grant, from balances by account and grant.
pub(crate) fn uses(balances: &BTreeMap<(Account, Option<GrantId>), i64>) -> BTreeMap<GrantId, Uses> {
    let mut uses: BTreeMap<GrantId, Uses> = BTreeMap::new();
    for ((account, grant), amount_micro) in balances {
        let Some(grant) = grant else { continue };
        let used = uses.entry(*grant).or_default();
        match account {
            Account::Grant(_) | Account::Envelope(_) => used.available_micro += amount_micro,
            Account::Hold => used.held_micro += amount_micro,
            Account::Earnings | Account::CreatorPayable => used.spent_micro += amount_micro,
            Account::Breakage => used.expired_micro += amount_micro,
            Account::PromoExpense
            | Account::CashClearing
            | Account::Debt
            | Account::ProviderCost
            | Account::ProviderLoss => {}
        }
    }
    uses
}

fn grant_view(row: GrantRow, used: Uses) -> GrantView {
    GrantView {
        id: row.id,
        kind: row.kind,
        source: row.source,
        reason: row.reason,
        amount_micro: row.amount_micro,
        available_micro: used.available_micro,
        held_micro: used.held_micro,
        spent_micro: used.spent_micro,
        expired_micro: used.expired_micro,
        revoked_micro: used.revoked_micro,
        effective_at: row.effective_at,
        expires_at: row.expires_at,
        returned_until: row.returned_until,
        revoked_at: row.revoked_at,
        created_at: row.created_at,
    }
}
