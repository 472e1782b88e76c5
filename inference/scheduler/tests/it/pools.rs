//! Pools: ordered when needed, kept as long as it pays, left in order.

use std::{collections::BTreeSet, sync::Arc};

use crate::script::{Script, agent, job, worker};
use backlot_inference_scheduler::{
    AgentKey, AgentSpec, AttemptOutcome, Effect, Event, Fence, JobKey, JobSpec, PoolKey, PoolSpec, RegionKey,
    Scheduler, TimeUs, WorkerSpec, limits,
};
use proptest::prelude::*;

fn pool(name: &str, region: &str, max: u32, price: i64) -> PoolSpec {
    PoolSpec {
        pool: PoolKey::from(name),
        region: RegionKey::from(region),
        workers: 0,
        min: 0,
        spares: 0,
        max,
        boot_ms: 60_000,
        price_micro_per_hour: price,
        spot: name.contains("spot"),
        concurrency: 1,
        speed_milli: 1_000,
        kind: None,
    }
}

/// A driver that carries out what the scheduler says of pools, with jobs that all end in time.
struct Studio {
    script: Script,
    /// Machines: agent, pool, and when they are there.
    machines: Vec<(AgentKey, PoolKey, TimeUs, bool)>,
    running: Vec<(TimeUs, JobKey, Fence, AgentKey)>,
    sizes: std::collections::BTreeMap<PoolKey, u32>,
    retired: BTreeSet<AgentKey>,
    jobs: u128,
    born: u32,
}

impl Studio {
    fn new(pools: Vec<PoolSpec>) -> Self {
        let mut studio = Self {
            script: Script::new(),
            machines: Vec::new(),
            running: Vec::new(),
            sizes: std::collections::BTreeMap::new(),
            retired: BTreeSet::new(),
            jobs: 0,
            born: 0,
        };
        for spec in pools {
            studio.apply(Event::PoolChanged(spec));
        }
        studio
    }

    fn apply(&mut self, event: Event) {
        let now = self.script.now;
        for effect in self.script.apply(event) {
            match effect {
                Effect::Assign(a) => {
                    assert!(!self.retired.contains(&a.worker.agent), "nothing after the farewell");
                    self.running.push((now.plus_ms(10_000), a.job, a.fence, a.worker.agent));
                }
                Effect::Retire { pool, agent } => {
                    let at = self.machines.iter().position(|one| one.0 == agent && one.1 == pool);
                    self.machines.remove(at.expect("a machine of that pool retires, once"));
                    self.retired.insert(agent);
                }
                Effect::Scale { pool, workers } => self.scale(pool, workers),
                _ => {}
            }
        }
    }

    fn scale(&mut self, pool: PoolKey, workers: u32) {
        let own = |machine: &&(AgentKey, PoolKey, TimeUs, bool)| machine.1 == pool;
        let there = self.machines.iter().filter(own).count() as u32;
        for _ in there..workers {
            self.born += 1;
            let name = AgentKey::from(format!("m{}", self.born).as_str());
            self.machines.push((name, pool.clone(), self.script.now.plus_ms(60_000), false));
        }
        for _ in workers..there {
            // One that came a moment ago is let go by name, later.
            let Some(at) = self.machines.iter().rposition(|one| one.1 == pool && !one.3) else { break };
            self.machines.remove(at);
        }
        self.sizes.insert(pool, workers);
    }

    fn submit(&mut self, regions: &[&str]) {
        self.jobs += 1;
        let regions = regions.iter().map(|region| RegionKey::from(*region)).collect();
        let spec = JobSpec { created_at: self.script.now, regions, ..job(self.jobs) };
        self.apply(Event::Submitted(spec));
    }

    /// One second: machines boot, jobs end.
    fn second(&mut self) {
        self.script.now = self.script.now.plus_ms(1_000);
        let now = self.script.now;
        while let Some(one) = self.machines.iter_mut().find(|one| !one.3 && one.2 <= now) {
            one.3 = true;
            let (name, pool) = (one.0.clone(), one.1.clone());
            let region = pool.as_str().split('-').next().expect("a region");
            let spec = WorkerSpec { pool: Some(pool.clone()), ..worker("w") };
            let (region, workers) = (RegionKey::from(region), vec![spec]);
            self.apply(Event::AgentJoined(AgentSpec { agent: name, region, workers, running: Vec::new() }));
        }
        let (over, on): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.running).into_iter().partition(|one| one.0 <= now);
        self.running = on;
        for (_, job, fence, _) in over {
            let outcome = AttemptOutcome::Succeeded;
            self.apply(Event::Finished { job, fence, outcome, load_ms: 0, compute_ms: 10_000, batched: 0 });
        }
        let beating: BTreeSet<AgentKey> = self.running.iter().map(|one| one.3.clone()).collect();
        for agent in beating {
            let own = self.running.iter().filter(|one| one.3 == agent);
            let running = own.map(|one| crate::script::running(one.1.0, one.2, "w")).collect();
            self.apply(Event::Heartbeat { agent, running });
        }
        self.apply(Event::Tick);
    }

    fn size(&self, pool: &str) -> u32 {
        self.sizes.get(&PoolKey::from(pool)).copied().unwrap_or(0)
    }
}

#[test]
fn a_fleet_comes_from_nothing_and_goes_back_to_nothing() {
    let mut studio = Studio::new(vec![pool("x-own", "x", 20, 1_000_000)]);
    for second in 0..3_600 {
        if second % 5 == 0 {
            studio.submit(&[]);
        }
        studio.second();
    }
    let busy = studio.size("x-own");
    assert!((2..=8).contains(&busy), "two erlangs need {busy} machines");
    assert!(!studio.running.is_empty(), "work is done");
    for _ in 0..4 * 3_600 {
        studio.second();
    }
    assert_eq!((studio.size("x-own"), studio.machines.len()), (0, 0), "nobody pays for silence");
}

#[test]
fn spot_is_bought_first_and_work_that_must_stay_stays() {
    let pools = vec![
        pool("x-own", "x", 20, 1_000_000),
        pool("x-spot", "x", 20, 300_000),
        pool("y-own", "y", 20, 900_000),
    ];
    let mut studio = Studio::new(pools);
    for second in 0..1_800 {
        if second % 5 == 0 {
            studio.submit(if second % 60 == 0 { &["y"] } else { &[] });
        }
        studio.second();
    }
    assert!(studio.size("x-spot") >= 2, "{:?}", studio.sizes);
    assert!(studio.size("y-own") >= 1, "{:?}", studio.sizes);
    assert_eq!(studio.size("x-own"), 0, "{:?}", studio.sizes);
}

#[test]
fn a_restart_keeps_what_it_is_told_of() {
    let mut studio = Studio::new(Vec::new());
    let effects =
        studio.script.apply(Event::PoolChanged(PoolSpec { workers: 3, ..pool("x-own", "x", 20, 1_000_000) }));
    assert_eq!(effects, [], "nothing is said before anything is known");
    studio.script.now = studio.script.now.plus_ms(limits::LOOK_SOON_MS);
    let spec = |n: u32| WorkerSpec {
        pool: Some(PoolKey::from("x-own")),
        worker: Arc::from("w"),
        ..worker(&n.to_string())
    };
    let effects = studio.script.apply(agent("m1", vec![spec(1)], vec![]));
    let kept = |effect: &Effect| !matches!(effect, Effect::Retire { .. });
    assert!(effects.iter().all(kept), "a machine that joins is not sent away: {effects:?}");
}

#[test]
fn warm_spares_stand_beside_what_is_needed() {
    let mut studio = Studio::new(vec![PoolSpec { spares: 2, ..pool("x-own", "x", 20, 1_000_000) }]);
    (0..600).for_each(|_| studio.second());
    assert_eq!(studio.size("x-own"), 2, "nothing is asked for, and two are warm");
    for second in 0..1_800 {
        if second % 10 == 0 {
            studio.submit(&[]);
        }
        studio.second();
    }
    assert!(studio.size("x-own") > 3, "{:?}", studio.sizes);
}

#[test]
fn a_machine_that_was_told_to_go_before_a_restart_gets_nothing_when_it_comes_back() {
    let mut script = Script::new();
    script.apply(Event::PoolChanged(pool("x-own", "x", 20, 1_000_000)));
    script.apply(Event::AgentDraining { agent: AgentKey::from("m1") });
    script.apply(Event::Submitted(job(1)));
    let effects = script.apply(agent("m1", vec![worker("w")], vec![]));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Assign(_))), "{effects:?}");
}

#[test]
fn a_restart_forgets_nothing_that_was_learned_of_pools() {
    let specs = vec![pool("x-own", "x", 20, 1_000_000), pool("x-spot", "x", 20, 300_000)];
    let mut studio = Studio::new(specs.clone());
    for second in 0..3_600 {
        if second % 5 == 0 {
            studio.submit(if second % 60 == 0 { &["x"] } else { &[] });
        }
        studio.second();
    }
    let taken = studio.machines.iter().position(|one| one.1.as_str() == "x-spot" && one.3).expect("one");
    let agent = studio.machines.remove(taken).0;
    studio.running.retain(|one| one.3 != agent);
    studio.apply(Event::AgentDraining { agent });
    let before = studio.script.scheduler.snapshot();
    let known =
        |scheduler: &Scheduler| specs.iter().map(|s| scheduler.pool_outlook(&s.pool)).collect::<Vec<_>>();
    let learned = known(&studio.script.scheduler);

    let mut next = Scheduler::new(2).with_snapshot(&before);
    assert_eq!(next.snapshot().lines().filter(|line| line.starts_with("place-pool")).count(), 2);
    for spec in &specs {
        next.apply(studio.script.now, Event::PoolChanged(spec.clone()), &mut Vec::new());
    }
    assert_eq!(known(&next), learned, "boots and hazard");
    let places = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("place-"));
        lines.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    assert_eq!(places(&next.snapshot()), places(&before), "demand, headroom and the day");
    // It knows at once what it needs, though nothing has come yet.
    let mut effects = Vec::new();
    next.apply(studio.script.now.plus_ms(limits::LOOK_SOON_MS), Event::Tick, &mut effects);
    let wanted: u32 =
        effects.iter().map(|one| if let Effect::Scale { workers, .. } = one { *workers } else { 0 }).sum();
    assert!(wanted >= 2, "{effects:?}");
    assert_eq!(
        places(&Scheduler::new(3).with_snapshot("place-pool x\nplace-day 1 2\nplace-group").snapshot()),
        BTreeSet::new()
    );
}

#[test]
fn nobody_buys_machines_for_himself_by_asking_for_too_much() {
    let load = |greedy: bool| {
        let mut studio = Studio::new(vec![pool("x-own", "x", 200, 1_000_000)]);
        for second in 0..300 {
            if second % 5 == 0 {
                studio.submit(&[]);
            }
            if greedy && second == 200 {
                (0..300).for_each(|_| studio.submit(&[]));
            }
            studio.second();
        }
        studio.size("x-own")
    };
    let (calm, greedy) = (load(false), load(true));
    // Fifty machines would do all of it within a minute.
    assert!(greedy <= calm + 20, "{calm} machines, {greedy} when one asks for fifty minutes of work at once");
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u8, bool),
    Wait(u16),
    /// A market takes machines, or gives more.
    Market(bool, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6u8, any::<bool>()).prop_map(|(jobs, bound)| Step::Submit(jobs, bound)),
        4 => (1..200u16).prop_map(Step::Wait),
        1 => (any::<bool>(), 0..5u8).prop_map(|(which, max)| Step::Market(which, max)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the market does: sizes stay within bounds, what retires is there, and every job ends.
    #[test]
    fn sizes_stay_within_bounds_and_every_job_ends(steps in proptest::collection::vec(step(), 1..40)) {
        let pools = vec![pool("x-own", "x", 6, 1_000_000), pool("x-spot", "x", 3, 300_000), pool("y-spot", "y", 3, 310_000)];
        let mut studio = Studio::new(pools.clone());
        for step in steps {
            match step {
                Step::Submit(jobs, bound) => (0..jobs).for_each(|_| studio.submit(if bound { &["x"] } else { &[] })),
                Step::Wait(seconds) => (0..seconds).for_each(|_| studio.second()),
                Step::Market(which, max) => {
                    let spec = &pools[1 + usize::from(which)];
                    let own: Vec<usize> = (0..studio.machines.len()).filter(|at| studio.machines[*at].1 == spec.pool).collect();
                    for at in own.iter().skip(usize::from(max)).rev() {
                        let (agent, _, _, there) = studio.machines.remove(*at);
                        if there {
                            studio.running.retain(|one| one.3 != agent);
                            studio.apply(Event::AgentDraining { agent: agent.clone() });
                            studio.apply(Event::AgentLost { agent });
                        }
                    }
                    let workers = own.len().min(usize::from(max)) as u32;
                    studio.apply(Event::PoolChanged(PoolSpec { max: u32::from(max), workers, ..spec.clone() }));
                }
            }
            for (key, size) in &studio.sizes {
                prop_assert!(*size <= 6, "{key} has {size}");
            }
        }
        for _ in 0..3_600 {
            studio.second();
        }
        prop_assert!(studio.running.is_empty());
        for n in 1..=studio.jobs {
            prop_assert!(!studio.script.scheduler.is_live(JobKey(n)), "job {n} waits for ever");
        }
    }
}
