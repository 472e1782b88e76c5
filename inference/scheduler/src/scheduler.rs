//! The state machine: events in, effects out.

use crate::{
    effect::{Assignment, Effect},
    event::{Event, JobSpec, ModelProfile, TenantSpec},
    limits, policy,
    predict::Predictor,
    queue::{Line, Rank},
    state::{Lease, State, Status},
    timers::Timer,
    types::{Fence, JobKey, ModelKey, Phase, TenantKey, TimeUs, WorkerKey},
};

/// The scheduler of one epoch. `Clone` so that a simulator can fork it.
#[derive(Clone, Debug)]
pub struct Scheduler {
    pub(crate) epoch: u64,
    /// The sequence of the last fence.
    pub(crate) sequence: u64,
    pub(crate) state: State,
    /// Whether something changed that may let a job start.
    pub(crate) replan: bool,
}

/// Why a job is not taken into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The model's version was never announced by [`Event::ModelChanged`].
    UnknownModel(ModelKey),
    /// The tenant has as many jobs waiting as it may.
    QueueFull {
        /// How many wait.
        queued: u32,
        /// How many may.
        queued_max: u32,
    },
}

/// What a worker is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Jobs whose attempts take its room, oldest attempt first.
    pub jobs: Vec<JobKey>,
    /// Models that are resident or being loaded.
    pub resident: Vec<ModelKey>,
}

impl Scheduler {
    /// A scheduler that knows nothing yet. The fences that it gives are of `epoch`, which no scheduler had before.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self { epoch, sequence: 0, state: State::default(), replan: false }
    }

    /// What was learned, in a form that only [`Scheduler::with_snapshot`] reads. Worth keeping across restarts, not
    /// needed for correctness.
    #[must_use]
    pub fn snapshot(&self) -> String {
        self.state.predictor.write()
    }

    /// Starts from what was learned earlier. What a newer or older version wrote and this one does not know is left out.
    #[must_use]
    pub fn with_snapshot(mut self, snapshot: &str) -> Self {
        self.state.predictor = Predictor::read(snapshot);
        self
    }

    /// Whether the job may be submitted now. Changes nothing.
    pub fn admit(&self, spec: &JobSpec) -> Result<(), Refusal> {
        if !self.state.models.contains_key(&spec.model) {
            return Err(Refusal::UnknownModel(spec.model.clone()));
        }
        let queued = self.queued(&spec.tenant);
        let queued_max = self
            .state
            .tenants
            .get(&spec.tenant)
            .map_or(limits::QUEUED_MAX_PER_TENANT, |tenant| tenant.queued_max);
        if queued >= queued_max {
            return Err(Refusal::QueueFull { queued, queued_max });
        }
        Ok(())
    }

    /// Jobs of a tenant that wait.
    #[must_use]
    pub fn queued(&self, tenant: &TenantKey) -> u32 {
        self.state.waiting.get(tenant).copied().unwrap_or(0)
    }

    /// Whether the job is known and has not ended.
    #[must_use]
    pub fn is_live(&self, job: JobKey) -> bool {
        self.state.jobs.contains_key(&job)
    }

    /// The fence under which the job's result counts now; `None` while it waits.
    #[must_use]
    pub fn current_fence(&self, job: JobKey) -> Option<Fence> {
        self.state.jobs.get(&job)?.lease().map(|lease| lease.fence)
    }

    /// What a worker is doing, as far as is known; empty for one that is not.
    #[must_use]
    pub fn worker_load(&self, key: &WorkerKey) -> WorkerLoad {
        let Some(worker) = self.state.fleet.worker(key) else { return WorkerLoad::default() };
        WorkerLoad {
            jobs: worker.running.values().map(|running| running.job).collect(),
            resident: worker.resident.keys().cloned().collect(),
        }
    }

    /// When [`Event::Tick`] is due, if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<TimeUs> {
        self.state.timers.next()
    }

    /// Takes one event. `now` never goes back. Effects are appended.
    pub fn apply(&mut self, now: TimeUs, event: Event, effects: &mut Vec<Effect>) {
        self.fire_timers(now, effects);
        match event {
            Event::Tick => {}
            Event::TenantChanged(tenant) => self.tenant_changed(tenant),
            Event::ModelChanged(profile) => self.model_changed(profile),
            Event::Submitted(spec) => self.submitted(now, spec),
            Event::Restored(restored) => self.restored(now, restored),
            Event::CancelRequested { job } => self.cancel_requested(job, effects),
            Event::AgentJoined(spec) => self.agent_joined(now, spec, effects),
            Event::AgentLost { agent } => self.agent_lost(now, &agent),
            Event::AgentDraining { agent } => self.agent_draining(&agent),
            Event::Heartbeat { agent, running } => self.heartbeat(now, &agent, &running, effects),
            Event::WorkerReport { worker, resident } => self.worker_report(now, &worker, resident),
            Event::CapacityChanged { worker, concurrency, slots, price_micro_per_hour } => {
                self.capacity_changed(&worker, concurrency, slots, price_micro_per_hour);
            }
            // Nothing is scaled yet: pools.rs is to come.
            Event::PoolChanged(_) => {}
            Event::AttemptStarted { job, fence } => self.attempt_started(now, job, fence),
            Event::Progress { job, fence, phase, done_permille } => {
                self.progress(job, fence, phase, done_permille)
            }
            Event::Finished { job, fence, outcome, load_ms, compute_ms } => {
                self.finished(now, job, fence, outcome, load_ms, compute_ms, effects);
            }
            Event::LoadFinished { worker, model, load_ms, loaded } => {
                self.load_finished(now, &worker, &model, load_ms, loaded);
            }
        }
        self.place(now, effects);
    }

    fn fire_timers(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        while let Some(timer) = self.state.timers.take_due(now) {
            match timer {
                Timer::Ready(job) => self.back_off_over(job),
                Timer::TimeToLive(job) => self.expired(job, effects),
                Timer::Lease(job, fence) => self.lease_expired(now, job, fence, effects),
                Timer::Timeout(job, fence) => self.timed_out(job, fence, effects),
                Timer::Forget(agent) => self.agent_forgotten(&agent, effects),
            }
        }
    }

    fn model_changed(&mut self, profile: ModelProfile) {
        self.state.models.insert(profile.model.clone(), profile);
        self.replan = true;
    }

    /// A change of regions moves what waits of this tenant to other lines.
    fn tenant_changed(&mut self, tenant: TenantSpec) {
        let key = tenant.tenant.clone();
        self.state.tenants.insert(key.clone(), tenant);
        let waiting: Vec<JobSpec> = self
            .state
            .jobs
            .values()
            .filter(|job| job.spec.tenant == key && matches!(job.status, Status::Ready))
            .map(|job| job.spec.clone())
            .collect();
        for spec in waiting {
            let rank = rank_of(&spec);
            self.state.queue.remove(rank);
            let line = Line { model: spec.model.clone(), place: self.state.place_of(&spec) };
            self.state.queue.push(rank, line);
        }
        self.replan = true;
    }

    /// Starts what can start.
    fn place(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.replan) {
            return;
        }
        while let Some(placement) = policy::next_placement(&self.state) {
            if !self.carry_out(now, &placement, effects) {
                debug_assert!(false, "the policy proposed what cannot be: {placement:?}");
                return;
            }
        }
    }

    /// Leases a job to a worker, where the state allows it.
    fn carry_out(&mut self, now: TimeUs, placement: &policy::Placement, effects: &mut Vec<Effect>) -> bool {
        let policy::Placement { job, worker: key, evict } = placement;
        let Some(spec) = self.state.jobs.get(job).filter(|job| matches!(job.status, Status::Ready)) else {
            return false;
        };
        let spec = spec.spec.clone();
        let ready = self.state.fleet.agents.get(&key.agent).is_some_and(|agent| {
            agent.connected && !agent.draining && self.state.place_of(&spec).allows(&agent.region)
        });
        let timeout_ms = self.state.timeout_ms(&spec.model);
        let Some(profile) = self.state.models.get(&spec.model) else { return false };
        let Some(worker) = self.state.fleet.worker_mut(key) else { return false };
        if !ready || worker.is_full() || !worker.suits(profile) {
            return false;
        }
        for model in evict {
            worker.resident.remove(model);
            effects.push(Effect::Evict { worker: key.clone(), model: model.clone() });
        }
        let warm = worker.is_warm(profile);
        if profile.load_ms > 0 {
            worker.resident.insert(spec.model.clone(), now);
        }
        self.sequence += 1;
        let fence = Fence { epoch: self.epoch, sequence: self.sequence };
        let lease = Lease {
            fence,
            worker: key.clone(),
            assigned_at: now,
            expires_at: now.plus_ms(limits::LEASE_MS),
            times_out_at: now.plus_ms(timeout_ms + limits::TIMEOUT_GRACE_MS),
            started_at: None,
            phase: Phase::Assigned,
            done_permille: 0,
        };
        self.leave_queue(*job);
        self.begin_lease(*job, lease);
        let lease_ms = limits::LEASE_MS;
        effects.push(Effect::Assign(Assignment {
            job: *job,
            fence,
            worker: key.clone(),
            lease_ms,
            timeout_ms,
            warm,
        }));
        true
    }
}

/// Where a job stands in the queue.
pub(crate) fn rank_of(spec: &JobSpec) -> Rank {
    Rank::new(spec.created_at, spec.tier, spec.job)
}
