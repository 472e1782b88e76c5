//! One run, or the smallest fleet that holds the promise.

use thiserror::Error;

use crate::{
    baselines,
    engine::{
        self, Violation,
        outside::OutsideSetup,
        setup::{BatchingSetup, DeadlineSetup, PausingSetup, Setup, Slo},
    },
    loads::Loads,
    measure,
    outcome::Run,
    workload::Workload,
};

/// Why there is no result.
#[derive(Debug, Error)]
pub enum SearchError {
    /// There is no such policy.
    #[error("there is no policy {0:?}")]
    UnknownPolicy(String),
    /// The policy decided what cannot be.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The policy's name.
    pub policy: &'a str,
    /// Decides every draw.
    pub seed: u64,
    /// Base models that may be resident on a GPU.
    pub slots: u32,
    /// Whether loads run beside compute.
    pub overlap: bool,
    /// Loads in thousandths of what is drawn.
    pub load_milli: i64,
    /// Whether to keep decisions.
    pub record: bool,
    /// Whether clips can be paused between two steps, and what a resumption costs, microseconds.
    pub pause_us: Option<i64>,
    /// Whether models take several jobs in one call, and what that takes.
    pub batching: Option<BatchingSetup>,
    /// Deadlines of some jobs.
    pub deadlines: Option<DeadlineSetup>,
    /// A third party that is paid by use; only our scheduler knows what to do with it.
    pub outside: Option<OutsideSetup>,
}

impl<'a> Question<'a> {
    /// What is asked where nothing else is said: two resident models a GPU, loads as they are drawn and not beside compute,
    /// no decisions kept, nothing that the trace does not have.
    #[must_use]
    pub const fn new(policy: &'a str, seed: u64) -> Self {
        Self {
            policy,
            seed,
            slots: 2,
            overlap: false,
            load_milli: 1_000,
            record: false,
            pause_us: None,
            batching: None,
            deadlines: None,
            outside: None,
        }
    }

    /// The setup of this question with so many GPUs.
    #[must_use]
    pub fn setup(&self, gpus: u32) -> Setup {
        let mut setup = Setup::uniform(self.seed, gpus, self.slots, self.overlap);
        setup.load_milli = self.load_milli;
        setup.record = self.record;
        setup.batching = self.batching;
        setup.deadlines = self.deadlines;
        setup.outside = self.outside;
        setup
    }

    /// Runs with so many GPUs.
    pub fn run(
        &self,
        gpus: u32,
        workload: &Workload,
        loads: &Loads,
        stop_at: Option<Slo>,
    ) -> Result<Run, SearchError> {
        let unknown = || SearchError::UnknownPolicy(self.policy.to_owned());
        let mut policy = baselines::policy(self.policy, self.seed).ok_or_else(unknown)?;
        let mut setup = self.setup(gpus);
        setup.stop_at = stop_at;
        setup.pausing = self.pause_us.map(|cost_us| PausingSetup { models: workload.clips(), cost_us });
        Ok(engine::run(&setup, workload, loads, policy.as_mut())?)
    }

    /// The smallest fleet that holds the promise, from the one that could do the compute alone up to `gpus_max`.
    /// Each size is tried, because more GPUs are not always better. Without one, the run with `gpus_max`.
    pub fn smallest(
        &self,
        workload: &Workload,
        loads: &Loads,
        slo: Slo,
        gpus_max: u32,
    ) -> Result<Run, SearchError> {
        let span_us = workload.end_us() as f64 + slo.flow_s * 1e6;
        let fewest = (workload.warm_us() as f64 * slo.share / span_us).ceil().max(1.0) as u32;
        for gpus in fewest..=gpus_max {
            let run = self.run(gpus, workload, loads, Some(slo))?;
            if measure::holds(&run, slo) {
                return Ok(run);
            }
        }
        self.run(gpus_max, workload, loads, None)
    }
}
