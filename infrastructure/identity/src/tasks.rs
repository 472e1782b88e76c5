//! Identity's background work: the staff list at start, and forgetting sessions that nobody can use.

use std::time::Duration;

use backlot_foundation_runtime::{Stop, Tasks};

use crate::error::Error;
use crate::service::Service;
use crate::store;

/// How often old sessions are removed.
const CLEANING_INTERVAL: Duration = Duration::from_secs(3600);
/// How long an ended session is kept, so that its token answers "ended" and not "unknown".
const ENDED_SESSION_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Sessions removed in one transaction.
const REMOVED_AT_ONCE: u64 = 500;

impl Service {
    /// Starts identity's loops.
    pub fn tasks(&self, tasks: &Tasks) {
        let service = self.clone();
        tasks.spawn_loop("identity", move |stop| run(service.clone(), stop));
    }

    /// Removes sessions that ended long ago; returns how many.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn remove_old_sessions(&self) -> Result<u64, Error> {
        let before = self.now().minus(ENDED_SESSION_KEPT);
        let mut removed = 0;
        loop {
            let tx = self.db().begin_write().await?;
            let batch = store::accounts::remove_old_sessions(&*tx, before, REMOVED_AT_ONCE).await?;
            tx.commit().await?;
            removed += batch;
            if batch < REMOVED_AT_ONCE {
                return Ok(removed);
            }
        }
    }
}

async fn run(service: Service, stop: Stop) {
    match service.apply_staff_list().await {
        Ok(0) => (),
        Ok(changed) => tracing::info!(changed, "accounts became staff by configuration"),
        Err(error) => tracing::warn!(%error, "the staff list could not be applied"),
    }
    while !stop.is_stopped() {
        if let Err(error) = service.remove_old_sessions().await {
            tracing::warn!(%error, "old sessions could not be removed");
        }
        stop.sleep(CLEANING_INTERVAL).await;
    }
}
