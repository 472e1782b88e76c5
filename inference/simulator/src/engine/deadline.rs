//! Synthetic deadlines: what a caller who names one would still have use for.

use backlot_inference_scheduler::{Event, JobKey, TimeUs};

use super::Engine;
use crate::{outcome::Ending, rng::Rng};

const DEADLINE_KEY: u64 = 0xDEAD;
/// A deadline lies this many times a job's compute after its arrival, and ...
const TIMES_MIN: f64 = 2.0;
const TIMES_MORE: f64 = 4.0;
/// ... so much more, microseconds.
const SPARE_US: f64 = 10e6;

impl Engine<'_> {
    /// The job's latest useful finish, where it has one.
    pub(super) fn deadline_us(&self, job: usize) -> Option<i64> {
        let deadlines = self.setup.deadlines?;
        let mut rng = Rng::keyed(self.setup.seed, &[DEADLINE_KEY, job as u64]);
        let has_one = rng.below(1000) < deadlines.permille as usize;
        let request = &self.workload.requests[job];
        let after_us = (TIMES_MIN + TIMES_MORE * rng.unit()) * request.warm_us as f64 + SPARE_US;
        has_one.then_some(request.arrival_us + after_us as i64)
    }

    /// What the policy is told of it.
    pub(super) fn told_deadline(&self, job: usize) -> Option<TimeUs> {
        self.setup.deadlines.filter(|deadlines| deadlines.told)?;
        self.deadline_us(job).map(TimeUs)
    }

    /// Who is told that a job would be too late does not submit it.
    pub(super) fn is_refused(&mut self, event: &Event) -> Result<bool, String> {
        let Event::Submitted(spec) = event else { return Ok(false) };
        if spec.deadline.is_none() || !self.policy.too_late(TimeUs(self.now_us), spec) {
            return Ok(false);
        }
        self.ends(spec.job, Ending::Refused)?;
        Ok(true)
    }

    /// Nothing is begun that nobody has use for any more.
    pub(super) fn is_of_use(&self, key: JobKey) -> Result<(), String> {
        let job = self.live_job(key)?;
        match self.told_deadline(job) {
            Some(deadline) if deadline.0 < self.now_us => {
                Err(format!("job {job} is begun after its deadline"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
