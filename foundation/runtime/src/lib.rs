//! Every task has an owner, a stop signal and a join.
//!
//! [`Tasks`] owns background loops. [`Tasks::shutdown`] asks them all to stop, waits for them within a
//! grace period, and ends what is left. A loop that panics or returns early is started again after a
//! pause, because a service that silently lost its reconciler is worse than one that is down.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Pause before a loop that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// Tells a task to stop. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// A signal that nobody has given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for the signal.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }

    /// A signal that this one gives too, and that can be given alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Waits for `duration`; false where the signal came first.
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.stopped() => false,
            () = tokio::time::sleep(duration) => true,
        }
    }

    /// Runs `future` until it ends or the signal comes; `None` where the signal came first.
    pub async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stopped() => None,
            value = future => Some(value),
        }
    }
}

/// The owner of background tasks. Cheap to clone; all clones own the same tasks.
#[derive(Clone, Default)]
pub struct Tasks {
    stop: Stop,
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Tasks {
    /// An owner of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The signal that all its tasks hear.
    #[must_use]
    pub fn stop_signal(&self) -> Stop {
        self.stop.clone()
    }

    /// Owns a loop that runs until the stop signal. `start` is called again, after a pause, where the
    /// loop panics or returns before the signal.
    pub fn spawn_loop<F, Fut>(&self, name: &'static str, start: F)
    where
        F: Fn(Stop) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.set.lock().spawn(async move {
            // Started even where the signal was faster, so that what a task does at the stop is always done.
            loop {
                // A task of its own, so that a panic is seen; it ends with its owner.
                let outcome = AbortOnDropHandle::new(tokio::spawn(start(stop.clone()))).await;
                if stop.is_stopped() {
                    break;
                }
                match outcome {
                    Ok(()) => {
                        tracing::warn!(task = name, "a background task ended early and is started again")
                    }
                    Err(error) => {
                        tracing::error!(task = name, %error, "a background task failed and is started again")
                    }
                }
                stop.sleep(RESTART_PAUSE).await;
            }
        });
    }

    /// Owns a task that ends by itself, such as one request's follow-up.
    pub fn spawn_once(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock();
        while set.try_join_next().is_some() {}
        set.spawn(future);
    }

    /// Gives the stop signal, waits up to `grace` for all tasks, then aborts what is left.
    /// Returns how many had to be aborted.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.stop.stop();
        let mut set = std::mem::take(&mut *self.set.lock());
        let all_ended = async { while set.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all_ended).await.is_ok() {
            return 0;
        }
        let left = set.len();
        tracing::warn!(left, "tasks did not stop within their grace period and are aborted");
        set.shutdown().await;
        left
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn termination_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be listened to; only kill -9 stops this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_fails_is_started_again_and_stops_when_told() {
        let tasks = Tasks::new();
        let starts = Arc::new(AtomicUsize::new(0));
        let (seen, mut third_start) = tokio::sync::mpsc::channel(8);
        let counter = starts.clone();
        tasks.spawn_loop("test", move |stop| {
            let count = counter.fetch_add(1, Ordering::SeqCst) + 1;
            let seen = seen.clone();
            async move {
                assert!(count != 1, "the first start fails");
                if count >= 3 {
                    seen.send(count).await.ok();
                    stop.stopped().await;
                }
            }
        });
        assert_eq!(third_start.recv().await, Some(3));
        assert_eq!(tasks.shutdown(Duration::from_secs(1)).await, 0);
    }
}
