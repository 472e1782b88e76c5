//! Long jobs that stand aside between two of their steps. Where a model's runtime offers it, a worker that computes a
//! long job holds it, computes something short in its place, and goes on where it was. The held job keeps its lease, its
//! fence and its memory; only its clock stands still.
//!
//! A pause must earn its cost: the job that waits must be shorter by [`PAUSE_LONGER`](limits::PAUSE_LONGER) and expect to
//! wait [`PAUSE_GAIN`](limits::PAUSE_GAIN) times what the long one loses. Nobody starves: an attempt stands aside for no longer than
//! [`PAUSE_FIRST_MS`](limits::PAUSE_FIRST_MS) and a share of what it has computed. The worker is only counted on once its
//! agent says that the attempt is paused, and it goes on at once when nothing short is left.

use crate::{
    dispatch::Todo,
    effect::Effect,
    event::RunningAttempt,
    fleet::Worker,
    limits,
    scheduler::Scheduler,
    state::{Job, Lease, State},
    types::{AgentKey, Fence, JobKey, Phase, TimeUs, WorkerKey},
};

/// Whether an attempt stands aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It goes on.
    #[default]
    Free,
    /// It was asked to.
    Asked {
        at: TimeUs,
        /// When the wish is taken back.
        until: TimeUs,
        /// The line for which.
        line: u32,
    },
    /// It does.
    Held {
        since: TimeUs,
        /// The line for which, until somebody of any line has come.
        line: Option<u32>,
    },
}

impl Hold {
    pub(crate) fn is_unanswered(self, now: TimeUs) -> bool {
        matches!(self, Self::Asked { until, .. } if until <= now)
    }
}

impl Lease {
    /// Whether it has computed for too long: a pause does not count.
    pub(crate) fn is_overdue(&self, now: TimeUs) -> bool {
        !matches!(self.hold, Hold::Held { .. }) && self.times_out_at <= now
    }

    /// Milliseconds that it has computed.
    pub(crate) fn computed_ms(&self, now: TimeUs) -> Option<i64> {
        let until = match self.hold {
            Hold::Held { since, .. } => since,
            Hold::Free | Hold::Asked { .. } => now,
        };
        Some((until.since_ms(self.started_at?) - self.held_ms).max(0))
    }

    /// Milliseconds for which it may still stand aside.
    fn patience_ms(&self, now: TimeUs) -> i64 {
        let held_ms = match self.hold {
            Hold::Held { since, .. } => now.since_ms(since),
            Hold::Free | Hold::Asked { .. } => 0,
        };
        let computed_ms = self.computed_ms(now).unwrap_or(0);
        limits::PAUSE_FIRST_MS + computed_ms * limits::PAUSE_PERMILLE / 1_000 - self.held_ms - held_ms
    }
}

/// What a job on a worker where another stands aside would take.
struct Visit {
    /// Merging its adapters.
    load_ms: i64,
    /// How long the other one is held up.
    hold_ms: i64,
}

impl Scheduler {
    /// Asks long jobs to stand aside for what waits in a line and gets no worker now.
    pub(crate) fn ask_for(&mut self, now: TimeUs, line: u32, effects: &mut Vec<Effect>) {
        while let Some(slot) = self.state.stands_in_the_way(now, line) {
            let until = now.plus_ms(limits::PAUSE_ANSWER_MS);
            self.state.set_hold(slot, Hold::Asked { at: now, until, line });
            self.state.arm(slot);
            let Some((row, lease)) = self.state.leased(slot) else { return };
            let (job, fence, worker) = (row.key, lease.fence, lease.worker.clone());
            effects.push(Effect::Pause { job, fence, worker });
        }
    }

    /// It was not paused in time: whatever it says from now on, it goes on.
    pub(crate) fn take_back(&mut self, now: TimeUs, slot: u32, effects: &mut Vec<Effect>) {
        self.state.set_hold(slot, Hold::Free);
        self.state.arm(slot);
        if let Some(lease) = self.state.jobs.get_mut(slot).and_then(Job::lease_mut) {
            lease.rests_until = now.plus_ms(limits::PAUSE_REST_MS);
        }
        self.state.note_pausable(slot);
        self.tell_to_go_on(slot, effects);
    }

    fn tell_to_go_on(&self, slot: u32, effects: &mut Vec<Effect>) {
        let Some((row, lease)) = self.state.leased(slot) else { return };
        let (job, fence, worker) = (row.key, lease.fence, lease.worker.clone());
        effects.push(Effect::Resume { job, fence, worker });
    }

    /// What a progress report says about a pause.
    pub(crate) fn note_hold(
        &mut self,
        now: TimeUs,
        job: JobKey,
        fence: Fence,
        phase: Phase,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.state.slot_of(job) else { return };
        let Some(row) = self.state.jobs.get(slot) else { return };
        let Some(hold) = row.lease_under(fence).map(|lease| lease.hold) else { return };
        let model = row.model;
        match (phase, hold) {
            (Phase::Paused, Hold::Asked { at, line, .. }) => {
                self.state.predictor.paused(model, now.since_ms(at));
                self.holds(now, slot, Some(line), effects);
            }
            // Nobody wants that any more, or nobody did.
            (Phase::Paused, Hold::Free) => self.tell_to_go_on(slot, effects),
            (Phase::Running | Phase::Uploading, Hold::Held { .. }) => self.went_on(now, slot),
            (Phase::Uploading, Hold::Asked { .. }) => self.state.set_hold(slot, Hold::Free),
            (Phase::Running, Hold::Free) => self.state.note_pausable(slot),
            (Phase::Paused, Hold::Held { .. }) | (Phase::Running, Hold::Asked { .. }) => {}
            (Phase::Assigned | Phase::Fetching | Phase::Loading, _) | (Phase::Uploading, Hold::Free) => {}
        }
    }

    /// The attempt is paused: its worker is free for a guest.
    fn holds(&mut self, now: TimeUs, slot: u32, line: Option<u32>, effects: &mut Vec<Effect>) {
        self.state.set_hold(slot, Hold::Held { since: now, line });
        self.state.arm(slot);
        let Some((_, lease)) = self.state.leased(slot) else { return };
        let (fence, holder) = (lease.fence, self.state.holder(lease));
        let worker = holder.and_then(|id| self.state.fleet.workers.get_mut(id));
        let others = worker.as_ref().map_or(0, |worker| {
            worker.running.iter().filter(|one| one.held.is_some() && one.fence != fence).count()
        });
        let running = worker.and_then(|worker| worker.running.iter_mut().find(|one| one.fence == fence));
        match (running, holder) {
            (Some(running), Some(id)) if others < limits::PAUSED_PER_WORKER => {
                running.held = Some(now);
                self.state.fleet.pausable.remove(&id);
                self.state.fleet.note_overlap(id);
                self.todo.push(Todo::Worker(id));
            }
            // Its worker is not known, or holds another one: nothing can come of it.
            _ => {
                self.went_on(now, slot);
                self.tell_to_go_on(slot, effects);
            }
        }
    }

    /// The attempt computes again: what it stood aside for counts neither as compute nor towards its time-out.
    fn went_on(&mut self, now: TimeUs, slot: u32) {
        let Some(lease) = self.state.jobs.get_mut(slot).and_then(Job::lease_mut) else { return };
        let Hold::Held { since, .. } = lease.hold else { return };
        let held_ms = now.since_ms(since);
        lease.held_ms += held_ms;
        lease.times_out_at = lease.times_out_at.plus_ms(held_ms);
        let fence = lease.fence;
        self.state.set_hold(slot, Hold::Free);
        self.state.arm(slot);
        let Some((_, lease)) = self.state.leased(slot) else { return };
        let holder = self.state.holder(lease);
        let worker = holder.and_then(|id| self.state.fleet.workers.get_mut(id));
        let running = worker.and_then(|worker| worker.running.iter_mut().find(|one| one.fence == fence));
        if let Some(running) = running {
            running.held = None;
            running.ends_at = running.ends_at.plus_ms(held_ms);
        }
        holder.into_iter().for_each(|id| self.state.fleet.note_overlap(id));
        self.state.note_pausable(slot);
    }

    /// Where an attempt stands aside: gives its worker to what is short, or lets it go on. Whether one does.
    pub(crate) fn serve_held(&mut self, now: TimeUs, id: u32, effects: &mut Vec<Effect>) -> bool {
        let Some(worker) = self.state.fleet.workers.get(id) else { return false };
        let Some(held) = worker.running.iter().find(|running| running.held.is_some()) else { return false };
        let (job, fence) = (held.job, held.fence);
        if !worker.takes_guest() {
            return true;
        }
        let Some(slot) = self.state.slot_of(job) else { return true };
        // One without a lease is being stopped.
        if self.state.jobs.get(slot).and_then(|row| row.lease_under(fence)).is_none() {
            return true;
        }
        while let Some(line) = self.state.guest(now, id, slot) {
            if self.state.settle_head(line) {
                continue;
            }
            self.charge_pause(slot, line);
            self.start(now, line, id, &[], false, effects);
            // One that came too late has ended instead.
            if self.state.fleet.workers.get(id).is_none_or(|worker| !worker.takes_guest()) {
                return true;
            }
        }
        self.went_on(now, slot);
        self.tell_to_go_on(slot, effects);
        true
    }

    /// What a pause costs is the cost of the tenant whose job it was made for, as a load is.
    fn charge_pause(&mut self, slot: u32, line: u32) {
        let guest = self.state.lines.head(line).and_then(|(_, slot)| self.state.jobs.get(slot));
        let Some(tenant) = guest.map(|row| row.tenant) else { return };
        let Some(row) = self.state.jobs.get(slot) else { return };
        let cost_ms = self.state.pause_cost_ms(row.model);
        let Some(lease) = self.state.jobs.get_mut(slot).and_then(Job::lease_mut) else { return };
        if let Hold::Held { line, .. } = &mut lease.hold
            && line.take().is_some()
            && cost_ms > 0
        {
            self.state.fair.charge_load(tenant, cost_ms);
        }
    }

    /// What a joining agent says of a pause counts: the attempt may have gone on while the agent was away, and after a
    /// restart nobody else knows.
    pub(crate) fn settle_hold(
        &mut self,
        now: TimeUs,
        agent: &AgentKey,
        run: &RunningAttempt,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.state.slot_of(run.job) else { return };
        let Some(row) = self.state.jobs.get_mut(slot) else { return };
        let key = WorkerKey { agent: agent.clone(), worker: run.worker.clone() };
        let Some(lease) = row.lease_mut().filter(|lease| lease.fence == run.fence && lease.worker == key)
        else {
            return;
        };
        if matches!(lease.hold, Hold::Held { .. }) {
            self.went_on(now, slot);
        }
        self.state.set_hold(slot, Hold::Free);
        let Some(lease) = self.state.jobs.get_mut(slot).and_then(Job::lease_mut) else { return };
        let more_ms = (run.held_ms.min(limits::ATTEMPT_TIMEOUT_MS) - lease.held_ms).max(0);
        lease.held_ms += more_ms;
        lease.times_out_at = lease.times_out_at.plus_ms(more_ms);
        self.state.arm(slot);
        if run.paused {
            self.holds(now, slot, None, effects);
        } else {
            self.state.note_pausable(slot);
        }
    }
}

impl State {
    /// A job with its lease.
    fn leased(&self, slot: u32) -> Option<(&Job, &Lease)> {
        let row = self.jobs.get(slot)?;
        Some((row, row.lease()?))
    }

    /// The one place where a hold changes: who was asked is counted by line.
    pub(crate) fn set_hold(&mut self, slot: u32, hold: Hold) {
        let Some(lease) = self.jobs.get_mut(slot).and_then(Job::lease_mut) else { return };
        let before = std::mem::replace(&mut lease.hold, hold);
        if let Hold::Asked { line, .. } = before
            && let Some(count) = self.fleet.asked.get_mut(&line)
        {
            *count -= 1;
            if *count == 0 {
                self.fleet.asked.remove(&line);
            }
        }
        if let Hold::Asked { line, .. } = hold {
            *self.fleet.asked.entry(line).or_default() += 1;
        }
    }

    /// Notes a worker whose only attempt computes and could be paused. A worker that runs several at once shares its
    /// machine already.
    pub(crate) fn note_pausable(&mut self, slot: u32) {
        let Some((row, lease)) = self.leased(slot) else { return };
        let offers = self.models[row.model as usize].profile.as_ref().and_then(|p| p.offers.pause);
        if offers.is_none() || lease.started_at.is_none() || lease.phase == Phase::Uploading {
            return;
        }
        let Some(id) = self.holder(lease) else { return };
        let alone = self.fleet.workers.get(id).is_some_and(|worker| {
            worker.running.len() == 1
                && worker.spec.concurrency == 1
                && worker.running[0].held.is_none()
                && worker.running[0].batch.is_none()
        });
        if alone && lease.hold == Hold::Free {
            self.fleet.pausable.insert(id);
        }
    }

    fn pause_cost_ms(&self, model: u32) -> i64 {
        let offers = self.models[model as usize].profile.as_ref().and_then(|profile| profile.offers.pause);
        offers.map_or(0, |pause| pause.cost_ms.max(0))
    }

    /// What the head of a line would do on a worker where another job stands aside; `None` where it cannot come: its
    /// model does not fit beside, or is the very one that stands aside.
    fn visit(&self, worker: &Worker, line: u32, guest: &Job, held: &Job) -> Option<Visit> {
        let row = self.lines.line(line);
        let class = &self.fleet.classes[worker.class as usize];
        // A job that is ahead of its tenant's share holds nobody else up.
        let greedy = guest.early && guest.tenant != held.tenant;
        let short = guest.run_ms.saturating_mul(limits::PAUSE_LONGER) <= held.run_ms;
        if greedy || !short || guest.model == held.model || !self.fits(row.model, row.place, class) {
            return None;
        }
        // Both models are in memory at once, also those that are nowhere resident between two jobs.
        let size = |model: u32| self.models[model as usize].profile.as_ref().map_or(0, |p| p.memory_mib);
        if worker.spec.memory_mib > 0 && size(held.model) + size(guest.model) > worker.spec.memory_mib {
            return None;
        }
        // Only what is there already: which model is worth a load is the swap rule's business, and while something stands
        // aside its own model takes room that others would want.
        let resident = worker.resident(guest.model);
        if resident.is_none() && self.models[guest.model as usize].loads() {
            return None;
        }
        let new =
            guest.adapters.iter().filter(|name| !resident.is_some_and(|one| one.adapters.contains(name)));
        let load_ms = worker.here_ms(new.count() as i64 * limits::ADAPTER_LOAD_MS);
        Some(Visit { load_ms, hold_ms: load_ms + worker.here_ms(guest.run_ms) })
    }

    /// The long job that should stand aside for the first of a line for whom none does yet.
    fn stands_in_the_way(&self, now: TimeUs, line: u32) -> Option<u32> {
        if self.fleet.pausable.is_empty() {
            return None;
        }
        let asked = self.fleet.asked.get(&line).copied().unwrap_or(0);
        let row = self.lines.line(line);
        let guest = self.jobs.get(*row.jobs.values().nth(asked as usize)?)?;
        let place = self.places.key(row.place);
        let (wait_ms, _) = self.start_ms(now, row.model, place, u64::from(asked));
        let mut best: Option<(i64, i64, u32)> = None;
        for id in self.fleet.pausable.iter().take(limits::PAUSES_COMPARED) {
            let Some(worker) = self.fleet.workers.get(*id).filter(|worker| worker.live) else { continue };
            let Some(running) = worker.running.first() else { continue };
            let Some(slot) = self.slot_of(running.job) else { continue };
            let Some((held, lease)) = self.leased(slot).filter(|(_, lease)| {
                let asks = lease.hold == Hold::Free && lease.rests_until <= now;
                lease.fence == running.fence && asks && lease.phase != Phase::Uploading
            }) else {
                continue;
            };
            let Some(visit) = self.visit(worker, line, guest, held) else { continue };
            let hold_ms = visit.hold_ms + self.pause_cost_ms(held.model);
            let answer_ms = self.predictor.pause_ms(held.model);
            let gained_ms = (wait_ms - answer_ms - visit.load_ms) as f64;
            let earned = gained_ms > limits::PAUSE_GAIN * hold_ms as f64;
            if !earned || hold_ms > lease.patience_ms(now) || held.cancel_requested {
                continue;
            }
            // The cheapest to stand aside; of those alike, the one that would be longest in the way.
            let left_ms = running.ends_at.since_ms(now);
            if best.is_none_or(|(load_ms, left, _)| (visit.load_ms, -left_ms) < (load_ms, -left)) {
                best = Some((visit.load_ms, left_ms, slot));
            }
        }
        best.map(|(_, _, slot)| slot)
    }

    /// The line whose head comes to a worker where something stands aside: of those that are warm there the one that stands
    /// first.
    fn guest(&self, now: TimeUs, id: u32, slot: u32) -> Option<u32> {
        let worker = self.fleet.workers.get(id).filter(|worker| worker.live)?;
        let (held, lease) = self.leased(slot)?;
        let patience_ms = lease.patience_ms(now);
        let models = worker.resident.iter().map(|resident| resident.model);
        let warm = models.chain(self.weightless.iter().copied()).flat_map(|model| {
            let row = &self.models[model as usize];
            if row.waiting == 0 { &[] } else { row.lines.as_slice() }
        });
        let comes = warm.copied().filter_map(|line| {
            let (rank, slot) = self.lines.head(line)?;
            let guest = self.jobs.get(slot)?;
            let visit = self.visit(worker, line, guest, held)?;
            let row = self.lines.line(line);
            let (wait_ms, _) = self.start_ms(now, row.model, self.places.key(row.place), 0);
            let earned = wait_ms as f64 > limits::PAUSE_GAIN * visit.hold_ms as f64;
            (earned && visit.hold_ms <= patience_ms).then_some((rank, line))
        });
        comes.min().map(|(_, line)| line)
    }
}
