//! What a run was: each job's times, and sums.

use crate::{
    engine::{outside::OutsideBill, pools::PoolBill, setup::Decision},
    workload::Workload,
};

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its result.
    Succeeded,
    /// No further attempt.
    Failed,
    /// On request.
    Canceled,
    /// It waited longer than its time to live, or could only have ended after its deadline.
    Expired,
    /// It was not submitted: its caller was told that it would end after its deadline.
    Refused,
}

/// What a job's caller was told at submission: milliseconds until its compute begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldStart {
    /// As likely earlier as later.
    pub p50_ms: i64,
    /// With 9 chances in 10.
    pub p90_ms: i64,
}

/// The times of one job, under the attempt that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobOutcome {
    /// How it ended.
    pub ending: Ending,
    /// When it arrived.
    pub arrival_us: i64,
    /// When its load or its compute began: the end of its wait.
    pub began_us: i64,
    /// When its compute began.
    pub computed_us: i64,
    /// When its end was known.
    pub ended_us: i64,
    /// The base load that it caused.
    pub base_us: i64,
    /// The adapter loads that it caused.
    pub adapter_us: i64,
    /// How many adapters that were.
    pub adapter_loads: u32,
    /// Where it ran; the largest number stands for a third party.
    pub gpu: u32,
    /// Attempts that it took.
    pub attempts: u32,
    /// How long it was held between two of its steps.
    pub held_us: i64,
    /// How many computed in the same call.
    pub batched: u32,
    /// Its latest useful finish, where it has one.
    pub deadline_us: Option<i64>,
    /// What was told of its start; `None` where the policy tells nothing.
    pub told: Option<ToldStart>,
}

impl JobOutcome {
    /// From the arrival to the begin of load or compute.
    #[must_use]
    pub fn wait_us(&self) -> i64 {
        self.began_us - self.arrival_us
    }

    /// From the arrival to the end.
    #[must_use]
    pub fn flow_us(&self) -> i64 {
        self.ended_us - self.arrival_us
    }
}

/// What is only counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Loads of base models, speculative and first ones included.
    pub base_loads: u64,
    /// Those of them that no job had asked for.
    pub speculative_loads: u64,
    /// Loads of adapters.
    pub adapter_loads: u64,
    /// Bases unloaded.
    pub evictions: u64,
    /// Attempts.
    pub attempts: u64,
    /// Attempts that spot preemption ended.
    pub preempted: u64,
    /// Times that an attempt was held between two of its steps.
    pub pauses: u64,
    /// Calls of several jobs.
    pub batches: u64,
    /// Attempts in them.
    pub batched: u64,
    /// Reports that came too late to count.
    pub late_reports: u64,
    /// Events that the policy was given.
    pub events: u64,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The policy's name.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// GPUs at time zero.
    pub gpus: u32,
    /// Whether it was stopped because the promise was lost.
    pub stopped_early: bool,
    /// By job, in the order of arrival; `None` where the run was stopped before its end.
    pub outcomes: Vec<Option<JobOutcome>>,
    /// Counts.
    pub tally: Tally,
    /// Time in which GPUs loaded or computed.
    pub busy_us: i64,
    /// Time in which GPUs were there.
    pub up_us: i64,
    /// When the last job ended.
    pub end_us: i64,
    /// The decisions, where they were kept.
    pub decisions: Vec<Decision>,
    /// What each pool cost.
    pub bills: Vec<PoolBill>,
    /// What a third party was used for, where there is one.
    pub outside: Option<OutsideBill>,
    /// A digest of all effects in their order, where invariants were checked.
    pub digest: u64,
}

impl Run {
    /// Jobs with their outcome and their place in the workload.
    pub fn ended(&self) -> impl Iterator<Item = (usize, &JobOutcome)> {
        self.outcomes.iter().enumerate().filter_map(|(job, outcome)| Some((job, outcome.as_ref()?)))
    }

    /// Base loads a request.
    #[must_use]
    pub fn swaps_per_request(&self, workload: &Workload) -> f64 {
        self.tally.base_loads as f64 / workload.requests.len().max(1) as f64
    }
}
