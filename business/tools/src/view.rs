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

/// What is being done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its price is being held, or it waits for a worker.
    Queued,
    /// Its input, or what was made, is looked at.
    Checking,
    /// A person has to decide about what was made.
    Reviewing,
    /// A worker fetches its input.
    Fetching,
    /// A worker loads its model.
    Loading,
    /// The model computes.
    Running,
    /// The model stands still between two of its steps while its worker runs something short.
    Paused,
    /// Outputs are brought to the store, made assets, and paid.
    Uploading,
}

/// An output that can be used.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OutputView {
    /// The asset; empty where it is a small value.
    pub id: String,
    /// Always `ready`.
    pub state: &'static str,
    /// As the model names it.
    pub name: String,
    /// As sniffed.
    pub content_type: String,
    /// Bytes.
    pub size_bytes: i64,
    /// Pixels; null where unknown.
    pub width: Option<i32>,
    /// Pixels; null where unknown.
    pub height: Option<i32>,
    /// Milliseconds; null for a still.
    pub duration_ms: Option<i64>,
    /// Route of a small picture of it.
    pub preview_url: Option<String>,
    /// Route of its bytes.
    pub download_url: Option<String>,
    /// The run that made it.
    pub run_id: RunId,
    /// When it could be used.
    pub created_at: Timestamp,
    /// A small value, for tools that make no asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub value: Option<Value>,
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
    /// What is being done; null at the end.
    pub phase: Option<Phase>,
    /// 0 to 1; null where nobody has measured it.
    pub progress: Option<f64>,
    /// For people.
    pub progress_note: Option<String>,
    /// How the result looks so far: a data URL of a small picture; null where the tool shows none, and while a
    /// picture that comes out has to pass moderation first.
    pub preview: Option<String>,
    /// In the queue, 0: next; null where it does not wait.
    pub position: Option<i32>,
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
    pub outputs: Vec<OutputView>,
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
    /// Its latest useful finish; null where it has none.
    pub deadline: Option<Timestamp>,
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
        let waiting = job.filter(|job| stage == Stage::Submitted && job.state == JobState::Queued);
        let running = job.filter(|_| stage == Stage::Submitted);
        let held_by = MandateId::parse(&row.held_by_mandate).ok();
        Ok(RunView {
            id: row.id,
            tool: row.tool.clone(),
            version: row.tool_version.clone(),
            state,
            phase: phase_of(row, stage, job),
            progress: if state == RunState::Succeeded { Some(1.0) } else { running.map(|job| job.progress) },
            progress_note: running.map(|job| job.progress_note.clone()).filter(|note| !note.is_empty()),
            preview: running
                .filter(|_| !row.looks_at_outputs || self.config().moderation.previews)
                .map(|job| job.preview.clone())
                .filter(|preview| !preview.is_empty()),
            position: waiting.map(|job| job.position),
            start_p50_ms: waiting.map(|job| job.start_p50_ms),
            start_p90_ms: waiting.map(|job| job.start_p90_ms),
            input: row.input(),
            price_micro: row.price_micro,
            price_lines: row.quote_lines(),
            held_micro: row.held_micro,
            settled_micro: row.charge_micro.or((stage == Stage::Refused).then_some(0)),
            failure: self.failure_of(row, stage),
            outputs: outputs_of(row, stage),
            job_id: row.accepted.then_some(row.id),
            actor_id: row.actor_id.clone(),
            project_id: row.project_id,
            mandate_id: held_by.or(row.mandate_id),
            created_at: row.created_at,
            started_at: row.started_at,
            deadline: row.deadline_at,
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

/// What can be used: from the moment that it is kept, even before the money is final.
fn outputs_of(row: &Row, stage: Stage) -> Vec<OutputView> {
    if stage < Stage::Finalised || row.delivered_ppm == 0 {
        return Vec::new();
    }
    let created_at = row.finalised_at.unwrap_or(row.created_at);
    row.outputs().into_iter().map(|output| output_view(row.id, created_at, output)).collect()
}

fn output_view(run_id: RunId, created_at: Timestamp, output: OutputAsset) -> OutputView {
    let route = |part: &str| (!output.id.is_empty()).then(|| format!("/v1/assets/{}/{part}", output.id));
    OutputView {
        state: "ready",
        width: Some(output.width).filter(|px| *px > 0),
        height: Some(output.height).filter(|px| *px > 0),
        duration_ms: Some(output.duration_ms).filter(|ms| *ms > 0),
        preview_url: route("preview"),
        download_url: route("content"),
        run_id,
        created_at,
        id: output.id,
        name: output.name,
        content_type: output.content_type,
        size_bytes: output.size_bytes,
        value: output.value,
    }
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

fn phase_of(row: &Row, stage: Stage, job: Option<&Job>) -> Option<Phase> {
    let looked_at = crate::moderation::phase_of(row, stage);
    if looked_at.is_some() {
        return looked_at;
    }
    match stage {
        Stage::Intent | Stage::Held => Some(Phase::Queued),
        Stage::Submitted => Some(match job {
            Some(job) => job.phase,
            None if row.started_at.is_some() => Phase::Running,
            None => Phase::Queued,
        }),
        Stage::Terminal | Stage::Finalised => Some(Phase::Uploading),
        Stage::Settled | Stage::Voided | Stage::Refused => None,
    }
}
