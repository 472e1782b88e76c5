//! What is registered before there are jobs: models and tenants.

use std::collections::BTreeSet;

use backlot_foundation_time::Timestamp;
use backlot_inference_scheduler as scheduler;
use scheduler::ModelKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RuntimeKind;

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
    /// What several jobs in one call take; nothing where its runtime takes one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<Batching>,
}

/// A model takes several jobs in one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Batching {
    /// Jobs in one call, 2 to 64.
    pub max: u32,
    /// What each after the first adds, in thousandths of what one takes: a first guess, the queue learns the rest.
    pub more_permille: u32,
    /// Memory that each after the first takes beside the model's, MiB.
    pub memory_mib: i64,
    /// Parameters of the input that must be equal in one call.
    pub key: Vec<String>,
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
                batch: self.batching.as_ref().map(|batching| scheduler::Batching {
                    max: batching.max,
                    more_permille: batching.more_permille,
                    memory_mib: batching.memory_mib,
                }),
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
