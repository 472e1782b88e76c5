//! The driver: one task that owns the scheduler's state and commits in groups.
//!
//! It drains commands, applies them to the scheduler, and collects what the effects write, answer and send in a
//! [`Batch`]. A batch that somebody waits for is committed at once, others join it. Only then are callers answered and
//! agents told. Where a commit fails, everything in memory is thrown away and read again from the rows: callers hear
//! "unavailable" and repeat with their key, agents reconnect and say what they run.

mod agents;
mod batch;
mod commands;
mod effects;
mod fleet;
mod machines;
mod providers;
mod recover;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backlot_foundation_db::Db;
use backlot_foundation_runtime::Stop;
use backlot_foundation_time::{SharedClock, Timestamp};
use backlot_inference_api::{JobId, v1};
use backlot_inference_scheduler::{
    AgentKey, Effect, Estimate, Event, Impossible, JobKey, JobSpec, Scheduler, TimeUs,
};
use tokio::sync::{mpsc, oneshot};

pub(crate) use agents::{Hello, Report, Shown, ToDriver};
use batch::Batch;
pub(crate) use recover::{job_spec, stand_by};

use crate::{
    error::Error,
    limits,
    model::{Fleet, Job, NewJob, Tenant, job_key},
    pools::News,
    service::Scope,
    shared::{ModelEntry, Shared},
};

/// A caller that waits for its answer.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;
/// Where messages to one agent go.
pub(crate) type ToAgent = mpsc::Sender<Result<v1::ControlMessage, tonic::Status>>;

/// What the driver is asked to do.
pub(crate) enum Command {
    /// Accept a job.
    Submit(Box<NewJob>, Reply<Found>),
    /// End a job.
    Cancel(JobId, Scope, Reply<Found>),
    /// A job with its place in the queue.
    Look(JobId, Reply<Found>),
    /// What would happen to a job.
    Estimate(Box<JobSpec>, Reply<Result<Estimate, Impossible>>),
    /// A tenant's share and limits.
    PutTenant(Tenant, Reply<Tenant>),
    /// A model's version.
    PutModel(Arc<ModelEntry>, Reply<Arc<ModelEntry>>),
    /// What is going on.
    Fleet(Reply<Fleet>),
    /// An agent opened its stream and said hello.
    AgentOpened(Box<Hello>, u64, ToAgent),
    /// An agent said something on stream number so-and-so.
    AgentSaid(AgentKey, u64, ToDriver),
    /// An agent's stream ended.
    AgentClosed(AgentKey, u64),
    /// A provider said or did something, as the carrier of the driver of that epoch heard it.
    Machines(u64, News),
    /// Only time has passed.
    Nudge(Reply<()>),
}

/// A job, or where to find it.
pub(crate) enum Found {
    /// It lives, or ended in this very commit.
    Live(Arc<Job>),
    /// It is not live: read its row.
    InRows(JobId),
}

/// Why the driver stops. It is started again and reads everything from the rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("another process leads this queue now")]
    Deposed,
    #[error("the queue's database failed: {0}")]
    Database(#[from] Error),
}

impl From<backlot_foundation_db::DbError> for Failed {
    fn from(error: backlot_foundation_db::DbError) -> Self {
        Self::Database(error.into())
    }
}

/// A job in memory.
pub(crate) struct Live {
    pub(crate) job: Job,
    /// Its input, where it is small.
    pub(crate) input: Option<Arc<str>>,
}

/// The owner of all live state.
pub(crate) struct Driver {
    db: Db,
    clock: SharedClock,
    shared: Arc<Shared>,
    epoch: u64,
    scheduler: Scheduler,
    jobs: BTreeMap<JobKey, Live>,
    agents: BTreeMap<AgentKey, agents::Agent>,
    tenants: BTreeMap<(String, String), Tenant>,
    machines: machines::Machines,
    /// Effects of the event that is being applied.
    effects: Vec<Effect>,
    /// Agents that did not read what they were told: their streams are closed.
    cut_off: Vec<AgentKey>,
    /// The last watched job whose place was brought up to date, where others come after it.
    refreshed: Option<JobId>,
    upkeep_at: Timestamp,
    snapshot_at: Timestamp,
    committed_at: Timestamp,
}

fn plus_ms(at: Timestamp, ms: i64) -> Timestamp {
    at.plus(Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
}

fn time_us(at: Timestamp) -> TimeUs {
    TimeUs(at.micros())
}

impl Driver {
    /// Works until the stop signal, or until it cannot go on.
    pub(crate) async fn run(
        mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: &Stop,
    ) -> Result<(), Failed> {
        let mut batch = Batch::new(self.clock.now());
        let mut drained = Vec::with_capacity(limits::COMMANDS_PER_COMMIT_MAX);
        loop {
            let pause = self.until_next(&batch);
            tokio::select! {
                biased;
                () = stop.stopped() => {
                    self.settle(&mut batch, true).await?;
                    return Ok(());
                }
                count = commands.recv_many(&mut drained, limits::COMMANDS_PER_COMMIT_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
            self.turn(&mut drained, &mut batch).await?;
        }
    }

    /// Applies what came and what is due, commits where somebody waits for it, and carries out the rest.
    async fn turn(&mut self, drained: &mut Vec<Command>, batch: &mut Batch) -> Result<(), Failed> {
        let known = self.read_keys(drained).await?;
        let now = self.clock.now();
        self.apply(now, Event::Tick, None, batch);
        for agent in std::mem::take(&mut self.cut_off) {
            self.agent_left(now, &agent, batch);
        }
        for command in drained.drain(..) {
            self.handle(now, command, &known, batch);
        }
        self.upkeep(now, batch);
        let overdue = batch.has_writes() && plus_ms(batch.opened_at, limits::DEFERRED_WRITE_MS) <= now;
        self.settle(batch, overdue).await
    }

    /// How long to sleep where nobody calls.
    fn until_next(&self, batch: &Batch) -> Duration {
        let now = self.clock.now();
        let wakeup = self.scheduler.next_wakeup().map(|at| Timestamp::from_micros(at.0));
        let deferred = batch.has_writes().then(|| plus_ms(batch.opened_at, limits::DEFERRED_WRITE_MS));
        let next =
            [wakeup, deferred, Some(self.upkeep_at)].into_iter().flatten().min().unwrap_or(self.upkeep_at);
        next.since(now)
    }

    /// Applies one event and interprets its effects. `report` is what the event's agent said, where it did.
    fn apply(&mut self, now: Timestamp, event: Event, report: Option<&Report>, batch: &mut Batch) {
        let mut effects = std::mem::take(&mut self.effects);
        self.scheduler.apply(time_us(now), event, &mut effects);
        for effect in effects.drain(..) {
            self.interpret(now, effect, report, batch);
        }
        self.effects = effects;
    }

    /// Writes a snapshot now and then, forgets old keys, shows watched jobs their place, renews the lead.
    fn upkeep(&mut self, now: Timestamp, batch: &mut Batch) {
        if now < self.upkeep_at {
            return;
        }
        self.upkeep_at = plus_ms(now, limits::UPKEEP_MS);
        self.measure();
        self.tend_machines(now, batch);
        self.refresh_watched(now, batch);
        if now >= self.snapshot_at {
            self.snapshot_at = plus_ms(now, limits::SNAPSHOT_MS);
            batch.snapshot = Some(self.scheduler.snapshot());
            if let Err(violation) = self.scheduler.check() {
                tracing::error!(?violation, "the scheduler broke an invariant");
                metrics::counter!("backlot_invariant_violations", "system" => "inference").increment(1);
                debug_assert!(false, "{violation:?}");
            }
        }
        let shared_lead = self.db.backend() == sea_orm::DatabaseBackend::Postgres;
        if shared_lead && plus_ms(self.committed_at, limits::LEADER_RENEW_MS) <= now {
            batch.renew = true;
        }
    }

    fn measure(&self) {
        let connected = self.agents.values().filter(|agent| agent.stream.is_some()).count();
        metrics::gauge!("backlot_inference_agents_connected").set(connected as f64);
        let running = self.jobs.values().filter(|live| live.job.fence.is_some()).count();
        metrics::gauge!("backlot_inference_jobs", "state" => "running").set(running as f64);
        metrics::gauge!("backlot_inference_jobs", "state" => "queued")
            .set((self.jobs.len() - running) as f64);
    }

    fn refresh_watched(&mut self, now: Timestamp, batch: &mut Batch) {
        let watched = self.shared.watched_after(self.refreshed);
        let keys = watched.into_iter().map(|id| (id, job_key(id)));
        let waits = |key: &JobKey| self.jobs.get(key).is_some_and(|live| live.job.fence.is_none());
        let waiting: Vec<(JobId, JobKey)> =
            keys.filter(|(_, key)| waits(key)).take(limits::FORECASTS_PER_UPKEEP_MAX).collect();
        // Round and round: who comes after the last one is next, and after the end the first.
        self.refreshed =
            waiting.last().map(|(id, _)| *id).filter(|_| waiting.len() == limits::FORECASTS_PER_UPKEEP_MAX);
        for (_, key) in waiting {
            if self.forecast(now, key) {
                batch.shown.insert(key);
            }
        }
    }

    /// Brings a waiting job's place up to date; whether it changed.
    fn forecast(&mut self, now: Timestamp, key: JobKey) -> bool {
        let forecast = match self.scheduler.forecast_of(time_us(now), key) {
            Some(Ok(forecast)) => (forecast.position, forecast.start_p50_ms, forecast.start_p90_ms),
            Some(Err(_)) | None => (0, 0, 0),
        };
        let Some(live) = self.jobs.get_mut(&key) else { return false };
        let before = (live.job.position, live.job.start_p50_ms, live.job.start_p90_ms);
        (live.job.position, live.job.start_p50_ms, live.job.start_p90_ms) = forecast;
        before != forecast
    }
}
