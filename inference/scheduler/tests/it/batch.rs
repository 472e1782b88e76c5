//! Jobs that compute in one call: who goes with whom, and that each keeps a life of its own.

use std::{collections::BTreeSet, sync::Arc};

use crate::script::{Script, agent, batch_model, check, fence, finished, job, running, worker};
use backlot_inference_scheduler::{
    AgentKey, AttemptOutcome, Batching, Effect, Event, FailureClass, Features, JobKey, JobSpec, ModelKey,
    ModelProfile, Offers, Restored, RestoredState, RunningAttempt, Scheduler, TenantKey, TimeUs, WorkerKey,
    WorkerSpec, limits,
};
use expect_test::expect;

const DONE: AttemptOutcome = AttemptOutcome::Succeeded;

fn many(n: u128) -> JobSpec {
    JobSpec { model: ModelKey::from("own/many:1"), ..job(n) }
}

fn of(tenant: &str, n: u128) -> JobSpec {
    JobSpec { tenant: TenantKey::from(tenant), ..many(n) }
}

fn submit(script: &mut Script, spec: JobSpec) -> Vec<Effect> {
    script.apply(Event::Submitted(JobSpec { created_at: script.now, ..spec }))
}

/// A worker that is busy with job 1, and what waits behind it.
fn behind(waiting: impl IntoIterator<Item = JobSpec>) -> Script {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    submit(&mut script, many(1));
    for spec in waiting {
        script.now = script.now.plus_ms(1);
        submit(&mut script, spec);
    }
    script
}

fn first_ends(script: &mut Script) -> Vec<Effect> {
    script.apply(finished(1, 1, DONE))
}

fn whole_fails(n: u128, sequence: u64) -> Event {
    let outcome = AttemptOutcome::Failed { class: FailureClass::ModelError, retryable: true };
    Event::Finished {
        job: JobKey(n),
        fence: fence(sequence),
        outcome,
        load_ms: 0,
        compute_ms: 5_000,
        batched: 3,
    }
}

#[test]
fn what_waits_when_a_worker_gets_room_goes_together() {
    let mut script = behind([many(2), many(3), many(4)]);
    check(
        &first_ends(&mut script),
        expect![
            "ended 1 1-1 Succeeded; succeeded 1 1-1; assign 2 1-2 a/w warm with 1-2; assign 3 1-3 a/w warm with 1-2; assign 4 1-4 a/w warm with 1-2"
        ],
    );
    // The worker has room again when the last of them has ended.
    submit(&mut script, many(5));
    check(&script.apply(finished(3, 3, DONE)), expect!["ended 3 1-3 Succeeded; succeeded 3 1-3"]);
    check(&script.apply(finished(2, 2, DONE)), expect!["ended 2 1-2 Succeeded; succeeded 2 1-2"]);
    check(
        &script.apply(finished(4, 4, DONE)),
        expect!["ended 4 1-4 Succeeded; succeeded 4 1-4; assign 5 1-5 a/w warm"],
    );
}

#[test]
fn no_more_than_the_model_and_the_memory_take() {
    let mut script = behind((2..=7).map(many));
    let together = first_ends(&mut script);
    assert_eq!(assigned(&together), [2, 3, 4, 5], "four at most");
    let narrow = WorkerSpec { memory_mib: 185, ..worker("w") };
    let mut script = Script::new();
    script.apply(agent("a", vec![narrow], vec![]));
    (1..=7).for_each(|n| drop(submit(&mut script, many(n))));
    assert_eq!(assigned(&first_ends(&mut script)), [2, 3, 4], "100 MiB and 40 for each further one");
}

fn assigned(effects: &[Effect]) -> Vec<u128> {
    let jobs = effects.iter().filter_map(|effect| match effect {
        Effect::Assign(given) => Some(given.job.0),
        _ => None,
    });
    jobs.collect()
}

#[test]
fn only_what_is_alike_goes_together() {
    let other_key = JobSpec { batch_key: 7, ..many(3) };
    let other_adapters = JobSpec { adapters: Arc::from([Arc::from("style")]), ..many(4) };
    let other_features = JobSpec { features: Features { steps: 30, ..Features::default() }, ..many(5) };
    let mut script = behind([many(2), other_key, other_adapters, other_features, many(6)]);
    assert_eq!(assigned(&first_ends(&mut script)), [2, 6]);
}

#[test]
fn nobody_who_is_due_waits_longer_because_somebody_rides() {
    // Job 3 of another tenant cannot ride, and stands before job 4.
    let other = JobSpec { batch_key: 7, ..of("studio/t2", 3) };
    let mut script = behind([many(2), other.clone(), many(4)]);
    assert_eq!(assigned(&first_ends(&mut script)), [2]);
    // Three that stand before it take 1.5 times as long together and 3 times one after another: a fourth fits in.
    let mut script = behind([many(2), many(5), many(6), other.clone(), many(4)]);
    assert_eq!(assigned(&first_ends(&mut script)), [2, 5, 6, 4]);
    // Who comes after it holds nobody up.
    let mut script = behind([many(2), many(4), other]);
    assert_eq!(assigned(&first_ends(&mut script)), [2, 4]);
}

#[test]
fn the_head_of_another_line_that_waits_for_the_worker_is_not_overtaken() {
    let free =
        JobSpec { tenant: TenantKey::from("studio/t2"), model: ModelKey::from("own/free:1"), ..job(3) };
    let mut script = behind([many(2), free.clone(), many(4)]);
    assert_eq!(assigned(&first_ends(&mut script)), [2]);
    // With another worker that is free sooner it is not held up.
    let mut script = Script::new();
    let only = WorkerSpec { models: BTreeSet::from([Arc::from("own/free")]), ..worker("x") };
    script.apply(agent("a", vec![worker("w"), only], vec![]));
    submit(&mut script, many(1));
    submit(&mut script, JobSpec { model: ModelKey::from("own/free:1"), ..job(9) });
    for spec in [many(2), free, many(4)] {
        script.now = script.now.plus_ms(1);
        submit(&mut script, spec);
    }
    assert_eq!(assigned(&first_ends(&mut script)), [2, 4]);
}

#[test]
fn a_batch_that_raises_no_throughput_is_not_made() {
    let mut script = Script::new();
    let batch = Some(Batching { max: 4, more_permille: 950, memory_mib: 0 });
    let offers = Offers { batch, ..Offers::default() };
    script.apply(Event::ModelChanged(ModelProfile { offers, ..batch_model("own/many:1") }));
    script.apply(agent("a", vec![worker("w")], vec![]));
    (1..=4).for_each(|n| drop(submit(&mut script, many(n))));
    assert_eq!(assigned(&first_ends(&mut script)), [2]);
}

#[test]
fn what_batches_take_is_learned() {
    let mut script = behind([many(2), many(3)]);
    // One takes ten seconds alone.
    script.apply(took(1, 1, 10_000, 1));
    let mut next = 4_u128;
    let mut together = vec![2, 3];
    for _ in 0..12 {
        let last = together.len() as u32;
        for n in [next, next + 1] {
            script.now = script.now.plus_ms(1);
            submit(&mut script, many(n));
        }
        next += 2;
        let mut effects = Vec::new();
        for n in std::mem::take(&mut together) {
            // Two take twenty: nothing is won.
            effects.extend(script.apply(took(n, n as u64, 10_000, last)));
        }
        together = assigned(&effects);
        if together.len() == 1 {
            let text = script.scheduler.snapshot();
            assert!(text.lines().any(|line| line.starts_with("together ")), "{text}");
            return;
        }
    }
    panic!("batches that take as long as their jobs are still made");
}

fn took(n: u128, sequence: u64, compute_ms: i64, batched: u32) -> Event {
    Event::Finished { job: JobKey(n), fence: fence(sequence), outcome: DONE, load_ms: 0, compute_ms, batched }
}

#[test]
fn an_agent_that_takes_no_batches_gets_none() {
    let mut script = Script::new();
    script.apply(agent("a", vec![WorkerSpec { batches: false, ..worker("w") }], vec![]));
    (1..=4).for_each(|n| drop(submit(&mut script, many(n))));
    assert_eq!(assigned(&first_ends(&mut script)), [2]);
}

#[test]
fn a_batch_of_a_small_fleet_takes_one_of_two_places() {
    let mut script = Script::new();
    script.apply(agent("a", vec![WorkerSpec { concurrency: 2, ..worker("w") }], vec![]));
    (1..=6).for_each(|n| drop(submit(&mut script, many(n))));
    let text = first_ends(&mut script);
    assert_eq!(assigned(&text), [3, 4, 5], "beside job 2; a fourth would cost these more than it gains");
    assert!(submit(&mut script, many(7)).is_empty());
    assert_eq!(assigned(&script.apply(finished(2, 2, DONE))), [6, 7]);
    assert!(submit(&mut script, many(8)).is_empty());
    script.apply(finished(3, 3, DONE));
    script.apply(finished(4, 4, DONE));
    assert_eq!(assigned(&script.apply(finished(5, 5, DONE))), [8]);
}

#[test]
fn a_canceled_member_goes_and_the_others_go_on() {
    let mut script = behind([many(2), many(3), many(4)]);
    first_ends(&mut script);
    check(&script.apply(Event::CancelRequested { job: JobKey(2) }), expect!["stop 2 1-2 Canceled"]);
    check(
        &script.apply(finished(2, 2, AttemptOutcome::Canceled)),
        expect!["ended 2 1-2 Canceled; canceled 2"],
    );
    check(&submit(&mut script, many(5)), expect![""]);
    script.apply(finished(3, 3, DONE));
    assert_eq!(assigned(&script.apply(finished(4, 4, DONE))), [5]);
}

#[test]
fn after_a_failed_batch_each_goes_alone() {
    let mut script = behind([many(2), many(3), many(4)]);
    first_ends(&mut script);
    check(&script.apply(whole_fails(2, 2)), expect!["ended 2 1-2 Failed(ModelError); requeue 2 at 1503"]);
    script.apply(whole_fails(3, 3));
    script.apply(whole_fails(4, 4));
    let again = script.after_ms(limits::RETRY_BACKOFF_MS);
    assert_eq!(assigned(&again), [2], "alone");
    // The one that was to blame fails for good; the others do not fail with it.
    let outcome = AttemptOutcome::Failed { class: FailureClass::InvalidInput, retryable: false };
    let text = script.apply(finished(2, 5, outcome));
    assert_eq!(assigned(&text), [3]);
    assert!(text.contains(&Effect::Failed { job: JobKey(2), class: FailureClass::InvalidInput }));
    assert_eq!(assigned(&script.apply(finished(3, 6, DONE))), [4]);
}

#[test]
fn a_batch_that_takes_too_long_is_tried_one_by_one() {
    let mut script = behind([many(2), many(3)]);
    first_ends(&mut script);
    let running = [running(2, fence(2), "w"), running(3, fence(3), "w")];
    let until_ms = 75_000 + limits::TIMEOUT_GRACE_MS;
    let mut ended = Vec::new();
    for _ in 0..=until_ms / 10_000 {
        ended.extend(script.after_ms(10_000));
        script.apply(Event::Heartbeat { agent: AgentKey::from("a"), running: running.to_vec() });
    }
    let requeued = ended.iter().filter(|effect| matches!(effect, Effect::Requeue { .. })).count();
    assert_eq!(requeued, 2, "{ended:?}");
}

#[test]
fn with_a_lost_worker_each_comes_back_with_its_own_count() {
    let mut script = behind([many(2), many(3)]);
    first_ends(&mut script);
    script.apply(Event::AgentLost { agent: AgentKey::from("a") });
    let lost = script.after_ms(limits::LEASE_MS);
    let requeued = lost.iter().filter(|effect| matches!(effect, Effect::Requeue { .. })).count();
    assert_eq!(requeued, 2, "{lost:?}");
    script.apply(agent("b", vec![worker("w")], vec![]));
    assert_eq!(assigned(&script.after_ms(limits::RETRY_BACKOFF_MS)), [2], "alone");
}

#[test]
fn a_restarted_scheduler_learns_of_the_batch_from_the_agent() {
    let mut script = Script { scheduler: Scheduler::new(2), ..Script::new() };
    script.apply(Event::ModelChanged(batch_model("own/many:1")));
    let worker_key = WorkerKey::new(&AgentKey::from("a"), "w");
    for n in [2, 3] {
        let state = RestoredState::Leased {
            fence: fence(n as u64),
            worker: worker_key.clone(),
            assigned_at: TimeUs(0),
            charge: None,
        };
        let (attempts_ended, cancel_requested) = (0, false);
        script.apply(Restored { spec: many(n), attempts_ended, cancel_requested, state }.into());
    }
    let both = [2, 3].map(|n| RunningAttempt { batch: Some(fence(2)), ..running(n, fence(n as u64), "w") });
    check(&script.apply(agent("a", vec![worker("w")], both.to_vec())), expect!["keep 2 1-2; keep 3 1-3"]);
    check(&submit(&mut script, many(4)), expect![""]);
    script.apply(took(2, 2, 6_000, 2));
    assert_eq!(assigned(&script.apply(took(3, 3, 6_000, 2))), [4]);
}
