//! Agents come, report and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    dispatch::Todo,
    effect::{Effect, StopReason},
    event::{AgentSpec, RunningAttempt, WorkerSpec},
    fleet::{Agent, Resident, Running, Worker},
    limits,
    scheduler::Scheduler,
    timers::Timer,
    types::{AgentKey, Fence, JobKey, ModelKey, RegionKey, TimeUs, WorkerKey},
};

impl Scheduler {
    /// The agent's own list decides what runs there: what it does not name is lost at once, what it names without a
    /// current lease is stopped.
    pub(crate) fn agent_joined(&mut self, now: TimeUs, spec: AgentSpec, effects: &mut Vec<Effect>) {
        let AgentSpec { agent: key, region, workers, running } = spec;
        let leases = self.leases_of(&key);
        let known = self.state.fleet.ids.contains_key(&key);
        self.drop_agent(&key);
        let id = self.add_agent(&key, &region, workers);
        let retired = self.state.note_joined(now, &key, known);
        let named: BTreeSet<(JobKey, Fence)> = running.iter().map(|run| (run.job, run.fence)).collect();
        for (job, fence) in leases {
            if !named.contains(&(job, fence)) && self.current_fence(job) == Some(fence) {
                let slot = self.state.slot_of(job);
                slot.into_iter().for_each(|slot| self.lose(now, slot, effects));
            }
        }
        for run in &running {
            self.occupy(now, &key, run);
            self.extend_or_stop(now, &key, run, true, effects);
            self.settle_hold(now, &key, run, effects);
        }
        let ids: Vec<u32> = self
            .state
            .fleet
            .agents
            .get(id)
            .map(|agent| agent.workers.values().copied().collect())
            .unwrap_or_default();
        for worker in ids {
            let row = self.state.fleet.workers.get(worker);
            let pool = row.and_then(|row| row.spec.pool.clone());
            if let Some(pool) = pool.filter(|pool| self.state.overflow.is_paid(Some(pool))) {
                // It stands apart: nothing of the fleet's own rules sees it.
                self.state.overflow.joined(worker, pool);
                continue;
            }
            self.state.fleet.enlist(worker, &mut self.state.models);
            self.state.fleet.show(now, worker, &mut self.state.models);
            self.todo.push(Todo::Worker(worker));
        }
        self.state.lines.unstall();
        if retired {
            self.agent_draining(now, &key);
        }
    }

    fn add_agent(&mut self, key: &AgentKey, region: &RegionKey, workers: Vec<WorkerSpec>) -> u32 {
        let fleet = &mut self.state.fleet;
        let agent = Agent {
            key: key.clone(),
            connected: true,
            draining: false,
            forget_at: None,
            workers: BTreeMap::new(),
        };
        let id = fleet.agents.insert(agent);
        fleet.ids.insert(key.clone(), id);
        for mut spec in workers {
            spec.slots = spec.slots.max(1);
            spec.concurrency = spec.concurrency.max(1);
            spec.speed_milli = spec.speed_milli.max(1);
            let name = spec.worker.clone();
            let worker = Worker {
                key: WorkerKey { agent: key.clone(), worker: name.clone() },
                class: fleet.join_class(region, &spec),
                serial: fleet.next_serial(),
                concurrency_max: spec.concurrency as usize,
                spec,
                price_micro_per_hour: 0,
                resident: SmallVec::new(),
                running: SmallVec::new(),
                preparing: None,
                live: false,
                spare: None,
            };
            let worker = fleet.workers.insert(worker);
            let before = fleet.agents.get_mut(id).and_then(|agent| agent.workers.insert(name, worker));
            // The same name twice in one message: the last one counts.
            before.into_iter().for_each(|before| drop(fleet.remove(before)));
        }
        id
    }

    /// Forgets an agent's rows; leases on its workers wait for it under its name.
    fn drop_agent(&mut self, key: &AgentKey) {
        let Some(id) = self.state.fleet.ids.remove(key) else { return };
        let Some(agent) = self.state.fleet.agents.remove(id) else { return };
        for worker in agent.workers.values() {
            self.state.overflow.dropped(*worker);
            let Some(worker) = self.state.fleet.drop_worker(*worker, &mut self.state.models) else {
                continue;
            };
            for running in worker.running {
                if self.state.stray.remove(&running.fence).is_none() {
                    self.state.orphans.entry(key.clone()).or_default().insert(running.job);
                }
            }
        }
    }

    pub(crate) fn agent_lost(&mut self, now: TimeUs, key: &AgentKey) {
        let Some((id, _)) = self.state.fleet.agent(key).filter(|(_, agent)| agent.connected) else { return };
        self.discharge_all(id);
        let Some(agent) = self.state.fleet.agents.get_mut(id) else { return };
        let forget_at = now.plus_ms(limits::AGENT_FORGET_MS);
        agent.connected = false;
        agent.forget_at = Some(forget_at);
        self.state.timers.set(forget_at, Timer::Agent(id));
    }

    /// By now its leases have long expired.
    pub(crate) fn agent_forgotten(&mut self, now: TimeUs, id: u32, effects: &mut Vec<Effect>) {
        let Some(agent) = self.state.fleet.agents.get(id).filter(|agent| !agent.connected) else { return };
        let key = agent.key.clone();
        if let Some(pool) = self.state.note_forgotten(now, &key) {
            effects.push(Effect::Retire { pool, agent: key.clone() });
        }
        self.drop_agent(&key);
        effects.push(Effect::AgentForgotten { agent: key });
    }

    pub(crate) fn agent_draining(&mut self, now: TimeUs, key: &AgentKey) {
        self.state.note_left(now, key);
        if self.state.fleet.agent(key).is_none_or(|(_, agent)| !agent.connected) {
            self.state.expect_retired(key);
        }
        let Some((id, _)) = self.state.fleet.agent(key) else { return };
        self.discharge_all(id);
        self.state.fair.advance(now);
        if let Some(agent) = self.state.fleet.agents.get_mut(id) {
            agent.draining = true;
        }
    }

    fn discharge_all(&mut self, agent: u32) {
        let Some(agent) = self.state.fleet.agents.get(agent) else { return };
        let workers: Vec<u32> = agent.workers.values().copied().collect();
        for worker in workers {
            self.state.fleet.discharge(worker, &mut self.state.models);
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
        self.free_what_ended(key, &named);
    }

    pub(crate) fn worker_report(&mut self, now: TimeUs, key: &WorkerKey, resident: BTreeSet<ModelKey>) {
        let Some(id) = self.state.fleet.find(key) else { return };
        let reported: Vec<u32> = resident.iter().map(|model| self.state.model_id(model)).collect();
        self.state.fleet.change(now, id, &mut self.state.models, |worker| {
            let mut before = std::mem::take(&mut worker.resident);
            // What was assigned a moment ago may still be loading and is not in the report yet.
            let loads = worker.preparing.map(|preparing| preparing.model);
            before.retain(|row| {
                reported.contains(&row.model) || worker.runs(row.model) || loads == Some(row.model)
            });
            for model in reported {
                if !before.iter().any(|row| row.model == model) {
                    before.push(Resident { model, used_at: now, adapters: Arc::from([]) });
                }
            }
            worker.resident = before;
        });
        self.todo.push(Todo::Worker(id));
    }

    pub(crate) fn capacity_changed(
        &mut self,
        now: TimeUs,
        key: &WorkerKey,
        concurrency: u32,
        slots: u32,
        price_micro_per_hour: i64,
    ) {
        let Some(id) = self.state.fleet.find(key) else { return };
        self.state.fleet.change(now, id, &mut self.state.models, |worker| {
            worker.spec.concurrency = concurrency;
            worker.concurrency_max = worker.concurrency_max.max(concurrency as usize);
            worker.spec.slots = slots.max(1);
            worker.price_micro_per_hour = price_micro_per_hour;
        });
        self.todo.push(Todo::Worker(id));
    }

    pub(crate) fn load_finished(
        &mut self,
        now: TimeUs,
        key: &WorkerKey,
        model: &ModelKey,
        load_ms: i64,
        loaded: bool,
    ) {
        let Some(id) = self.state.fleet.find(key) else { return };
        let row = self.state.model_id(model);
        let preparing = self.state.fleet.workers.get(id).and_then(|worker| worker.preparing);
        if preparing.is_some_and(|preparing| preparing.model == row) {
            self.state.fleet.set_preparing(id, None);
        }
        if loaded && self.loaded_for(now, id, row) {
            return self.todo.push(Todo::Worker(id));
        }
        self.state.fleet.change(now, id, &mut self.state.models, |worker| {
            let held = worker.resident(row).is_some();
            if loaded && !held {
                worker.resident.push(Resident { model: row, used_at: now, adapters: Arc::from([]) });
            } else if !loaded && held {
                worker.resident.retain(|resident| resident.model != row);
            }
        });
        if loaded {
            let said_ms = self.state.said_load_ms(row);
            self.state.predictor.loaded(row, said_ms, load_ms);
        }
        self.todo.push(Todo::Worker(id));
    }

    /// The load that an attempt waits for is over, while others compute: it is the next. Whether there is one.
    fn loaded_for(&mut self, now: TimeUs, id: u32, model: u32) -> bool {
        let state = &mut self.state;
        let brings = state.fleet.workers.get(id).is_some_and(|worker| worker.brings(model));
        if brings {
            let here = |running: &Running| running.model == Some(model) && running.load.is_some();
            state.fleet.relieve(now, id, &mut state.models, here);
        }
        brings
    }

    /// What waited for a load to end may come beside what computes, where there is room.
    pub(crate) fn served_again(&mut self, id: u32) {
        let worker = self.state.fleet.workers.get(id);
        if worker.is_some_and(|worker| worker.spec.overlap && worker.spare.is_some()) {
            self.todo.push(Todo::Worker(id));
        }
    }

    /// A report on an attempt without a lease still frees the room that it took.
    pub(crate) fn release_late(&mut self, fence: Fence) {
        if let Some(worker) = self.state.stray.remove(&fence) {
            self.state.fleet.release(worker, fence);
            self.todo.push(Todo::Worker(worker));
        }
    }

    /// Leases on an agent's workers, by job.
    fn leases_of(&self, key: &AgentKey) -> BTreeMap<JobKey, Fence> {
        let fleet = &self.state.fleet;
        let workers = fleet.agent(key).map(|(_, agent)| agent.workers.values()).into_iter().flatten();
        let running = workers.filter_map(|id| fleet.workers.get(*id)).flat_map(|worker| &worker.running);
        let jobs = running
            .map(|running| running.job)
            .chain(self.state.orphans.get(key).into_iter().flatten().copied());
        let lease = |job: JobKey| self.state.job(job)?.lease().filter(|lease| lease.worker.agent == *key);
        jobs.filter_map(|job| Some((job, lease(job)?.fence))).collect()
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
        let worker = || WorkerKey { agent: agent.clone(), worker: run.worker.clone() };
        let cancel_requested = self.state.job(job).is_some_and(|row| row.cancel_requested);
        let Some(lease) = self.lease_mut(job, fence) else {
            effects.push(Effect::StopAttempt { job, fence, worker: worker(), why: StopReason::Stale });
            return;
        };
        lease.expires_at = now.plus_ms(limits::LEASE_MS);
        if joining {
            // After a restart nobody else knows.
            lease.batch = run.batch;
            effects.push(Effect::Keep { job, fence, worker: worker() });
            if cancel_requested {
                effects.push(Effect::StopAttempt { job, fence, worker: worker(), why: StopReason::Canceled });
            }
        }
    }

    /// What an agent says it runs takes room there, whether it holds a lease or not.
    fn occupy(&mut self, now: TimeUs, agent: &AgentKey, run: &RunningAttempt) {
        let key = WorkerKey { agent: agent.clone(), worker: run.worker.clone() };
        let Some(id) = self.state.fleet.find(&key) else { return };
        let row = self.state.job(run.job);
        let (model, run_ms) = (row.map(|row| row.model), row.map_or(0, |row| row.run_ms));
        let holds = row.and_then(|row| row.lease_under(run.fence)).is_some_and(|lease| lease.worker == key);
        let Some(worker) = self.state.fleet.workers.get_mut(id) else { return };
        if worker.running.iter().any(|running| running.fence == run.fence) {
            return;
        }
        let (fence, job) = (run.fence, run.job);
        let ends_at = now.plus_ms(worker.here_ms(run_ms));
        worker.running.push(Running {
            fence,
            job,
            model,
            ends_at,
            run_ms,
            load: None,
            pressed: false,
            early: false,
            held: None,
            batch: run.batch,
            more_mib: 0,
        });
        worker.running.sort_unstable_by_key(|running| running.fence);
        let beside = usize::from(worker.spec.overlap);
        worker.concurrency_max = worker.concurrency_max.max(worker.calls().saturating_sub(beside));
        self.state.fleet.note_overlap(id);
        if !holds {
            self.state.stray.insert(fence, id);
        } else if let Some(jobs) = self.state.orphans.get_mut(agent) {
            jobs.remove(&job);
            if jobs.is_empty() {
                self.state.orphans.remove(agent);
            }
        }
    }

    /// Frees the room of attempts without a lease that the agent no longer runs. An attempt with a lease may be
    /// missing from the heartbeat because the two messages crossed.
    fn free_what_ended(&mut self, key: &AgentKey, named: &BTreeSet<Fence>) {
        let Some((_, agent)) = self.state.fleet.agent(key) else { return };
        let rows = agent.workers.values().filter_map(|id| Some((*id, self.state.fleet.workers.get(*id)?)));
        let ended: Vec<(u32, Fence)> = rows
            .flat_map(|(id, worker)| worker.running.iter().map(move |running| (id, running.fence)))
            .filter(|(_, fence)| self.state.stray.contains_key(fence) && !named.contains(fence))
            .collect();
        for (id, fence) in ended {
            self.state.stray.remove(&fence);
            self.state.fleet.release(id, fence);
            self.todo.push(Todo::Worker(id));
        }
    }
}
