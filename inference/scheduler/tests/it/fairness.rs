//! Who asks for much waits for it alone.

use std::collections::BTreeMap;

use crate::script::{Script, agent, job, worker};
use backlot_inference_scheduler::{
    AttemptOutcome, Effect, Event, Fence, JobKey, JobSpec, ModelKey, TenantKey, TimeUs, limits,
};

const RUN_MS: i64 = 10_000;
const GREEDY_JOBS: u128 = 200;
const MODEST_EVERY_MS: i64 = 30_000;

/// One worker, two tenants: submits `greedy` jobs at once and a modest one every half minute; waits of the modest ones
/// and the number of jobs that ran.
fn modest_waits_ms(greedy: u128) -> (Vec<i64>, usize) {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    let spec = |n: u128, tenant: &str, at: TimeUs| JobSpec {
        tenant: TenantKey::from(tenant),
        model: ModelKey::from("own/free:1"),
        created_at: at,
        predicted_ms: RUN_MS,
        ..job(n)
    };
    let (mut running, mut submitted, mut waits, mut ran): (Option<(JobKey, Fence)>, BTreeMap<_, _>, _, _) =
        (None, BTreeMap::new(), Vec::new(), 0);
    for turn in 0..120_i64 {
        let mut events = Vec::new();
        if let Some((job, fence)) = running.take() {
            let outcome = AttemptOutcome::Succeeded;
            events.push(Event::Finished { job, fence, outcome, load_ms: 0, compute_ms: RUN_MS, batched: 0 });
        }
        if turn == 0 {
            events.extend((1..=greedy).map(|n| Event::Submitted(spec(n, "greedy", script.now))));
        }
        // The last ones have time to run.
        if turn < 110 && turn * RUN_MS % MODEST_EVERY_MS == 0 {
            let n = 1_000_000 + turn as u128;
            submitted.insert(JobKey(n), script.now);
            events.push(Event::Submitted(spec(n, "modest", script.now)));
        }
        let effects: Vec<Effect> = events.into_iter().flat_map(|event| script.apply(event)).collect();
        for effect in effects {
            if let Effect::Assign(assignment) = effect {
                running = Some((assignment.job, assignment.fence));
                ran += 1;
                waits.extend(submitted.get(&assignment.job).map(|at| script.now.since_ms(*at)));
            }
        }
        script.now = script.now.plus_ms(RUN_MS);
    }
    (waits, ran)
}

#[test]
fn others_wait_for_a_greedy_tenant_no_longer_than_the_slack_and_two_services() {
    let (waits, ran) = modest_waits_ms(GREEDY_JOBS);
    assert_eq!(ran, 120, "the worker never idles");
    assert_eq!(waits.len(), 37, "every modest job ran");
    let bound_ms = limits::FAIR_SLACK_MS as i64 + 2 * RUN_MS;
    assert!(waits.iter().all(|ms| *ms <= bound_ms), "{waits:?}");
}

#[test]
fn nobody_waits_where_nobody_is_greedy() {
    let (waits, _) = modest_waits_ms(0);
    assert!(waits.iter().all(|ms| *ms == 0), "{waits:?}");
}
