//! What is going on, for people.

use std::collections::BTreeMap;

use backlot_foundation_time::Timestamp;
use backlot_inference_scheduler::{PoolKey, WorkerKey};

use super::Driver;
use crate::{
    machine::{Machine, MachineState},
    model::{AgentView, Fleet, JobState, OverflowView, PoolView, QueueView, WorkerView},
    overflow::OverflowConfig,
    pools::PoolConfig,
};

impl Driver {
    pub(super) fn fleet(&self, now: Timestamp) -> Fleet {
        let agents = self.agents.iter().map(|(key, agent)| AgentView {
            id: key.to_string(),
            name: agent.name.clone(),
            region: agent.region.clone(),
            pool: agent.pool.as_ref().map(ToString::to_string),
            connected: agent.stream.is_some(),
            draining: agent.draining,
            last_seen_at: agent.last_seen_at,
            workers: agent
                .workers
                .iter()
                .map(|spec| self.worker_view(&WorkerKey::new(key, &spec.worker), spec.gpus, spec.memory_mib))
                .collect(),
        });
        Fleet {
            agents: agents.collect(),
            queues: self.queues(now),
            overflow: self.overflow_views(now),
            pools: self.machines.pools.iter().map(|(name, pool)| self.pool_view(now, name, pool)).collect(),
            epoch: i64::try_from(self.epoch).unwrap_or(i64::MAX),
        }
    }

    fn overflow_views(&self, now: Timestamp) -> Vec<OverflowView> {
        let view = |(name, config): (&String, &OverflowConfig)| OverflowView {
            name: name.clone(),
            tiers: config.tiers.iter().copied().collect(),
            slots: config.slots,
            price_micro_per_job: config.price_micro_per_job,
            price_micro_per_second: config.price_micro_per_second,
            cap_micro_per_day: config.cap_micro_per_day,
            tenant_cap_micro_per_day: config.tenant_cap_micro_per_day,
            spent_today_micro: self.overflowed_today_micro(now, name),
        };
        self.machines.overflow.iter().map(view).collect()
    }

    fn pool_view(&self, now: Timestamp, name: &str, config: &PoolConfig) -> PoolView {
        let count = |of: &dyn Fn(&Machine) -> bool| {
            let own = self.machines.rows.values().filter(|one| one.pool == name && of(one));
            u32::try_from(own.count()).unwrap_or(u32::MAX)
        };
        let state = |states: &[MachineState]| count(&|one| states.contains(&one.state));
        let workers = self.machines.wanted.get(name).copied();
        // Where machines do not come, the scheduler leaves a pool alone for a while; they are needed all the same.
        let wanted = workers.map_or(self.machines.count(name), |n| n.div_ceil(config.workers.max(1)));
        let outlook = self.scheduler.pool_outlook(&PoolKey::from(name));
        PoolView {
            name: name.to_owned(),
            region: config.region.clone(),
            provider: config.provider.as_str().to_owned(),
            kind: config.kind.clone(),
            spot: config.spot,
            min: config.min,
            max: config.max,
            spares: config.spares,
            wanted: wanted.max(config.min),
            booting: state(&[MachineState::Ordered, MachineState::Booting]),
            running: state(&[MachineState::Joined]),
            draining: state(&[MachineState::Draining, MachineState::Deleting]),
            unknown: self
                .machines
                .unknown
                .get(name)
                .map_or(0, |count| u32::try_from(*count).unwrap_or(u32::MAX)),
            boot_ms: outlook.map_or(config.boot_ms, |outlook| outlook.boot_ms),
            taken_per_hour: outlook.map_or(0.0, |outlook| outlook.taken_per_hour),
            price_micro_per_hour: Some(config.price_micro_per_hour),
            spent_today_micro: Some(self.spent_today_micro(now, name)),
            trouble: self.machines.trouble(now, name, config),
        }
    }

    fn worker_view(&self, key: &WorkerKey, gpus: u32, memory_mib: i64) -> WorkerView {
        let load = self.scheduler.worker_load(key);
        let running = load.jobs.iter().find_map(|job| self.jobs.get(job)).map(|live| &live.job);
        WorkerView {
            id: key.worker.to_string(),
            gpus,
            memory_mib,
            resident: load.resident.iter().map(ToString::to_string).collect(),
            busy: !load.jobs.is_empty(),
            job_id: running.map(|job| job.id),
            model: running.map(|job| format!("{}:{}", job.model, job.model_version)).unwrap_or_default(),
            phase: running.map(|job| job.phase),
            progress: running.map_or(0.0, |job| job.progress),
            job_owner: running.map(|job| (job.namespace.clone(), job.tenant.clone())),
        }
    }

    fn queues(&self, now: Timestamp) -> Vec<QueueView> {
        let mut queues: BTreeMap<(&str, &str, &str), (u32, i64)> = BTreeMap::new();
        for live in self.jobs.values().filter(|live| live.job.state == JobState::Queued) {
            let job = &live.job;
            let waited_ms = i64::try_from(now.since(job.created_at).as_millis()).unwrap_or(i64::MAX);
            let entry = queues.entry((&job.namespace, &job.tenant, &job.model)).or_default();
            *entry = (entry.0 + 1, entry.1.max(waited_ms));
        }
        queues
            .into_iter()
            .map(|((namespace, tenant, model), (queued, oldest_ms))| QueueView {
                namespace: namespace.to_owned(),
                tenant: tenant.to_owned(),
                model: model.to_owned(),
                queued,
                oldest_ms,
            })
            .collect()
    }
}
