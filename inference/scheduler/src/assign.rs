//! An assignment: room is made on the worker, the head of a line gets its lease, and those that compute with it get theirs.

use std::sync::Arc;

use crate::{
    batch::{Batch, Riders},
    effect::{Assignment, Effect},
    fleet::{Loading, Resident, Worker},
    limits,
    scheduler::Scheduler,
    state::{Lease, State, Status},
    types::{Fence, TimeUs},
};

impl Scheduler {
    /// Leases the head of a line to a worker, where the state allows it.
    pub(crate) fn start(
        &mut self,
        now: TimeUs,
        line: u32,
        id: u32,
        evict: &[u32],
        pressed: bool,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let state = &mut self.state;
        let Some((_, slot)) = state.lines.head(line) else { return false };
        let (Some(row), Some(worker)) = (state.jobs.get(slot), state.fleet.workers.get(id)) else {
            return false;
        };
        let full = worker.is_full() && !worker.takes_guest() && !worker.takes_ahead();
        if !matches!(row.status, Status::Ready) || !worker.live || full {
            debug_assert!(false, "the rule proposed what cannot be: {row:?} on {worker:?}");
            return false;
        }
        if self.ends_too_late(now, slot, id, effects) {
            return true;
        }
        let state = &mut self.state;
        let (Some(row), Some(worker)) = (state.jobs.get(slot), state.fleet.workers.get(id)) else {
            return false;
        };
        let (job, model, run_ms, again) = (row.key, row.model, row.run_ms, row.attempts_ended > 0);
        let (created_at, key_of) = (row.created_at, row.rank.key);
        let (key, serial) = (worker.key.clone(), worker.serial);
        let (mut loading, warm) = state.make_room(now, (slot, id), evict, pressed, effects);
        let load_ms = loading.base_ms + loading.adapters_ms;
        state.note_assigned(now, (created_at, key_of), (run_ms, load_ms, again));
        let mut timeout_ms = state.timeout_ms(model);
        let riders = state.riders(now, line, id);
        self.sequence += 1;
        let fence = Fence { epoch: self.epoch, sequence: self.sequence };
        if let Some(riders) = &riders {
            // A model's time-out is for one.
            timeout_ms = (timeout_ms.saturating_mul(riders.run_ms) / run_ms.max(1)).max(timeout_ms);
            let worker = state.fleet.workers.get(id);
            let batch_ms = worker.map_or(riders.run_ms, |worker| worker.here_ms(riders.run_ms));
            loading.batch = Some(Batch { leader: fence, run_ms: batch_ms, more_mib: 0 });
        }
        let times_out_at = now.plus_ms(timeout_ms + limits::TIMEOUT_GRACE_MS);
        let assigned = Lease::assigned(now, fence, key.clone(), Some((id, serial)), times_out_at);
        let lease = Lease { charged_ms: load_ms, ..assigned };
        self.leave_queue(slot);
        self.begin_lease(now, slot, lease, loading);
        let (worker, lease_ms, batch) = (key.clone(), limits::LEASE_MS, riders.as_ref().map(|_| fence));
        let given = Assignment { job, fence, worker, lease_ms, timeout_ms, warm, batch, charge: None };
        effects.push(Effect::Assign(given.clone()));
        if let Some(Riders { slots, more_mib, .. }) = riders {
            loading.batch = loading.batch.map(|batch| Batch { more_mib, ..batch });
            self.start_riders(now, (id, &key, serial), &slots, loading, &given, effects);
        }
        if self.state.fleet.workers.get(id).is_some_and(Worker::is_full) {
            self.state.fleet.hide(id, &mut self.state.models);
        } else if loading.base_ms > 0 {
            // What it brings is not free there before it has come.
            self.state.fleet.change(now, id, &mut self.state.models, |_| {});
        }
        true
    }
}

impl State {
    /// Makes room on a worker for a job's model and adapters, which its tenant is charged for; what is to be loaded, and
    /// whether the model is there.
    fn make_room(
        &mut self,
        now: TimeUs,
        (slot, id): (u32, u32),
        evict: &[u32],
        pressed: bool,
        effects: &mut Vec<Effect>,
    ) -> (Loading, bool) {
        let (Some(row), Some(worker)) = (self.jobs.get(slot), self.fleet.workers.get(id)) else {
            return (Loading::default(), false);
        };
        let (model, tenant, adapters) = (row.model, row.tenant, row.adapters.clone());
        for gone in evict {
            let model = self.model_names.key(*gone).clone();
            effects.push(Effect::Evict { worker: worker.key.clone(), model });
        }
        let held = worker.resident(model).map(|resident| resident.adapters.clone());
        let warm = held.is_some() || !self.models[model as usize].loads();
        let new =
            adapters.iter().filter(|name| !held.as_ref().is_some_and(|held| held.contains(name))).count();
        let base_ms = if warm { 0 } else { self.load_ms(model) };
        let adapters_ms = new as i64 * limits::ADAPTER_LOAD_MS;
        let lost = held.as_ref().is_some_and(|held| !held.is_empty() && **held != *adapters);
        self.settle_in(now, id, model, evict, adapters);
        if lost {
            self.crowded.insert(model);
        }
        if base_ms + adapters_ms > 0 {
            self.fair.charge_load(tenant, base_ms + adapters_ms);
        }
        (Loading { base_ms, adapters_ms, pressed, batch: None }, warm)
    }

    /// Counts an assignment: what waited since `created_at` stood at `key`, and takes so long.
    pub(crate) fn note_assigned(
        &mut self,
        now: TimeUs,
        (created_at, key): (TimeUs, i64),
        (run_ms, load_ms, again): (i64, i64, bool),
    ) {
        // What a tenant waits for asking too much is not how long others wait.
        let waited_ms = (now.since_ms(created_at) as f64).min(self.late_ms(now, key).max(0.0));
        self.pools.assigned(run_ms, load_ms, again);
        self.mean_wait_ms += (waited_ms - self.mean_wait_ms) * limits::WAIT_NEW;
    }

    /// Makes room on a worker and puts the model there.
    pub(crate) fn settle_in(
        &mut self,
        now: TimeUs,
        id: u32,
        model: u32,
        evict: &[u32],
        adapters: Arc<[Arc<str>]>,
    ) {
        if !self.models[model as usize].loads() {
            return;
        }
        if let Some(worker) = self.fleet.workers.get_mut(id)
            && let Some(held) = worker.resident.iter_mut().find(|resident| resident.model == model)
        {
            (held.used_at, held.adapters) = (now, adapters);
            return;
        }
        self.fleet.change(now, id, &mut self.models, |worker| {
            worker.resident.retain(|resident| !evict.contains(&resident.model));
            worker.resident.push(Resident { model, used_at: now, adapters });
        });
    }
}
