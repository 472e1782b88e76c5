//! The outbox does not grow for ever: what is older than a month is deleted, in commit order, and the position up
//! to which it is gone is remembered, so that a consumer that stands before it is told instead of misled.

use std::time::Duration;

use backlot_foundation_db::{Db, DbError};
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_time::{SharedClock, Timestamp};
use serde::{Deserialize, Serialize};

use crate::outbox;

/// How often old events are looked for. The first time is one interval after the start, so that consumers which were
/// down with the source read on before anything of it goes.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Events deleted in one transaction.
const PRUNE_EVENTS: u32 = 2_000;
/// Days that events are kept where nothing else is configured.
const KEEP_DAYS: u32 = 30;

/// What an operator sets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days that events stay in the outbox. A consumer that was away for longer is refused with `cursor_expired`.
    pub keep_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep_days: KEEP_DAYS }
    }
}

impl Retention {
    /// Deletes what is too old, every hour, until the stop signal.
    pub fn start(&self, tasks: &Tasks, db: &Db, clock: &SharedClock) {
        let keep = Duration::from_secs(u64::from(self.keep_days.max(1)) * 24 * 60 * 60);
        let (db, clock) = (db.clone(), clock.clone());
        tasks.spawn_loop("events.prune", move |stop| prune_hourly(db.clone(), clock.clone(), keep, stop));
    }
}

async fn prune_hourly(db: Db, clock: SharedClock, keep: Duration, stop: Stop) {
    while stop.sleep(PRUNE_EVERY).await {
        match stop.unless_stopped(prune(&db, clock.now().minus(keep))).await {
            Some(Ok(0)) | None => (),
            Some(Ok(events)) => tracing::info!(system = db.system(), events, "old events were deleted"),
            Some(Err(error)) => {
                tracing::warn!(system = db.system(), %error, "old events could not be deleted")
            }
        }
    }
}

/// Deletes the events that were written before `before`; how many there were. Only whole beginnings go: an event
/// stays as long as one before it does.
pub async fn prune(db: &Db, before: Timestamp) -> Result<u64, DbError> {
    let mut deleted = 0;
    loop {
        let tx = db.begin_write().await?;
        let found = outbox::delete_oldest(&tx, before, PRUNE_EVENTS).await?;
        tx.commit().await?;
        deleted += found;
        if found < u64::from(PRUNE_EVENTS) {
            return Ok(deleted);
        }
    }
}
