//! What agents and GPUs do by themselves: join, load, compute, report, fail.

use std::collections::BTreeSet;

use backlot_inference_scheduler::{
    AgentKey, AgentSpec, AttemptOutcome, Event, FailureClass, Fence, JobKey, ModelKey, Phase, PoolKey,
    RunningAttempt, WorkerSpec,
};

use super::{
    Computed, Engine,
    clock::Happening,
    faults::{Fault, SLOW_FACTOR},
    gpu::{Attempt, Gpu, Load, Resident, Stage, Step},
    setup::{GpuSpec, What},
};
use crate::{
    loads::{Cause, Component},
    rng::Rng,
};

/// A living agent reports what it runs this often.
const HEARTBEAT_US: i64 = 10_000_000;
/// Draws of faults, kept apart by a number each.
const FAIL_KEY: u64 = 0xFA11;
const SLOW_KEY: u64 = 0x510;
const DELAY_KEY: u64 = 0xDE1A;
const CANCEL_KEY: u64 = 0xCA2C;
/// A cancel comes within this time after the arrival.
const CANCEL_WITHIN_US: f64 = 60_000_000.0;

impl Engine<'_> {
    pub(super) fn add_gpu(&mut self, spec: GpuSpec) -> usize {
        let at = self.gpus.len();
        let gpu = Gpu::new(&format!("g{at:04}"), spec);
        self.gpu_of.insert(gpu.key.agent.clone(), at);
        self.gpus.push(gpu);
        at
    }

    /// The agent's stream is up: what it has finished first, then what it is and runs.
    pub(super) fn join(&mut self, at: usize) {
        let now_us = self.now_us;
        let region = self.region_key(self.gpus[at].spec.region);
        let gpu = &mut self.gpus[at];
        gpu.up_since_us.get_or_insert(now_us);
        let spooled = std::mem::take(&mut gpu.spool);
        let worker = WorkerSpec {
            worker: gpu.key.worker.clone(),
            gpus: 1,
            memory_mib: 0,
            slots: gpu.spec.slots,
            concurrency: gpu.spec.concurrency,
            models: BTreeSet::new(),
            speed_milli: gpu.spec.speed_milli,
            overlap: gpu.spec.overlap,
            pool: gpu.pool.map(|(pool, _)| PoolKey::from(&*self.setup.pools[pool].name)),
            batches: self.setup.batching.is_some(),
        };
        let joined = Event::AgentJoined(AgentSpec {
            agent: gpu.key.agent.clone(),
            region,
            workers: vec![worker],
            running: running(gpu, now_us),
        });
        self.inbox.extend(spooled);
        self.inbox.push_back(joined);
        self.report_resident(at);
        self.note(at, What::Join, |_| {});
    }

    pub(super) fn ready_models(&self, at: usize) -> BTreeSet<ModelKey> {
        let ready = self.gpus[at].resident.iter().filter(|one| one.ready);
        ready.map(|one| self.model_keys[one.model as usize].clone()).collect()
    }

    pub(super) fn report_resident(&mut self, at: usize) {
        let (worker, resident) = (self.gpus[at].key.clone(), self.ready_models(at));
        self.inbox.push_back(Event::WorkerReport { worker, resident });
    }

    pub(super) fn heartbeat(&mut self, at: usize) {
        let now_us = self.now_us;
        let gpu = &mut self.gpus[at];
        gpu.beating = false;
        if !gpu.alive || gpu.attempts.is_empty() {
            return;
        }
        if gpu.linked {
            let beat = Event::Heartbeat { agent: gpu.key.agent.clone(), running: running(gpu, now_us) };
            self.inbox.push_back(beat);
        }
        self.beat(at);
    }

    pub(super) fn beat(&mut self, at: usize) {
        if !std::mem::replace(&mut self.gpus[at].beating, true) {
            self.clock.at(self.now_us + HEARTBEAT_US, Happening::Heartbeat { gpu: at });
        }
    }

    /// Starts what can start on a GPU.
    pub(super) fn pump(&mut self, at: usize) {
        loop {
            let workload = self.workload;
            let next = self.gpus[at]
                .alive
                .then(|| self.gpus[at].next_step(self.now_us, |job| workload.requests[job].adapters.clone()));
            match next.flatten() {
                None => return,
                Some(Step::Compute(attempt)) => self.compute(at, attempt),
                Some(Step::Base(attempt)) => self.load_base(at, attempt),
                Some(Step::Adapter(attempt, adapter)) => self.load_adapter(at, attempt, adapter),
                Some(Step::Prefetch) => {
                    if let Some(model) = self.gpus[at].prefetches.pop_front() {
                        self.prefetch(at, model);
                    }
                }
            }
        }
    }

    fn compute(&mut self, at: usize, nth: usize) {
        let serial = self.clock.serial();
        let now_us = self.now_us;
        let gpu = &mut self.gpus[at];
        let attempt = &mut gpu.attempts[nth];
        attempt.stage = Stage::Computing;
        attempt.serial = serial;
        attempt.since_us = now_us;
        attempt.computed_us.get_or_insert(now_us);
        let left_us = attempt.left_us;
        let first = attempt.began_us.is_none();
        attempt.began_us.get_or_insert(now_us);
        let (job, fence, model) = (attempt.job, attempt.fence, attempt.model);
        let request = &self.workload.requests[job];
        if let Some(base) = gpu.resident_mut(model) {
            base.merged.clone_from(&request.adapters);
        }
        gpu.account(now_us);
        let lasts_us = left_us.unwrap_or_else(|| self.call(at, nth));
        self.gpus[at].attempts[nth].left_us = Some(lasts_us);
        self.clock.at(now_us + lasts_us, Happening::ComputeEnds { gpu: at, serial });
        if first {
            self.begins(job);
        }
        self.report(at, Event::AttemptStarted { job: JobKey(job as u128), fence });
        self.note(at, What::Compute, |line| {
            line.job = Some(job);
            line.lasts_us = Some(lasts_us);
        });
    }

    /// The load that an attempt waits for.
    fn load_base(&mut self, at: usize, nth: usize) {
        if self.gpus[at].resident(self.gpus[at].attempts[nth].model).is_none() {
            self.make_room(at);
        }
        let gpu = &mut self.gpus[at];
        let (job, fence, model) = (gpu.attempts[nth].job, gpu.attempts[nth].fence, gpu.attempts[nth].model);
        gpu.prefetches.retain(|other| *other != model);
        if gpu.resident(model).is_none() {
            gpu.resident.push(Resident { model, ready: false, merged: Vec::new() });
        }
        let lasts_us = self.draw_us(Component::BaseModel, Cause::Job(job as u64, 0));
        self.attempt_loads(at, nth);
        self.start_load(at, model, None, Some(fence), lasts_us);
        self.gpus[at].attempts[nth].base_us += lasts_us;
        self.tally.base_loads += 1;
    }

    fn load_adapter(&mut self, at: usize, nth: usize, adapter: u32) {
        let attempt = &mut self.gpus[at].attempts[nth];
        attempt.adapter_loads += 1;
        let (job, fence, model) = (attempt.job, attempt.fence, attempt.model);
        let place = self.workload.requests[job].adapters.iter().position(|one| *one == adapter).unwrap_or(0);
        let lasts_us = self.draw_us(Component::Lora, Cause::Job(job as u64, place as u64));
        self.attempt_loads(at, nth);
        self.start_load(at, model, Some(adapter), Some(fence), lasts_us);
        self.gpus[at].attempts[nth].adapter_us += lasts_us;
        self.tally.adapter_loads += 1;
    }

    fn attempt_loads(&mut self, at: usize, nth: usize) {
        let now_us = self.now_us;
        let attempt = &mut self.gpus[at].attempts[nth];
        attempt.stage = Stage::Loading;
        let (job, fence) = (attempt.job, attempt.fence);
        if attempt.began_us.is_none() {
            attempt.began_us = Some(now_us);
            self.begins(job);
            let phase = Phase::Loading;
            self.report(at, Event::Progress { job: JobKey(job as u128), fence, phase, done_permille: 0 });
            if let Some(leader) = self.gpus[at].attempts[nth].batch {
                self.riders_load(at, leader);
            }
        }
    }

    fn prefetch(&mut self, at: usize, model: u32) {
        self.speculative += 1;
        let lasts_us = self.draw_us(Component::BaseModel, Cause::Speculative(self.speculative));
        self.tally.base_loads += 1;
        self.tally.speculative_loads += 1;
        self.start_load(at, model, None, None, lasts_us);
    }

    fn start_load(
        &mut self,
        at: usize,
        model: u32,
        adapter: Option<u32>,
        cause: Option<Fence>,
        lasts_us: i64,
    ) {
        let serial = self.clock.serial();
        let gpu = &mut self.gpus[at];
        gpu.load = Some(Load { model, adapter, cause, began_us: self.now_us, serial });
        gpu.account(self.now_us);
        self.clock.at(self.now_us + lasts_us, Happening::LoadEnds { gpu: at, serial });
        let what = if adapter.is_some() { What::LoadAdapter } else { What::Load };
        let names =
            (self.workload.models.get(model as usize), adapter.map(|at| &self.adapter_names[at as usize]));
        let names = (names.0.cloned(), names.1.cloned());
        let job = cause.and_then(|fence| self.gpus[at].attempt(fence).map(|attempt| attempt.job));
        self.note(at, what, |line| {
            (line.model, line.adapter) = names;
            line.job = job;
            line.lasts_us = Some(lasts_us);
        });
    }

    fn draw_us(&self, component: Component, cause: Cause) -> i64 {
        let drawn = self.loads.draw_us(self.setup.seed, component, cause) * self.setup.load_milli / 1000;
        let key = match cause {
            Cause::Job(job, nth) => [SLOW_KEY, job, nth],
            Cause::Speculative(nth) => [SLOW_KEY + 1, nth, 0],
        };
        let slow = self.setup.faults.slow_load_permille;
        if slow > 0 && Rng::keyed(self.setup.seed, &key).below(1000) < slow as usize {
            drawn * SLOW_FACTOR
        } else {
            drawn
        }
    }

    pub(super) fn load_ends(&mut self, at: usize, serial: u64) {
        let now_us = self.now_us;
        let gpu = &mut self.gpus[at];
        let Some(load) = gpu.load.filter(|load| load.serial == serial) else { return };
        gpu.load = None;
        gpu.account(now_us);
        if let Some(base) = gpu.resident_mut(load.model) {
            match load.adapter {
                None => base.ready = true,
                Some(adapter) => base.merged.push(adapter),
            }
        }
        if let Some(attempt) = load.cause.and_then(|fence| gpu.attempt(fence)) {
            attempt.stage = Stage::Waiting;
        }
        let (key, name) = (gpu.key.clone(), self.workload.models[load.model as usize].clone());
        self.note(at, What::Loaded, |line| line.model = Some(name));
        if self.gpus[at].unsure {
            self.report_resident(at);
        }
        let beside = self.gpus[at].spec.overlap && load.adapter.is_none();
        if load.cause.is_none() || beside {
            let load_ms = (now_us - load.began_us) / 1000;
            let model = self.model_keys[load.model as usize].clone();
            self.report(at, Event::LoadFinished { worker: key, model, load_ms, loaded: true });
        }
        self.pump(at);
    }

    pub(super) fn compute_ends(&mut self, at: usize, serial: u64) {
        let now_us = self.now_us;
        let gpu = &mut self.gpus[at];
        let Some(nth) = gpu
            .attempts
            .iter()
            .position(|attempt| attempt.serial == serial && attempt.stage == Stage::Computing)
        else {
            return;
        };
        let attempt = gpu.attempts.remove(nth);
        let rides = |one: &mut Attempt| attempt.batch.is_some() && one.batch == attempt.batch;
        let riders: Vec<Attempt> = gpu.attempts.extract_if(.., rides).collect();
        gpu.account(now_us);
        let key = [FAIL_KEY, attempt.job as u64, attempt.fence.sequence];
        let fails = self.setup.faults.fail_permille;
        let failed = fails > 0 && Rng::keyed(self.setup.seed, &key).below(1000) < fails as usize;
        for attempt in std::iter::once(&attempt).chain(&riders) {
            let outcome = if failed {
                AttemptOutcome::Failed { class: FailureClass::ModelError, retryable: true }
            } else {
                self.jobs[attempt.job].computed.push((attempt.fence, computed(at, attempt, now_us)));
                AttemptOutcome::Succeeded
            };
            self.note(at, What::Done, |line| line.job = Some(attempt.job));
            self.report_end(at, attempt, outcome);
        }
        self.go_on_alone(at);
        self.pump(at);
        self.leave_when_done(at);
    }

    pub(super) fn report_end(&mut self, at: usize, attempt: &Attempt, outcome: AttemptOutcome) {
        let held_us = attempt.held_until_us(self.now_us);
        let compute_ms = attempt.computed_us.map_or(0, |since| (self.now_us - since - held_us) / 1000);
        let event = Event::Finished {
            job: JobKey(attempt.job as u128),
            fence: attempt.fence,
            outcome,
            load_ms: attempt.base_us / 1000,
            compute_ms: compute_ms / i64::from(attempt.batched.max(1)),
            batched: attempt.batched,
        };
        self.report(at, event);
    }

    /// The agent has stopped an attempt, and the load that it waited for with it. Until its report arrives the policy
    /// believes the base to be there.
    pub(super) fn stopped(&mut self, at: usize, fence: Fence) {
        let now_us = self.now_us;
        let gpu = &mut self.gpus[at];
        let Some(nth) = gpu.attempts.iter().position(|attempt| attempt.fence == fence) else { return };
        let attempt = gpu.attempts.remove(nth);
        gpu.hand_on(&attempt);
        let needed = gpu.attempts.iter().any(|other| other.model == attempt.model);
        if gpu.load.is_some_and(|load| load.cause == Some(fence)) {
            gpu.load = None;
        }
        let before = gpu.resident.len();
        gpu.resident.retain(|one| one.ready || needed || one.model != attempt.model);
        gpu.unsure |= gpu.resident.len() != before;
        gpu.account(now_us);
        self.note(at, What::Stop, |line| line.job = Some(attempt.job));
        self.report_end(at, &attempt, AttemptOutcome::Canceled);
        if self.gpus[at].unsure {
            self.report_resident(at);
        }
        self.go_on_alone(at);
        self.pump(at);
        self.leave_when_done(at);
    }

    /// Sends a report: at once, later, twice, or when the stream is up again.
    pub(super) fn report(&mut self, at: usize, event: Event) {
        let faults = &self.setup.faults;
        let gpu = &mut self.gpus[at];
        if !gpu.alive {
            return;
        }
        if !gpu.linked {
            if matches!(event, Event::Finished { .. }) {
                gpu.spool.push(event);
            }
            return;
        }
        if faults.report_delay_us == 0 && faults.duplicate_permille == 0 {
            self.inbox.push_back(event);
            return;
        }
        let mut rng = Rng::keyed(self.setup.seed, &[DELAY_KEY, self.clock.serial()]);
        let delay_us = rng.exponential(faults.report_delay_us as f64) as i64;
        gpu.heard_until_us = gpu.heard_until_us.max(self.now_us + delay_us);
        let heard_us = gpu.heard_until_us;
        let repeats = matches!(event, Event::Finished { .. } | Event::AttemptStarted { .. });
        if repeats && rng.below(1000) < faults.duplicate_permille as usize {
            let again_us = heard_us + rng.exponential(5e6) as i64;
            self.clock.at(again_us, Happening::Report(Box::new(event.clone())));
        }
        self.clock.at(heard_us, Happening::Report(Box::new(event)));
    }

    pub(super) fn plan_cancel(&mut self, job: usize) {
        let cancels = self.setup.faults.cancel_permille;
        let mut rng = Rng::keyed(self.setup.seed, &[CANCEL_KEY, job as u64]);
        if cancels > 0 && rng.below(1000) < cancels as usize {
            let after_us = (rng.unit() * CANCEL_WITHIN_US) as i64;
            self.clock.at(self.now_us + after_us, Happening::Cancel(job));
        }
    }

    pub(super) fn fault(&mut self, at: usize, fault: Fault) {
        if at >= self.gpus.len() || !self.gpus[at].alive {
            return;
        }
        match fault {
            Fault::Crash { back_us } => {
                self.dies(at);
                if let Some(back_us) = back_us {
                    self.clock.at(self.now_us + back_us, Happening::Back { gpu: at });
                }
            }
            Fault::Cut { back_us } => {
                if std::mem::replace(&mut self.gpus[at].linked, false) {
                    self.lost(at);
                    self.clock.at(self.now_us + back_us, Happening::Back { gpu: at });
                }
            }
            Fault::Drain => {
                self.quits(at);
                if self.gpus[at].linked {
                    self.inbox.push_back(Event::AgentDraining { agent: self.gpus[at].key.agent.clone() });
                }
            }
            Fault::Preempt => {
                // Spot machines are told some time ahead: nothing new comes while they hand back what they run.
                self.inbox.push_back(Event::AgentDraining { agent: self.gpus[at].key.agent.clone() });
                for attempt in std::mem::take(&mut self.gpus[at].attempts) {
                    let class = FailureClass::LostWorker;
                    self.tally.preempted += 1;
                    self.report_end(at, &attempt, AttemptOutcome::Failed { class, retryable: true });
                }
                self.quits(at);
                if let Some((pool, _)) = self.gpus[at].pool {
                    self.bill(pool, at);
                }
                self.dies(at);
            }
        }
    }

    /// Everything that ran and was resident is gone.
    pub(super) fn dies(&mut self, at: usize) {
        let now_us = self.now_us;
        let gpu = &mut self.gpus[at];
        (gpu.alive, gpu.linked) = (false, false);
        gpu.attempts.clear();
        gpu.prefetches.clear();
        gpu.unsure = false;
        gpu.resident.clear();
        gpu.spool.clear();
        gpu.load = None;
        gpu.account(now_us);
        gpu.up_us += gpu.up_since_us.take().map_or(0, |since| now_us - since);
        self.lost(at);
    }

    fn lost(&mut self, at: usize) {
        self.note(at, What::Leave, |_| {});
        self.inbox.push_back(Event::AgentLost { agent: self.gpus[at].key.agent.clone() });
    }

    pub(super) fn back(&mut self, at: usize) {
        let gpu = &mut self.gpus[at];
        if gpu.alive && gpu.linked {
            return;
        }
        (gpu.alive, gpu.linked) = (true, true);
        self.join(at);
    }
}

fn computed(gpu: usize, attempt: &Attempt, now_us: i64) -> Computed {
    Computed {
        began_us: attempt.began_us.unwrap_or(now_us),
        computed_us: attempt.computed_us.unwrap_or(now_us),
        base_us: attempt.base_us,
        adapter_us: attempt.adapter_us,
        adapter_loads: attempt.adapter_loads,
        gpu,
        held_us: attempt.held_until_us(now_us),
        batched: attempt.batched.max(1),
    }
}

/// What an agent says it runs.
fn running(gpu: &Gpu, now_us: i64) -> Vec<RunningAttempt> {
    let attempts = gpu.attempts.iter();
    attempts
        .map(|attempt| RunningAttempt {
            job: JobKey(attempt.job as u128),
            fence: attempt.fence,
            worker: gpu.key.worker.clone(),
            paused: attempt.stage == Stage::Held,
            held_ms: attempt.held_until_us(now_us) / 1000,
            batch: attempt.batch,
        })
        .collect()
}

/// The agent's number, where it is one of ours.
pub(super) fn gpu_at(engine: &Engine<'_>, agent: &AgentKey) -> Option<usize> {
    engine.gpu_of.get(agent).copied()
}
