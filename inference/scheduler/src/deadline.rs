//! Deadlines: the latest finish that is of use to a job's caller.
//!
//! A job whose deadline can no longer be met ends as expired, as one does that waited longer than its time to live: at the last
//! moment from which a quick run (the first decile) still ends in time, or when a worker would have to load for it and it is
//! later than that. So nothing computes what nobody wants. Within what fairness gives a tenant, its own jobs go in the
//! order of their deadlines: the job that comes up gives its place to the tenant's most urgent one of the same line. Others are
//! not overtaken by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    effect::Effect,
    event::JobSpec,
    fleet::Worker,
    scheduler::Scheduler,
    state::{Job, State},
    types::TimeUs,
};

/// The deadline of a job that names none.
pub(crate) const NO_DEADLINE: TimeUs = TimeUs(i64::MAX);

/// Waiting jobs with a deadline, by line and tenant, the most urgent one first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Urgent(BTreeMap<(u32, u32), BTreeSet<(TimeUs, u32)>>);

impl Urgent {
    /// A job of a tenant enters a line.
    pub(crate) fn enter(&mut self, line: u32, tenant: u32, slot: u32, deadline: TimeUs) {
        if deadline < NO_DEADLINE {
            self.0.entry((line, tenant)).or_default().insert((deadline, slot));
        }
    }

    /// A job of a tenant leaves a line.
    pub(crate) fn leave(&mut self, line: u32, tenant: u32, slot: u32, deadline: TimeUs) {
        if deadline < NO_DEADLINE
            && let Some(own) = self.0.get_mut(&(line, tenant))
        {
            own.remove(&(deadline, slot));
            if own.is_empty() {
                self.0.remove(&(line, tenant));
            }
        }
    }

    /// Jobs in it.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }
}

impl Scheduler {
    /// Where the job would most likely end after its deadline: how late, in milliseconds after now, it is told to end. Said
    /// before it is submitted; nothing where nobody can say.
    #[must_use]
    pub fn too_late(&self, now: TimeUs, spec: &JobSpec) -> Option<i64> {
        let deadline = spec.deadline?;
        let told = self.estimate(now, spec);
        let ends_ms = told.map_or(0, |told| told.start_p50_ms.saturating_add(told.run_ms));
        (deadline <= now.plus_ms(ends_ms)).then_some(ends_ms)
    }

    /// Ends a job for which a worker has room, where even a quick run there would end too late. Whether it did.
    pub(crate) fn ends_too_late(
        &mut self,
        now: TimeUs,
        slot: u32,
        id: u32,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(row) = self.state.jobs.get(slot).filter(|row| row.deadline < NO_DEADLINE) else {
            return false;
        };
        let Some(worker) = self.state.fleet.workers.get(id) else { return false };
        let there = worker.resident(row.model).is_some() || !self.state.models[row.model as usize].loads();
        let least_ms =
            self.state.least_run_ms(row) + if there { 0 } else { self.state.least_load_ms(row.model) };
        if now.plus_ms(worker.here_ms(least_ms)) <= row.deadline {
            return false;
        }
        self.expired(now, slot, effects);
        true
    }
}

impl State {
    /// Sets when a job that waits since `from` expires: after its time to live, or when it can only end too late.
    pub(crate) fn wait_from(&mut self, slot: u32, from: TimeUs) {
        let Some(row) = self.jobs.get(slot) else { return };
        let mut expires_at = from.plus_ms(row.ttl_ms);
        if row.deadline < NO_DEADLINE {
            let fastest = self.fleet.classes.iter().filter(|class| !class.live.is_empty());
            let fastest = fastest.map(|class| class.key.speed_milli).max().unwrap_or(1_000).max(1_000);
            let least_ms = self.least_run_ms(row) * 1_000 / i64::from(fastest);
            // A millisecond later, so that the last moment itself still counts.
            expires_at = expires_at.min(row.deadline.plus_ms(1 - least_ms));
        }
        if let Some(row) = self.jobs.get_mut(slot) {
            row.expires_at = expires_at;
        }
    }

    /// What a quick run takes at the reference's speed.
    fn least_run_ms(&self, row: &Job) -> i64 {
        self.predictor.least_run_ms(row.model, row.features, row.run_ms)
    }

    fn least_load_ms(&self, model: u32) -> i64 {
        self.predictor.least_load_ms(model, self.said_load_ms(model))
    }

    /// The job that comes up gives its place to its tenant's most urgent one in the line. Whether it did.
    pub(crate) fn let_urgent_pass(&mut self, line: u32, head: u32) -> bool {
        if self.urgent.0.is_empty() {
            return false;
        }
        let Some(row) = self.jobs.get(head) else { return false };
        let own = self.urgent.0.get(&(line, row.tenant));
        let Some((deadline, other)) = own.and_then(|own| own.first()).copied() else { return false };
        if deadline >= row.deadline || other == head {
            return false;
        }
        self.leave_line(head);
        self.leave_line(other);
        let place = |row: &Job| (row.rank, row.debt_us);
        let (Some(first), Some(later)) = (self.jobs.get(head).map(place), self.jobs.get(other).map(place))
        else {
            return false;
        };
        for (slot, (rank, debt_us)) in [(head, later), (other, first)] {
            if let Some(row) = self.jobs.get_mut(slot) {
                (row.rank, row.debt_us) = (rank, debt_us);
            }
            self.enter_line(slot);
        }
        true
    }

    /// Whether a job that computes with others on a worker, so long in all, ends in time.
    pub(crate) fn rides_in_time(&self, now: TimeUs, worker: &Worker, job: &Job, ms: i64) -> bool {
        now.plus_ms(worker.here_ms(ms)) <= job.deadline
    }
}
