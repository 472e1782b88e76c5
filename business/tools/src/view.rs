//! A run as people see it: its row, merged with its job while that still moves.

use backlot_business_api::RunId;
use backlot_foundation_errors::Problem;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, ProjectId};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::facts::{Job, JobState};
use crate::machine::Stage;
use crate::price::QuoteLine;
use crate::row::{Model as Row, OutputAsset};
use crate::service::Service;
use crate::who_pays::{FailureClass, Retry};

/// State of a run. The last five are its end; by then its money is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// Somebody asked it to stop; it has not stopped yet.
    Canceling,
    /// Ended with its outputs.
    Succeeded,
    /// Ended without.
    Failed,
    /// Stopped.
    Canceled,
    /// Billing refused to hold its price: it never ran.
    Refused,
    /// Nothing was free in time.
    Expired,
}

impl RunState {
    /// Whether nothing will ever change again.
    #[must_use]
    pub const fn is_end(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Refused | Self::Expired => true,
            Self::Queued | Self::Running | Self::Canceling => false,
        }
    }
}

/// Why a run did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Failure {
    /// A class of the who-pays table, or the code of billing's refusal.
    pub class: String,
    /// For people.
    pub message: String,
    /// What the model or the other system said; may be empty.
    pub detail: String,
    /// Why it was, or was not, charged.
    pub charged_because: String,
    /// Who may try again.
    pub retry: Option<Retry>,
}

/// A run of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunView {
    /// Also the id of its hold and of its job.
    pub id: RunId,
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool.
    pub version: String,
    /// How it stands.
    pub state: RunState,
    /// What is being done: `holding`, `submitting`, `queued`, `fetching`, `loading`, `running`, `uploading`,
    /// `finalising`, `settling`, `done`.
    pub phase: String,
    /// 0 to 1.
    pub progress: f64,
    /// For people.
    pub progress_note: String,
    /// In the queue; 0: next, or no longer in it.
    pub position: i32,
    /// Half of such runs start within this time from now; null where it is not known.
    pub start_p50_ms: Option<i64>,
    /// Nine of ten such runs start within this time from now; null where it is not known.
    pub start_p90_ms: Option<i64>,
    /// Input, with the defaults filled in.
    #[schema(value_type = Object)]
    pub input: Value,
    /// As quoted.
    pub price_micro: i64,
    /// What the price is made of.
    pub price_lines: Vec<QuoteLine>,
    /// What billing holds or held.
    pub held_micro: i64,
    /// What was charged; null until that is decided.
    pub settled_micro: Option<i64>,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
    /// What it made, as soon as it can be used.
    pub outputs: Vec<OutputAsset>,
    /// The job in inference; null before there is one.
    pub job_id: Option<RunId>,
    /// Who asked for it.
    pub actor_id: String,
    /// Where it belongs.
    pub project_id: Option<ProjectId>,
    /// The mandate that pays: as asked for, then as billing answered.
    pub mandate_id: Option<MandateId>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When a worker took it.
    pub started_at: Option<Timestamp>,
    /// When somebody asked it to stop.
    pub cancel_requested_at: Option<Timestamp>,
    /// When the work ended.
    pub ended_at: Option<Timestamp>,
    /// When its money was final.
    pub settled_at: Option<Timestamp>,
}

impl RunView {
    /// Changes exactly when the view does: the id of a server-sent event.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(&Sha256::digest(text)[..8])
    }
}

impl Service {
    /// The run as people see it.
    pub(crate) fn view(&self, row: &Row, job: Option<&Job>) -> Result<RunView, Problem> {
        let stage = row.stage().map_err(|error| Problem::internal(&error))?;
        let state = state_of(row, stage, job);
        let waiting = job.filter(|job| job.state == JobState::Queued);
        let running = job.filter(|_| stage == Stage::Submitted);
        let held_by = MandateId::parse(&row.held_by_mandate).ok();
        Ok(RunView {
            id: row.id,
            tool: row.tool.clone(),
            version: row.tool_version.clone(),
            state,
            phase: phase_of(row, stage, job).to_owned(),
            progress: if state == RunState::Succeeded {
                1.0
            } else {
                running.map_or(0.0, |job| job.progress)
            },
            progress_note: running.map(|job| job.progress_note.clone()).unwrap_or_default(),
            position: waiting.map_or(0, |job| job.position),
            start_p50_ms: waiting.map(|job| job.start_p50_ms),
            start_p90_ms: waiting.map(|job| job.start_p90_ms),
            input: row.input(),
            price_micro: row.price_micro,
            price_lines: row.quote_lines(),
            held_micro: row.held_micro,
            settled_micro: row.charge_micro.or((stage == Stage::Refused).then_some(0)),
            failure: self.failure_of(row, stage),
            outputs: if stage >= Stage::Finalised && has_delivered(row) { row.outputs() } else { Vec::new() },
            job_id: row.accepted.then_some(row.id),
            actor_id: row.actor_id.clone(),
            project_id: row.project_id,
            mandate_id: held_by.or(row.mandate_id),
            created_at: row.created_at,
            started_at: row.started_at,
            cancel_requested_at: row.cancel_requested_at,
            ended_at: row.ended_at.or(row.closed_at),
            settled_at: row.closed_at,
        })
    }

    fn failure_of(&self, row: &Row, stage: Stage) -> Option<Failure> {
        if stage == Stage::Refused {
            let problem = row.refusal()?;
            return Some(Failure {
                class: problem.code,
                message: problem.title,
                detail: problem.detail,
                charged_because: "Nothing was charged, because nothing was held.".to_owned(),
                retry: Some(Retry::ByUser),
            });
        }
        let class = FailureClass::parse(row.failure_class.as_deref()?)?;
        let overrides = self.overrides(row);
        let rule = self.who_pays().row(class, &overrides);
        Some(Failure {
            class: class.as_str().to_owned(),
            message: rule.message.clone(),
            detail: row.failure_detail.clone(),
            charged_because: rule.because.clone(),
            retry: Some(rule.retry),
        })
    }
}

fn has_delivered(row: &Row) -> bool {
    row.delivered_ppm > 0
}

/// A run is at its end only when its money is: whoever sees `succeeded` can read the books.
fn state_of(row: &Row, stage: Stage, job: Option<&Job>) -> RunState {
    match (stage, row.outcome.as_deref()) {
        (Stage::Refused, _) => RunState::Refused,
        (Stage::Settled | Stage::Voided, Some("succeeded")) => RunState::Succeeded,
        (Stage::Settled | Stage::Voided, Some("canceled")) => RunState::Canceled,
        (Stage::Settled | Stage::Voided, Some("expired")) => RunState::Expired,
        (Stage::Settled | Stage::Voided, _) => RunState::Failed,
        (Stage::Terminal | Stage::Finalised, Some("succeeded")) => RunState::Running,
        (_, _) if row.cancel_reason.is_some() => RunState::Canceling,
        (Stage::Terminal | Stage::Finalised, _) => RunState::Running,
        (_, _) if row.started_at.is_some() => RunState::Running,
        (_, _) if job.is_some_and(|job| job.state != JobState::Queued) => RunState::Running,
        (_, _) => RunState::Queued,
    }
}

fn phase_of(row: &Row, stage: Stage, job: Option<&Job>) -> &'static str {
    match stage {
        Stage::Intent => "holding",
        Stage::Held => "submitting",
        Stage::Submitted if !row.accepted => "submitting",
        Stage::Submitted => {
            job.map_or(if row.started_at.is_some() { "running" } else { "queued" }, |job| job.phase)
        }
        Stage::Terminal => "finalising",
        Stage::Finalised => "settling",
        Stage::Settled | Stage::Voided | Stage::Refused => "done",
    }
}
