//! What the scheduler knows: jobs, tenants, models, agents and their workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    event::{JobSpec, ModelProfile, TenantSpec},
    fleet::Fleet,
    limits,
    predict::Predictor,
    queue::Queue,
    timers::Timers,
    types::{Fence, JobKey, ModelKey, Phase, RegionKey, TenantKey, TimeUs, WorkerKey},
};

/// Everything, in ordered collections.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) jobs: BTreeMap<JobKey, Job>,
    pub(crate) queue: Queue,
    pub(crate) fleet: Fleet,
    pub(crate) models: BTreeMap<ModelKey, ModelProfile>,
    pub(crate) tenants: BTreeMap<TenantKey, TenantSpec>,
    /// Jobs that wait, by tenant.
    pub(crate) waiting: BTreeMap<TenantKey, u32>,
    pub(crate) predictor: Predictor,
    pub(crate) timers: Timers,
}

/// A job that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) spec: JobSpec,
    pub(crate) status: Status,
    /// Attempts that ended without a result that counts.
    pub(crate) attempts_ended: u32,
    pub(crate) cancel_requested: bool,
    /// While it waits: when it expires.
    pub(crate) expires_at: TimeUs,
}

/// Where a job stands.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// It waits in the queue.
    Ready,
    /// It backs off until then.
    BackingOff(TimeUs),
    /// An attempt runs.
    Leased(Lease),
    /// Its lease has ended and what follows is being decided. Never outlives one event.
    Between,
}

/// The right of one attempt to give the job's result.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) fence: Fence,
    pub(crate) worker: WorkerKey,
    pub(crate) assigned_at: TimeUs,
    pub(crate) expires_at: TimeUs,
    pub(crate) times_out_at: TimeUs,
    pub(crate) started_at: Option<TimeUs>,
    pub(crate) phase: Phase,
    pub(crate) done_permille: u32,
}

impl Job {
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.status {
            Status::Leased(lease) => Some(lease),
            Status::Ready | Status::BackingOff(_) | Status::Between => None,
        }
    }

    /// The lease, where `fence` is the one that counts.
    pub(crate) fn lease_under(&self, fence: Fence) -> Option<&Lease> {
        self.lease().filter(|lease| lease.fence == fence)
    }
}

/// Where something may run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Anywhere,
    Only(Arc<BTreeSet<RegionKey>>),
}

impl Place {
    pub(crate) fn allows(&self, region: &RegionKey) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Only(regions) => regions.contains(region),
        }
    }
}

impl State {
    /// Where both the job and its tenant allow it to run.
    pub(crate) fn place_of(&self, spec: &JobSpec) -> Place {
        let tenant =
            self.tenants.get(&spec.tenant).map(|tenant| &tenant.regions).filter(|set| !set.is_empty());
        let own = Some(&spec.regions).filter(|set| !set.is_empty());
        match (own, tenant) {
            (None, None) => Place::Anywhere,
            (Some(set), None) | (None, Some(set)) => Place::Only(Arc::new(set.clone())),
            (Some(own), Some(tenant)) => Place::Only(Arc::new(own.intersection(tenant).cloned().collect())),
        }
    }

    /// Expected milliseconds of compute of a job.
    pub(crate) fn run_ms(&self, spec: &JobSpec) -> i64 {
        if spec.predicted_ms > 0 {
            return spec.predicted_ms;
        }
        let profile = self.models.get(&spec.model).map_or(0, |profile| profile.run_ms);
        self.predictor.run_ms(&spec.model).unwrap_or(profile)
    }

    /// Expected milliseconds to load a model where it is not resident.
    pub(crate) fn load_ms(&self, model: &ModelKey) -> i64 {
        let profile = self.models.get(model).map_or(0, |profile| profile.load_ms);
        if profile == 0 { 0 } else { self.predictor.load_ms(model).unwrap_or(profile) }
    }

    /// The longest attempt of a model, milliseconds.
    pub(crate) fn timeout_ms(&self, model: &ModelKey) -> i64 {
        let own = self.models.get(model).map_or(0, |profile| profile.timeout_ms);
        if own > 0 { own } else { limits::ATTEMPT_TIMEOUT_MS }
    }

    pub(crate) fn count_waiting(&mut self, tenant: &TenantKey, change: i32) {
        let count = self.waiting.entry(tenant.clone()).or_insert(0);
        *count = count.saturating_add_signed(change);
        if *count == 0 {
            self.waiting.remove(tenant);
        }
    }
}
