//! Agents: their streams, what they say, and what they are told.

use std::{collections::BTreeSet, sync::Arc};

use backlot_foundation_events::EventMeta;
use backlot_foundation_time::Timestamp;
use backlot_inference_api::{events, v1};
use backlot_inference_scheduler::{
    AgentKey, AgentSpec, AttemptOutcome, Event, FailureClass, Fence, JobKey, ModelKey, PoolKey, RegionKey,
    RunningAttempt, WorkerKey, WorkerSpec, limits as scheduling,
};
use tokio::sync::mpsc;
use v1::control_message::Message;

use super::{Driver, ToAgent, batch::Batch};
use crate::{
    limits,
    model::{Output, Phase},
};

/// An agent that is or was connected.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) boot_id: String,
    /// The pool or third party that it belongs to.
    pub(crate) pool: Option<PoolKey>,
    pub(crate) workers: Vec<WorkerSpec>,
    pub(crate) draining: bool,
    pub(crate) last_seen_at: Timestamp,
    /// Attempts that it said it runs, or has finished and not handed over.
    pub(crate) running: usize,
    /// Its open stream: the number and the way there.
    pub(crate) stream: Option<(u64, ToAgent)>,
}

/// What an agent says first.
pub(crate) struct Hello {
    pub(crate) agent: AgentKey,
    pub(crate) boot_id: String,
    pub(crate) name: String,
    pub(crate) region: String,
    /// The pool that it belongs to, and the machine of it; empty: nobody orders it or gives it back.
    pub(crate) pool: String,
    pub(crate) machine: String,
    pub(crate) workers: Vec<WorkerSpec>,
    pub(crate) running: Vec<RunningAttempt>,
    pub(crate) spooled: Vec<Report>,
}

/// What an agent says later.
pub(crate) enum ToDriver {
    Heartbeat(Vec<RunningAttempt>),
    Phase { job: JobKey, fence: Fence, phase: Phase, shown: Shown },
    Finished(Box<Report>),
    Residency { worker: Arc<str>, resident: BTreeSet<ModelKey> },
    Loaded { worker: Arc<str>, model: ModelKey, load_ms: i64, loaded: bool },
    Draining,
}

/// What a model shows while it works.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// 0 to 1.
    pub(crate) progress: f64,
    /// What it is doing.
    pub(crate) note: String,
    /// A data URL of a small picture, or empty.
    pub(crate) preview: String,
    /// The end of its log.
    pub(crate) log_tail: String,
}

/// An attempt's end, as its agent reports it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) job: JobKey,
    pub(crate) fence: Fence,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) message: String,
    pub(crate) outputs: Vec<Output>,
    pub(crate) load_ms: i64,
    pub(crate) compute_ms: i64,
    pub(crate) held_ms: i64,
    /// How many computed in its call.
    pub(crate) batched: u32,
    pub(crate) log_tail: String,
}

impl Report {
    pub(crate) fn outcome_text(&self) -> &'static str {
        match self.outcome {
            AttemptOutcome::Succeeded => "succeeded",
            AttemptOutcome::Failed { .. } => "failed",
            AttemptOutcome::Canceled => "canceled",
        }
    }

    /// Outputs that break a limit are refused, whatever the agent says.
    fn checked(mut self) -> Self {
        let inline: usize = self.outputs.iter().map(|output| output.inline_base64.len() / 4 * 3).sum();
        let too_large = inline > limits::INLINE_OUTPUT_BYTES_MAX + 2;
        if self.outcome == AttemptOutcome::Succeeded
            && (too_large || self.outputs.len() > limits::OUTPUTS_MAX)
        {
            self.outcome = AttemptOutcome::Failed { class: FailureClass::OutputRefused, retryable: false };
            self.message =
                "The output is larger than a job may carry: use an issuer as its target.".to_owned();
            self.outputs.clear();
        }
        self
    }
}

impl Driver {
    pub(super) fn agent_opened(
        &mut self,
        now: Timestamp,
        hello: Hello,
        session: u64,
        sender: ToAgent,
        batch: &mut Batch,
    ) {
        let agent = hello.agent.clone();
        if self.agents.len() >= limits::AGENTS_MAX && !self.agents.contains_key(&agent) {
            let _ = sender.try_send(Err(tonic::Status::resource_exhausted("too many agents")));
            return;
        }
        // The newest stream of an agent is the one that counts. While its past is sorted out it takes nothing new.
        self.apply(now, Event::AgentLost { agent: agent.clone() }, None, batch);
        let pool = self.greet_machine(now, &hello, batch);
        let unbegun = self.unbegun(&hello);
        let Hello { boot_id, name, region, mut workers, running, spooled, pool: named, machine, .. } = hello;
        if pool.is_none() && machine.is_empty() && !named.is_empty() {
            // What it would cost is bounded by nothing: it may report what it runs, and gets nothing new.
            tracing::error!(%agent, pool = named, "no third party of this name is configured; the agent gets no work");
            workers.clear();
        }
        workers.iter_mut().for_each(|worker| worker.pool = pool.clone());
        let returning = self.agents.get(&agent).is_some_and(|held| held.boot_id == boot_id);
        tracing::info!(%agent, %region, returning, running = running.len(), "an agent joins");
        let stream = Some((session, sender));
        let (last_seen_at, draining) = (now, false);
        let entry = Agent {
            name,
            region: region.clone(),
            boot_id,
            pool,
            workers: workers.clone(),
            draining,
            last_seen_at,
            running: running.len(),
            stream,
        };
        self.agents.insert(agent.clone(), entry);

        let mut told = Batch::new(now);
        for report in spooled {
            self.finished(now, &agent, report, &mut told);
        }
        for (job, fence) in unbegun {
            let outcome = AttemptOutcome::Failed { class: FailureClass::LostWorker, retryable: true };
            let never = Event::Finished { job, fence, outcome, load_ms: 0, compute_ms: 0, batched: 0 };
            self.apply(now, never, None, &mut told);
        }
        told.welcome = Some(v1::Welcome {
            epoch: i64::try_from(self.epoch).unwrap_or(i64::MAX),
            lease_ms: scheduling::LEASE_MS,
            heartbeat_ms: limits::HEARTBEAT_MS,
            keep: Vec::new(),
            kill: Vec::new(),
        });
        let gpus = workers.iter().map(|worker| worker.gpus).sum();
        let joined = events::AgentJoined {
            region: region.clone(),
            workers: u32::try_from(workers.len()).unwrap_or(0),
            gpus,
        };
        let spec =
            AgentSpec { agent: agent.clone(), region: RegionKey::from(region.as_str()), workers, running };
        self.apply(now, Event::AgentJoined(spec), None, &mut told);
        // The welcome comes first on the stream; what was decided with it follows.
        if let Some(welcome) = told.welcome.take() {
            // Only who leads may end what runs: the commit shows it before the agent hears of it.
            batch.urgent |= !welcome.kill.is_empty();
            batch.tell(&agent, Message::Welcome(welcome));
        }
        batch.absorb(told);
        batch.publish(agent_meta(&agent, now), "", &joined);
    }

    /// Attempts that were charged for this very start of the agent and that it has never heard of: they cost nothing.
    /// What another start of it was given may have run.
    fn unbegun(&self, hello: &Hello) -> Vec<(JobKey, Fence)> {
        let known = hello.running.iter().map(|run| run.fence);
        let known: BTreeSet<Fence> = known.chain(hello.spooled.iter().map(|report| report.fence)).collect();
        let leased = self.jobs.iter().filter_map(|(key, live)| {
            let fence = live.job.fence.filter(|fence| !known.contains(fence))?;
            let attempt = live.job.attempts.iter().find(|attempt| attempt.fence == fence)?;
            let charge = attempt.charge.as_ref().filter(|_| attempt.agent == hello.agent.as_str())?;
            (!charge.boot_id.is_empty() && charge.boot_id == hello.boot_id).then_some((*key, fence))
        });
        leased.collect()
    }

    pub(super) fn agent_said(
        &mut self,
        now: Timestamp,
        agent: &AgentKey,
        session: u64,
        said: ToDriver,
        batch: &mut Batch,
    ) {
        let Some(entry) = self.agents.get_mut(agent) else { return };
        // What an older stream still says was said again, by the hello of the newer one.
        if entry.stream.as_ref().is_none_or(|(open, _)| *open != session) {
            return;
        }
        entry.last_seen_at = now;
        match said {
            ToDriver::Heartbeat(running) => {
                entry.running = running.len();
                self.apply(now, Event::Heartbeat { agent: agent.clone(), running }, None, batch);
                batch.tell(agent, Message::Lease(v1::LeaseExtended { lease_ms: scheduling::LEASE_MS }));
            }
            ToDriver::Phase { job, fence, phase, shown } => {
                self.moved(now, job, fence, phase, shown, batch);
            }
            ToDriver::Finished(report) => self.finished(now, agent, *report, batch),
            ToDriver::Residency { worker, resident } => {
                let worker = WorkerKey { agent: agent.clone(), worker };
                self.apply(now, Event::WorkerReport { worker, resident }, None, batch);
            }
            ToDriver::Loaded { worker, model, load_ms, loaded } => {
                let worker = WorkerKey { agent: agent.clone(), worker };
                self.apply(now, Event::LoadFinished { worker, model, load_ms, loaded }, None, batch);
            }
            ToDriver::Draining => {
                entry.draining = true;
                self.noticed(now, agent, batch);
                self.apply(now, Event::AgentDraining { agent: agent.clone() }, None, batch);
            }
        }
    }

    pub(super) fn agent_closed(&mut self, now: Timestamp, agent: &AgentKey, session: u64, batch: &mut Batch) {
        let Some(entry) = self.agents.get_mut(agent) else { return };
        if entry.stream.as_ref().is_none_or(|(open, _)| *open != session) {
            return;
        }
        entry.stream = None;
        self.agent_left(now, agent, batch);
    }

    /// An agent has no stream any more. Its leases go on.
    pub(super) fn agent_left(&mut self, now: Timestamp, agent: &AgentKey, batch: &mut Batch) {
        let Some(entry) = self.agents.get(agent).filter(|entry| entry.stream.is_none()) else { return };
        tracing::warn!(%agent, "an agent's stream ended");
        let lost = events::AgentLost { region: entry.region.clone() };
        batch.publish(agent_meta(agent, now), "", &lost);
        self.apply(now, Event::AgentLost { agent: agent.clone() }, None, batch);
    }

    /// An attempt ended. Its agent hears that it may forget the report once that is durable, whether it counts or not.
    fn finished(&mut self, now: Timestamp, agent: &AgentKey, report: Report, batch: &mut Batch) {
        let report = report.checked();
        let (job, fence) = (report.job, report.fence);
        let job_id = crate::convert::job_id(job).to_string();
        batch.tell(agent, Message::Acknowledged(v1::Acknowledged { job_id, fence: fence.to_string() }));
        let live = self.jobs.get(&job);
        let stranger = live
            .and_then(|live| live.job.attempts.iter().find(|attempt| attempt.fence == fence))
            .is_some_and(|attempt| attempt.agent != agent.as_str());
        if stranger {
            tracing::warn!(%agent, %fence, "an agent reported another's attempt; it is ignored");
        } else {
            let (outcome, load_ms, compute_ms) = (report.outcome, report.load_ms, report.compute_ms);
            self.apply(
                now,
                Event::Finished { job, fence, outcome, load_ms, compute_ms, batched: report.batched },
                Some(&report),
                batch,
            );
        }
    }

    /// Progress is shown and not written; the beginning of the compute is written, with somebody's next commit.
    fn moved(
        &mut self,
        now: Timestamp,
        key: JobKey,
        fence: Fence,
        phase: Phase,
        shown: Shown,
        batch: &mut Batch,
    ) {
        let Some(live) = self.jobs.get_mut(&key).filter(|live| live.job.fence == Some(fence)) else { return };
        live.job.phase = phase;
        let progress = shown.progress;
        live.job.progress = if progress.is_finite() { progress.clamp(0.0, 1.0) } else { 0.0 };
        live.job.progress_note = shown.note;
        live.job.preview = shown.preview;
        if !shown.log_tail.is_empty() {
            live.job.log_tail = shown.log_tail;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1 above")]
        let done_permille = (live.job.progress * 1000.0) as u32;
        batch.shown.insert(key);
        let scheduler_phase = match phase {
            Phase::Queued => backlot_inference_scheduler::Phase::Assigned,
            Phase::Fetching => backlot_inference_scheduler::Phase::Fetching,
            Phase::Loading => backlot_inference_scheduler::Phase::Loading,
            Phase::Running => backlot_inference_scheduler::Phase::Running,
            Phase::Paused => backlot_inference_scheduler::Phase::Paused,
            Phase::Uploading => backlot_inference_scheduler::Phase::Uploading,
        };
        if matches!(phase, Phase::Running | Phase::Paused | Phase::Uploading) {
            self.started(now, key, fence, batch);
            self.apply(now, Event::AttemptStarted { job: key, fence }, None, batch);
        }
        let event = Event::Progress { job: key, fence, phase: scheduler_phase, done_permille };
        self.apply(now, event, None, batch);
    }

    /// Tells an agent something. One that does not read is cut off: it comes back with a clear picture.
    pub(super) fn tell(&mut self, agent: &AgentKey, message: Message) {
        let Some(entry) = self.agents.get_mut(agent) else { return };
        let Some((_, sender)) = &entry.stream else { return };
        let sent = sender.try_send(Ok(v1::ControlMessage { message: Some(message) }));
        if matches!(sent, Err(mpsc::error::TrySendError::Full(_))) {
            tracing::warn!(%agent, "an agent does not read its messages; its stream is closed");
            entry.stream = None;
            self.cut_off.push(agent.clone());
        }
    }
}

fn agent_meta(agent: &AgentKey, now: Timestamp) -> EventMeta {
    EventMeta {
        subject: agent.to_string(),
        organisation: String::new(),
        actor: "service:inference".to_owned(),
        time: now,
    }
}
