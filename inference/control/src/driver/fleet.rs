//! What is going on, for people.

use std::collections::BTreeMap;

use backlot_foundation_time::Timestamp;
use backlot_inference_scheduler::WorkerKey;

use super::Driver;
use crate::model::{AgentView, Fleet, JobState, QueueView, WorkerView};

impl Driver {
    pub(super) fn fleet(&self, now: Timestamp) -> Fleet {
        let agents = self.agents.iter().map(|(key, agent)| AgentView {
            id: key.to_string(),
            name: agent.name.clone(),
            region: agent.region.clone(),
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
            epoch: i64::try_from(self.epoch).unwrap_or(i64::MAX),
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
