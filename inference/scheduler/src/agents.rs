//! Agents come, report and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    effect::{Effect, StopReason},
    event::{AgentSpec, RunningAttempt},
    fleet::{Agent, Running, Worker},
    limits,
    scheduler::Scheduler,
    timers::Timer,
    types::{AgentKey, Fence, JobKey, ModelKey, TimeUs, WorkerKey},
};

impl Scheduler {
    /// The agent's own list decides what runs there: what it does not name is lost at once, what it names without a
    /// current lease is stopped.
    pub(crate) fn agent_joined(&mut self, now: TimeUs, spec: AgentSpec, effects: &mut Vec<Effect>) {
        let AgentSpec { agent: key, region, workers, running } = spec;
        if let Some(forget_at) = self.state.fleet.agents.get(&key).and_then(|agent| agent.forget_at) {
            self.state.timers.clear(forget_at, Timer::Forget(key.clone()));
        }
        let workers: BTreeMap<Arc<str>, Worker> = workers
            .into_iter()
            .map(|mut spec| {
                spec.slots = spec.slots.max(1);
                spec.concurrency = spec.concurrency.max(1);
                (spec.worker.clone(), Worker::new(spec, now))
            })
            .collect();
        let agent = Agent { region, connected: true, draining: false, forget_at: None, workers };
        self.state.fleet.agents.insert(key.clone(), agent);

        let named: BTreeSet<(JobKey, Fence)> = running.iter().map(|run| (run.job, run.fence)).collect();
        for (job, fence) in self.leases_of(&key) {
            if !named.contains(&(job, fence)) {
                self.lose(now, job, fence, effects);
            }
        }
        for run in &running {
            self.occupy(&key, run);
            self.extend_or_stop(now, &key, run, true, effects);
        }
        self.replan = true;
    }

    pub(crate) fn agent_lost(&mut self, now: TimeUs, key: &AgentKey) {
        let Some(agent) = self.state.fleet.agents.get_mut(key).filter(|agent| agent.connected) else {
            return;
        };
        let forget_at = now.plus_ms(limits::AGENT_FORGET_MS);
        agent.connected = false;
        agent.forget_at = Some(forget_at);
        self.state.timers.set(forget_at, Timer::Forget(key.clone()));
    }

    /// By now its leases have long expired.
    pub(crate) fn agent_forgotten(&mut self, key: &AgentKey, effects: &mut Vec<Effect>) {
        if self.state.fleet.agents.get(key).is_some_and(|agent| !agent.connected) {
            self.state.fleet.agents.remove(key);
            effects.push(Effect::AgentForgotten { agent: key.clone() });
        }
    }

    pub(crate) fn agent_draining(&mut self, key: &AgentKey) {
        if let Some(agent) = self.state.fleet.agents.get_mut(key) {
            agent.draining = true;
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        now: TimeUs,
        key: &AgentKey,
        running: &[RunningAttempt],
        effects: &mut Vec<Effect>,
    ) {
        let named: BTreeSet<Fence> = running.iter().map(|run| run.fence).collect();
        for run in running {
            self.extend_or_stop(now, key, run, false, effects);
        }
        self.free_what_ended(now, key, &named);
    }

    pub(crate) fn worker_report(&mut self, now: TimeUs, key: &WorkerKey, resident: BTreeSet<ModelKey>) {
        let Some(worker) = self.state.fleet.worker_mut(key) else { return };
        let before = std::mem::take(&mut worker.resident);
        // What was assigned a moment ago may still be loading and is not in the report yet.
        let loading =
            worker.running.values().map(|running| running.model.clone()).filter(|m| before.contains_key(m));
        worker.resident = resident
            .into_iter()
            .chain(loading)
            .map(|model| {
                let used_at = before.get(&model).copied().unwrap_or(now);
                (model, used_at)
            })
            .collect();
        self.replan = true;
    }

    pub(crate) fn capacity_changed(
        &mut self,
        key: &WorkerKey,
        concurrency: u32,
        slots: u32,
        price_micro_per_hour: i64,
    ) {
        let Some(worker) = self.state.fleet.worker_mut(key) else { return };
        worker.spec.concurrency = concurrency;
        worker.concurrency_max = worker.concurrency_max.max(concurrency as usize);
        worker.spec.slots = slots.max(1);
        worker.price_micro_per_hour = price_micro_per_hour;
        self.replan = true;
    }

    pub(crate) fn load_finished(
        &mut self,
        now: TimeUs,
        key: &WorkerKey,
        model: &ModelKey,
        load_ms: i64,
        loaded: bool,
    ) {
        let Some(worker) = self.state.fleet.worker_mut(key) else { return };
        if loaded {
            worker.resident.insert(model.clone(), now);
            self.state.predictor.loaded(model, load_ms);
        } else {
            worker.resident.remove(model);
        }
        self.replan = true;
    }

    /// A report on an attempt without a lease still frees the room that it took.
    pub(crate) fn release_late(&mut self, job: JobKey, fence: Fence, now: TimeUs) {
        let taken = self.state.fleet.connected().find_map(|(key, _, worker)| {
            worker.running.get(&fence).filter(|running| running.job == job).map(|_| key)
        });
        if let Some(key) = taken {
            self.state.fleet.release(&key, fence, now);
            self.replan = true;
        }
    }

    fn leases_of(&self, agent: &AgentKey) -> Vec<(JobKey, Fence)> {
        let live = self.state.jobs.iter().filter_map(|(job, row)| Some((*job, row.lease()?)));
        live.filter(|(_, lease)| lease.worker.agent == *agent)
            .map(|(job, lease)| (job, lease.fence))
            .collect()
    }

    fn extend_or_stop(
        &mut self,
        now: TimeUs,
        agent: &AgentKey,
        run: &RunningAttempt,
        joining: bool,
        effects: &mut Vec<Effect>,
    ) {
        let (job, fence) = (run.job, run.fence);
        let worker = WorkerKey { agent: agent.clone(), worker: run.worker.clone() };
        let cancel_requested = self.state.jobs.get(&job).is_some_and(|row| row.cancel_requested);
        let Some(lease) = self.lease_mut(job, fence) else {
            effects.push(Effect::StopAttempt { job, fence, worker, why: StopReason::Stale });
            return;
        };
        let before = std::mem::replace(&mut lease.expires_at, now.plus_ms(limits::LEASE_MS));
        let after = lease.expires_at;
        self.state.timers.clear(before, Timer::Lease(job, fence));
        self.state.timers.set(after, Timer::Lease(job, fence));
        if joining {
            effects.push(Effect::Keep { job, fence, worker: worker.clone() });
            if cancel_requested {
                effects.push(Effect::StopAttempt { job, fence, worker, why: StopReason::Canceled });
            }
        }
    }

    /// What an agent says it runs takes room there, whether it holds a lease or not.
    fn occupy(&mut self, agent: &AgentKey, run: &RunningAttempt) {
        let model = self.state.jobs.get(&run.job).map(|row| row.spec.model.clone());
        let key = WorkerKey { agent: agent.clone(), worker: run.worker.clone() };
        if let Some(worker) = self.state.fleet.worker_mut(&key) {
            let model = model.unwrap_or_else(|| ModelKey::from(""));
            worker.running.insert(run.fence, Running { job: run.job, model });
            worker.concurrency_max = worker.concurrency_max.max(worker.running.len());
        }
    }

    /// Frees the room of attempts without a lease that the agent no longer runs. An attempt with a lease may be
    /// missing from the heartbeat because the two messages crossed.
    fn free_what_ended(&mut self, now: TimeUs, key: &AgentKey, named: &BTreeSet<Fence>) {
        let Some(agent) = self.state.fleet.agents.get(key) else { return };
        let ended: Vec<(Arc<str>, Fence)> = agent
            .workers
            .iter()
            .flat_map(|(name, worker)| {
                worker.running.iter().map(move |(fence, run)| (name.clone(), *fence, run.job))
            })
            .filter(|(_, fence, job)| {
                let leased = self.state.jobs.get(job).is_some_and(|row| row.lease_under(*fence).is_some());
                !leased && !named.contains(fence)
            })
            .map(|(name, fence, _)| (name, fence))
            .collect();
        for (name, fence) in ended {
            self.state.fleet.release(&WorkerKey { agent: key.clone(), worker: name }, fence, now);
            self.replan = true;
        }
    }
}
