//! The life of a job: it waits, is leased, perhaps several times, and ends once.

use crate::{
    deadline::NO_DEADLINE,
    dispatch::Todo,
    effect::{AttemptEnd, Effect, StopReason},
    event::{AttemptOutcome, JobSpec, Restored, RestoredState},
    fleet::{Loading, Running},
    limits,
    lines::Rank,
    pause::Hold,
    scheduler::Scheduler,
    state::{Job, Lease, Place, Status},
    steady::Work,
    types::{FailureClass, Fence, JobKey, Phase, Tier, TimeUs},
};

/// What an attempt took, as its agent says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) load_ms: i64,
    /// Its part, where several computed together.
    pub(crate) compute_ms: i64,
    /// How many did.
    pub(crate) batched: u32,
}

impl Scheduler {
    pub(crate) fn submitted(&mut self, now: TimeUs, spec: JobSpec) {
        if self.state.slot_of(spec.job).is_some() {
            return;
        }
        let measured = self.state.lines.waiting < limits::CALIBRATE_ALL
            || self.submissions.is_multiple_of(limits::CALIBRATE_EVERY);
        let slot = self.register(now, &spec);
        if measured {
            let forecast = self.forecast(now, slot);
            if let Some(row) = self.state.jobs.get_mut(slot) {
                row.forecast = forecast;
            }
        }
        self.enter_queue(slot);
        self.note_demand(now, slot);
    }

    /// A row for the job, its place in the order and its tenant's charge.
    fn register(&mut self, now: TimeUs, spec: &JobSpec) -> u32 {
        self.submissions += 1;
        let (tenant, model) = (self.state.tenant_id(&spec.tenant), self.state.model_id(&spec.model));
        let own_place = self.state.places.intern(&Place::of(&spec.regions));
        let run_ms = self.state.run_ms(model, spec.features, spec.predicted_ms);
        let (start, debt_us) =
            self.state.fair.enter(now, tenant, Work { ms: run_ms, created_at: spec.created_at });
        let early_ms = -self.state.late_ms(now, start);
        self.state.models[model as usize].demand.arrived(now, run_ms, early_ms);
        let home = self.state.far.home(spec.data_region.as_ref());
        let job = Job {
            key: spec.job,
            tenant,
            model,
            own_place,
            tier: spec.tier,
            line: 0,
            rank: self.rank_of(now, spec, start),
            created_at: spec.created_at,
            ttl_ms: spec.ttl_ms,
            run_ms,
            forecast: None,
            features: spec.features,
            home,
            due: 1.0,
            adapters: spec.adapters.clone(),
            batch_key: spec.batch_key,
            status: Status::Ready,
            attempts_ended: 0,
            cancel_requested: false,
            early: false,
            debt_us,
            deadline: spec.deadline.unwrap_or(NO_DEADLINE),
            expires_at: now,
            timer_at: now,
        };
        let slot = self.state.jobs.insert(job);
        self.state.wait_from(slot, now);
        self.state.index.insert(&spec.job, slot);
        slot
    }

    /// Tiers stand apart by waits as they are now, so that a busy fleet keeps its promise to the upper ones and an idle
    /// one makes nobody wait. A job that was accepted earlier, before a restart, stands where it stood.
    pub(crate) fn rank_of(&self, now: TimeUs, spec: &JobSpec, start: i64) -> Rank {
        let waits = match spec.tier {
            Tier::Interactive => -limits::INTERACTIVE_WAITS,
            Tier::Standard => 0.0,
            Tier::Batch => limits::BATCH_WAITS,
        };
        let behind_ms = waits * self.state.mean_wait_ms.max(limits::TIER_WAIT_MS_MIN);
        let age_us = now.0.saturating_sub(spec.created_at.0) as f64;
        let key = start.saturating_add(((behind_ms * 1_000.0 - age_us) * self.state.fair.rate()) as i64);
        Rank { key, submission: self.submissions }
    }

    pub(crate) fn restored(&mut self, now: TimeUs, restored: Restored) {
        let Restored { spec, attempts_ended, cancel_requested, state } = restored;
        if self.state.slot_of(spec.job).is_some() {
            return;
        }
        let slot = self.register(now, &spec);
        let Some(row) = self.state.jobs.get_mut(slot) else { return };
        (row.attempts_ended, row.cancel_requested) = (attempts_ended, cancel_requested);
        let model = row.model;
        match state {
            RestoredState::Queued { queued_at } => {
                self.state.wait_from(slot, queued_at);
                self.enter_queue(slot);
            }
            RestoredState::Leased { fence, worker, assigned_at, charge } => {
                let timeout_ms = charge.as_ref().map_or(self.state.timeout_ms(model), |charge| charge.may_ms);
                if let Some(charge) = charge {
                    self.state.overflow.charged(fence, spec.tenant.clone(), *charge);
                }
                let row = self.state.fleet.find(&worker);
                let row = row.and_then(|id| Some((id, self.state.fleet.workers.get(id)?.serial)));
                // While this process was down nobody could report: an agent that is done gets the time to say so.
                let times_out_at = assigned_at
                    .plus_ms(timeout_ms + limits::TIMEOUT_GRACE_MS)
                    .max(now.plus_ms(limits::LEASE_MS + limits::TIMEOUT_GRACE_MS));
                let lease = Lease::assigned(now, fence, worker, row, times_out_at);
                self.begin_lease(now, slot, lease, Loading::default());
            }
        }
    }

    pub(crate) fn cancel_requested(&mut self, now: TimeUs, job: JobKey, effects: &mut Vec<Effect>) {
        let Some(slot) = self.state.slot_of(job) else { return };
        let Some(row) = self.state.jobs.get_mut(slot) else { return };
        let asked_before = std::mem::replace(&mut row.cancel_requested, true);
        match &row.status {
            Status::Ready | Status::BackingOff(_) => {
                self.give_back(now, slot);
                self.end(slot);
                effects.push(Effect::Canceled { job });
            }
            Status::Leased(lease) if !asked_before => {
                let (fence, worker) = (lease.fence, lease.worker.clone());
                effects.push(Effect::StopAttempt { job, fence, worker, why: StopReason::Canceled });
            }
            Status::Leased(_) | Status::Between => {}
        }
    }

    pub(crate) fn attempt_started(&mut self, now: TimeUs, job: JobKey, fence: Fence) {
        let Some(slot) = self.state.slot_of(job) else { return };
        let Some(row) = self.state.jobs.get(slot) else { return };
        let Some(lease) = row.lease_under(fence).filter(|lease| lease.started_at.is_none()) else { return };
        let own = row.attempts_ended == 0 && !self.state.overflow.is_outside(fence);
        let measured = row.forecast.filter(|_| own);
        let (holder, submitted) = (self.state.holder(lease), row.created_at);
        if let Some(holder) = holder {
            self.state.fleet.relieve(now, holder, &mut self.state.models, |one| one.fence == fence);
            self.served_again(holder);
        }
        if let Some(forecast) = measured {
            self.state.predictor.starts.learn(forecast, submitted, now);
        }
        self.learn_way(now, slot, holder);
        if let Some(lease) = self.state.jobs.get_mut(slot).and_then(Job::lease_mut) {
            lease.started_at = Some(now);
            if let Some(ms) = lease.computes_ms.take() {
                lease.times_out_at = now.plus_ms(ms);
                self.state.arm(slot);
            }
        }
        self.state.note_pausable(slot);
    }

    /// What uploads has computed: its time-out stops, because an agent tries an upload again and again.
    pub(crate) fn progress(
        &mut self,
        now: TimeUs,
        job: JobKey,
        fence: Fence,
        (phase, permille): (Phase, u32),
        effects: &mut Vec<Effect>,
    ) {
        self.note_hold(now, job, fence, phase, effects);
        let Some(lease) = self.lease_mut(job, fence) else { return };
        if phase == Phase::Uploading && lease.phase != Phase::Uploading {
            lease.times_out_at = lease.times_out_at.max(now.plus_ms(limits::UPLOAD_MS));
        }
        (lease.phase, lease.done_permille) = (phase, permille.min(1000));
        let (done, computed_ms) = (i64::from(lease.done_permille), lease.computed_ms(now));
        let Some(computed_ms) = computed_ms.filter(|_| done > 0) else { return };
        let left_ms = computed_ms * (1000 - done) / done;
        let holder = self.state.job(job).and_then(|row| self.state.holder(row.lease()?));
        let Some(worker) = holder.and_then(|id| self.state.fleet.workers.get_mut(id)) else { return };
        let running = worker.running.iter_mut().find(|running| running.fence == fence);
        if let Some(running) = running.filter(|running| running.held.is_none()) {
            running.ends_at = now.plus_ms(left_ms);
        }
    }

    pub(crate) fn finished(
        &mut self,
        now: TimeUs,
        job: JobKey,
        fence: Fence,
        outcome: AttemptOutcome,
        took: Took,
        effects: &mut Vec<Effect>,
    ) {
        let slot = self.state.slot_of(job);
        let row = slot.and_then(|slot| Some((slot, self.state.jobs.get(slot)?)));
        let Some((slot, lease)) = row.and_then(|(slot, row)| Some((slot, row.lease_under(fence)?))) else {
            self.release_late(fence);
            effects.push(Effect::LateReport { job, fence });
            return;
        };
        let holder = self.state.holder(lease);
        let began = lease.started_at.is_some();
        let (cut, outside) = (self.state.overflow.is_cut(fence), self.state.overflow.is_outside(fence));
        self.settle_outside(fence, began, outcome, took.compute_ms, effects);
        if !outside {
            self.learn(slot, holder, outcome, took);
        }
        self.note_served(now, slot, outcome, took.compute_ms);
        if let Some(holder) = holder {
            self.state.fleet.release(holder, fence);
            self.todo.push(Todo::Worker(holder));
        }
        self.end_lease(slot, false);
        match outcome {
            AttemptOutcome::Succeeded => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Succeeded });
                self.end(slot);
                effects.push(Effect::Succeeded { job, fence });
            }
            AttemptOutcome::Canceled => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Canceled });
                self.after_no_result(now, slot, FailureClass::LostWorker, true, effects);
            }
            AttemptOutcome::Failed { class, retryable } => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Failed(class) });
                let again = retryable || (cut && class == FailureClass::TimedOut);
                self.after_no_result(now, slot, class, again, effects);
            }
        }
    }

    /// Nobody answers for the attempt any more. Its room stays taken until its agent says that it is free.
    pub(crate) fn lose(&mut self, now: TimeUs, slot: u32, effects: &mut Vec<Effect>) {
        let Some((job, fence)) = self.end_lease(slot, true) else { return };
        effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Lost });
        self.after_no_result(now, slot, FailureClass::LostWorker, true, effects);
    }

    pub(crate) fn timed_out(&mut self, now: TimeUs, slot: u32, effects: &mut Vec<Effect>) {
        let Some(lease) = self.state.jobs.get(slot).and_then(Job::lease) else { return };
        let worker = lease.worker.clone();
        // In a batch nobody knows which one took too long: each gets its time alone.
        let cut = self.state.overflow.is_cut(lease.fence) || lease.batch.is_some();
        let Some((job, fence)) = self.end_lease(slot, true) else { return };
        let class = FailureClass::TimedOut;
        effects.push(Effect::StopAttempt { job, fence, worker, why: StopReason::TimedOut });
        effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Failed(class) });
        if cut {
            return self.after_no_result(now, slot, class, true, effects);
        }
        self.end(slot);
        effects.push(Effect::Failed { job, class });
    }

    pub(crate) fn expired(&mut self, now: TimeUs, slot: u32, effects: &mut Vec<Effect>) {
        let Some(job) = self.state.jobs.get(slot).map(|row| row.key) else { return };
        self.give_back(now, slot);
        self.end(slot);
        effects.push(Effect::Expired { job });
    }

    pub(crate) fn back_off_over(&mut self, slot: u32) {
        let Some(row) = self.state.jobs.get_mut(slot) else { return };
        row.status = Status::Ready;
        self.state.enter_line(slot);
        self.state.arm(slot);
        self.todo.extend(self.state.jobs.get(slot).map(|row| Todo::Line(row.line)));
    }

    /// What follows for a job whose attempt has ended without a result: its end, or another attempt after a pause.
    fn after_no_result(
        &mut self,
        now: TimeUs,
        slot: u32,
        class: FailureClass,
        retryable: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.jobs.get_mut(slot) else { return };
        let job = row.key;
        row.attempts_ended += 1;
        if row.cancel_requested {
            self.end(slot);
            effects.push(Effect::Canceled { job });
            return;
        }
        if !retryable || row.attempts_ended >= limits::ATTEMPTS_MAX {
            self.end(slot);
            effects.push(Effect::Failed { job, class });
            return;
        }
        let doublings = row.attempts_ended.saturating_sub(1).min(16);
        let ready_at = now.plus_ms((limits::RETRY_BACKOFF_MS << doublings).min(limits::RETRY_BACKOFF_MS_MAX));
        row.status = Status::BackingOff(ready_at);
        let tenant = row.tenant;
        self.state.wait_from(slot, now);
        self.state.arm(slot);
        self.state.count_waiting(tenant, 1);
        effects.push(Effect::Requeue { job, ready_at });
    }

    fn enter_queue(&mut self, slot: u32) {
        self.state.enter_line(slot);
        self.state.arm(slot);
        let Some(row) = self.state.jobs.get(slot) else { return };
        let (tenant, line) = (row.tenant, row.line);
        self.state.count_waiting(tenant, 1);
        self.todo.push(Todo::Line(line));
    }

    /// Takes a waiting job out of the queue.
    pub(crate) fn leave_queue(&mut self, slot: u32) {
        let Some(row) = self.state.jobs.get(slot) else { return };
        let tenant = row.tenant;
        match row.status {
            Status::Ready => self.state.leave_line(slot),
            Status::BackingOff(_) => {}
            Status::Leased(_) | Status::Between => return,
        }
        self.state.count_waiting(tenant, -1);
    }

    pub(crate) fn begin_lease(&mut self, now: TimeUs, slot: u32, lease: Lease, loading: Loading) {
        let Loading { base_ms, adapters_ms, pressed, batch } = loading;
        let Some(row) = self.state.jobs.get_mut(slot) else { return };
        let (job, model, fence) = (row.key, row.model, lease.fence);
        let (early, run_ms) = (row.early, batch.map_or(row.run_ms, |batch| batch.run_ms));
        let mut lease = Lease { batch: batch.map(|batch| batch.leader), ..lease };
        if let Some(worker) = lease.row.and_then(|(id, _)| self.state.fleet.workers.get_mut(id)) {
            let run_ms = worker.here_ms(run_ms);
            let ends_at = now.plus_ms(base_ms + adapters_ms + run_ms);
            let load = (base_ms > 0).then_some((now, base_ms));
            if load.is_some() && worker.spec.overlap {
                // What computes before it is not its fault.
                lease.computes_ms = Some(lease.times_out_at.since_ms(now));
                lease.times_out_at = lease.times_out_at.plus_ms(limits::ATTEMPT_TIMEOUT_MS);
            }
            worker.running.push(Running {
                fence,
                job,
                model: Some(model),
                ends_at,
                run_ms,
                load,
                pressed,
                early,
                held: None,
                batch: lease.batch,
                more_mib: batch.map_or(0, |batch| batch.more_mib),
            });
            self.state.fleet.pressed += usize::from(pressed);
            self.state.fleet.early += usize::from(early);
            lease.row.into_iter().for_each(|(id, _)| self.state.fleet.note_overlap(id));
        } else {
            self.state.orphans.entry(lease.worker.agent.clone()).or_default().insert(job);
        }
        row.status = Status::Leased(Box::new(lease));
        self.state.arm(slot);
    }

    /// Nothing under the lease counts from here on. The job is between states: its end or the queue must follow.
    /// `stray`: the attempt may still run and takes its worker's room.
    fn end_lease(&mut self, slot: u32, stray: bool) -> Option<(JobKey, Fence)> {
        self.state.set_hold(slot, Hold::Free);
        let row = self.state.jobs.get_mut(slot)?;
        let job = row.key;
        let status = std::mem::replace(&mut row.status, Status::Between);
        let Status::Leased(lease) = status else {
            row.status = status;
            return None;
        };
        self.state.overflow.ended(lease.fence);
        if let Some(jobs) = self.state.orphans.get_mut(&lease.worker.agent) {
            jobs.remove(&job);
            if jobs.is_empty() {
                self.state.orphans.remove(&lease.worker.agent);
            }
        }
        let holder = if stray { self.state.holder(&lease) } else { None };
        let rows = &self.state.fleet.workers;
        let taken = |id: &u32| {
            rows.get(*id).is_some_and(|worker| worker.running.iter().any(|run| run.fence == lease.fence))
        };
        if let Some(holder) = holder.filter(taken) {
            self.state.stray.insert(lease.fence, holder);
        }
        Some((job, lease.fence))
    }

    /// The job is over; whoever calls pushes the one effect that says how.
    fn end(&mut self, slot: u32) {
        self.leave_queue(slot);
        let Some(key) = self.state.jobs.get(slot).map(|row| row.key) else { return };
        let jobs = &self.state.jobs;
        self.state.index.remove(&key, |slot| jobs.get(slot).is_some_and(|row| row.key == key));
        self.state.jobs.remove(slot);
    }

    pub(crate) fn lease_mut(&mut self, job: JobKey, fence: Fence) -> Option<&mut Lease> {
        let slot = self.state.slot_of(job)?;
        self.state.jobs.get_mut(slot)?.lease_mut().filter(|lease| lease.fence == fence)
    }

    /// What never ran is not held against its tenant.
    fn give_back(&mut self, now: TimeUs, slot: u32) {
        let Some(row) = self.state.jobs.get(slot).filter(|row| row.attempts_ended == 0) else { return };
        self.state.fair.advance(now);
        self.state.fair.charge(row.tenant, -row.run_ms);
    }

    /// Times are learned from results only: a failure says little about how long a run takes. The tenant pays what it
    /// really used.
    fn learn(&mut self, slot: u32, holder: Option<u32>, outcome: AttemptOutcome, took: Took) {
        let Took { load_ms, compute_ms, batched } = took;
        let Some(row) = self.state.jobs.get(slot) else { return };
        let Some(lease) = row.lease().filter(|_| outcome == AttemptOutcome::Succeeded) else { return };
        let speed =
            holder.and_then(|id| self.state.fleet.workers.get(id)).map_or(1_000, |w| w.spec.speed_milli);
        let run_ms = compute_ms.max(0).saturating_mul(i64::from(speed)) / 1_000;
        let model = row.model;
        if batched <= 1 {
            self.state.predictor.ran(model, row.features, run_ms);
        } else if lease.batch == Some(lease.fence) {
            // One of them says it for all.
            let together_ms = run_ms.saturating_mul(i64::from(batched));
            let said = self.state.batching(model).map_or(limits::BATCH_MORE, |offer| offer.more_permille);
            self.state.predictor.ran_together(model, row.features, batched, together_ms, said);
        }
        if load_ms > 0 {
            let said_ms = self.state.said_load_ms(row.model);
            self.state.predictor.loaded(model, said_ms, load_ms);
        }
        let more_ms = run_ms + load_ms.max(0) - row.run_ms - lease.charged_ms;
        self.state.fair.charge(row.tenant, more_ms);
    }
}
