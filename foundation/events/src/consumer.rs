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
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use crate::outbox::Cursor;
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
        let stored = self.lock_cursor(&tx).await?;
        // Another replica follows the same stream under the same name, and may have been faster.
        let fresh: Vec<_> = events.iter().filter(|event| is_after(&event.cursor, &stored)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        for event in &fresh {
            self.handler.handle(&tx, event).await?;
        }
        self.write_cursor(&tx, &last.cursor).await?;
        tx.commit().await?;
        metrics::counter!("backlot_events_consumed", "consumer" => self.name.clone())
            .increment(fresh.len() as u64);
        self.handler.committed().await;
        Ok(())
    }

    /// Keeps a position up to which there was nothing to do.
    async fn keep(&self, position: &str) -> Result<(), DbError> {
        if self.cursor().await? == position {
            return Ok(());
        }
        let tx = self.db.begin_write().await?;
        if is_after(position, &self.lock_cursor(&tx).await?) {
            self.write_cursor(&tx, position).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Where the consumer stands, and nobody else moves it until the transaction ends.
    async fn lock_cursor(&self, tx: &WriteTx) -> Result<String, DbError> {
        let statement =
            |sql: &str| Statement::from_sql_and_values(tx.backend(), sql, [self.name.as_str().into()]);
        let sql =
            "INSERT INTO event_cursors (consumer, cursor) VALUES ($1, '') ON CONFLICT (consumer) DO NOTHING";
        tx.execute_raw(statement(sql)).await?;
        let lock = if tx.backend() == DatabaseBackend::Postgres { "FOR UPDATE" } else { "" };
        let sql = format!("SELECT cursor FROM event_cursors WHERE consumer = $1 {lock}");
        let row = tx.query_one_raw(statement(&sql)).await?;
        Ok(row.map(|row| row.try_get("", "cursor")).transpose()?.unwrap_or_default())
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

/// Whether a position comes after another one. Positions that are not of our outboxes are only told apart.
fn is_after(position: &str, other: &str) -> bool {
    match (position.parse::<Cursor>(), other.parse::<Cursor>()) {
        (Ok(position), Ok(other)) => position > other,
        (_, _) => position != other,
    }
}

#[cfg(test)]
mod tests {
    use backlot_foundation_testkit::databases;

    use super::*;

    /// Notes each event as often as it comes.
    struct Noted;

    #[async_trait]
    impl Handler for Noted {
        async fn handle(&self, tx: &WriteTx, event: &v1::Event) -> Result<(), HandlerError> {
            tx.execute_unprepared(&format!("INSERT INTO noted VALUES ('{}')", event.subject)).await?;
            Ok(())
        }
    }

    fn events(positions: std::ops::Range<i64>) -> Vec<v1::Event> {
        let event =
            |at| v1::Event { subject: format!("s{at}"), cursor: format!("7.{at}"), ..v1::Event::default() };
        positions.map(event).collect()
    }

    async fn noted(db: &Db) -> Vec<String> {
        let statement = Statement::from_string(db.backend(), "SELECT subject FROM noted ORDER BY subject");
        let rows = db.read().query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get("", "subject").unwrap()).collect()
    }

    #[tokio::test]
    async fn replicas_of_one_consumer_apply_an_event_once_between_them() {
        for test in databases("infrastructure").await {
            let db = &test.db;
            db.migrate::<crate::Migrator>().await.unwrap();
            db.read().execute_unprepared("CREATE TABLE noted (subject TEXT NOT NULL)").await.unwrap();
            let source = Channel::remote("http://127.0.0.1:9").unwrap();
            let replica = || Consumer::new(db.clone(), "noted", source.clone(), &[], Arc::new(Noted));
            let (one, other) = (replica(), replica());
            one.apply(&events(0..4)).await.unwrap();
            // The other one read the same stream, a little later or in other parts.
            other.apply(&events(0..4)).await.unwrap();
            other.apply(&events(2..10)).await.unwrap();
            one.apply(&events(4..6)).await.unwrap();
            assert_eq!(noted(db).await, ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"]);
            one.keep("7.5").await.unwrap();
            assert_eq!(one.cursor().await.unwrap(), "7.9", "an old heartbeat leads nobody back");
            one.keep("8.0").await.unwrap();
            assert_eq!(other.cursor().await.unwrap(), "8.0");
        }
    }
}
