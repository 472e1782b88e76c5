//! The scenarios of the comparison: S1 burst, S3 adapters, S4 abuse, S5 video. Each row is one JSON object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    bounds,
    engine::setup::SLO,
    loads::Loads,
    measure::{self, percentile},
    outcome::{Ending, Run},
    rng::Rng,
    search::{Question, SearchError},
    workload::{Request, Task, Workload},
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
/// S5: whose pauses are measured, what going on after one costs, and when a job is in time: five times its compute and ten
/// seconds.
/// Folded to two days, so that a studio's fleet of two or three dozen holds it; clips are most of the work.
const VIDEO_FOLD_S: u64 = 172_800;
const OURS: &str = "backlot";
const PAUSE_US: i64 = 500_000;
const SLO_TIMES: i64 = 5;
const SLO_SPARE_US: i64 = 10_000_000;
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
        Question { slots, ..Question::new(policy, self.seed) }
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
    /// load an adapter of the set that it misses; LRU pays the same and knows only the past.
    pub fn adapters(&self, mut row: impl FnMut(Value)) -> Result<(), SearchError> {
        let folded = self.workload.folded(Some(FOLDS_S[0]), self.seed);
        let only = folded.requests.iter().filter(|request| !request.adapters.is_empty()).cloned();
        let only = folded.with_requests(only.collect());
        for slots in ADAPTER_SLOTS {
            let (best, lru) = cached_adapters(&only, slots as usize);
            for load_milli in LOAD_MILLI {
                for policy in self.policies {
                    let question = Question { load_milli, ..self.question(policy, 2) };
                    let run = question.run(slots / 2, &only, self.loads, None)?;
                    let figures = measure::figures(&run, &only, SLO);
                    let loads = run.tally.adapter_loads;
                    row(json!({
                        "scenario": "s3", "slots_in_all": slots, "load_factor": load_milli as f64 / 1000.0,
                        "adapter_loads": loads, "belady_adapter_loads": best, "lru_adapter_loads": lru,
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

    /// S5: clips beside pictures, each policy without pauses and ours also with them. The workload is synthetic; no public
    /// trace holds durations of clips.
    pub fn video(&self, gpus: u32, row: impl FnMut(Value)) -> Result<(), SearchError> {
        self.video_folded(gpus, VIDEO_FOLD_S, row)
    }

    /// The same with another fold.
    pub fn video_folded(
        &self,
        gpus: u32,
        fold_s: u64,
        mut row: impl FnMut(Value),
    ) -> Result<(), SearchError> {
        let folded = self.workload.folded(Some(fold_s), self.seed);
        for policy in self.policies {
            let without = self.question(policy, 2).run(gpus, &folded, self.loads, None)?;
            row(video_row(&without, &folded, false));
            if *policy == OURS {
                let question = Question { pause_us: Some(PAUSE_US), ..self.question(policy, 2) };
                let with = question.run(gpus, &folded, self.loads, None)?;
                row(video_row(&with, &folded, true));
                row(video_gain(&without, &with, &folded));
            }
        }
        Ok(())
    }
}

/// Waits and ends of one kind of job.
struct Kind {
    waits: Vec<i64>,
    flows: Vec<i64>,
    /// Those that ended within five times their compute and ten seconds.
    in_time: usize,
    held_us: i64,
}

impl Kind {
    fn of(run: &Run, workload: &Workload, clips: bool) -> Self {
        let mut kind = Self { waits: Vec::new(), flows: Vec::new(), in_time: 0, held_us: 0 };
        for (job, outcome) in run.ended() {
            let request = &workload.requests[job];
            if (request.task == Task::Video) != clips {
                continue;
            }
            kind.waits.push(outcome.wait_us());
            kind.flows.push(outcome.flow_us());
            let good = outcome.ending == Ending::Succeeded;
            let in_time = outcome.flow_us() <= SLO_TIMES * request.warm_us + SLO_SPARE_US;
            kind.in_time += usize::from(good && in_time);
            kind.held_us += outcome.held_us;
        }
        kind.waits.sort_unstable();
        kind.flows.sort_unstable();
        kind
    }

    fn slo(&self) -> f64 {
        self.in_time as f64 / self.flows.len().max(1) as f64
    }

    fn wait_mean_s(&self) -> f64 {
        self.waits.iter().sum::<i64>() as f64 / self.waits.len().max(1) as f64 / 1e6
    }

    fn flow_mean_s(&self) -> f64 {
        self.flows.iter().sum::<i64>() as f64 / self.flows.len().max(1) as f64 / 1e6
    }

    fn json(&self) -> Value {
        let s = |sorted: &[i64], share: f64| percentile(sorted, share) as f64 / 1e6;
        json!({
            "requests": self.waits.len(), "slo_k5": self.slo(), "held_s": self.held_us as f64 / 1e6,
            "wait_mean_s": self.wait_mean_s(), "wait_p50_s": s(&self.waits, 0.5),
            "wait_p95_s": s(&self.waits, 0.95), "wait_p99_s": s(&self.waits, 0.99),
            "flow_mean_s": self.flow_mean_s(), "flow_p50_s": s(&self.flows, 0.5),
            "flow_p99_s": s(&self.flows, 0.99),
        })
    }
}

fn video_row(run: &Run, workload: &Workload, preemption: bool) -> Value {
    json!({
        "scenario": "s5", "synthetic": true, "gpus": run.gpus, "policy": run.policy, "preemption": preemption,
        "pauses": run.tally.pauses, "clips": Kind::of(run, workload, true).json(),
        "pictures": Kind::of(run, workload, false).json(), "figures": measure::figures(run, workload, SLO),
    })
}

/// What pauses are worth: theirs over that without.
fn video_gain(without: &Run, with: &Run, workload: &Workload) -> Value {
    let kinds = |clips: bool| (Kind::of(without, workload, clips), Kind::of(with, workload, clips));
    let (pictures, clips) = (kinds(false), kinds(true));
    let all = |run: &Run| {
        let (pictures, clips) = (Kind::of(run, workload, false), Kind::of(run, workload, true));
        (pictures.in_time + clips.in_time) as f64 / workload.requests.len().max(1) as f64
    };
    json!({
        "scenario": "s5", "synthetic": true, "gain": true, "seed": with.seed, "gpus": with.gpus,
        "pictures_wait_mean": pictures.1.wait_mean_s() / pictures.0.wait_mean_s(),
        "pictures_wait_p99": percentile(&pictures.1.waits, 0.99) as f64 / percentile(&pictures.0.waits, 0.99) as f64,
        "clips_flow_mean": clips.1.flow_mean_s() / clips.0.flow_mean_s(),
        "clips_flow_p99": percentile(&clips.1.flows, 0.99) as f64 / percentile(&clips.0.flows, 0.99) as f64,
        "pictures_slo_k5": pictures.1.slo() - pictures.0.slo(), "clips_slo_k5": clips.1.slo() - clips.0.slo(),
        "slo_k5": all(with) - all(without), "slo_k5_without": all(without),
    })
}

/// Adapter loads of a cache that knows the future, and of one that knows the past.
fn cached_adapters(workload: &Workload, slots: usize) -> (usize, usize) {
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
    let loads = |misses: usize| (misses as f64 * mean).round() as usize;
    (loads(bounds::belady_misses(&keys, slots)), loads(bounds::lru_misses(&keys, slots)))
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
