//! The events that inference publishes. The subject is the job's id, or the agent's; the organisation is the tenant.
//!
//! Order of a job's events: `submitted`, `started` at most once, then exactly one of `succeeded | failed | canceled |
//! expired`. Durations are milliseconds. Pseudonymous ids only: no input, no URL, no name of a file or a host.

use backlot_foundation_events::{EventSchema, EventType, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! event {
    ($name:ident, $text:literal, $version:literal) => {
        impl EventType for $name {
            const TYPE: &'static str = $text;
            const VERSION: u32 = $version;
        }
    };
}

/// What every event of a job says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobFacts {
    /// Namespace of the issuer that submitted it.
    pub namespace: String,
    /// Who it counts for: opaque.
    pub tenant: String,
    /// `owner/name` of the model.
    pub model: String,
    /// Version of the model.
    pub model_version: String,
    /// `interactive`, `standard` or `batch`.
    pub tier: String,
}

/// How long the parts of a job took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobTimings {
    /// From acceptance to the end.
    pub total_ms: i64,
    /// From acceptance to the first assignment; to the end where it was never assigned.
    pub queue_ms: i64,
    /// Loading of models, over all attempts.
    pub load_ms: i64,
    /// Compute, over all attempts.
    pub compute_ms: i64,
    /// Attempts that were made.
    pub attempts: u32,
}

/// A job is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobSubmitted {
    /// What it is.
    #[serde(flatten)]
    pub job: JobFacts,
    /// Compute as predicted by the caller; 0 where it did not say.
    pub predicted_ms: i64,
}
event!(JobSubmitted, "inference.job.submitted", 1);

/// A job began to compute for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobStarted {
    /// What it is.
    #[serde(flatten)]
    pub job: JobFacts,
    /// From acceptance to the first assignment.
    pub queue_ms: i64,
    /// Where it runs.
    pub region: String,
}
event!(JobStarted, "inference.job.started", 1);

/// A job has its result, and its outputs are where they belong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobSucceeded {
    /// What it is.
    #[serde(flatten)]
    pub job: JobFacts,
    /// How long it took.
    #[serde(flatten)]
    pub timings: JobTimings,
    /// Number of outputs.
    pub outputs: u32,
}
event!(JobSucceeded, "inference.job.succeeded", 1);

/// A job failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobFailed {
    /// What it is.
    #[serde(flatten)]
    pub job: JobFacts,
    /// How long it took.
    #[serde(flatten)]
    pub timings: JobTimings,
    /// `invalid_input`, `model_error`, `lost_worker`, `timed_out` or `output_refused`.
    pub failure: String,
}
event!(JobFailed, "inference.job.failed", 1);

/// A job was canceled, and nothing of it runs any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobCanceled {
    /// What it is.
    #[serde(flatten)]
    pub job: JobFacts,
    /// How long it took.
    #[serde(flatten)]
    pub timings: JobTimings,
    /// From the request to its confirmation.
    pub confirm_ms: i64,
}
event!(JobCanceled, "inference.job.canceled", 1);

/// A job waited longer than its time to live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobExpired {
    /// What it is.
    #[serde(flatten)]
    pub job: JobFacts,
    /// How long it took.
    #[serde(flatten)]
    pub timings: JobTimings,
}
event!(JobExpired, "inference.job.expired", 1);

/// An agent connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentJoined {
    /// Where it is.
    pub region: String,
    /// Its workers.
    pub workers: u32,
    /// Their GPUs.
    pub gpus: u32,
}
event!(AgentJoined, "inference.agent.joined", 1);

/// An agent's connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentLost {
    /// Where it was.
    pub region: String,
}
event!(AgentLost, "inference.agent.lost", 1);

/// The schemas of all events of inference.
#[must_use]
pub fn schemas() -> Vec<EventSchema> {
    vec![
        schema_of::<JobSubmitted>(),
        schema_of::<JobStarted>(),
        schema_of::<JobSucceeded>(),
        schema_of::<JobFailed>(),
        schema_of::<JobCanceled>(),
        schema_of::<JobExpired>(),
        schema_of::<AgentJoined>(),
        schema_of::<AgentLost>(),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_schemas_say_what_the_types_say() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"));
        backlot_foundation_events::check_schemas(folder, &super::schemas());
    }
}
