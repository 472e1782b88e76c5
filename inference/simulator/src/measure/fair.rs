//! Fairness: what tenants got against generalised processor sharing (GPS) with the same charges.
//!
//! The fluid schedule serves all tenants that have work at once. Each gets an equal share of the fleet, but never more
//! than one GPU a job; what one cannot use is shared by the others. A job's charge is its compute and the loads that it
//! caused in the run that is judged.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::{outcome::Run, workload::Workload};

/// Every so often service is compared with the fluid schedule.
const WINDOW_US: i64 = 600_000_000;

/// How fair a run was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fairness {
    /// Jain's index of service so far over fluid service so far, over the tenants that were active in a window of ten
    /// minutes; the mean of all windows.
    pub jain: f64,
    /// The largest lag behind the fluid schedule at the end of any window, in GPU-microseconds.
    pub lag_max_us: f64,
    /// Service and fluid service at the end, by tenant.
    pub served_us: Vec<f64>,
}

/// A job's remaining work in the fluid schedule, smallest first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Finish(f64);

impl Eq for Finish {}
impl PartialOrd for Finish {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Finish {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0)
    }
}

/// A tenant in the fluid schedule: its jobs share what it gets.
#[derive(Clone, Debug, Default)]
struct Flow {
    /// Work that each of its jobs has had since it first had any.
    attained: f64,
    jobs: BinaryHeap<Finish>,
    served: f64,
    rate: f64,
}

/// The fluid schedule, moved on from event to event.
#[derive(Debug)]
struct Gps {
    servers: f64,
    flows: Vec<Flow>,
    active: Vec<usize>,
    now: f64,
}

impl Gps {
    /// Shares the servers: nobody gets more than one a job, and what is left goes to the others alike.
    fn share(&mut self) {
        let flows = &mut self.flows;
        self.active.retain(|at| !flows[*at].jobs.is_empty());
        self.active.sort_by_key(|at| (flows[*at].jobs.len(), *at));
        let (mut left, mut others) = (self.servers, self.active.len() as f64);
        for at in &self.active {
            let flow = &mut flows[*at];
            flow.rate = (left / others).min(flow.jobs.len() as f64);
            left -= flow.rate;
            others -= 1.0;
        }
    }

    fn advance(&mut self, until: f64) {
        loop {
            self.share();
            let next = self.active.iter().filter_map(|at| {
                let flow = &self.flows[*at];
                let first = flow.jobs.peek()?.0;
                (flow.rate > 0.0).then(|| (first - flow.attained) * flow.jobs.len() as f64 / flow.rate)
            });
            let next = next.fold(f64::INFINITY, f64::min).max(0.0);
            let step = next.min(until - self.now).max(0.0);
            for at in &self.active {
                let flow = &mut self.flows[*at];
                flow.served += flow.rate * step;
                flow.attained += flow.rate * step / flow.jobs.len() as f64;
                while flow.jobs.peek().is_some_and(|first| first.0 <= flow.attained + 1e-3) {
                    flow.jobs.pop();
                }
            }
            self.now += step;
            if self.now >= until - 1e-6 || self.active.is_empty() {
                self.now = until;
                return;
            }
        }
    }

    fn arrive(&mut self, tenant: usize, work: f64) {
        let flow = &mut self.flows[tenant];
        if flow.jobs.is_empty() && !self.active.contains(&tenant) {
            self.active.push(tenant);
        }
        flow.jobs.push(Finish(flow.attained + work));
    }
}

/// One job for the comparison.
struct Charge {
    tenant: usize,
    arrival_us: i64,
    began_us: i64,
    ended_us: i64,
    work_us: f64,
}

/// Judges a run.
#[must_use]
pub fn fairness(run: &Run, workload: &Workload) -> Fairness {
    let mut charges: Vec<Charge> = run
        .ended()
        .map(|(job, outcome)| Charge {
            tenant: workload.requests[job].tenant as usize,
            arrival_us: outcome.arrival_us,
            began_us: outcome.began_us,
            ended_us: outcome.ended_us.max(outcome.began_us + 1),
            work_us: (outcome.ended_us - outcome.began_us).max(1) as f64,
        })
        .collect();
    charges.sort_by_key(|charge| charge.arrival_us);
    let tenants = workload.tenants.len();
    let mut gps = Gps {
        servers: f64::from(run.gpus.max(1)),
        flows: vec![Flow::default(); tenants],
        active: Vec::new(),
        now: 0.0,
    };
    let by_window = served_by_window(&charges, run.end_us);
    let mut served = vec![0.0; tenants];
    let mut last_fluid = vec![0.0; tenants];
    let (mut jain_sum, mut windows, mut lag_max_us, mut next) = (0.0, 0.0, 0.0_f64, 0);
    for (nth, window) in by_window.iter().enumerate() {
        let end_us = (nth as i64 + 1) * WINDOW_US;
        while let Some(charge) = charges.get(next).filter(|charge| charge.arrival_us < end_us) {
            gps.advance(charge.arrival_us as f64);
            gps.arrive(charge.tenant, charge.work_us);
            next += 1;
        }
        gps.advance(end_us as f64);
        for (tenant, us) in window {
            served[*tenant] += us;
        }
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for tenant in 0..tenants {
            let fluid = gps.flows[tenant].served;
            lag_max_us = lag_max_us.max(fluid - served[tenant]);
            if fluid > last_fluid[tenant] {
                let ratio = served[tenant] / fluid;
                sum += ratio;
                squares += ratio * ratio;
                count += 1.0;
            }
            last_fluid[tenant] = fluid;
        }
        if squares > 0.0 {
            jain_sum += sum * sum / (count * squares);
            windows += 1.0;
        }
    }
    Fairness { jain: if windows > 0.0 { jain_sum / windows } else { 1.0 }, lag_max_us, served_us: served }
}

/// GPU time that each tenant got in each window.
fn served_by_window(charges: &[Charge], end_us: i64) -> Vec<Vec<(usize, f64)>> {
    let count = (end_us / WINDOW_US + 1) as usize;
    let mut windows: Vec<Vec<(usize, f64)>> = vec![Vec::new(); count];
    for charge in charges {
        let (first, last) = (charge.began_us / WINDOW_US, (charge.ended_us - 1) / WINDOW_US);
        for nth in first..=last.min(count as i64 - 1) {
            let from = charge.began_us.max(nth * WINDOW_US);
            let until = charge.ended_us.min((nth + 1) * WINDOW_US);
            let part = (until - from) as f64 / (charge.ended_us - charge.began_us) as f64 * charge.work_us;
            windows[nth as usize].push((charge.tenant, part));
        }
    }
    windows
}
