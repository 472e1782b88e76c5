//! Agents and their workers, and which of them could take what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    batch::Batch,
    event::WorkerSpec,
    limits,
    loads::Loads,
    names::Slab,
    prepare::Preparing,
    state::Model,
    types::{AgentKey, Fence, JobKey, RegionKey, TimeUs, WorkerKey},
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) ids: BTreeMap<AgentKey, u32>,
    pub(crate) agents: Slab<Agent>,
    pub(crate) workers: Slab<Worker>,
    class_ids: BTreeMap<ClassKey, u32>,
    pub(crate) classes: Vec<Class>,
    /// Classes that have a worker.
    classes_used: usize,
    /// Workers that take work.
    pub(crate) live: usize,
    /// Those with room.
    pub(crate) free: usize,
    /// What all of them compute at once, at the reference's speed.
    pub(crate) capacity_milli: u64,
    /// Workers that load without a job.
    pub(crate) preparing: usize,
    /// Workers that load under pressure.
    pub(crate) pressed: usize,
    /// Attempts of jobs that were ahead of their tenants' shares.
    pub(crate) early: usize,
    /// Workers without room that could load a model beside what they compute.
    pub(crate) overlapping: BTreeSet<u32>,
    /// Workers that compute one attempt alone, which could be paused.
    pub(crate) pausable: BTreeSet<u32>,
    /// Attempts that were asked to pause, by the line that they are to stand aside for.
    pub(crate) asked: BTreeMap<u32, u32>,
    serials: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) key: AgentKey,
    pub(crate) connected: bool,
    pub(crate) draining: bool,
    /// While it is away: when it is dropped.
    pub(crate) forget_at: Option<TimeUs>,
    pub(crate) workers: BTreeMap<Arc<str>, u32>,
}

/// What workers must have in common to be alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassKey {
    pub(crate) region: RegionKey,
    pub(crate) gpus: u32,
    pub(crate) memory_mib: i64,
    pub(crate) speed_milli: u32,
    pub(crate) models: BTreeSet<Arc<str>>,
}

/// Workers that are alike.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) key: ClassKey,
    /// Those that take work.
    pub(crate) live: BTreeSet<u32>,
    /// Those with room, least valuable contents first (as of when they became free).
    pub(crate) spare: BTreeSet<(u64, u32)>,
    /// Workers, whether they take work or not.
    workers: u32,
}

impl Class {
    /// Whether its workers can run the model at all, busy or not.
    pub(crate) fn suits(&self, model: &Model) -> bool {
        let key = &self.key;
        let Some(profile) = &model.profile else { return false };
        let named = key.models.is_empty() || key.models.contains(&model.name);
        let memory = key.memory_mib == 0 || profile.memory_mib <= key.memory_mib;
        named && memory && profile.gpus <= key.gpus
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) key: WorkerKey,
    pub(crate) class: u32,
    /// No other worker ever had it: rows are used again.
    pub(crate) serial: u64,
    pub(crate) spec: WorkerSpec,
    pub(crate) price_micro_per_hour: i64,
    /// The most attempts that it may hold: what it took before it shrank, or came back with, stays.
    pub(crate) concurrency_max: usize,
    /// Resident models; what is being loaded counts.
    pub(crate) resident: SmallVec<[Resident; 2]>,
    /// Attempts that take its room, oldest first, also those whose lease is gone but which may still run.
    pub(crate) running: SmallVec<[Running; 1]>,
    /// What it loads without a job; it takes none meanwhile.
    pub(crate) preparing: Option<Preparing>,
    /// Whether it takes work and is counted among the replicas of what it holds.
    pub(crate) live: bool,
    /// Under which it stands among the spare workers of its class; `None`: it has no room.
    pub(crate) spare: Option<u64>,
}

/// A model on a worker, with the adapters merged into it.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    pub(crate) model: u32,
    pub(crate) used_at: TimeUs,
    pub(crate) adapters: Arc<[Arc<str>]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) fence: Fence,
    pub(crate) job: JobKey,
    /// `None`: of a job that is not known here.
    pub(crate) model: Option<u32>,
    /// When it should be done.
    pub(crate) ends_at: TimeUs,
    /// What its compute should take here.
    pub(crate) run_ms: i64,
    /// While it loads: since when, and what was expected.
    pub(crate) load: Option<(TimeUs, i64)>,
    /// Whether it loads under pressure.
    pub(crate) pressed: bool,
    /// Whether its job was ahead of its tenant's share.
    pub(crate) early: bool,
    /// While it is paused: since when. Its time to the end stands still.
    pub(crate) held: Option<TimeUs>,
    /// The batch that it computes in.
    pub(crate) batch: Option<Fence>,
    /// Memory that it takes beside the model's.
    pub(crate) more_mib: i64,
}

/// What an attempt is expected to load before it computes, milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loading {
    pub(crate) base_ms: i64,
    pub(crate) adapters_ms: i64,
    /// Whether it loads under pressure.
    pub(crate) pressed: bool,
    /// The batch that it computes in.
    pub(crate) batch: Option<Batch>,
}

impl Worker {
    /// Whether nothing warm could compute. Where loads and compute overlap, what loads takes no room yet.
    pub(crate) fn is_full(&self) -> bool {
        let most = self.spec.concurrency as usize;
        // What runs is one call at least.
        let calls = || most == 1 || self.calls() >= most;
        let full = || if self.spec.overlap { self.computing() >= most } else { calls() };
        self.preparing.is_some() || (self.running.len() >= most && full())
    }

    /// What runs here at once: the jobs of a batch take the room of one.
    pub(crate) fn calls(&self) -> usize {
        self.calls_of(|_| true)
    }

    /// Calls that compute, or are next to: they wait for no base model.
    fn computing(&self) -> usize {
        self.calls_of(|running| running.load.is_none())
    }

    fn calls_of(&self, counts: impl Fn(&Running) -> bool) -> usize {
        let first = |(at, one): (usize, &Running)| {
            one.batch.is_none() || !self.running[..at].iter().any(|other| other.batch == one.batch)
        };
        self.running.iter().enumerate().filter(|one| first(*one) && counts(one.1)).count()
    }

    fn is_loading(&self) -> bool {
        self.running.iter().any(|running| running.load.is_some())
    }

    /// Whether the load of another model would not stand in line behind one that runs.
    pub(crate) fn takes_load(&self) -> bool {
        !self.spec.overlap || !self.is_loading()
    }

    /// Whether it has no room, and could load a model beside what it computes.
    pub(crate) fn takes_ahead(&self) -> bool {
        if !self.spec.overlap || self.is_loading() || self.preparing.is_some() {
            return false;
        }
        let computes = self.running.iter().all(|running| running.held.is_none());
        computes && self.is_full() && self.calls() < self.calls_max()
    }

    /// Whether the model is on its way, and nothing of it could compute before those that bring it.
    pub(crate) fn brings(&self, model: u32) -> bool {
        let here = |running: &Running| running.model == Some(model) && running.load.is_some();
        self.spec.overlap && self.running.iter().any(here)
    }

    /// Calls that it may hold at once: where loads and compute overlap, one loads beside those that compute.
    pub(crate) fn calls_max(&self) -> usize {
        self.concurrency_max + usize::from(self.spec.overlap)
    }

    /// Whether what computed here stands aside, and nothing computes in its place yet.
    pub(crate) fn takes_guest(&self) -> bool {
        self.preparing.is_none()
            && self.running.iter().all(|running| running.held.is_some())
            && self.running.len() == 1
    }

    /// Memory that batches take beside their models'.
    pub(crate) fn more_mib(&self) -> i64 {
        self.running.iter().map(|running| running.more_mib).sum()
    }

    pub(crate) fn resident(&self, model: u32) -> Option<&Resident> {
        self.resident.iter().find(|resident| resident.model == model)
    }

    pub(crate) fn runs(&self, model: u32) -> bool {
        self.running.iter().any(|running| running.model == Some(model))
    }

    /// Milliseconds of `ms` at the reference's speed.
    pub(crate) fn here_ms(&self, ms: i64) -> i64 {
        ms.saturating_mul(1_000) / i64::from(self.spec.speed_milli.max(1))
    }

    /// Milliseconds until it has room; one that overruns is expected to need another tenth of its run.
    pub(crate) fn room_in_ms(&self, now: TimeUs, loads: &Loads) -> i64 {
        if !self.is_full() {
            return 0;
        }
        if let Some(preparing) = self.preparing {
            return loads.left_ms(now.since_ms(preparing.since), preparing.expected_ms);
        }
        // What stands aside goes on before anybody else comes.
        let held = self.running.iter().filter_map(|running| Some(running.ends_at.since_ms(running.held?)));
        let held_ms: i64 = held.sum();
        let left = self.running.iter().filter(|running| running.held.is_none()).map(|running| {
            if self.spec.overlap && running.load.is_some() {
                return i64::MAX;
            }
            if let Some((since, expected_ms)) = running.load {
                let after_ms = running.ends_at.since_ms(since) - expected_ms;
                return loads.left_ms(now.since_ms(since), expected_ms) + after_ms;
            }
            let left_ms = running.ends_at.0.saturating_sub(now.0) / 1_000;
            left_ms.max(if running.ends_at <= now { running.run_ms / 10 } else { 0 })
        });
        let left_ms = left.min().unwrap_or(0);
        left_ms.saturating_add(held_ms).saturating_add(self.next_ms(now, left_ms, loads))
    }

    /// What comes after what computes, because it is loaded by then: milliseconds of compute.
    fn next_ms(&self, now: TimeUs, left_ms: i64, loads: &Loads) -> i64 {
        if !self.spec.overlap {
            return 0;
        }
        let loaded = self.running.iter().filter(|running| {
            let load =
                running.load.map(|(since, expected_ms)| loads.left_ms(now.since_ms(since), expected_ms));
            load.is_some_and(|load_ms| load_ms <= left_ms)
        });
        loaded.map(|running| running.run_ms).sum()
    }

    fn weight_milli(&self) -> u64 {
        u64::from(self.spec.concurrency) * u64::from(self.spec.speed_milli)
    }
}

impl Fleet {
    pub(crate) fn agent(&self, key: &AgentKey) -> Option<(u32, &Agent)> {
        let id = *self.ids.get(key)?;
        Some((id, self.agents.get(id)?))
    }

    pub(crate) fn find(&self, key: &WorkerKey) -> Option<u32> {
        self.agent(&key.agent)?.1.workers.get(&key.worker).copied()
    }

    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    /// The class of a worker that is about to get a row.
    pub(crate) fn join_class(&mut self, region: &RegionKey, spec: &WorkerSpec) -> u32 {
        let id = self.class_of(region, spec);
        let class = &mut self.classes[id as usize];
        class.workers += 1;
        self.classes_used += usize::from(class.workers == 1);
        id
    }

    /// Drops a worker's row.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Worker> {
        let worker = self.workers.remove(id)?;
        let class = &mut self.classes[worker.class as usize];
        class.workers -= 1;
        self.classes_used -= usize::from(class.workers == 0);
        Some(worker)
    }

    /// Whether there are more classes without a worker than it costs to forget them.
    pub(crate) fn classes_are_loose(&self) -> bool {
        self.classes.len() > 2 * self.classes_used + limits::CLASSES_SPARE
    }

    /// Forgets classes without a worker; the others keep their order. The new number of each, by the old one.
    pub(crate) fn keep_classes(&mut self, models: &mut [Model]) -> Vec<Option<u32>> {
        let mut next = 0..;
        let numbers: Vec<Option<u32>> =
            self.classes.iter().map(|class| if class.workers > 0 { next.next() } else { None }).collect();
        let number = |old: u32| numbers[old as usize].unwrap_or(old);
        self.classes.retain(|class| class.workers > 0);
        self.class_ids.retain(|_, id| numbers[*id as usize].is_some());
        self.class_ids.values_mut().for_each(|id| *id = number(*id));
        self.workers.iter_mut().for_each(|worker| worker.class = number(worker.class));
        for model in models {
            model.free = model.free.iter().map(|(class, worker)| (number(*class), *worker)).collect();
        }
        numbers
    }

    fn class_of(&mut self, region: &RegionKey, spec: &WorkerSpec) -> u32 {
        let key = ClassKey {
            region: region.clone(),
            gpus: spec.gpus,
            memory_mib: spec.memory_mib,
            speed_milli: spec.speed_milli,
            models: spec.models.clone(),
        };
        if let Some(id) = self.class_ids.get(&key) {
            return *id;
        }
        let id = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        self.class_ids.insert(key.clone(), id);
        self.classes.push(Class { key, live: BTreeSet::new(), spare: BTreeSet::new(), workers: 0 });
        id
    }

    /// Counts the worker among those that take work.
    pub(crate) fn enlist(&mut self, id: u32, models: &mut [Model]) {
        let Some(worker) = self.workers.get_mut(id).filter(|worker| !worker.live) else { return };
        worker.live = true;
        self.live += 1;
        self.capacity_milli += worker.weight_milli();
        self.classes[worker.class as usize].live.insert(id);
        for resident in &worker.resident {
            models[resident.model as usize].replicas.insert(id);
        }
        self.note_overlap(id);
    }

    /// It takes no more work: gone, draining, or about to change.
    pub(crate) fn discharge(&mut self, id: u32, models: &mut [Model]) {
        self.hide(id, models);
        let Some(worker) = self.workers.get_mut(id).filter(|worker| worker.live) else { return };
        worker.live = false;
        self.live -= 1;
        self.capacity_milli -= worker.weight_milli();
        self.overlapping.remove(&id);
        self.classes[worker.class as usize].live.remove(&id);
        for resident in &worker.resident {
            models[resident.model as usize].replicas.remove(&id);
        }
    }

    /// Shows a worker with room to those who look for one.
    pub(crate) fn show(&mut self, now: TimeUs, id: u32, models: &mut [Model]) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        if !worker.live || worker.spare.is_some() || worker.is_full() {
            return;
        }
        let room = worker.resident.len() < worker.spec.slots as usize;
        let least = worker.resident.iter().map(|resident| models[resident.model as usize].value(now));
        let least = least.fold(f64::MAX, f64::min);
        let score = if room { 0 } else { (least.min(1e6) * 1e6) as u64 };
        worker.spare = Some(score);
        self.free += 1;
        self.classes[worker.class as usize].spare.insert((score, id));
        for resident in worker.resident.iter().filter(|resident| !worker.brings(resident.model)) {
            models[resident.model as usize].free.insert((worker.class, id));
        }
    }

    /// Notes what a worker loads without a job; whether that is something else than before.
    pub(crate) fn set_preparing(&mut self, id: u32, preparing: Option<Preparing>) -> bool {
        let Some(worker) = self.workers.get_mut(id) else { return false };
        let before = std::mem::replace(&mut worker.preparing, preparing);
        self.preparing = self.preparing + usize::from(preparing.is_some()) - usize::from(before.is_some());
        self.note_overlap(id);
        before != preparing
    }

    /// The opposite of [`Fleet::show`].
    pub(crate) fn hide(&mut self, id: u32, models: &mut [Model]) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let Some(score) = worker.spare.take() else { return };
        self.free -= 1;
        self.classes[worker.class as usize].spare.remove(&(score, id));
        for resident in &worker.resident {
            models[resident.model as usize].free.remove(&(worker.class, id));
        }
    }

    /// Changes what a worker holds or takes, with all counts kept.
    pub(crate) fn change(
        &mut self,
        now: TimeUs,
        id: u32,
        models: &mut [Model],
        change: impl FnOnce(&mut Worker),
    ) {
        let Some(worker) = self.workers.get(id) else { return };
        let (live, shown) = (worker.live, worker.spare.is_some());
        self.discharge(id, models);
        if let Some(worker) = self.workers.get_mut(id) {
            change(worker);
        }
        if live {
            self.enlist(id, models);
        }
        if shown {
            self.show(now, id, models);
        }
    }

    /// Keeps the workers that could load beside what they compute; to be called after each change of what one does.
    pub(crate) fn note_overlap(&mut self, id: u32) {
        if self.workers.get(id).is_some_and(|worker| worker.live && worker.takes_ahead()) {
            self.overlapping.insert(id);
        } else if !self.overlapping.is_empty() {
            self.overlapping.remove(&id);
        }
    }

    /// Frees the room that an attempt took; whether it took any.
    pub(crate) fn release(&mut self, id: u32, fence: Fence) -> bool {
        let Some(worker) = self.workers.get_mut(id) else { return false };
        let Some(at) = worker.running.iter().position(|running| running.fence == fence) else { return false };
        let ended = worker.running.remove(at);
        self.pausable.remove(&id);
        self.pressed -= usize::from(ended.pressed);
        self.early -= usize::from(ended.early);
        self.note_overlap(id);
        true
    }

    /// The load of these attempts is over, if they had any: they compute, or are next to.
    pub(crate) fn relieve(
        &mut self,
        now: TimeUs,
        id: u32,
        models: &mut [Model],
        which: impl Fn(&Running) -> bool,
    ) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let full = worker.spec.overlap && worker.is_full();
        let others = worker.running.iter().filter(|one| !which(one) && one.load.is_none());
        let first = others.map(|one| one.ends_at).min().filter(|_| full);
        let starts = first.unwrap_or(now).max(now);
        let mut loaded = false;
        for running in worker.running.iter_mut().filter(|one| which(one)) {
            self.pressed -= usize::from(std::mem::take(&mut running.pressed));
            running.ends_at = starts.plus_ms(running.run_ms);
            loaded |= running.load.take().is_some();
        }
        if loaded && worker.spec.overlap {
            self.change(now, id, models, |_| {});
        }
        self.note_overlap(id);
    }

    /// Drops a worker that nobody will hear of again.
    pub(crate) fn drop_worker(&mut self, id: u32, models: &mut [Model]) -> Option<Worker> {
        self.discharge(id, models);
        self.set_preparing(id, None);
        let worker = self.remove(id)?;
        self.pausable.remove(&id);
        self.pressed -= worker.running.iter().filter(|running| running.pressed).count();
        self.early -= worker.running.iter().filter(|running| running.early).count();
        Some(worker)
    }
}
