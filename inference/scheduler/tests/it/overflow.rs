//! A third party that is paid by use: only where the promise would break, and never above the cap.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use backlot_inference_scheduler::{
    AgentKey, AttemptOutcome, Charge, Effect, Event, FailureClass, Fence, JobKey, JobSpec, ModelKey,
    ModelProfile, Offers, PaidSpec, PoolKey, RegionKey, Restored, RestoredState, RunningAttempt, Scheduler,
    TenantKey, TenantSpec, Tier, TimeUs, WorkerKey, WorkerSpec, limits,
};
use proptest::prelude::*;

use crate::script::{Script, agent, check, job, model, running, worker};
use expect_test::expect;

const DAY_MS: i64 = 86_400_000;

fn paid(cap: i64) -> PaidSpec {
    PaidSpec {
        pool: PoolKey::from("outside"),
        price_micro_per_job: 100,
        price_micro_per_second: 0,
        slots: 2,
        cap_micro_per_day: cap,
        tenant_cap_micro_per_day: None,
        tiers: BTreeSet::from([Tier::Interactive, Tier::Standard]),
    }
}

/// An agent that fronts the third party, for one model and a few attempts.
fn front(concurrency: u32) -> Event {
    front_with(concurrency, vec![])
}

fn front_with(concurrency: u32, running: Vec<RunningAttempt>) -> Event {
    let models = BTreeSet::from([Arc::from("own/a")]);
    let pool = Some(PoolKey::from("outside"));
    agent("front", vec![WorkerSpec { models, pool, concurrency, ..worker("x") }], running)
}

fn with_front(spec: PaidSpec) -> Script {
    let mut script = Script::new();
    script.apply(Event::PaidChanged(spec));
    script.apply(front(8));
    script
}

#[test]
fn a_job_goes_out_where_its_promise_would_break_and_not_before() {
    let mut script = with_front(paid(1_000));
    check(&script.apply(agent("m", vec![worker("w")], vec![])), expect![[""]]);
    check(&script.submit(1), expect![["assign 1 1-1 m/w"]]);
    script.submit(2);
    check(&script.after_ms(1_000), expect![[""]]);
    // Nothing of the fleet's own is left: only outside can keep what was promised.
    let mut alone = with_front(paid(1_000));
    check(&alone.submit(1), expect![[""]]);
    check(
        &alone.after_ms(limits::OVERFLOW_LOOK_MS),
        expect![["studio/t1 spent 100 with outside on 0; assign 1 1-1 front/x warm"]],
    );
}

#[test]
fn what_is_bound_to_a_region_never_leaves_and_what_is_full_takes_nothing() {
    let mut script = with_front(paid(1_000));
    let regions = BTreeSet::from([RegionKey::from("local")]);
    script.apply(Event::Submitted(JobSpec { regions: regions.clone(), ..job(1) }));
    check(&script.after_ms(10_000), expect![[""]]);
    (2..6).for_each(|n| drop(script.submit(n)));
    let sent = script.after_ms(limits::OVERFLOW_LOOK_MS);
    assert_eq!(sent.iter().filter(|one| matches!(one, Effect::Assign(_))).count(), 2, "two slots: {sent:?}");
    // A tenant that is bound as a whole is bound, too.
    let mut script = with_front(paid(1_000));
    let spec =
        TenantSpec { tenant: TenantKey::from("studio/t1"), weight_milli: 1_000, queued_max: 9, regions };
    script.apply(Event::TenantChanged(spec));
    script.submit(1);
    check(&script.after_ms(10_000), expect![[""]]);
}

#[test]
fn a_tier_that_may_not_leave_stays_and_what_stands_behind_it_goes() {
    let mut script = with_front(paid(1_000));
    let batch = |n| JobSpec { tier: Tier::Batch, ..job(n) };
    script.apply(Event::Submitted(JobSpec { created_at: script.now, ..batch(1) }));
    check(&script.after_ms(600_000), expect![[""]]);
    assert!(
        script.scheduler.estimate(script.now, &batch(9)).is_err(),
        "nobody here, and outside is not for it"
    );
    assert!(script.scheduler.estimate(script.now, &job(9)).is_ok());
    script.submit(2);
    check(
        &script.after_ms(limits::OVERFLOW_LOOK_MS),
        expect![["studio/t1 spent 100 with outside on 0; assign 2 1-1 front/x warm"]],
    );
    // The operator lets it.
    let all = BTreeSet::from([Tier::Interactive, Tier::Standard, Tier::Batch]);
    script.apply(Event::PaidChanged(PaidSpec { tiers: all, ..paid(1_000) }));
    check(
        &script.after_ms(limits::OVERFLOW_LOOK_MS),
        expect![["studio/t1 spent 200 with outside on 0; assign 1 1-2 front/x warm"]],
    );
}

#[test]
fn what_never_began_is_given_back_and_what_is_lost_is_not() {
    let spec = PaidSpec { price_micro_per_second: 10, ..paid(1_000) };
    let mut script = with_front(spec);
    script.submit(1);
    check(
        &script.after_ms(limits::OVERFLOW_LOOK_MS),
        expect![["studio/t1 spent 120 with outside on 0; assign 1 1-1 front/x warm"]],
    );
    let outcome = AttemptOutcome::Failed { class: FailureClass::LostWorker, retryable: true };
    let fence = |sequence| Fence { epoch: 1, sequence };
    let failed =
        Event::Finished { job: JobKey(1), fence: fence(1), outcome, load_ms: 0, compute_ms: 0, batched: 0 };
    check(
        &script.apply(failed),
        expect![["studio/t1 spent 0 with outside on 0; ended 1 1-1 Failed(LostWorker); requeue 1 at 2500"]],
    );
    check(&script.after_ms(5_000), expect![[""]]);
    script.submit(2);
    script.after_ms(limits::OVERFLOW_LOOK_MS);
    let outcome = AttemptOutcome::Succeeded;
    let done =
        Event::Finished { job: JobKey(2), fence: fence(2), outcome, load_ms: 0, compute_ms: 900, batched: 0 };
    check(
        &script.apply(done),
        expect![["studio/t1 spent 110 with outside on 0; ended 2 1-2 Succeeded; succeeded 2 1-2"]],
    );
    script.submit(3);
    script.after_ms(limits::OVERFLOW_LOOK_MS);
    let lost = script.after_ms(limits::LEASE_MS);
    assert!(!lost.iter().any(|one| matches!(one, Effect::Spent { .. })), "nobody knows: {lost:?}");
}

#[test]
fn the_answer_counts_what_is_outside_while_the_cap_has_room() {
    let mut script = with_front(paid(100));
    let told = script.scheduler.estimate(script.now, &job(9)).expect("somebody takes it");
    assert_eq!(told.start_p50_ms, limits::OVERFLOW_LOOK_MS);
    script.submit(1);
    script.after_ms(limits::OVERFLOW_LOOK_MS);
    assert!(script.scheduler.estimate(script.now, &job(9)).is_err(), "the cap is reached");
}

/// A scheduler of a later epoch that reads what is durable: rows of what was spent, and attempts with their charge.
fn after_a_kill(spec: PaidSpec, spent: (i64, i64), charge: Charge) -> Script {
    let mut script = Script { scheduler: Scheduler::new(2), ..Script::new() };
    script.apply(Event::ModelChanged(model("own/a:1", 0)));
    script.apply(Event::PaidChanged(spec.clone()));
    let (day, micro) = spent;
    let tenant = TenantKey::from("studio/t1");
    script.apply(Event::PaidSpent { pool: spec.pool, tenant, day, micro });
    let state = RestoredState::Leased {
        fence: Fence { epoch: 1, sequence: 1 },
        worker: WorkerKey::new(&AgentKey::from("front"), "x"),
        assigned_at: script.now,
        charge: Some(Box::new(charge)),
    };
    let (attempts_ended, cancel_requested) = (0, false);
    script.apply(Restored { spec: job(1), attempts_ended, cancel_requested, state }.into());
    script.apply(front_with(8, vec![running(1, Fence { epoch: 1, sequence: 1 }, "x")]));
    script
}

fn charged(effects: &[Effect]) -> Charge {
    let assigned = effects.iter().find_map(|one| match one {
        Effect::Assign(one) => one.charge.as_deref().cloned(),
        _ => None,
    });
    assigned.expect("it goes out and is charged")
}

#[test]
fn what_was_not_used_is_given_back_after_a_kill_too() {
    let spec = PaidSpec { price_micro_per_second: 10, ..paid(1_000) };
    let mut script = with_front(spec.clone());
    script.submit(1);
    let charge = charged(&script.after_ms(limits::OVERFLOW_LOOK_MS));
    assert_eq!((charge.micro, charge.may_ms, charge.cut), (120, 2_000, true));
    // At the prices of then, whatever they are now.
    let dearer = PaidSpec { price_micro_per_job: 900, ..spec };
    let mut script = after_a_kill(dearer, (0, 120), charge);
    let (outcome, fence) = (AttemptOutcome::Succeeded, Fence { epoch: 1, sequence: 1 });
    let done = Event::Finished { job: JobKey(1), fence, outcome, load_ms: 0, compute_ms: 900, batched: 0 };
    check(
        &script.apply(done.clone()),
        expect![["studio/t1 spent 110 with outside on 0; ended 1 1-1 Succeeded; succeeded 1 1-1"]],
    );
    check(&script.apply(done), expect![["late 1 1-1"]]);
}

#[test]
fn what_is_cut_off_after_a_kill_is_tried_again_at_home() {
    let spec = PaidSpec { price_micro_per_second: 10, ..paid(1_000) };
    let mut script = with_front(spec.clone());
    script.submit(1);
    let charge = charged(&script.after_ms(limits::OVERFLOW_LOOK_MS));
    let mut script = after_a_kill(spec, (0, 120), charge);
    let (job, fence) = (JobKey(1), Fence { epoch: 1, sequence: 1 });
    let outcome = AttemptOutcome::Failed { class: FailureClass::TimedOut, retryable: false };
    let late = Event::Finished { job, fence, outcome, load_ms: 0, compute_ms: 2_000, batched: 0 };
    check(&script.apply(late), expect![["ended 1 1-1 Failed(TimedOut); requeue 1 at 1500"]]);
}

#[test]
fn what_runs_over_midnight_is_settled_on_its_day() {
    let spec = PaidSpec { price_micro_per_second: 10, ..paid(120) };
    let mut script = with_front(spec);
    script.after_ms(DAY_MS - 3_000);
    script.submit(1);
    check(
        &script.after_ms(limits::OVERFLOW_LOOK_MS),
        expect![["studio/t1 spent 120 with outside on 0; assign 1 1-1 front/x warm"]],
    );
    script.submit(2);
    script.after_ms(900);
    check(
        &script.after_ms(limits::OVERFLOW_LOOK_MS),
        expect![["studio/t1 spent 120 with outside on 1; assign 2 1-2 front/x warm"]],
    );
    let (outcome, fence) = (AttemptOutcome::Succeeded, Fence { epoch: 1, sequence: 1 });
    let done = Event::Finished { job: JobKey(1), fence, outcome, load_ms: 0, compute_ms: 500, batched: 0 };
    check(
        &script.apply(done),
        expect![["studio/t1 spent 110 with outside on 0; ended 1 1-1 Succeeded; succeeded 1 1-1"]],
    );
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u8, bool, u16),
    Wait(u16),
    Finish(u8, bool),
    /// The agent goes away and comes back.
    Cut,
    /// The driver is killed and reads again what was durable; the agent went on meanwhile, or not.
    Restart(bool),
    Day,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4u8, any::<bool>(), 1..900u16).prop_map(|(tenant, bound, run)| Step::Submit(tenant, bound, run)),
        4 => (1..100u16).prop_map(Step::Wait),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(which, began)| Step::Finish(which, began)),
        1 => Just(Step::Cut),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => Just(Step::Day),
    ]
}

/// What is durable, and what an account book beside it says.
#[derive(Default)]
struct Book {
    /// The driver's rows.
    rows: BTreeMap<(TenantKey, i64), i64>,
    running: Vec<(JobKey, Fence, Charge)>,
    bound: BTreeSet<JobKey>,
    jobs: BTreeMap<JobKey, JobSpec>,
    /// What must have been spent: the charge of each attempt, or what it used where that is known.
    due: BTreeMap<(TenantKey, i64), i64>,
}

impl Book {
    fn take(&mut self, effects: Vec<Effect>, spec: &PaidSpec) -> Result<(), TestCaseError> {
        let mut paid = 0;
        for effect in effects {
            match effect {
                Effect::Spent { tenant, day, micro, .. } => {
                    paid += 1;
                    self.rows.insert((tenant, day), micro);
                    prop_assert!(micro >= 0 && micro <= spec.tenant_cap_micro_per_day.unwrap_or(i64::MAX));
                    let rows = self.rows.iter().filter(|((_, other), _)| *other == day);
                    let all: i64 = rows.map(|(_, micro)| micro).sum();
                    prop_assert!(all <= spec.cap_micro_per_day, "{all} is above the cap");
                }
                Effect::Assign(one) if one.worker.agent.as_str() == "front" => {
                    prop_assert!(paid > 0, "charged before it is assigned");
                    prop_assert!(!self.bound.contains(&one.job), "{:?} is bound and left", one.job);
                    let charge = *one.charge.expect("what goes out is charged");
                    *self.due.entry((self.jobs[&one.job].tenant.clone(), charge.day)).or_default() +=
                        charge.micro;
                    self.running.push((one.job, one.fence, charge));
                    prop_assert!(self.running.len() <= spec.slots as usize);
                }
                Effect::AttemptEnded { fence, .. } => self.running.retain(|one| one.1 != fence),
                _ => {}
            }
        }
        prop_assert_eq!(&self.rows, &self.due, "the account is exact");
        Ok(())
    }

    /// An attempt reports.
    fn used(&mut self, nth: usize, began: bool, compute_ms: i64) -> (JobKey, Fence) {
        let (job, fence, charge) = self.running[nth].clone();
        let seconds = (compute_ms + 999) / 1_000;
        let used = charge.price_micro_per_job + seconds * charge.price_micro_per_second;
        let used = if began { used.min(charge.micro) } else { 0 };
        *self.due.entry((self.jobs[&job].tenant.clone(), charge.day)).or_default() -= charge.micro - used;
        (job, fence)
    }
}

fn fresh(epoch: u64, spec: &PaidSpec, book: &Book) -> Scheduler {
    let mut scheduler = Scheduler::new(epoch);
    let model = ModelKey::from("own/a:1");
    let offers = Offers::default();
    let profile =
        ModelProfile { model, load_ms: 0, run_ms: 1_000, memory_mib: 0, gpus: 4, timeout_ms: 0, offers };
    let mut apply = |event| scheduler.apply(TimeUs(0), event, &mut Vec::new());
    apply(Event::ModelChanged(profile));
    apply(Event::PaidChanged(spec.clone()));
    for ((tenant, day), micro) in &book.rows {
        apply(Event::PaidSpent { pool: spec.pool.clone(), tenant: tenant.clone(), day: *day, micro: *micro });
    }
    scheduler
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever comes, ends, is lost or restarts, on whatever day: no cap is passed, and what is bound stays.
    #[test]
    fn no_cap_is_ever_passed_and_what_is_bound_stays(
        steps in proptest::collection::vec(step(), 1..80),
        cap in 0..3_000i64,
        own in proptest::option::of(0..1_500i64),
        second in 0..40i64,
    ) {
        let spec = PaidSpec { price_micro_per_second: second, tenant_cap_micro_per_day: own, slots: 3, ..paid(cap) };
        let mut book = Book::default();
        let (mut now, mut epoch, mut jobs) = (TimeUs(0), 1, 0);
        let mut scheduler = fresh(epoch, &spec, &book);
        let mut effects = Vec::new();
        scheduler.apply(now, front(8), &mut effects);
        for step in steps {
            let mut effects = Vec::new();
            match step {
                Step::Submit(tenant, bound, run) => {
                    jobs += 1;
                    let regions = if bound { BTreeSet::from([RegionKey::from("local")]) } else { BTreeSet::new() };
                    book.bound.extend(bound.then_some(JobKey(jobs)));
                    let tenant = TenantKey::from(format!("studio/t{tenant}").as_str());
                    let predicted_ms = i64::from(run) * 100;
                    let spec = JobSpec { tenant, regions, created_at: now, predicted_ms, ..job(jobs) };
                    book.jobs.insert(spec.job, spec.clone());
                    scheduler.apply(now, Event::Submitted(spec), &mut effects);
                }
                Step::Wait(seconds) => {
                    for _ in 0..seconds {
                        now = now.plus_ms(1_000);
                        scheduler.apply(now, Event::Tick, &mut effects);
                    }
                }
                Step::Finish(which, began) => if !book.running.is_empty() {
                    let nth = usize::from(which) % book.running.len();
                    let outcome = if began { AttemptOutcome::Succeeded } else { AttemptOutcome::Canceled };
                    let compute_ms = if began { i64::from(which) * 1_000 } else { 0 };
                    let (job, fence) = book.used(nth, began, compute_ms);
                    scheduler.apply(now, Event::Finished { job, fence, outcome, load_ms: 0, compute_ms, batched: 0 }, &mut effects);
                },
                Step::Cut => scheduler.apply(now, front(8), &mut effects),
                Step::Restart(goes_on) => {
                    epoch += 1;
                    scheduler = fresh(epoch, &spec, &book);
                    scheduler.apply(now, Event::Tick, &mut effects);
                    for (key, fence, charge) in &book.running {
                        let worker = WorkerKey::new(&AgentKey::from("front"), "x");
                        let charge = Some(Box::new(charge.clone()));
                        let state = RestoredState::Leased { fence: *fence, worker, assigned_at: now, charge };
                        let (spec, attempts_ended) = (book.jobs[key].clone(), 0);
                        let restored = Restored { spec, attempts_ended, cancel_requested: false, state };
                        scheduler.apply(now, restored.into(), &mut effects);
                    }
                    let named = book.running.iter().filter(|_| goes_on);
                    let named = named.map(|(job, fence, _)| running(job.0, *fence, "x")).collect();
                    scheduler.apply(now, front_with(8, named), &mut effects);
                }
                Step::Day => {
                    now = now.plus_ms(DAY_MS / 2);
                    scheduler.apply(now, Event::Tick, &mut effects);
                }
            }
            prop_assert_eq!(scheduler.check(), Ok(()));
            book.take(effects, &spec)?;
        }
    }
}
