//! The fleet and its queues, as they are shown.

use backlot_foundation_time::Timestamp;
use backlot_inference_api::JobId;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Phase, Tier};

/// The fleet and its queues.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Fleet {
    /// Agents that are or were connected.
    pub agents: Vec<AgentView>,
    /// What waits, by tenant and model.
    pub queues: Vec<QueueView>,
    /// Where machines come from.
    pub pools: Vec<PoolView>,
    /// Third parties that take over under a cap; only for systems and staff.
    pub overflow: Vec<OverflowView>,
    /// Epoch of the driver.
    pub epoch: i64,
}

/// An agent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// The pool whose machine it is, or to systems and staff the third party that it speaks for; nothing: neither.
    pub pool: Option<String>,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether it takes nothing new.
    pub draining: bool,
    /// When it was last heard of.
    pub last_seen_at: Timestamp,
    /// What it runs on.
    pub workers: Vec<WorkerView>,
}

/// A worker of an agent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkerView {
    /// Its name within the agent.
    pub id: String,
    /// Its GPUs.
    pub gpus: u32,
    /// Its memory, MiB.
    pub memory_mib: i64,
    /// Models that are loaded: `owner/name:version`.
    pub resident: Vec<String>,
    /// Whether it runs something.
    pub busy: bool,
    /// The job that it runs, where the caller may know it; the first of several.
    pub job_id: Option<JobId>,
    /// The model that it runs.
    pub model: String,
    /// What it is doing.
    pub phase: Option<Phase>,
    /// 0 to 1.
    pub progress: f64,
    /// Whose job it is, for the check of who may know.
    #[serde(skip)]
    pub job_owner: Option<(String, String)>,
}

/// What waits.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueueView {
    /// Whose namespace.
    #[serde(skip)]
    pub namespace: String,
    /// Who waits; empty where the caller may not know.
    pub tenant: String,
    /// For what.
    pub model: String,
    /// How many jobs.
    pub queued: u32,
    /// How long the oldest has waited, milliseconds.
    pub oldest_ms: i64,
}

/// A pool: machines that are ordered by need.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// Region of its machines.
    pub region: String,
    /// What carries its orders out: `local` or `command`.
    pub provider: String,
    /// What is ordered, in the provider's words.
    pub kind: String,
    /// Whether a machine may be taken away at any time.
    pub spot: bool,
    /// Machines that it always has.
    pub min: u32,
    /// Machines that it may have.
    pub max: u32,
    /// Machines that stand warm beside those that are needed.
    pub spares: u32,
    /// Machines that are needed now, those that boot counted; never less than it always has, also where they do not come.
    pub wanted: u32,
    /// Machines that were ordered and have not joined.
    pub booting: u32,
    /// Machines that work.
    pub running: u32,
    /// Machines that finish what they run, and those that are being taken away.
    pub draining: u32,
    /// Machines that the provider lists and nobody here ordered.
    pub unknown: u32,
    /// From an order to the agent's first message, milliseconds, as measured.
    pub boot_ms: i64,
    /// How often a machine is taken away, by the hour, as measured.
    pub taken_per_hour: f64,
    /// What an hour of a machine costs, millionths of a US dollar; only for systems and staff.
    pub price_micro_per_hour: Option<i64>,
    /// What its machines cost since midnight (UTC), millionths of a US dollar; only for systems and staff.
    pub spent_today_micro: Option<i64>,
    /// What its provider could not do last, or why its machines do not join; only for systems and staff.
    pub trouble: Option<String>,
}

/// A third party that is paid by use. Money in millionths of a US dollar.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OverflowView {
    /// Its name.
    pub name: String,
    /// Whose jobs may go there.
    pub tiers: Vec<Tier>,
    /// Attempts that may run there at once.
    pub slots: u32,
    /// What each job costs.
    pub price_micro_per_job: i64,
    /// What each second of compute costs beside that.
    pub price_micro_per_second: i64,
    /// What all jobs of a day (UTC) may cost.
    pub cap_micro_per_day: i64,
    /// What those of one tenant may cost, where that is bounded.
    pub tenant_cap_micro_per_day: Option<i64>,
    /// What those of today cost, those that run counted with the most that they may.
    pub spent_today_micro: i64,
}
