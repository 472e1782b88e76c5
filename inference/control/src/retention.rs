//! What control forgets, and when. Rows of jobs that ended are no longer the driver's: whoever runs this, and however
//! often, the same rows go.

use std::{sync::Arc, time::Duration};

use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    limits,
    service::{Inner, Service},
    store,
};

/// How long things are kept after their use, days.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// Inputs of jobs that ended. They may hold what people wrote.
    pub inputs_days: u32,
    /// Jobs that ended, with their attempts.
    pub jobs_days: u32,
    /// Idempotency keys, and never less than their jobs. Where it is more, the key of a deleted job answers `job_deleted`
    /// with the job's id.
    pub keys_days: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            inputs_days: limits::INPUTS_KEPT_DAYS,
            jobs_days: limits::JOBS_KEPT_DAYS,
            keys_days: limits::KEYS_KEPT_DAYS,
        }
    }
}

/// What was forgotten in one go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Inputs of jobs whose rows stay.
    pub inputs: u64,
    /// Jobs with everything of theirs but their keys.
    pub jobs: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// What was spent with third parties on days that are as long over as jobs are kept.
    pub spent: u64,
    /// Machines of pools that are gone for as long as jobs are kept.
    pub machines: u64,
}

pub(crate) fn spawn(service: &Service, tasks: &Tasks) {
    let inner = service.inner.clone();
    tasks.spawn_loop("inference.prune", move |stop| hourly(inner.clone(), stop));
}

async fn hourly(inner: Arc<Inner>, stop: Stop) {
    while stop.sleep(Duration::from_millis(limits::PRUNE_EVERY_MS)).await {
        match stop.unless_stopped(inner.prune()).await {
            None => return,
            Some(Ok(forgotten)) if forgotten == Forgotten::default() => (),
            Some(Ok(forgotten)) => tracing::info!(?forgotten, "old rows were deleted"),
            Some(Err(error)) => tracing::warn!(%error, "old rows could not be deleted; they are tried again"),
        }
    }
}

impl Service {
    /// Forgets what is old enough now. The background does so every hour.
    pub async fn prune(&self) -> Result<Forgotten, Error> {
        self.inner.prune().await
    }
}

impl Inner {
    async fn prune(&self) -> Result<Forgotten, Error> {
        let keep = &self.config.keep;
        let before = |days: u32| self.clock.now().minus(Duration::from_secs(u64::from(days) * 24 * 60 * 60));
        Ok(Forgotten {
            jobs: self.all(Old::Jobs, before(keep.jobs_days)).await?,
            inputs: self.all(Old::Inputs, before(keep.inputs_days)).await?,
            keys: self.all(Old::Keys, before(keep.keys_days)).await?,
            spent: self.all(Old::Spent, before(keep.jobs_days.max(1))).await?,
            machines: self.all(Old::Machines, before(keep.jobs_days.max(1))).await?,
        })
    }

    /// In portions, so that nobody waits long for the database.
    async fn all(&self, what: Old, before: Timestamp) -> Result<u64, Error> {
        let mut forgotten = 0;
        loop {
            let tx = self.db.begin_write().await?;
            let found = match what {
                Old::Jobs => store::delete_jobs(&tx, before, limits::PRUNE_ROWS_MAX).await?,
                Old::Inputs => store::clear_inputs(&tx, before, limits::PRUNE_ROWS_MAX).await?,
                Old::Spent => {
                    let day = before.micros().div_euclid(limits::DAY_US);
                    store::delete_spent(&tx, day, limits::PRUNE_ROWS_MAX).await?
                }
                Old::Machines => store::delete_machines(&tx, before, limits::PRUNE_ROWS_MAX).await?,
                Old::Keys => store::purge_keys(&tx, before, limits::PRUNE_ROWS_MAX).await?,
            };
            tx.commit().await?;
            forgotten += found;
            if found < u64::from(limits::PRUNE_ROWS_MAX) {
                return Ok(forgotten);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Old {
    Jobs,
    Inputs,
    Keys,
    Machines,
    Spent,
}
