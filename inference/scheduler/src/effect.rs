//! What the scheduler decides. The driver makes each effect durable first and then carries it out.

use crate::event::Charge;
use crate::types::{AgentKey, FailureClass, Fence, JobKey, ModelKey, PoolKey, TenantKey, TimeUs, WorkerKey};

/// One decision. The order matters: an eviction comes before the assignment that needs its room, and an attempt's
/// end before what follows for its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lease the job to a worker: write the attempt, then tell the agent.
    Assign(Assignment),
    /// Load a model where no job has asked for it yet.
    Prefetch {
        /// The worker.
        worker: WorkerKey,
        /// The model.
        model: ModelKey,
    },
    /// Unload a model.
    Evict {
        /// The worker.
        worker: WorkerKey,
        /// The model.
        model: ModelKey,
    },
    /// The agent may go on with this attempt: part of the answer to
    /// [`Event::AgentJoined`](crate::Event::AgentJoined).
    Keep {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
        /// The worker.
        worker: WorkerKey,
    },
    /// Tell the agent to stop this attempt.
    StopAttempt {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
        /// The worker.
        worker: WorkerKey,
        /// Why.
        why: StopReason,
    },
    /// Tell the agent to hold this attempt after the step that it computes. The answer is
    /// [`Phase::Paused`](crate::Phase::Paused), or its end where it came first.
    Pause {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
        /// The worker.
        worker: WorkerKey,
    },
    /// Tell the agent to go on with a paused attempt, or to forget that it was to be paused.
    Resume {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
        /// The worker.
        worker: WorkerKey,
    },
    /// The attempt that held the job's lease has ended; nothing under its fence counts from here on.
    AttemptEnded {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
        /// How.
        end: AttemptEnd,
    },
    /// A report about an attempt that holds no lease (any more): answer it, record it, use nothing of it.
    LateReport {
        /// The job.
        job: JobKey,
        /// The attempt's fence.
        fence: Fence,
    },
    /// The job waits again.
    Requeue {
        /// The job.
        job: JobKey,
        /// It may run from then on.
        ready_at: TimeUs,
    },
    /// The job's end: the result under `fence` is the one that counts.
    Succeeded {
        /// The job.
        job: JobKey,
        /// The fence of the attempt that counts.
        fence: Fence,
    },
    /// The job's end: no further attempt.
    Failed {
        /// The job.
        job: JobKey,
        /// Why.
        class: FailureClass,
    },
    /// The job's end: nothing of it runs any more.
    Canceled {
        /// The job.
        job: JobKey,
    },
    /// The job's end: it waited longer than its time to live.
    Expired {
        /// The job.
        job: JobKey,
    },
    /// The machine leaves its pool: its agent gets nothing new, and it is stopped when its work is done. One whose agent is
    /// gone is stopped at once. A [`Effect::Scale`] with what remains follows.
    Retire {
        /// The pool.
        pool: PoolKey,
        /// The machine's agent.
        agent: AgentKey,
    },
    /// The pool should have this many workers, those that boot counted, those that retire not. It is said again from
    /// time to time. Where it is less than there are, orders that have not booted are cancelled; a machine whose agent has
    /// joined goes by [`Effect::Retire`] only, because only the scheduler knows which is missed least.
    Scale {
        /// The pool.
        pool: PoolKey,
        /// How many.
        workers: u32,
    },
    /// What a tenant has spent with a third party on a day, from here on: comes before the assignment that costs it, to be made
    /// durable with it.
    Spent {
        /// The third party.
        pool: PoolKey,
        /// Who.
        tenant: TenantKey,
        /// Days since the Unix epoch.
        day: i64,
        /// Micro-dollars, all in all.
        micro: i64,
    },
    /// The agent has been away for so long that it is no longer part of the fleet.
    AgentForgotten {
        /// The agent.
        agent: AgentKey,
    },
}

/// A lease to be made durable and sent to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The job.
    pub job: JobKey,
    /// The fence of the new attempt, never used before.
    pub fence: Fence,
    /// The worker.
    pub worker: WorkerKey,
    /// How long the lease lives without a heartbeat, milliseconds.
    pub lease_ms: i64,
    /// How long the attempt may take, milliseconds.
    pub timeout_ms: i64,
    /// Whether the model should be resident there already.
    pub warm: bool,
    /// What it was charged, where the worker is a third party's: to be kept with the attempt, and said again in
    /// [`RestoredState::Leased`](crate::RestoredState::Leased).
    pub charge: Option<Box<Charge>>,
    /// The batch that it computes in: the fence of its first job. Its assignments follow each other, all in one answer.
    pub batch: Option<Fence>,
}

/// Why an attempt is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The caller asked for the job's end.
    Canceled,
    /// It took too long.
    TimedOut,
    /// Its lease is gone: another attempt may run.
    Stale,
}

/// How an attempt that held a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With the result that counts.
    Succeeded,
    /// It failed.
    Failed(FailureClass),
    /// It was stopped on request.
    Canceled,
    /// Nobody answers for it any more.
    Lost,
}
