//! What one group of commands writes, and what follows once that is durable.

use std::collections::{BTreeMap, BTreeSet};

use backlot_foundation_events::{
    EventMeta, EventType,
    outbox::{self, Raw},
};
use backlot_foundation_time::Timestamp;
use backlot_inference_api::{JobId, v1};
use backlot_inference_scheduler::{AgentKey, Assignment, Fence, JobKey};

use super::{Driver, Failed};
use crate::{
    limits,
    model::{Attempt, Model, Tenant},
    store::{self, UsedKey},
};

/// An event to be published with the change that it tells of.
pub(crate) struct Pending {
    meta: EventMeta,
    event_type: &'static str,
    version: u32,
    data_json: String,
    traceparent: String,
}

impl Pending {
    fn in_its_trace(&self) -> Raw<'_> {
        let span = tracing::info_span!("publish", event = self.event_type);
        backlot_foundation_telemetry::continue_trace(&span, &self.traceparent);
        let traceparent = span.in_scope(backlot_foundation_telemetry::traceparent);
        let Self { meta, event_type, version, data_json, .. } = self;
        Raw { meta, event_type, version: *version, data_json, traceparent }
    }
}

/// Something to be done once the batch is durable.
pub(crate) enum After {
    /// Answers a caller from the state as it is then.
    Answer(Box<dyn FnOnce(&Driver) + Send + Sync>),
    /// Tells an agent something.
    Tell(AgentKey, Box<v1::control_message::Message>),
    /// Tells an agent to run an attempt, or several in one call; their inputs may have to be read first.
    Assign(Vec<Assignment>),
}

/// A report of an attempt without a lease.
pub(crate) struct Late {
    pub(crate) job: JobId,
    pub(crate) fence: Fence,
    pub(crate) outcome: &'static str,
}

/// Collects writes, and what follows them, in order.
pub(crate) struct Batch {
    /// When its first write may have come.
    pub(crate) opened_at: Timestamp,
    /// Whether somebody waits for its commit.
    pub(crate) urgent: bool,
    /// New jobs with their input, until the commit.
    pub(crate) new_jobs: BTreeMap<JobKey, std::sync::Arc<str>>,
    /// Jobs whose rows change.
    pub(crate) changed: BTreeSet<JobKey>,
    /// Jobs that ended: they leave memory after the commit.
    pub(crate) ended: BTreeSet<JobKey>,
    /// Jobs to be shown to those who watch.
    pub(crate) shown: BTreeSet<JobKey>,
    /// Attempts whose rows are new (true) or change.
    pub(crate) attempts: BTreeMap<(JobKey, Fence), bool>,
    pub(crate) late: Vec<Late>,
    pub(crate) keys: Vec<UsedKey>,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) models: Vec<Model>,
    pub(crate) events: Vec<Pending>,
    pub(crate) snapshot: Option<String>,
    /// What tenants have spent with third parties, by third party, day and tenant.
    pub(crate) spent: BTreeMap<(String, i64, String), i64>,
    /// Machines whose rows are new or change.
    pub(crate) machines: BTreeSet<String>,
    /// What is to be done with machines changed beside their rows: the carrier hears of it after the commit.
    pub(crate) errands: bool,
    /// Renew the lead though nothing else is written.
    pub(crate) renew: bool,
    pub(crate) after: Vec<After>,
    /// While an agent joins: what its welcome will say.
    pub(crate) welcome: Option<v1::Welcome>,
}

impl Batch {
    pub(crate) fn new(opened_at: Timestamp) -> Self {
        Self {
            opened_at,
            urgent: false,
            new_jobs: BTreeMap::new(),
            changed: BTreeSet::new(),
            ended: BTreeSet::new(),
            shown: BTreeSet::new(),
            attempts: BTreeMap::new(),
            late: Vec::new(),
            keys: Vec::new(),
            tenants: Vec::new(),
            models: Vec::new(),
            events: Vec::new(),
            snapshot: None,
            spent: BTreeMap::new(),
            machines: BTreeSet::new(),
            errands: false,
            renew: false,
            after: Vec::new(),
            welcome: None,
        }
    }

    pub(crate) fn has_writes(&self) -> bool {
        self.renew
            || self.errands
            || self.snapshot.is_some()
            || !(self.new_jobs.is_empty()
                && self.changed.is_empty()
                && self.attempts.is_empty()
                && self.late.is_empty()
                && self.keys.is_empty()
                && self.tenants.is_empty()
                && self.models.is_empty()
                && self.machines.is_empty()
                && self.spent.is_empty()
                && self.events.is_empty())
    }

    /// A job's row changes, and somebody waits for it.
    pub(crate) fn change(&mut self, job: JobKey) {
        self.changed.insert(job);
        self.shown.insert(job);
        self.urgent = true;
    }

    /// A machine's row changes, and its carrier waits for it.
    pub(crate) fn machine(&mut self, id: &str) {
        self.machines.insert(id.to_owned());
        self.urgent = true;
    }

    /// The carrier waits for what does not stand in a row.
    pub(crate) fn errand(&mut self) {
        self.errands = true;
        self.urgent = true;
    }

    pub(crate) fn answer(&mut self, answer: impl FnOnce(&Driver) + Send + Sync + 'static) {
        self.after.push(After::Answer(Box::new(answer)));
    }

    pub(crate) fn tell(&mut self, agent: &AgentKey, message: v1::control_message::Message) {
        self.after.push(After::Tell(agent.clone(), Box::new(message)));
    }

    /// Tells an agent of an attempt, and of all of its batch at once.
    pub(crate) fn assign(&mut self, given: Assignment) {
        if let Some(After::Assign(before)) = self.after.last_mut()
            && given.batch.is_some()
            && before.last().is_some_and(|other| other.batch == given.batch)
        {
            return before.push(given);
        }
        self.after.push(After::Assign(vec![given]));
    }

    /// Adds an event; it is published in the trace of its job.
    pub(crate) fn publish<E: EventType>(&mut self, meta: EventMeta, traceparent: &str, data: &E) {
        match serde_json::to_string(data) {
            Ok(data_json) => self.events.push(Pending {
                meta,
                event_type: E::TYPE,
                version: E::VERSION,
                data_json,
                traceparent: traceparent.to_owned(),
            }),
            Err(error) => tracing::error!(%error, event = E::TYPE, "an event cannot be written as JSON"),
        }
    }
}

impl Driver {
    /// Commits the batch where somebody waits for it or `commit` says so, then carries out what follows. A batch that
    /// nobody waits for holds no follow-up that depends on its writes, so those need not wait either.
    pub(super) async fn settle(&mut self, batch: &mut Batch, commit: bool) -> Result<(), Failed> {
        if batch.has_writes() && (batch.urgent || commit || batch.renew || batch.snapshot.is_some()) {
            let now = self.clock.now();
            let began = std::time::Instant::now();
            self.write(batch, now).await?;
            metrics::histogram!("backlot_inference_commit_seconds").record(began.elapsed().as_secs_f64());
            self.committed_at = now;
            let after = std::mem::take(&mut batch.after);
            let shown = std::mem::take(&mut batch.shown);
            let ended = std::mem::take(&mut batch.ended);
            if batch.errands || !batch.machines.is_empty() {
                self.machines.send_errands();
            }
            *batch = Batch::new(now);
            self.follow(after, shown).await?;
            for key in ended {
                self.jobs.remove(&key);
            }
            return Ok(());
        }
        if !batch.has_writes() {
            batch.opened_at = self.clock.now();
        }
        let (after, shown) = (std::mem::take(&mut batch.after), std::mem::take(&mut batch.shown));
        self.follow(after, shown).await
    }

    async fn write(&self, batch: &Batch, now: Timestamp) -> Result<(), Failed> {
        let tx = self.db.begin_write().await?;
        if !store::still_leads(&tx, self.epoch).await? {
            // Before any caller hears of it: who is told "unavailable" shall not be told "unknown" next.
            self.shared.set_follows(true);
            return Err(Failed::Deposed);
        }
        for tenant in &batch.tenants {
            store::put_tenant(&tx, tenant).await?;
        }
        for model in &batch.models {
            store::put_model(&tx, model).await?;
        }
        store::put_keys(&tx, &batch.keys, now).await?;
        let live = |key: &JobKey| self.jobs.get(key).map(|live| &live.job);
        let new = batch.new_jobs.iter().filter_map(|(key, input)| Some((live(key)?, &**input)));
        store::jobs_insert(&tx, new).await?;
        let changed = batch.changed.iter().filter(|key| !batch.new_jobs.contains_key(key));
        store::jobs_update(&tx, changed.filter_map(live)).await?;
        let attempts = |is_new: bool| -> Vec<(JobId, &Attempt)> {
            let found =
                batch.attempts.iter().filter(|(_, new)| **new == is_new).filter_map(|((key, fence), _)| {
                    let job = live(key)?;
                    Some((job.id, job.attempts.iter().find(|attempt| attempt.fence == *fence)?))
                });
            found.collect()
        };
        store::attempts_insert(&tx, &attempts(true)).await?;
        store::attempts_update(&tx, &attempts(false)).await?;
        for late in &batch.late {
            store::late_report(&tx, late.job, late.fence, late.outcome, now).await?;
        }
        for ((pool, day, tenant), micro) in &batch.spent {
            let (pool, tenant) = (pool.clone(), tenant.clone());
            store::put_spent(&tx, &store::Spent { pool, tenant, day: *day, micro: *micro }).await?;
        }
        for id in &batch.machines {
            if let Some(machine) = self.machines.rows.get(id) {
                store::machine_write(&tx, machine).await?;
            }
        }
        outbox::publish_all(&tx, batch.events.iter().map(Pending::in_its_trace)).await?;
        if let Some(snapshot) = &batch.snapshot {
            store::put_snapshot(&tx, snapshot, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Shows what changed, answers callers and tells agents, in order.
    async fn follow(&mut self, after: Vec<After>, shown: BTreeSet<JobKey>) -> Result<(), Failed> {
        for key in shown {
            if let Some(live) = self.jobs.get(&key) {
                self.shared.publish(&live.job);
            }
        }
        let inputs = self.missing_inputs(&after).await?;
        for next in after {
            match next {
                After::Answer(answer) => answer(self),
                After::Tell(agent, message) => self.tell(&agent, *message),
                After::Assign(given) => self.tell_assign(&given, &inputs),
            }
        }
        Ok(())
    }

    /// The inputs of what is assigned now that are not in memory.
    async fn missing_inputs(&self, after: &[After]) -> Result<BTreeMap<JobId, String>, Failed> {
        let given = after.iter().flat_map(|next| match next {
            After::Assign(given) => given.as_slice(),
            After::Answer(_) | After::Tell(..) => &[],
        });
        let live = given.filter_map(|assignment| self.jobs.get(&assignment.job));
        let missing: Vec<JobId> = live.filter(|live| live.input.is_none()).map(|live| live.job.id).collect();
        let mut inputs = BTreeMap::new();
        for some in missing.chunks(limits::INPUTS_PER_READ_MAX) {
            inputs.extend(store::inputs_of(&self.db, some).await?);
        }
        Ok(inputs)
    }

    fn tell_assign(&mut self, given: &[Assignment], inputs: &BTreeMap<JobId, String>) {
        let assigns = given.iter().filter_map(|assignment| self.assign_message(assignment, inputs)).collect();
        let Some(agent) = given.first().map(|assignment| assignment.worker.agent.clone()) else { return };
        for assigns in in_messages(assigns) {
            let message = match <[v1::Assign; 1]>::try_from(assigns) {
                Ok([assign]) => v1::control_message::Message::Assign(assign),
                Err(assigns) => v1::control_message::Message::Batch(v1::AssignBatch { assigns }),
            };
            self.tell(&agent, message);
        }
    }

    fn assign_message(
        &self,
        assignment: &Assignment,
        inputs: &BTreeMap<JobId, String>,
    ) -> Option<v1::Assign> {
        // What has ended in the same turn is not begun: its charge may have been given back.
        let live = self.jobs.get(&assignment.job).filter(|live| live.job.fence == Some(assignment.fence))?;
        let kept = live.input.as_deref().or_else(|| inputs.get(&live.job.id).map(String::as_str));
        let Some(input) = kept.map(str::to_owned) else {
            tracing::error!(job = %live.job.id, "a live job has no input");
            return None;
        };
        let key = crate::model::model_key(&live.job.model, &live.job.model_version);
        let Some(entry) = self.shared.model(&key) else {
            tracing::error!(model = %key, "a job's model is not registered");
            return None;
        };
        Some(crate::convert::assign(assignment, &live.job, &entry.model.spec, input))
    }
}

/// Parts of a batch that fit into a message each. An agent computes them one after another.
fn in_messages(assigns: Vec<v1::Assign>) -> Vec<Vec<v1::Assign>> {
    let (mut parts, mut bytes): (Vec<Vec<v1::Assign>>, usize) = (Vec::new(), 0);
    for assign in assigns {
        bytes += assign.input_json.len();
        match parts.last_mut() {
            Some(part) if bytes <= limits::BATCH_INPUT_BYTES_MAX => part.push(assign),
            _ => {
                bytes = assign.input_json.len();
                parts.push(vec![assign]);
            }
        }
    }
    parts
}

impl Batch {
    /// Takes in what another batch of the same turn collected, after its own.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.urgent |= other.urgent;
        self.new_jobs.extend(other.new_jobs);
        self.changed.extend(other.changed);
        self.ended.extend(other.ended);
        self.shown.extend(other.shown);
        for (key, new) in other.attempts {
            let known = self.attempts.entry(key).or_insert(new);
            *known |= new;
        }
        self.late.extend(other.late);
        self.keys.extend(other.keys);
        self.tenants.extend(other.tenants);
        self.models.extend(other.models);
        self.events.extend(other.events);
        self.snapshot = other.snapshot.or(self.snapshot.take());
        self.spent.extend(other.spent);
        self.machines.extend(other.machines);
        self.errands |= other.errands;
        self.renew |= other.renew;
        self.after.extend(other.after);
    }
}
