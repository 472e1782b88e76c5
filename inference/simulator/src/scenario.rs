//! The scenarios of the comparison: S1 burst, S3 adapters, S4 abuse, S5 video. Each row is one JSON object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    bounds,
    engine::setup::SLO,
    loads::Loads,
    measure::{self, percentile},
    outcome::Run,
    rng::Rng,
    search::{Question, SearchError},
    workload::{Request, Workload},
};

/// S1: folds, in seconds.
const FOLDS_S: [u64; 2] = [43_200, 21_600];
/// S3: pooled slots, and loads in thousandths of what was measured.
const ADAPTER_SLOTS: [u32; 6] = [4, 8, 16, 32, 64, 128];
const LOAD_MILLI: [i64; 3] = [500, 1000, 2000];
/// S4: the fleet, how often the busiest tenant's ten minutes are replayed, and their length.
const ABUSE_GPUS: u32 = 16;
const ABUSE_TIMES: usize = 20;
const ABUSE_US: i64 = 600_000_000;
const ABUSE_KEY: u64 = 0xAB05E;
/// Fleets of a sweep around the pooled reference.
const SWEEP_BELOW: u32 = 1;
const SWEEP_ABOVE: u32 = 12;

/// What every scenario needs.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The workload, not folded.
    pub workload: &'a Workload,
    /// Loads.
    pub loads: &'a Loads,
    /// Policies to compare.
    pub policies: &'a [&'a str],
    /// The seed.
    pub seed: u64,
}

impl Stage<'_> {
    fn question<'q>(&self, policy: &'q str, slots: u32) -> Question<'q> {
        Question { policy, seed: self.seed, slots, overlap: false, load_milli: 1000, record: false }
    }

    /// S1: both folds, one and two resident bases, a sweep of fleets around the pooled reference.
    pub fn burst(&self, mut row: impl FnMut(Value)) -> Result<(), SearchError> {
        for fold_s in FOLDS_S {
            let folded = self.workload.folded(Some(fold_s), self.seed);
            let pooled = bounds::pooled_gpus(&folded, SLO);
            for slots in [1, 2] {
                for policy in self.policies {
                    for gpus in pooled.saturating_sub(SWEEP_BELOW).max(1)..=pooled + SWEEP_ABOVE {
                        let run = self.question(policy, slots).run(gpus, &folded, self.loads, None)?;
                        let figures = measure::figures(&run, &folded, SLO);
                        row(json!({"scenario": "s1", "fold_s": fold_s, "slots": slots, "figures": figures}));
                    }
                }
            }
        }
        Ok(())
    }

    /// S3: only requests with adapters; a slot holds a base with one set of adapters. Belady knows the future and pays a
    /// load an adapter of the set that it misses.
    pub fn adapters(&self, mut row: impl FnMut(Value)) -> Result<(), SearchError> {
        let folded = self.workload.folded(Some(FOLDS_S[0]), self.seed);
        let only = folded.requests.iter().filter(|request| !request.adapters.is_empty()).cloned();
        let only = folded.with_requests(only.collect());
        for slots in ADAPTER_SLOTS {
            let best = belady_adapters(&only, slots as usize);
            for load_milli in LOAD_MILLI {
                for policy in self.policies {
                    let question = Question { load_milli, ..self.question(policy, 2) };
                    let run = question.run(slots / 2, &only, self.loads, None)?;
                    let figures = measure::figures(&run, &only, SLO);
                    let loads = run.tally.adapter_loads;
                    row(json!({
                        "scenario": "s3", "slots_in_all": slots, "load_factor": load_milli as f64 / 1000.0,
                        "adapter_loads": loads, "belady_adapter_loads": best,
                        "ratio": loads as f64 / best.max(1) as f64, "figures": figures,
                    }));
                }
            }
        }
        Ok(())
    }

    /// S4: the busiest tenant's busiest ten minutes, replayed twenty times within ten minutes at the peak, with its own
    /// models and with a different model each.
    pub fn abuse(&self, mut row: impl FnMut(Value)) -> Result<(), SearchError> {
        let folded = self.workload.folded(Some(FOLDS_S[0]), self.seed);
        let Some(abuser) = busiest(&folded) else { return Ok(()) };
        for policy in self.policies {
            let question = self.question(policy, 2);
            let calm = question.run(ABUSE_GPUS, &folded, self.loads, None)?;
            let calm_s = others_p99_s(&calm, &folded, abuser);
            for distinct in [false, true] {
                let abused = with_abuse(&folded, abuser, distinct, self.seed);
                let run = question.run(ABUSE_GPUS, &abused, self.loads, None)?;
                let abused_s = others_p99_s(&run, &abused, abuser);
                let allowed_s = (calm_s * 1.1).max(calm_s + 5.0);
                row(json!({
                    "scenario": "s4", "policy": policy, "gpus": ABUSE_GPUS, "distinct_models": distinct,
                    "added_requests": abused.requests.len() - folded.requests.len(),
                    "others_wait_p99_s": abused_s, "others_wait_p99_without_s": calm_s,
                    "allowed_s": allowed_s, "holds": abused_s <= allowed_s, "seed": self.seed,
                    "figures": measure::figures(&run, &abused, SLO),
                }));
            }
        }
        Ok(())
    }

    /// S5: clips beside pictures. The workload is synthetic; no public trace holds durations of clips.
    pub fn video(&self, gpus: u32, mut row: impl FnMut(Value)) -> Result<(), SearchError> {
        let folded = self.workload.folded(Some(FOLDS_S[0]), self.seed);
        for policy in self.policies {
            let run = self.question(policy, 2).run(gpus, &folded, self.loads, None)?;
            let waits = |clips: bool| {
                let of = run
                    .ended()
                    .filter(|(job, _)| (folded.requests[*job].task == crate::workload::Task::Video) == clips);
                let mut waits: Vec<i64> = of.map(|(_, outcome)| outcome.wait_us()).collect();
                waits.sort_unstable();
                json!({
                    "requests": waits.len(),
                    "wait_p50_s": percentile(&waits, 0.5) as f64 / 1e6,
                    "wait_p99_s": percentile(&waits, 0.99) as f64 / 1e6,
                })
            };
            row(json!({
                "scenario": "s5", "synthetic": true, "preemption": false, "clips": waits(true),
                "pictures": waits(false), "figures": measure::figures(&run, &folded, SLO),
            }));
        }
        Ok(())
    }
}

/// Adapter loads of a cache that knows the future.
fn belady_adapters(workload: &Workload, slots: usize) -> usize {
    let mut sets: BTreeMap<(u32, Vec<u32>), u32> = BTreeMap::new();
    let uses: Vec<(u32, usize)> = workload
        .requests
        .iter()
        .map(|request| {
            let mut adapters = request.adapters.clone();
            adapters.sort_unstable();
            let count = adapters.len();
            let next = sets.len() as u32;
            (*sets.entry((request.model, adapters)).or_insert(next), count)
        })
        .collect();
    // Weights differ little (one adapter in 96 of 100): misses are priced by the mean size of a set.
    let mean = uses.iter().map(|(_, count)| *count).sum::<usize>() as f64 / uses.len().max(1) as f64;
    let keys: Vec<u32> = uses.iter().map(|(key, _)| *key).collect();
    (bounds::belady_misses(&keys, slots) as f64 * mean).round() as usize
}

/// The tenant with most requests.
fn busiest(workload: &Workload) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for request in &workload.requests {
        *counts.entry(request.tenant).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(tenant, count)| (*count, u32::MAX - tenant)).map(|(tenant, _)| tenant)
}

/// The start of the ten minutes with most of something.
fn busiest_window_us(requests: &[&Request], weight: impl Fn(&Request) -> i64) -> i64 {
    let (mut sum, mut best, mut from) = (0, (i64::MIN, 0), 0);
    for request in requests {
        sum += weight(request);
        while requests[from].arrival_us < request.arrival_us - ABUSE_US {
            sum -= weight(requests[from]);
            from += 1;
        }
        if sum > best.0 {
            best = (sum, requests[from].arrival_us);
        }
    }
    best.1
}

fn with_abuse(workload: &Workload, abuser: u32, distinct: bool, seed: u64) -> Workload {
    let all: Vec<&Request> = workload.requests.iter().collect();
    let own: Vec<&Request> = all.iter().copied().filter(|request| request.tenant == abuser).collect();
    let peak_us = busiest_window_us(&all, |request| request.warm_us);
    let own_us = busiest_window_us(&own, |_| 1);
    let window = own.iter().filter(|request| (own_us..own_us + ABUSE_US).contains(&request.arrival_us));
    let mut rng = Rng::keyed(seed, &[ABUSE_KEY]);
    let models = workload.models.len().max(1);
    let mut added: Vec<Request> = Vec::new();
    for request in window {
        for _ in 0..ABUSE_TIMES {
            let mut copy = (*request).clone();
            copy.arrival_us = peak_us + (rng.unit() * ABUSE_US as f64) as i64;
            if distinct {
                copy.model = (added.len() % models) as u32;
                copy.adapters.clear();
            }
            added.push(copy);
        }
    }
    let mut requests = workload.requests.clone();
    requests.extend(added);
    workload.with_requests(requests)
}

/// 99th percentile of the wait of everybody but one.
fn others_p99_s(run: &Run, workload: &Workload, abuser: u32) -> f64 {
    let of = run.ended().filter(|(job, _)| workload.requests[*job].tenant != abuser);
    let mut waits: Vec<i64> = of.map(|(_, outcome)| outcome.wait_us()).collect();
    waits.sort_unstable();
    percentile(&waits, 0.99) as f64 / 1e6
}
