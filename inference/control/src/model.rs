//! Jobs, attempts, models and the fleet, as the service knows them.

use std::{collections::BTreeSet, sync::Arc};

use backlot_foundation_time::Timestamp;
use backlot_inference_api::JobId;
use backlot_inference_scheduler as scheduler;
use scheduler::{Fence, JobKey, ModelKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::overflow::Charge;

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Its name in the database, in JSON and in events.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads its name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

text_enum!(
    /// Where a job stands.
    JobState {
        /// It waits.
        Queued = "queued",
        /// An attempt is leased.
        Running = "running",
        /// It has its result.
        Succeeded = "succeeded",
        /// It failed for good.
        Failed = "failed",
        /// It was canceled, and nothing of it runs.
        Canceled = "canceled",
        /// It waited too long.
        Expired = "expired",
    }
);
text_enum!(
    /// What a job is doing.
    Phase {
        /// Waiting.
        Queued = "queued",
        /// Input files are downloaded.
        Fetching = "fetching",
        /// The model is loaded.
        Loading = "loading",
        /// The model computes.
        Running = "running",
        /// It is held between two steps while its worker runs something short.
        Paused = "paused",
        /// Outputs are uploaded.
        Uploading = "uploading",
    }
);
text_enum!(
    /// Why a job failed.
    Failure {
        /// The input is not what the model takes.
        InvalidInput = "invalid_input",
        /// The model failed.
        ModelError = "model_error",
        /// The worker was lost, more often than a job may be tried.
        LostWorker = "lost_worker",
        /// An attempt took longer than it may.
        TimedOut = "timed_out",
        /// The outputs' target refused them.
        OutputRefused = "output_refused",
    }
);
text_enum!(
    /// How soon somebody needs the result.
    Tier {
        /// A person waits.
        Interactive = "interactive",
        /// Soon.
        Standard = "standard",
        /// Whenever it is cheap.
        Batch = "batch",
    }
);
text_enum!(
    /// How an attempt ended.
    AttemptOutcome {
        /// With the result that counts.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
        /// It was stopped on request.
        Canceled = "canceled",
        /// Nobody answered for it any more.
        Lost = "lost",
    }
);
text_enum!(
    /// How a model is run.
    RuntimeKind {
        /// Gives its input back: for measuring.
        Echo = "echo",
        /// One process a job.
        Command = "command",
        /// A Cog predictor server, kept warm.
        Cog = "cog",
    }
);

impl JobState {
    /// Whether nothing changes any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Expired => true,
        }
    }
}

impl From<scheduler::FailureClass> for Failure {
    fn from(class: scheduler::FailureClass) -> Self {
        match class {
            scheduler::FailureClass::InvalidInput => Self::InvalidInput,
            scheduler::FailureClass::ModelError => Self::ModelError,
            scheduler::FailureClass::LostWorker => Self::LostWorker,
            scheduler::FailureClass::TimedOut => Self::TimedOut,
            scheduler::FailureClass::OutputRefused => Self::OutputRefused,
        }
    }
}

impl From<Tier> for scheduler::Tier {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Interactive => Self::Interactive,
            Tier::Standard => Self::Standard,
            Tier::Batch => Self::Batch,
        }
    }
}

/// A job, without its input.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Namespace of the issuer that submitted it.
    #[serde(skip)]
    pub namespace: String,
    /// Who it counts for: opaque.
    pub tenant: String,
    /// `owner/name`.
    pub model: String,
    /// Version of the model.
    pub model_version: String,
    /// How soon.
    pub tier: Tier,
    /// Where it stands.
    pub state: JobState,
    /// What it is doing.
    pub phase: Phase,
    /// 0 to 1, as the model reports it.
    pub progress: f64,
    /// What the model says it is doing.
    pub progress_note: String,
    /// How the result looks so far: a data URL of a small picture, or empty. Shown and not written.
    pub preview: String,
    /// Jobs that should start before it.
    pub position: u32,
    /// Milliseconds until it starts, as likely earlier as later; 0 where it does not wait.
    pub start_p50_ms: i64,
    /// Milliseconds until it starts, with 9 chances in 10; 0 where it does not wait.
    pub start_p90_ms: i64,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why it failed, for people.
    pub message: String,
    /// Its outputs, once it has succeeded.
    pub outputs: Vec<Output>,
    /// Fence of the attempt whose result counts; empty before.
    pub winning_fence: String,
    /// What was tried.
    pub attempts: Vec<Attempt>,
    /// End of the log, at most 16 KiB.
    pub log_tail: String,
    /// Milliseconds of compute over all attempts.
    pub compute_ms: i64,
    /// Milliseconds of compute as predicted by the caller; 0: it did not say.
    pub predicted_ms: i64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it first computed.
    pub started_at: Option<Timestamp>,
    /// When its end was asked for.
    pub cancel_requested_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How much of what was asked for is in the outputs, 0 to 1.
    pub delivered_fraction: f64,
    /// Fence of the live lease.
    #[serde(skip)]
    pub fence: Option<Fence>,
    /// Since when it waits.
    #[serde(skip)]
    pub queued_at: Timestamp,
    /// How long it may wait, milliseconds.
    #[serde(skip)]
    pub ttl_ms: i64,
    /// Where it may run; empty: anywhere.
    #[serde(skip)]
    pub regions: BTreeSet<String>,
    /// Where its outputs go.
    #[serde(skip)]
    pub target: Target,
    /// W3C trace context of the submission; may be empty.
    #[serde(skip)]
    pub traceparent: String,
}

impl Job {
    /// Its key in the scheduler.
    #[must_use]
    pub fn key(&self) -> JobKey {
        job_key(self.id)
    }

    /// Attempts that ended without a result that counts.
    #[must_use]
    pub fn attempts_ended(&self) -> u32 {
        let ended = self.attempts.iter().filter(|attempt| attempt.ended_at.is_some()).count();
        u32::try_from(ended).unwrap_or(u32::MAX)
    }

    /// The attempt with this fence.
    pub fn attempt_mut(&mut self, fence: Fence) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.fence == fence)
    }
}

/// The scheduler's key of a job.
#[must_use]
pub fn job_key(id: JobId) -> JobKey {
    JobKey(id.uuid().as_u128())
}

/// One try at a job.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Attempt {
    /// `epoch-sequence`: what makes its result count.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    pub fence: Fence,
    /// The agent.
    pub agent: String,
    /// The worker, within the agent.
    pub worker: String,
    /// Where.
    pub region: String,
    /// When it was leased.
    pub assigned_at: Timestamp,
    /// When it began to compute.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended; nothing while it lives.
    pub outcome: Option<AttemptOutcome>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why it failed, for people.
    pub message: String,
    /// Milliseconds that loading took.
    pub load_ms: i64,
    /// Milliseconds of compute, without pauses.
    pub compute_ms: i64,
    /// Milliseconds that it was held between two of its steps.
    pub held_ms: i64,
    /// What it was charged, where it runs with a third party. Nobody's business but the queue's.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) charge: Option<Charge>,
}

fn as_text<S: serde::Serializer>(fence: &Fence, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(fence)
}

/// One output of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// Where it is in the issuer's store; empty where it is inline.
    pub object_key: String,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size.
    pub size_bytes: i64,
    /// SHA-256, hex.
    pub sha256: String,
    /// The content in base64, where it is inline.
    pub inline_base64: String,
}

/// Where outputs go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// They stay in the job: at most 16 KiB.
    Inline,
    /// An issuer gives a signed upload for each.
    Issuer {
        /// Its address.
        url: String,
        /// The right to ask it.
        capability: String,
    },
}

/// A model's version. Never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelSpec {
    /// `owner/name`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How it is run.
    pub runtime: RuntimeKind,
    /// Folder of the worker on the agent.
    pub worker: String,
    /// JSON Schema of the input.
    #[schema(value_type = Object)]
    pub input_schema: serde_json::Value,
    /// Expected milliseconds to load.
    pub load_ms: i64,
    /// Expected milliseconds for a typical input.
    pub run_ms: i64,
    /// Memory while loaded, MiB.
    pub memory_mib: i64,
    /// GPUs that it needs; 0: runs on a CPU.
    pub gpus: u32,
    /// Longest attempt, milliseconds; 0: the default.
    pub timeout_ms: i64,
    /// What a pause between two of its steps takes; nothing where its runtime cannot hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pausing: Option<Pausing>,
}

/// A model can be held between two of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pausing {
    /// Milliseconds of compute that one pause with its resumption costs.
    pub cost_ms: i64,
}

impl ModelSpec {
    /// Its key in the scheduler: `owner/name:version`.
    #[must_use]
    pub fn key(&self) -> ModelKey {
        model_key(&self.name, &self.version)
    }

    /// The part of its name before the slash, which belongs to one namespace.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.name.split_once('/').map_or(self.name.as_str(), |(owner, _)| owner)
    }

    /// What the scheduler must know of it.
    #[must_use]
    pub fn profile(&self) -> scheduler::ModelProfile {
        scheduler::ModelProfile {
            model: self.key(),
            load_ms: self.load_ms,
            run_ms: self.run_ms,
            memory_mib: self.memory_mib,
            gpus: self.gpus,
            timeout_ms: self.timeout_ms,
            offers: scheduler::Offers {
                pause: self.pausing.map(|pausing| scheduler::Pausing { cost_ms: pausing.cost_ms }),
            },
        }
    }
}

/// The scheduler's key of a model's version.
#[must_use]
pub fn model_key(name: &str, version: &str) -> ModelKey {
    ModelKey::from(format!("{name}:{version}").as_str())
}

/// A registered model's version.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Model {
    /// Whose it is: the namespace that registered it. No other sees it, or registers another of its owner's names.
    #[serde(skip)]
    pub namespace: String,
    /// What it is.
    #[serde(flatten)]
    pub spec: ModelSpec,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// A tenant's share and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Whose.
    pub namespace: String,
    /// Opaque.
    pub tenant: String,
    /// Share of the fleet against other tenants, in thousandths.
    pub weight_milli: u32,
    /// Jobs that may wait at once.
    pub queued_max: u32,
    /// Where its jobs may run; empty: anywhere.
    pub regions: BTreeSet<String>,
    /// An older one changes nothing.
    pub version: i64,
}

/// The scheduler's key of a tenant.
#[must_use]
pub fn tenant_key(namespace: &str, tenant: &str) -> scheduler::TenantKey {
    scheduler::TenantKey::from(format!("{namespace}/{tenant}").as_str())
}

/// A job that was checked and is to be submitted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The job, as it will be.
    pub job: Job,
    /// Its input, JSON.
    pub input: Arc<str>,
    /// SHA-256 of the idempotency key and of the request; nothing where the caller gave no key.
    pub key: Option<(String, String)>,
}

/// What would happen to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstimateView {
    /// Empty: possible.
    pub impossible_because: String,
    /// Jobs that would start before it.
    pub position: u32,
    /// Milliseconds until it starts, as likely earlier as later.
    pub start_p50_ms: i64,
    /// Milliseconds until it starts, with 9 chances in 10.
    pub start_p90_ms: i64,
    /// Milliseconds of compute.
    pub run_ms: i64,
}

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
    /// Machines that are needed now, those that boot counted.
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
    /// What its provider could not do last; only for systems and staff.
    pub trouble: Option<String>,
}

/// A third party that is paid by use. Money in millionths of a US dollar.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OverflowView {
    /// Its name.
    pub name: String,
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
