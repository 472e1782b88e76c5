//! Figures of a run.

mod fair;

pub use fair::{Fairness, fairness};

use serde::Serialize;

use crate::{
    engine::{rank, setup::Slo},
    outcome::{Ending, JobOutcome, Run, Tally, ToldStart},
    workload::Workload,
};

/// What `--json` prints of one policy under one seed. The first eleven fields are the promised ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The policy's name.
    pub policy: String,
    /// GPUs.
    pub gpus: u32,
    /// Wait until load or compute begins: median, seconds.
    pub wait_p50_s: f64,
    /// 99th percentile.
    pub wait_p99_s: f64,
    /// The longest.
    pub wait_max_s: f64,
    /// Share of requests that finished within 60 s of their arrival.
    pub slo60: f64,
    /// Base loads a request, first and speculative ones counted.
    pub swaps_per_request: f64,
    /// Hours in which GPUs loaded or computed.
    pub busy_gpu_hours: f64,
    /// Jain's index on service against what a fluid fair share would have given.
    pub jain: f64,
    /// Requests.
    pub requests: usize,
    /// The seed.
    pub seed: u64,
    /// Whether the promise is held: p99 wait at most 30 s and 95 % within 60 s.
    pub holds: bool,
    /// Mean wait, seconds.
    pub wait_mean_s: f64,
    /// Median time until compute begins, seconds.
    pub compute_p50_s: f64,
    /// 99th percentile of it.
    pub compute_p99_s: f64,
    /// From arrival to end: median, seconds.
    pub flow_p50_s: f64,
    /// 95th percentile.
    pub flow_p95_s: f64,
    /// 99th percentile.
    pub flow_p99_s: f64,
    /// The longest.
    pub flow_max_s: f64,
    /// Mean.
    pub flow_mean_s: f64,
    /// Share with a flow of at most 2 × warm + 10 s.
    pub slo_k2: f64,
    /// 3 × warm + 10 s.
    pub slo_k3: f64,
    /// 5 × warm + 10 s.
    pub slo_k5: f64,
    /// Base loads.
    pub base_loads: u64,
    /// Of them speculative.
    pub speculative_loads: u64,
    /// Adapter loads a request.
    pub adapter_loads_per_request: f64,
    /// Hours in which GPUs were there.
    pub billed_gpu_hours: f64,
    /// Busy time whose result did not count, in GPU-hours.
    pub wasted_gpu_hours: f64,
    /// The largest lag of a tenant behind its fluid fair share, GPU-seconds.
    pub lag_max_s: f64,
    /// Longest wait over the median wait (at least one second).
    pub starvation: f64,
    /// Requests that did not succeed.
    pub unsuccessful: usize,
    /// Events that the policy was given.
    pub events: u64,
    /// Share of the jobs that began to compute no later than the median told at submission; none told: `null`.
    pub p50_start_holds: Option<f64>,
    /// The same for the ninth decile told.
    pub p90_start_holds: Option<f64>,
    /// The same of those that were told that they must wait: who finds a warm worker free is told "at once", which always
    /// holds.
    pub p90_wait_holds: Option<f64>,
    /// Median of the ninth decile told to those that must wait, seconds: honesty is easy for who promises little.
    pub p90_wait_told_s: Option<f64>,
    /// Of the jobs with a deadline: how they ended, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// Share of the attempts that computed in a call of several, where models take such calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batched: Option<f64>,
    /// Jobs of such a call in the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<f64>,
    /// Share of the attempts that a third party was given, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflowed: Option<f64>,
    /// What it asks for, dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_dollars: Option<f64>,
}

/// How jobs with a deadline ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Deadlines {
    /// How many there were.
    pub jobs: usize,
    /// Share that succeeded in time.
    pub met: f64,
    /// Share that was not submitted, because its caller was told that it would be too late.
    pub refused: f64,
    /// Share that expired.
    pub expired: f64,
    /// Hours of compute and loads of what succeeded after its deadline.
    pub useless_gpu_hours: f64,
    /// Mean wait of the jobs without a deadline, seconds.
    pub others_wait_mean_s: f64,
    /// 99th percentile of it.
    pub others_wait_p99_s: f64,
}

fn deadlines(run: &Run) -> Option<Deadlines> {
    let (with, without): (Vec<&JobOutcome>, Vec<&JobOutcome>) =
        run.ended().map(|(_, outcome)| outcome).partition(|outcome| outcome.deadline_us.is_some());
    if with.is_empty() {
        return None;
    }
    let share = |good: &dyn Fn(&JobOutcome) -> bool| {
        round(with.iter().filter(|outcome| good(outcome)).count() as f64 / with.len() as f64)
    };
    let in_time = |outcome: &JobOutcome| outcome.deadline_us.is_some_and(|at| outcome.ended_us <= at);
    let useless = with.iter().filter(|outcome| outcome.ending == Ending::Succeeded && !in_time(outcome));
    let useless_us = useless.map(|outcome| {
        let compute_us = outcome.ended_us - outcome.computed_us - outcome.held_us;
        compute_us / i64::from(outcome.batched.max(1)) + outcome.base_us + outcome.adapter_us
    });
    let waits = sorted(without.iter().map(|outcome| outcome.wait_us()));
    Some(Deadlines {
        jobs: with.len(),
        met: share(&|outcome| outcome.ending == Ending::Succeeded && in_time(outcome)),
        refused: share(&|outcome| outcome.ending == Ending::Refused),
        expired: share(&|outcome| outcome.ending == Ending::Expired),
        useless_gpu_hours: hours(useless_us.sum()),
        others_wait_mean_s: seconds(mean(&waits)),
        others_wait_p99_s: seconds(percentile(&waits, 0.99)),
    })
}

/// The value below which a share of all lies (nearest rank). `sorted` is ascending.
#[must_use]
pub fn percentile(sorted: &[i64], share: f64) -> i64 {
    if sorted.is_empty() { 0 } else { sorted[rank(sorted.len(), share) - 1] }
}

fn seconds(us: i64) -> f64 {
    round(us as f64 / 1e6)
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Hours of microseconds.
#[must_use]
pub fn hours(us: i64) -> f64 {
    round(us as f64 / 3.6e9)
}

fn sorted(values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values
}

fn mean(values: &[i64]) -> i64 {
    values.iter().sum::<i64>() / values.len().max(1) as i64
}

/// Whether a run holds a promise.
#[must_use]
pub fn holds(run: &Run, slo: Slo) -> bool {
    let waits = sorted(run.ended().map(|(_, outcome)| outcome.wait_us()));
    !run.stopped_early
        && percentile(&waits, 0.99) as f64 <= slo.wait_p99_s * 1e6
        && share(run, |outcome, _| outcome.flow_us() as f64 <= slo.flow_s * 1e6, None) >= slo.share - 1e-12
}

fn share(run: &Run, good: impl Fn(&JobOutcome, i64) -> bool, workload: Option<&Workload>) -> f64 {
    let warm = |job: usize| workload.map_or(0, |workload| workload.requests[job].warm_us);
    let good = run
        .ended()
        .filter(|(job, outcome)| outcome.ending == Ending::Succeeded && good(outcome, warm(*job)))
        .count();
    good as f64 / run.outcomes.len().max(1) as f64
}

/// Of the jobs that computed and were told something that `counts`, the share whose start `held`.
fn told_share(
    run: &Run,
    counts: impl Fn(ToldStart) -> bool,
    told_ms: impl Fn(ToldStart) -> i64,
) -> Option<f64> {
    let told = run.ended().filter(|(_, outcome)| outcome.ending == Ending::Succeeded);
    let told: Vec<bool> = told
        .filter_map(|(_, outcome)| Some((outcome, outcome.told.filter(|told| counts(*told))?)))
        // Told in whole milliseconds.
        .map(|(outcome, told)| (outcome.computed_us - outcome.arrival_us) / 1000 <= told_ms(told))
        .collect();
    let held = told.iter().filter(|held| **held).count();
    (!told.is_empty()).then(|| round(held as f64 / told.len() as f64))
}

/// All figures of a run that went to its end.
#[must_use]
pub fn figures(run: &Run, workload: &Workload, slo: Slo) -> Figures {
    let waits = sorted(run.ended().map(|(_, outcome)| outcome.wait_us()));
    let starts = sorted(run.ended().map(|(_, outcome)| outcome.computed_us - outcome.arrival_us));
    let flows = sorted(run.ended().map(|(_, outcome)| outcome.flow_us()));
    let within = |k: i64| {
        round(share(run, |outcome, warm_us| outcome.flow_us() <= k * warm_us + 10_000_000, Some(workload)))
    };
    let requests = workload.requests.len();
    let useful_us: i64 = run
        .ended()
        .filter(|(_, outcome)| outcome.ending == Ending::Succeeded)
        .map(|(_, outcome)| {
            let compute_us = outcome.ended_us - outcome.computed_us - outcome.held_us;
            compute_us / i64::from(outcome.batched.max(1)) + outcome.base_us + outcome.adapter_us
        })
        .sum();
    let fair = fairness(run, workload);
    let told_p90 = run.ended().filter_map(|(_, outcome)| Some(outcome.told?.p90_ms));
    let told_p90 = sorted(told_p90.filter(|ms| *ms > 0));
    let Tally { batches, batched, attempts, .. } = run.tally;
    let share_of = |part: u64, all: u64| (batched > 0).then(|| round(part as f64 / all.max(1) as f64));
    let median_us = percentile(&waits, 0.5).max(1_000_000);
    let longest_us = waits.last().copied().unwrap_or(0);
    Figures {
        policy: run.policy.clone(),
        gpus: run.gpus,
        wait_p50_s: seconds(percentile(&waits, 0.5)),
        wait_p99_s: seconds(percentile(&waits, 0.99)),
        wait_max_s: seconds(longest_us),
        slo60: round(share(run, |outcome, _| outcome.flow_us() <= 60_000_000, None)),
        swaps_per_request: round(run.swaps_per_request(workload)),
        busy_gpu_hours: hours(run.busy_us),
        jain: round(fair.jain),
        requests,
        seed: run.seed,
        holds: holds(run, slo),
        wait_mean_s: seconds(mean(&waits)),
        compute_p50_s: seconds(percentile(&starts, 0.5)),
        compute_p99_s: seconds(percentile(&starts, 0.99)),
        flow_p50_s: seconds(percentile(&flows, 0.5)),
        flow_p95_s: seconds(percentile(&flows, 0.95)),
        flow_p99_s: seconds(percentile(&flows, 0.99)),
        flow_max_s: seconds(flows.last().copied().unwrap_or(0)),
        flow_mean_s: seconds(mean(&flows)),
        slo_k2: within(2),
        slo_k3: within(3),
        slo_k5: within(5),
        base_loads: run.tally.base_loads,
        speculative_loads: run.tally.speculative_loads,
        adapter_loads_per_request: round(run.tally.adapter_loads as f64 / requests.max(1) as f64),
        billed_gpu_hours: hours(run.up_us),
        wasted_gpu_hours: hours((run.busy_us - useful_us).max(0)),
        lag_max_s: round(fair.lag_max_us / 1e6),
        starvation: round(longest_us as f64 / median_us as f64),
        unsuccessful: run.ended().filter(|(_, outcome)| outcome.ending != Ending::Succeeded).count(),
        events: run.tally.events,
        p50_start_holds: told_share(run, |_| true, |told| told.p50_ms),
        p90_start_holds: told_share(run, |_| true, |told| told.p90_ms),
        p90_wait_holds: told_share(run, |told| told.p90_ms > 0, |told| told.p90_ms),
        deadlines: deadlines(run),
        batched: share_of(batched, attempts),
        batch_size: share_of(batched, batches),
        overflowed: run.outside.as_ref().map(|bill| round(bill.attempts as f64 / attempts.max(1) as f64)),
        overflow_dollars: run.outside.as_ref().map(|bill| round(bill.billed_micro as f64 / 1e6)),
        p90_wait_told_s: (!told_p90.is_empty()).then(|| percentile(&told_p90, 0.5) as f64 / 1e3),
    }
}
