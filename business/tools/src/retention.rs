//! Idempotency keys are forgotten after a while; the runs that they made stay.

use std::time::Duration;

use backlot_foundation_runtime::Stop;

use crate::service::Service;

/// How long a key is remembered: longer than anybody repeats an order.
const KEYS_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How often old keys are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Keys that one transaction forgets.
const PRUNE_KEYS_MAX: u64 = 1_000;

impl Service {
    /// Forgets old keys; how many there were. The background does so every hour.
    pub async fn prune_keys(&self) -> Result<u64, crate::Error> {
        let before = self.now().minus(KEYS_KEPT);
        let mut forgotten = 0;
        loop {
            let found = self.store().delete_keys(before, PRUNE_KEYS_MAX).await?;
            forgotten += found;
            if found < PRUNE_KEYS_MAX {
                return Ok(forgotten);
            }
        }
    }
}

pub(crate) async fn hourly(service: Service, stop: Stop) {
    while stop.sleep(PRUNE_EVERY).await {
        match stop.unless_stopped(service.prune_keys()).await {
            None => return,
            Some(Ok(0)) => (),
            Some(Ok(keys)) => tracing::info!(keys, "old idempotency keys were forgotten"),
            Some(Err(error)) => tracing::warn!(%error, "old idempotency keys could not be forgotten"),
        }
    }
}
