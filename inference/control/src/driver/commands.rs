//! What callers ask: submit, cancel, look, put.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use backlot_foundation_time::Timestamp;
use backlot_inference_api::{JobId, events};
use backlot_inference_scheduler::{Event, JobKey, Refusal};

use super::{
    Command, Driver, Failed, Found, Live, Reply,
    batch::Batch,
    effects::{facts, meta},
    recover::{job_spec, tenant_spec},
    time_us,
};
use crate::{
    error::Error,
    limits,
    model::{Model, NewJob, Tenant, job_key},
    service::Scope,
    shared::ModelEntry,
    store::{self, UsedKey},
};

/// What the rows say about the keys and ids of submitted jobs.
#[derive(Default)]
pub(super) struct Known {
    keys: BTreeMap<(String, String), UsedKey>,
    jobs: BTreeSet<JobId>,
}

impl Driver {
    /// Reads what the submissions among the commands must be compared with, in one query. Nobody else writes these
    /// rows while this driver leads, and one that no longer leads cannot commit.
    pub(super) async fn read_keys(&self, commands: &[Command]) -> Result<Known, Failed> {
        let submitted = commands.iter().filter_map(|command| match command {
            Command::Submit(new, _) => Some(new),
            _ => None,
        });
        let asked: Vec<(&str, &str, JobId)> = submitted
            .map(|new| {
                let key = new.key.as_ref().map_or("", |(hash, _)| hash.as_str());
                (new.job.namespace.as_str(), key, new.job.id)
            })
            .collect();
        if asked.iter().all(|(_, key, _)| key.is_empty()) {
            // Without a key the id is new.
            return Ok(Known::default());
        }
        let (keys, jobs) = store::used_keys(&self.db, &asked).await?;
        let keys =
            keys.into_iter().map(|used| ((used.namespace.clone(), used.key_hash.clone()), used)).collect();
        Ok(Known { keys, jobs })
    }

    pub(super) fn handle(&mut self, now: Timestamp, command: Command, known: &Known, batch: &mut Batch) {
        match command {
            Command::Submit(new, reply) => self.submit(now, *new, reply, known, batch),
            Command::Cancel(id, scope, reply) => self.cancel(now, id, &scope, reply, batch),
            Command::Look(id, reply) => {
                self.forecast(now, job_key(id));
                self.answer_job(id, reply, batch);
            }
            Command::Estimate(spec, reply) => {
                send(reply, Ok(self.scheduler.estimate(time_us(now), &spec)));
            }
            Command::PutTenant(tenant, reply) => self.put_tenant(now, tenant, reply, batch),
            Command::PutModel(entry, reply) => self.put_model(now, entry, reply, batch),
            Command::Fleet(reply) => send(reply, Ok(self.fleet(now))),
            Command::AgentOpened(hello, session, sender) => {
                self.agent_opened(now, *hello, session, sender, batch)
            }
            Command::AgentSaid(agent, session, said) => self.agent_said(now, &agent, session, said, batch),
            Command::AgentClosed(agent, session) => self.agent_closed(now, &agent, session, batch),
            Command::Machines(epoch, news) => self.provider_said(now, epoch, news, batch),
            Command::Nudge(reply) => batch.answer(move |_| send(reply, Ok(()))),
        }
    }

    fn submit(&mut self, now: Timestamp, new: NewJob, reply: Reply<Found>, known: &Known, batch: &mut Batch) {
        match self.accept(now, new, known, batch) {
            Ok(id) => self.answer_job(id, reply, batch),
            Err(error) => send(reply, Err(error)),
        }
    }

    /// Takes a job in, or finds the one that its key stands for.
    fn accept(
        &mut self,
        now: Timestamp,
        new: NewJob,
        known: &Known,
        batch: &mut Batch,
    ) -> Result<JobId, Error> {
        let NewJob { mut job, input, key } = new;
        if let Some((key_hash, body_hash)) = &key {
            let stored = known.keys.get(&(job.namespace.clone(), key_hash.clone()));
            let same = |used: &&UsedKey| used.namespace == job.namespace && used.key_hash == *key_hash;
            if let Some(used) = stored.or_else(|| batch.keys.iter().find(same)) {
                return if used.body_hash == *body_hash { Ok(used.job) } else { Err(Error::KeyReused) };
            }
        }
        let id = job.key();
        if self.jobs.contains_key(&id) || known.jobs.contains(&job.id) {
            return Err(Error::KeyReused);
        }
        (job.created_at, job.queued_at) = (now, now);
        let spec = job_spec(&job);
        self.scheduler.admit(&spec).map_err(|refusal| match refusal {
            Refusal::UnknownModel(model) => Error::ModelUnknown(model.to_string()),
            Refusal::QueueFull { queued, queued_max } => Error::QueueFull { queued, queued_max },
        })?;
        if let Some(ends_ms) = self.scheduler.too_late(time_us(now), &spec) {
            return Err(Error::DeadlineImpossible { ends_ms });
        }
        if let Some((key_hash, body_hash)) = key {
            batch.keys.push(UsedKey { namespace: job.namespace.clone(), key_hash, body_hash, job: job.id });
        }
        let event = events::JobSubmitted { job: facts(&job), predicted_ms: job.predicted_ms };
        batch.publish(meta(&job, now), &job.traceparent, &event);
        let job_id = job.id;
        let cached = (input.len() <= limits::INPUT_CACHED_BYTES_MAX).then(|| input.clone());
        self.jobs.insert(id, Live { job, input: cached });
        batch.new_jobs.insert(id, input);
        batch.change(id);
        let few = self.jobs.len() <= limits::FORECAST_QUEUE_MAX;
        self.apply(now, Event::Submitted(spec), None, batch);
        if few {
            self.forecast(now, id);
        }
        metrics::counter!("backlot_inference_jobs_submitted").increment(1);
        Ok(job_id)
    }

    fn cancel(&mut self, now: Timestamp, id: JobId, scope: &Scope, reply: Reply<Found>, batch: &mut Batch) {
        let key: JobKey = job_key(id);
        if let Some(live) = self.jobs.get_mut(&key).filter(|live| !live.job.state.is_terminal()) {
            if !scope.covers(&live.job.namespace, &live.job.tenant) {
                return send(reply, Err(Error::JobUnknown));
            }
            if live.job.cancel_requested_at.is_none() {
                live.job.cancel_requested_at = Some(now);
                batch.change(key);
                self.apply(now, Event::CancelRequested { job: key }, None, batch);
            }
        }
        self.answer_job(id, reply, batch);
    }

    /// Answers with the job as it is once the batch is durable.
    fn answer_job(&mut self, id: JobId, reply: Reply<Found>, batch: &mut Batch) {
        batch.answer(move |driver| {
            let found = match driver.jobs.get(&job_key(id)) {
                Some(live) => Found::Live(Arc::new(live.job.clone())),
                None => Found::InRows(id),
            };
            send(reply, Ok(found));
        });
    }

    /// An older version changes nothing, and is answered with what holds.
    fn put_tenant(&mut self, now: Timestamp, tenant: Tenant, reply: Reply<Tenant>, batch: &mut Batch) {
        let key = (tenant.namespace.clone(), tenant.tenant.clone());
        match self.tenants.get(&key) {
            Some(held) if held.version >= tenant.version => {
                let held = held.clone();
                // Behind the batch: what is held may itself be part of it.
                batch.answer(move |_| send(reply, Ok(held)));
            }
            Some(_) | None => {
                self.tenants.insert(key, tenant.clone());
                batch.tenants.push(tenant.clone());
                batch.urgent = true;
                self.apply(now, Event::TenantChanged(tenant_spec(&tenant)), None, batch);
                batch.answer(move |_| send(reply, Ok(tenant)));
            }
        }
    }

    fn put_model(
        &mut self,
        now: Timestamp,
        entry: Arc<ModelEntry>,
        reply: Reply<Arc<ModelEntry>>,
        batch: &mut Batch,
    ) {
        let key = entry.model.spec.key();
        let (namespace, owner) = (entry.model.namespace.as_str(), entry.model.spec.owner());
        let taken = |model: &Model| model.spec.owner() == owner && model.namespace != namespace;
        if batch.models.iter().any(taken) || self.shared.is_anothers(namespace, owner) {
            return send(reply, Err(Error::ModelTaken(owner.to_owned())));
        }
        let in_batch = batch.models.iter().find(|model| model.spec.key() == key).cloned();
        let held = self.shared.model(&key);
        let held_spec =
            in_batch.map(|model| model.spec).or_else(|| held.as_ref().map(|held| held.model.spec.clone()));
        if let Some(spec) = held_spec {
            if spec != entry.model.spec {
                return send(reply, Err(Error::ModelImmutable(key.to_string())));
            }
            return batch.answer(move |driver| {
                send(reply, driver.shared.model(&key).ok_or(Error::Unavailable));
            });
        }
        if self.shared.model_count() + batch.models.len() >= limits::MODELS_MAX {
            let rule = format!("at most {} versions can be registered", limits::MODELS_MAX);
            return send(reply, Err(Error::ModelInvalid { pointer: String::new(), rule }));
        }
        batch.models.push(entry.model.clone());
        batch.urgent = true;
        let profile = entry.model.spec.profile();
        // Shown after the commit, before the scheduler's effects of it are carried out.
        batch.answer(move |driver| {
            driver.shared.put_model(entry.clone());
            send(reply, Ok(entry));
        });
        self.apply(now, Event::ModelChanged(profile), None, batch);
    }
}

/// A caller that has gone away is no fault.
pub(super) fn send<T>(reply: Reply<T>, answer: Result<T, Error>) {
    let _ = reply.send(answer);
}
