//! Deadlines: what cannot end in time ends at once, and what is urgent goes first among its tenant's own.

use crate::script::{Script, agent, check, finished, job, worker};
use backlot_inference_scheduler::{
    AttemptOutcome, Effect, Event, FailureClass, JobKey, JobSpec, ModelKey, TenantKey,
};
use expect_test::expect;

const DONE: AttemptOutcome = AttemptOutcome::Succeeded;

/// A job that takes ten seconds as far as is known, and is of use for so many milliseconds.
fn within(script: &Script, n: u128, ms: i64) -> JobSpec {
    let deadline = Some(script.now.plus_ms(ms));
    JobSpec { deadline, created_at: script.now, predicted_ms: 10_000, ..job(n) }
}

fn free(spec: JobSpec) -> JobSpec {
    JobSpec { model: ModelKey::from("own/free:1"), ..spec }
}

fn busy() -> Script {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    let first = free(within(&script, 1, 600_000));
    script.apply(Event::Submitted(first));
    script
}

fn submit(script: &mut Script, spec: JobSpec) -> Vec<Effect> {
    script.apply(Event::Submitted(spec))
}

#[test]
fn what_can_no_longer_end_in_time_expires_while_it_waits() {
    let mut script = busy();
    let spec = free(within(&script, 2, 25_000));
    submit(&mut script, spec);
    // Nothing is known of how long runs take: a quick one would take half of ten seconds.
    check(&script.after_ms(20_000), expect![""]);
    check(&script.after_ms(1), expect!["expired 2"]);
}

#[test]
fn a_load_that_takes_too_long_is_not_begun() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    let spec = within(&script, 1, 5_100);
    check(&submit(&mut script, spec), expect!["expired 1"]);
    let spec = within(&script, 2, 5_400);
    check(&submit(&mut script, spec), expect!["assign 2 1-1 a/w"]);
}

#[test]
fn the_most_urgent_of_a_tenant_goes_first_and_overtakes_nobody_else() {
    let mut script = busy();
    let other = free(JobSpec { tenant: TenantKey::from("studio/t2"), ..within(&script, 2, 900_000) });
    submit(&mut script, other);
    for (n, ms) in [(3, 800_000), (4, 400_000), (5, 500_000)] {
        script.now = script.now.plus_ms(1);
        let spec = free(within(&script, n, ms));
        submit(&mut script, spec);
    }
    script.now = script.now.plus_ms(1);
    let whenever = free(JobSpec { deadline: None, ..within(&script, 6, 0) });
    submit(&mut script, whenever);
    let mut order = Vec::new();
    let (mut running, mut sequence) = (1, 1);
    for _ in 0..6 {
        let effects = script.apply(finished(running, sequence, DONE));
        let next = effects.iter().find_map(|effect| match effect {
            Effect::Assign(given) => Some((given.job.0, given.fence.sequence)),
            _ => None,
        });
        let Some(next) = next else { break };
        (running, sequence) = next;
        order.push(running);
    }
    assert_eq!(order, [2, 4, 5, 3, 6], "the other tenant keeps its place");
}

#[test]
fn who_asks_is_told_that_it_would_be_too_late() {
    let script = busy();
    let waits = free(within(&script, 2, 15_000));
    let ends_ms = script.scheduler.too_late(script.now, &waits).expect("too late");
    assert!((15_000..=25_000).contains(&ends_ms), "{ends_ms}");
    assert_eq!(script.scheduler.too_late(script.now, &free(within(&script, 2, 60_000))), None);
    assert_eq!(script.scheduler.too_late(script.now, &JobSpec { deadline: None, ..waits }), None);
    let past = JobSpec { deadline: Some(script.now), ..free(within(&script, 2, 0)) };
    assert!(script.scheduler.too_late(script.now, &past).is_some());
}

#[test]
fn another_attempt_that_would_be_too_late_is_not_made() {
    let mut script = Script::new();
    script.apply(agent("a", vec![worker("w")], vec![]));
    let spec = free(within(&script, 2, 6_000));
    check(&submit(&mut script, spec), expect!["assign 2 1-1 a/w warm"]);
    script.after_ms(3_000);
    let outcome = AttemptOutcome::Failed { class: FailureClass::LostWorker, retryable: true };
    check(
        &script.apply(finished(2, 1, outcome)),
        expect!["ended 2 1-1 Failed(LostWorker); requeue 2 at 4500"],
    );
    check(&script.after_ms(0), expect!["expired 2"]);
    assert!(!script.scheduler.is_live(JobKey(2)));
}
