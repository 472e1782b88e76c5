//! Background work of storage.

use std::time::Duration;

use backlot_foundation_runtime::{Stop, Tasks};

use crate::service::Service;

/// How often the whole store is compared with the rows.
const SWEEP_EVERY: Duration = Duration::from_secs(6 * 3_600);

impl Service {
    /// Starts the reconciler under `tasks`.
    pub fn tasks(&self, tasks: &Tasks) {
        let service = self.clone();
        tasks.spawn_loop("storage-reconcile", move |stop| service.clone().reconcile_loop(stop));
        let service = self.clone();
        tasks.spawn_loop("storage-sweep", move |stop| service.clone().sweep_loop(stop));
    }

    async fn reconcile_loop(self, stop: Stop) {
        let every = Duration::from_secs(self.inner.config.reconcile_every_s.max(1));
        while !stop.is_stopped() {
            // Once at the start, too: a crash may have been the reason for it.
            if let Err(error) = self.reconcile().await {
                tracing::warn!(%error, "storage could not be reconciled and is tried again");
            }
            stop.sleep(every).await;
        }
    }

    async fn sweep_loop(self, stop: Stop) {
        while stop.sleep(SWEEP_EVERY).await {
            match self.sweep_orphans().await {
                Ok(removed) if removed.orphans > 0 => {
                    tracing::info!(orphans = removed.orphans, "objects that no row knows were removed");
                }
                Ok(_) => (),
                Err(error) => tracing::warn!(%error, "the store could not be swept and is tried again"),
            }
        }
    }
}
