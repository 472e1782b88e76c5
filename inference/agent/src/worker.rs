//! One worker: which models are in its memory, who uses them, and which one has to leave for the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backlot_inference_api::v1::{ModelSpec, WorkerSpec};
use backlot_inference_runtimes::Runtime;

use crate::gate::Gate;
use crate::models::{Maker, key};

/// A worker and its models.
pub(crate) struct Worker {
    pub(crate) spec: WorkerSpec,
    models: BTreeMap<String, Held>,
    /// Told to leave, and perhaps still in memory: whoever loads next waits for them.
    leaving: Vec<Arc<dyn Runtime>>,
    reported: BTreeSet<String>,
    uses: u64,
    /// Where it loads beside compute: who computes.
    gate: Option<Arc<Gate>>,
}

struct Held {
    runtime: Arc<dyn Runtime>,
    memory_mib: i64,
    users: usize,
    used_at: u64,
}

impl Held {
    /// Whether it takes room, or is about to.
    fn takes_room(&self) -> bool {
        self.runtime.takes_room() && (self.users > 0 || self.runtime.is_resident())
    }
}

/// A model that is in use from now on, and what has to leave before it is loaded.
pub(crate) struct Taken {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) evict: Vec<Arc<dyn Runtime>>,
    /// Where the worker loads beside compute: the turns at it.
    pub(crate) gate: Option<Arc<Gate>>,
}

impl Worker {
    pub(crate) fn new(spec: WorkerSpec) -> Self {
        let most = usize::try_from(spec.concurrency).unwrap_or(1);
        let gate = spec.overlap.then(|| Gate::new(most));
        let (models, reported) = (BTreeMap::new(), BTreeSet::new());
        Self { spec, models, leaving: Vec::new(), reported, uses: 0, gate }
    }

    /// Takes a model into use. The text says why it cannot be.
    pub(crate) fn take(&mut self, spec: &ModelSpec, maker: &Maker) -> Result<Taken, String> {
        if !self.spec.models.is_empty() && !self.spec.models.contains(&spec.name) {
            return Err(format!("worker \"{}\" does not run {}", self.spec.id, spec.name));
        }
        self.uses += 1;
        let key = key(spec);
        let runtime = match self.models.get(&key) {
            Some(held) => held.runtime.clone(),
            None => maker.make(&self.spec.id, spec)?,
        };
        if runtime.takes_room() {
            self.make_room(&key, spec.memory_mib)?;
        }
        let held = self.models.entry(key).or_insert_with(|| Held {
            runtime: runtime.clone(),
            memory_mib: spec.memory_mib,
            users: 0,
            used_at: 0,
        });
        held.users += 1;
        held.used_at = self.uses;
        Ok(Taken { runtime, evict: std::mem::take(&mut self.leaving), gate: self.gate.clone() })
    }

    /// Nobody new uses the model any more. One that is not in memory is forgotten, so that its description is
    /// read again for the next job.
    pub(crate) fn give_back(&mut self, key: &str) {
        if let Some(held) = self.models.get_mut(key) {
            held.users = held.users.saturating_sub(1);
            if held.users == 0 && !held.runtime.is_resident() {
                self.models.remove(key);
            }
        }
    }

    /// Tells a model to leave, where nobody uses it.
    pub(crate) fn evict(&mut self, key: &str) -> Option<Arc<dyn Runtime>> {
        if self.models.get(key)?.users > 0 {
            return None;
        }
        let runtime = self.models.remove(key)?.runtime;
        self.leaving.push(runtime.clone());
        Some(runtime)
    }

    /// The models in memory.
    pub(crate) fn resident(&self) -> BTreeSet<String> {
        self.models
            .iter()
            .filter(|(_, held)| held.runtime.is_resident())
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The models in memory, where they are others than at the last call that returned some.
    pub(crate) fn changed_residency(&mut self) -> Option<Vec<String>> {
        let resident = self.resident();
        (resident != self.reported).then(|| {
            self.reported = resident.clone();
            resident.into_iter().collect()
        })
    }

    /// All runtimes, for the end.
    pub(crate) fn runtimes(&self) -> Vec<Arc<dyn Runtime>> {
        self.models.values().map(|held| held.runtime.clone()).chain(self.leaving.iter().cloned()).collect()
    }

    /// Tells the least recently used models to leave until there is room for one more.
    fn make_room(&mut self, newcomer: &str, memory_mib: i64) -> Result<(), String> {
        while !self.has_room(newcomer, memory_mib) {
            let idle = self
                .models
                .iter()
                .filter(|(key, held)| *key != newcomer && held.users == 0 && held.takes_room());
            let oldest = idle.min_by_key(|(_, held)| held.used_at).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else {
                return Err(format!("worker \"{}\" has no room for another model", self.spec.id));
            };
            self.evict(&oldest);
        }
        Ok(())
    }

    fn has_room(&self, newcomer: &str, memory_mib: i64) -> bool {
        let others = self.models.iter().filter(|(key, held)| *key != newcomer && held.takes_room());
        let (count, used_mib) =
            others.fold((0, 0), |(count, sum), (_, held)| (count + 1, sum + held.memory_mib));
        let fits = self.spec.memory_mib == 0 || count == 0 || used_mib + memory_mib <= self.spec.memory_mib;
        count < self.spec.slots.max(1) && fits
    }
}
