//! What must hold after every event, in code: used by tests, the simulator and, in debug builds, the driver.

use std::collections::BTreeMap;

use crate::{
    scheduler::{Scheduler, rank_of},
    state::Status,
    types::{Fence, JobKey, TenantKey, WorkerKey},
};

/// A broken invariant: a fault of the scheduler, never of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two live leases have the same fence.
    FenceTwice(Fence),
    /// More attempts with a lease run on a worker than it takes.
    WorkerOverfull(WorkerKey),
    /// A job is queued and leased, or neither.
    JobMisplaced(JobKey),
    /// The count of a tenant's waiting jobs is wrong.
    WaitingMiscounted(TenantKey),
    /// A lease has no end.
    LeaseWithoutEnd(JobKey),
}

impl Scheduler {
    /// Checks every invariant. Costs time in proportion to all that is known.
    pub fn check(&self) -> Result<(), Violation> {
        let mut fences = BTreeMap::new();
        let mut waiting: BTreeMap<&TenantKey, u32> = BTreeMap::new();
        let mut ready = 0;
        for (job, row) in &self.state.jobs {
            let queued = self.state.queue.contains(rank_of(&row.spec));
            let misplaced = match &row.status {
                Status::Ready => !queued,
                Status::BackingOff(_) | Status::Leased(_) => queued,
                Status::Between => true,
            };
            if misplaced {
                return Err(Violation::JobMisplaced(*job));
            }
            if let Some(lease) = row.lease() {
                if fences.insert(lease.fence, *job).is_some() {
                    return Err(Violation::FenceTwice(lease.fence));
                }
                if self.next_wakeup().is_none_or(|at| at > lease.expires_at) {
                    return Err(Violation::LeaseWithoutEnd(*job));
                }
            } else {
                *waiting.entry(&row.spec.tenant).or_default() += 1;
                ready += usize::from(matches!(row.status, Status::Ready));
            }
        }
        if let Some((tenant, _)) =
            self.state.waiting.iter().find(|(tenant, n)| waiting.get(tenant) != Some(n))
        {
            return Err(Violation::WaitingMiscounted(tenant.clone()));
        }
        if let Some((tenant, _)) =
            waiting.iter().find(|(tenant, n)| self.state.waiting.get(**tenant) != Some(n))
        {
            return Err(Violation::WaitingMiscounted((*tenant).clone()));
        }
        debug_assert_eq!(ready, self.state.queue.len(), "the queue holds ready jobs and nothing else");
        self.check_workers()
    }

    fn check_workers(&self) -> Result<(), Violation> {
        for (key, _, worker) in self.state.fleet.connected() {
            let leased = worker.running.iter().filter(|(fence, running)| {
                self.state.jobs.get(&running.job).is_some_and(|row| row.lease_under(**fence).is_some())
            });
            if leased.count() > worker.concurrency_max {
                return Err(Violation::WorkerOverfull(key));
            }
        }
        Ok(())
    }
}
