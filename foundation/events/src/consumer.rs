//! A consumer tails another system and applies each event exactly once: its cursor commits with the effect.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backlot_foundation_db::{Db, DbError, WriteTx};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::Stop;
use backlot_foundation_time::Timestamp;
use futures::StreamExt as _;
use sea_orm::{ConnectionTrait, Statement};

use crate::v1;
use crate::v1::events_client::EventsClient;
use crate::v1::tail_response::Item;

/// Events applied in one transaction at most.
const BATCH_EVENTS: usize = 128;
/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the position of a heartbeat is kept: a consumer whose kinds of events do not come moves on all the same,
/// and never falls behind what the source keeps.
const KEEP_BEAT_EVERY: Duration = Duration::from_secs(60);

/// Why an event could not be applied. It is tried again, for ever: a handler that meets an event which it
/// can never apply sets it aside itself and returns `Ok`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandlerError(pub String);

impl From<DbError> for HandlerError {
    fn from(error: DbError) -> Self {
        Self(error.to_string())
    }
}

impl From<sea_orm::DbErr> for HandlerError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self(error.to_string())
    }
}

/// What a consumer does with events.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Applies one event in the transaction that also moves the cursor.
    async fn handle(&self, tx: &WriteTx, event: &v1::Event) -> Result<(), HandlerError>;

    /// Called after a batch has become durable: wake whoever reads the rows.
    async fn committed(&self) {}

    /// The source has nothing outstanding before `at`.
    fn heartbeat(&self, at: Timestamp) {
        let _ = at;
    }
}

/// Tails one source into one database.
pub struct Consumer {
    db: Db,
    name: String,
    source: Channel,
    types: Vec<String>,
    handler: Arc<dyn Handler>,
}

#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error("the source cannot be tailed: {0}")]
    Source(#[from] Problem),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("an event cannot be applied: {0}")]
    Handler(#[from] HandlerError),
}

impl Consumer {
    /// A consumer with a `name` that is unique in `db`. No `types`: all.
    #[must_use]
    pub fn new(db: Db, name: &str, source: Channel, types: &[&str], handler: Arc<dyn Handler>) -> Self {
        let types = types.iter().map(|&name| name.to_owned()).collect();
        Self { db, name: name.to_owned(), source, types, handler }
    }

    /// Runs until the stop signal; reconnects and retries from the cursor after every failure.
    pub async fn run(&self, stop: Stop) {
        let mut pause = PAUSE_MIN;
        while !stop.is_stopped() {
            let began = tokio::time::Instant::now();
            match stop.unless_stopped(self.tail()).await {
                None => return,
                Some(Ok(())) => tracing::debug!(consumer = self.name, "the source ended its stream"),
                Some(Err(TailError::Source(problem))) if problem.code == codes::CURSOR_EXPIRED.name => {
                    tracing::error!(
                        consumer = self.name,
                        "the source has deleted events that this consumer did not read; see /docs/errors/cursor_expired"
                    );
                    pause = PAUSE_MAX;
                }
                Some(Err(error)) => {
                    tracing::warn!(consumer = self.name, %error, "tailing failed and is tried again")
                }
            }
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            stop.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn tail(&self) -> Result<(), TailError> {
        let request =
            v1::TailRequest { cursor: self.cursor().await?, types: self.types.clone(), from_end: false };
        let mut client = EventsClient::new(self.source.clone());
        let stream = client.tail(request).await.map_err(Problem::from)?.into_inner();
        let mut batches = stream.ready_chunks(BATCH_EVENTS);
        let mut kept_at: Option<tokio::time::Instant> = None;
        while let Some(batch) = batches.next().await {
            let mut events = Vec::with_capacity(batch.len());
            let mut beat = None;
            // Of a heartbeat after which no event came: an earlier one would lead back.
            let mut position = None;
            for item in batch {
                match item.map_err(Problem::from)?.item {
                    Some(Item::Event(event)) => {
                        position = None;
                        events.push(event);
                    }
                    Some(Item::Heartbeat(heartbeat)) => {
                        beat = Some(heartbeat.time_us);
                        position = Some(heartbeat.cursor);
                    }
                    None => (),
                }
            }
            self.apply(&events).await?;
            if let Some(time_us) = beat {
                self.handler.heartbeat(Timestamp::from_micros(time_us));
            }
            let is_due = kept_at.is_none_or(|at| at.elapsed() >= KEEP_BEAT_EVERY);
            if let Some(position) = position.filter(|_| is_due) {
                self.keep(&position).await?;
                kept_at = Some(tokio::time::Instant::now());
            }
        }
        Ok(())
    }

    async fn apply(&self, events: &[v1::Event]) -> Result<(), TailError> {
        let Some(last) = events.last() else { return Ok(()) };
        let tx = self.db.begin_write().await?;
        for event in events {
            self.handler.handle(&tx, event).await?;
        }
        self.write_cursor(&tx, &last.cursor).await?;
        tx.commit().await?;
        metrics::counter!("backlot_events_consumed", "consumer" => self.name.clone())
            .increment(events.len() as u64);
        self.handler.committed().await;
        Ok(())
    }

    /// Keeps a position up to which there was nothing to do.
    async fn keep(&self, position: &str) -> Result<(), DbError> {
        if self.cursor().await? == position {
            return Ok(());
        }
        let tx = self.db.begin_write().await?;
        self.write_cursor(&tx, position).await?;
        tx.commit().await
    }

    async fn write_cursor(&self, tx: &WriteTx, cursor: &str) -> Result<(), DbError> {
        let sql = "INSERT INTO event_cursors (consumer, cursor) VALUES ($1, $2)
                   ON CONFLICT (consumer) DO UPDATE SET cursor = excluded.cursor";
        let values = [self.name.as_str().into(), cursor.into()];
        tx.execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?;
        Ok(())
    }

    /// Where it stands: empty before the first event.
    pub async fn cursor(&self) -> Result<String, DbError> {
        let sql = "SELECT cursor FROM event_cursors WHERE consumer = $1";
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, [self.name.as_str().into()]);
        let row = self.db.read().query_one_raw(statement).await?;
        Ok(row.map(|row| row.try_get("", "cursor")).transpose()?.unwrap_or_default())
    }
}
