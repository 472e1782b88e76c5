//! Drives runs: asks the machine what to do, does it, writes what came back.
//!
//! One driver a run in this process (`Busy`), and compare-and-set on the row against those of others.
//! It reads rows, never messages: a message only wakes it.

use std::collections::HashMap;
use std::time::Duration;

use backlot_business_api::RunId;
use backlot_business_api::events::{
    RunCanceled, RunFailed, RunRefused, RunSettled, RunStarted, RunSubmitted, RunSucceeded,
};
use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Kind, Problem};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::AssetId;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::facts::{Hold, HoldState, Job, JobState};
use crate::machine::{Answer, CancelReason, Ended, Outcome, Run, Stage, Step, apply, next};
use crate::manifest::{OutputTarget, Tool};
use crate::row::{Model as Row, OutputAsset, RowError, millis_between};
use crate::service::Service;
use crate::store::{Change, NewLine, RunEvent};
use crate::systems::{capability_s, inline_target};
use crate::who_pays::FailureClass;

/// Steps of one drive; a run needs fewer than ten.
const STEPS_MAX: usize = 32;
/// First pause after a failed try; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Doublings after which the pause no longer grows.
const DOUBLINGS_MAX: u32 = 10;
/// Longest text of an error or a failure that a row keeps.
const TEXT_CHARS_MAX: usize = 1_000;

/// Why a drive stopped short.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Our own database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Our own row.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// Why a step could not be done now. It is tried again.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("{0}")]
    Call(#[from] Problem),
    #[error("tool {0} {1} is not in the catalogue")]
    NoTool(String, String),
    #[error("billing keeps the hold in another state than was asked for")]
    HoldState,
}

/// Runs that a driver of this process is at, and whether somebody asked for another round meanwhile.
#[derive(Default)]
pub(crate) struct Busy(Mutex<HashMap<RunId, bool>>);

/// Being at a run; ends when dropped.
struct At<'a> {
    busy: &'a Busy,
    id: RunId,
    left: bool,
}

impl Busy {
    /// `None` where somebody is at it; they will go another round.
    fn enter(&self, id: RunId) -> Option<At<'_>> {
        let mut runs = self.0.lock();
        if let Some(again) = runs.get_mut(&id) {
            *again = true;
            return None;
        }
        runs.insert(id, false);
        Some(At { busy: self, id, left: false })
    }
}

impl At<'_> {
    /// Whether another round was asked for. Where not, nobody is at it any more, in the same instant.
    fn again(&mut self) -> bool {
        let mut runs = self.busy.0.lock();
        match runs.get_mut(&self.id) {
            Some(again) if *again => {
                *again = false;
                true
            }
            Some(_) | None => {
                runs.remove(&self.id);
                self.left = true;
                false
            }
        }
    }
}

impl Drop for At<'_> {
    fn drop(&mut self) {
        // Who has left must not throw out a driver that entered since.
        if !self.left {
            self.busy.0.lock().remove(&self.id);
        }
    }
}

impl Service {
    /// Brings a run as far as it can be brought now.
    pub async fn drive(&self, id: RunId) {
        let Some(mut at) = self.busy().enter(id) else { return };
        loop {
            if let Err(error) = self.drive_round(id).await {
                tracing::error!(run = %id, %error, "a run could not be driven and is tried again");
            }
            if !at.again() {
                return;
            }
        }
    }

    async fn drive_round(&self, id: RunId) -> Result<(), DriveError> {
        for _ in 0..STEPS_MAX {
            let Some(row) = self.store().run(id).await? else { return Ok(()) };
            if row.due_at.is_none() || !self.drive_step(row).await? {
                return Ok(());
            }
        }
        tracing::warn!(run = %id, "a run took more steps than a run needs");
        Ok(())
    }

    /// One step. False where there is nothing more to do now.
    async fn drive_step(&self, mut row: Row) -> Result<bool, DriveError> {
        let mut run = row.money()?;
        let mut change = Change::default();
        let now = self.now();
        let may_be_withdrawn =
            matches!(run.stage, Stage::Held | Stage::Submitted) && row.started_at.is_none();
        if may_be_withdrawn && run.cancel.is_none() && self.store().is_revoked(row.id).await? {
            self.absorb(
                &mut row,
                &mut run,
                &mut change,
                Answer::CancelRequested(CancelReason::MandateRevoked),
            );
            self.write(row, &change).await?;
            return Ok(true);
        }
        let knew_start = row.started_at.is_some();
        let done = self.carry_out(&mut row, &mut change, next(&run)).await;
        if !knew_start && let Some(started_at) = row.started_at {
            row.queue_ms = millis_between(row.created_at, started_at);
            change.events.push(RunEvent::Started(RunStarted { run: row.facts(), queue_ms: row.queue_ms }));
            change.lines.push(line(started_at, "inference", "started", String::new()));
        }
        match done {
            Ok(Some(answer)) => {
                let changed = self.absorb(&mut row, &mut run, &mut change, answer);
                // An accepted job is looked at when inference says that something happened, or by and by.
                let waits = run.accepted && next(&run) == Step::Observe;
                if !changed {
                    row.due_at = Some(now.plus(self.config().poll()));
                }
                self.write(row, &change).await?;
                Ok(changed && !waits)
            }
            Ok(None) if row.due_at.is_none() => Ok(false),
            Ok(None) => {
                row.tries = 0;
                row.due_at = Some(now.plus(self.config().poll()));
                self.write(row, &change).await?;
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(run = %row.id, stage = row.stage, tries = row.tries, %error, "a step failed and is tried again");
                row.last_error = cut(&error.to_string());
                row.due_at = Some(now.plus(pause(row.tries)));
                row.tries = row.tries.saturating_add(1);
                self.write(row, &change).await?;
                Ok(false)
            }
        }
    }

    async fn write(&self, mut row: Row, change: &Change) -> Result<bool, DbError> {
        row.version += 1;
        let written = self.store().update(&row, change).await?;
        if written {
            self.changed(row.id);
        }
        Ok(written)
    }

    /// Stops a run where that is still possible; the reconciler does the rest. False where it came too late.
    pub(crate) async fn request_cancel(&self, id: RunId) -> Result<bool, DriveError> {
        loop {
            let Some(mut row) = self.store().run(id).await? else { return Ok(false) };
            let mut run = row.money()?;
            let mut change = Change::default();
            if !self.absorb(&mut row, &mut run, &mut change, Answer::CancelRequested(CancelReason::User)) {
                return Ok(false);
            }
            if self.write(row, &change).await? {
                return Ok(true);
            }
        }
    }

    /// Takes an answer into the row, and every step after it that asks nobody. False where nothing changed.
    fn absorb(&self, row: &mut Row, run: &mut Run, change: &mut Change, answer: Answer) -> bool {
        let overrides = self.overrides(row);
        let mut answer = answer;
        let mut changed = false;
        loop {
            let before = run.stage;
            if !apply(run, answer, self.who_pays(), &overrides) {
                return changed;
            }
            changed = true;
            row.take(run);
            row.tries = 0;
            row.last_error = String::new();
            self.note(row, run, change, before, answer);
            match next(run) {
                Step::Record(further) => answer = further,
                Step::Observe if run.accepted => {
                    row.due_at = Some(self.now().plus(self.config().poll()));
                    return true;
                }
                Step::Done => {
                    row.due_at = None;
                    return true;
                }
                _ => {
                    row.due_at = Some(self.now().plus(self.config().lease()));
                    return true;
                }
            }
        }
    }

    /// Times, lines of the log and events that go with a change.
    fn note(&self, row: &mut Row, run: &Run, change: &mut Change, before: Stage, answer: Answer) {
        let now = self.now();
        let mut say = |system, what, detail: String| change.lines.push(line(now, system, what, detail));
        match answer {
            Answer::CancelRequested(reason) => {
                row.cancel_requested_at = Some(now);
                say("business", "cancel requested", reason.class().as_str().to_owned());
            }
            Answer::Held(held_micro) => {
                say("infrastructure", "held", format!("{held_micro} micro-credits"));
                change.events.push(RunEvent::Submitted(RunSubmitted {
                    run: row.facts(),
                    held_micro,
                    predicted_ms: row.predicted_ms,
                    mandate_id: row.held_by_mandate.clone(),
                }));
            }
            Answer::HoldRefused => {
                row.closed_at = Some(now);
                let code = row.refusal().map(|problem| problem.code).unwrap_or_default();
                say("infrastructure", "refused", code.clone());
                change.events.push(RunEvent::Refused(RunRefused { run: row.facts(), code }));
            }
            Answer::Accepted => say("inference", "accepted", String::new()),
            Answer::CancelAccepted => say("inference", "cancel accepted", String::new()),
            Answer::Settled(amount) => say("infrastructure", "settled", format!("{amount} micro-credits")),
            Answer::Voided => say("infrastructure", "voided", "the whole hold returned".to_owned()),
            Answer::Kept => say("infrastructure", "outputs kept", format!("{} assets", row.outputs().len())),
            Answer::NotKept => say("infrastructure", "outputs refused", row.failure_detail.clone()),
            Answer::Withdrawn
            | Answer::Submitting
            | Answer::SubmitRefused(_)
            | Answer::Ended(_)
            | Answer::JobGone
            | Answer::NothingKept => (),
        }
        if run.stage == before {
            return;
        }
        match run.stage {
            Stage::Terminal => {
                row.ended_at = Some(row.ended_at.unwrap_or(now).max(row.created_at));
                let why = row.failure_class.clone().unwrap_or_default();
                let outcome = row.outcome.clone().unwrap_or_default();
                say("inference", "ended", if why.is_empty() { outcome } else { format!("{outcome}: {why}") });
            }
            Stage::Finalised => {
                row.finalised_at = Some(now);
                change.events.push(ended_event(row, run));
            }
            Stage::Settled | Stage::Voided => {
                row.closed_at = Some(now);
                change.events.push(settled_event(row));
            }
            Stage::Intent | Stage::Held | Stage::Submitted | Stage::Refused => (),
        }
    }

    async fn carry_out(
        &self,
        row: &mut Row,
        change: &mut Change,
        step: Step,
    ) -> Result<Option<Answer>, StepError> {
        match step {
            Step::Record(answer) => Ok(Some(answer)),
            Step::Done => Ok(None),
            Step::Hold => self.hold(row, change).await.map(Some),
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

    fn tool_of(&self, row: &Row) -> Result<std::sync::Arc<Tool>, StepError> {
        let tool = self.catalogue().version(&row.tool, &row.tool_version);
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
            Err(problem) if refuses_hold(problem.kind) => {
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
            row.failure_detail = "an asset of the input is no longer there".to_owned();
            return Ok(Some(Answer::SubmitRefused(FailureClass::InvalidInput)));
        };
        self.make_tenant(row.organisation_id).await?;
        let output = match manifest.output.target {
            OutputTarget::Inline => inline_target(),
            OutputTarget::Storage => {
                let (bytes, count) = (manifest.output.max_bytes, manifest.output.max_outputs);
                self.systems().issuer(row, life_s, bytes, count).await?
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
            input[&property] = file;
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
        let kept = |output: &&crate::row::JobOutput| !output.object_key.is_empty();
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
const fn refuses_hold(kind: Kind) -> bool {
    match kind {
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

fn pause(tries: i32) -> Duration {
    let doublings = u32::try_from(tries).unwrap_or(0).min(DOUBLINGS_MAX);
    (PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX)
}

fn line(at: Timestamp, system: &'static str, what: &'static str, detail: String) -> NewLine {
    NewLine { at, system, what, detail }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

fn reason_of(row: &Row) -> String {
    row.failure_class.clone().unwrap_or_else(|| "succeeded".to_owned())
}

fn inline_output(output: &crate::row::JobOutput) -> OutputAsset {
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

fn ended_event(row: &Row, run: &Run) -> RunEvent {
    let failure_class = row.failure_class.clone().unwrap_or_default();
    let (facts, timings, cost_micro) = (row.facts(), row.timings(), row.cost_micro);
    match run.ended.map(|ended| ended.outcome) {
        Some(Outcome::Succeeded) => RunEvent::Succeeded(RunSucceeded {
            run: facts,
            timings,
            first_output_ms: millis_between(row.created_at, row.finalised_at.unwrap_or(row.created_at)),
            outputs: i32::try_from(row.outputs().len()).unwrap_or(i32::MAX),
            cost_micro,
        }),
        Some(Outcome::Canceled) => {
            RunEvent::Canceled(RunCanceled { run: facts, timings, failure_class, cost_micro })
        }
        Some(Outcome::Failed | Outcome::Expired) | None => {
            RunEvent::Failed(RunFailed { run: facts, timings, failure_class, cost_micro })
        }
    }
}

fn settled_event(row: &Row) -> RunEvent {
    RunEvent::Settled(RunSettled {
        run: row.facts(),
        reason: reason_of(row),
        held_micro: row.held_micro,
        settled_micro: row.settled_micro,
        absorbed_micro: row.absorbed_micro,
        cost_micro: row.cost_micro,
        compute_ms: row.compute_ms,
    })
}
