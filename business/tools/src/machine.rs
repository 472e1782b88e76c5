//! The run and its money, as one pure state machine.
//!
//! ```text
//! intent ─► held ─► submitted ─► terminal ─► finalised ─► settled | voided
//!    └► refused
//! ```
//!
//! A stage is written **before** the idempotent call that it announces, so a crash at any point repeats
//! a call and never skips one: `intent` announces Hold, `submitted` announces Submit, `terminal` announces
//! the keeping of outputs, `finalised` carries the amounts and announces Settle or Void. In `held`
//! nothing was sent to inference yet, so a cancel there costs nothing.
//!
//! Moderation stands at two places (`src/looks.rs`): in `held` the pictures of the input are looked at
//! before anything is submitted, in `terminal` what was made, before it becomes an asset. An output that a
//! person has to judge waits in `terminal` with its hold open.
//!
//! [`next`] says what to do; [`apply`] takes an answer in. An answer that does not fit the stage (a
//! duplicate, a late one, one of another driver) changes nothing. No clock, no I/O, no randomness.

use serde::{Deserialize, Serialize};

use crate::who_pays::{Charge, Facts, FailureClass, Overrides, PPM, WhoPays};

/// How far a run and its money have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Written; billing may have been asked to hold.
    Intent,
    /// Billing holds; inference knows nothing.
    Held,
    /// Inference may have been asked to run it.
    Submitted,
    /// What happened is written; storage may have been asked to keep the outputs.
    Terminal,
    /// Outputs are kept, the amounts are written; billing may have been asked to settle or void.
    Finalised,
    /// The end: billing settled.
    Settled,
    /// The end: billing returned the whole hold.
    Voided,
    /// The end: billing refused to hold.
    Refused,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 8] = [
        Self::Intent,
        Self::Held,
        Self::Submitted,
        Self::Terminal,
        Self::Finalised,
        Self::Settled,
        Self::Voided,
        Self::Refused,
    ];

    /// The stable text of this stage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Held => "held",
            Self::Submitted => "submitted",
            Self::Terminal => "terminal",
            Self::Finalised => "finalised",
            Self::Settled => "settled",
            Self::Voided => "voided",
            Self::Refused => "refused",
        }
    }

    /// Reads the stable text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Whether nothing will ever change again.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Settled | Self::Voided | Self::Refused)
    }
}

/// How the work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With its outputs.
    Succeeded,
    /// Without.
    Failed,
    /// Somebody asked, and it stopped.
    Canceled,
    /// It never started in time.
    Expired,
}

impl Outcome {
    /// The stable text of this outcome.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}

/// Why a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A person asked.
    User,
    /// A mandate of the chain that pays was revoked before the work began.
    MandateRevoked,
}

impl CancelReason {
    /// The failure class of a run that stopped for this reason.
    #[must_use]
    pub const fn class(self) -> FailureClass {
        match self {
            Self::User => FailureClass::UserCancel,
            Self::MandateRevoked => FailureClass::MandateRevoked,
        }
    }
}

/// What happened to the work, as inference reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not succeed; `None` exactly where it did.
    pub failure: Option<FailureClass>,
    /// Parts per million of the result that exist.
    pub delivered_ppm: i64,
    /// Compute of all attempts.
    pub compute_ms: i64,
    /// Whether there are objects in the store to keep.
    pub has_outputs: bool,
}

/// What moderation has to look at, and how far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// The input has pictures or clips that must pass.
    pub at_inputs: bool,
    /// What comes out must pass.
    pub at_outputs: bool,
    /// The input has passed.
    pub inputs_passed: bool,
    /// What came out has passed, or nothing is left of it.
    pub outputs_passed: bool,
    /// What came out waits for a person's decision.
    pub in_review: bool,
}

/// The part of a run's row that money follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// How far it has come.
    pub stage: Stage,
    /// As quoted, at least 1.
    pub price_micro: i64,
    /// Compute as predicted.
    pub predicted_ms: i64,
    /// What a second of compute costs us.
    pub cost_micro_per_compute_second: i64,
    /// Whether outputs become assets.
    pub uses_storage: bool,
    /// What moderation has to look at, and what it said.
    pub looks: Looks,
    /// What billing holds.
    pub held_micro: i64,
    /// Why it is to stop.
    pub cancel: Option<CancelReason>,
    /// Inference has said that it knows the job.
    pub accepted: bool,
    /// Inference has said that it will stop the job.
    pub cancel_sent: bool,
    /// From `terminal` on.
    pub ended: Option<Ended>,
    /// From `finalised` on: the amounts, never reckoned again.
    pub charge: Option<Charge>,
    /// From `settled` on.
    pub settled_micro: i64,
}

impl Run {
    /// A run of which nothing but the intent exists.
    #[must_use]
    pub const fn intent(
        price_micro: i64,
        predicted_ms: i64,
        cost_micro_per_compute_second: i64,
        uses_storage: bool,
    ) -> Self {
        Self {
            stage: Stage::Intent,
            price_micro,
            predicted_ms,
            cost_micro_per_compute_second,
            uses_storage,
            looks: Looks {
                at_inputs: false,
                at_outputs: false,
                inputs_passed: false,
                outputs_passed: false,
                in_review: false,
            },
            held_micro: 0,
            cancel: None,
            accepted: false,
            cancel_sent: false,
            ended: None,
            charge: None,
            settled_micro: 0,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask billing to hold the price.
    Hold,
    /// Write this answer; nobody is asked.
    Record(Answer),
    /// Have the pictures of the input looked at.
    LookAtInputs,
    /// Have what was made looked at.
    LookAtOutputs,
    /// A person has to decide; ask whether somebody has.
    AwaitReview,
    /// Ask inference to run it.
    Submit,
    /// Ask inference to stop it.
    Cancel,
    /// Ask inference how it is.
    Observe,
    /// Ask storage to keep the outputs.
    Keep,
    /// Tell storage that nothing is kept.
    Discard,
    /// Ask billing to post this much.
    Settle {
        /// The person's part.
        amount_micro: i64,
        /// The company's part.
        absorbed_micro: i64,
    },
    /// Ask billing to return everything.
    Void {
        /// The company's part.
        absorbed_micro: i64,
    },
    /// Nothing, ever again.
    Done,
}

/// What somebody answered, or decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Somebody wants it to stop.
    CancelRequested(CancelReason),
    /// Billing holds this much.
    Held(i64),
    /// Billing refuses, for good.
    HoldRefused,
    /// Nothing was sent and nothing will be: it was canceled first.
    Withdrawn,
    /// Submit will be sent.
    Submitting,
    /// Inference knows the job.
    Accepted,
    /// Inference refuses the job, for good.
    SubmitRefused(FailureClass),
    /// Inference will stop the job.
    CancelAccepted,
    /// The job has ended.
    Ended(Ended),
    /// Inference knows no such job, although it had accepted it.
    JobGone,
    /// The pictures of the input may be used.
    InputsPassed,
    /// They may not.
    InputsRefused,
    /// What was made may be delivered, by its score or by a person's decision.
    OutputsPassed,
    /// It may not, by its score, by a person's decision or because nobody decided in time.
    OutputsRefused,
    /// A person has to decide.
    OutputsDoubtful,
    /// Storage keeps the outputs.
    Kept,
    /// Storage refuses the outputs: missing, or not what was reported.
    NotKept,
    /// There is nothing to keep.
    NothingKept,
    /// Billing posted this much.
    Settled(i64),
    /// Billing returned everything.
    Voided,
}

/// What to do next with this run.
#[must_use]
pub fn next(run: &Run) -> Step {
    match run.stage {
        // The only way out of intent is billing's answer: an earlier Hold may have been heard.
        Stage::Intent => Step::Hold,
        Stage::Held if run.cancel.is_some() => Step::Record(Answer::Withdrawn),
        Stage::Held if run.looks.at_inputs && !run.looks.inputs_passed => Step::LookAtInputs,
        Stage::Held => Step::Record(Answer::Submitting),
        // Even where it is to stop: an earlier Submit may have been heard, and only a known job can be stopped.
        Stage::Submitted if !run.accepted => Step::Submit,
        Stage::Submitted if run.cancel.is_some() && !run.cancel_sent => Step::Cancel,
        Stage::Submitted => Step::Observe,
        Stage::Terminal => match run.ended {
            Some(ended) if must_be_looked_at(run, &ended) && run.looks.in_review => Step::AwaitReview,
            Some(ended) if must_be_looked_at(run, &ended) => Step::LookAtOutputs,
            Some(ended) if run.uses_storage && ended.has_outputs => Step::Keep,
            Some(_) if run.uses_storage => Step::Discard,
            Some(_) | None => Step::Record(Answer::NothingKept),
        },
        Stage::Finalised => match &run.charge {
            Some(charge) if charge.settle_micro > 0 => {
                Step::Settle { amount_micro: charge.settle_micro, absorbed_micro: charge.absorbed_micro }
            }
            Some(charge) => Step::Void { absorbed_micro: charge.absorbed_micro },
            None => Step::Void { absorbed_micro: 0 },
        },
        Stage::Settled | Stage::Voided | Stage::Refused => Step::Done,
    }
}

fn must_be_looked_at(run: &Run, ended: &Ended) -> bool {
    run.uses_storage && ended.has_outputs && run.looks.at_outputs && !run.looks.outputs_passed
}

/// Takes an answer in. False where it changes nothing.
pub fn apply(run: &mut Run, answer: Answer, table: &WhoPays, overrides: &Overrides) -> bool {
    match (run.stage, answer) {
        (Stage::Intent | Stage::Held | Stage::Submitted, Answer::CancelRequested(reason))
            if run.cancel.is_none() =>
        {
            run.cancel = Some(reason);
        }
        (Stage::Intent, Answer::Held(held_micro)) => {
            run.held_micro = held_micro;
            run.stage = Stage::Held;
        }
        (Stage::Intent, Answer::HoldRefused) => run.stage = Stage::Refused,
        (Stage::Held, Answer::Withdrawn) => {
            let reason = run.cancel.unwrap_or(CancelReason::User);
            end(run, nothing_done(Outcome::Canceled, reason.class()));
        }
        (Stage::Held, Answer::InputsPassed) if !run.looks.inputs_passed => run.looks.inputs_passed = true,
        (Stage::Held, Answer::InputsRefused) => {
            end(run, nothing_done(Outcome::Failed, FailureClass::ModeratedInput));
        }
        (Stage::Held, Answer::Submitting) if run.looks.inputs_passed || !run.looks.at_inputs => {
            run.stage = Stage::Submitted;
        }
        (Stage::Submitted, Answer::Accepted) if !run.accepted => run.accepted = true,
        (Stage::Submitted, Answer::SubmitRefused(class)) if !run.accepted => {
            let outcome = if class == FailureClass::Expired { Outcome::Expired } else { Outcome::Failed };
            end(run, nothing_done(outcome, class));
        }
        (Stage::Submitted, Answer::CancelAccepted) if !run.cancel_sent => run.cancel_sent = true,
        (Stage::Submitted, Answer::Ended(ended)) => {
            run.accepted = true;
            end(run, ended);
        }
        (Stage::Submitted, Answer::JobGone) if run.accepted => {
            end(run, nothing_done(Outcome::Failed, FailureClass::LostWorker));
        }
        (Stage::Terminal, Answer::OutputsPassed) if !run.looks.outputs_passed => {
            run.looks.outputs_passed = true;
            run.looks.in_review = false;
        }
        (Stage::Terminal, Answer::OutputsDoubtful) if !run.looks.outputs_passed && !run.looks.in_review => {
            run.looks.in_review = true;
        }
        (Stage::Terminal, Answer::OutputsRefused) if !run.looks.outputs_passed => {
            run.looks.outputs_passed = true;
            run.looks.in_review = false;
            if let Some(ended) = &mut run.ended {
                lose_outputs(ended, FailureClass::ModeratedOutput);
            }
        }
        (Stage::Terminal, Answer::Kept) if run.ended.is_none_or(|ended| must_be_looked_at(run, &ended)) => {
            return false;
        }
        (Stage::Terminal, Answer::Kept) => decide(run, table, overrides),
        (Stage::Terminal, Answer::NotKept | Answer::NothingKept) => {
            if let Some(ended) = &mut run.ended
                && run.uses_storage
            {
                lose_outputs(ended, FailureClass::OutputRefused);
            }
            decide(run, table, overrides);
        }
        (Stage::Finalised, Answer::Settled(amount_micro)) => {
            run.settled_micro = amount_micro;
            run.stage = Stage::Settled;
        }
        (Stage::Finalised, Answer::Voided) => run.stage = Stage::Voided,
        (_, _) => return false,
    }
    true
}

fn end(run: &mut Run, ended: Ended) {
    run.ended = Some(ended);
    run.stage = Stage::Terminal;
}

const fn nothing_done(outcome: Outcome, class: FailureClass) -> Ended {
    Ended { outcome, failure: Some(class), delivered_ppm: 0, compute_ms: 0, has_outputs: false }
}

/// What is not in the store was not delivered, and a success that delivered nothing is none.
fn lose_outputs(ended: &mut Ended, class: FailureClass) {
    ended.delivered_ppm = 0;
    ended.has_outputs = false;
    if ended.outcome == Outcome::Succeeded {
        ended.outcome = Outcome::Failed;
        ended.failure = Some(class);
    }
}

fn decide(run: &mut Run, table: &WhoPays, overrides: &Overrides) {
    let ended = run.ended.unwrap_or(nothing_done(Outcome::Failed, FailureClass::LostWorker));
    let facts = Facts {
        failure: ended.failure,
        price_micro: run.price_micro,
        held_micro: run.held_micro,
        delivered_ppm: if ended.failure.is_none() { PPM } else { ended.delivered_ppm },
        compute_ms: ended.compute_ms,
        predicted_ms: run.predicted_ms,
        cost_micro_per_compute_second: run.cost_micro_per_compute_second,
    };
    run.charge = Some(table.charge(&facts, overrides));
    run.stage = Stage::Finalised;
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
