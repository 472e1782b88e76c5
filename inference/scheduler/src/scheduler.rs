//! The state machine: events in, effects out.

use crate::{
    dispatch::Todo,
    effect::Effect,
    event::{Event, JobSpec, ModelProfile, TenantSpec},
    jobs::Took,
    limits,
    predict::Predictor,
    state::{State, Status},
    timers::Timer,
    types::{Fence, JobKey, ModelKey, TenantKey, TimeUs, WorkerKey},
};

/// The scheduler of one epoch. `Clone` so that a simulator can fork it.
#[derive(Clone, Debug)]
pub struct Scheduler {
    pub(crate) epoch: u64,
    /// The sequence of the last fence.
    pub(crate) sequence: u64,
    pub(crate) submissions: u64,
    pub(crate) state: State,
    /// What may be able to start something now.
    pub(crate) todo: Vec<Todo>,
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
        Self { epoch, sequence: 0, submissions: 0, state: State::default(), todo: Vec::new() }
    }

    /// What was learned, in a form that only [`Scheduler::with_snapshot`] reads. Worth keeping across restarts, not
    /// needed for correctness.
    #[must_use]
    pub fn snapshot(&self) -> String {
        let state = &self.state;
        let learned = state.predictor.write(&state.model_names);
        let earned = state.fair.steady().remember(|tenant| state.tenant_names.key(tenant));
        learned + &earned + &state.remember_places()
    }

    /// Starts from what was learned earlier. What a newer or older version wrote and this one does not know is left out.
    #[must_use]
    pub fn with_snapshot(mut self, snapshot: &str) -> Self {
        let state = &mut self.state;
        let predictor = Predictor::read(snapshot, |model| state.model_id(&ModelKey::from(model)));
        self.state.predictor = predictor;
        let mut fair = std::mem::take(&mut self.state.fair);
        fair.steady_mut().recall(snapshot, |tenant| self.state.tenant_id(tenant));
        self.state.fair = fair;
        self.state.recall_places(snapshot);
        self
    }

    /// Whether the job may be submitted now. Changes nothing.
    pub fn admit(&self, spec: &JobSpec) -> Result<(), Refusal> {
        if self.state.known_model(&spec.model).is_none() {
            return Err(Refusal::UnknownModel(spec.model.clone()));
        }
        let tenant = self.state.tenant_names.find(&spec.tenant).map(|id| &self.state.tenants[id as usize]);
        let queued = tenant.map_or(0, |tenant| tenant.waiting);
        let queued_max = tenant
            .and_then(|tenant| tenant.spec.as_ref())
            .map_or(limits::QUEUED_MAX_PER_TENANT, |spec| spec.queued_max);
        if queued >= queued_max {
            return Err(Refusal::QueueFull { queued, queued_max });
        }
        Ok(())
    }

    /// Jobs of a tenant that wait.
    #[must_use]
    pub fn queued(&self, tenant: &TenantKey) -> u32 {
        self.state.tenant_names.find(tenant).map_or(0, |id| self.state.tenants[id as usize].waiting)
    }

    /// Whether the job is known and has not ended.
    #[must_use]
    pub fn is_live(&self, job: JobKey) -> bool {
        self.state.slot_of(job).is_some()
    }

    /// The fence under which the job's result counts now; `None` while it waits.
    #[must_use]
    pub fn current_fence(&self, job: JobKey) -> Option<Fence> {
        self.state.job(job)?.lease().map(|lease| lease.fence)
    }

    /// What a worker is doing, as far as is known; empty for one that is not.
    #[must_use]
    pub fn worker_load(&self, key: &WorkerKey) -> WorkerLoad {
        let fleet = &self.state.fleet;
        let Some(worker) = fleet.find(key).and_then(|id| fleet.workers.get(id)) else {
            return WorkerLoad::default();
        };
        let mut resident: Vec<ModelKey> =
            worker.resident.iter().map(|row| self.state.model_names.key(row.model).clone()).collect();
        resident.sort_unstable();
        WorkerLoad { jobs: worker.running.iter().map(|running| running.job).collect(), resident }
    }

    /// When [`Event::Tick`] is due, if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<TimeUs> {
        self.state.timers.next().map(|(at, _)| at)
    }

    /// Takes one event. `now` never goes back. Effects are appended.
    pub fn apply(&mut self, now: TimeUs, event: Event, effects: &mut Vec<Effect>) {
        self.fire_timers(now, effects);
        match event {
            Event::Tick => {}
            Event::TenantChanged(tenant) => self.tenant_changed(now, tenant),
            Event::ModelChanged(profile) => self.model_changed(profile),
            Event::Submitted(spec) => self.submitted(now, spec),
            Event::Restored(restored) => self.restored(now, *restored),
            Event::CancelRequested { job } => self.cancel_requested(now, job, effects),
            Event::AgentJoined(spec) => self.agent_joined(now, spec, effects),
            Event::AgentLost { agent } => self.agent_lost(now, &agent),
            Event::AgentDraining { agent } => self.agent_draining(now, &agent),
            Event::Heartbeat { agent, running } => self.heartbeat(now, &agent, &running, effects),
            Event::WorkerReport { worker, resident } => self.worker_report(now, &worker, resident),
            Event::CapacityChanged { worker, concurrency, slots, price_micro_per_hour } => {
                self.capacity_changed(now, &worker, concurrency, slots, price_micro_per_hour);
            }
            Event::PoolChanged(spec) => self.pool_changed(now, spec),
            Event::PaidChanged(spec) => self.paid_changed(spec),
            Event::PaidSpent { pool, tenant, day, micro } => self.paid_spent(&pool, &tenant, day, micro),
            Event::AttemptStarted { job, fence } => self.attempt_started(now, job, fence),
            Event::Progress { job, fence, phase, done_permille } => {
                self.progress(now, job, fence, (phase, done_permille), effects);
            }
            Event::Finished { job, fence, outcome, load_ms, compute_ms, batched } => {
                let took = Took { load_ms, compute_ms, batched };
                self.finished(now, job, fence, outcome, took, effects);
            }
            Event::LoadFinished { worker, model, load_ms, loaded } => {
                self.load_finished(now, &worker, &model, load_ms, loaded);
            }
        }
        self.dispatch(now, effects);
        self.prepare(now, effects);
        self.watch_overflow(now);
        let first = self.state.lines.heads.first().map(|(rank, _)| rank.key);
        self.state.fair.hold(now, first);
        self.tidy_timers();
        if self.state.fleet.classes_are_loose() || self.state.far.is_loose() {
            self.state.forget_classes();
        }
        if self.state.names_are_loose() {
            self.state.forget_names(now);
        }
    }

    fn fire_timers(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        while let Some((at, timer)) = self.state.timers.next() {
            let counts = self.state.counts(at, timer);
            if counts && at > now {
                return;
            }
            self.state.timers.drop_next();
            match timer {
                _ if !counts => {}
                Timer::Job(slot) => self.job_due(now, slot, effects),
                Timer::Line(line) => {
                    self.state.lines.rows[line as usize].timer_at = None;
                    self.todo.push(Todo::Line(line));
                }
                Timer::Agent(agent) => self.agent_forgotten(now, agent, effects),
                Timer::Preparing(worker) => {
                    self.state.fleet.set_preparing(worker, None);
                    self.todo.push(Todo::Worker(worker));
                }
                Timer::Look => self.look(now, effects),
                Timer::Overflow => self.look_outside(now, effects),
            }
        }
    }

    /// The next wake-up is never one that no longer counts, and those that do not count are bounded.
    fn tidy_timers(&mut self) {
        while let Some((at, timer)) = self.state.timers.next() {
            if self.state.counts(at, timer) {
                break;
            }
            self.state.timers.drop_next();
        }
        if self.state.early.is_loose(self.state.lines.waiting) {
            let mut early = std::mem::take(&mut self.state.early);
            early.keep(|slot, submission| self.state.is_early(slot, submission));
            self.state.early = early;
        }
        if self.state.timers.is_loose(self.state.timer_owners()) {
            let mut timers = std::mem::take(&mut self.state.timers);
            timers.keep(|at, timer| self.state.counts(at, timer));
            self.state.timers = timers;
        }
    }

    fn job_due(&mut self, now: TimeUs, slot: u32, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.jobs.get(slot) else { return };
        match &row.status {
            Status::Ready | Status::BackingOff(_) if row.expires_at <= now => {
                self.expired(now, slot, effects)
            }
            Status::BackingOff(ready_at) if *ready_at <= now => self.back_off_over(slot),
            Status::Leased(lease) if lease.expires_at <= now => self.lose(now, slot, effects),
            Status::Leased(lease) if lease.is_overdue(now) => self.timed_out(now, slot, effects),
            Status::Leased(lease) if lease.hold.is_unanswered(now) => self.take_back(now, slot, effects),
            Status::Ready | Status::BackingOff(_) | Status::Leased(_) | Status::Between => {}
        }
        if self.state.jobs.get(slot).is_some_and(|row| row.timer_at <= now) {
            self.state.arm(slot);
        }
    }

    fn model_changed(&mut self, profile: ModelProfile) {
        let id = self.state.model_id(&profile.model);
        self.state.models[id as usize].profile = Some(profile);
        self.state.note_weightless(id);
        self.state.lines.unstall();
        self.todo.extend(self.state.models[id as usize].lines.iter().map(|line| Todo::Line(*line)));
    }

    /// A change of regions moves what waits of this tenant to other lines.
    fn tenant_changed(&mut self, now: TimeUs, tenant: TenantSpec) {
        let id = self.state.tenant_id(&tenant.tenant);
        self.state.fair.set_weight(now, id, tenant.weight_milli);
        let before = self.state.tenants[id as usize].spec.replace(tenant.clone());
        if before.map(|spec| spec.regions).unwrap_or_default() == tenant.regions {
            return;
        }
        let waiting: Vec<u32> = self
            .state
            .jobs
            .iter()
            .filter(|(_, row)| row.tenant == id && matches!(row.status, Status::Ready))
            .map(|(slot, _)| slot)
            .collect();
        for slot in waiting {
            self.state.leave_line(slot);
            self.state.enter_line(slot);
            self.todo.extend(self.state.jobs.get(slot).map(|row| Todo::Line(row.line)));
        }
    }
}

impl State {
    /// Whether the entry is the one that its owner waits for.
    fn counts(&self, at: TimeUs, timer: Timer) -> bool {
        match timer {
            Timer::Job(slot) => self.jobs.get(slot).is_some_and(|row| row.timer_at == at),
            Timer::Line(line) => self.lines.line(line).timer_at == Some(at),
            Timer::Preparing(worker) => {
                let preparing = self.fleet.workers.get(worker).and_then(|worker| worker.preparing);
                preparing.is_some_and(|preparing| preparing.until == at)
            }
            Timer::Look => self.pools.look_at() == Some(at),
            Timer::Overflow => self.overflow.look_at() == Some(at),
            Timer::Agent(agent) => self.fleet.agents.get(agent).is_some_and(|row| row.forget_at == Some(at)),
        }
    }

    /// Sets the job's clock to what comes next for it.
    pub(crate) fn arm(&mut self, slot: u32) {
        let Some(row) = self.jobs.get_mut(slot) else { return };
        row.timer_at = row.due_at();
        self.timers.set(row.timer_at, Timer::Job(slot));
    }

    /// Puts a ready job into the line where it belongs now.
    pub(crate) fn enter_line(&mut self, slot: u32) {
        let Some(row) = self.jobs.get(slot) else { return };
        let (model, rank, run_ms) = (row.model, row.rank, row.run_ms);
        let (own_place, tenant) = (row.own_place, row.tenant);
        let place = self.place_id(own_place, tenant);
        let (line, new) = self.lines.id(model, place);
        let lines = &mut self.models[model as usize];
        if new {
            lines.lines.push(line);
        }
        lines.waiting += 1;
        lines.backlog_ms += run_ms;
        let early = self.early.is_early(rank.key);
        if early {
            self.early.insert(rank.key, slot, rank.submission);
        } else {
            lines.due += 1;
            lines.due_ms += run_ms;
        }
        self.lines.push(line, rank, slot);
        if let Some(row) = self.jobs.get_mut(slot) {
            (row.line, row.early) = (line, early);
            self.urgent.enter(line, tenant, slot, row.deadline);
        }
        self.note_weightless(model);
    }

    /// Takes a ready job out of its line.
    pub(crate) fn leave_line(&mut self, slot: u32) {
        let Some(row) = self.jobs.get(slot) else { return };
        let (model, line) = (row.model, row.line);
        self.lines.remove(line, row.rank);
        self.urgent.leave(line, row.tenant, slot, row.deadline);
        let lines = &mut self.models[model as usize];
        lines.waiting -= 1;
        lines.backlog_ms -= row.run_ms;
        if !row.early {
            lines.due -= 1;
            lines.due_ms -= row.run_ms;
        }
        self.note_weightless(model);
    }

    /// Who may have a timer that counts: jobs, lines and agents.
    pub(crate) fn timer_owners(&self) -> usize {
        self.index.len() + self.lines.rows.len() + self.fleet.ids.len() + self.fleet.preparing
    }

    /// Whether it is this job that waits there, ahead of its tenant's share.
    fn is_early(&self, slot: u32, submission: u64) -> bool {
        let row = self.jobs.get(slot).filter(|row| row.rank.submission == submission);
        row.is_some_and(|row| row.early && matches!(row.status, Status::Ready))
    }

    /// Counts those as due whose tenants' shares have come to them.
    pub(crate) fn count_due(&mut self, now: TimeUs) {
        let ahead = limits::DEMAND_EARLY_MS * 1_000.0 * self.fair.rate();
        let key = self.fair.peek(now, None).saturating_add(ahead as i64);
        while let Some(jobs) = self.early.advance(key) {
            for (slot, submission) in jobs {
                if !self.is_early(slot, submission) {
                    continue;
                }
                let Some(row) = self.jobs.get_mut(slot) else { continue };
                row.early = false;
                let model = &mut self.models[row.model as usize];
                model.due += 1;
                model.due_ms += row.run_ms;
            }
        }
    }

    /// Models without a load are warm everywhere: those that wait are looked at by every free worker.
    pub(crate) fn note_weightless(&mut self, model: u32) {
        let row = &self.models[model as usize];
        if row.profile.as_ref().is_some_and(|profile| profile.load_ms <= 0) && row.waiting > 0 {
            self.weightless.insert(model);
        } else if !self.weightless.is_empty() {
            self.weightless.remove(&model);
        }
    }
}
