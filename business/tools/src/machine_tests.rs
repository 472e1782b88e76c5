//! The machine against a model of the three systems, under crashes, lost answers, duplicates and races.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static TABLE: LazyLock<WhoPays> = LazyLock::new(|| WhoPays::shipped().unwrap());

const PRICE: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HoldState {
    Open(i64),
    Settled(i64),
    Voided,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobState {
    Queued,
    Running,
    Ended(Ended),
}

/// What the systems around a run do, each idempotently.
#[derive(Debug, Clone)]
struct World {
    row: Run,
    version: u64,
    refuses_hold: bool,
    refuses_job: bool,
    refuses_outputs: bool,
    hold: Option<HoldState>,
    job: Option<JobState>,
    cancel_heard: bool,
    kept: bool,
    judge: Judge,
}

/// What moderation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Judge {
    refuses_inputs: bool,
    /// Passes, refuses, or is in doubt: then a person decides.
    of_outputs: Verdict,
    person_releases: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Verdict {
    #[default]
    Passes,
    Refuses,
    Doubts,
}

/// A process that drives the row from its own, perhaps stale, copy.
#[derive(Debug, Clone, Default)]
struct Driver {
    copy: Option<(Run, u64)>,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Load(usize),
    Call(usize),
    LoseAnswer(usize),
    Write(usize),
    Crash,
    CancelRequest(bool),
    JobStarts,
    JobEnds { success: bool, delivered_ppm: i64, compute_ms: i64, has_outputs: bool },
}

impl World {
    fn new(refuses_hold: bool, refuses_job: bool, refuses_outputs: bool, uses_storage: bool) -> Self {
        Self {
            row: Run::intent(PRICE, 100, 7, uses_storage),
            version: 0,
            refuses_hold,
            refuses_job,
            refuses_outputs,
            hold: None,
            job: None,
            cancel_heard: false,
            kept: false,
            judge: Judge::default(),
        }
    }

    fn judged(mut self, looks: Looks, judge: Judge) -> Self {
        self.row.looks = looks;
        self.judge = judge;
        self
    }

    /// Carries out what the step asks for and says what came back.
    fn call(&mut self, step: Step) -> Option<Answer> {
        Some(match step {
            Step::Record(answer) => answer,
            Step::Done => return None,
            Step::Hold if self.refuses_hold => Answer::HoldRefused,
            Step::Hold => {
                self.hold.get_or_insert(HoldState::Open(PRICE));
                Answer::Held(PRICE)
            }
            Step::LookAtInputs if self.judge.refuses_inputs => Answer::InputsRefused,
            Step::LookAtInputs => Answer::InputsPassed,
            Step::LookAtOutputs => match self.judge.of_outputs {
                Verdict::Passes => Answer::OutputsPassed,
                Verdict::Refuses => Answer::OutputsRefused,
                Verdict::Doubts => Answer::OutputsDoubtful,
            },
            Step::AwaitReview if self.judge.person_releases => Answer::OutputsPassed,
            Step::AwaitReview => Answer::OutputsRefused,
            Step::Submit if self.refuses_job => Answer::SubmitRefused(FailureClass::InvalidInput),
            Step::Submit => {
                let refused = self.row.looks.at_inputs && self.judge.refuses_inputs;
                assert!(!refused, "work on an input that moderation refused");
                assert!(
                    matches!(self.hold, Some(HoldState::Open(_))) || self.job.is_some(),
                    "work without a hold"
                );
                self.job.get_or_insert(JobState::Queued);
                Answer::Accepted
            }
            Step::Cancel => {
                self.cancel_heard = true;
                Answer::CancelAccepted
            }
            Step::Observe => match self.job {
                Some(JobState::Ended(ended)) => Answer::Ended(ended),
                Some(JobState::Queued | JobState::Running) => return None,
                None => Answer::JobGone,
            },
            Step::Keep if self.refuses_outputs => Answer::NotKept,
            Step::Keep => {
                let released = self.judge.of_outputs == Verdict::Passes
                    || (self.judge.of_outputs == Verdict::Doubts && self.judge.person_releases);
                assert!(released || !self.row.looks.at_outputs, "kept what moderation withholds");
                self.kept = true;
                Answer::Kept
            }
            Step::Discard => Answer::NothingKept,
            Step::Settle { amount_micro, .. } => {
                match self.hold {
                    Some(HoldState::Open(held)) => {
                        assert!(amount_micro <= held, "settled more than held");
                        self.hold = Some(HoldState::Settled(amount_micro));
                    }
                    Some(HoldState::Settled(before)) => assert_eq!(before, amount_micro, "settled twice"),
                    other => panic!("settle of {other:?}"),
                }
                Answer::Settled(amount_micro)
            }
            Step::Void { .. } => {
                match self.hold {
                    Some(HoldState::Open(_)) => self.hold = Some(HoldState::Voided),
                    Some(HoldState::Voided) => (),
                    other => panic!("void of {other:?}"),
                }
                Answer::Voided
            }
        })
    }

    /// Compare-and-set: a stale copy writes nothing.
    fn write(&mut self, copy: &(Run, u64), answer: Answer) {
        if copy.1 != self.version {
            return;
        }
        let mut run = copy.0.clone();
        if apply(&mut run, answer, &TABLE, &Overrides::new()) {
            self.row = run;
            self.version += 1;
        }
    }

    fn end_job(&mut self, mut ended: Ended) {
        if !matches!(self.job, Some(JobState::Queued | JobState::Running)) {
            return;
        }
        if self.cancel_heard {
            ended.outcome = Outcome::Canceled;
            ended.failure = Some(self.row.cancel.unwrap_or(CancelReason::User).class());
        }
        self.job = Some(JobState::Ended(ended));
    }

    fn happens(&mut self, drivers: &mut [Driver; 2], event: Event) {
        match event {
            Event::Load(n) => {
                drivers[n] = Driver { copy: Some((self.row.clone(), self.version)), answer: None }
            }
            Event::Call(n) => {
                if let Some((run, _)) = &drivers[n].copy {
                    drivers[n].answer = self.call(next(run));
                }
            }
            Event::LoseAnswer(n) => drivers[n].answer = None,
            Event::Write(n) => {
                if let (Some(copy), Some(answer)) = (drivers[n].copy.take(), drivers[n].answer.take()) {
                    self.write(&copy, answer);
                }
            }
            Event::Crash => *drivers = Default::default(),
            Event::CancelRequest(by_user) => {
                let reason = if by_user { CancelReason::User } else { CancelReason::MandateRevoked };
                let copy = (self.row.clone(), self.version);
                self.write(&copy, Answer::CancelRequested(reason));
            }
            Event::JobStarts => {
                if self.job == Some(JobState::Queued) {
                    self.job = Some(JobState::Running);
                }
            }
            Event::JobEnds { success, delivered_ppm, compute_ms, has_outputs } => {
                let outcome = if success { Outcome::Succeeded } else { Outcome::Failed };
                let failure = (!success).then_some(FailureClass::ModelError);
                self.end_job(Ended { outcome, failure, delivered_ppm, compute_ms, has_outputs });
            }
        }
    }

    /// One driver and no more trouble: the run must reach its end in a bounded number of steps.
    fn settle_down(&mut self) {
        for _ in 0..32 {
            let copy = (self.row.clone(), self.version);
            match self.call(next(&copy.0)) {
                Some(answer) => self.write(&copy, answer),
                None if self.row.stage.is_end() => return,
                None => self.end_job(Ended {
                    outcome: Outcome::Succeeded,
                    failure: None,
                    delivered_ppm: PPM,
                    compute_ms: 80,
                    has_outputs: true,
                }),
            }
        }
        panic!("no end: {self:?}");
    }

    fn assert_consistent(&self) {
        match self.row.stage {
            Stage::Refused => assert_eq!((self.hold, self.job), (None, None), "{self:?}"),
            Stage::Voided => assert_eq!(self.hold, Some(HoldState::Voided), "{self:?}"),
            Stage::Settled => {
                assert_eq!(self.hold, Some(HoldState::Settled(self.row.settled_micro)), "{self:?}");
                assert!(self.row.settled_micro > 0 && self.row.settled_micro <= self.row.held_micro);
            }
            stage => panic!("not an end: {stage:?}"),
        }
        let ended = self.row.ended;
        let succeeded = ended.is_some_and(|ended| ended.outcome == Outcome::Succeeded);
        assert_eq!(succeeded, ended.is_some_and(|ended| ended.failure.is_none()));
        if succeeded {
            assert!(self.row.stage == Stage::Settled && self.row.settled_micro == PRICE);
            assert!(self.kept || !self.row.uses_storage, "a success without its outputs");
        }
    }
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_usize..2).prop_map(Event::Load),
        4 => (0_usize..2).prop_map(Event::Call),
        1 => (0_usize..2).prop_map(Event::LoseAnswer),
        4 => (0_usize..2).prop_map(Event::Write),
        1 => Just(Event::Crash),
        1 => any::<bool>().prop_map(Event::CancelRequest),
        1 => Just(Event::JobStarts),
        1 => (any::<bool>(), 0_i64..=PPM, 0_i64..400, any::<bool>()).prop_map(
            |(success, delivered_ppm, compute_ms, has_outputs)| Event::JobEnds {
                success, delivered_ppm, compute_ms, has_outputs
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]
    #[test]
    fn a_run_ends_in_exactly_one_money_state(
        refuses in (prop::bool::weighted(0.1), prop::bool::weighted(0.1), prop::bool::weighted(0.2)),
        uses_storage in any::<bool>(),
        looks in (any::<bool>(), any::<bool>()),
        judge in (prop::bool::weighted(0.2), 0_u8..3, any::<bool>()),
        history in prop::collection::vec(events(), 0..80),
    ) {
        let looks = Looks { at_inputs: looks.0, at_outputs: looks.1, ..Looks::default() };
        let judge = Judge {
            refuses_inputs: judge.0,
            of_outputs: [Verdict::Passes, Verdict::Refuses, Verdict::Doubts][usize::from(judge.1)],
            person_releases: judge.2,
        };
        let mut world = World::new(refuses.0, refuses.1, refuses.2, uses_storage).judged(looks, judge);
        let mut drivers = <[Driver; 2]>::default();
        let mut highest = Stage::Intent;
        for event in history {
            world.happens(&mut drivers, event);
            prop_assert!(world.row.stage >= highest, "a stage never goes back");
            highest = world.row.stage;
        }
        world.settle_down();
        world.assert_consistent();
        let (hold, row) = (world.hold, world.row.clone());
        for n in 0..2 {
            for event in [Event::Call(n), Event::Write(n)] {
                world.happens(&mut drivers, event);
            }
        }
        prop_assert_eq!((world.hold, world.row), (hold, row), "late duplicates change nothing");
    }
}

#[test]
fn a_cancel_before_submission_returns_everything_and_starts_nothing() {
    let mut world = World::new(false, false, false, true);
    let mut drivers = <[Driver; 2]>::default();
    for event in [Event::Load(0), Event::Call(0), Event::Write(0), Event::CancelRequest(true)] {
        world.happens(&mut drivers, event);
    }
    world.settle_down();
    assert_eq!((world.row.stage, world.job), (Stage::Voided, None));
    assert_eq!(world.row.ended.unwrap().failure, Some(FailureClass::UserCancel));
}

#[test]
fn a_success_that_cannot_be_stored_is_a_failure_that_costs_the_person_nothing() {
    let mut world = World::new(false, false, true, true);
    world.settle_down();
    assert_eq!(world.row.stage, Stage::Voided);
    assert_eq!(world.row.ended.unwrap().failure, Some(FailureClass::OutputRefused));
}

#[test]
fn what_moderation_refuses_is_neither_run_nor_delivered_nor_charged() {
    let looks = Looks { at_inputs: true, at_outputs: true, ..Looks::default() };
    let end = |judge| {
        let mut world = World::new(false, false, false, true).judged(looks, judge);
        world.settle_down();
        (world.row.stage, world.row.ended.unwrap().failure, world.job.is_some(), world.kept)
    };
    let refuses_inputs = Judge { refuses_inputs: true, ..Judge::default() };
    assert_eq!(end(refuses_inputs), (Stage::Voided, Some(FailureClass::ModeratedInput), false, false));
    let refuses = Judge { of_outputs: Verdict::Refuses, ..Judge::default() };
    assert_eq!(end(refuses), (Stage::Voided, Some(FailureClass::ModeratedOutput), true, false));
    let upheld = Judge { of_outputs: Verdict::Doubts, ..Judge::default() };
    assert_eq!(end(upheld), (Stage::Voided, Some(FailureClass::ModeratedOutput), true, false));
    let released = Judge { of_outputs: Verdict::Doubts, person_releases: true, ..Judge::default() };
    assert_eq!(end(released), (Stage::Settled, None, true, true));
}
