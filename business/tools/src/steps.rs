//! The calls that a run's steps announce, and what their answers mean.
//!
//! Each call is idempotent by the run's id. What may have been heard is asked again; only an answer that
//! says no for good ends anything.

use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Kind, Problem, codes};
use backlot_inference_api::codes::DEADLINE_IMPOSSIBLE;
use backlot_infrastructure_api::AssetId;
use serde_json::{Value, json};

use crate::facts::{Hold, HoldState, Job, JobState};
use crate::machine::{Answer, Ended, Outcome, Step};
use crate::manifest::{OutputTarget, Tool};
use crate::row::{JobOutput, Model as Row, OutputAsset};
use crate::service::Service;
use crate::store::Change;
use crate::systems::{capability_s, inline_target};
use crate::who_pays::FailureClass;

/// Longest text of an error or a failure that a row keeps.
const TEXT_CHARS_MAX: usize = 1_000;

/// Why a step could not be done now. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("{0}")]
    Call(#[from] Problem),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("tool {0} {1} is not in the catalogue")]
    NoTool(String, String),
    #[error("billing keeps the hold in another state than was asked for")]
    HoldState,
}

impl Service {
    /// Does what the step says; an answer where there is one, nothing where the job still moves.
    pub(crate) async fn carry_out(
        &self,
        row: &mut Row,
        change: &mut Change,
        step: Step,
    ) -> Result<Option<Answer>, StepError> {
        match step {
            Step::Record(answer) => Ok(Some(answer)),
            Step::Done => Ok(None),
            Step::Hold => self.hold(row, change).await.map(Some),
            Step::LookAtInputs => self.look_at_inputs(row, change).await,
            Step::LookAtOutputs => self.look_at_outputs(row, change).await,
            Step::AwaitReview => self.await_review(row).await,
            Step::Submit => self.submit_job(row).await,
            Step::Cancel => Ok(Some(match self.systems().cancel(row.id).await? {
                // What nobody had started is stopped at once.
                Some(job) => self.read_job(row, job).unwrap_or(Answer::CancelAccepted),
                None => Answer::JobGone,
            })),
            Step::Observe => match self.systems().job(row.id).await? {
                Some(job) => Ok(self.read_job(row, job)),
                None => {
                    row.failure_detail = "inference no longer knows the job".to_owned();
                    Ok(Some(Answer::JobGone))
                }
            },
            Step::Keep => self.keep(row).await.map(Some),
            Step::Discard => {
                self.systems().discard(row.id).await?;
                Ok(Some(Answer::NothingKept))
            }
            Step::Settle { amount_micro, absorbed_micro } => {
                let reason = reason_of(row);
                let hold = self.systems().settle(row.id, amount_micro, absorbed_micro, &reason).await;
                self.hold_ended(row, hold).await.map(Some)
            }
            Step::Void { absorbed_micro } => {
                let hold = self.systems().void(row.id, absorbed_micro, &reason_of(row)).await;
                self.hold_ended(row, hold).await.map(Some)
            }
        }
    }

    /// How billing ended the hold. Where it had ended otherwise before, by an operator's hand, the books are right.
    async fn hold_ended(&self, row: &Row, hold: Result<Hold, Problem>) -> Result<Answer, StepError> {
        let hold = match hold {
            Err(problem) if problem.kind == Kind::Conflict => {
                tracing::error!(run = %row.id, %problem, "the hold had ended otherwise; the books are taken as they are");
                self.systems().get_hold(row.id).await?
            }
            answered => answered?,
        };
        match hold.state {
            HoldState::Settled => Ok(Answer::Settled(hold.settled_micro)),
            HoldState::Voided => Ok(Answer::Voided),
            HoldState::Held => Err(StepError::HoldState),
        }
    }

    fn tool_of(&self, row: &Row) -> Result<Arc<Tool>, StepError> {
        let catalogue = self.catalogue();
        let tool = catalogue.version(&row.tool, &row.tool_version);
        tool.cloned().ok_or_else(|| StepError::NoTool(row.tool.clone(), row.tool_version.clone()))
    }

    async fn hold(&self, row: &mut Row, change: &mut Change) -> Result<Answer, StepError> {
        let ttl_s = self.tool_of(row)?.manifest.ttl_s;
        match self.systems().hold(row, ttl_s).await {
            Ok(hold) => {
                row.held_by_mandate.clone_from(&hold.mandate_id);
                change.mandates = hold.chain;
                if !hold.mandate_id.is_empty() && !change.mandates.contains(&hold.mandate_id) {
                    change.mandates.push(hold.mandate_id);
                }
                Ok(Answer::Held(hold.held_micro))
            }
            Err(problem) if refuses_hold(&problem) => {
                row.refusal = serde_json::to_string(&problem).ok();
                Ok(Answer::HoldRefused)
            }
            Err(problem) => Err(problem.into()),
        }
    }

    async fn submit_job(&self, row: &mut Row) -> Result<Option<Answer>, StepError> {
        // An earlier try may have been heard; the URLs in the body differ with every try.
        if row.tries > 0
            && let Some(job) = self.systems().job(row.id).await?
        {
            return Ok(Some(self.read_job(row, job).unwrap_or(Answer::Accepted)));
        }
        let tool = self.tool_of(row)?;
        let manifest = &tool.manifest;
        let life_s = capability_s(&manifest.model, manifest.ttl_s);
        let Some(input) = self.job_input(row, life_s).await? else {
            // The input may have been deleted after an earlier submission was heard and before its row was written.
            if let Some(job) = self.systems().job(row.id).await? {
                return Ok(Some(self.read_job(row, job).unwrap_or(Answer::Accepted)));
            }
            row.failure_detail = "an asset of the input is no longer there".to_owned();
            return Ok(Some(Answer::SubmitRefused(FailureClass::InvalidInput)));
        };
        self.make_tenant(row.organisation_id).await?;
        let output = match manifest.output.target {
            OutputTarget::Inline => inline_target(),
            OutputTarget::Storage => {
                let (bytes, count) = (manifest.output.max_bytes, manifest.output.max_outputs);
                match self.systems().issuer(row, life_s, bytes, count).await {
                    Ok(target) => target,
                    // No place for what it would make: a refusal like inference's, and no reason to hold the price.
                    Err(problem) => {
                        return match self.systems().job(row.id).await? {
                            Some(job) => Ok(Some(self.read_job(row, job).unwrap_or(Answer::Accepted))),
                            None => self.submit_refused(row, problem, manifest.ttl_s).await.map(Some),
                        };
                    }
                }
            }
        };
        match self.systems().submit(row, &manifest.model, manifest.ttl_s, &input, output).await {
            Ok(job) => Ok(Some(self.read_job(row, job).unwrap_or(Answer::Accepted))),
            Err(problem) => self.submit_refused(row, problem, manifest.ttl_s).await.map(Some),
        }
    }

    /// What a refusal of inference means for the run.
    async fn submit_refused(&self, row: &mut Row, problem: Problem, ttl_s: u32) -> Result<Answer, StepError> {
        let expired = self.now() > row.created_at.plus(Duration::from_secs(u64::from(ttl_s)));
        let refused = |row: &mut Row, class| {
            row.failure_detail = cut(&problem.detail);
            Ok(Answer::SubmitRefused(class))
        };
        if problem.code == DEADLINE_IMPOSSIBLE.name {
            return refused(row, FailureClass::Expired);
        }
        match problem.kind {
            // An earlier Submit was heard: the key is this run's id, so the job is this run's.
            Kind::Conflict => match self.systems().job(row.id).await? {
                Some(job) => Ok(self.read_job(row, job).unwrap_or(Answer::Accepted)),
                None => Err(problem.into()),
            },
            Kind::BadRequest | Kind::Unprocessable | Kind::TooLarge | Kind::UnsupportedMedia => {
                refused(row, FailureClass::InvalidInput)
            }
            Kind::Gone => refused(row, FailureClass::LostWorker),
            // Said for certain, and it may pass: a full queue, a model that is not registered yet.
            Kind::TooMany
            | Kind::NotFound
            | Kind::FailedPrecondition
            | Kind::Forbidden
            | Kind::PaymentRequired
                if expired =>
            {
                refused(row, FailureClass::Expired)
            }
            Kind::NotFound => {
                self.systems().put_model(&self.tool_of(row)?.manifest.model).await?;
                Err(problem.into())
            }
            Kind::TooMany
            | Kind::FailedPrecondition
            | Kind::Forbidden
            | Kind::PaymentRequired
            | Kind::Unauthenticated
            | Kind::Internal
            | Kind::Unavailable
            | Kind::Timeout => Err(problem.into()),
        }
    }

    /// The input with its assets as files that can be downloaded; `None` where one is gone.
    async fn job_input(&self, row: &Row, life_s: i64) -> Result<Option<Value>, StepError> {
        let mut input = row.input();
        for (property, asset_id) in row.input_assets() {
            let Some(file) = self.file_of(row, asset_id, life_s).await? else { return Ok(None) };
            // A property, or a place in a list of one.
            let Some(place) = input.pointer_mut(&format!("/{property}")) else { return Ok(None) };
            *place = file;
        }
        Ok(Some(input))
    }

    async fn file_of(&self, row: &Row, asset_id: AssetId, life_s: i64) -> Result<Option<Value>, StepError> {
        let organisation = row.organisation_id;
        let Some(asset) = self.systems().asset(organisation, asset_id).await? else { return Ok(None) };
        match self.systems().sign_download(organisation, asset_id, life_s).await {
            Ok(url) => Ok(Some(json!({ "$file": url, "name": asset.name }))),
            Err(problem) if matches!(problem.kind, Kind::NotFound | Kind::Gone) => Ok(None),
            Err(problem) => Err(problem.into()),
        }
    }

    /// Takes the job's facts into the row; an answer where it has ended.
    fn read_job(&self, row: &mut Row, job: Job) -> Option<Answer> {
        row.started_at = row.started_at.or(job.started_at.map(|at| at.max(row.created_at)));
        row.compute_ms = job.compute_ms;
        row.load_ms = job.load_ms;
        row.job_attempts = i32::try_from(job.attempts.len()).unwrap_or(i32::MAX);
        let (outcome, failure) = match job.state {
            JobState::Queued | JobState::Running => return None,
            JobState::Succeeded => (Outcome::Succeeded, None),
            JobState::Failed => (Outcome::Failed, Some(job.failure)),
            JobState::Canceled => {
                let class = match row.cancel_reason.as_deref() {
                    Some("mandate_revoked") => FailureClass::MandateRevoked,
                    // Whoever may cancel the job in inference acts for the same organisation.
                    Some(_) | None => FailureClass::UserCancel,
                };
                (Outcome::Canceled, Some(class))
            }
            JobState::Expired => (Outcome::Expired, Some(FailureClass::Expired)),
        };
        let kept = |output: &&JobOutput| !output.object_key.is_empty();
        let has_outputs = !job.winning_fence.is_empty() && job.outputs.iter().any(|output| kept(&output));
        row.ended_at = job.ended_at;
        row.failure_detail = cut(&job.message);
        row.winning_fence = job.winning_fence;
        row.job_outputs = serde_json::to_string(&job.outputs).unwrap_or_default();
        if !row.uses_storage {
            let values: Vec<OutputAsset> = job.outputs.iter().map(inline_output).collect();
            row.outputs = serde_json::to_string(&values).unwrap_or_default();
        }
        Some(Answer::Ended(Ended {
            outcome,
            failure,
            delivered_ppm: job.delivered_ppm,
            compute_ms: job.compute_ms,
            has_outputs,
        }))
    }

    async fn keep(&self, row: &mut Row) -> Result<Answer, StepError> {
        match self.systems().keep(row).await {
            Ok(assets) => {
                row.outputs = serde_json::to_string(&assets).unwrap_or_default();
                Ok(Answer::Kept)
            }
            Err(problem) if refuses_outputs(problem.kind) => {
                row.failure_detail = cut(&problem.detail);
                Ok(Answer::NotKept)
            }
            Err(problem) => Err(problem.into()),
        }
    }
}

/// Whether billing has said no, for good. Anything else may have been heard, and is asked again.
fn refuses_hold(problem: &Problem) -> bool {
    // This one is about our own token, and says nothing about the person.
    if problem.is(&codes::FORBIDDEN) {
        return false;
    }
    match problem.kind {
        Kind::PaymentRequired
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Gone
        | Kind::BadRequest
        | Kind::Unprocessable
        | Kind::TooLarge
        | Kind::UnsupportedMedia
        | Kind::FailedPrecondition => true,
        // A conflict says that there is a hold under this id: it must not be forgotten.
        Kind::Conflict
        | Kind::Unauthenticated
        | Kind::TooMany
        | Kind::Internal
        | Kind::Unavailable
        | Kind::Timeout => false,
    }
}

/// Whether storage has said that these outputs will never be assets.
const fn refuses_outputs(kind: Kind) -> bool {
    match kind {
        Kind::FailedPrecondition
        | Kind::NotFound
        | Kind::Gone
        | Kind::BadRequest
        | Kind::Unprocessable
        | Kind::TooLarge
        | Kind::UnsupportedMedia
        | Kind::Conflict
        | Kind::PaymentRequired => true,
        Kind::Forbidden
        | Kind::Unauthenticated
        | Kind::TooMany
        | Kind::Internal
        | Kind::Unavailable
        | Kind::Timeout => false,
    }
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// `succeeded`, or the failure class.
pub(crate) fn reason_of(row: &Row) -> String {
    row.failure_class.clone().unwrap_or_else(|| "succeeded".to_owned())
}

fn inline_output(output: &JobOutput) -> OutputAsset {
    OutputAsset {
        id: String::new(),
        name: output.name.clone(),
        content_type: output.content_type.clone(),
        size_bytes: output.size_bytes,
        width: 0,
        height: 0,
        duration_ms: 0,
        value: output.value.clone(),
    }
}
