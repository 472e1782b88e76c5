//! The honest answer: where a job stands, when it may start, or that nothing here can run it.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    event::JobSpec,
    limits,
    queue::Rank,
    scheduler::{Scheduler, rank_of},
    state::{Lease, Status},
    types::{JobKey, TimeUs},
};

/// What would happen to a job. Promises nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Jobs that should start before it, counted up to
    /// [`ESTIMATE_POSITION_MAX`](crate::limits::ESTIMATE_POSITION_MAX).
    pub position: u32,
    /// Milliseconds from now until it computes, as likely earlier as later.
    pub start_p50_ms: i64,
    /// Milliseconds from now until it computes, with 9 chances in 10.
    pub start_p90_ms: i64,
    /// Milliseconds of compute.
    pub run_ms: i64,
}

/// Why nothing that is connected can run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// The model's version is not registered.
    UnknownModel,
    /// No worker is connected at all.
    NoWorker,
    /// No connected worker is in a region where the job may run.
    NoRegion,
    /// No connected worker there has the memory and GPUs, or serves the model.
    NoCapacity,
}

impl Scheduler {
    /// What would happen to this job if it were submitted now.
    pub fn estimate(&self, now: TimeUs, spec: &JobSpec) -> Result<Estimate, Impossible> {
        self.forecast(now, spec, rank_of(spec))
    }

    /// What will happen to a job that waits; `None` where it does not.
    #[must_use]
    pub fn forecast_of(&self, now: TimeUs, job: JobKey) -> Option<Result<Estimate, Impossible>> {
        let row = self.state.jobs.get(&job)?;
        match row.status {
            Status::Ready | Status::BackingOff(_) => Some(self.forecast(now, &row.spec, rank_of(&row.spec))),
            Status::Leased(_) | Status::Between => None,
        }
    }

    /// Lets the jobs ahead take the workers that suit this one, in order, and sees when its turn comes.
    fn forecast(&self, now: TimeUs, spec: &JobSpec, rank: Rank) -> Result<Estimate, Impossible> {
        let mut free_in_ms = self.rooms(now, spec)?;
        let run_ms = self.state.run_ms(spec);
        let mut position: u32 = 0;
        let mut walked_ms: i64 = 0;
        for (job, _) in self.state.queue.before(rank).take(limits::ESTIMATE_POSITION_MAX) {
            position = position.saturating_add(1);
            let ahead = match self.state.jobs.get(&job) {
                Some(row) if (position as usize) <= limits::ESTIMATE_JOBS_MAX => self.state.run_ms(&row.spec),
                _ => walked_ms / limits::ESTIMATE_JOBS_MAX as i64,
            };
            walked_ms = walked_ms.saturating_add(if (position as usize) <= limits::ESTIMATE_JOBS_MAX {
                ahead
            } else {
                0
            });
            if let Some(Reverse(first)) = free_in_ms.pop() {
                free_in_ms.push(Reverse(first.saturating_add(ahead.max(1))));
            }
        }
        let wait_ms = free_in_ms.pop().map_or(0, |Reverse(ms)| ms);
        let start_p50_ms = wait_ms.saturating_add(self.cold_ms(spec));
        let start_p90_ms = start_p50_ms.saturating_mul(limits::ESTIMATE_P90_PERCENT) / 100;
        Ok(Estimate { position, start_p50_ms, start_p90_ms, run_ms })
    }

    /// For each room that suits the job, in how many milliseconds it is free.
    fn rooms(&self, now: TimeUs, spec: &JobSpec) -> Result<BinaryHeap<Reverse<i64>>, Impossible> {
        let profile = self.state.models.get(&spec.model).ok_or(Impossible::UnknownModel)?;
        let place = self.state.place_of(spec);
        let mut why = Impossible::NoWorker;
        let mut rooms = BinaryHeap::new();
        for (_, agent, worker) in self.state.fleet.connected().filter(|(_, agent, _)| !agent.draining) {
            if !place.allows(&agent.region) {
                if why == Impossible::NoWorker {
                    why = Impossible::NoRegion;
                }
                continue;
            }
            if !worker.suits(profile) {
                why = Impossible::NoCapacity;
                continue;
            }
            let busy = worker.running.iter().map(|(fence, run)| {
                let row = self.state.jobs.get(&run.job);
                let lease = row.and_then(|row| Some((row, row.lease_under(*fence)?)));
                Reverse(
                    lease.map_or(0, |(row, lease)| remaining_ms(now, lease, self.state.run_ms(&row.spec))),
                )
            });
            let idle = (worker.spec.concurrency as usize).saturating_sub(worker.running.len());
            rooms.extend(busy.take(worker.spec.concurrency as usize));
            rooms.extend(std::iter::repeat_n(Reverse(0), idle));
        }
        if rooms.is_empty() { Err(why) } else { Ok(rooms) }
    }

    /// The load that the job must expect: none where any worker that suits it is warm.
    fn cold_ms(&self, spec: &JobSpec) -> i64 {
        let Some(profile) = self.state.models.get(&spec.model) else { return 0 };
        let warm = self
            .state
            .fleet
            .connected()
            .any(|(_, _, worker)| worker.suits(profile) && worker.is_warm(profile));
        if warm { 0 } else { self.state.load_ms(&spec.model) }
    }
}

/// What is left of an attempt. One that overran its prediction is expected to need another tenth of it.
fn remaining_ms(now: TimeUs, lease: &Lease, run_ms: i64) -> i64 {
    let spent_ms = now.since_ms(lease.started_at.unwrap_or(lease.assigned_at));
    let by_time = (run_ms - spent_ms).max(run_ms / 10);
    if lease.done_permille == 0 || lease.started_at.is_none() {
        return by_time;
    }
    let done = i64::from(lease.done_permille);
    spent_ms * (1000 - done) / done
}
