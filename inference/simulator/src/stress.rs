//! Many small runs with faults, each decided by its seed: whatever happens, no job is lost and nothing impossible is
//! decided. A failure is made small before it is shown, and the small one replays.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

use backlot_inference_scheduler::{Event, TimeUs};
use serde::{Deserialize, Serialize};

use crate::{
    baselines,
    engine::{
        self,
        faults::{Fault, Faults, Planned},
        outside::OutsideSetup,
        pools::PoolSetup,
        setup::{BatchingSetup, DeadlineSetup, GpuSpec, PausingSetup, Setup},
    },
    outcome::Run,
    rng::Rng,
    workload::{Request, Task, Workload, synthetic_loads},
};

const CASE_KEY: u64 = 0x57E5;
/// Everything arrives within this time.
const SPAN_US: f64 = 900e6;
const MODELS: usize = 6;
const TENANTS: usize = 5;
const ADAPTERS: usize = 4;
/// Machines on demand in a region.
const POOL_MAX: u32 = 4;
/// Jobs that can be paused are so many times as long as the others.
const PAUSABLE_TIMES: i64 = 12;
/// Rounds of making a failure smaller.
const SHRINK_ROUNDS: u32 = 12;

/// One run, small enough to read. It says which parts of its seed's case are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The policy's name.
    pub policy: String,
    /// Decides everything.
    pub seed: u64,
    /// Requests that are kept, by their place; `None`: all.
    pub requests: Option<Vec<usize>>,
    /// Planned faults that are kept; `None`: all.
    pub faults: Option<Vec<usize>>,
}

/// What went wrong in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The smallest case that still fails.
    pub case: Case,
    /// What went wrong there.
    pub what: String,
}

impl Failure {
    /// For people: what happened, how to replay it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("seed {} fails: {}\n", self.case.seed, self.what);
        let case = serde_json::to_string(&self.case).unwrap_or_default();
        let _ = writeln!(text, "write this line to a file and give it to --replay:\n{case}");
        text
    }
}

impl Case {
    /// The whole case of a seed.
    #[must_use]
    pub fn new(policy: &str, seed: u64) -> Self {
        Self { policy: policy.to_owned(), seed, requests: None, faults: None }
    }

    fn build(&self) -> (Setup, Workload) {
        let mut rng = Rng::keyed(self.seed, &[CASE_KEY]);
        let regions = 1 + rng.below(3);
        let count = 1 + rng.below(6);
        let overlap = rng.below(3) == 0;
        let slots = 1 + rng.below(3) as u32;
        let mut setup = Setup::uniform(self.seed, 0, slots, overlap);
        setup.regions =
            (0..regions).map(|at| engine::setup::Region { name: format!("r{at}").into() }).collect();
        setup.fleet = (0..count)
            .map(|at| GpuSpec {
                region: (at % regions) as u16,
                slots,
                concurrency: 1 + u32::from(rng.below(4) == 0),
                overlap,
                speed_milli: 500 + 500 * rng.below(3) as u32,
            })
            .collect();
        setup.rtt_us = vec![vec![80_000; regions]; regions];
        setup.check = true;
        setup.ttl_ms = if rng.below(3) == 0 { 240_000 } else { engine::setup::TTL_MS };
        setup.faults = faults(&mut rng, count);
        // The baselines of one region order no machines.
        if self.policy == "backlot" && rng.below(2) == 0 {
            market(&mut rng, &mut setup);
        }
        let mut workload = workload(&mut rng, regions);
        if rng.below(2) == 0 {
            pauses(&mut rng, &mut setup, &mut workload);
        }
        if rng.below(2) == 0 {
            let more_permille = 100 * rng.below(11) as i64;
            setup.batching = Some(BatchingSetup { max: 2 + rng.below(7) as u32, more_permille });
            crowd(&mut rng, &mut workload);
        }
        if self.policy == "backlot" && rng.below(2) == 0 {
            setup.outside = Some(third_party(&mut rng));
        }
        if rng.below(3) == 0 {
            setup.deadlines =
                Some(DeadlineSetup { permille: 200 + rng.below(800) as u32, told: self.policy == "backlot" });
        }
        self.keep(setup, workload)
    }

    /// Leaves out what was left out to make the case small.
    fn keep(&self, mut setup: Setup, mut workload: Workload) -> (Setup, Workload) {
        if let Some(kept) = &self.requests {
            let requests = kept.iter().filter_map(|at| workload.requests.get(*at).cloned());
            workload = workload.with_requests(requests.collect());
        }
        if let Some(kept) = &self.faults {
            let plan = kept.iter().filter_map(|at| setup.faults.plan.get(*at).copied());
            setup.faults.plan = plan.collect();
        }
        (setup, workload)
    }

    /// Runs the case; what went wrong as text.
    pub fn run(&self) -> Result<Run, String> {
        let (setup, workload) = self.build();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let mut policy = baselines::policy(&self.policy, self.seed)
                .ok_or_else(|| format!("there is no policy {:?}", self.policy))?;
            engine::run(&setup, &workload, &synthetic_loads(), policy.as_mut())
                .map_err(|violation| violation.to_string())
        }));
        ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        })
    }

    /// Runs the case twice: it must hold, and decide the same both times.
    pub fn holds(&self) -> Result<(), String> {
        let (once, again) = (self.run()?, self.run()?);
        if once.digest == again.digest { Ok(()) } else { Err("the same seed gave other effects".to_owned()) }
    }

    /// Runs the case once more: the events that the policy was given, one a line, and how it ended.
    pub fn replay(&self) -> (String, Result<(), String>) {
        let (setup, workload) = self.build();
        let Some(mut policy) = baselines::policy(&self.policy, self.seed) else {
            return (String::new(), Err(format!("there is no policy {:?}", self.policy)));
        };
        let (log, result) = engine::run_logged(&setup, &workload, &synthetic_loads(), policy.as_mut());
        (event_log(&log), result.map_err(|violation| violation.to_string()))
    }

    fn fails(&self) -> Option<String> {
        self.holds().err()
    }

    /// Leaves out requests and faults as long as it still fails.
    fn shrink(mut self, mut what: String) -> Failure {
        let (setup, workload) = self.build();
        let mut requests: Vec<usize> = (0..workload.requests.len()).collect();
        let mut faults: Vec<usize> = (0..setup.faults.plan.len()).collect();
        for round in 0..SHRINK_ROUNDS {
            let before = requests.len() + faults.len();
            let chunk = (requests.len() >> (round + 1)).max(1);
            let mut still = |requests: &[usize], faults: &[usize]| {
                let case =
                    Self { requests: Some(requests.to_vec()), faults: Some(faults.to_vec()), ..self.clone() };
                case.fails().inspect(|text| what.clone_from(text)).is_some()
            };
            requests = shorter(&requests, chunk, |kept| still(kept, &faults));
            faults = shorter(&faults, 1, |kept| still(&requests, kept));
            if chunk == 1 && requests.len() + faults.len() == before {
                break;
            }
        }
        (self.requests, self.faults) = (Some(requests), Some(faults));
        Failure { case: self, what }
    }
}

/// Leaves out chunks of a list as long as what is left still fails.
fn shorter(list: &[usize], chunk: usize, mut still: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut kept = list.to_vec();
    let mut at = 0;
    while at < kept.len() {
        let mut without = kept.clone();
        without.drain(at..(at + chunk).min(without.len()));
        if !without.is_empty() && still(&without) {
            kept = without;
        } else {
            at += chunk;
        }
    }
    kept
}

/// Pools beside the fleet, or instead of it: on demand without end, and spot that comes and goes. Machines of pools have
/// their own faults, so that some crash, are cut off or go without a word.
fn market(rng: &mut Rng, setup: &mut Setup) {
    let regions = setup.regions.len();
    if rng.below(2) == 0 {
        setup.fleet.clear();
        setup.faults.plan.clear();
    }
    let fixed = setup.fleet.len();
    let slots = 1 + rng.below(3) as u32;
    for at in 0..regions + rng.below(3) {
        let spot = at >= regions;
        let mut capacity = vec![(0, if spot { rng.below(5) as u32 } else { POOL_MAX })];
        for _ in 0..if spot { rng.below(12) } else { 0 } {
            capacity.push(((rng.unit() * SPAN_US) as i64, rng.below(5) as u32));
        }
        capacity.sort_unstable();
        setup.pools.push(PoolSetup {
            name: format!("p{at}").into(),
            gpu: GpuSpec {
                region: (at % regions) as u16,
                slots,
                concurrency: 1 + u32::from(rng.below(4) == 0),
                overlap: rng.below(3) == 0,
                speed_milli: 500 + 500 * rng.below(3) as u32,
            },
            spot,
            min: u32::from(rng.below(4) == 0),
            boot_us: (rng.unit() * 90e6) as i64,
            price_usd_h: if spot { 0.4 } else { 1.0 },
            capacity,
        });
    }
    for _ in 0..rng.below(6) {
        let (at_us, gpu) = ((rng.unit() * SPAN_US) as i64, fixed + rng.below(8));
        let back_us = (rng.unit() * 120e6) as i64 + 1_000_000;
        let fault = match rng.below(5) {
            0 => Fault::Crash { back_us: None },
            1 => Fault::Crash { back_us: Some(back_us) },
            2 => Fault::Drain,
            3 => Fault::Preempt,
            _ => Fault::Cut { back_us },
        };
        setup.faults.plan.push(Planned { at_us, gpu, fault });
    }
    setup.faults.plan.sort_by_key(|planned| planned.at_us);
}

/// Some models run for minutes and can be paused.
fn pauses(rng: &mut Rng, setup: &mut Setup, workload: &mut Workload) {
    let (first, cost_us) = (rng.below(2) as u32, (rng.unit() * 2e6) as i64);
    let models: BTreeSet<u32> = (0..MODELS as u32).filter(|model| model % 2 == first).collect();
    for request in workload.requests.iter_mut().filter(|request| models.contains(&request.model)) {
        request.warm_us *= PAUSABLE_TIMES;
        // Steps of a fraction of a second and of half a minute.
        request.steps = 1 + rng.below(60) as u16;
    }
    setup.pausing = Some(PausingSetup { models, cost_us });
}

/// Half of the requests come together and are alike, so that they may compute in one call.
fn crowd(rng: &mut Rng, workload: &mut Workload) {
    let at_us = (rng.unit() * SPAN_US) as i64;
    for request in &mut workload.requests {
        if rng.below(2) == 0 {
            request.arrival_us = at_us + rng.below(60_000_000) as i64;
            (request.model, request.steps) = (rng.below(2) as u32, 30);
            request.adapters.clear();
        }
    }
    workload.sort();
}

/// A third party of any kind, under caps that most cases reach.
fn third_party(rng: &mut Rng) -> OutsideSetup {
    OutsideSetup {
        price_micro_per_job: 1 + rng.below(100) as i64,
        price_micro_per_second: rng.below(20) as i64,
        slots: 1 + rng.below(8) as u32,
        cap_micro_per_day: rng.below(20_000) as i64,
        tenant_cap_micro_per_day: (rng.below(2) == 0).then(|| rng.below(5_000) as i64),
        latency_us: rng.below(20_000_000) as i64,
        fail_permille: rng.below(300) as u32,
        speed_milli: 250 + rng.below(1_000) as u32,
    }
}

fn faults(rng: &mut Rng, gpus: usize) -> Faults {
    let rare = |rng: &mut Rng, most: usize| if rng.below(2) == 0 { 0 } else { rng.below(most) as u32 };
    let mut faults = Faults {
        report_delay_us: i64::from(rare(rng, 3)) * 700_000,
        duplicate_permille: rare(rng, 300),
        slow_load_permille: rare(rng, 200),
        fail_permille: rare(rng, 200),
        cancel_permille: rare(rng, 200),
        plan: Vec::new(),
    };
    for _ in 0..rng.below(6) {
        let (at_us, gpu) = ((rng.unit() * SPAN_US) as i64, rng.below(gpus));
        let back_us = (rng.unit() * 120e6) as i64 + 1_000_000;
        // The first GPU always comes back: somebody must finish what is left.
        let fault = match rng.below(4) {
            0 => Fault::Crash { back_us: (gpu == 0 || rng.below(2) == 0).then_some(back_us) },
            2 if gpu > 0 => Fault::Drain,
            3 if gpu > 0 => Fault::Preempt,
            _ => Fault::Cut { back_us },
        };
        faults.plan.push(Planned { at_us, gpu, fault });
    }
    faults.plan.sort_by_key(|planned| planned.at_us);
    faults
}

fn workload(rng: &mut Rng, regions: usize) -> Workload {
    let requests = (0..3 + rng.below(45)).map(|_| Request {
        arrival_us: (rng.unit() * SPAN_US) as i64,
        tenant: (rng.unit().powi(2) * TENANTS as f64) as u32,
        task: Task::TextToImage,
        model: (rng.unit().powi(2) * MODELS as f64) as u32,
        adapters: (0..rng.below(3)).map(|at| (at + rng.below(2)) as u32).collect(),
        images: 1,
        steps: 30,
        warm_us: 1_000_000 + (rng.exponential(15e6) as i64),
        region: rng.below(regions) as u16,
    });
    let names = |prefix: &str, count: usize| (0..count).map(|at| format!("{prefix}{at}").into()).collect();
    let mut workload = Workload {
        requests: requests.collect(),
        tenants: names("t", TENANTS),
        models: names("m", MODELS),
        adapters: names("a", ADAPTERS),
    };
    for request in &mut workload.requests {
        request.adapters.dedup();
    }
    workload.sort();
    workload
}

/// Runs the cases of so many seeds; the first failure, made small. `done` is told of each case.
pub fn stress(policy: &str, seeds: std::ops::Range<u64>, mut done: impl FnMut()) -> Option<Failure> {
    for seed in seeds {
        let case = Case::new(policy, seed);
        if let Some(what) = case.fails() {
            return Some(case.shrink(what));
        }
        done();
    }
    None
}

/// Events as text, one a line.
fn event_log(log: &[(TimeUs, Event)]) -> String {
    let mut text = String::new();
    for (at, event) in log {
        let _ = writeln!(text, "{} {event:?}", at.0);
    }
    text
}
