//! Accepts, sets aside, replays, and lends what waits for the lake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use backlot_data_api::{QuarantinedList, Replayed};
use backlot_data_lake::{EventRow, Lake, Waiting, WaitingSource};
use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_errors::Problem;
use backlot_foundation_events::v1;
use backlot_foundation_events::v1::events_client::EventsClient;
use backlot_foundation_rpc::Channel;
use backlot_foundation_time::{SharedClock, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::registry::Registry;
use crate::store::{self, StoredSchema};
use crate::{Error, tasks};

/// Events that are lent to a reader at most; those behind them are not seen yet.
const WAITING_MAX: usize = 200_000;
/// Events that are replayed in one transaction.
const REPLAY_EVENTS: usize = 128;
/// Ids that are adopted from the lake at once.
const ADOPTED_IDS_MAX: usize = 50_000_000;
/// Quarantined events on a page where nothing else is asked, and at most.
pub(crate) const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 500;

/// Configuration of the collector.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long an accepted event waits for company before it moves to the lake, in milliseconds. Readers see
    /// it at once, whatever this is.
    pub flush_ms: u64,
    /// How many accepted events move at once without waiting longer.
    pub flush_events: usize,
    /// Write keys of the tracking protocol; none: tracking is off.
    pub write_keys: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { flush_ms: 2_000, flush_events: 5_000, write_keys: Vec::new() }
    }
}

/// A system whose events are collected.
#[derive(Clone)]
pub struct Source {
    /// `infrastructure`, `business`, `inference`: names the cursor, so it never changes.
    pub name: String,
    /// Its `Events` service, with a signer for its audience.
    pub channel: Channel,
}

/// What is known of a source.
pub(crate) struct SourceState {
    pub(crate) name: String,
    pub(crate) channel: Channel,
    /// Everything before has been read, Unix microseconds; 0: not known yet.
    pub(crate) read_until_us: AtomicI64,
    /// An event of an unknown type came: its schemas are to be asked for again.
    pub(crate) unknown: AtomicBool,
    pub(crate) ask_again: Notify,
}

/// The collector. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) lake: Lake,
    pub(crate) clock: SharedClock,
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) sources: Vec<Arc<SourceState>>,
    application: String,
    adopted: AtomicBool,
    /// Events staged since the loader last looked.
    pub(crate) staged: AtomicUsize,
    pub(crate) staged_some: Notify,
    pub(crate) staged_many: Notify,
}

impl Service {
    /// Opens the collector in data's database, whose migrations (these and those of events) have run.
    /// Reaches for no source and not for the lake.
    pub async fn new(
        db: Db,
        lake: Lake,
        sources: Vec<Source>,
        clock: SharedClock,
        config: Config,
    ) -> Result<Self, Error> {
        let tx = db.begin_write().await?;
        let state = store::state(&tx, &format!("backlot-collector/{}", Uuid::now_v7())).await?;
        tx.commit().await?;
        let registry = Registry::default();
        for schema in store::schemas(&db).await? {
            registry.learn(&schema.event_type, schema.version, &schema.json);
        }
        let sources = sources.into_iter().map(|Source { name, channel }| {
            Arc::new(SourceState {
                name,
                channel,
                read_until_us: AtomicI64::new(0),
                unknown: AtomicBool::new(false),
                ask_again: Notify::new(),
            })
        });
        let inner = Inner {
            db,
            lake,
            clock,
            config,
            registry,
            sources: sources.collect(),
            application: state.application,
            adopted: AtomicBool::new(state.adopted != 0),
            staged: AtomicUsize::new(0),
            staged_some: Notify::new(),
            staged_many: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts a consumer for each source, and the loader.
    pub fn tasks(&self, tasks: &backlot_foundation_runtime::Tasks) {
        tasks::spawn(self, tasks);
    }

    /// Judges an event and stages it or sets it aside, in the caller's transaction. True where it is of a type
    /// that no source has told yet.
    pub(crate) async fn take(&self, tx: &WriteTx, event: &EventRow) -> Result<bool, Error> {
        let judged = self.inner.registry.judge(event, self.inner.clock.now());
        let Err(refusal) = judged else {
            self.stage(tx, event).await?;
            return Ok(false);
        };
        metrics::counter!("backlot_data_events_quarantined", "reason" => refusal.reason.name()).increment(1);
        tracing::warn!(
            event_type = event.event_type,
            reason = refusal.reason.name(),
            detail = refusal.detail,
            "an event is set aside"
        );
        store::quarantine(tx, event, &refusal).await?;
        Ok(refusal.reason.is_unknown())
    }

    /// Stages an event that is accepted; false where it is a duplicate.
    pub(crate) async fn stage(&self, tx: &WriteTx, event: &EventRow) -> Result<bool, Error> {
        let is_new = store::stage(tx, event).await?;
        let counter = if is_new { "backlot_data_events_accepted" } else { "backlot_data_events_duplicate" };
        metrics::counter!(counter, "source" => event.source.clone()).increment(1);
        if is_new {
            self.inner.staged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(is_new)
    }

    /// Tells the loader that staged events have committed.
    pub(crate) fn wake_loader(&self) {
        self.inner.staged_some.notify_one();
        if self.inner.staged.load(Ordering::Relaxed) >= self.inner.config.flush_events {
            self.inner.staged_many.notify_one();
        }
    }

    /// Asks a source for its schemas; true where something new was learned.
    pub(crate) async fn learn(&self, source: &SourceState) -> Result<bool, Error> {
        let failed = |problem: Problem| Error::Schemas {
            source_name: source.name.clone(),
            problem: Box::new(problem),
        };
        let mut client = EventsClient::new(source.channel.clone());
        let answer = client.schemas(v1::SchemasRequest {}).await.map_err(|status| failed(status.into()))?;
        let told: Vec<StoredSchema> = answer
            .into_inner()
            .schemas
            .into_iter()
            .map(|schema| StoredSchema {
                event_type: schema.r#type,
                version: i32::try_from(schema.version).unwrap_or(i32::MAX),
                source: source.name.clone(),
                json: schema.json,
            })
            .collect();
        let tx = self.inner.db.begin_write().await?;
        let mut own = Vec::with_capacity(told.len());
        for schema in told {
            if store::put_schema(&tx, &schema, self.inner.clock.now()).await? {
                own.push(schema);
            } else {
                tracing::warn!(
                    event_type = schema.event_type,
                    source = schema.source,
                    "a source told a schema that is another's; it is not taken"
                );
            }
        }
        tx.commit().await?;
        let learned = own
            .iter()
            .filter(|schema| self.inner.registry.learn(&schema.event_type, schema.version, &schema.json))
            .count();
        tracing::debug!(
            source = source.name,
            learned,
            known = self.inner.registry.len(),
            "schemas were read"
        );
        Ok(learned > 0)
    }

    /// Judges quarantined events again: all, or only those whose type or version was unknown.
    pub async fn replay(&self, unknown_only: bool) -> Result<Replayed, Error> {
        let mut after = 0;
        let mut done = Replayed { tried: 0, accepted: 0, duplicates: 0, remaining: 0 };
        loop {
            let tx = self.inner.db.begin_write().await?;
            let events = store::quarantined_after(&tx, after, unknown_only, REPLAY_EVENTS).await?;
            for (number, event) in &events {
                done.tried += 1;
                match self.inner.registry.judge(event, self.inner.clock.now()) {
                    Ok(()) => {
                        if self.stage(&tx, event).await? {
                            done.accepted += 1;
                        } else {
                            done.duplicates += 1;
                        }
                        store::release(&tx, *number).await?;
                    }
                    Err(refusal) => store::refuse_again(&tx, *number, &refusal).await?,
                }
            }
            tx.commit().await?;
            let Some((last, _)) = events.last() else { break };
            after = *last;
        }
        self.wake_loader();
        done.remaining = store::quarantine_size(&self.inner.db).await?;
        Ok(done)
    }

    /// Quarantined events, newest first.
    pub async fn quarantined(
        &self,
        before: Option<i64>,
        limit: Option<usize>,
    ) -> Result<QuarantinedList, Error> {
        let limit = limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let mut items = store::quarantined(&self.inner.db, before.unwrap_or(i64::MAX), limit + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|item| item.number.to_string());
        Ok(QuarantinedList { items, next })
    }

    /// Moves up to `limit` staged events into the lake and returns how many. Safe to call again after a crash at
    /// any point: the lake knows how far it got.
    pub async fn load(&self, limit: usize) -> Result<usize, Error> {
        let events = store::staged(&self.inner.db, limit).await?;
        let Some(last) = events.last() else { return Ok(0) };
        self.inner.lake.append(&self.inner.application, &events).await?;
        self.unstage(last.position).await?;
        Ok(events.len())
    }

    async fn unstage(&self, position: i64) -> Result<(), Error> {
        let tx = self.inner.db.begin_write().await?;
        store::unstage(&tx, position).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets the ids of events that are too old to come again.
    pub(crate) async fn forget(&self, before: Timestamp) -> Result<u64, Error> {
        let tx = self.inner.db.begin_write().await?;
        let forgotten = store::forget(&tx, before).await?;
        tx.commit().await?;
        Ok(forgotten)
    }

    /// Where this database is new and the lake is not, learns the ids that the lake has: reading all sources
    /// from their beginnings must not double them.
    pub async fn adopt(&self) -> Result<(), Error> {
        if self.inner.adopted.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut ids: Vec<String> = Vec::new();
        if self.inner.lake.version().await?.is_some() {
            let view = self.inner.lake.read(&()).await?;
            let rows = view.query("SELECT id FROM events", ADOPTED_IDS_MAX).await?;
            ids.extend(rows.into_iter().filter_map(|row| row.get("id")?.as_str().map(str::to_owned)));
        }
        let tx = self.inner.db.begin_write().await?;
        store::adopt(&tx, &ids, self.inner.clock.now()).await?;
        tx.commit().await?;
        if !ids.is_empty() {
            tracing::info!(events = ids.len(), "the events that were in the lake before are known now");
        }
        self.inner.adopted.store(true, Ordering::Release);
        Ok(())
    }

    /// Everything before has been read from all sources; `None` while one has not answered yet.
    fn read_until_us(&self) -> Option<i64> {
        let known = self.inner.sources.iter().map(|source| source.read_until_us.load(Ordering::Acquire));
        known.min().filter(|at| *at > 0)
    }
}

#[async_trait]
impl WaitingSource for Service {
    async fn waiting(&self) -> Result<Waiting, Box<dyn std::error::Error + Send + Sync>> {
        // Read before the rows: what the sources had said by then is staged by now.
        let read_until_us = match self.read_until_us() {
            Some(at) => at,
            // A source has not answered since the start: only what was read before is certain.
            None => store::last_received_us(&self.inner.db).await?,
        };
        let events = store::staged(&self.inner.db, WAITING_MAX).await?;
        let as_of_us = match events.last() {
            Some(last) if events.len() == WAITING_MAX => read_until_us.min(last.row.received_us),
            Some(_) | None => read_until_us,
        };
        Ok(Waiting { application: self.inner.application.clone(), events, as_of_us: Some(as_of_us) })
    }
}
