//! One GPU as it is, not as anybody believes: what is resident, what loads, what computes.

use std::collections::VecDeque;

use backlot_inference_scheduler::{AgentKey, Event, Fence, WorkerKey};

use super::setup::GpuSpec;

/// What the policy was last told of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing yet, or that it is gone.
    Gone,
    /// That it is there.
    Joined,
    /// That it takes nothing new.
    Draining,
}

/// A GPU with its agent; each has one of its own.
#[derive(Clone, Debug)]
pub(super) struct Gpu {
    pub(super) key: WorkerKey,
    pub(super) spec: GpuSpec,
    pub(super) told: Told,
    /// Whether the policy may believe something else to be resident than is, because the stream was cut or a load was
    /// stopped.
    pub(super) unsure: bool,
    /// Its pool, and when it was ordered.
    pub(super) pool: Option<(usize, i64)>,
    /// Whether it goes when its work is done.
    pub(super) leaving: bool,
    /// Whether its process lives.
    pub(super) alive: bool,
    /// Whether its stream is up.
    pub(super) linked: bool,
    pub(super) resident: Vec<Resident>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) load: Option<Load>,
    /// Models to be loaded that no attempt waits for.
    pub(super) prefetches: VecDeque<u32>,
    /// Reports that wait for the stream.
    pub(super) spool: Vec<Event>,
    pub(super) beating: bool,
    /// When its last report arrives: a stream keeps its order.
    pub(super) heard_until_us: i64,
    pub(super) busy_since_us: Option<i64>,
    pub(super) busy_us: i64,
    pub(super) up_since_us: Option<i64>,
    pub(super) up_us: i64,
}

/// A base model in memory, with the adapters that are merged into it.
#[derive(Clone, Debug)]
pub(super) struct Resident {
    pub(super) model: u32,
    pub(super) ready: bool,
    pub(super) merged: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for its data, a load, or the GPU.
    Waiting,
    /// Something that it needs is being loaded.
    Loading,
    /// It computes.
    Computing,
    /// It is held between two steps.
    Held,
    /// It computes in the call of another one.
    Riding,
}

#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) job: usize,
    pub(super) fence: Fence,
    pub(super) model: u32,
    pub(super) stage: Stage,
    pub(super) serial: u64,
    /// Its input is here from then on.
    pub(super) ready_us: i64,
    pub(super) began_us: Option<i64>,
    pub(super) computed_us: Option<i64>,
    pub(super) base_us: i64,
    pub(super) adapter_us: i64,
    pub(super) adapter_loads: u32,
    /// Whether it was told to stop.
    pub(super) stopping: bool,
    /// What is left of its compute here; `None`: all.
    pub(super) left_us: Option<i64>,
    /// Since when it computes or is held.
    pub(super) since_us: i64,
    /// How long it was held before.
    pub(super) held_us: i64,
    /// Whether it was told to pause.
    pub(super) pausing: bool,
    /// The batch that it computes in.
    pub(super) batch: Option<Fence>,
    /// How many compute in its call.
    pub(super) batched: u32,
}

impl Attempt {
    /// How long it was held until now.
    pub(super) fn held_until_us(&self, now_us: i64) -> i64 {
        self.held_us + if self.stage == Stage::Held { now_us - self.since_us } else { 0 }
    }
}

/// What is being loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) model: u32,
    /// The adapter, where it is not the base itself.
    pub(super) adapter: Option<u32>,
    /// The attempt that waits for it.
    pub(super) cause: Option<Fence>,
    pub(super) began_us: i64,
    pub(super) serial: u64,
}

/// What a GPU does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The attempt at this place computes.
    Compute(usize),
    /// The attempt at this place has its base loaded.
    Base(usize),
    /// The attempt at this place has this adapter loaded.
    Adapter(usize, u32),
    /// The first prefetch begins.
    Prefetch,
}

impl Gpu {
    pub(super) fn new(name: &str, spec: GpuSpec) -> Self {
        let agent = AgentKey::from(name);
        Self {
            key: WorkerKey::new(&agent, "gpu"),
            spec,
            told: Told::Gone,
            unsure: false,
            pool: None,
            leaving: false,
            alive: true,
            linked: true,
            resident: Vec::new(),
            attempts: Vec::new(),
            load: None,
            prefetches: VecDeque::new(),
            spool: Vec::new(),
            beating: false,
            heard_until_us: 0,
            busy_since_us: None,
            busy_us: 0,
            up_since_us: None,
            up_us: 0,
        }
    }

    pub(super) fn resident(&self, model: u32) -> Option<&Resident> {
        self.resident.iter().find(|one| one.model == model)
    }

    pub(super) fn resident_mut(&mut self, model: u32) -> Option<&mut Resident> {
        self.resident.iter_mut().find(|one| one.model == model)
    }

    pub(super) fn attempt(&mut self, fence: Fence) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.fence == fence)
    }

    pub(super) fn computes(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.stage == Stage::Computing)
    }

    /// Attempts that take the GPU's room: one that is held leaves it to another.
    pub(super) fn active(&self) -> usize {
        self.attempts.iter().filter(|attempt| !matches!(attempt.stage, Stage::Held | Stage::Riding)).count()
    }

    /// Attempts that it takes at once: where loads and compute overlap, one loads beside those that compute.
    pub(super) fn attempts_max(&self) -> usize {
        self.spec.concurrency as usize + usize::from(self.spec.overlap)
    }

    /// Whether another attempt may compute: one that has loaded beside others waits for them.
    fn has_compute(&self) -> bool {
        let computing = self.attempts.iter().filter(|attempt| attempt.stage == Stage::Computing).count();
        !self.spec.overlap || computing < self.spec.concurrency as usize
    }

    /// Whether one more base fits, after one that nothing uses has gone.
    fn has_room(&self) -> bool {
        self.resident.len() < self.spec.slots as usize || self.idle_base().is_some()
    }

    /// A resident base that nothing uses.
    pub(super) fn idle_base(&self) -> Option<u32> {
        self.resident.iter().map(|one| one.model).find(|model| !self.uses(*model))
    }

    /// Whether the model is needed by what runs or is about to.
    pub(super) fn uses(&self, model: u32) -> bool {
        self.attempts.iter().any(|attempt| attempt.model == model)
            || self.load.is_some_and(|load| load.model == model)
            || self.prefetches.contains(&model)
    }

    /// The next thing to start, if anything can: compute before loads, loads of attempts before prefetches.
    pub(super) fn next_step(&self, now_us: i64, adapters_of: impl Fn(usize) -> Vec<u32>) -> Option<Step> {
        let may_load = self.load.is_none() && (self.spec.overlap || !self.computes());
        let may_compute = (self.load.is_none() || self.spec.overlap) && self.has_compute();
        for (at, attempt) in self.attempts.iter().enumerate() {
            if attempt.stage != Stage::Waiting || attempt.ready_us > now_us {
                continue;
            }
            match self.resident(attempt.model) {
                Some(base) if base.ready => {
                    let missing =
                        adapters_of(attempt.job).into_iter().find(|adapter| !base.merged.contains(adapter));
                    match missing {
                        None if may_compute => return Some(Step::Compute(at)),
                        Some(adapter) if may_load => return Some(Step::Adapter(at, adapter)),
                        None | Some(_) => {}
                    }
                }
                None if !self.has_room() => {}
                // A prefetch that has not begun becomes the attempt's own load.
                _ if may_load => return Some(Step::Base(at)),
                _ => {}
            }
        }
        (may_load && !self.prefetches.is_empty()).then_some(Step::Prefetch)
    }

    /// Counts the time in which it loads or computes. To be called after each change of either.
    pub(super) fn account(&mut self, now_us: i64) {
        let busy = self.load.is_some() || self.computes();
        match (self.busy_since_us, busy) {
            (None, true) => self.busy_since_us = Some(now_us),
            (Some(since), false) => {
                self.busy_us += now_us - since;
                self.busy_since_us = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
}
