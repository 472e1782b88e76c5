//! Drives runs: asks the machine what to do, does it, writes what came back.
//!
//! One driver a run in this process (`Busy`), and compare-and-set on the row against those of others.
//! It reads rows, never messages: a message only wakes it.

use std::time::Duration;

use backlot_business_api::RunId;
use backlot_business_api::events::{
    RunCanceled, RunFailed, RunRefused, RunSettled, RunStarted, RunSubmitted, RunSucceeded,
};
use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Kind, Problem};
use backlot_foundation_time::Timestamp;
use tracing::Instrument as _;

use crate::facts::HoldState;
use crate::machine::{Answer, CancelReason, Outcome, Run, Stage, Step, apply, next};
use crate::row::{Model as Row, RowError, millis_between};
use crate::service::Service;
use crate::steps::{cut, reason_of};
use crate::store::{Change, NewLine, RunEvent};

/// Steps of one drive; a run needs fewer than ten.
const STEPS_MAX: usize = 32;
/// First pause after a failed try; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Doublings after which the pause no longer grows.
const DOUBLINGS_MAX: u32 = 10;

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
            if row.due_at.is_none() {
                return Ok(());
            }
            // The run's own trace, whoever woke this driver and after whatever restart.
            let span = tracing::info_span!("run step", run = %id, stage = row.stage);
            backlot_foundation_telemetry::continue_trace(&span, &row.traceparent);
            if !self.drive_step(row).instrument(span).await? {
                return Ok(());
            }
        }
        tracing::warn!(run = %id, "a run took more steps than a run needs");
        Ok(())
    }

    /// One step. False where there is nothing more to do now.
    async fn drive_step(&self, mut row: Row) -> Result<bool, DriveError> {
        let mut run = row.money()?;
        if run.stage == Stage::Refused {
            self.return_late_hold(row).await?;
            return Ok(false);
        }
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
            change.lines.push(line(started_at, "started", String::new()));
        }
        match done {
            Ok(Some(answer)) => {
                let changed = self.absorb(&mut row, &mut run, &mut change, answer);
                // An accepted job is looked at when inference says that something happened, or by and by.
                let waits = run.accepted && next(&run) == Step::Observe;
                if !changed {
                    row.due_at = Some(now.plus(self.config().poll()));
                }
                let (id, held) = (row.id, matches!(answer, Answer::Held(_)));
                if !self.write(row, &change).await? && held {
                    self.store().make_refused_due(id, now).await?;
                }
                // A refused run is looked at once more, later: an earlier order may have been heard meanwhile.
                Ok(changed && !waits && run.stage != Stage::Refused)
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

    /// Billing may hold the price of a run that it had refused before: it heard an earlier order late, or another
    /// driver's. The run is over, so the hold returns; it is due until billing has said so.
    ///
    /// Every refusal is looked after once, which finds a hold that was made before the refusal was written. One that is
    /// made later is told by its event, which finds the refusal written and makes the run due again.
    async fn return_late_hold(&self, mut row: Row) -> Result<(), DriveError> {
        let mut change = Change::default();
        match self.void_open(row.id).await {
            Ok(true) => {
                row.due_at = None;
                change.lines.push(line(self.now(), "late hold returned", String::new()));
            }
            Ok(false) => row.due_at = None,
            // There is none, or an operator ended it.
            Err(problem) if matches!(problem.kind, Kind::NotFound | Kind::Conflict) => row.due_at = None,
            Err(problem) => {
                tracing::warn!(run = %row.id, tries = row.tries, %problem, "a late hold could not be returned and is tried again");
                row.last_error = cut(&problem.to_string());
                row.due_at = Some(self.now().plus(pause(row.tries)));
                row.tries = row.tries.saturating_add(1);
            }
        }
        self.write(row, &change).await?;
        Ok(())
    }

    /// Returns what billing holds for this run, where it does; false where that had ended before. Nearly always there
    /// is none, and asking costs billing less than ending one.
    async fn void_open(&self, id: RunId) -> Result<bool, Problem> {
        if self.systems().get_hold(id).await?.state != HoldState::Held {
            return Ok(false);
        }
        self.systems().void(id, 0, Stage::Refused.as_str()).await?;
        Ok(true)
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
                    let is_refused = run.stage == Stage::Refused;
                    row.due_at = is_refused.then(|| self.now().plus(self.config().lease()));
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
        let mut say = |what, detail: String| change.lines.push(line(now, what, detail));
        match answer {
            Answer::CancelRequested(reason) => {
                row.cancel_requested_at = Some(now);
                say("cancel requested", reason.class().as_str().to_owned());
            }
            Answer::Held(held_micro) => {
                say("price held", format!("{held_micro} micro-credits"));
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
                say("price refused", code.clone());
                change.events.push(RunEvent::Refused(RunRefused { run: row.facts(), code }));
            }
            Answer::InputsPassed => say("input passed moderation", String::new()),
            Answer::InputsRefused => say("input refused by moderation", row.failure_detail.clone()),
            Answer::OutputsPassed => say("output passed moderation", String::new()),
            Answer::OutputsDoubtful => say("output waits for a person", String::new()),
            Answer::OutputsRefused => say("output refused by moderation", row.failure_detail.clone()),
            Answer::Accepted => say("job accepted", String::new()),
            Answer::CancelAccepted => say("cancel passed on", String::new()),
            Answer::Settled(amount) => say("settled", format!("{amount} micro-credits")),
            Answer::Voided => say("voided", "the whole hold returned".to_owned()),
            Answer::Kept => say("outputs kept", format!("{} assets", row.outputs().len())),
            Answer::NotKept => say("outputs refused", row.failure_detail.clone()),
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
                say("work ended", if why.is_empty() { outcome } else { format!("{outcome}: {why}") });
            }
            Stage::Finalised => {
                row.finalised_at = Some(now);
                change.events.push(ended_event(row, run));
                count_end(row);
            }
            Stage::Settled | Stage::Voided => {
                row.closed_at = Some(now);
                change.events.push(settled_event(row));
            }
            Stage::Intent | Stage::Held | Stage::Submitted | Stage::Refused => (),
        }
    }
}

fn pause(tries: i32) -> Duration {
    let doublings = u32::try_from(tries).unwrap_or(0).min(DOUBLINGS_MAX);
    (PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX)
}

/// What business did or heard; what the other systems did, they tell themselves.
fn line(at: Timestamp, what: &'static str, detail: String) -> NewLine {
    NewLine { at, system: "business", what, detail }
}

/// For whoever watches the process; the company's numbers come from the events.
fn count_end(row: &Row) {
    let outcome = row.failure_class.clone().unwrap_or_else(|| "succeeded".to_owned());
    metrics::counter!("backlot_runs_ended", "tool" => row.tool.clone(), "outcome" => outcome).increment(1);
    let end = row.finalised_at.unwrap_or(row.created_at);
    metrics::histogram!("backlot_run_seconds", "tool" => row.tool.clone())
        .record(end.since(row.created_at).as_secs_f64());
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
