//! A long job stands aside between two of its steps, and nothing of its life is lost by it.

use std::collections::BTreeSet;

use crate::script::{Script, agent, check, fence, finished, job, long_model, running, worker};
use backlot_inference_scheduler::{
    AgentKey, AttemptOutcome, Effect, Event, JobKey, JobSpec, ModelKey, ModelProfile, Offers, Phase,
    Restored, RestoredState, RunningAttempt, Scheduler, TimeUs, WorkerKey, WorkerSpec, limits,
};
use expect_test::expect;

const DONE: AttemptOutcome = AttemptOutcome::Succeeded;

fn long(n: u128) -> JobSpec {
    JobSpec { model: ModelKey::from("own/long:1"), ..job(n) }
}

fn started(n: u128, sequence: u64) -> Event {
    Event::AttemptStarted { job: JobKey(n), fence: fence(sequence) }
}

fn said(n: u128, sequence: u64, phase: Phase) -> Event {
    Event::Progress { job: JobKey(n), fence: fence(sequence), phase, done_permille: 200 }
}

fn beat(script: &mut Script, running: Vec<RunningAttempt>) {
    script.apply(Event::Heartbeat { agent: AgentKey::from("a"), running });
}

fn holds_a(script: &mut Script) {
    let worker = WorkerKey::new(&AgentKey::from("a"), "w");
    script.apply(Event::WorkerReport { worker, resident: BTreeSet::from([ModelKey::from("own/a:1")]) });
}

/// A worker that has computed a long job for a minute.
fn busy() -> Script {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    holds_a(&mut script);
    script.apply(Event::Submitted(JobSpec { created_at: script.now, ..long(1) }));
    script.apply(started(1, 1));
    for _ in 0..3 {
        script.after_ms(20_000);
        beat(&mut script, vec![running(1, fence(1), "w")]);
    }
    script
}

/// The same, and it stands aside for job 2, which computes.
fn held() -> Script {
    let mut script = busy();
    check(&script.submit(2), expect!["pause 1 1-1"]);
    script.after_ms(2_000);
    check(&script.apply(said(1, 1, Phase::Paused)), expect!["assign 2 1-2 a/w warm"]);
    script
}

fn both(paused: bool, held_ms: i64) -> Vec<RunningAttempt> {
    vec![RunningAttempt { paused, held_ms, ..running(1, fence(1), "w") }, running(2, fence(2), "w")]
}

#[test]
fn a_long_job_stands_aside_for_a_short_one_and_goes_on() {
    let mut script = held();
    check(
        &script.apply(finished(2, 2, DONE)),
        expect!["ended 2 1-2 Succeeded; succeeded 2 1-2; resume 1 1-1"],
    );
    check(&script.apply(finished(1, 1, DONE)), expect!["ended 1 1-1 Succeeded; succeeded 1 1-1"]);
}

#[test]
fn who_comes_meanwhile_takes_its_turn_within_what_the_long_one_bears() {
    let mut script = held();
    check(&script.submit(3), expect![""]);
    let pass = |script: &mut Script, guest: u128| {
        for _ in 0..2 {
            script.after_ms(23_000);
            beat(script, vec![running(1, fence(1), "w"), running(guest, fence(guest as u64), "w")]);
        }
    };
    pass(&mut script, 2);
    check(
        &script.apply(finished(2, 2, DONE)),
        expect!["ended 2 1-2 Succeeded; succeeded 2 1-2; assign 3 1-3 a/w warm"],
    );
    pass(&mut script, 3);
    script.submit(4);
    // It has stood aside for as long as it bears: half a minute and as long as it has computed.
    check(
        &script.apply(finished(3, 3, DONE)),
        expect!["ended 3 1-3 Succeeded; succeeded 3 1-3; resume 1 1-1"],
    );
}

#[test]
fn a_job_that_is_too_long_or_too_large_holds_nobody_up() {
    let mut script = busy();
    let other = ModelProfile { offers: Offers::default(), run_ms: 200_000, ..long_model("own/other:1") };
    script.apply(Event::ModelChanged(other));
    let other = |n| JobSpec { model: ModelKey::from("own/other:1"), ..job(n) };
    check(&script.apply(Event::Submitted(other(2))), expect![""]);
    // A model that is not there is not loaded for it.
    check(
        &script.apply(Event::Submitted(JobSpec { model: ModelKey::from("own/b:1"), ..job(4) })),
        expect![""],
    );
    // Its own model is taken: there is only one of it in memory.
    check(&script.apply(Event::Submitted(JobSpec { predicted_ms: 1_000, ..long(3) })), expect![""]);
    let narrow = WorkerSpec { memory_mib: 150, ..worker("w") };
    let mut script = Script::new();
    script.apply(agent("a", vec![narrow], vec![]));
    holds_a(&mut script);
    script.apply(Event::Submitted(long(1)));
    script.apply(started(1, 1));
    script.after_ms(20_000);
    check(&script.submit(2), expect![""]);
}

#[test]
fn a_worker_of_several_attempts_and_a_model_that_cannot_pause_are_left_alone() {
    let mut script = Script::new();
    script.apply(agent("a", vec![WorkerSpec { concurrency: 2, ..worker("w") }], vec![]));
    for n in 1..=2 {
        script.apply(Event::Submitted(long(n)));
        script.apply(started(n, n as u64));
    }
    script.after_ms(20_000);
    check(&script.submit(3), expect![""]);
}

#[test]
fn a_wish_without_an_answer_is_taken_back_and_a_late_answer_changes_nothing() {
    let mut script = busy();
    check(&script.submit(2), expect!["pause 1 1-1"]);
    script.after_ms(limits::LEASE_MS - 1);
    beat(&mut script, vec![running(1, fence(1), "w")]);
    check(&script.after_ms(1), expect!["resume 1 1-1"]);
    check(&script.apply(said(1, 1, Phase::Paused)), expect!["resume 1 1-1"]);
    // It is not asked again at once.
    check(&script.submit(3), expect![""]);
}

#[test]
fn what_has_computed_is_not_asked_any_more() {
    let mut script = busy();
    check(&script.submit(2), expect!["pause 1 1-1"]);
    script.apply(said(1, 1, Phase::Uploading));
    check(&script.after_ms(limits::LEASE_MS - 1), expect![""]);
    check(
        &script.apply(finished(1, 1, DONE)),
        expect!["ended 1 1-1 Succeeded; succeeded 1 1-1; assign 2 1-2 a/w warm"],
    );
}

#[test]
fn a_pause_does_not_count_towards_the_time_out() {
    let mut script = held();
    let timeout_ms = 600_000 + limits::TIMEOUT_GRACE_MS;
    for _ in 0..2 {
        script.after_ms(20_000);
        beat(&mut script, both(true, 0));
    }
    script.apply(finished(2, 2, DONE));
    let mut computed_ms = 62_000;
    while computed_ms + 20_000 < timeout_ms {
        check(&script.after_ms(20_000), expect![""]);
        beat(&mut script, vec![running(1, fence(1), "w")]);
        computed_ms += 20_000;
    }
    check(&script.after_ms(timeout_ms - computed_ms - 1), expect![""]);
    check(
        &script.after_ms(1),
        expect!["stop 1 1-1 TimedOut; ended 1 1-1 Failed(TimedOut); failed 1 TimedOut"],
    );
}

#[test]
fn a_paused_job_is_canceled_like_any_other() {
    let mut script = held();
    check(&script.apply(Event::CancelRequested { job: JobKey(1) }), expect!["stop 1 1-1 Canceled"]);
    check(
        &script.apply(finished(1, 1, AttemptOutcome::Canceled)),
        expect!["ended 1 1-1 Canceled; canceled 1"],
    );
    script.submit(3);
    check(
        &script.apply(finished(2, 2, DONE)),
        expect!["ended 2 1-2 Succeeded; succeeded 2 1-2; assign 3 1-3 a/w warm"],
    );
}

#[test]
fn with_a_lost_agent_both_are_lost_and_neither_twice() {
    let mut script = held();
    script.apply(Event::AgentLost { agent: AgentKey::from("a") });
    let text = script.after_ms(limits::LEASE_MS);
    let lost = text.iter().filter(|effect| matches!(effect, Effect::AttemptEnded { .. })).count();
    assert_eq!(lost, 2, "{text:?}");
    script.apply(agent("b", vec![worker("w"), worker("x")], vec![]));
    let again = script.after_ms(limits::RETRY_BACKOFF_MS);
    assert_eq!(again.iter().filter(|effect| matches!(effect, Effect::Assign(_))).count(), 2, "{again:?}");
    check(&script.apply(finished(1, 1, DONE)), expect!["late 1 1-1"]);
}

#[test]
fn an_agent_that_comes_back_says_what_is_paused() {
    let mut script = held();
    script.apply(Event::AgentLost { agent: AgentKey::from("a") });
    // The guest has ended meanwhile: the agent goes on by itself.
    check(
        &script.apply(finished(2, 2, DONE)),
        expect!["ended 2 1-2 Succeeded; succeeded 2 1-2; resume 1 1-1"],
    );
    let went_on = RunningAttempt { held_ms: 4_000, ..running(1, fence(1), "w") };
    check(&script.apply(agent("a", vec![worker("w")], vec![went_on])), expect!["keep 1 1-1"]);
    // Or it does not: then it is told to.
    script.apply(Event::AgentLost { agent: AgentKey::from("a") });
    let paused = RunningAttempt { paused: true, held_ms: 9_000, ..running(1, fence(1), "w") };
    check(&script.apply(agent("a", vec![worker("w")], vec![paused])), expect!["keep 1 1-1; resume 1 1-1"]);
}

#[test]
fn a_draining_agent_goes_on_with_what_is_paused_and_takes_nothing() {
    let mut script = held();
    script.submit(3);
    script.apply(Event::AgentDraining { agent: AgentKey::from("a") });
    check(
        &script.apply(finished(2, 2, DONE)),
        expect!["ended 2 1-2 Succeeded; succeeded 2 1-2; resume 1 1-1"],
    );
    check(&script.apply(finished(1, 1, DONE)), expect!["ended 1 1-1 Succeeded; succeeded 1 1-1"]);
}

#[test]
fn a_restarted_scheduler_learns_of_the_pause_from_the_agent() {
    let learned = held().scheduler.snapshot();
    assert!(learned.lines().any(|line| line.starts_with("pause ")), "{learned}");
    let mut script = Script { scheduler: Scheduler::new(2).with_snapshot(&learned), ..Script::new() };
    script.apply(Event::ModelChanged(long_model("own/long:1")));
    let worker_key = WorkerKey::new(&AgentKey::from("a"), "w");
    let state = |sequence| RestoredState::Leased {
        fence: fence(sequence),
        worker: worker_key.clone(),
        assigned_at: TimeUs(0),
        charge: None,
    };
    for (spec, sequence) in [(long(1), 1), (job(2), 2)] {
        let (attempts_ended, cancel_requested) = (0, false);
        let state = state(sequence);
        script.apply(Restored { spec, attempts_ended, cancel_requested, state }.into());
    }
    check(&script.apply(agent("a", vec![worker("w")], both(true, 5_000))), expect!["keep 1 1-1; keep 2 1-2"]);
    check(
        &script.apply(finished(2, 2, DONE)),
        expect!["ended 2 1-2 Succeeded; succeeded 2 1-2; resume 1 1-1"],
    );
}

#[test]
fn no_job_stands_aside_for_longer_than_it_bears_whatever_comes() {
    let mut script = busy();
    let (mut held_ms, mut since, mut next) = (0, None, 2_u128);
    let mut guests: BTreeSet<(JobKey, u64)> = BTreeSet::new();
    for _ in 0..400 {
        let mut effects = script.submit(next);
        next += 1;
        script.now = script.now.plus_ms(1_000);
        beat(
            &mut script,
            [
                vec![running(1, fence(1), "w")],
                guests.iter().map(|(job, sequence)| running(job.0, fence(*sequence), "w")).collect(),
            ]
            .concat(),
        );
        for (job, sequence) in std::mem::take(&mut guests) {
            effects.extend(script.apply(finished(job.0, sequence, DONE)));
        }
        let mut at = 0;
        while at < effects.len() {
            match effects[at].clone() {
                Effect::Pause { .. } => effects.extend(script.apply(said(1, 1, Phase::Paused))),
                Effect::Resume { .. } => {
                    held_ms += since.take().map_or(0, |since| script.now.since_ms(since));
                }
                Effect::Assign(given) => {
                    since.get_or_insert(script.now);
                    guests.insert((given.job, given.fence.sequence));
                }
                _ => {}
            }
            at += 1;
        }
    }
    assert!((20_000..=30_000 + 460_000 / 2).contains(&held_ms), "{held_ms} ms of 460 s");
}
