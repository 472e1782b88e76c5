//! Ending mandates: what is below ends too, and what is unspent returns exactly once.

use std::collections::VecDeque;

use backlot_foundation_db::WriteTx;
use backlot_foundation_events::{EventMeta, outbox};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::billing as events;
use backlot_infrastructure_api::{GrantId, MandateId, OrganisationId, UserId};
use backlot_infrastructure_mandates::{CHAIN_LINKS_MAX, Envelope, State, may_revoke};

use super::give::write_down;
use super::{Service, retried};
use crate::error::Error;
use crate::ledger::posting::moved;
use crate::ledger::{Account, EntryKind};
use crate::store;
use crate::store::ledger::Ledger;
use crate::store::mandates::MandateRow;

impl Service {
    /// Takes a mandate back, and everything that was given out of it. What is unspent in their envelopes
    /// returns. Revoking what has ended changes nothing.
    ///
    /// # Errors
    /// An unknown mandate, the root, or somebody who stands neither above it nor in it.
    pub async fn revoke(
        &self,
        organisation: OrganisationId,
        actor: UserId,
        id: MandateId,
    ) -> Result<(), Error> {
        retried(|| self.revoke_once(organisation, actor, id)).await
    }

    async fn revoke_once(
        &self,
        organisation: OrganisationId,
        actor: UserId,
        id: MandateId,
    ) -> Result<(), Error> {
        let tx = self.db().begin_write().await?;
        let mut ledger = store::ledger::lock(&tx, organisation).await?;
        let now = self.now();
        let row = store::mandates::find(&*tx, organisation, id).await?.ok_or(Error::Unknown("mandate"))?;
        if row.mandate.parent.is_none() {
            return Err(Error::RootProtected);
        }
        let chain = store::mandates::chain(&*tx, row.mandate.clone(), now).await?;
        if !may_revoke(now, &chain, actor) {
            return Err(Error::RevokeRefused);
        }
        if row.mandate.state == State::Active {
            write_down(&tx, now, actor, "mandate.revoked", &row.mandate).await?;
            end(&tx, &mut ledger, now, row, State::Revoked, Some(actor)).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Ends mandates whose time is over, so that what is unspent in their envelopes returns. They deny
    /// from that moment on anyway.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire_mandates(&self, limit: i64) -> Result<usize, Error> {
        let run_out = store::mandates::run_out(self.db().read(), self.now(), limit).await?;
        let mut ended = 0;
        for (organisation, id) in &run_out {
            match retried(|| self.expire_once(*organisation, *id)).await {
                Ok(()) => ended += 1,
                // One that cannot be ended must not keep the others: the next round tries it again.
                Err(error) => {
                    tracing::error!(%error, mandate = %id, "a mandate that ran out could not be ended")
                }
            }
        }
        Ok(ended)
    }

    async fn expire_once(&self, organisation: OrganisationId, id: MandateId) -> Result<(), Error> {
        let tx = self.db().begin_write().await?;
        let mut ledger = store::ledger::lock(&tx, organisation).await?;
        let now = self.now();
        let row = store::mandates::find(&*tx, organisation, id).await?;
        let is_due = |row: &MandateRow| {
            row.mandate.state == State::Active && row.mandate.expires_at.is_some_and(|expiry| expiry <= now)
        };
        if let Some(row) = row.filter(is_due) {
            end(&tx, &mut ledger, now, row, State::Expired, None).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Ends a mandate and everything below it, returns what is unspent, and tells.
pub(crate) async fn end(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    row: MandateRow,
    state: State,
    by: Option<UserId>,
) -> Result<(), Error> {
    let (organisation, id) = (ledger.organisation, row.mandate.id);
    let mut ended = Vec::new();
    let mut waiting = VecDeque::from([row]);
    while let Some(row) = waiting.pop_front() {
        waiting.extend(store::mandates::children(&**tx, organisation, row.mandate.id).await?);
        store::mandates::end(tx, row.mandate.id, state, now, by).await?;
        ended.push(row);
    }
    let mut lines = Vec::new();
    for row in ended.iter().filter(|row| matches!(row.mandate.envelope, Envelope::Transfer { .. })) {
        let account = Account::Envelope(row.mandate.id);
        for lot in store::ledger::lots(&**tx, organisation, Some(account)).await? {
            let amount = lot.available_micro;
            let to = return_through(tx, organisation, row.mandate.id, lot.grant, amount).await?;
            lines.extend(moved(account, to, lot.grant, amount));
        }
    }
    let returned_micro = lines.iter().map(|line| line.amount_micro.max(0)).sum();
    store::ledger::post_lines(tx, ledger, now, &id.to_string(), EntryKind::TransferReturned, lines).await?;
    store::ledger::raise_mandate_version(tx, organisation).await?;
    let event = events::MandateRevoked {
        mandate_id: id,
        organisation_id: organisation,
        mandate_ids: ended.iter().map(|row| row.mandate.id).collect(),
        reason: store::mandates::state_str(state).to_owned(),
        returned_micro,
    };
    let meta = EventMeta {
        subject: id.to_string(),
        organisation: organisation.to_string(),
        actor: by.map(|by| by.to_string()).unwrap_or_default(),
        time: now,
    };
    Ok(outbox::publish(tx, meta, &event).await?)
}

/// Where credits of this envelope go that are not spent after all: into the envelope while its mandate
/// lives, else to whatever it was funded by, and so on up to the grant. The caps that counted a transfer
/// on the way count less.
pub(crate) async fn return_through(
    tx: &WriteTx,
    organisation: OrganisationId,
    envelope: MandateId,
    grant: GrantId,
    amount_micro: i64,
) -> Result<Account, Error> {
    let mut next = Some(envelope);
    for _ in 0..=CHAIN_LINKS_MAX {
        let Some(id) = next else { return Ok(Account::Grant(grant)) };
        let row = store::mandates::find(&**tx, organisation, id).await?.ok_or(Error::Unknown("mandate"))?;
        if row.mandate.state == State::Active {
            return Ok(Account::Envelope(id));
        }
        store::mandates::uncount(tx, &id.to_string(), amount_micro).await?;
        next = row.funded_by;
    }
    Ok(Account::Grant(grant))
}
