//! How fast the scheduler applies events while jobs wait: `cargo bench -p backlot-inference-scheduler`. The mix is submit
//! with estimate, start, finish, in turn; every event is made outside the timed part. Prints the 99th percentile of one
//! event and the bytes of a queued job before criterion's own figures. `BACKLOT_BENCH_JOBS` makes it smaller.
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
    time::{Duration, Instant},
};

use backlot_inference_scheduler::{
    AgentKey, AgentSpec, AttemptOutcome, Effect, Event, Features, Fence, JobKey, JobSpec, ModelKey,
    ModelProfile, Offers, RegionKey, Scheduler, TenantKey, TenantSpec, Tier, TimeUs, WorkerSpec,
};
use criterion::{BenchmarkId, Criterion, Throughput};

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
const WORKERS: u64 = 10_000;
/// Jobs that wait in the table's row.
const QUEUED: u64 = 1_000_000;
/// Jobs that wait in the rows that show how cost grows.
const GROWTH: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Rounds whose events are made before they are timed; fewer than attempts run at once.
const BATCH: u64 = 1_000;
const ROUND_EVENTS: u64 = 3;
/// Rounds of which each event is timed alone, for the percentiles.
const SINGLE_ROUNDS: u64 = 100_000;

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
                offers: Offers::default(),
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
                batches: false,
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
            deadline: None,
            batch_key: 0,
        }
    }
    /// A fleet that is busy, and `jobs` jobs that wait; bytes that each of these takes.
    fn queued(jobs: u64) -> (Self, u64) {
        let mut bench = Self::new();
        bench.fleet(WORKERS);
        while bench.running.len() < WORKERS as usize && bench.jobs < 4 * WORKERS {
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
        (bench, bytes)
    }

    /// The events of so many rounds: submit with estimate, start, finish.
    fn events(&mut self, rounds: u64) -> Vec<(TimeUs, Event)> {
        let mut events = Vec::with_capacity((rounds * ROUND_EVENTS) as usize);
        for _ in 0..rounds {
            self.now = self.now.plus_ms(1);
            let spec = self.spec();
            events.push((self.now, Event::Submitted(spec)));
            let Some((job, fence)) = self.running.pop_front() else { continue };
            events.push((self.now, Event::AttemptStarted { job, fence }));
            let outcome = AttemptOutcome::Succeeded;
            events.push((
                self.now,
                Event::Finished { job, fence, outcome, load_ms: 0, compute_ms: 15_000, batched: 0 },
            ));
        }
        events
    }

    /// What the driver does with an event: it asks for an estimate before it submits.
    fn take(&mut self, now: TimeUs, event: Event) {
        if let Event::Submitted(spec) = &event {
            black_box(self.scheduler.estimate(now, spec)).ok();
        }
        self.scheduler.apply(now, event, &mut self.effects);
    }

    fn note_assignments(&mut self) {
        for effect in self.effects.drain(..) {
            if let Effect::Assign(assignment) = effect {
                self.running.push_back((assignment.job, assignment.fence));
            }
        }
    }

    /// The time that so many events take.
    fn spent(&mut self, count: u64) -> Duration {
        let (mut left, mut spent) = (count, Duration::ZERO);
        while left > 0 {
            let mut events = self.events(left.div_ceil(ROUND_EVENTS).min(BATCH));
            // The last round is begun but not counted whole: what is over is applied outside the timed part.
            let over = events.split_off(events.len().min(left as usize));
            left -= events.len() as u64;
            let from = Instant::now();
            for (now, event) in events {
                self.take(now, event);
            }
            spent += from.elapsed();
            over.into_iter().for_each(|(now, event)| self.take(now, event));
            self.note_assignments();
        }
        spent
    }

    /// Each event timed alone, in nanoseconds, ascending.
    fn singles_ns(&mut self) -> Vec<u128> {
        let mut took = Vec::with_capacity((SINGLE_ROUNDS * ROUND_EVENTS) as usize);
        for _ in 0..SINGLE_ROUNDS / BATCH {
            for (now, event) in self.events(BATCH) {
                let from = Instant::now();
                self.take(now, event);
                took.push(from.elapsed().as_nanos());
            }
            self.note_assignments();
        }
        took.sort_unstable();
        took
    }
}

fn jobs_max() -> u64 {
    std::env::var("BACKLOT_BENCH_JOBS").ok().and_then(|text| text.parse().ok()).unwrap_or(QUEUED)
}

/// The goal's row: a million jobs wait, ten thousand workers, ten regions.
fn events(criterion: &mut Criterion) {
    let jobs = jobs_max();
    let (mut bench, bytes) = Bench::queued(jobs);
    bench.spent(BATCH * ROUND_EVENTS * 30);
    let took = bench.singles_ns();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{jobs} queued, {WORKERS} workers, {REGIONS} regions: {bytes} bytes a queued job");
    println!("one event: p50 {p50} ns, p99 {p99} ns, max {} ns", took[took.len() - 1]);
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    group.bench_function(BenchmarkId::new("submit-start-finish", jobs), |bencher| {
        bencher.iter_custom(|count| bench.spent(count));
    });
    group.finish();
}

/// How the cost of an event grows with what waits.
fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("growth");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for jobs in GROWTH.into_iter().filter(|jobs| *jobs <= jobs_max()) {
        let (mut bench, _) = Bench::queued(jobs);
        bench.spent(BATCH * ROUND_EVENTS);
        group.bench_function(BenchmarkId::from_parameter(jobs), |bencher| {
            bencher.iter_custom(|count| bench.spent(count));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    events(&mut criterion);
    growth(&mut criterion);
    criterion.final_summary();
}
