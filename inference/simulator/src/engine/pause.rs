//! Attempts that are held between two of their steps: what the agent and its model do.

use backlot_inference_scheduler::{Event, Fence, JobKey, Phase, WorkerKey};

use super::{Engine, agent::gpu_at, clock::Happening, gpu::Stage, setup::What};

impl Engine<'_> {
    fn holds_lease(&self, key: JobKey, fence: Fence, what: &str) -> Result<(), String> {
        let job = self.live_job(key)?;
        match self.jobs[job].lease {
            Some((held, _)) if held == fence => Ok(()),
            _ => Err(format!("job {job} is to {what} under {fence}, which is not its lease")),
        }
    }

    /// The model stops after the step that it computes, where it computes at all.
    pub(super) fn pause(&mut self, job: JobKey, fence: Fence, worker: &WorkerKey) -> Result<(), String> {
        self.holds_lease(job, fence, "pause")?;
        let Some(at) = gpu_at(self, &worker.agent) else { return Err(format!("{worker} does not exist")) };
        let (now_us, workload) = (self.now_us, self.workload);
        let gpu = &mut self.gpus[at];
        if !(gpu.alive && gpu.linked) {
            return Ok(());
        }
        let speed = i64::from(gpu.spec.speed_milli.max(1));
        let Some(attempt) = gpu.attempt(fence) else { return Ok(()) };
        if !self.setup.pausing.as_ref().is_some_and(|pausing| pausing.models.contains(&attempt.model)) {
            return Err(format!("job {} is to pause, and its model cannot", attempt.job));
        }
        let Some(left_us) = attempt.left_us.filter(|_| attempt.stage == Stage::Computing) else {
            return Ok(());
        };
        let request = &workload.requests[attempt.job];
        let step_us = (request.warm_us * 1000 / speed / i64::from(request.steps.max(1))).max(1);
        let left_us = left_us - (now_us - attempt.since_us);
        attempt.pausing = true;
        let serial = attempt.serial;
        if left_us > step_us {
            self.clock.at(now_us + left_us % step_us, Happening::StepEnds { gpu: at, serial });
        }
        Ok(())
    }

    pub(super) fn step_ends(&mut self, at: usize, serial: u64) {
        let now_us = self.now_us;
        let gpu = &mut self.gpus[at];
        let found = gpu.attempts.iter_mut().find(|attempt| attempt.serial == serial);
        let Some(attempt) = found.filter(|one| one.pausing && one.stage == Stage::Computing) else { return };
        attempt.stage = Stage::Held;
        attempt.pausing = false;
        attempt.left_us = attempt.left_us.map(|left_us| left_us - (now_us - attempt.since_us));
        attempt.since_us = now_us;
        attempt.serial = 0;
        let (job, fence) = (attempt.job, attempt.fence);
        gpu.account(now_us);
        self.tally.pauses += 1;
        self.note(at, What::Pause, |line| line.job = Some(job));
        let phase = Phase::Paused;
        self.report(at, Event::Progress { job: JobKey(job as u128), fence, phase, done_permille: 0 });
        self.go_on_alone(at);
    }

    pub(super) fn resume(&mut self, job: JobKey, fence: Fence, worker: &WorkerKey) -> Result<(), String> {
        self.holds_lease(job, fence, "go on")?;
        let Some(at) = gpu_at(self, &worker.agent) else { return Err(format!("{worker} does not exist")) };
        let gpu = &mut self.gpus[at];
        if !(gpu.alive && gpu.linked) {
            return Ok(());
        }
        let full = gpu.active() >= gpu.spec.concurrency as usize;
        let Some(attempt) = gpu.attempt(fence) else { return Ok(()) };
        attempt.pausing = false;
        if attempt.stage != Stage::Held {
            return Ok(());
        }
        if full {
            return Err(format!("a paused attempt is to go on on {worker}, which is full"));
        }
        self.goes_on(at, fence);
        Ok(())
    }

    fn goes_on(&mut self, at: usize, fence: Fence) {
        let now_us = self.now_us;
        let cost_us = self.setup.pausing.as_ref().map_or(0, |pausing| pausing.cost_us);
        let Some(attempt) = self.gpus[at].attempt(fence) else { return };
        attempt.held_us += now_us - attempt.since_us;
        attempt.left_us = attempt.left_us.map(|left_us| left_us + cost_us);
        attempt.stage = Stage::Waiting;
        self.pump(at);
    }

    /// Where nobody can tell the agent, it goes on by itself as soon as nothing else runs.
    pub(super) fn go_on_alone(&mut self, at: usize) {
        let gpu = &self.gpus[at];
        if gpu.linked || !gpu.alive || gpu.active() > 0 {
            return;
        }
        let held = gpu.attempts.iter().find(|attempt| attempt.stage == Stage::Held);
        if let Some(fence) = held.map(|attempt| attempt.fence) {
            self.goes_on(at, fence);
        }
    }
}
