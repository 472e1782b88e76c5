//! Jobs, attempts, models and the fleet, as the service knows them.

mod fleet;
mod job;
mod names;
mod registered;

pub use fleet::{AgentView, Fleet, OverflowView, PoolView, QueueView, WorkerView};
pub use job::{Attempt, EstimateView, Job, NewJob, Output, Target, job_key};
pub use names::{AttemptOutcome, Failure, JobState, Phase, RuntimeKind, Tier};
pub use registered::{Batching, Model, ModelSpec, Pausing, Tenant, model_key, tenant_key};
