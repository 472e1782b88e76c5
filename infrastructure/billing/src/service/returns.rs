//! Credits that come back: where they go, and until when they may be used.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::GrantId;

use super::grants::reduce_in;
use super::revoke;
use crate::error::Error;
use crate::ledger::posting::moved;
use crate::ledger::{Account, Part, Posting, kept_until};
use crate::store;
use crate::store::ledger::Ledger;

/// The lines that return a part's credits to where they came from. Where that envelope has ended, they
/// go where its unspent credits went, and its ancestors' caps count less. Where the grant has run out since the run
/// took them at `held_at`, they may be used for a while all the same.
pub(super) async fn give_back(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    held_at: Timestamp,
    from: Account,
    part: &Part,
    amount_micro: i64,
) -> Result<Vec<Posting>, Error> {
    if amount_micro == 0 {
        return Ok(Vec::new());
    }
    keep(tx, ledger, now, held_at, part.grant).await?;
    let to = match part.source {
        Account::Envelope(mandate) => {
            revoke::return_through(tx, ledger.organisation, mandate, part.grant, amount_micro).await?
        }
        source => source,
    };
    Ok(moved(from, to, part.grant, amount_micro).to_vec())
}

/// Lets a grant that ran out be used again for what comes back to it, and for nothing else: what lapsed is closed
/// first, in the same transaction, wherever the sweeper is.
async fn keep(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    held_at: Timestamp,
    grant: GrantId,
) -> Result<(), Error> {
    let row = store::grants::find(&**tx, grant).await?.ok_or(Error::Unknown("grant"))?;
    let Some(until) = kept_until(row.expires_at, row.returned_until, held_at, now) else { return Ok(()) };
    if row.ends_at().is_some_and(|end| end <= now) {
        reduce_in(tx, ledger, now, &row, None).await?;
    }
    Ok(store::grants::keep_until(tx, grant, until).await?)
}
