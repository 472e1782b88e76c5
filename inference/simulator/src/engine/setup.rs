//! What one run is made of.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

/// Where GPUs are.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its name.
    pub name: Arc<str>,
}

/// One GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuSpec {
    /// A number into the setup's regions.
    pub region: u16,
    /// Base models that may be resident at once.
    pub slots: u32,
    /// Attempts at once.
    pub concurrency: u32,
    /// Whether a load runs beside compute. Off: a load blocks compute, and compute a load.
    pub overlap: bool,
    /// Its speed in thousandths of the reference.
    pub speed_milli: u32,
}

/// When a run may stop because its answer is known: the search asks only whether a fleet holds its promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    /// Longest wait at the 99th percentile, seconds.
    pub wait_p99_s: f64,
    /// Share of requests that must finish in `flow_s` seconds.
    pub share: f64,
    /// Seconds from arrival to the end.
    pub flow_s: f64,
}

/// The promise of the issue: p99 wait of at most 30 s, and 95 % finished within 60 s of arrival.
pub const SLO: Slo = Slo { wait_p99_s: 30.0, share: 0.95, flow_s: 60.0 };

/// What an operator would write into a model's registration before anything was measured, milliseconds.
/// The same for every model: nothing is known before the first arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileGuess {
    /// Expected load.
    pub load_ms: i64,
    /// Expected compute.
    pub run_ms: i64,
}

/// Which models can be paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PausingSetup {
    /// Numbers into the workload's models.
    pub models: BTreeSet<u32>,
    /// Compute that each resumption costs, microseconds.
    pub cost_us: i64,
}

/// What a call of several jobs takes: synthetic, because no public trace has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchingSetup {
    /// Jobs in one call.
    pub max: u32,
    /// What each further one adds, in thousandths of the longest of them.
    pub more_permille: i64,
}

/// Deadlines of some jobs: synthetic, because no public trace has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineSetup {
    /// Share of the jobs that have one, in thousandths.
    pub permille: u32,
    /// Whether the policy is told of them.
    pub told: bool,
}

/// Everything that decides a run beside workload, loads and policy.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides every draw.
    pub seed: u64,
    /// The fleet at time zero. Nothing is resident.
    pub fleet: Vec<GpuSpec>,
    /// Machines that can be ordered.
    pub pools: Vec<super::pools::PoolSetup>,
    /// Where things are.
    pub regions: Vec<Region>,
    /// Round trips between regions in microseconds, by number; empty: none.
    pub rtt_us: Vec<Vec<i64>>,
    /// What is registered of every model.
    pub guess: ProfileGuess,
    /// Loads take this many thousandths of what was drawn.
    pub load_milli: i64,
    /// Whether to check the policy's own invariants after each event, keep a digest of all effects.
    pub check: bool,
    /// Whether to keep every assignment, load and eviction.
    pub record: bool,
    /// Stop as soon as this cannot be held any more.
    pub stop_at: Option<Slo>,
    /// Time to live of every job, milliseconds.
    pub ttl_ms: i64,
    /// Models that can be paused between two steps, and what that costs.
    pub pausing: Option<PausingSetup>,
    /// Whether models take several jobs in one call, and what that takes.
    pub batching: Option<BatchingSetup>,
    /// Deadlines of some jobs.
    pub deadlines: Option<DeadlineSetup>,
    /// A third party that is paid by use.
    pub outside: Option<super::outside::OutsideSetup>,
    /// Faults.
    pub faults: super::faults::Faults,
}

/// A job never expires unless a scenario says so: thirty days.
pub const TTL_MS: i64 = 30 * 86_400_000;

impl Setup {
    /// `gpus` equal GPUs in one region, as in S1.
    #[must_use]
    pub fn uniform(seed: u64, gpus: u32, slots: u32, overlap: bool) -> Self {
        let gpu = GpuSpec { region: 0, slots, concurrency: 1, overlap, speed_milli: 1000 };
        Self {
            seed,
            fleet: vec![gpu; gpus as usize],
            pools: Vec::new(),
            regions: vec![Region { name: Arc::from("one") }],
            rtt_us: Vec::new(),
            guess: ProfileGuess { load_ms: 20_000, run_ms: 10_000 },
            load_milli: 1000,
            check: false,
            record: false,
            stop_at: None,
            ttl_ms: TTL_MS,
            pausing: None,
            batching: None,
            deadlines: None,
            outside: None,
            faults: super::faults::Faults::default(),
        }
    }
}

/// One line of the decisions file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// Microseconds since the start of the run.
    pub t_us: i64,
    /// What.
    pub what: What,
    /// The GPU.
    pub worker: Arc<str>,
    /// The model's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// The adapter's name, where one is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Arc<str>>,
    /// The job: its place in the order of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<usize>,
    /// When the job arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival_us: Option<i64>,
    /// The job's tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// The job's adapters, where it is assigned with any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<Arc<str>>,
    /// Microseconds that the load or the compute takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts_us: Option<i64>,
}

/// What a decision line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The GPU is there.
    Join,
    /// The GPU is gone, and what was resident with it.
    Leave,
    /// A job is leased to the GPU.
    Assign,
    /// A base is asked for that no job waits for yet.
    Prefetch,
    /// The load of a base begins.
    Load,
    /// The load of an adapter begins.
    LoadAdapter,
    /// A load has ended.
    Loaded,
    /// A base is unloaded.
    Evict,
    /// Compute begins.
    Compute,
    /// The job computes in the call whose `Compute` comes next.
    Ride,
    /// Compute has ended.
    Done,
    /// The attempt was stopped.
    Stop,
    /// The attempt is held between two steps; it computes again with the next `Compute` of its job.
    Pause,
}
