//! Checks each decision against what really is, and carries it out.

use std::sync::Arc;

use backlot_inference_scheduler::{
    Assignment, AttemptEnd, Effect, Event, Fence, JobKey, ModelKey, WorkerKey,
};

use super::{
    Engine, Violation,
    agent::gpu_at,
    clock::Happening,
    gpu::{Attempt, Resident, Stage, Told},
    outside::is_outside,
    setup::{Decision, What},
};
use crate::outcome::{Ending, JobOutcome};

/// From the order to stop to the confirmation.
const STOP_US: i64 = 200_000;

impl Engine<'_> {
    pub(super) fn carry_out(&mut self, effect: Effect) -> Result<(), Violation> {
        let result = match effect {
            Effect::Assign(assignment) => self.assign(&assignment),
            Effect::Prefetch { worker, model } => self.take_prefetch(&worker, &model),
            Effect::Evict { worker, model } => self.evict(&worker, &model),
            Effect::Keep { .. } | Effect::Requeue { .. } | Effect::AgentForgotten { .. } => Ok(()),
            Effect::Spent { tenant, day, micro, .. } => self.spent(tenant, day, micro),
            Effect::LateReport { .. } => {
                self.tally.late_reports += 1;
                Ok(())
            }
            Effect::StopAttempt { fence, worker, .. } => {
                if is_outside(&worker.agent) {
                    self.stop_outside(fence);
                } else {
                    self.stop(&worker, fence);
                }
                Ok(())
            }
            Effect::Pause { job, fence, worker } => self.pause(job, fence, &worker),
            Effect::Resume { job, fence, worker } => self.resume(job, fence, &worker),
            Effect::AttemptEnded { job, fence, end } => self.attempt_ended(job, fence, end),
            Effect::Succeeded { job, fence } => self.succeeded(job, fence),
            Effect::Failed { job, .. } => self.ends(job, Ending::Failed),
            Effect::Canceled { job } => self.ends(job, Ending::Canceled),
            Effect::Expired { job } => self.ends(job, Ending::Expired),
            Effect::Scale { pool, workers } => self.scale(&pool, workers),
            Effect::Retire { pool, agent } => self.retire(&pool, &agent),
        };
        result.map_err(|what| self.violation(what))
    }

    /// A worker that the policy was told of and that takes work.
    fn open_gpu(&self, worker: &WorkerKey) -> Result<usize, String> {
        let at = gpu_at(self, &worker.agent).ok_or_else(|| format!("{worker} does not exist"))?;
        match self.gpus[at].told {
            Told::Joined if self.gpus[at].key == *worker => Ok(at),
            Told::Joined => Err(format!("{worker} does not exist")),
            Told::Draining => Err(format!("{worker} drains")),
            Told::Gone => Err(format!("{worker} is gone")),
        }
    }

    fn model(&self, key: &ModelKey) -> Result<u32, String> {
        self.model_of.get(key).copied().ok_or_else(|| format!("model {key} does not exist"))
    }

    pub(super) fn live_job(&self, key: JobKey) -> Result<usize, String> {
        let job = usize::try_from(key.0).ok().filter(|job| *job < self.jobs.len());
        let job = job.ok_or_else(|| format!("job {} does not exist", key.0))?;
        match &self.jobs[job] {
            one if !one.arrived => Err(format!("job {job} has not arrived")),
            one if one.ended => Err(format!("job {job} has ended")),
            _ => Ok(job),
        }
    }

    fn assign(&mut self, assignment: &Assignment) -> Result<(), String> {
        let job = self.live_job(assignment.job)?;
        if self.jobs[job].lease.is_some() {
            return Err(format!("job {job} has two leases"));
        }
        if !self.fences.insert(assignment.fence) {
            return Err(format!("fence {} was used before", assignment.fence));
        }
        if is_outside(&assignment.worker.agent) {
            return self.send_outside(job, assignment);
        }
        let at = self.open_gpu(&assignment.worker)?;
        let request = &self.workload.requests[job];
        let (model, home) = (request.model, request.region);
        self.may_ride(at, job, assignment)?;
        self.is_of_use(assignment.job)?;
        let rides = assignment.batch.is_some_and(|leader| leader != assignment.fence);
        let gpu = &self.gpus[at];
        if !rides && gpu.active() >= gpu.attempts_max() {
            return Err(format!("{} is full", assignment.worker));
        }
        let known = gpu.resident(model).is_some();
        if gpu.unsure && !known {
            self.make_room(at);
        }
        let gpu = &self.gpus[at];
        let full = gpu.resident.len() >= gpu.spec.slots as usize;
        if gpu.alive && !known && !gpu.unsure && gpu.resident.len() >= gpu.spec.slots as usize {
            return Err(format!("{} has no room for another model", assignment.worker));
        }
        self.jobs[job].lease = Some((assignment.fence, at));
        self.jobs[job].attempts += 1;
        self.tally.attempts += 1;
        self.note_assign(at, job);
        if !(self.gpus[at].alive && self.gpus[at].linked) {
            return Ok(());
        }
        let ready_us = self.now_us + self.travel_us(home, self.gpus[at].spec.region);
        let gpu = &mut self.gpus[at];
        if !known && !full {
            gpu.resident.push(Resident { model, ready: false, merged: Vec::new() });
        }
        gpu.attempts.push(Attempt {
            job,
            fence: assignment.fence,
            model,
            stage: if rides { Stage::Riding } else { Stage::Waiting },
            serial: 0,
            ready_us,
            began_us: None,
            computed_us: None,
            base_us: 0,
            adapter_us: 0,
            adapter_loads: 0,
            stopping: false,
            left_us: None,
            since_us: self.now_us,
            held_us: 0,
            pausing: false,
            batch: assignment.batch,
            batched: 1,
        });
        self.beat(at);
        if let Some(leader) = assignment.batch {
            self.gather(at, leader, ready_us);
            return Ok(());
        }
        if ready_us > self.now_us {
            self.clock.at(ready_us, Happening::Ready { gpu: at });
        }
        self.pump(at);
        Ok(())
    }

    /// An agent whose stream was cut makes room itself, and says so: nobody could know what is resident there.
    pub(super) fn make_room(&mut self, at: usize) {
        while self.gpus[at].resident.len() >= self.gpus[at].spec.slots as usize {
            let Some(model) = self.gpus[at].idle_base() else { return };
            self.gpus[at].resident.retain(|one| one.model != model);
            self.tally.evictions += 1;
            let name = self.workload.models[model as usize].clone();
            self.note(at, What::Evict, |line| line.model = Some(name));
            self.report_resident(at);
        }
    }

    /// A job's data crosses from its region to the GPU's: one round trip.
    fn travel_us(&self, from: u16, to: u16) -> i64 {
        if from == to {
            return 0;
        }
        let row = self.setup.rtt_us.get(usize::from(from));
        row.and_then(|row| row.get(usize::from(to))).copied().unwrap_or(0)
    }

    fn take_prefetch(&mut self, worker: &WorkerKey, key: &ModelKey) -> Result<(), String> {
        let at = self.open_gpu(worker)?;
        let model = self.model(key)?;
        let gpu = &mut self.gpus[at];
        if !gpu.alive || !gpu.linked {
            return Ok(());
        }
        if gpu.unsure && (gpu.resident(model).is_some() || gpu.resident.len() >= gpu.spec.slots as usize) {
            let loaded = gpu.resident(model).is_some();
            let event =
                Event::LoadFinished { worker: worker.clone(), model: key.clone(), load_ms: 0, loaded };
            self.report(at, event);
            return Ok(());
        }
        if gpu.resident(model).is_some() {
            return Err(format!("{key} is prefetched to {worker}, where it is"));
        }
        if gpu.resident.len() >= gpu.spec.slots as usize {
            return Err(format!("{worker} has no room to prefetch {key}"));
        }
        if !gpu.spec.overlap && !gpu.attempts.is_empty() {
            return Err(format!("{key} is prefetched to {worker}, which computes and cannot overlap"));
        }
        gpu.resident.push(Resident { model, ready: false, merged: Vec::new() });
        gpu.prefetches.push_back(model);
        let name = self.workload.models[model as usize].clone();
        self.note(at, What::Prefetch, |line| line.model = Some(name));
        self.pump(at);
        Ok(())
    }

    fn evict(&mut self, worker: &WorkerKey, key: &ModelKey) -> Result<(), String> {
        let at = self.open_gpu(worker)?;
        let model = self.model(key)?;
        let gpu = &mut self.gpus[at];
        if !gpu.alive || !gpu.linked {
            return Ok(());
        }
        if gpu.unsure && (gpu.uses(model) || gpu.resident(model).is_none()) {
            self.report_resident(at);
            return Ok(());
        }
        if gpu.uses(model) {
            return Err(format!("{key} is evicted from {worker}, which uses it"));
        }
        let before = gpu.resident.len();
        gpu.resident.retain(|one| one.model != model);
        if gpu.resident.len() == before {
            return Err(format!("{key} is evicted from {worker}, where it is not"));
        }
        self.tally.evictions += 1;
        let name = self.workload.models[model as usize].clone();
        self.note(at, What::Evict, |line| line.model = Some(name));
        Ok(())
    }

    fn stop(&mut self, worker: &WorkerKey, fence: Fence) {
        let Some(at) = gpu_at(self, &worker.agent) else { return };
        let gpu = &mut self.gpus[at];
        if !(gpu.alive && gpu.linked) {
            return;
        }
        if let Some(attempt) = gpu.attempt(fence)
            && !std::mem::replace(&mut attempt.stopping, true)
        {
            self.clock.at(self.now_us + STOP_US, Happening::Stopped { gpu: at, fence });
        }
    }

    fn attempt_ended(&mut self, key: JobKey, fence: Fence, end: AttemptEnd) -> Result<(), String> {
        let job = self.live_job(key)?;
        match self.jobs[job].lease {
            Some((held, _)) if held == fence => {}
            _ => return Err(format!("job {job}: attempt {fence} ends without a lease")),
        }
        self.jobs[job].lease = None;
        if end == AttemptEnd::Succeeded {
            self.jobs[job].won = Some(fence);
        }
        Ok(())
    }

    fn succeeded(&mut self, key: JobKey, fence: Fence) -> Result<(), String> {
        let job = self.live_job(key)?;
        if self.jobs[job].won != Some(fence) {
            return Err(format!("job {job} succeeds under {fence}, which did not win"));
        }
        if !self.jobs[job].computed.iter().any(|(done, _)| *done == fence) {
            return Err(format!("job {job} succeeds under {fence}, which computed nothing"));
        }
        self.ends(key, Ending::Succeeded)
    }

    pub(super) fn ends(&mut self, key: JobKey, ending: Ending) -> Result<(), String> {
        let job = self.live_job(key)?;
        let deadline_us = self.deadline_us(job);
        let one = &mut self.jobs[job];
        if one.lease.is_some() {
            return Err(format!("job {job} ends while an attempt holds its lease"));
        }
        one.ended = true;
        one.canceled = ending == Ending::Canceled;
        self.open -= 1;
        let computed = one.won.and_then(|won| one.computed.iter().find(|(fence, _)| *fence == won));
        let took = computed.map(|(_, took)| *took);
        let outcome = JobOutcome {
            ending,
            arrival_us: self.workload.requests[job].arrival_us,
            began_us: took.map_or(self.now_us, |took| took.began_us),
            computed_us: took.map_or(self.now_us, |took| took.computed_us),
            ended_us: self.now_us,
            base_us: took.map_or(0, |took| took.base_us),
            adapter_us: took.map_or(0, |took| took.adapter_us),
            adapter_loads: took.map_or(0, |took| took.adapter_loads),
            gpu: took.map_or(0, |took| took.gpu as u32),
            attempts: one.attempts,
            held_us: took.map_or(0, |took| took.held_us),
            batched: took.map_or(1, |took| took.batched),
            deadline_us,
            told: one.told,
        };
        one.computed.clear();
        if let Some(slo) = self.setup.stop_at
            && outcome.flow_us() as f64 > slo.flow_s * 1e6
        {
            self.late_flows += 1;
        }
        self.outcomes[job] = Some(outcome);
        Ok(())
    }

    /// The job's load or compute has begun: its wait is over.
    pub(super) fn begins(&mut self, job: usize) {
        let wait_us = self.now_us - self.workload.requests[job].arrival_us;
        if self.setup.stop_at.is_some_and(|slo| wait_us as f64 > slo.wait_p99_s * 1e6) {
            self.late_waits += 1;
        }
    }

    fn note_assign(&mut self, at: usize, job: usize) {
        let workload = self.workload;
        let request = &workload.requests[job];
        let adapters: Vec<Arc<str>> = if self.setup.record {
            request.adapters.iter().map(|one| self.adapter_names[*one as usize].clone()).collect()
        } else {
            Vec::new()
        };
        self.note(at, What::Assign, |line| {
            line.job = Some(job);
            line.arrival_us = Some(request.arrival_us);
            line.model = Some(workload.models[request.model as usize].clone());
            line.tenant = Some(workload.tenants[request.tenant as usize].clone());
            line.adapters = adapters;
        });
    }

    /// Keeps a line of the decisions file, where one is wanted.
    pub(super) fn note(&mut self, at: usize, what: What, fill: impl FnOnce(&mut Decision)) {
        if !self.setup.record {
            return;
        }
        let worker: Arc<str> = Arc::from(self.gpus[at].key.agent.as_str());
        let mut line = Decision {
            t_us: self.now_us,
            what,
            worker,
            model: None,
            adapter: None,
            job: None,
            arrival_us: None,
            tenant: None,
            adapters: Vec::new(),
            lasts_us: None,
        };
        fill(&mut line);
        self.decisions.push(line);
    }
}
