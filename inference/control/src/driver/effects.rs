//! What each effect of the scheduler writes, shows, answers and sends.

use backlot_foundation_events::EventMeta;
use backlot_foundation_time::Timestamp;
use backlot_inference_api::{events, v1};
use backlot_inference_scheduler::{
    Assignment, AttemptEnd, Effect, FailureClass, Fence, JobKey, StopReason, TimeUs, WorkerKey,
};
use v1::control_message::Message;

use super::{
    Driver, Report,
    batch::{Batch, Late},
};
use crate::{
    model::{Attempt, AttemptOutcome, Failure, Job, JobState, Phase},
    overflow::Charge,
};

impl Driver {
    /// Turns one effect into writes and what follows them.
    pub(super) fn interpret(
        &mut self,
        now: Timestamp,
        effect: Effect,
        report: Option<&Report>,
        batch: &mut Batch,
    ) {
        match effect {
            Effect::Assign(assignment) => self.assigned(now, assignment, batch),
            Effect::Prefetch { worker, model } => self.prefetch(&worker, &model, batch),
            Effect::Evict { worker, model } => {
                let evict = v1::Evict { worker_id: worker.worker.to_string(), model: model.to_string() };
                batch.tell(&worker.agent, Message::Evict(evict));
            }
            Effect::Keep { job, fence, worker } => {
                if let Some(welcome) = &mut batch.welcome {
                    welcome.keep.push(crate::convert::running(job, fence, &worker));
                }
            }
            Effect::StopAttempt { job, fence, worker, why } => Self::stop(job, fence, &worker, why, batch),
            Effect::Pause { job, fence, worker } => {
                let run = crate::convert::running(job, fence, &worker);
                let pause = v1::PauseAttempt { job_id: run.job_id, fence: run.fence };
                batch.tell(&worker.agent, Message::Pause(pause));
            }
            Effect::Resume { job, fence, worker } => {
                let run = crate::convert::running(job, fence, &worker);
                let resume = v1::ResumeAttempt { job_id: run.job_id, fence: run.fence };
                batch.tell(&worker.agent, Message::Resume(resume));
            }
            Effect::AttemptEnded { job, fence, end } => {
                self.attempt_ended(now, job, fence, end, report, batch)
            }
            Effect::LateReport { job, fence } => {
                let outcome = report.map_or("", Report::outcome_text);
                batch.late.push(Late { job: crate::convert::job_id(job), fence, outcome });
                batch.urgent = true;
            }
            Effect::Requeue { job, ready_at } => self.requeued(now, job, ready_at, batch),
            Effect::Succeeded { job, fence } => self.succeeded(now, job, fence, report, batch),
            Effect::Failed { job, class } => self.failed(now, job, class, report, batch),
            Effect::Canceled { job } => self.canceled(now, job, batch),
            Effect::Expired { job } => self.expired(now, job, batch),
            Effect::Scale { pool, workers } => self.scaled(now, &pool, workers, batch),
            Effect::Retire { agent, .. } => self.retired(now, &agent, batch),
            Effect::Spent { pool, tenant, day, micro } => {
                // In the commit of the attempt that costs it: a charge is never later than what it is for.
                let (pool, tenant) = (pool.to_string(), tenant.to_string());
                self.machines.spent.insert((pool.clone(), day, tenant.clone()), micro);
                batch.spent.insert((pool, day, tenant), micro);
                batch.urgent = true;
            }
            Effect::AgentForgotten { agent } => {
                self.agents.remove(&agent);
            }
        }
    }

    fn assigned(&mut self, now: Timestamp, assignment: Assignment, batch: &mut Batch) {
        let agent = self.agents.get(&assignment.worker.agent);
        let region = agent.map(|agent| agent.region.clone()).unwrap_or_default();
        let boot_id = agent.map(|agent| agent.boot_id.clone()).unwrap_or_default();
        let Some(live) = self.jobs.get_mut(&assignment.job) else { return };
        let job = &mut live.job;
        job.state = JobState::Running;
        job.phase = Phase::Fetching;
        job.fence = Some(assignment.fence);
        (job.position, job.start_p50_ms, job.start_p90_ms) = (0, 0, 0);
        (job.progress, job.progress_note, job.preview) = (0.0, String::new(), String::new());
        job.attempts.push(Attempt {
            fence: assignment.fence,
            agent: assignment.worker.agent.to_string(),
            worker: assignment.worker.worker.to_string(),
            region,
            assigned_at: now,
            started_at: None,
            ended_at: None,
            outcome: None,
            failure: None,
            message: String::new(),
            load_ms: 0,
            compute_ms: 0,
            held_ms: 0,
            batch: assignment.batch.map(|batch| batch.to_string()).unwrap_or_default(),
            batched: 0,
            charge: assignment.charge.as_ref().map(|charge| Charge::new(charge, boot_id)),
        });
        batch.attempts.insert((assignment.job, assignment.fence), true);
        batch.change(assignment.job);
        batch.assign(assignment);
    }

    fn prefetch(
        &mut self,
        worker: &WorkerKey,
        model: &backlot_inference_scheduler::ModelKey,
        batch: &mut Batch,
    ) {
        if let Some(entry) = self.shared.model(model) {
            let model = Some(crate::convert::model_spec(&entry.model.spec));
            let prefetch = v1::Prefetch { worker_id: worker.worker.to_string(), model };
            batch.tell(&worker.agent, Message::Prefetch(prefetch));
        }
    }

    fn stop(job: JobKey, fence: Fence, worker: &WorkerKey, why: StopReason, batch: &mut Batch) {
        let running = crate::convert::running(job, fence, worker);
        match (&mut batch.welcome, why) {
            (Some(welcome), StopReason::Stale) => welcome.kill.push(running),
            (Some(_) | None, StopReason::Canceled | StopReason::TimedOut | StopReason::Stale) => {
                let cancel = v1::CancelAttempt { job_id: running.job_id, fence: running.fence };
                batch.tell(&worker.agent, Message::Cancel(cancel));
            }
        }
    }

    fn attempt_ended(
        &mut self,
        now: Timestamp,
        key: JobKey,
        fence: Fence,
        end: AttemptEnd,
        report: Option<&Report>,
        batch: &mut Batch,
    ) {
        let report = report.filter(|report| report.fence == fence);
        let Some(live) = self.jobs.get_mut(&key) else { return };
        live.job.fence = None;
        let Some(attempt) = live.job.attempt_mut(fence) else { return };
        (attempt.outcome, attempt.failure) = match end {
            AttemptEnd::Succeeded => (Some(AttemptOutcome::Succeeded), None),
            AttemptEnd::Failed(class) => (Some(AttemptOutcome::Failed), Some(Failure::from(class))),
            AttemptEnd::Canceled => (Some(AttemptOutcome::Canceled), None),
            AttemptEnd::Lost => (Some(AttemptOutcome::Lost), Some(Failure::LostWorker)),
        };
        attempt.ended_at = Some(now);
        if let Some(report) = report {
            attempt.load_ms = report.load_ms;
            attempt.compute_ms = report.compute_ms;
            attempt.held_ms = report.held_ms;
            attempt.batched = report.batched;
            attempt.message.clone_from(&report.message);
        }
        live.job.compute_ms = live.job.attempts.iter().map(|attempt| attempt.compute_ms).sum();
        if let Some(report) = report.filter(|report| !report.log_tail.is_empty()) {
            live.job.log_tail.clone_from(&report.log_tail);
        }
        batch.attempts.entry((key, fence)).or_insert(false);
        batch.change(key);
    }

    fn requeued(&mut self, now: Timestamp, key: JobKey, ready_at: TimeUs, batch: &mut Batch) {
        let Some(live) = self.jobs.get_mut(&key) else { return };
        live.job.state = JobState::Queued;
        live.job.phase = Phase::Queued;
        (live.job.progress, live.job.progress_note) = (0.0, String::new());
        live.job.preview.clear();
        live.job.queued_at = now;
        batch.change(key);
        tracing::info!(job = %live.job.id, ready_at_us = ready_at.0, "a job waits for another attempt");
    }

    fn succeeded(
        &mut self,
        now: Timestamp,
        key: JobKey,
        fence: Fence,
        report: Option<&Report>,
        batch: &mut Batch,
    ) {
        self.started(now, key, fence, batch);
        let Some(live) = self.jobs.get_mut(&key) else { return };
        let job = &mut live.job;
        job.winning_fence = fence.to_string();
        job.outputs = report.map(|report| report.outputs.clone()).unwrap_or_default();
        job.progress = 1.0;
        job.delivered_fraction = 1.0;
        end(job, JobState::Succeeded, now);
        let outputs = u32::try_from(job.outputs.len()).unwrap_or(u32::MAX);
        let event = events::JobSucceeded { job: facts(job), timings: timings(job, now), outputs };
        batch.publish(meta(job, now), &job.traceparent, &event);
        self.leave(key, batch);
    }

    fn failed(
        &mut self,
        now: Timestamp,
        key: JobKey,
        class: FailureClass,
        report: Option<&Report>,
        batch: &mut Batch,
    ) {
        let Some(live) = self.jobs.get_mut(&key) else { return };
        let job = &mut live.job;
        let failure = Failure::from(class);
        job.failure = Some(failure);
        let said = report.map(|report| report.message.as_str()).filter(|message| !message.is_empty());
        job.message = said.unwrap_or(sentence(failure)).to_owned();
        end(job, JobState::Failed, now);
        let failure = failure.as_str().to_owned();
        let event = events::JobFailed { job: facts(job), timings: timings(job, now), failure };
        batch.publish(meta(job, now), &job.traceparent, &event);
        self.leave(key, batch);
    }

    fn canceled(&mut self, now: Timestamp, key: JobKey, batch: &mut Batch) {
        let Some(live) = self.jobs.get_mut(&key) else { return };
        let job = &mut live.job;
        end(job, JobState::Canceled, now);
        let confirm_ms = job.cancel_requested_at.map_or(0, |asked_at| ms_between(asked_at, now));
        let event = events::JobCanceled { job: facts(job), timings: timings(job, now), confirm_ms };
        batch.publish(meta(job, now), &job.traceparent, &event);
        self.leave(key, batch);
    }

    fn expired(&mut self, now: Timestamp, key: JobKey, batch: &mut Batch) {
        let Some(live) = self.jobs.get_mut(&key) else { return };
        let job = &mut live.job;
        let lived_ms = ms_between(job.queued_at, now);
        job.message = match job.deadline {
            Some(_) if lived_ms < job.ttl_ms => "It could only have ended after its deadline.".to_owned(),
            Some(_) | None => "It waited longer than its time to live.".to_owned(),
        };
        end(job, JobState::Expired, now);
        let event = events::JobExpired { job: facts(job), timings: timings(job, now) };
        batch.publish(meta(job, now), &job.traceparent, &event);
        self.leave(key, batch);
    }

    /// The attempt computes. The first time, the job has started: its row and event may wait for another's commit.
    pub(super) fn started(&mut self, now: Timestamp, key: JobKey, fence: Fence, batch: &mut Batch) {
        let Some(live) = self.jobs.get_mut(&key) else { return };
        let Some(attempt) = live.job.attempt_mut(fence) else { return };
        if attempt.started_at.is_none() {
            attempt.started_at = Some(now);
            batch.attempts.entry((key, fence)).or_insert(false);
        }
        let region = attempt.region.clone();
        if live.job.started_at.is_none() {
            live.job.started_at = Some(now);
            batch.changed.insert(key);
            let queue_ms = timings(&live.job, now).queue_ms;
            let event = events::JobStarted { job: facts(&live.job), queue_ms, region };
            batch.publish(meta(&live.job, now), &live.job.traceparent, &event);
        }
    }

    fn leave(&mut self, key: JobKey, batch: &mut Batch) {
        batch.ended.insert(key);
        batch.change(key);
    }
}

fn end(job: &mut Job, state: JobState, now: Timestamp) {
    job.state = state;
    job.fence = None;
    job.ended_at = Some(now);
    (job.position, job.start_p50_ms, job.start_p90_ms) = (0, 0, 0);
    metrics::counter!("backlot_inference_jobs_ended", "state" => state.as_str()).increment(1);
}

fn sentence(failure: Failure) -> &'static str {
    match failure {
        Failure::InvalidInput => "The model does not take this input.",
        Failure::ModelError => "The model failed.",
        Failure::LostWorker => "The machine that ran it was lost, more often than a job is tried.",
        Failure::TimedOut => "It took longer than the model may take.",
        Failure::OutputRefused => "The output could not be delivered.",
    }
}

fn ms_between(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.since(from).as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn facts(job: &Job) -> events::JobFacts {
    events::JobFacts {
        namespace: job.namespace.clone(),
        tenant: job.tenant.clone(),
        model: job.model.clone(),
        model_version: job.model_version.clone(),
        tier: job.tier.as_str().to_owned(),
    }
}

fn timings(job: &Job, now: Timestamp) -> events::JobTimings {
    let assigned_at = job.attempts.first().map_or(now, |attempt| attempt.assigned_at);
    events::JobTimings {
        total_ms: ms_between(job.created_at, now),
        queue_ms: ms_between(job.created_at, assigned_at),
        load_ms: job.attempts.iter().map(|attempt| attempt.load_ms).sum(),
        compute_ms: job.compute_ms,
        attempts: u32::try_from(job.attempts.len()).unwrap_or(u32::MAX),
    }
}

pub(super) fn meta(job: &Job, now: Timestamp) -> EventMeta {
    EventMeta {
        subject: job.id.to_string(),
        organisation: job.tenant.clone(),
        actor: "service:inference".to_owned(),
        time: now,
    }
}
