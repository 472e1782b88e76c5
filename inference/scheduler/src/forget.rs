//! Names that nobody uses any more are forgotten, all at once when they outnumber the others: what is remembered is bounded
//! by what is queued, connected and announced.
//!
//! A tenant stays while it has a job, an announced share, work that the fluid still owes it, or a habit that earns it weight;
//! a model while it has a job, a
//! profile, a worker that holds it or something that was learned of it (which is bounded by itself); a line while a job waits
//! in it; a place while a job, a line or a demand is there; a class of workers while one of them is known, and a region while a
//! class, a job's data or a way that was measured to one of the classes is there.

use crate::{limits, state::Model, state::State, types::TimeUs};

fn mark(used: &mut [bool], id: u32) {
    if let Some(row) = used.get_mut(id as usize) {
        *row = true;
    }
}

impl State {
    fn names(&self) -> usize {
        self.tenant_names.len() + self.model_names.len() + self.places.len() + self.lines.len()
    }

    /// Whether there may be more names that nobody uses than it costs to look. A look costs time by job and by name, and so
    /// many came since the last one.
    pub(crate) fn names_are_loose(&self) -> bool {
        self.names() > 2 * self.names_kept + self.index.len() + limits::NAMES_SPARE
    }

    /// Forgets classes of workers that nobody is of, and regions of which nothing is left.
    pub(crate) fn forget_classes(&mut self) {
        let numbers = self.fleet.keep_classes(&mut self.models);
        let homes = self.jobs.iter().filter_map(|(_, job)| job.home);
        self.far.keep_classes(&numbers, homes);
    }

    pub(crate) fn forget_names(&mut self, now: TimeUs) {
        self.fair.advance(now);
        for (model, line) in self.lines.keep_waiting() {
            self.models[model as usize].lines.retain(|own| *own != line);
        }
        let mut tenants: Vec<bool> = self.tenants.iter().map(|row| row.spec.is_some()).collect();
        let mut models: Vec<bool> = self.models.iter().map(|row| row.profile.is_some()).collect();
        let mut places = vec![false; self.places.given()];
        for (_, job) in self.jobs.iter() {
            mark(&mut tenants, job.tenant);
            mark(&mut models, job.model);
            mark(&mut places, job.own_place);
        }
        for (id, used) in tenants.iter_mut().enumerate() {
            *used |= self.fair.owes(id as u32);
        }
        self.fair.steady().counts().for_each(|tenant| mark(&mut tenants, tenant));
        for (_, worker) in self.fleet.workers.iter() {
            worker.resident.iter().for_each(|resident| mark(&mut models, resident.model));
            worker.running.iter().filter_map(|run| run.model).for_each(|model| mark(&mut models, model));
            worker.preparing.iter().for_each(|preparing| mark(&mut models, preparing.model));
        }
        self.predictor.models().for_each(|model| mark(&mut models, model));
        self.lines.places().chain(self.pools.places()).for_each(|place| mark(&mut places, place));
        for tenant in self.tenant_names.keep(&tenants) {
            self.tenants[tenant as usize] = crate::state::Tenant::default();
            self.fair.forget(tenant);
        }
        for model in self.model_names.keep(&models) {
            self.models[model as usize] = Model::default();
            self.crowded.remove(&model);
            self.weightless.remove(&model);
        }
        self.places.keep(&places);
        self.names_kept = self.names();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use super::*;
    use crate::{
        AgentKey, AgentSpec, Event, Features, JobKey, JobSpec, ModelKey, ModelProfile, Offers, RegionKey,
        Scheduler, TenantKey, Tier, WorkerKey, WorkerSpec,
    };

    fn job(n: u32, model: &ModelKey) -> JobSpec {
        JobSpec {
            job: JobKey(u128::from(n)),
            tenant: TenantKey::from(format!("t{n}").as_str()),
            model: model.clone(),
            tier: Tier::Standard,
            created_at: TimeUs(i64::from(n) * 1_000_000),
            ttl_ms: 10_000,
            predicted_ms: 10,
            regions: BTreeSet::from([RegionKey::from(format!("r{n}").as_str())]),
            features: Features::default(),
            adapters: Arc::from([]),
            data_region: Some(RegionKey::from(format!("d{n}").as_str())),
            deadline: None,
            batch_key: 0,
        }
    }

    #[test]
    fn what_came_once_and_is_over_is_forgotten() {
        let mut scheduler = Scheduler::new(1);
        let model = ModelKey::from("own/a:1");
        let profile = |model: &ModelKey| ModelProfile {
            model: model.clone(),
            load_ms: 0,
            run_ms: 10,
            memory_mib: 0,
            gpus: 0,
            timeout_ms: 0,
            offers: Offers::default(),
        };
        let mut effects = Vec::new();
        let mut apply = |now: i64, event| {
            scheduler.apply(TimeUs(now), event, &mut effects);
            effects.clear();
        };
        apply(0, Event::ModelChanged(profile(&model)));
        let worker = WorkerSpec {
            worker: Arc::from("w"),
            gpus: 0,
            memory_mib: 0,
            slots: 4,
            concurrency: 1,
            models: BTreeSet::new(),
            speed_milli: 1_000,
            overlap: false,
            pool: None,
            batches: false,
        };
        let agent = AgentKey::from("m");
        let region = RegionKey::from("local");
        apply(
            0,
            Event::AgentJoined(AgentSpec {
                agent: agent.clone(),
                region,
                workers: vec![worker],
                running: vec![],
            }),
        );
        let kept = TenantKey::from("t0");
        let all = 12 * limits::NAMES_SPARE as u32;
        for n in 0..all {
            let now = i64::from(n) * 1_000_000;
            // The first job waits for ever: everything of it stays.
            let ttl_ms = if n == 0 { i64::MAX / 2_000_000 } else { 10_000 };
            apply(now, Event::Submitted(JobSpec { ttl_ms, ..job(n, &model) }));
            let resident = BTreeSet::from([ModelKey::from(format!("junk/{n}:1").as_str())]);
            apply(now, Event::WorkerReport { worker: WorkerKey::new(&agent, "w"), resident });
        }
        let state = &scheduler.state;
        assert_eq!(scheduler.check(), Ok(()));
        // Ten seconds of jobs wait; at most one sweep's worth of names lies beside them.
        let most = 3 * limits::NAMES_SPARE;
        for (what, given) in [
            ("tenants", state.tenants.len()),
            ("models", state.models.len()),
            ("places", state.places.given()),
            ("lines", state.lines.rows.len()),
        ] {
            assert!(given < most, "{what}: {given} of {all}");
        }
        let tenant = state.tenant_names.find(&kept).expect("the tenant that waits is known");
        assert_eq!(state.tenants[tenant as usize].waiting, 1);
        assert!(state.model_names.find(&model).is_some(), "the announced model is known");
        assert_eq!(scheduler.queued(&kept), 1);
    }

    #[test]
    fn kinds_of_workers_that_went_are_forgotten_and_the_others_work_on() {
        let mut scheduler = Scheduler::new(1);
        let model = ModelKey::from("own/a:1");
        let offers = Offers::default();
        let (load_ms, run_ms, memory_mib, gpus, timeout_ms) = (0, 10, 1, 0, 0);
        let profile =
            ModelProfile { model: model.clone(), load_ms, run_ms, memory_mib, gpus, timeout_ms, offers };
        let mut effects = Vec::new();
        let mut apply = |scheduler: &mut Scheduler, now: i64, event| {
            effects.clear();
            scheduler.apply(TimeUs(now), event, &mut effects);
            effects.clone()
        };
        let joins = |agent: &str, memory_mib: i64| {
            let worker = WorkerSpec {
                worker: Arc::from("w"),
                gpus: 0,
                memory_mib,
                slots: 1,
                concurrency: 1,
                models: BTreeSet::new(),
                speed_milli: 1_000,
                overlap: false,
                batches: false,
                pool: None,
            };
            let region = RegionKey::from(format!("region-{memory_mib}").as_str());
            Event::AgentJoined(AgentSpec {
                agent: AgentKey::from(agent),
                region,
                workers: vec![worker],
                running: vec![],
            })
        };
        apply(&mut scheduler, 0, Event::ModelChanged(profile));
        let all = 20 * limits::CLASSES_SPARE as i64;
        for n in 1..=all {
            // Each is another kind of machine elsewhere, and is forgotten long before the next one comes.
            let now = n * (limits::AGENT_FORGET_MS + 1) * 1_000;
            let agent = AgentKey::from(format!("m{n}").as_str());
            apply(&mut scheduler, now, joins(agent.as_str(), n));
            if n > 1 {
                // The first one stays.
                apply(&mut scheduler, now, Event::AgentLost { agent });
            }
            let home = RegionKey::from(format!("d{n}").as_str());
            let spec =
                JobSpec { data_region: Some(home), ttl_ms: 1, regions: BTreeSet::new(), ..job(9, &model) };
            let spec = JobSpec { job: JobKey(n as u128), created_at: TimeUs(now), ..spec };
            let sent = apply(&mut scheduler, now, Event::Submitted(spec));
            let assigned = sent.iter().find_map(|effect| match effect {
                crate::Effect::Assign(assigned) => Some(assigned.clone()),
                _ => None,
            });
            let assigned = assigned.expect("the first machine is free and takes it");
            assert_eq!(assigned.worker.agent, AgentKey::from("m1"));
            let outcome = crate::AttemptOutcome::Succeeded;
            let (job, fence) = (assigned.job, assigned.fence);
            let done = Event::Finished { job, fence, outcome, load_ms: 0, compute_ms: 1, batched: 1 };
            apply(&mut scheduler, now, done);
            assert_eq!(scheduler.check(), Ok(()));
        }
        let state = &scheduler.state;
        let classes = state.fleet.classes.len();
        assert!(classes <= limits::CLASSES_SPARE + 4, "{classes} of {all}");
        assert!(state.far.regions() <= limits::FAR_REGIONS_MAX, "{} regions", state.far.regions());
    }
}
