//! Background work: reads rows, and is only woken by messages.

use backlot_foundation_runtime::{Stop, Tasks};

use crate::limits::SWEEP;
use crate::service::Service;

impl Service {
    /// Starts what the community does by itself.
    pub fn tasks(&self, tasks: &Tasks) {
        let service = self.clone();
        tasks.spawn_loop("social-storage", move |stop| tell_storage(service.clone(), stop));
    }
}

/// Tells storage what due posts ask for, until the stop signal.
async fn tell_storage(service: Service, stop: Stop) {
    loop {
        match service.sweep_once().await {
            Ok(0) => tokio::select! {
                () = stop.stopped() => return,
                () = service.waked() => (),
                () = tokio::time::sleep(SWEEP) => (),
            },
            Ok(_) if stop.is_stopped() => return,
            Ok(_) => (),
            Err(error) => {
                tracing::warn!(%error, "due posts could not be read");
                stop.sleep(SWEEP).await;
                if stop.is_stopped() {
                    return;
                }
            }
        }
    }
}
