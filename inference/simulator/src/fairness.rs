//! The bound of fairness, tried at every load: twenty tenants whose demands differ a hundredfold on eight GPUs, with
//! models that all fit and with twice as many as fit, from half of the capacity to beyond it.
//!
//! The aim: no tenant lags behind what generalised processor sharing with the same charges would have given it by more
//! than the longest load and one service. The bound that holds up to the capacity is that for each GPU, which is what fair
//! queueing on several servers without preemption can promise. Beyond the capacity nothing can be promised to who asks for
//! much. And no line may grow for ever below it: what comes in the last third of a run waits no longer than what came before.

use serde::Serialize;

use crate::{
    engine::setup::SLO,
    loads::Loads,
    measure,
    rng::Rng,
    search::{Question, SearchError},
    workload::{Request, Task, Workload},
};

/// Loads that are tried, in thousandths of what the GPUs compute.
pub const LOADS_MILLI: [u32; 5] = [500, 700, 850, 950, 1_200];
const GPUS: u32 = 8;
const SLOTS: u32 = 2;
const TENANTS: usize = 20;
const WARM_US_MIN: f64 = 5e6;
const WARM_US_MAX: f64 = 30e6;
const KEY: u64 = 0xFA12;
/// The load, in thousandths, up to which the bound is promised.
const CAPACITY_MILLI: u32 = 1_000;

/// One load under one seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FairRow {
    /// Work that arrives, in thousandths of what the GPUs compute; loads are not counted.
    pub load_milli: u32,
    /// Different models.
    pub models: u32,
    /// The seed.
    pub seed: u64,
    /// The largest lag of any tenant behind its fluid share, GPU-seconds.
    pub lag_max_s: f64,
    /// The longest load and the longest service.
    pub aim_s: f64,
    /// What the lag may be.
    pub bound_s: f64,
    /// The longest wait of any job.
    pub wait_max_s: f64,
    /// The longest wait of the tenant that asks for least: who asks for little waits little.
    pub modest_wait_max_s: f64,
    /// Loads of base models a request.
    pub swaps_per_request: f64,
    /// The mean wait of all jobs, seconds.
    pub wait_mean_s: f64,
    /// The mean wait of what came in the last third of the run, seconds.
    pub wait_late_s: f64,
    /// The same of the tenant that asks for most.
    pub busiest_late_s: f64,
    /// Whether every job ran and, up to the capacity, no tenant lags behind more than the bound.
    pub holds: bool,
}

fn workload(load_milli: u32, models: u32, hours: u32, seed: u64) -> Workload {
    let mut rng = Rng::keyed(seed, &[KEY, u64::from(load_milli), u64::from(models)]);
    let mean_us = (WARM_US_MIN + WARM_US_MAX) / 2.0;
    let gap_us = mean_us * 1_000.0 / f64::from(GPUS * load_milli);
    let (mut at_us, mut requests) = (0.0, Vec::new());
    while at_us < f64::from(hours) * 3.6e9 {
        at_us += rng.exponential(gap_us);
        // The cube of a uniform number: the first tenant asks for a third, the last for a hundredth of that.
        let tenant = (rng.unit().powi(3) * TENANTS as f64) as u32;
        let model = (rng.unit().powi(2) * f64::from(models)) as u32;
        requests.push(Request {
            arrival_us: at_us as i64,
            tenant,
            task: Task::TextToImage,
            model,
            adapters: Vec::new(),
            images: 1,
            steps: 30,
            warm_us: (WARM_US_MIN + rng.unit() * (WARM_US_MAX - WARM_US_MIN)) as i64,
            region: 0,
        });
    }
    Workload {
        requests,
        tenants: (0..TENANTS).map(|at| format!("t{at}").into()).collect(),
        models: (0..models).map(|at| format!("m{at}").into()).collect(),
        adapters: Vec::new(),
    }
}

/// One load for so many hours.
pub fn one(
    policy: &str,
    (load_milli, models, hours): (u32, u32, u32),
    seed: u64,
    loads: &Loads,
) -> Result<FairRow, SearchError> {
    let workload = workload(load_milli, models, hours, seed);
    let question = Question { slots: SLOTS, ..Question::new(policy, seed) };
    let run = question.run(GPUS, &workload, loads, None)?;
    let figures = measure::figures(&run, &workload, SLO);
    let longest = |of: fn(&crate::outcome::JobOutcome) -> i64| {
        run.ended().map(|(_, job)| of(job)).max().unwrap_or_default() as f64 / 1e6
    };
    let aim_s = longest(|job| job.base_us) + longest(|job| job.ended_us - job.computed_us);
    let bound_s = f64::from(GPUS) * aim_s;
    let modest = run.ended().filter(|(job, _)| workload.requests[*job].tenant as usize == TENANTS - 1);
    let modest_us = modest.map(|(_, job)| job.wait_us()).max().unwrap_or_default();
    let last_us = i64::from(hours) * 2_400_000_000;
    let late = |tenants: std::ops::Range<u32>| {
        let of = |job: &usize| tenants.contains(&workload.requests[*job].tenant);
        let late = run.ended().filter(|(job, outcome)| of(job) && outcome.arrival_us >= last_us);
        let (count, sum_us) = late.fold((0, 0), |(count, sum), (_, job)| (count + 1, sum + job.wait_us()));
        sum_us as f64 / 1e6 / f64::from(count.max(1))
    };
    Ok(FairRow {
        load_milli,
        models,
        seed,
        lag_max_s: figures.lag_max_s,
        aim_s,
        bound_s,
        wait_max_s: figures.wait_max_s,
        modest_wait_max_s: modest_us as f64 / 1e6,
        swaps_per_request: figures.swaps_per_request,
        wait_mean_s: figures.wait_mean_s,
        wait_late_s: late(0..u32::MAX),
        busiest_late_s: late(0..1),
        holds: figures.unsuccessful == 0 && (load_milli > CAPACITY_MILLI || figures.lag_max_s <= bound_s),
    })
}

/// Every load for so many hours, with models that fit and with twice as many.
pub fn sweep(
    policy: &str,
    hours: u32,
    seed: u64,
    loads: &Loads,
    mut row: impl FnMut(FairRow),
) -> Result<(), SearchError> {
    for models in [GPUS * SLOTS, 2 * GPUS * SLOTS] {
        for load_milli in LOADS_MILLI {
            row(one(policy, (load_milli, models, hours), seed, loads)?);
        }
    }
    Ok(())
}
