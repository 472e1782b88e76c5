//! A run's view at each change, until its end: what the server-sent events carry.

use std::time::Duration;

use backlot_business_api::RunId;
use backlot_foundation_errors::Problem;
use futures::future::OptionFuture;
use futures::stream::{BoxStream, Stream, StreamExt as _};
use tokio::sync::broadcast::error::RecvError;

use crate::facts::{Job, JobState};
use crate::machine::Stage;
use crate::order::Actor;
use crate::row::Model as Row;
use crate::service::Service;
use crate::view::RunView;

/// How often the row is read although nothing was heard: another process may drive the run.
const POLL: Duration = Duration::from_secs(2);
/// Changes of a job that are read as one.
const CHUNK: usize = 64;

type Jobs = BoxStream<'static, Vec<Result<Job, Problem>>>;

impl Service {
    /// The run at once, then at each change, until its end.
    pub(crate) fn watch(
        &self,
        actor: Actor,
        id: RunId,
    ) -> impl Stream<Item = Result<RunView, Problem>> + Send + use<> {
        let service = self.clone();
        async_stream::try_stream! {
            // Subscribed before the first look, so that no change falls between.
            let mut changes = service.changes();
            let mut jobs: Option<Jobs> = None;
            let mut job: Option<Job> = None;
            let mut last = String::new();
            loop {
                let row = service.run(&actor, id).await?;
                if job.is_none() {
                    job = service.live_job(&row).await;
                }
                let view = service.view(&row, job.as_ref())?;
                let ended = view.state.is_end();
                let fingerprint = view.fingerprint();
                if fingerprint != last {
                    last = fingerprint;
                    yield view;
                }
                if ended {
                    break;
                }
                if jobs.is_none() && moves(&row) {
                    jobs = service.systems().watch(id).await.ok().map(|jobs| jobs.ready_chunks(CHUNK).boxed());
                }
                let next_jobs: OptionFuture<_> = jobs.as_mut().map(|jobs| jobs.next()).into();
                tokio::select! {
                    () = service.streams().stopped() => break,
                    () = another(&mut changes, id) => (),
                    () = tokio::time::sleep(POLL) => job = None,
                    Some(seen) = next_jobs => match seen.and_then(|seen| seen.into_iter().flatten().last()) {
                        Some(seen) => {
                            if !matches!(seen.state, JobState::Queued | JobState::Running) {
                                service.nudge([id]);
                            }
                            job = Some(seen);
                        }
                        // The stream is over, or broke: look again, by and by.
                        None => {
                            jobs = None;
                            service.nudge([id]);
                            tokio::select! {
                                () = another(&mut changes, id) => (),
                                () = tokio::time::sleep(POLL) => (),
                            }
                            job = None;
                        }
                    },
                }
            }
        }
    }
}

fn moves(row: &Row) -> bool {
    row.accepted && row.stage == Stage::Submitted.as_str()
}

/// Waits until this run's row may have changed.
async fn another(changes: &mut tokio::sync::broadcast::Receiver<RunId>, id: RunId) {
    loop {
        match changes.recv().await {
            Ok(changed) if changed == id => return,
            Ok(_) => (),
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}
