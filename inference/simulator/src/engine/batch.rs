//! Attempts that compute in one call: what an agent and its model do. The first one of a batch loads and computes for all;
//! the others ride, and end with it. Where the first one is stopped, the next takes its place.

use backlot_inference_scheduler::{Assignment, Batching, Event, Fence, JobKey, Offers, Pausing, Phase};

use super::{
    Engine,
    clock::Happening,
    gpu::{Attempt, Gpu, Stage},
    setup::What,
};

/// What is registered of every model that takes batches: as little is known of them as of the rest.
const SAID_PERMILLE: u32 = 500;

impl Engine<'_> {
    /// What is registered of a model's runtime.
    pub(super) fn offers(&self, model: u32) -> Offers {
        let pausing = self.setup.pausing.as_ref().filter(|pausing| pausing.models.contains(&model));
        let pause = pausing.map(|pausing| Pausing { cost_ms: pausing.cost_us / 1000 });
        let batch = self.setup.batching.map(|batching| Batching {
            max: batching.max,
            more_permille: SAID_PERMILLE,
            memory_mib: 0,
        });
        Offers { pause, batch }
    }

    /// Whether a job may ride with the first one of its batch.
    pub(super) fn may_ride(&self, at: usize, job: usize, given: &Assignment) -> Result<(), String> {
        let Some(leader) = given.batch else { return Ok(()) };
        let Some(batching) = self.setup.batching else {
            return Err(format!("{} takes no batches", given.worker));
        };
        if leader == given.fence {
            return Ok(());
        }
        let gpu = &self.gpus[at];
        let members: Vec<&Attempt> = gpu.attempts.iter().filter(|one| one.batch == Some(leader)).collect();
        let Some(first) = members.first() else {
            // An agent that cannot hear got none of them.
            return if gpu.alive && gpu.linked {
                Err(format!("job {job} rides with nobody"))
            } else {
                Ok(())
            };
        };
        let (own, other) = (&self.workload.requests[job], &self.workload.requests[first.job]);
        let same = (own.model, own.task, own.steps, own.images)
            == (other.model, other.task, other.steps, other.images);
        if !same || own.adapters != other.adapters {
            return Err(format!("jobs {job} and {} cannot compute in one call", first.job));
        }
        if members.len() >= batching.max as usize || self.jobs[job].attempts > 0 {
            return Err(format!("job {job} is one too many in its batch, or was tried before"));
        }
        Ok(())
    }

    /// A call begins when the last one of its batch has been told and has its input.
    pub(super) fn gather(&mut self, at: usize, leader: Fence, ready_us: i64) {
        if let Some(first) = self.gpus[at].attempt(leader) {
            first.ready_us = first.ready_us.max(ready_us);
            self.clock.at(first.ready_us, Happening::Ready { gpu: at });
        }
    }

    /// The call of a batch begins: how many are in it, and how long it takes.
    pub(super) fn call(&mut self, at: usize, nth: usize) -> i64 {
        let now_us = self.now_us;
        let speed = i64::from(self.gpus[at].spec.speed_milli.max(1));
        let batch = self.gpus[at].attempts[nth].batch;
        let members: Vec<usize> = match batch {
            None => vec![nth],
            Some(_) => (0..self.gpus[at].attempts.len())
                .filter(|one| self.gpus[at].attempts[*one].batch == batch)
                .collect(),
        };
        let count = members.len() as i64;
        let longest =
            members.iter().map(|one| self.workload.requests[self.gpus[at].attempts[*one].job].warm_us);
        let one_us = longest.max().unwrap_or(0) * 1000 / speed;
        for member in members {
            let attempt = &mut self.gpus[at].attempts[member];
            attempt.batched = count as u32;
            if member == nth {
                continue;
            }
            attempt.computed_us = Some(now_us);
            let first = attempt.began_us.is_none();
            attempt.began_us.get_or_insert(now_us);
            let (job, fence) = (attempt.job, attempt.fence);
            if first {
                self.begins(job);
            }
            self.report(at, Event::AttemptStarted { job: JobKey(job as u128), fence });
            self.note(at, What::Ride, |line| line.job = Some(job));
        }
        if count > 1 {
            self.tally.batches += 1;
            self.tally.batched += count as u64;
        }
        let more = self.setup.batching.map_or(0, |batching| batching.more_permille);
        one_us + one_us * (count - 1) * more / 1000
    }

    /// Those that ride wait no longer once the load that their batch needs has begun.
    pub(super) fn riders_load(&mut self, at: usize, leader: Fence) {
        let now_us = self.now_us;
        let waits = |one: &&mut Attempt| one.batch == Some(leader) && one.began_us.is_none();
        let riders: Vec<(usize, Fence)> = (self.gpus[at].attempts.iter_mut().filter(waits))
            .map(|one| {
                one.began_us = Some(now_us);
                (one.job, one.fence)
            })
            .collect();
        for (job, fence) in riders {
            self.begins(job);
            let phase = Phase::Loading;
            self.report(at, Event::Progress { job: JobKey(job as u128), fence, phase, done_permille: 0 });
        }
    }
}

impl Gpu {
    /// Another one of its batch takes the place of the first one, which leaves.
    pub(super) fn hand_on(&mut self, gone: &Attempt) {
        let leads = gone.stage != Stage::Riding && gone.batch.is_some();
        let next = self.attempts.iter_mut().find(|one| leads && one.batch == gone.batch);
        let Some(next) = next else { return };
        (next.stage, next.serial, next.since_us) = (gone.stage, gone.serial, gone.since_us);
        (next.left_us, next.computed_us) = (gone.left_us, gone.computed_us);
        if let Some(load) = self.load.as_mut().filter(|load| load.cause == Some(gone.fence)) {
            load.cause = Some(next.fence);
        }
    }
}
