//! What happens to the scheduler.

use std::{collections::BTreeSet, sync::Arc};

use crate::types::{
    AgentKey, FailureClass, Fence, JobKey, ModelKey, Phase, PoolKey, RegionKey, TenantKey, Tier, TimeUs,
    WorkerKey,
};

/// One thing that happened. The driver applies them one by one, in the order in which they become durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Only time has passed: answer to [`Scheduler::next_wakeup`](crate::Scheduler::next_wakeup).
    Tick,
    /// A tenant is new, or its weight, limits or regions changed.
    TenantChanged(TenantSpec),
    /// A model's version is known from now on. Jobs name only known ones.
    ModelChanged(ModelProfile),
    /// A job was accepted. The driver has asked [`Scheduler::admit`](crate::Scheduler::admit) first.
    Submitted(JobSpec),
    /// A job that was accepted earlier, read again at the driver's start, before any agent joins.
    Restored(Box<Restored>),
    /// The caller wants the job to end. Nothing where it is unknown or already ended.
    CancelRequested {
        /// The job.
        job: JobKey,
    },
    /// An agent connected, or connected again. What it finished while away was applied as
    /// [`Event::Finished`] before this; leases it holds that it does not name in `running` are lost.
    AgentJoined(AgentSpec),
    /// The agent's stream ended. Its leases go on until they expire or it joins again.
    AgentLost {
        /// The agent.
        agent: AgentKey,
    },
    /// The agent finishes what it runs and takes nothing new; one that is not connected gets nothing when it is.
    AgentDraining {
        /// The agent.
        agent: AgentKey,
    },
    /// The agent lives and runs these attempts: their leases are extended.
    Heartbeat {
        /// The agent.
        agent: AgentKey,
        /// All attempts that run there now.
        running: Vec<RunningAttempt>,
    },
    /// Which models are resident on a worker now; replaces what was believed.
    WorkerReport {
        /// The worker.
        worker: WorkerKey,
        /// The resident models.
        resident: BTreeSet<ModelKey>,
    },
    /// What a worker can take has changed.
    CapacityChanged {
        /// The worker.
        worker: WorkerKey,
        /// Attempts at once.
        concurrency: u32,
        /// Models that may be resident at once.
        slots: u32,
        /// What an hour of it costs, in micro-dollars.
        price_micro_per_hour: i64,
    },
    /// A pool is new, or its bounds, price or capacity changed. `max` 0 ends it.
    PoolChanged(PoolSpec),
    /// A third party that is paid by use is new, or its price or caps changed. Announced before its agents join.
    PaidChanged(PaidSpec),
    /// What a tenant has spent with a third party on a day, read again at the driver's start: the last
    /// [`Effect::Spent`](crate::Effect::Spent) of these three.
    PaidSpent {
        /// The third party.
        pool: PoolKey,
        /// Who.
        tenant: TenantKey,
        /// Days since the Unix epoch.
        day: i64,
        /// Micro-dollars.
        micro: i64,
    },
    /// An attempt began to compute.
    AttemptStarted {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
    },
    /// An attempt moved on.
    Progress {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
        /// What it does.
        phase: Phase,
        /// How much of the compute is done, in thousandths.
        done_permille: u32,
    },
    /// An attempt ended on its worker.
    Finished {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
        /// How.
        outcome: AttemptOutcome,
        /// Milliseconds that the model's load took, 0 where it was warm.
        load_ms: i64,
        /// Milliseconds of compute; where several jobs computed together, this one's part.
        compute_ms: i64,
        /// How many computed together; 0 or 1: this one alone.
        batched: u32,
    },
    /// A load without a job ended: the answer to [`Effect::Prefetch`](crate::Effect::Prefetch).
    LoadFinished {
        /// The worker.
        worker: WorkerKey,
        /// The model.
        model: ModelKey,
        /// Milliseconds that it took.
        load_ms: i64,
        /// Whether the model is resident now.
        loaded: bool,
    },
}

/// A tenant's share and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSpec {
    /// The tenant.
    pub tenant: TenantKey,
    /// Share of the fleet against other tenants, in thousandths; 1000 is normal.
    pub weight_milli: u32,
    /// Jobs that may wait at once.
    pub queued_max: u32,
    /// Where its jobs may run; empty: anywhere.
    pub regions: BTreeSet<RegionKey>,
}

/// What the scheduler must know of a model's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelProfile {
    /// The version.
    pub model: ModelKey,
    /// Expected milliseconds to load; 0: nothing stays resident and nothing is loaded.
    pub load_ms: i64,
    /// Expected milliseconds of compute for a typical input.
    pub run_ms: i64,
    /// Memory while resident, MiB.
    pub memory_mib: i64,
    /// GPUs that it needs; 0: runs on a CPU.
    pub gpus: u32,
    /// The longest attempt in milliseconds; 0: [`limits::ATTEMPT_TIMEOUT_MS`](crate::limits::ATTEMPT_TIMEOUT_MS).
    pub timeout_ms: i64,
    /// What its runtime offers.
    pub offers: Offers,
}

/// What a model's runtime offers beside running one job from its beginning to its end. The default offers nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// It can be held between two steps of its compute, and goes on where it was.
    pub pause: Option<Pausing>,
    /// It computes several jobs in one call.
    pub batch: Option<Batching>,
}

/// What a pause takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pausing {
    /// Compute that one pause with its resumption costs, milliseconds.
    pub cost_ms: i64,
}

/// What several jobs in one call take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Jobs in one call, at most.
    pub max: u32,
    /// What each job after the first adds, in thousandths of what one takes alone: as far as is known, because what was
    /// measured counts more.
    pub more_permille: u32,
    /// Memory that each job after the first takes beside the model's, MiB.
    pub memory_mib: i64,
}

/// A job as the scheduler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSpec {
    /// The job.
    pub job: JobKey,
    /// Who it counts for.
    pub tenant: TenantKey,
    /// What it runs.
    pub model: ModelKey,
    /// How soon.
    pub tier: Tier,
    /// When it was accepted.
    pub created_at: TimeUs,
    /// It expires after waiting this long, milliseconds.
    pub ttl_ms: i64,
    /// The caller's guess of the compute in milliseconds; 0: the model's.
    pub predicted_ms: i64,
    /// Where it may run; empty: anywhere.
    pub regions: BTreeSet<RegionKey>,
    /// What of its input tells how long it computes.
    pub features: Features,
    /// Adapters that must be merged into the model's base, in their order; empty: none.
    pub adapters: Arc<[Arc<str>]>,
    /// Where its input lies; `None`: everywhere alike.
    pub data_region: Option<RegionKey>,
    /// Its latest useful finish; `None`: whenever.
    pub deadline: Option<TimeUs>,
    /// What must be equal, beside model, adapters and features, so that two jobs can compute in one call.
    pub batch_key: u64,
}

/// What of a job's input tells how long it computes. Zero where it is not known or does not apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Features {
    /// The kind of task within the model, a number that the caller chooses.
    pub task: u16,
    /// Steps of denoising.
    pub steps: u16,
    /// Pictures or frames.
    pub count: u16,
    /// Size of one picture, in thousandths of a megapixel.
    pub size: u16,
}

/// A job read again after the driver's restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The job.
    pub spec: JobSpec,
    /// Attempts that have ended without a result that counts.
    pub attempts_ended: u32,
    /// Whether its caller has asked for its end.
    pub cancel_requested: bool,
    /// Where it stood.
    pub state: RestoredState,
}

/// Where a restored job stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoredState {
    /// It waited, since `queued_at`.
    Queued {
        /// When it began to wait.
        queued_at: TimeUs,
    },
    /// An attempt held its lease. The lease gets a full length again: the agent had no chance to extend it.
    Leased {
        /// The fence, of an earlier epoch.
        fence: Fence,
        /// The worker.
        worker: WorkerKey,
        /// When it was assigned.
        assigned_at: TimeUs,
        /// What it was charged, where it runs with a third party: [`Assignment::charge`](crate::Assignment::charge).
        charge: Option<Box<Charge>>,
    },
}

/// An agent that connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSpec {
    /// Its id, stable across restarts.
    pub agent: AgentKey,
    /// Where it is.
    pub region: RegionKey,
    /// What it can run on.
    pub workers: Vec<WorkerSpec>,
    /// What runs there now.
    pub running: Vec<RunningAttempt>,
}

/// A worker of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSpec {
    /// Its name, unique within the agent.
    pub worker: Arc<str>,
    /// Its GPUs; 0: a CPU worker.
    pub gpus: u32,
    /// Its memory, MiB; 0: not said, not counted.
    pub memory_mib: i64,
    /// Models that may be resident at once, at least 1.
    pub slots: u32,
    /// Attempts at once, at least 1.
    pub concurrency: u32,
    /// Names ("owner/name", any version) of models that it can run; empty: any.
    pub models: BTreeSet<Arc<str>>,
    /// Its speed against the one that predictions are made for, in thousandths: a worker of 2000 needs half the time.
    pub speed_milli: u32,
    /// Whether it can load one model while it computes with another.
    pub overlap: bool,
    /// The pool that it belongs to; `None`: somebody else decides how long it lives.
    pub pool: Option<PoolKey>,
    /// Whether its agent takes several jobs for one call.
    pub batches: bool,
}

/// Workers that can be started and stopped: one kind of machine in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// The pool.
    pub pool: PoolKey,
    /// Where its workers are.
    pub region: RegionKey,
    /// Workers that it has or has ordered now, those that leave not counted.
    pub workers: u32,
    /// Workers that it always has.
    pub min: u32,
    /// Workers that it has beyond those that are needed: warm spares.
    pub spares: u32,
    /// Workers that it may have; for spot, what the market gives now.
    pub max: u32,
    /// From the order of a worker to its agent's first message, milliseconds, as far as is known; what was measured
    /// counts more.
    pub boot_ms: i64,
    /// What an hour of one worker costs, in micro-dollars.
    pub price_micro_per_hour: i64,
    /// Whether its workers may be taken away at any time.
    pub spot: bool,
    /// Attempts that one worker runs at once.
    pub concurrency: u32,
    /// Speed of its workers, in thousandths of the reference.
    pub speed_milli: u32,
    /// GPUs and memory in MiB of a worker, as [`WorkerSpec`] has them; `None`: not known before the first has come.
    pub kind: Option<(u32, i64)>,
}

/// A third party that computes for money by use. Its workers are agents' that name it as their pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidSpec {
    /// Its name.
    pub pool: PoolKey,
    /// What each job costs, in micro-dollars.
    pub price_micro_per_job: i64,
    /// What each second of compute costs beside that, in micro-dollars; begun seconds count.
    pub price_micro_per_second: i64,
    /// Attempts that may run there at once, over all its workers.
    pub slots: u32,
    /// What all jobs together may cost in a day (UTC), in micro-dollars.
    pub cap_micro_per_day: i64,
    /// What one tenant's jobs may cost in a day; `None`: only the cap of all counts.
    pub tenant_cap_micro_per_day: Option<i64>,
    /// Tiers whose jobs may go there.
    pub tiers: BTreeSet<Tier>,
}

impl From<Restored> for Event {
    fn from(restored: Restored) -> Self {
        Self::Restored(Box::new(restored))
    }
}

/// What an attempt with a third party was charged before it began, with all that settling it needs: durable with the
/// attempt, so that the accounting goes on over a driver's restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The third party.
    pub pool: PoolKey,
    /// The day that it counts for: days since the Unix epoch.
    pub day: i64,
    /// The most that it can cost, in micro-dollars.
    pub micro: i64,
    /// What each job cost there when it was charged, in micro-dollars.
    pub price_micro_per_job: i64,
    /// What each begun second of compute cost beside that, in micro-dollars.
    pub price_micro_per_second: i64,
    /// How long it may take, milliseconds.
    pub may_ms: i64,
    /// Whether that is because its charge is used up then, and not because its model may take no longer.
    pub cut: bool,
}

/// An attempt that an agent says it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningAttempt {
    /// The job.
    pub job: JobKey,
    /// The attempt's fence.
    pub fence: Fence,
    /// The worker, by its name within the agent.
    pub worker: Arc<str>,
    /// Whether it is paused now.
    pub paused: bool,
    /// Milliseconds that it was paused in all, this time included.
    pub held_ms: i64,
    /// The batch that it computes in.
    pub batch: Option<Fence>,
}

/// How an attempt ended on its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Its outputs are where they belong.
    Succeeded,
    /// It failed.
    Failed {
        /// Why.
        class: FailureClass,
        /// Whether another attempt may succeed.
        retryable: bool,
    },
    /// The work was stopped on request.
    Canceled,
}
