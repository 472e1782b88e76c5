//! What the scheduler knows: jobs, tenants, models, agents and their workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    deadline::Urgent,
    early::Early,
    event::{Features, ModelProfile, TenantSpec},
    fair::Fair,
    fleet::Fleet,
    index::Index,
    limits,
    lines::{Lines, Rank},
    names::{Names, Slab},
    pause::Hold,
    place::{Far, Overflow, Pools},
    policy::value::{self, Demand},
    predict::Predictor,
    starts::Forecast,
    timers::Timers,
    types::{AgentKey, Fence, JobKey, ModelKey, Phase, RegionKey, TenantKey, Tier, TimeUs, WorkerKey},
};

/// Everything, in ordered collections and dense rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) jobs: Slab<Job>,
    pub(crate) lines: Lines,
    pub(crate) fleet: Fleet,
    pub(crate) model_names: Names<ModelKey>,
    pub(crate) models: Vec<Model>,
    pub(crate) tenant_names: Names<TenantKey>,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) places: Names<Place>,
    /// Models that lost a set of adapters since another replica of theirs was prepared.
    pub(crate) crowded: BTreeSet<u32>,
    /// Models without a load for which jobs wait.
    pub(crate) weightless: BTreeSet<u32>,
    /// Attempts that take a worker's room and hold no lease.
    pub(crate) stray: BTreeMap<Fence, u32>,
    /// Leases on workers that are not known (yet), by agent.
    pub(crate) orphans: BTreeMap<AgentKey, BTreeSet<JobKey>>,
    pub(crate) early: Early,
    pub(crate) urgent: Urgent,
    pub(crate) fair: Fair,
    pub(crate) predictor: Predictor,
    pub(crate) timers: Timers,
    pub(crate) pools: Pools,
    pub(crate) far: Far,
    pub(crate) overflow: Overflow,
    /// Names that were known after the last sweep.
    pub(crate) names_kept: usize,
    /// Moving mean of the time from arrival to assignment.
    pub(crate) mean_wait_ms: f64,
}

/// A tenant's limits and how many of its jobs wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) spec: Option<TenantSpec>,
    pub(crate) waiting: u32,
}

/// A model's version, its lines and where it is resident.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) profile: Option<ModelProfile>,
    /// Its name without the version: what workers are restricted to.
    pub(crate) name: Arc<str>,
    pub(crate) lines: Vec<u32>,
    pub(crate) waiting: u32,
    pub(crate) backlog_ms: i64,
    /// Those that are not ahead of their tenant's share, and their work: see [`Early`](crate::early::Early).
    pub(crate) due: u32,
    pub(crate) due_ms: i64,
    pub(crate) demand: Demand,
    /// Workers that take work and hold it, loading counted.
    pub(crate) replicas: BTreeSet<u32>,
    /// Those of them with room, by class.
    pub(crate) free: BTreeSet<(u32, u32)>,
}

impl Model {
    /// Whether it stays resident: one without a load is warm everywhere.
    pub(crate) fn loads(&self) -> bool {
        self.profile.as_ref().is_some_and(|profile| profile.load_ms > 0)
    }

    /// Erlangs that one replica carries.
    pub(crate) fn value(&self, now: TimeUs) -> f64 {
        value::value(self.demand.erlangs(now), self.due, self.replicas.len())
    }
}

/// A job that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) key: JobKey,
    pub(crate) tenant: u32,
    pub(crate) model: u32,
    pub(crate) own_place: u32,
    pub(crate) tier: Tier,
    pub(crate) line: u32,
    pub(crate) rank: Rank,
    pub(crate) created_at: TimeUs,
    pub(crate) ttl_ms: i64,
    /// Expected compute when it began to wait: what its tenant was charged.
    pub(crate) run_ms: i64,
    /// Forecast of its start when it was submitted; `None`: not measured.
    pub(crate) forecast: Option<Forecast>,
    pub(crate) features: Features,
    /// Where its data lies, as a number of `place/far.rs`.
    pub(crate) home: Option<u16>,
    /// How much of it counts as demand: less than 1 where its tenant asked for more than its share.
    pub(crate) due: f32,
    pub(crate) adapters: Arc<[Arc<str>]>,
    /// What else must be equal in one call.
    pub(crate) batch_key: u64,
    pub(crate) status: Status,
    /// Attempts that ended without a result that counts.
    pub(crate) attempts_ended: u32,
    pub(crate) cancel_requested: bool,
    /// While it waits: whether it is ahead of its tenant's share.
    pub(crate) early: bool,
    /// Its tenant's loads up to which it keeps its place.
    pub(crate) debt_us: i64,
    /// Its latest useful finish, the end of time where it has none.
    pub(crate) deadline: TimeUs,
    /// While it waits: when it expires.
    pub(crate) expires_at: TimeUs,
    /// When its entry among the timers counts.
    pub(crate) timer_at: TimeUs,
}

/// Where a job stands.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// It waits in its line.
    Ready,
    /// It backs off until then.
    BackingOff(TimeUs),
    /// An attempt runs.
    Leased(Box<Lease>),
    /// Its lease has ended and what follows is being decided. Never outlives one event.
    Between,
}

/// The right of one attempt to give the job's result.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) fence: Fence,
    pub(crate) worker: WorkerKey,
    /// The worker's row and serial, as of the assignment.
    pub(crate) row: Option<(u32, u64)>,
    pub(crate) expires_at: TimeUs,
    pub(crate) times_out_at: TimeUs,
    /// Where it loads beside what computes: its time-out from the moment that it computes itself, milliseconds.
    pub(crate) computes_ms: Option<i64>,
    pub(crate) started_at: Option<TimeUs>,
    pub(crate) phase: Phase,
    pub(crate) done_permille: u32,
    /// Milliseconds of loading that the tenant was charged.
    pub(crate) charged_ms: i64,
    /// Whether it was asked to stand aside, or does.
    pub(crate) hold: Hold,
    /// Milliseconds that it was paused, up to its last resumption.
    pub(crate) held_ms: i64,
    /// It is not asked to pause before then.
    pub(crate) rests_until: TimeUs,
    /// The batch that it computes in.
    pub(crate) batch: Option<Fence>,
}

impl Lease {
    /// An attempt that was given out now and has not begun.
    pub(crate) fn assigned(
        now: TimeUs,
        fence: Fence,
        worker: WorkerKey,
        row: Option<(u32, u64)>,
        times_out_at: TimeUs,
    ) -> Self {
        Self {
            fence,
            worker,
            row,
            expires_at: now.plus_ms(limits::LEASE_MS),
            times_out_at,
            computes_ms: None,
            started_at: None,
            phase: Phase::Assigned,
            done_permille: 0,
            charged_ms: 0,
            hold: Hold::Free,
            held_ms: 0,
            rests_until: now,
            batch: None,
        }
    }
}

impl Job {
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.status {
            Status::Leased(lease) => Some(lease),
            Status::Ready | Status::BackingOff(_) | Status::Between => None,
        }
    }

    pub(crate) fn lease_mut(&mut self) -> Option<&mut Lease> {
        match &mut self.status {
            Status::Leased(lease) => Some(lease),
            Status::Ready | Status::BackingOff(_) | Status::Between => None,
        }
    }

    /// The lease, where `fence` is the one that counts.
    pub(crate) fn lease_under(&self, fence: Fence) -> Option<&Lease> {
        self.lease().filter(|lease| lease.fence == fence)
    }

    /// When time alone next changes something for it.
    pub(crate) fn due_at(&self) -> TimeUs {
        match &self.status {
            Status::Ready | Status::Between => self.expires_at,
            Status::BackingOff(ready_at) => self.expires_at.min(*ready_at),
            Status::Leased(lease) => match lease.hold {
                Hold::Free => lease.expires_at.min(lease.times_out_at),
                Hold::Asked { until, .. } => lease.expires_at.min(lease.times_out_at).min(until),
                // A time-out counts compute.
                Hold::Held { .. } => lease.expires_at,
            },
        }
    }
}

/// Where something may run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Anywhere,
    Only(Arc<BTreeSet<RegionKey>>),
}

impl Place {
    pub(crate) fn of(regions: &BTreeSet<RegionKey>) -> Self {
        if regions.is_empty() { Self::Anywhere } else { Self::Only(Arc::new(regions.clone())) }
    }

    pub(crate) fn allows(&self, region: &RegionKey) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Only(regions) => regions.contains(region),
        }
    }

    /// Where both allow it.
    pub(crate) fn and(&self, regions: &BTreeSet<RegionKey>) -> Self {
        match self {
            _ if regions.is_empty() => self.clone(),
            Self::Anywhere => Self::of(regions),
            Self::Only(own) => Self::Only(Arc::new(own.intersection(regions).cloned().collect())),
        }
    }
}

impl State {
    pub(crate) fn job(&self, job: JobKey) -> Option<&Job> {
        self.jobs.get(self.slot_of(job)?)
    }

    /// The row of a job that has not ended.
    pub(crate) fn slot_of(&self, job: JobKey) -> Option<u32> {
        self.index.find(&job, |slot| self.jobs.get(slot).is_some_and(|row| row.key == job))
    }

    pub(crate) fn model_id(&mut self, key: &ModelKey) -> u32 {
        if let Some(id) = self.model_names.find(key) {
            return id;
        }
        let id = self.model_names.intern(key);
        if self.models.len() <= id as usize {
            self.models.push(Model::default());
        }
        let name = key.as_str().rsplit_once(':').map_or(key.as_str(), |(name, _)| name);
        self.models[id as usize].name = Arc::from(name);
        id
    }

    pub(crate) fn tenant_id(&mut self, key: &TenantKey) -> u32 {
        let id = self.tenant_names.intern(key);
        if self.tenants.len() <= id as usize {
            self.tenants.push(Tenant::default());
        }
        id
    }

    pub(crate) fn known_model(&self, key: &ModelKey) -> Option<u32> {
        self.model_names.find(key).filter(|id| self.models[*id as usize].profile.is_some())
    }

    /// Where both the job and its tenant allow it to run.
    pub(crate) fn place_of(&self, own: &Place, tenant: Option<u32>) -> Place {
        let spec = tenant.and_then(|id| self.tenants[id as usize].spec.as_ref());
        spec.map_or_else(|| own.clone(), |spec| own.and(&spec.regions))
    }

    /// The same as a number, for a job that waits.
    pub(crate) fn place_id(&mut self, own: u32, tenant: u32) -> u32 {
        let spec = self.tenants[tenant as usize].spec.as_ref().filter(|spec| !spec.regions.is_empty());
        let Some(spec) = spec else { return own };
        let place = self.places.key(own).and(&spec.regions);
        self.places.intern(&place)
    }

    /// Expected milliseconds of compute at the reference's speed.
    pub(crate) fn run_ms(&self, model: u32, features: Features, guess_ms: i64) -> i64 {
        if guess_ms > 0 {
            return guess_ms;
        }
        let said_ms = self.models[model as usize].profile.as_ref().map_or(0, |profile| profile.run_ms);
        self.predictor.run_ms(model, features, said_ms)
    }

    /// Expected milliseconds to load a model where it is not resident.
    pub(crate) fn load_ms(&self, model: u32) -> i64 {
        self.predictor.load_ms(model, self.said_load_ms(model))
    }

    /// What the model says of its load; 0: it has none.
    pub(crate) fn said_load_ms(&self, model: u32) -> i64 {
        self.models[model as usize].profile.as_ref().map_or(0, |profile| profile.load_ms)
    }

    /// The longest attempt of a model, milliseconds.
    pub(crate) fn timeout_ms(&self, model: u32) -> i64 {
        let own = self.models[model as usize].profile.as_ref().map_or(0, |profile| profile.timeout_ms);
        if own > 0 { own } else { limits::ATTEMPT_TIMEOUT_MS }
    }

    /// The row of the worker that holds a lease, where it is known.
    pub(crate) fn holder(&self, lease: &Lease) -> Option<u32> {
        let same = |(id, serial): (u32, u64)| {
            self.fleet.workers.get(id).filter(|worker| worker.serial == serial).map(|_| id)
        };
        lease.row.and_then(same).or_else(|| self.fleet.find(&lease.worker))
    }

    pub(crate) fn count_waiting(&mut self, tenant: u32, change: i32) {
        let count = &mut self.tenants[tenant as usize].waiting;
        *count = count.saturating_add_signed(change);
    }
}
