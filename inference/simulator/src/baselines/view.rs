//! What a baseline knows of the fleet and of its queue, kept from the same events that the scheduler gets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backlot_inference_scheduler::{
    AgentKey, Assignment, AttemptEnd, AttemptOutcome, Effect, Event, Fence, JobKey, JobSpec, ModelKey,
    PoolKey, RegionKey, TenantKey, Tier, TimeUs, WorkerKey,
};

/// Baselines extend leases by nothing: an attempt ends when its agent says so or is gone.
const LEASE_MS: i64 = 30_000;
/// Baselines know no time-outs.
const TIMEOUT_MS: i64 = 86_400_000;

/// A worker as a baseline sees it.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) key: WorkerKey,
    pub(crate) region: RegionKey,
    pub(crate) pool: Option<PoolKey>,
    pub(crate) open: bool,
    pub(crate) slots: usize,
    pub(crate) concurrency: usize,
    /// Resident models with their last use.
    pub(crate) resident: Vec<(ModelKey, TimeUs)>,
    pub(crate) running: Vec<(Fence, JobKey)>,
    pub(crate) idle_since: TimeUs,
    /// Attempts that it came back with and that no longer count: it takes nothing new before they have ended.
    stale: Vec<Fence>,
}

impl Worker {
    pub(crate) fn is_free(&self) -> bool {
        self.open && self.running.len() < self.concurrency
    }

    pub(crate) fn holds(&self, model: &ModelKey) -> bool {
        self.resident.iter().any(|(one, _)| one == model)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.resident.len() < self.slots
    }
}

/// A job that waits or runs.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) tenant: TenantKey,
    pub(crate) model: ModelKey,
    pub(crate) tier: Tier,
    pub(crate) since: TimeUs,
    pub(crate) home: Option<RegionKey>,
}

/// What one event meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A job waits, new or again.
    Waits(JobKey),
    /// An attempt of this tenant ended after so many milliseconds of load and compute.
    Ended { tenant: TenantKey, job: JobKey, gpu_ms: i64 },
    /// A worker came.
    Came(usize),
    /// A worker is gone.
    Went(usize),
    /// A waiting job was canceled.
    Left(JobKey),
}

/// The fleet and the jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) workers: Vec<Worker>,
    by_agent: HashMap<AgentKey, usize>,
    pub(crate) jobs: HashMap<JobKey, Job>,
    runs_on: HashMap<JobKey, (usize, Fence)>,
    sequence: u64,
}

impl View {
    /// Keeps the books of one event; what it means for the queue is appended.
    pub(crate) fn note(
        &mut self,
        now: TimeUs,
        event: Event,
        changes: &mut Vec<Change>,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            Event::Submitted(spec) => {
                changes.push(Change::Waits(spec.job));
                self.submitted(spec);
            }
            Event::AgentJoined(spec) => self.joined(now, &spec, changes, effects),
            Event::AgentLost { agent } => self.lost(&agent, changes, effects),
            Event::AgentDraining { agent } => {
                if let Some(at) = self.by_agent.get(&agent) {
                    self.workers[*at].open = false;
                    self.workers[*at].stale.clear();
                    changes.push(Change::Went(*at));
                }
            }
            Event::WorkerReport { worker, resident } => {
                if let Some(at) = self.by_agent.get(&worker.agent) {
                    // What is being loaded for a job is not resident yet, and takes its room all the same.
                    let running = self.workers[*at].running.iter();
                    let loading = running.filter_map(|(_, job)| Some(self.jobs.get(job)?.model.clone()));
                    let mut models = resident;
                    models.extend(loading);
                    self.workers[*at].resident = models.into_iter().map(|model| (model, now)).collect();
                }
            }
            Event::Finished { job, fence, outcome, load_ms, compute_ms, .. } => {
                self.finished(now, job, fence, outcome, load_ms + compute_ms, changes, effects);
            }
            Event::CancelRequested { job }
                if !self.runs_on.contains_key(&job) && self.jobs.remove(&job).is_some() =>
            {
                effects.push(Effect::Canceled { job });
                changes.push(Change::Left(job));
            }
            _ => {}
        }
    }

    fn submitted(&mut self, spec: JobSpec) {
        let job = Job {
            tenant: spec.tenant,
            model: spec.model,
            tier: spec.tier,
            since: spec.created_at,
            home: spec.data_region,
        };
        self.jobs.insert(spec.job, job);
    }

    fn joined(
        &mut self,
        now: TimeUs,
        spec: &backlot_inference_scheduler::AgentSpec,
        changes: &mut Vec<Change>,
        effects: &mut Vec<Effect>,
    ) {
        for run in &spec.running {
            let (job, fence) = (run.job, run.fence);
            let worker = WorkerKey { agent: spec.agent.clone(), worker: run.worker.clone() };
            if self.runs_on.get(&job).is_none_or(|(_, held)| *held != fence) {
                let why = backlot_inference_scheduler::StopReason::Stale;
                effects.push(Effect::StopAttempt { job, fence, worker, why });
            }
        }
        for one in &spec.workers {
            let worker = Worker {
                key: WorkerKey { agent: spec.agent.clone(), worker: one.worker.clone() },
                region: spec.region.clone(),
                pool: one.pool.clone(),
                open: spec.running.is_empty(),
                slots: one.slots as usize,
                concurrency: one.concurrency as usize,
                resident: Vec::new(),
                running: Vec::new(),
                idle_since: now,
                stale: spec.running.iter().map(|run| run.fence).collect(),
            };
            let at = match self.by_agent.get(&spec.agent) {
                Some(at) => {
                    self.workers[*at] = worker;
                    *at
                }
                None => {
                    self.by_agent.insert(spec.agent.clone(), self.workers.len());
                    self.workers.push(worker);
                    self.workers.len() - 1
                }
            };
            changes.push(Change::Came(at));
        }
    }

    fn lost(&mut self, agent: &AgentKey, changes: &mut Vec<Change>, effects: &mut Vec<Effect>) {
        let Some(at) = self.by_agent.get(agent).copied() else { return };
        self.workers[at].open = false;
        self.workers[at].stale.clear();
        self.workers[at].resident.clear();
        for (fence, job) in std::mem::take(&mut self.workers[at].running) {
            self.runs_on.remove(&job);
            effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Lost });
            changes.push(Change::Waits(job));
        }
        changes.push(Change::Went(at));
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event, taken apart")]
    fn finished(
        &mut self,
        now: TimeUs,
        job: JobKey,
        fence: Fence,
        outcome: AttemptOutcome,
        gpu_ms: i64,
        changes: &mut Vec<Change>,
        effects: &mut Vec<Effect>,
    ) {
        match self.runs_on.get(&job) {
            Some((_, held)) if *held == fence => {}
            _ => {
                effects.push(Effect::LateReport { job, fence });
                self.reopen(now, fence, changes);
                return;
            }
        }
        let Some((at, _)) = self.runs_on.remove(&job) else { return };
        let worker = &mut self.workers[at];
        worker.running.retain(|(one, _)| *one != fence);
        worker.idle_since = now;
        if let Some(tenant) = self.jobs.get(&job).map(|job| job.tenant.clone()) {
            changes.push(Change::Ended { tenant, job, gpu_ms });
        }
        match outcome {
            AttemptOutcome::Succeeded => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Succeeded });
                effects.push(Effect::Succeeded { job, fence });
                self.jobs.remove(&job);
            }
            AttemptOutcome::Failed { class, .. } => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Failed(class) });
                changes.push(Change::Waits(job));
            }
            AttemptOutcome::Canceled => {
                effects.push(Effect::AttemptEnded { job, fence, end: AttemptEnd::Canceled });
                changes.push(Change::Waits(job));
            }
        }
    }

    /// A worker that came back with attempts that no longer counted is free when the last of them has ended.
    fn reopen(&mut self, now: TimeUs, fence: Fence, changes: &mut Vec<Change>) {
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let before = worker.stale.len();
            worker.stale.retain(|one| *one != fence);
            if before > 0 && worker.stale.is_empty() {
                (worker.open, worker.idle_since) = (true, now);
                changes.push(Change::Came(at));
            }
        }
    }

    /// Leases the job to a worker; the least recently used model that nothing runs makes room.
    pub(crate) fn start(&mut self, now: TimeUs, job: JobKey, at: usize, effects: &mut Vec<Effect>) {
        let Some(model) = self.jobs.get(&job).map(|job| job.model.clone()) else { return };
        let in_use: Vec<ModelKey> = self.workers[at]
            .running
            .iter()
            .filter_map(|(_, job)| self.jobs.get(job).map(|job| job.model.clone()))
            .collect();
        let worker = &mut self.workers[at];
        let warm = worker.holds(&model);
        while !worker.holds(&model) && !worker.has_room() {
            let idle = worker.resident.iter().enumerate().filter(|(_, (one, _))| !in_use.contains(one));
            let Some((oldest, _)) = idle.min_by_key(|(_, (_, used_at))| *used_at) else { return };
            let (evicted, _) = worker.resident.remove(oldest);
            effects.push(Effect::Evict { worker: worker.key.clone(), model: evicted });
        }
        worker.resident.retain(|(one, _)| *one != model);
        worker.resident.push((model, now));
        self.sequence += 1;
        let fence = Fence { epoch: 1, sequence: self.sequence };
        worker.running.push((fence, job));
        self.runs_on.insert(job, (at, fence));
        effects.push(Effect::Assign(Assignment {
            job,
            fence,
            worker: worker.key.clone(),
            lease_ms: LEASE_MS,
            timeout_ms: TIMEOUT_MS,
            warm,
            charge: None,
            batch: None,
        }));
    }

    /// Whether the job's model is resident on the worker, or what nothing runs can make room for it.
    pub(crate) fn fits(&self, job: JobKey, at: usize) -> bool {
        let Some(model) = self.jobs.get(&job).map(|job| &job.model) else { return false };
        let worker = &self.workers[at];
        let runs = |one: &ModelKey| {
            worker.running.iter().any(|(_, job)| self.jobs.get(job).is_some_and(|job| job.model == *one))
        };
        let idle = worker.resident.iter().filter(|(one, _)| !runs(one)).count();
        worker.holds(model) || worker.resident.len() - idle < worker.slots
    }

    /// Workers that can take a job now.
    pub(crate) fn free(&self) -> impl Iterator<Item = usize> {
        self.workers.iter().enumerate().filter(|(_, worker)| worker.is_free()).map(|(at, _)| at)
    }

    /// The usual choice among free workers: one that holds the model, else one with room, else the longest idle.
    pub(crate) fn warm_first(&self, model: &ModelKey) -> Option<usize> {
        self.warm_first_where(model, |_| true)
    }

    /// The same among some workers only.
    pub(crate) fn warm_first_where(&self, model: &ModelKey, may: impl Fn(&Worker) -> bool) -> Option<usize> {
        self.free().filter(|at| may(&self.workers[*at])).min_by_key(|at| {
            let worker = &self.workers[*at];
            let cost = match (worker.holds(model), worker.has_room()) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            };
            (cost, worker.idle_since, *at)
        })
    }
}

/// Jobs that wait in one place, oldest first, also by model and by tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    pub(crate) all: BTreeSet<JobKey>,
    pub(crate) by_model: BTreeMap<ModelKey, BTreeSet<JobKey>>,
    pub(crate) by_tenant: BTreeMap<TenantKey, BTreeSet<JobKey>>,
}

impl Queue {
    pub(crate) fn push(&mut self, key: JobKey, job: &Job) {
        self.all.insert(key);
        self.by_model.entry(job.model.clone()).or_default().insert(key);
        self.by_tenant.entry(job.tenant.clone()).or_default().insert(key);
    }

    pub(crate) fn remove(&mut self, key: JobKey, job: &Job) {
        self.all.remove(&key);
        if let Some(jobs) = self.by_model.get_mut(&job.model) {
            jobs.remove(&key);
            if jobs.is_empty() {
                self.by_model.remove(&job.model);
            }
        }
        if let Some(jobs) = self.by_tenant.get_mut(&job.tenant) {
            jobs.remove(&key);
            if jobs.is_empty() {
                self.by_tenant.remove(&job.tenant);
            }
        }
    }
}
