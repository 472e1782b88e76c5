//! A run's row, and what is derived from it.

use backlot_business_api::RunId;
use backlot_business_api::events::{RunFacts, RunTimings};
use backlot_foundation_errors::Problem;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, MandateId, OrganisationId, ProjectId};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::{CancelReason, Ended, Looks, Outcome, Run, Stage};
use crate::price::QuoteLine;
use crate::who_pays::{Charge, FailureClass};

/// One run. Lists and documents are JSON text; a stage, an outcome and a class are their stable texts.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
pub struct Model {
    /// Also the hold's and the job's.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RunId,
    /// Rises with every write; a write names the one that it read.
    pub version: i64,
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// Where it belongs.
    pub project_id: Option<ProjectId>,
    /// Who asked for it.
    pub actor_id: String,
    /// The mandate that the request named.
    pub mandate_id: Option<MandateId>,
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool.
    pub tool_version: String,
    /// What it makes.
    pub category: String,
    /// JSON, defaults filled in.
    pub input: String,
    /// JSON list of `[property, asset id]`.
    pub input_assets: String,
    /// Digest of organisation, tool and input.
    pub request_digest: String,
    /// As quoted.
    pub price_micro: i64,
    /// JSON list of lines.
    pub quote_lines: String,
    /// Compute as predicted.
    pub predicted_ms: i64,
    /// What a second of compute costs us.
    pub cost_micro_per_compute_second: i64,
    /// Whether outputs become assets.
    pub uses_storage: bool,
    /// How far it has come.
    pub stage: String,
    /// What billing holds.
    pub held_micro: i64,
    /// The mandate that pays, as billing answered; may be empty.
    pub held_by_mandate: String,
    /// Why it is to stop.
    pub cancel_reason: Option<String>,
    /// Inference knows the job.
    pub accepted: bool,
    /// Inference was told to stop it.
    pub cancel_sent: bool,
    /// How the work ended.
    pub outcome: Option<String>,
    /// Why it did not succeed.
    pub failure_class: Option<String>,
    /// What inference said about that.
    pub failure_detail: String,
    /// Parts per million that exist.
    pub delivered_ppm: i64,
    /// Compute of all attempts.
    pub compute_ms: i64,
    /// Loading of models.
    pub load_ms: i64,
    /// From acceptance to the first assignment.
    pub queue_ms: i64,
    /// Attempts that were made.
    pub job_attempts: i32,
    /// Whether there are objects to keep.
    pub has_outputs: bool,
    /// JSON list of [`JobOutput`].
    pub job_outputs: String,
    /// Of the attempt that won.
    pub winning_fence: String,
    /// JSON list of [`OutputAsset`].
    pub outputs: String,
    /// What the person pays; written once.
    pub charge_micro: Option<i64>,
    /// What the company posts as a loss.
    pub absorbed_micro: i64,
    /// What the compute cost us.
    pub cost_micro: i64,
    /// What billing posted.
    pub settled_micro: i64,
    /// Billing's problem, as JSON.
    pub refusal: Option<String>,
    /// Failed tries of the present step.
    pub tries: i32,
    /// When the reconciler looks again; `None` at the end.
    pub due_at: Option<Timestamp>,
    /// Of the last try; for operators.
    pub last_error: String,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When somebody asked to stop it.
    pub cancel_requested_at: Option<Timestamp>,
    /// When a worker took it first.
    pub started_at: Option<Timestamp>,
    /// When the work ended.
    pub ended_at: Option<Timestamp>,
    /// When outputs could be used and the amounts were written.
    pub finalised_at: Option<Timestamp>,
    /// When its money was final.
    pub closed_at: Option<Timestamp>,
    /// Pictures of the input must pass moderation.
    pub looks_at_inputs: bool,
    /// What comes out must pass moderation.
    pub looks_at_outputs: bool,
    /// The input has passed.
    pub inputs_passed: bool,
    /// What came out has passed, or nothing is left of it.
    pub outputs_passed: bool,
    /// What came out waits for a person.
    pub in_review: bool,
    /// W3C trace context of the request that it came with; may be empty.
    pub traceparent: String,
    /// The latest useful finish.
    pub deadline_at: Option<Timestamp>,
}

/// Of runs: none.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An object that the winning attempt wrote, or a small value that stayed in the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOutput {
    /// Empty for a small value.
    pub object_key: String,
    /// As the model names it.
    pub name: String,
    /// As the model claims it.
    pub content_type: String,
    /// Bytes.
    pub size_bytes: i64,
    /// Hex.
    pub sha256: String,
    /// A small value, where it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// An output that became an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputAsset {
    /// The asset.
    pub id: String,
    /// As the model names it.
    pub name: String,
    /// As sniffed.
    pub content_type: String,
    /// Bytes.
    pub size_bytes: i64,
    /// Pixels, 0 where unknown.
    pub width: i32,
    /// Pixels, 0 where unknown.
    pub height: i32,
    /// Milliseconds, 0 for a still.
    pub duration_ms: i64,
    /// A small value of the job; no asset then, and `id` is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// A text of the row that nobody but a newer version of this program can have written.
#[derive(Debug, thiserror::Error)]
#[error("run {run} has an unreadable {column}")]
pub struct RowError {
    /// Which run.
    pub run: RunId,
    /// Which column.
    pub column: &'static str,
}

impl Model {
    /// The part that money follows from.
    pub fn money(&self) -> Result<Run, RowError> {
        let broken = |column| RowError { run: self.id, column };
        let failure = self.failure()?;
        let outcome = self.outcome()?;
        Ok(Run {
            stage: self.stage()?,
            price_micro: self.price_micro,
            predicted_ms: self.predicted_ms,
            cost_micro_per_compute_second: self.cost_micro_per_compute_second,
            uses_storage: self.uses_storage,
            looks: Looks {
                at_inputs: self.looks_at_inputs,
                at_outputs: self.looks_at_outputs,
                inputs_passed: self.inputs_passed,
                outputs_passed: self.outputs_passed,
                in_review: self.in_review,
            },
            held_micro: self.held_micro,
            cancel: match self.cancel_reason.as_deref() {
                None => None,
                Some("user") => Some(CancelReason::User),
                Some("mandate_revoked") => Some(CancelReason::MandateRevoked),
                Some(_) => return Err(broken("cancel_reason")),
            },
            accepted: self.accepted,
            cancel_sent: self.cancel_sent,
            ended: outcome.map(|outcome| Ended {
                outcome,
                failure,
                delivered_ppm: self.delivered_ppm,
                compute_ms: self.compute_ms,
                has_outputs: self.has_outputs,
            }),
            charge: self.charge_micro.map(|settle_micro| Charge {
                settle_micro,
                absorbed_micro: self.absorbed_micro,
                cost_micro: self.cost_micro,
            }),
            settled_micro: self.settled_micro,
        })
    }

    /// Takes the machine's state over.
    pub fn take(&mut self, run: &Run) {
        self.stage = run.stage.as_str().to_owned();
        self.held_micro = run.held_micro;
        self.cancel_reason = run.cancel.map(|reason| {
            match reason {
                CancelReason::User => "user",
                CancelReason::MandateRevoked => "mandate_revoked",
            }
            .to_owned()
        });
        self.accepted = run.accepted;
        self.inputs_passed = run.looks.inputs_passed;
        self.outputs_passed = run.looks.outputs_passed;
        self.in_review = run.looks.in_review;
        self.cancel_sent = run.cancel_sent;
        self.settled_micro = run.settled_micro;
        if let Some(ended) = run.ended {
            self.outcome = Some(ended.outcome.as_str().to_owned());
            self.failure_class = ended.failure.map(|class| class.as_str().to_owned());
            self.delivered_ppm = ended.delivered_ppm;
            self.compute_ms = ended.compute_ms;
            self.has_outputs = ended.has_outputs;
        }
        if let Some(charge) = &run.charge {
            self.charge_micro = Some(charge.settle_micro);
            self.absorbed_micro = charge.absorbed_micro;
            self.cost_micro = charge.cost_micro;
        }
    }

    /// How far it has come.
    pub fn stage(&self) -> Result<Stage, RowError> {
        Stage::parse(&self.stage).ok_or(RowError { run: self.id, column: "stage" })
    }

    /// How the work ended.
    pub fn outcome(&self) -> Result<Option<Outcome>, RowError> {
        Ok(match self.outcome.as_deref() {
            None => None,
            Some("succeeded") => Some(Outcome::Succeeded),
            Some("failed") => Some(Outcome::Failed),
            Some("canceled") => Some(Outcome::Canceled),
            Some("expired") => Some(Outcome::Expired),
            Some(_) => return Err(RowError { run: self.id, column: "outcome" }),
        })
    }

    /// Why it did not succeed.
    pub fn failure(&self) -> Result<Option<FailureClass>, RowError> {
        let broken = RowError { run: self.id, column: "failure_class" };
        self.failure_class.as_deref().map(|text| FailureClass::parse(text).ok_or(broken)).transpose()
    }

    /// The input with its defaults.
    #[must_use]
    pub fn input(&self) -> Value {
        serde_json::from_str(&self.input).unwrap_or_default()
    }

    /// Assets of the input, by property.
    #[must_use]
    pub fn input_assets(&self) -> Vec<(String, AssetId)> {
        serde_json::from_str(&self.input_assets).unwrap_or_default()
    }

    /// What the winning attempt wrote.
    #[must_use]
    pub fn job_outputs(&self) -> Vec<JobOutput> {
        serde_json::from_str(&self.job_outputs).unwrap_or_default()
    }

    /// What can be used.
    #[must_use]
    pub fn outputs(&self) -> Vec<OutputAsset> {
        serde_json::from_str(&self.outputs).unwrap_or_default()
    }

    /// The quote that it was accepted with.
    #[must_use]
    pub fn quote_lines(&self) -> Vec<QuoteLine> {
        serde_json::from_str(&self.quote_lines).unwrap_or_default()
    }

    /// Why billing refused.
    #[must_use]
    pub fn refusal(&self) -> Option<Problem> {
        self.refusal.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }

    /// What every event says about it.
    #[must_use]
    pub fn facts(&self) -> RunFacts {
        RunFacts {
            tool: self.tool.clone(),
            tool_version: self.tool_version.clone(),
            category: self.category.clone(),
            project_id: self.project_id.map(|id| id.to_string()).unwrap_or_default(),
            price_micro: self.price_micro,
            request: self.request_digest.clone(),
        }
    }

    /// How long its parts took.
    #[must_use]
    pub fn timings(&self) -> RunTimings {
        let end = self.ended_at.unwrap_or(self.created_at);
        RunTimings {
            total_ms: millis_between(self.created_at, end),
            queue_ms: self.queue_ms,
            load_ms: self.load_ms,
            compute_ms: self.compute_ms,
            attempts: self.job_attempts,
        }
    }
}

/// Milliseconds from one instant to a later one; zero where it is earlier.
#[must_use]
pub fn millis_between(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.since(from).as_millis()).unwrap_or(i64::MAX)
}
