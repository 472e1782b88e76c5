//! The rules of billing and mandates: what may happen, in one transaction each.

pub(crate) mod authority;
mod by_hand;
mod checks;
pub(crate) mod give;
mod grants;
mod holds;
mod refunds;
mod renewals;
mod returns;
pub(crate) mod revoke;
pub(crate) mod subscriptions;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_time::{SharedClock, Timestamp};
use backlot_infrastructure_api::OrganisationId;
use tokio::sync::Semaphore;

use crate::Config;
use crate::directory::{Directory, IdentityDirectory};
use crate::error::Error;
use crate::plans::{ManualProvider, NoSpace, PaymentProvider, SpaceGiver};
use crate::store;
use crate::store::keys::{Key, Used};

pub use authority::{CheckOrder, CheckOutcome};
pub use by_hand::ByHand;
pub use checks::LedgerReport;
pub use give::{GiveOrder, MandateView};
pub(crate) use grants::PRIORITY_DEFAULT;
pub use grants::{Balance, GrantOrder, GrantView};
pub use holds::{HoldOrder, SettleOrder};

/// Largest amount of one step: 1,000,000,000 credits.
pub(crate) const AMOUNT_MICRO_MAX: i64 = 1_000_000_000_000_000;
/// How long an idempotency key is remembered: longer than anybody repeats an order.
const KEYS_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Times that a transaction is run where another one is in its way.
const TRIES_MAX: u32 = 6;

/// Billing and mandates. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    deps: Deps,
    config: Config,
    clock: SharedClock,
    /// Proofs that somebody asked for.
    proofs: Semaphore,
}

/// Whom billing asks.
#[derive(Clone)]
pub struct Deps {
    /// Knows members and projects.
    pub directory: Arc<dyn Directory>,
    /// Takes the money for plans.
    pub provider: Arc<dyn PaymentProvider>,
    /// Gives the space that comes with a plan.
    pub space: Arc<dyn SpaceGiver>,
}

impl Default for Deps {
    /// Identity in the same database, the operator who takes the money by other means, and media elsewhere.
    fn default() -> Self {
        Self {
            directory: Arc::new(IdentityDirectory),
            provider: Arc::new(ManualProvider),
            space: Arc::new(NoSpace),
        }
    }
}

impl Service {
    /// A service over infrastructure's database.
    #[must_use]
    pub fn new(db: Db, deps: Deps, config: Config, clock: SharedClock) -> Self {
        Self { inner: Arc::new(Inner { db, deps, config, clock, proofs: Semaphore::new(1) }) }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn directory(&self) -> &dyn Directory {
        self.inner.deps.directory.as_ref()
    }

    pub(crate) fn space(&self) -> &dyn SpaceGiver {
        self.inner.deps.space.as_ref()
    }

    pub(crate) fn provider(&self) -> &dyn PaymentProvider {
        self.inner.deps.provider.as_ref()
    }
}

/// Runs a transaction again where another one was in its way. Each run begins from nothing.
pub(crate) async fn retried<T, F>(mut run: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..TRIES_MAX {
        match run().await {
            Err(error) if error.is_worth_another_try() => {
                tracing::debug!(%error, "a transaction is run again");
            }
            outcome => return outcome,
        }
    }
    run().await
}

/// What a key's order made before; nothing where there is no key, or it is new.
pub(crate) async fn used(
    tx: &WriteTx,
    organisation: OrganisationId,
    key: Option<&Key>,
) -> Result<Option<String>, Error> {
    let Some(key) = key else { return Ok(None) };
    match store::keys::find(tx, organisation, key).await? {
        None => Ok(None),
        Some(Used::Same(subject)) => Ok(Some(subject)),
        Some(Used::Other) => Err(Error::KeyReused),
    }
}

impl Service {
    /// Forgets keys that nobody repeats any more; how many there were.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_keys(&self, limit: i64) -> Result<u64, Error> {
        let tx = self.db().begin_write().await?;
        let forgotten = store::keys::delete_before(&tx, self.now().minus(KEYS_KEPT), limit).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

/// Refuses amounts below zero and absurd ones.
pub(crate) const fn check_amount(amount_micro: i64, pointer: &'static str) -> Result<(), Error> {
    if amount_micro < 0 || amount_micro > AMOUNT_MICRO_MAX {
        return Err(Error::AmountOutOfRange { pointer });
    }
    Ok(())
}
