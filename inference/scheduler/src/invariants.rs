//! What must hold after every event, in code: used by tests, the simulator and, in debug builds, the driver.

use std::collections::BTreeMap;

use crate::{
    fleet::{Running, Worker},
    limits,
    pause::Hold,
    scheduler::Scheduler,
    state::Status,
    types::{Fence, JobKey, ModelKey, TenantKey, WorkerKey},
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
    /// What waits for a model is miscounted.
    BacklogMiscounted(ModelKey),
    /// A worker stands among those with room and has none, or does not although it has.
    WorkerMisplaced(WorkerKey),
    /// More is remembered than what waits, runs and is connected accounts for.
    MemoryUnbounded,
    /// A worker holds more paused attempts than it may.
    HeldTwice(WorkerKey),
    /// A lease and its worker disagree on whether the attempt is paused, or it is paused for nobody.
    HeldForNothing(JobKey),
    /// Attempts that were asked to pause are miscounted.
    HoldsMiscounted,
    /// Jobs of one batch are of two models.
    BatchMixed(WorkerKey),
    /// A worker has room, and a job waits that is warm there.
    IdleBesideWarmWork(WorkerKey),
}

impl Scheduler {
    /// Checks every invariant. Costs time in proportion to all that is known.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_jobs()?;
        self.check_models()?;
        self.check_memory()?;
        self.check_workers()
    }

    fn check_jobs(&self) -> Result<(), Violation> {
        let mut fences = BTreeMap::new();
        let mut waiting: BTreeMap<u32, u32> = BTreeMap::new();
        for (slot, row) in self.state.jobs.iter() {
            let key = &row.key;
            if self.state.slot_of(*key) != Some(slot) {
                return Err(Violation::JobMisplaced(*key));
            }
            let queued = self.state.lines.rows.get(row.line as usize);
            let queued = queued.is_some_and(|line| line.jobs.get(&row.rank) == Some(&slot));
            let misplaced = match &row.status {
                Status::Ready => !queued,
                Status::BackingOff(_) | Status::Leased(_) => queued,
                Status::Between => true,
            };
            if misplaced {
                return Err(Violation::JobMisplaced(*key));
            }
            let Some(lease) = row.lease() else {
                *waiting.entry(row.tenant).or_default() += 1;
                continue;
            };
            if fences.insert(lease.fence, *key).is_some() {
                return Err(Violation::FenceTwice(lease.fence));
            }
            if self.next_wakeup().is_none_or(|at| at > lease.expires_at) {
                return Err(Violation::LeaseWithoutEnd(*key));
            }
        }
        for (id, tenant) in self.state.tenants.iter().enumerate() {
            if tenant.waiting != waiting.get(&(id as u32)).copied().unwrap_or(0) {
                return Err(Violation::WaitingMiscounted(self.state.tenant_names.key(id as u32).clone()));
            }
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), Violation> {
        let state = &self.state;
        let asked = state.jobs.iter().filter_map(|(_, row)| row.lease());
        let asked = asked.filter(|lease| matches!(lease.hold, Hold::Asked { .. })).count();
        if asked != state.fleet.asked.values().map(|count| *count as usize).sum() {
            return Err(Violation::HoldsMiscounted);
        }
        let urgent = state.jobs.iter().filter(|(_, row)| {
            matches!(row.status, Status::Ready) && row.deadline < crate::deadline::NO_DEADLINE
        });
        if urgent.count() != state.urgent.len() {
            return Err(Violation::MemoryUnbounded);
        }
        let loose = state.timers.is_loose(state.timer_owners()) || state.early.is_loose(state.lines.waiting);
        let counted = state.index.len() == state.jobs.iter().count();
        let loose =
            loose || state.names_are_loose() || state.fleet.classes_are_loose() || state.far.is_loose();
        if loose || !counted { Err(Violation::MemoryUnbounded) } else { Ok(()) }
    }

    fn check_models(&self) -> Result<(), Violation> {
        for (id, model) in self.state.models.iter().enumerate() {
            let lines = model.lines.iter().map(|line| &self.state.lines.line(*line).jobs);
            let rows = lines.flat_map(|jobs| jobs.values()).filter_map(|slot| self.state.jobs.get(*slot));
            let (mut waiting, mut backlog_ms, mut due, mut due_ms) = (0, 0, 0, 0);
            for row in rows {
                waiting += 1;
                backlog_ms += row.run_ms;
                due += u32::from(!row.early);
                due_ms += if row.early { 0 } else { row.run_ms };
            }
            if (waiting, backlog_ms, due, due_ms)
                != (model.waiting, model.backlog_ms, model.due, model.due_ms)
            {
                return Err(Violation::BacklogMiscounted(self.state.model_names.key(id as u32).clone()));
            }
        }
        Ok(())
    }

    fn check_holds(&self, worker: &Worker, connected: bool) -> Result<(), Violation> {
        let held = worker.running.iter().filter(|running| running.held.is_some()).count();
        if held > limits::PAUSED_PER_WORKER {
            return Err(Violation::HeldTwice(worker.key.clone()));
        }
        for running in &worker.running {
            let lease = self.state.job(running.job).and_then(|row| row.lease_under(running.fence));
            let Some(lease) = lease.filter(|lease| lease.worker == worker.key) else { continue };
            let is_held = matches!(lease.hold, Hold::Held { .. });
            let alone = is_held && connected && worker.running.len() == 1;
            if is_held != running.held.is_some() || alone {
                return Err(Violation::HeldForNothing(running.job));
            }
        }
        Ok(())
    }

    fn check_workers(&self) -> Result<(), Violation> {
        let fleet = &self.state.fleet;
        for (_, agent) in fleet.ids.iter().filter_map(|(key, id)| Some((key, fleet.agents.get(*id)?))) {
            for (id, worker) in agent.workers.values().filter_map(|id| Some((*id, fleet.workers.get(*id)?))) {
                let lease = |running: &Running| self.state.job(running.job)?.lease_under(running.fence);
                let leased = worker.running.iter().filter(|run| run.held.is_none() && lease(run).is_some());
                let mut calls: BTreeMap<Fence, Option<u32>> = BTreeMap::new();
                for run in leased {
                    let model = *calls.entry(run.batch.unwrap_or(run.fence)).or_insert(run.model);
                    if model != run.model {
                        return Err(Violation::BatchMixed(worker.key.clone()));
                    }
                }
                if calls.len() > worker.calls_max() {
                    return Err(Violation::WorkerOverfull(worker.key.clone()));
                }
                self.check_holds(worker, agent.connected)?;
                let paid = self.state.overflow.is_paid(worker.spec.pool.as_ref());
                let takes = agent.connected && !agent.draining && !paid;
                let room = takes && !worker.is_full();
                let ahead = takes && worker.takes_ahead();
                if fleet.overlapping.contains(&id) != ahead {
                    return Err(Violation::WorkerMisplaced(worker.key.clone()));
                }
                if worker.live != takes || worker.spare.is_some() != room {
                    return Err(Violation::WorkerMisplaced(worker.key.clone()));
                }
                // What may compute beside a load is looked at again with its line, at the latest after `RECHECK_MS`.
                let idle = room && worker.takes_load();
                if idle && self.state.warm_line(crate::TimeUs(0), id).is_some() {
                    return Err(Violation::IdleBesideWarmWork(worker.key.clone()));
                }
            }
        }
        Ok(())
    }
}
