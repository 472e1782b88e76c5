//! The life of a job: it waits, is leased, perhaps several times, and ends once.

use crate::{
    effect::{AttemptEnd, Effect, StopReason},
    event::{AttemptOutcome, JobSpec, Restored, RestoredState},
    fleet::Running,
    limits,
    queue::Line,
    scheduler::{Scheduler, rank_of},
    state::{Job, Lease, Status},
    timers::Timer,
    types::{FailureClass, Fence, JobKey, Phase, TimeUs},
};

impl Scheduler {
    pub(crate) fn submitted(&mut self, now: TimeUs, spec: JobSpec) {
        if self.state.jobs.contains_key(&spec.job) {
            return;
        }
        let job = spec.job;
        let expires_at = now.plus_ms(spec.ttl_ms);
        let status = Status::Ready;
        self.state
            .jobs
            .insert(job, Job { spec, status, attempts_ended: 0, cancel_requested: false, expires_at });
        self.enter_queue(job);
    }

    pub(crate) fn restored(&mut self, now: TimeUs, restored: Restored) {
        let Restored { spec, attempts_ended, cancel_requested, state } = restored;
        let job = spec.job;
        if self.state.jobs.contains_key(&job) {
            return;
        }
        let (ttl_ms, timeout_ms) = (spec.ttl_ms, self.state.timeout_ms(&spec.model));
        let status = Status::Ready;
        let mut row = Job { spec, status, attempts_ended, cancel_requested, expires_at: now.plus_ms(ttl_ms) };
        match state {
            RestoredState::Queued { queued_at } => {
                row.expires_at = queued_at.plus_ms(ttl_ms);
                self.state.jobs.insert(job, row);
                self.enter_queue(job);
            }
            RestoredState::Leased { fence, worker, assigned_at } => {
                self.state.jobs.insert(job, row);
                let lease = Lease {
                    fence,
                    worker,
                    assigned_at,
                    expires_at: now.plus_ms(limits::LEASE_MS),
                    // While this process was down nobody could report: an agent that is done gets the time to say so.
                    times_out_at: assigned_at
                        .plus_ms(timeout_ms + limits::TIMEOUT_GRACE_MS)
                        .max(now.plus_ms(limits::LEASE_MS + limits::TIMEOUT_GRACE_MS)),
                    started_at: None,
                    phase: Phase::Assigned,
                    done_permille: 0,
                };
                self.begin_lease(job, lease);
            }
        }
    }

    pub(crate) fn cancel_requested(&mut self, job: JobKey, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.jobs.get_mut(&job) else { return };
        let asked_before = std::mem::replace(&mut row.cancel_requested, true);
        match &row.status {
            Status::Ready | Status::BackingOff(_) => {
                self.end(job);
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
        if let Some(lease) = self.lease_mut(job, fence) {
            lease.started_at.get_or_insert(now);
        }
    }

    pub(crate) fn progress(&mut self, job: JobKey, fence: Fence, phase: Phase, done_permille: u32) {
        if let Some(lease) = self.lease_mut(job, fence) {
            lease.phase = phase;
            lease.done_permille = done_permille.min(1000);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event, taken apart")]
    pub(crate) fn finished(
        &mut self,
        now: TimeUs,
        job: JobKey,
        fence: Fence,
        outcome: AttemptOutcome,
        load_ms: i64,
        compute_ms: i64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(lease) = self.state.jobs.get(&job).and_then(|row| row.lease_under(fence)) else {
            self.release_late(job, fence, now);
            effects.push(Effect::LateReport { job, fence });
            return;
        };
        let worker = lease.worker.clone();
        self.learn(job, outcome, load_ms, compute_ms);
        self.state.fleet.release(&worker, fence, now);
        self.end_lease(job);
        self.replan = true;
        match outcome {
            AttemptOutcome::Succeeded => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Succeeded });
                self.end(job);
                effects.push(Effect::Succeeded { job, fence });
            }
            AttemptOutcome::Canceled => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Canceled });
                self.after_no_result(now, job, FailureClass::LostWorker, true, effects);
            }
            AttemptOutcome::Failed { class, retryable } => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Failed(class) });
                self.after_no_result(now, job, class, retryable, effects);
            }
        }
    }

    pub(crate) fn lease_expired(
        &mut self,
        now: TimeUs,
        job: JobKey,
        fence: Fence,
        effects: &mut Vec<Effect>,
    ) {
        if self.state.jobs.get(&job).and_then(|row| row.lease_under(fence)).is_some() {
            self.lose(now, job, fence, effects);
        }
    }

    /// Nobody answers for the attempt any more. Its room stays taken until its agent says that it is free.
    pub(crate) fn lose(&mut self, now: TimeUs, job: JobKey, fence: Fence, effects: &mut Vec<Effect>) {
        self.end_lease(job);
        effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Lost });
        self.after_no_result(now, job, FailureClass::LostWorker, true, effects);
    }

    pub(crate) fn timed_out(&mut self, job: JobKey, fence: Fence, effects: &mut Vec<Effect>) {
        let Some(lease) = self.state.jobs.get(&job).and_then(|row| row.lease_under(fence)) else { return };
        let worker = lease.worker.clone();
        self.end_lease(job);
        let class = FailureClass::TimedOut;
        effects.push(Effect::StopAttempt { job, fence, worker, why: StopReason::TimedOut });
        effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Failed(class) });
        self.end(job);
        effects.push(Effect::Failed { job, class });
    }

    pub(crate) fn expired(&mut self, job: JobKey, effects: &mut Vec<Effect>) {
        self.end(job);
        effects.push(Effect::Expired { job });
    }

    pub(crate) fn back_off_over(&mut self, job: JobKey) {
        let Some(row) = self.state.jobs.get_mut(&job) else { return };
        row.status = Status::Ready;
        let line =
            Line { model: row.spec.model.clone(), place: self.state.place_of(&self.state.jobs[&job].spec) };
        self.state.queue.push(rank_of(&self.state.jobs[&job].spec), line);
        self.replan = true;
    }

    /// What follows for a job whose attempt has ended without a result: its end, or another attempt after a pause.
    fn after_no_result(
        &mut self,
        now: TimeUs,
        job: JobKey,
        class: FailureClass,
        retryable: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.jobs.get_mut(&job) else { return };
        row.attempts_ended += 1;
        if row.cancel_requested {
            self.end(job);
            effects.push(Effect::Canceled { job });
            return;
        }
        if !retryable || row.attempts_ended >= limits::ATTEMPTS_MAX {
            self.end(job);
            effects.push(Effect::Failed { job, class });
            return;
        }
        let doublings = row.attempts_ended.saturating_sub(1).min(16);
        let ready_at = now.plus_ms((limits::RETRY_BACKOFF_MS << doublings).min(limits::RETRY_BACKOFF_MS_MAX));
        row.status = Status::BackingOff(ready_at);
        row.expires_at = now.plus_ms(row.spec.ttl_ms);
        let (expires_at, tenant) = (row.expires_at, row.spec.tenant.clone());
        self.state.timers.set(ready_at, Timer::Ready(job));
        self.state.timers.set(expires_at, Timer::TimeToLive(job));
        self.state.count_waiting(&tenant, 1);
        effects.push(Effect::Requeue { job, ready_at });
    }

    fn enter_queue(&mut self, job: JobKey) {
        let row = &self.state.jobs[&job];
        let (rank, expires_at, tenant) = (rank_of(&row.spec), row.expires_at, row.spec.tenant.clone());
        let line = Line { model: row.spec.model.clone(), place: self.state.place_of(&row.spec) };
        self.state.queue.push(rank, line);
        self.state.timers.set(expires_at, Timer::TimeToLive(job));
        self.state.count_waiting(&tenant, 1);
        self.replan = true;
    }

    /// Takes a waiting job out of the queue and stops the clocks of waiting.
    pub(crate) fn leave_queue(&mut self, job: JobKey) {
        let Some(row) = self.state.jobs.get(&job) else { return };
        let (rank, expires_at, tenant) = (rank_of(&row.spec), row.expires_at, row.spec.tenant.clone());
        match row.status {
            Status::Ready => self.state.queue.remove(rank),
            Status::BackingOff(ready_at) => self.state.timers.clear(ready_at, Timer::Ready(job)),
            Status::Leased(_) | Status::Between => return,
        }
        self.state.timers.clear(expires_at, Timer::TimeToLive(job));
        self.state.count_waiting(&tenant, -1);
    }

    pub(crate) fn begin_lease(&mut self, job: JobKey, lease: Lease) {
        let Some(row) = self.state.jobs.get_mut(&job) else { return };
        if let Some(worker) = self.state.fleet.worker_mut(&lease.worker) {
            worker.running.insert(lease.fence, Running { job, model: row.spec.model.clone() });
        }
        self.state.timers.set(lease.expires_at, Timer::Lease(job, lease.fence));
        self.state.timers.set(lease.times_out_at, Timer::Timeout(job, lease.fence));
        row.status = Status::Leased(lease);
    }

    /// Nothing under the lease counts from here on. The job is between states: its end or the queue must follow.
    fn end_lease(&mut self, job: JobKey) {
        let Some(row) = self.state.jobs.get_mut(&job) else { return };
        let Status::Leased(lease) = std::mem::replace(&mut row.status, Status::Between) else { return };
        self.state.timers.clear(lease.expires_at, Timer::Lease(job, lease.fence));
        self.state.timers.clear(lease.times_out_at, Timer::Timeout(job, lease.fence));
    }

    /// The job is over; whoever calls pushes the one effect that says how.
    fn end(&mut self, job: JobKey) {
        self.leave_queue(job);
        self.state.jobs.remove(&job);
    }

    pub(crate) fn lease_mut(&mut self, job: JobKey, fence: Fence) -> Option<&mut Lease> {
        match &mut self.state.jobs.get_mut(&job)?.status {
            Status::Leased(lease) if lease.fence == fence => Some(lease),
            Status::Leased(_) | Status::Ready | Status::BackingOff(_) | Status::Between => None,
        }
    }

    /// Means are learned from results only: a failure says little about how long a run takes.
    fn learn(&mut self, job: JobKey, outcome: AttemptOutcome, load_ms: i64, compute_ms: i64) {
        let Some(row) = self.state.jobs.get(&job) else { return };
        if outcome == AttemptOutcome::Succeeded {
            self.state.predictor.ran(&row.spec.model, compute_ms);
            if load_ms > 0 {
                self.state.predictor.loaded(&row.spec.model, load_ms);
            }
        }
    }
}
