//! The background: a consumer and a listener for new schemas for each source, and the loader.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use backlot_data_lake::EventRow;
use backlot_foundation_db::WriteTx;
use backlot_foundation_events::v1::Event;
use backlot_foundation_events::{Consumer, Handler, HandlerError};
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_time::Timestamp;

use crate::service::{Service, SourceState};

/// Events moved to the lake in one commit at most.
const LOAD_EVENTS_MAX: usize = 20_000;
/// Commits of the lake between two compactions.
const COMPACT_COMMITS: u32 = 64;
/// How long an event's id is remembered to know its duplicates.
const DUPLICATE_HORIZON: Duration = Duration::from_secs(90 * 86_400);
/// First pause after a failure; doubles up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Least time between two questions for schemas.
const ASK_PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn spawn(service: &Service, tasks: &Tasks) {
    for source in &service.inner.sources {
        let (consuming, listening) = (service.clone(), service.clone());
        let (consumed, heard) = (source.clone(), source.clone());
        tasks.spawn_loop("data.consume", move |stop| consume(consuming.clone(), consumed.clone(), stop));
        tasks.spawn_loop("data.schemas", move |stop| listen(listening.clone(), heard.clone(), stop));
    }
    let loading = service.clone();
    tasks.spawn_loop("data.load", move |stop| load(loading.clone(), stop));
}

/// Tries `work` until it succeeds or the signal comes; `None` where the signal came.
async fn persist<T, Fut>(stop: &Stop, what: &'static str, work: impl Fn() -> Fut) -> Option<T>
where
    Fut: Future<Output = Result<T, crate::Error>>,
{
    let mut pause = PAUSE_MIN;
    loop {
        match stop.unless_stopped(work()).await? {
            Ok(value) => return Some(value),
            Err(error) => tracing::warn!(%error, "cannot {what}; it is tried again"),
        }
        if !stop.sleep(pause).await {
            return None;
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Learns the schemas of a source, then reads its events for ever.
async fn consume(service: Service, source: Arc<SourceState>, stop: Stop) {
    if persist(&stop, "learn what the lake already has", || service.adopt()).await.is_none()
        || learn(&service, &source, &stop).await.is_none()
    {
        return;
    }
    let handler = Arc::new(Intake { service: service.clone(), source: source.clone() });
    let name = format!("data.{}", source.name);
    Consumer::new(service.inner.db.clone(), &name, source.channel.clone(), &[], handler).run(stop).await;
}

/// Puts each event where it belongs, in the transaction of the cursor.
struct Intake {
    service: Service,
    source: Arc<SourceState>,
}

#[async_trait]
impl Handler for Intake {
    async fn handle(&self, tx: &WriteTx, event: &Event) -> Result<(), HandlerError> {
        let row = EventRow {
            id: event.id.clone(),
            event_type: event.r#type.clone(),
            version: i32::try_from(event.version).unwrap_or(i32::MAX),
            source: event.source.clone(),
            subject: event.subject.clone(),
            organisation: event.organisation.clone(),
            actor: event.actor.clone(),
            time_us: event.time_us,
            data_json: event.data_json.clone(),
            received_us: self.service.inner.clock.now().micros(),
        };
        let taken = self.service.take(tx, &row).await;
        if taken.map_err(|error| HandlerError(error.to_string()))? {
            self.source.unknown.store(true, Ordering::Release);
        }
        Ok(())
    }

    async fn committed(&self) {
        self.service.wake_loader();
        if self.source.unknown.swap(false, Ordering::AcqRel) {
            self.source.ask_again.notify_one();
        }
    }

    fn heartbeat(&self, at: Timestamp) {
        self.source.read_until_us.store(at.micros(), Ordering::Release);
    }
}

/// Asks a source for its schemas; where it has new ones, what was set aside for want of them is judged again.
async fn learn(service: &Service, source: &SourceState, stop: &Stop) -> Option<()> {
    if persist(stop, "read the schemas of a source", || service.learn(source)).await? {
        persist(stop, "replay the quarantine", || service.replay(true)).await?;
    }
    Some(())
}

/// A source that sends an unknown type has learned something new: asks it, and replays what was set aside.
async fn listen(service: Service, source: Arc<SourceState>, stop: Stop) {
    loop {
        if stop.unless_stopped(source.ask_again.notified()).await.is_none() {
            return;
        }
        if learn(&service, &source, &stop).await.is_none() {
            return;
        }
        if !stop.sleep(ASK_PAUSE).await {
            return;
        }
    }
}

/// Moves staged events into the lake: what a crash left behind at once, then whenever there are some.
async fn load(service: Service, stop: Stop) {
    let flush = Duration::from_millis(service.inner.config.flush_ms);
    let mut commits = 0;
    loop {
        loop {
            service.inner.staged.store(0, Ordering::Relaxed);
            match persist(&stop, "move events into the lake", || service.load(LOAD_EVENTS_MAX)).await {
                None => return,
                Some(0) => break,
                Some(moved) => {
                    commits += 1;
                    metrics::counter!("backlot_data_events_loaded").increment(moved as u64);
                    if moved < LOAD_EVENTS_MAX {
                        break;
                    }
                }
            }
        }
        if commits >= COMPACT_COMMITS {
            commits = 0;
            // Cut short it leaves the table as it was.
            stop.unless_stopped(maintain(&service)).await;
        }
        if stop.unless_stopped(service.inner.staged_some.notified()).await.is_none() {
            // What is staged is durable and will be moved after the next start.
            return;
        }
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(flush) => (),
            () = service.inner.staged_many.notified() => (),
        }
    }
}

/// Housekeeping that nobody waits for: a failure is told and tried at the next turn.
async fn maintain(service: &Service) {
    match service.inner.lake.compact().await {
        Ok(done) => tracing::debug!(?done, "the lake was compacted"),
        Err(error) => tracing::warn!(%error, "the lake could not be compacted"),
    }
    if let Err(error) = service.forget(service.inner.clock.now().minus(DUPLICATE_HORIZON)).await {
        tracing::warn!(%error, "old ids could not be forgotten");
    }
}
