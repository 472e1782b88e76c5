//! Agents and their workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    event::{ModelProfile, WorkerSpec},
    types::{AgentKey, Fence, JobKey, ModelKey, RegionKey, TimeUs, WorkerKey},
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) agents: BTreeMap<AgentKey, Agent>,
}

#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) region: RegionKey,
    pub(crate) connected: bool,
    pub(crate) draining: bool,
    /// While it is away: when it is dropped.
    pub(crate) forget_at: Option<TimeUs>,
    pub(crate) workers: BTreeMap<Arc<str>, Worker>,
}

#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) spec: WorkerSpec,
    pub(crate) price_micro_per_hour: i64,
    /// The most attempts that it may hold: what it took before it shrank, or came back with, stays.
    pub(crate) concurrency_max: usize,
    /// Resident models with the time of their last use; what is being loaded counts.
    pub(crate) resident: BTreeMap<ModelKey, TimeUs>,
    /// Attempts that take its room, also those whose lease is gone but which may still run.
    pub(crate) running: BTreeMap<Fence, Running>,
    pub(crate) idle_since: TimeUs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) job: JobKey,
    pub(crate) model: ModelKey,
}

impl Worker {
    pub(crate) fn new(spec: WorkerSpec, now: TimeUs) -> Self {
        Self {
            concurrency_max: spec.concurrency as usize,
            spec,
            price_micro_per_hour: 0,
            resident: BTreeMap::new(),
            running: BTreeMap::new(),
            idle_since: now,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.running.len() >= self.spec.concurrency as usize
    }

    /// Whether it can run the model at all, busy or not.
    pub(crate) fn suits(&self, profile: &ModelProfile) -> bool {
        let name = profile.model.as_str().rsplit_once(':').map_or(profile.model.as_str(), |(name, _)| name);
        let named = self.spec.models.is_empty() || self.spec.models.contains(name);
        let memory = self.spec.memory_mib == 0 || profile.memory_mib <= self.spec.memory_mib;
        named && memory && profile.gpus <= self.spec.gpus
    }

    /// Whether the model needs no load here.
    pub(crate) fn is_warm(&self, profile: &ModelProfile) -> bool {
        profile.load_ms == 0 || self.resident.contains_key(&profile.model)
    }

    /// What has to go so that the model fits, least recently used first; `None` where what runs is in the way.
    pub(crate) fn room_for(
        &self,
        profile: &ModelProfile,
        models: &BTreeMap<ModelKey, ModelProfile>,
    ) -> Option<Vec<ModelKey>> {
        if self.is_warm(profile) {
            return Some(Vec::new());
        }
        let size = |model: &ModelKey| models.get(model).map_or(0, |profile| profile.memory_mib);
        let in_use: BTreeSet<&ModelKey> = self.running.values().map(|running| &running.model).collect();
        let mut idle: Vec<(TimeUs, &ModelKey)> = self
            .resident
            .iter()
            .filter(|(model, _)| !in_use.contains(model))
            .map(|(model, used_at)| (*used_at, model))
            .collect();
        idle.sort_unstable_by(|a, b| b.cmp(a));
        let mut count = self.resident.len();
        let mut memory_mib: i64 = self.resident.keys().map(size).sum();
        let mut evicted = Vec::new();
        loop {
            let slot = count < self.spec.slots as usize;
            let fits = self.spec.memory_mib == 0 || memory_mib + profile.memory_mib <= self.spec.memory_mib;
            if slot && fits {
                return Some(evicted);
            }
            let (_, model) = idle.pop()?;
            count -= 1;
            memory_mib -= size(model);
            evicted.push(model.clone());
        }
    }
}

impl Fleet {
    pub(crate) fn worker(&self, key: &WorkerKey) -> Option<&Worker> {
        self.agents.get(&key.agent)?.workers.get(&key.worker)
    }

    pub(crate) fn worker_mut(&mut self, key: &WorkerKey) -> Option<&mut Worker> {
        self.agents.get_mut(&key.agent)?.workers.get_mut(&key.worker)
    }

    /// Workers of agents that are connected, also of those that take nothing new.
    pub(crate) fn connected(&self) -> impl Iterator<Item = (WorkerKey, &Agent, &Worker)> {
        self.agents.iter().filter(|(_, agent)| agent.connected).flat_map(|(key, agent)| {
            agent.workers.iter().map(move |(name, worker)| {
                (WorkerKey { agent: key.clone(), worker: name.clone() }, agent, worker)
            })
        })
    }

    /// Frees the room that an attempt took; whether it took any.
    pub(crate) fn release(&mut self, worker: &WorkerKey, fence: Fence, now: TimeUs) -> bool {
        let Some(worker) = self.worker_mut(worker) else { return false };
        let released = worker.running.remove(&fence).is_some();
        if released && worker.running.is_empty() {
            worker.idle_since = now;
        }
        released
    }
}
