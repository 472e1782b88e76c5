//! What no policy can beat, or hardly any: references that the figures are held against.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    hash::Hash,
};

use serde::Serialize;

use crate::{
    engine::{rank, setup::Slo},
    rng::Rng,
    workload::{Request, Workload},
};

/// Samples of the paired bootstrap.
const BOOTSTRAP_SAMPLES: usize = 2_000;
const BOOTSTRAP_KEY: u64 = 0xB007;

/// References of one workload under one seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// The smallest fleet for which, in every window, the warm work that arrives and is due in it fits; all requests.
    pub fluid_gpus: u32,
    /// The smallest fleet of a pooled first-come-first-served queue that never loads anything.
    pub pooled_gpus: u32,
    /// Mean flow of preemptive shortest-remaining-first on one server as fast as `gpus`, each flow at least its compute.
    pub srpt_flow_mean_s: f64,
    /// Loads a request of a cache that knows the future, of all slots of `gpus` together.
    pub belady_swaps: f64,
    /// Distinct models a request: every one is loaded at least once.
    pub floor_swaps: f64,
    /// GPUs that the last three are for.
    pub gpus: u32,
    /// The seed.
    pub seed: u64,
}

/// All references.
#[must_use]
pub fn bounds(workload: &Workload, slo: Slo, gpus: u32, slots: u32, seed: u64) -> Bounds {
    let count = workload.requests.len().max(1) as f64;
    let models: Vec<u32> = workload.requests.iter().map(|request| request.model).collect();
    let distinct: BTreeSet<u32> = models.iter().copied().collect();
    Bounds {
        fluid_gpus: fluid_gpus(workload, slo),
        pooled_gpus: pooled_gpus(workload, slo),
        srpt_flow_mean_s: srpt_flow_mean_us(workload, gpus) / 1e6,
        belady_swaps: belady_misses(&models, (gpus * slots) as usize) as f64 / count,
        floor_swaps: distinct.len() as f64 / count,
        gpus,
        seed,
    }
}

/// Bound 1. A request is due `flow_s` after its arrival, or after its compute where that is longer.
#[must_use]
pub fn fluid_gpus(workload: &Workload, slo: Slo) -> u32 {
    let due = |request: &Request| request.arrival_us + ((slo.flow_s * 1e6) as i64).max(request.warm_us);
    let mut by_due: Vec<&Request> = workload.requests.iter().collect();
    by_due.sort_by_key(|request| due(request));
    let mut gpus: f64 = 1.0;
    for first in &workload.requests {
        let since_us = first.arrival_us;
        let from = by_due.partition_point(|request| due(request) <= since_us);
        let mut work_us = 0;
        for request in by_due[from..].iter().filter(|request| request.arrival_us >= since_us) {
            work_us += request.warm_us;
            gpus = gpus.max(work_us as f64 / (due(request) - since_us) as f64);
        }
    }
    gpus.ceil() as u32
}

/// Bound 3: waits and flows without any load.
#[must_use]
pub fn pooled_gpus(workload: &Workload, slo: Slo) -> u32 {
    let span_us = workload.end_us() as f64 + slo.flow_s * 1e6;
    let fewest = (workload.warm_us() as f64 * slo.share / span_us).ceil().max(1.0) as u32;
    (fewest..).find(|gpus| pooled_holds(workload, *gpus, slo)).unwrap_or(fewest)
}

fn pooled_holds(workload: &Workload, gpus: u32, slo: Slo) -> bool {
    let mut free: BinaryHeap<Reverse<i64>> = (0..gpus).map(|_| Reverse(0)).collect();
    let count = workload.requests.len();
    let (mut late_waits, mut late_flows) = (0, 0);
    for request in &workload.requests {
        let Some(Reverse(at_us)) = free.pop() else { return false };
        let began_us = at_us.max(request.arrival_us);
        let ended_us = began_us + request.warm_us;
        free.push(Reverse(ended_us));
        late_waits += usize::from((began_us - request.arrival_us) as f64 > slo.wait_p99_s * 1e6);
        late_flows += usize::from((ended_us - request.arrival_us) as f64 > slo.flow_s * 1e6);
    }
    late_waits <= count - rank(count, 0.99) && (late_flows as f64) <= (1.0 - slo.share) * count as f64 + 1e-9
}

/// Bound 2.
#[must_use]
pub fn srpt_flow_mean_us(workload: &Workload, gpus: u32) -> f64 {
    let speed = i64::from(gpus.max(1));
    // Remaining work in units of one server that is `gpus` times as fast.
    let mut left: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    let mut flow_sum = 0.0;
    let mut now_us = 0;
    let mut next = 0;
    let requests = &workload.requests;
    while next < requests.len() || !left.is_empty() {
        let until_us = requests.get(next).map_or(i64::MAX, |request| request.arrival_us);
        match left.pop() {
            Some(Reverse((work_us, at))) if now_us + work_us <= until_us => {
                now_us += work_us;
                flow_sum += (now_us - requests[at].arrival_us).max(requests[at].warm_us) as f64;
            }
            shortest => {
                if let Some(Reverse((work_us, at))) = shortest {
                    left.push(Reverse((work_us - (until_us - now_us), at)));
                }
                now_us = now_us.max(until_us);
                left.push(Reverse((requests[next].warm_us / speed, next)));
                next += 1;
            }
        }
    }
    flow_sum / requests.len().max(1) as f64
}

/// Bound 4: misses of a cache that evicts what is needed last, and lets what is never needed again not stay.
#[must_use]
pub fn belady_misses<T: Ord + Hash + Clone>(uses: &[T], slots: usize) -> usize {
    let mut next_use = vec![usize::MAX; uses.len()];
    let mut seen: BTreeMap<&T, usize> = BTreeMap::new();
    for (at, item) in uses.iter().enumerate().rev() {
        next_use[at] = seen.insert(item, at).unwrap_or(usize::MAX);
    }
    let mut cached: BTreeMap<&T, usize> = BTreeMap::new();
    let mut by_next: BTreeSet<(usize, &T)> = BTreeSet::new();
    let mut misses = 0;
    for (at, item) in uses.iter().enumerate() {
        if let Some(due) = cached.remove(item) {
            by_next.remove(&(due, item));
        } else {
            misses += 1;
            if cached.len() >= slots
                && let Some((due, last)) = by_next.pop_last()
            {
                debug_assert!(due >= at);
                cached.remove(last);
            }
        }
        if slots > 0 {
            cached.insert(item, next_use[at]);
            by_next.insert((next_use[at], item));
        }
    }
    misses
}

/// Misses of a cache that evicts what was used longest ago: what a rule without foresight reaches where nothing runs at the
/// same time and anything may lie in any slot.
#[must_use]
pub fn lru_misses<T: Ord + Clone>(uses: &[T], slots: usize) -> usize {
    let mut used: BTreeMap<&T, usize> = BTreeMap::new();
    let mut by_use: BTreeMap<usize, &T> = BTreeMap::new();
    let mut misses = 0;
    for (at, item) in uses.iter().enumerate() {
        match used.insert(item, at) {
            Some(before) => drop(by_use.remove(&before)),
            None => misses += 1,
        }
        by_use.insert(at, item);
        if by_use.len() > slots
            && let Some((_, oldest)) = by_use.pop_first()
        {
            used.remove(oldest);
        }
    }
    misses
}

/// `(ours − bound) / (best baseline − bound)`, with a 95 % interval by paired bootstrap over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// 0: at the bound; 1: as the best baseline.
    pub gap: f64,
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// The gap of values that belong to the same seeds in the same order.
#[must_use]
pub fn gap(ours: &[f64], best: &[f64], bound: &[f64]) -> Gap {
    let count = ours.len().min(best.len()).min(bound.len());
    let of = |picked: &[usize]| {
        let sum = |values: &[f64]| picked.iter().map(|at| values[*at]).sum::<f64>();
        let span = sum(best) - sum(bound);
        if span.abs() < 1e-12 { 0.0 } else { (sum(ours) - sum(bound)) / span }
    };
    let all: Vec<usize> = (0..count).collect();
    let mut rng = Rng::new(BOOTSTRAP_KEY);
    let mut samples: Vec<f64> = (0..BOOTSTRAP_SAMPLES)
        .map(|_| of(&(0..count).map(|_| rng.below(count)).collect::<Vec<_>>()))
        .collect();
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[rank(BOOTSTRAP_SAMPLES, share) - 1];
    Gap { gap: of(&all), low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn belady_keeps_what_is_needed_next() {
        assert_eq!(belady_misses(&[1, 2, 3, 1, 2, 3], 2), 4);
        assert_eq!(belady_misses(&[1, 2, 1, 2], 1), 4);
        assert_eq!(belady_misses(&[1, 2, 1, 2], 2), 2);
    }

    #[test]
    fn lru_drops_what_was_used_longest_ago() {
        assert_eq!(lru_misses(&[1, 2, 3, 1, 2, 3], 2), 6);
        assert_eq!(lru_misses(&[1, 2, 1, 3, 1, 2], 2), 4);
        assert_eq!(lru_misses(&[1, 2, 1, 2], 1), 4);
        assert_eq!(lru_misses(&[1, 2, 1, 2], 2), 2);
        assert_eq!(lru_misses(&[1, 1], 0), 2);
    }

    #[test]
    fn the_gap_is_nought_at_the_bound_and_one_at_the_best_baseline() {
        let close = |gap: Gap, value: f64| assert!((gap.gap - value).abs() < 1e-9, "{gap:?}");
        close(gap(&[10.0, 12.0], &[20.0, 22.0], &[10.0, 12.0]), 0.0);
        close(gap(&[20.0, 22.0], &[20.0, 22.0], &[10.0, 12.0]), 1.0);
        let halfway = gap(&[15.0, 17.0], &[20.0, 22.0], &[10.0, 12.0]);
        close(halfway, 0.5);
        assert!(halfway.low <= halfway.gap && halfway.gap <= halfway.high);
    }
}
