//! Credits that come back: where they go, and until when they may be used.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::GrantId;

use super::grants::{Reduced, reduce_in};
use super::revoke;
use crate::error::Error;
use crate::ledger::posting::moved;
use crate::ledger::{Account, Part, Posting, kept_until};
use crate::store;
use crate::store::grants::GrantRow;
use crate::store::ledger::Ledger;

/// What comes back from one account to where a hold took it from, in one transaction: [`Returns::give_back`] for each
/// part, then the entry with [`Returns::take_lines`], then [`Returns::close`].
pub(super) struct Returns {
    from: Account,
    held_at: Timestamp,
    lines: Vec<Posting>,
    /// Grants that had been taken back before.
    revoked: Vec<GrantRow>,
}

impl Returns {
    /// From `from`, of a hold that was made at `held_at`.
    pub(super) const fn new(from: Account, held_at: Timestamp) -> Self {
        Self { from, held_at, lines: Vec::new(), revoked: Vec::new() }
    }

    /// Returns a part's credits to where they came from. Where that envelope has ended, they go where its unspent
    /// credits went, and its ancestors' caps count less. Where the grant has run out since the run took them, they may
    /// be used for a while all the same; where it was taken back, they may not.
    pub(super) async fn give_back(
        &mut self,
        tx: &WriteTx,
        ledger: &mut Ledger,
        now: Timestamp,
        part: &Part,
        amount_micro: i64,
    ) -> Result<(), Error> {
        if amount_micro == 0 {
            return Ok(());
        }
        let grant = find(tx, part.grant).await?;
        if grant.revoked_at.is_some() {
            self.revoked.push(grant);
        } else {
            keep(tx, ledger, now, self.held_at, &grant).await?;
        }
        let to = match part.source {
            Account::Envelope(mandate) => {
                revoke::return_through(tx, ledger.organisation, mandate, part.grant, amount_micro).await?
            }
            source => source,
        };
        self.lines.extend(moved(self.from, to, part.grant, amount_micro));
        Ok(())
    }

    /// The lines of all that comes back.
    pub(super) fn take_lines(&mut self) -> Vec<Posting> {
        std::mem::take(&mut self.lines)
    }

    /// After the entry with those lines: what came back to a grant that had been taken back is taken back, too.
    pub(super) async fn close(self, tx: &WriteTx, ledger: &mut Ledger, now: Timestamp) -> Result<(), Error> {
        for grant in &self.revoked {
            reduce_in(tx, ledger, now, grant, Reduced::CameBack).await?;
        }
        Ok(())
    }
}

async fn find(tx: &WriteTx, grant: GrantId) -> Result<GrantRow, Error> {
    store::grants::find(&**tx, grant).await?.ok_or(Error::Unknown("grant"))
}

/// Lets a grant that ran out be used again for what comes back to it, and for nothing else: what lapsed is closed
/// first, in the same transaction, wherever the sweeper is.
async fn keep(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    held_at: Timestamp,
    grant: &GrantRow,
) -> Result<(), Error> {
    let until = kept_until(grant.expires_at, grant.returned_until, held_at, now);
    let Some(until) = until else { return Ok(()) };
    reduce_in(tx, ledger, now, grant, Reduced::Expired).await?;
    Ok(store::grants::keep_until(tx, grant.id, until).await?)
}
