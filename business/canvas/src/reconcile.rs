//! Looks at every open run of a board: at a wake, after anything was written, and every second.

use backlot_foundation_runtime::Stop;
use tokio::task::JoinSet;

use crate::limits::{DRIVEN_MAX, RUN_PAUSE, RUN_POLL};
use crate::service::Service;

/// Until the stop signal. What was open when the last process ended is looked at first.
pub(crate) async fn reconcile(service: Service, stop: Stop) {
    let mut commits = service.store().db().commits();
    let mut drivers = JoinSet::new();
    while !stop.is_stopped() {
        let open = match service.store().open_runs(DRIVEN_MAX).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(%error, "open runs of boards cannot be read");
                Vec::new()
            }
        };
        let any = !open.is_empty();
        for id in open {
            let service = service.clone();
            drivers.spawn(async move { service.start_run(id).await });
        }
        while drivers.join_next().await.is_some() {}
        tokio::select! {
            () = stop.stopped() => break,
            () = service.waked() => (),
            // A child that ended wrote something: its row says so before any message would.
            changed = commits.changed(), if any => {
                if changed.is_err() {
                    break;
                }
            }
            () = tokio::time::sleep(RUN_POLL) => (),
        }
        stop.sleep(RUN_PAUSE).await;
    }
}
