//! What idle workers are prepared for.

use std::sync::Arc;

use crate::script::{Script, agent, finished, job, worker};
use backlot_inference_scheduler::{
    AgentKey, AttemptOutcome, Effect, Event, JobSpec, ModelKey, WorkerKey, limits,
};

fn with_adapters(n: u128, adapter: &str) -> JobSpec {
    JobSpec { adapters: Arc::from([Arc::from(adapter)]), ..job(n) }
}

fn prefetched(effects: &[Effect]) -> Option<WorkerKey> {
    effects.iter().find_map(|effect| match effect {
        Effect::Prefetch { worker, .. } => Some(worker.clone()),
        _ => None,
    })
}

fn assigned(effects: &[Effect]) -> Option<WorkerKey> {
    effects.iter().find_map(|effect| match effect {
        Effect::Assign(assignment) => Some(assignment.worker.clone()),
        _ => None,
    })
}

/// Two jobs with different adapters, one after the other: the second takes the first one's set away.
fn a_set_is_lost() -> (Script, WorkerKey, WorkerKey) {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("v"), worker("w")], vec![]));
    let first = assigned(&script.apply(Event::Submitted(with_adapters(1, "x")))).expect("a worker is free");
    script.apply(finished(1, 1, AttemptOutcome::Succeeded));
    let second = assigned(&script.apply(Event::Submitted(with_adapters(2, "y")))).expect("a worker is free");
    assert_eq!(first, second, "where the model is resident");
    let effects = script.apply(finished(2, 2, AttemptOutcome::Succeeded));
    let prepared = prefetched(&effects).expect("the other worker is prepared");
    assert_ne!(prepared, first);
    (script, first, prepared)
}

fn loaded(worker: &WorkerKey, loaded: bool) -> Event {
    Event::LoadFinished { worker: worker.clone(), model: ModelKey::from("own/a:1"), load_ms: 500, loaded }
}

#[test]
fn a_model_that_lost_its_adapters_gets_a_plain_replica_and_keeps_the_set() {
    let (mut script, holder, prepared) = a_set_is_lost();
    assert_eq!(assigned(&script.apply(loaded(&prepared, true))), None);
    let third = assigned(&script.apply(Event::Submitted(with_adapters(3, "z"))));
    assert_eq!(third, Some(prepared), "nobody's set is taken away");
    let fourth = assigned(&script.apply(Event::Submitted(with_adapters(4, "y"))));
    assert_eq!(fourth, Some(holder), "the tenant finds its set");
}

#[test]
fn a_worker_that_loads_ahead_takes_work_when_that_is_over() {
    for event in [true, false] {
        let (mut script, _, prepared) = a_set_is_lost();
        script.apply(Event::Submitted(with_adapters(3, "y")));
        let other = JobSpec { model: ModelKey::from("own/b:1"), ..job(4) };
        assert_eq!(assigned(&script.apply(Event::Submitted(other))), None, "both are taken");
        script.now = script.now.plus_ms(limits::SWAP_ABSENT_MS as i64);
        assert_eq!(assigned(&script.apply(loaded(&prepared, event))), Some(prepared));
    }
}

#[test]
fn a_load_ahead_that_nobody_reports_is_forgotten() {
    let (mut script, _, prepared) = a_set_is_lost();
    script.apply(Event::Submitted(with_adapters(3, "y")));
    script.apply(Event::Submitted(JobSpec { model: ModelKey::from("own/b:1"), ..job(4) }));
    assert_eq!(assigned(&script.after_ms(limits::PREPARE_MS_MAX)), Some(prepared));
}

#[test]
fn what_an_agent_loaded_ahead_ends_with_it() {
    let (mut script, _, prepared) = a_set_is_lost();
    script.apply(Event::AgentLost { agent: AgentKey::from("a") });
    script.apply(agent("a", vec![worker("v"), worker("w")], vec![]));
    script.apply(loaded(&prepared, false));
    assert!(assigned(&script.submit(3)).is_some());
}
