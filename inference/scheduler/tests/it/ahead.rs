//! Workers that load one model while they compute with another.

use std::{collections::BTreeSet, sync::Arc};

use crate::script::{Script, agent, check, fence, finished, job, worker};
use backlot_inference_scheduler::{
    AgentKey, AttemptOutcome, Event, JobKey, JobSpec, ModelKey, WorkerKey, WorkerSpec,
};
use expect_test::expect;

const DONE: AttemptOutcome = AttemptOutcome::Succeeded;

fn of(model: &str, n: u128) -> Event {
    Event::Submitted(JobSpec { model: ModelKey::from(model), ..job(n) })
}

fn started(n: u128) -> Event {
    Event::AttemptStarted { job: JobKey(n), fence: fence(n as u64) }
}

fn loaded(model: &str) -> Event {
    let worker = WorkerKey::new(&AgentKey::from("a"), "w");
    Event::LoadFinished { worker, model: ModelKey::from(model), load_ms: 500, loaded: true }
}

/// A worker of two slots that holds model b and does nothing.
fn idle(overlap: bool) -> Script {
    let mut script = Script::new();
    script.apply(agent("a", vec![WorkerSpec { overlap, slots: 2, ..worker("w") }], vec![]));
    let worker = WorkerKey::new(&AgentKey::from("a"), "w");
    script.apply(Event::WorkerReport { worker, resident: BTreeSet::from([ModelKey::from("own/b:1")]) });
    script
}

/// The same, which loads model a for job 1 and computes job 2 of model b meanwhile.
fn busy() -> Script {
    let mut script = idle(true);
    check(&script.apply(of("own/a:1", 1)), expect!["assign 1 1-1 a/w"]);
    check(&script.apply(of("own/b:1", 2)), expect!["assign 2 1-2 a/w warm"]);
    script.apply(started(2));
    script
}

#[test]
fn what_is_warm_computes_beside_a_load_and_what_was_loaded_is_next() {
    let mut script = busy();
    // Nothing else: one computes, one loads.
    check(&script.apply(of("own/b:1", 3)), expect![""]);
    check(&script.apply(loaded("own/a:1")), expect![""]);
    check(&script.apply(finished(2, 2, DONE)), expect!["ended 2 1-2 Succeeded; succeeded 2 1-2"]);
    script.apply(started(1));
    check(
        &script.apply(finished(1, 1, DONE)),
        expect!["ended 1 1-1 Succeeded; succeeded 1 1-1; assign 3 1-3 a/w warm"],
    );
}

#[test]
fn where_the_load_takes_longer_than_what_computes_the_next_warm_one_comes() {
    let mut script = busy();
    check(&script.apply(finished(2, 2, DONE)), expect!["ended 2 1-2 Succeeded; succeeded 2 1-2"]);
    check(&script.apply(of("own/b:1", 3)), expect!["assign 3 1-3 a/w warm"]);
    // Of the model that is on its way nothing else comes before it is there.
    check(&script.apply(finished(3, 3, DONE)), expect!["ended 3 1-3 Succeeded; succeeded 3 1-3"]);
    check(&script.apply(of("own/a:1", 4)), expect![""]);
    script.apply(started(1));
    check(
        &script.apply(finished(1, 1, DONE)),
        expect!["ended 1 1-1 Succeeded; succeeded 1 1-1; assign 4 1-4 a/w warm"],
    );
}

#[test]
fn a_workers_next_job_is_chosen_while_it_computes() {
    let mut script = idle(true);
    script.apply(of("own/b:1", 1));
    script.apply(started(1));
    // The load takes half a second, what computes a second: too early.
    check(&script.apply(of("own/a:1", 2)), expect![""]);
    check(&script.after_ms(700), expect!["assign 2 1-2 a/w"]);
    let running = |n, sequence| crate::script::running(n, fence(sequence), "w");
    let beat = Event::Heartbeat { agent: AgentKey::from("a"), running: vec![running(1, 1), running(2, 2)] };
    check(&script.apply(beat), expect![""]);
    script.apply(loaded("own/a:1"));
    check(&script.apply(finished(1, 1, DONE)), expect!["ended 1 1-1 Succeeded; succeeded 1 1-1"]);
    script.apply(started(2));
    check(&script.apply(finished(2, 2, DONE)), expect!["ended 2 1-2 Succeeded; succeeded 2 1-2"]);
}

#[test]
fn who_needs_a_load_itself_waits_for_the_one_that_runs() {
    let mut script = busy();
    script.apply(finished(2, 2, DONE));
    let adapters = Arc::from([Arc::from("x")]);
    let merges = JobSpec { model: ModelKey::from("own/b:1"), adapters, ..job(3) };
    check(&script.apply(Event::Submitted(merges)), expect![""]);
    script.apply(loaded("own/a:1"));
    script.apply(started(1));
    check(
        &script.apply(finished(1, 1, DONE)),
        expect!["ended 1 1-1 Succeeded; succeeded 1 1-1; assign 3 1-3 a/w warm"],
    );
}

#[test]
fn where_a_load_blocks_compute_nothing_comes_beside_it() {
    let mut script = idle(false);
    check(&script.apply(of("own/a:1", 1)), expect!["assign 1 1-1 a/w"]);
    check(&script.apply(of("own/b:1", 2)), expect![""]);
}

#[test]
fn an_attempt_that_is_lost_while_it_loads_leaves_the_worker_as_it_was() {
    let mut script = busy();
    let failed = AttemptOutcome::Canceled;
    script.apply(Event::CancelRequested { job: JobKey(1) });
    check(&script.apply(finished(1, 1, failed)), expect!["ended 1 1-1 Canceled; canceled 1"]);
    check(&script.apply(of("own/b:1", 3)), expect![""]);
    check(
        &script.apply(finished(2, 2, DONE)),
        expect!["ended 2 1-2 Succeeded; succeeded 2 1-2; assign 3 1-3 a/w warm"],
    );
}
