//! Prints how fast the scheduler applies events while a million jobs wait: events a second, the 99th percentile of one
//! event, and bytes a queued job. `cargo run --release --example speed -- [jobs] [workers]`.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the scheduler reads no clock; who measures it must"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::{BTreeSet, VecDeque},
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use backlot_inference_scheduler::{
    AgentKey, AgentSpec, AttemptOutcome, Effect, Event, Features, Fence, JobKey, JobSpec, ModelKey,
    ModelProfile, RegionKey, Scheduler, TenantKey, TenantSpec, Tier, TimeUs, WorkerSpec,
};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "counts what the system's allocator gives")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MODELS: u64 = 200;
const TENANTS: u64 = 1_000;
const REGIONS: u64 = 10;
const WORKERS_PER_AGENT: u64 = 8;

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

struct Bench {
    scheduler: Scheduler,
    now: TimeUs,
    jobs: u64,
    models: Vec<ModelKey>,
    tenants: Vec<TenantKey>,
    effects: Vec<Effect>,
    running: VecDeque<(JobKey, Fence)>,
}

impl Bench {
    fn new() -> Self {
        let models = (0..MODELS).map(|n| ModelKey::from(format!("owner/model-{n}:1").as_str())).collect();
        let tenants = (0..TENANTS).map(|n| TenantKey::from(format!("studio/tenant-{n}").as_str())).collect();
        let (scheduler, effects, running) = (Scheduler::new(1), Vec::new(), VecDeque::new());
        let mut bench = Self { scheduler, now: TimeUs(1), jobs: 0, models, tenants, effects, running };
        for model in bench.models.clone() {
            bench.apply(Event::ModelChanged(ModelProfile {
                model,
                load_ms: 20_000,
                run_ms: 15_000,
                memory_mib: 8_000,
                gpus: 1,
                timeout_ms: 0,
            }));
        }
        for tenant in bench.tenants.clone() {
            let (weight_milli, queued_max, regions) = (1_000, u32::MAX, BTreeSet::new());
            bench.apply(Event::TenantChanged(TenantSpec { tenant, weight_milli, queued_max, regions }));
        }
        bench
    }

    fn fleet(&mut self, workers: u64) {
        for agent in 0..workers.div_ceil(WORKERS_PER_AGENT) {
            let workers = (0..WORKERS_PER_AGENT).map(|n| WorkerSpec {
                worker: Arc::from(format!("gpu-{n}").as_str()),
                gpus: 1,
                memory_mib: 24_000,
                slots: 2,
                concurrency: 1,
                models: BTreeSet::new(),
                speed_milli: 1_000,
                overlap: false,
                pool: None,
            });
            self.apply(Event::AgentJoined(AgentSpec {
                agent: AgentKey::from(format!("agent-{agent}").as_str()),
                region: RegionKey::from(format!("region-{}", agent % REGIONS).as_str()),
                workers: workers.collect(),
                running: Vec::new(),
            }));
        }
    }

    fn apply(&mut self, event: Event) {
        self.scheduler.apply(self.now, event, &mut self.effects);
        for effect in self.effects.drain(..) {
            if let Effect::Assign(assignment) = effect {
                self.running.push_back((assignment.job, assignment.fence));
            }
        }
    }

    fn spec(&mut self) -> JobSpec {
        self.jobs += 1;
        let n = mix(self.jobs);
        // Few models have most of the demand.
        let model = ((n % 1_000).pow(2) * MODELS / 1_000_000).min(MODELS - 1);
        JobSpec {
            job: JobKey(u128::from(self.jobs) << 64 | u128::from(n)),
            tenant: self.tenants[(n / 7 % TENANTS) as usize].clone(),
            model: self.models[model as usize].clone(),
            tier: [Tier::Interactive, Tier::Standard, Tier::Standard, Tier::Batch][(n / 11 % 4) as usize],
            created_at: self.now,
            ttl_ms: 24 * 3_600_000,
            predicted_ms: 0,
            regions: BTreeSet::new(),
            features: Features { task: 1, steps: 20 + (n / 13 % 8) as u16, count: 1, size: 1_000 },
            adapters: Arc::from([]),
            data_region: None,
        }
    }

    fn timed(&mut self, event: Event, took: &mut Vec<u32>) {
        let from = Instant::now();
        self.scheduler.apply(self.now, event, &mut self.effects);
        took.push(u32::try_from(from.elapsed().as_nanos()).unwrap_or(u32::MAX));
        for effect in self.effects.drain(..) {
            if let Effect::Assign(assignment) = effect {
                self.running.push_back((assignment.job, assignment.fence));
            }
        }
    }

    /// Submits with an estimate, starts and finishes, in turn.
    fn round(&mut self, took: &mut Vec<u32>) {
        self.now = self.now.plus_ms(1);
        let spec = self.spec();
        let from = Instant::now();
        black_box(self.scheduler.estimate(self.now, &spec)).ok();
        let estimated = from.elapsed();
        self.timed(Event::Submitted(spec), took);
        if let Some(last) = took.last_mut() {
            *last += u32::try_from(estimated.as_nanos()).unwrap_or(u32::MAX);
        }
        let Some((job, fence)) = self.running.pop_front() else { return };
        self.timed(Event::AttemptStarted { job, fence }, took);
        let outcome = AttemptOutcome::Succeeded;
        self.timed(Event::Finished { job, fence, outcome, load_ms: 0, compute_ms: 15_000 }, took);
    }
}

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let (jobs, workers) = (args.next().unwrap_or(1_000_000), args.next().unwrap_or(10_000));
    let mut bench = Bench::new();
    bench.fleet(workers);
    while bench.running.len() < workers as usize && bench.jobs < 4 * workers {
        bench.now = bench.now.plus_ms(1);
        let spec = bench.spec();
        bench.apply(Event::Submitted(spec));
    }
    let before = LIVE.load(Ordering::Relaxed);
    for _ in 0..jobs {
        let spec = bench.spec();
        bench.apply(Event::Submitted(spec));
    }
    let bytes = LIVE.load(Ordering::Relaxed).saturating_sub(before) as u64 / jobs;
    let rounds = 300_000;
    let mut took = Vec::with_capacity(rounds * 3);
    (0..rounds / 10).for_each(|_| bench.round(&mut took));
    took.clear();
    let from = Instant::now();
    (0..rounds).for_each(|_| bench.round(&mut took));
    let spent = from.elapsed();
    // What one job more costs to hold is counted with everything it holds: its row, its line, its timer.
    let spent_inside: u64 = took.iter().map(|ns| u64::from(*ns)).sum();
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    println!(
        "{jobs} queued, {} running: {:.0} events/s ({:.0}/s with the harness), p50 {} ns, p99 {p99} ns, max {} ns, {bytes} bytes a queued job",
        bench.running.len(),
        took.len() as f64 / (spent_inside as f64 / 1e9),
        took.len() as f64 / spent.as_secs_f64(),
        took[took.len() / 2],
        took[took.len() - 1],
    );
}
