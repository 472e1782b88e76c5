//! One fact a test, through one script.

use std::{collections::BTreeSet, sync::Arc};

use crate::script::{Script, agent, check, fence, finished, job, running, worker};
use backlot_inference_scheduler::{
    AgentKey, AttemptOutcome, Event, FailureClass, Fence, Impossible, JobKey, JobSpec, ModelKey, Phase,
    Refusal, RegionKey, Restored, RestoredState, TenantKey, TenantSpec, Tier, TimeUs, WorkerKey, WorkerSpec,
    limits,
};
use expect_test::expect;

const LOST: AttemptOutcome = AttemptOutcome::Failed { class: FailureClass::LostWorker, retryable: true };

#[test]
fn a_free_worker_gets_a_job_at_once() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    check(&script.submit(1), expect!["assign 1 1-1 a/w"]);
    check(&script.submit(2), expect![""]);
    check(
        &script.apply(finished(1, 1, AttemptOutcome::Succeeded)),
        expect!["ended 1 1-1 Succeeded; succeeded 1 1-1; assign 2 1-2 a/w warm"],
    );
}

#[test]
fn warm_goes_first_and_a_swap_evicts() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w1"), worker("w2")], vec![]));
    let key = WorkerKey::new(&AgentKey::from("a"), "w2");
    script.apply(Event::WorkerReport { worker: key, resident: BTreeSet::from([ModelKey::from("own/b:1")]) });
    let b = |n| JobSpec { model: ModelKey::from("own/b:1"), ..job(n) };
    check(&script.apply(Event::Submitted(b(1))), expect!["assign 1 1-1 a/w2 warm"]);
    check(&script.apply(Event::Submitted(job(2))), expect!["assign 2 1-2 a/w1"]);
    script.apply(Event::Submitted(b(3)));
    check(
        &script.apply(finished(2, 2, AttemptOutcome::Succeeded)),
        expect!["ended 2 1-2 Succeeded; succeeded 2 1-2; evict a/w1 own/a:1; assign 3 1-3 a/w1"],
    );
}

#[test]
fn an_interactive_job_overtakes_for_a_bounded_time() {
    let mut script = Script::new();
    let at = |n, tier, s: i64| JobSpec { tier, created_at: TimeUs(s * 1_000_000), ..job(n) };
    script.apply(Event::Submitted(at(1, Tier::Batch, 0)));
    script.apply(Event::Submitted(at(2, Tier::Standard, 0)));
    script.apply(Event::Submitted(at(3, Tier::Interactive, 4)));
    script.apply(Event::Submitted(at(4, Tier::Interactive, 601)));
    let workers = ["1", "2", "3", "4"].map(worker).to_vec();
    check(
        &script.apply(agent("a", workers, vec![])),
        expect!["assign 3 1-1 a/1; assign 2 1-2 a/2; assign 1 1-3 a/3; assign 4 1-4 a/4"],
    );
}

#[test]
fn only_the_current_fence_counts_and_only_once() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    script.submit(1);
    check(&script.apply(finished(1, 9, AttemptOutcome::Succeeded)), expect!["late 1 1-9"]);
    script.apply(finished(1, 1, AttemptOutcome::Succeeded));
    check(&script.apply(finished(1, 1, AttemptOutcome::Succeeded)), expect!["late 1 1-1"]);
}

#[test]
fn a_lease_without_heartbeats_is_lost_and_the_late_result_is_fenced() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    script.submit(1);
    script.after_ms(limits::LEASE_MS - 1);
    let heartbeat = Event::Heartbeat { agent: AgentKey::from("a"), running: vec![running(1, fence(1), "w")] };
    check(&script.apply(heartbeat), expect![""]);
    check(&script.after_ms(limits::LEASE_MS - 1), expect![""]);
    check(&script.after_ms(1), expect!["ended 1 1-1 Lost; requeue 1 at 61499"]);
    check(&script.after_ms(limits::RETRY_BACKOFF_MS), expect![""]);
    check(&script.apply(agent("b", vec![worker("w")], vec![])), expect!["assign 1 1-2 b/w"]);
    check(&script.apply(finished(1, 1, AttemptOutcome::Succeeded)), expect!["late 1 1-1"]);
    check(
        &script.apply(finished(1, 2, AttemptOutcome::Succeeded)),
        expect!["ended 1 1-2 Succeeded; succeeded 1 1-2"],
    );
}

#[test]
fn lost_workers_are_tried_again_up_to_a_budget() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    script.submit(1);
    check(&script.apply(finished(1, 1, LOST)), expect!["ended 1 1-1 Failed(LostWorker); requeue 1 at 1500"]);
    check(&script.after_ms(500), expect!["assign 1 1-2 a/w warm"]);
    check(&script.apply(finished(1, 2, LOST)), expect!["ended 1 1-2 Failed(LostWorker); requeue 1 at 2500"]);
    script.after_ms(1_000);
    check(
        &script.apply(finished(1, 3, LOST)),
        expect!["ended 1 1-3 Failed(LostWorker); failed 1 LostWorker"],
    );
}

#[test]
fn a_model_error_is_final_unless_it_says_otherwise() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    script.submit(1);
    let outcome = AttemptOutcome::Failed { class: FailureClass::ModelError, retryable: false };
    check(
        &script.apply(finished(1, 1, outcome)),
        expect!["ended 1 1-1 Failed(ModelError); failed 1 ModelError"],
    );
}

#[test]
fn a_cancel_is_at_once_while_waiting_and_confirmed_while_running() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    script.submit(1);
    script.submit(2);
    check(&script.apply(Event::CancelRequested { job: JobKey(2) }), expect!["canceled 2"]);
    check(&script.apply(Event::CancelRequested { job: JobKey(1) }), expect!["stop 1 1-1 Canceled"]);
    check(&script.apply(Event::CancelRequested { job: JobKey(1) }), expect![""]);
    check(
        &script.apply(finished(1, 1, AttemptOutcome::Canceled)),
        expect!["ended 1 1-1 Canceled; canceled 1"],
    );
}

#[test]
fn a_result_that_beats_the_cancel_counts_and_a_lost_agent_confirms_it() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w"), worker("x")], vec![]));
    script.submit(1);
    script.submit(2);
    script.apply(Event::CancelRequested { job: JobKey(1) });
    script.apply(Event::CancelRequested { job: JobKey(2) });
    check(
        &script.apply(finished(1, 1, AttemptOutcome::Succeeded)),
        expect!["ended 1 1-1 Succeeded; succeeded 1 1-1"],
    );
    check(&script.after_ms(limits::LEASE_MS), expect!["ended 2 1-2 Lost; canceled 2"]);
}

#[test]
fn a_job_expires_only_while_it_waits() {
    let mut script = Script::new();
    script.submit(1);
    check(&script.after_ms(3_599_999), expect![""]);
    check(&script.after_ms(1), expect!["expired 1"]);
}

#[test]
fn an_attempt_that_overruns_is_stopped_and_its_room_stays_taken_until_it_ends() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    script.submit(1);
    for _ in 0..7 {
        script.now = script.now.plus_ms(10_000);
        script
            .apply(Event::Heartbeat { agent: AgentKey::from("a"), running: vec![running(1, fence(1), "w")] });
    }
    check(
        &script.after_ms(5_000),
        expect!["stop 1 1-1 TimedOut; ended 1 1-1 Failed(TimedOut); failed 1 TimedOut"],
    );
    check(&script.submit(2), expect![""]);
    let heartbeat = Event::Heartbeat { agent: AgentKey::from("a"), running: vec![] };
    check(&script.apply(heartbeat), expect!["assign 2 1-2 a/w warm"]);
}

#[test]
fn a_returning_agent_keeps_what_counts_and_loses_what_it_does_not_name() {
    let mut script = Script::new();
    let workers = || vec![worker("w"), worker("x")];
    script.apply(agent("a", workers(), vec![]));
    script.submit(1);
    script.submit(2);
    script.apply(Event::AgentLost { agent: AgentKey::from("a") });
    let named = vec![running(1, fence(1), "w"), running(7, fence(7), "x")];
    check(
        &script.apply(agent("a", workers(), named)),
        expect!["ended 2 1-2 Lost; requeue 2 at 1500; keep 1 1-1; stop 7 1-7 Stale"],
    );
}

#[test]
fn a_restart_gives_leases_their_full_length_again() {
    let mut script = Script::new();
    let earlier = Fence { epoch: 0, sequence: 4 };
    let worker_key = WorkerKey::new(&AgentKey::from("a"), "w");
    let state =
        RestoredState::Leased { fence: earlier, worker: worker_key, assigned_at: TimeUs(0), charge: None };
    let restored = Restored { spec: job(1), attempts_ended: 1, cancel_requested: false, state };
    check(&script.apply(restored.into()), expect![""]);
    let state = RestoredState::Queued { queued_at: TimeUs(0) };
    script.apply(Restored { spec: job(2), attempts_ended: 0, cancel_requested: false, state }.into());
    let back = vec![running(1, earlier, "w")];
    check(&script.apply(agent("a", vec![worker("w")], back)), expect!["keep 1 0-4"]);
    let outcome = AttemptOutcome::Succeeded;
    let done =
        Event::Finished { job: JobKey(1), fence: earlier, outcome, load_ms: 0, compute_ms: 1, batched: 0 };
    check(&script.apply(done), expect!["ended 1 0-4 Succeeded; succeeded 1 0-4; assign 2 1-1 a/w"]);
}

#[test]
fn a_tenant_has_a_limit_and_regions() {
    let mut script = Script::new();
    let regions = BTreeSet::from([RegionKey::from("elsewhere")]);
    let tenant = TenantKey::from("studio/t1");
    let spec = TenantSpec { tenant: tenant.clone(), weight_milli: 1000, queued_max: 1, regions };
    script.apply(Event::TenantChanged(spec));
    script.apply(agent("a", vec![worker("w")], vec![]));
    check(&script.submit(1), expect![""]);
    assert_eq!(script.scheduler.admit(&job(2)), Err(Refusal::QueueFull { queued: 1, queued_max: 1 }));
    assert_eq!(script.scheduler.estimate(script.now, &job(2)), Err(Impossible::NoRegion));
    let anywhere = TenantSpec { tenant, weight_milli: 1000, queued_max: 1, regions: BTreeSet::new() };
    check(&script.apply(Event::TenantChanged(anywhere)), expect!["assign 1 1-1 a/w"]);
}

#[test]
fn an_estimate_says_position_start_and_what_cannot_be() {
    let mut script = Script::new();
    assert_eq!(script.scheduler.estimate(script.now, &job(1)), Err(Impossible::NoWorker));
    let only_b = WorkerSpec { models: BTreeSet::from([Arc::from("own/b")]), ..worker("w") };
    script.apply(agent("a", vec![only_b], vec![]));
    assert_eq!(script.scheduler.estimate(script.now, &job(1)), Err(Impossible::NoCapacity));
    script.apply(agent("b", vec![worker("w")], vec![]));
    for n in 1..=3 {
        script.submit(n);
    }
    let (leased, fence) = (JobKey(1), fence(1));
    script.apply(Event::AttemptStarted { job: leased, fence });
    script.now = script.now.plus_ms(100);
    script.apply(Event::Progress { job: leased, fence, phase: Phase::Running, done_permille: 500 });
    let late = JobSpec { created_at: script.now, ..job(9) };
    let estimate = script.scheduler.estimate(script.now, &late).expect("possible");
    assert_eq!((estimate.position, estimate.start_p50_ms, estimate.run_ms), (2, 2_100, 1_000));
    assert!(estimate.start_p90_ms > estimate.start_p50_ms);
}

#[test]
fn a_draining_or_lost_agent_gets_nothing_new() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    script.apply(Event::AgentDraining { agent: AgentKey::from("a") });
    check(&script.submit(1), expect![""]);
    script.apply(Event::AgentLost { agent: AgentKey::from("a") });
    check(&script.after_ms(limits::AGENT_FORGET_MS), expect!["forgotten a"]);
}
