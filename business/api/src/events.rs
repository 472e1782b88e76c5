//! The events that business publishes. The subject is the run's id, or the tool's name.
//!
//! Order of a run's events: `submitted`, `started` (where it started), one of `succeeded | failed |
//! canceled`, `settled`; or `refused` alone. Amounts are micro-credits, durations milliseconds.
//! They carry pseudonymous ids only: no prompt, no URL, no name of a file.

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

/// What every event of a run says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunFacts {
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool.
    pub tool_version: String,
    /// What it makes: `image`, `video`, `operator` …
    pub category: String,
    /// The project; empty where it belongs to none.
    pub project_id: String,
    /// As quoted.
    pub price_micro: i64,
    /// Equal for the same tool and input in the same organisation: collapses a person's retries. A digest.
    pub request: String,
}

/// How long the parts of a run took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunTimings {
    /// From acceptance to the end of the work.
    pub total_ms: i64,
    /// From acceptance to the first assignment.
    pub queue_ms: i64,
    /// Loading of models that this run waited for.
    pub load_ms: i64,
    /// Compute of all attempts.
    pub compute_ms: i64,
    /// Attempts that were made.
    pub attempts: i32,
}

/// A run was accepted: its price is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSubmitted {
    /// What it is.
    #[serde(flatten)]
    pub run: RunFacts,
    /// What billing holds.
    pub held_micro: i64,
    /// Compute as predicted.
    pub predicted_ms: i64,
    /// The mandate that pays.
    pub mandate_id: String,
}
event!(RunSubmitted, "business.run.submitted", 1);

/// A worker has taken a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunStarted {
    /// What it is.
    #[serde(flatten)]
    pub run: RunFacts,
    /// From acceptance to the first assignment.
    pub queue_ms: i64,
}
event!(RunStarted, "business.run.started", 1);

/// A run has its outputs, and they can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSucceeded {
    /// What it is.
    #[serde(flatten)]
    pub run: RunFacts,
    /// How long it took.
    #[serde(flatten)]
    pub timings: RunTimings,
    /// From acceptance to the first output that could be used.
    pub first_output_ms: i64,
    /// Outputs.
    pub outputs: i32,
    /// What the compute cost us.
    pub cost_micro: i64,
}
event!(RunSucceeded, "business.run.succeeded", 1);

/// A run ended without success, and nobody asked for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunFailed {
    /// What it is.
    #[serde(flatten)]
    pub run: RunFacts,
    /// How long it took.
    #[serde(flatten)]
    pub timings: RunTimings,
    /// A class of the who-pays table: `invalid_input`, `model_error`, `lost_worker`, `timed_out`,
    /// `output_refused`, `expired`.
    pub failure_class: String,
    /// What the compute cost us.
    pub cost_micro: i64,
}
event!(RunFailed, "business.run.failed", 1);

/// A run was stopped because somebody asked, or because its mandate was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunCanceled {
    /// What it is.
    #[serde(flatten)]
    pub run: RunFacts,
    /// How long it took.
    #[serde(flatten)]
    pub timings: RunTimings,
    /// `user_cancel` or `mandate_revoked`.
    pub failure_class: String,
    /// What the compute cost us.
    pub cost_micro: i64,
}
event!(RunCanceled, "business.run.canceled", 1);

/// Billing refused to hold the price: nothing was held and nothing was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunRefused {
    /// What it is.
    #[serde(flatten)]
    pub run: RunFacts,
    /// Code of the problem: `credits_exhausted`, `envelope_exceeded` …
    pub code: String,
}
event!(RunRefused, "business.run.refused", 1);

/// The money of a run is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSettled {
    /// What it is.
    #[serde(flatten)]
    pub run: RunFacts,
    /// `succeeded`, or the failure class.
    pub reason: String,
    /// What billing held.
    pub held_micro: i64,
    /// What the person paid; 0 where everything was returned.
    pub settled_micro: i64,
    /// What the company posted as a loss.
    pub absorbed_micro: i64,
    /// What the compute cost us.
    pub cost_micro: i64,
    /// Compute of all attempts.
    pub compute_ms: i64,
}
event!(RunSettled, "business.run.settled", 1);

/// A version of a tool can be run from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolPublished {
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool.
    pub tool_version: String,
    /// What it makes.
    pub category: String,
    /// `owner/name` of its model.
    pub model: String,
    /// Version of its model.
    pub model_version: String,
    /// SHA-256 of the manifest, hex.
    pub manifest_hash: String,
}
event!(ToolPublished, "business.tool.published", 1);

/// The schemas of all events of business.
#[must_use]
pub fn schemas() -> Vec<EventSchema> {
    let mut schemas = crate::community_events::schemas();
    schemas.extend(tool_schemas());
    schemas
}

fn tool_schemas() -> Vec<EventSchema> {
    vec![
        schema_of::<RunSubmitted>(),
        schema_of::<RunStarted>(),
        schema_of::<RunSucceeded>(),
        schema_of::<RunFailed>(),
        schema_of::<RunCanceled>(),
        schema_of::<RunRefused>(),
        schema_of::<RunSettled>(),
        schema_of::<ToolPublished>(),
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
