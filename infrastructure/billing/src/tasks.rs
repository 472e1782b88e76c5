//! Background work: the sealer, the sweeper that looks for what is overdue or has run out, the periods of plans, and
//! the proof of the ledgers.
//!
//! All read the state and carry out what it says; a stop between two steps loses nothing, an error is
//! logged and the next round tries again.

use std::time::Duration;

use backlot_foundation_runtime::{Stop, Tasks};

use crate::service::Service;

/// Things of one kind that a round of the sweeper handles.
const SWEPT_PER_ROUND: i64 = 500;
/// Pause between two looks at the periods of plans, which last days.
const PLANS_EVERY: Duration = Duration::from_secs(10 * 60);
/// Longest pause before the first proof: whoever starts often proves, too, and a start has other things to do first.
const FIRST_PROOF_AFTER_MAX: Duration = Duration::from_secs(60);
/// Shortest pause between rounds.
const PAUSE_MIN: Duration = Duration::from_millis(50);

impl Service {
    /// Starts billing's loops.
    pub fn tasks(&self, tasks: &Tasks) {
        let service = self.clone();
        tasks.spawn_loop("billing.sealer", move |stop| seal(service.clone(), stop));
        let service = self.clone();
        tasks.spawn_loop("billing.sweeper", move |stop| sweep(service.clone(), stop));
        let service = self.clone();
        tasks.spawn_loop("billing.plans", move |stop| keep_plans(service.clone(), stop));
        if self.config().prove_every_s > 0 {
            let service = self.clone();
            tasks.spawn_loop("billing.prover", move |stop| prove(service.clone(), stop));
        }
    }

    /// One look at periods: those that end soon are billed, those that ended unpaid give way to the free plan.
    pub async fn keep_plans(&self) {
        if let Err(error) = self.renew_due(SWEPT_PER_ROUND).await {
            tracing::warn!(%error, "periods that end could not be looked for");
        }
        if let Err(error) = self.lapse_due(SWEPT_PER_ROUND).await {
            tracing::warn!(%error, "periods that ended could not be looked for");
        }
    }

    /// One round of the sweeper: overdue holds, mandates and grants that have run out.
    pub async fn sweep(&self) {
        if let Err(error) = self.alert_overdue(SWEPT_PER_ROUND).await {
            tracing::warn!(%error, "overdue holds could not be looked for");
        }
        if let Err(error) = self.expire_mandates(SWEPT_PER_ROUND).await {
            tracing::warn!(%error, "mandates that have run out could not be ended");
        }
        if let Err(error) = self.expire_grants(SWEPT_PER_ROUND).await {
            tracing::warn!(%error, "grants that have run out could not be closed");
        }
        if let Err(error) = self.forget_keys(SWEPT_PER_ROUND).await {
            tracing::warn!(%error, "old idempotency keys could not be forgotten");
        }
    }
}

async fn seal(service: Service, stop: Stop) {
    let pause = Duration::from_millis(service.config().seal_every_ms).max(PAUSE_MIN);
    let mut commits = service.db().commits();
    while !stop.is_stopped() {
        commits.mark_unchanged();
        match service.seal().await {
            Ok(0) => {}
            Ok(seals) => metrics::counter!("backlot_billing_seals_total").increment(seals as u64),
            Err(error) => {
                tracing::warn!(%error, "the journal could not be sealed");
                stop.sleep(pause).await;
                continue;
            }
        }
        // Sleeps while this process writes nothing; other replicas seal what they wrote.
        tokio::select! {
            _ = commits.changed() => {}
            () = stop.stopped() => return,
        }
        stop.sleep(pause).await;
    }
}

async fn keep_plans(service: Service, stop: Stop) {
    while !stop.is_stopped() {
        service.keep_plans().await;
        stop.sleep(PLANS_EVERY).await;
    }
}

async fn prove(service: Service, stop: Stop) {
    let pause = Duration::from_secs(service.config().prove_every_s);
    let mut next = pause.min(FIRST_PROOF_AFTER_MAX);
    while stop.sleep(next).await {
        next = pause;
        match stop.unless_stopped(service.prove()).await {
            None => return,
            Some(Ok(_)) => (),
            Some(Err(error)) => tracing::error!(%error, "the ledgers could not be proved"),
        }
    }
}

async fn sweep(service: Service, stop: Stop) {
    let pause = Duration::from_millis(service.config().sweep_every_ms).max(PAUSE_MIN);
    while !stop.is_stopped() {
        service.sweep().await;
        stop.sleep(pause).await;
    }
}
