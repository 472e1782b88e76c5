//! Background work: reads rows, and is only woken by messages.

use std::sync::Arc;

use backlot_foundation_events::{Consumer, Handler};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::{Stop, Tasks};

use crate::error::Error;
use crate::limits::{FORGET_EVERY, SWEEP};
use crate::service::{EVENTS, Listener, Service};

impl Service {
    /// Starts what the community does by itself, and the tail of infrastructure.
    pub fn tasks(&self, tasks: &Tasks, infrastructure_events: &Channel) {
        let service = self.clone();
        tasks.spawn_loop("social-due", move |stop| drive(service.clone(), stop));
        let service = self.clone();
        tasks.spawn_loop("social-forget", move |stop| forget(service.clone(), stop));
        let service = self.clone();
        tasks.spawn_loop("social-streams", move |stop| {
            let service = service.clone();
            async move {
                stop.stopped().await;
                service.streams().stop();
            }
        });
        let listener = Arc::new(Listener(self.clone()));
        let (db, source) = (self.store().db().clone(), infrastructure_events.clone());
        let consumer = Arc::new(Consumer::new(db, "social-infrastructure", source, EVENTS, listener));
        tasks.spawn_loop("social-infrastructure", move |stop| {
            let consumer = consumer.clone();
            async move { consumer.run(stop).await }
        });
    }

    /// Does everything that is due, once; answers how much there was.
    pub async fn sweep(&self) -> Result<usize, Error> {
        Ok(self.sweep_posts().await? + self.sweep_remixes().await? + self.sweep_removals().await?)
    }

    /// What infrastructure's events do, for tests that have no tail.
    #[must_use]
    pub fn listener(&self) -> Arc<dyn Handler> {
        Arc::new(Listener(self.clone()))
    }
}

/// Does what rows ask for, until the stop signal.
async fn drive(service: Service, stop: Stop) {
    while !stop.is_stopped() {
        match service.sweep().await {
            // More may be due at once.
            Ok(done) if done > 0 => (),
            Ok(_) => tokio::select! {
                () = stop.stopped() => return,
                () = service.waked() => (),
                () = tokio::time::sleep(SWEEP) => (),
            },
            Err(error) => {
                tracing::warn!(%error, "what is due in the community could not be done and is tried again");
                stop.sleep(SWEEP).await;
            }
        }
    }
}

/// Forgets what is old, now and then.
async fn forget(service: Service, stop: Stop) {
    while !stop.is_stopped() {
        if let Err(error) = service.forget().await {
            tracing::warn!(%error, "what is old in the community could not be forgotten and is later");
        }
        stop.sleep(FORGET_EVERY).await;
    }
}
