//! The scheduler of inference: a pure state machine.
//!
//! [`Scheduler::apply`] takes the time and one [`Event`] and pushes [`Effect`]s, which the caller makes durable and
//! then carries out; [`Scheduler::next_wakeup`] says when to call again with [`Event::Tick`]. The state machine
//! (`scheduler.rs`) keeps these invariants whatever the policy decides; [`Scheduler::check`] states them in code:
//!
//! - nothing is assigned to a worker that is gone, draining, full or unable to run the model;
//! - a job has at most one live lease, and only a result under that lease's fence counts;
//! - a job ends exactly once.
//!
//! `dispatch.rs` asks the rule in `policy/` who runs where; `fair.rs` says in which order tenants are served and
//! `predict.rs` what things take.

mod agents;
mod ahead;
mod assign;
mod batch;
mod deadline;
mod dispatch;
mod early;
mod effect;
mod estimate;
mod event;
mod fair;
mod fleet;
mod forget;
mod index;
mod invariants;
mod jobs;
pub mod limits;
mod lines;
mod loads;
mod names;
mod pause;
mod place;
mod policy;
mod predict;
mod prepare;
mod remember;
mod scheduler;
mod starts;
mod state;
mod steady;
mod timers;
mod types;

pub use effect::{Assignment, AttemptEnd, Effect, StopReason};
pub use estimate::{Estimate, Impossible};
pub use event::{
    AgentSpec, AttemptOutcome, Batching, Charge, Event, Features, JobSpec, ModelProfile, Offers, PaidSpec,
    Pausing, PoolSpec, Restored, RestoredState, RunningAttempt, TenantSpec, WorkerSpec,
};
pub use invariants::Violation;
pub use place::PoolOutlook;
pub use scheduler::{Refusal, Scheduler, WorkerLoad};
pub use types::{
    AgentKey, FailureClass, Fence, FenceError, JobKey, ModelKey, Phase, PoolKey, RegionKey, TenantKey, Tier,
    TimeUs, WorkerKey,
};
