//! What agents are told, and what they say. They are ours, and they may be old or broken: everything is checked and cut.

use std::{collections::BTreeSet, sync::Arc};

use backlot_inference_api::{JobId, v1};
use backlot_inference_scheduler::{
    AgentKey, Assignment, AttemptOutcome as Outcome, FailureClass, Fence, JobKey, ModelKey, RunningAttempt,
    WorkerKey, WorkerSpec,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{head, invalid, job_id, model_spec, reported_ms, room, tail, target_message};
use crate::{
    driver::{Hello, Report, Shown, ToDriver},
    error::Error,
    limits,
    model::{Job, ModelSpec, Output, Phase, job_key},
};

pub(crate) fn running(job: JobKey, fence: Fence, worker: &WorkerKey) -> v1::RunningAttempt {
    v1::RunningAttempt {
        job_id: job_id(job).to_string(),
        fence: fence.to_string(),
        worker_id: worker.worker.to_string(),
        ..v1::RunningAttempt::default()
    }
}

pub(crate) fn assign(assignment: &Assignment, job: &Job, spec: &ModelSpec, input_json: String) -> v1::Assign {
    v1::Assign {
        job_id: job.id.to_string(),
        fence: assignment.fence.to_string(),
        worker_id: assignment.worker.worker.to_string(),
        model: Some(model_spec(spec)),
        input_json,
        output: Some(target_message(&job.target)),
        lease_ms: assignment.lease_ms,
        timeout_ms: assignment.timeout_ms,
        traceparent: job.traceparent.clone(),
    }
}

fn attempt_of(job: &str, fence: &str) -> Result<(JobKey, Fence), Error> {
    let job = JobId::parse(job).map_err(|_| invalid("/job_id", "must be a job's id"))?;
    let fence = fence.parse::<Fence>().map_err(|_| invalid("/fence", "must be epoch-sequence"))?;
    Ok((job_key(job), fence))
}

fn all_running(running: Vec<v1::RunningAttempt>) -> Result<Vec<RunningAttempt>, Error> {
    if running.len() > limits::RUNNING_MAX {
        return Err(invalid("/running", "must name at most 16,384 attempts"));
    }
    let one = |run: v1::RunningAttempt| {
        let (job, fence) = attempt_of(&run.job_id, &run.fence)?;
        let (paused, held_ms) = (run.paused, reported_ms(run.held_ms));
        // Of an agent that says nothing, or something else, nobody knows: it counts as alone.
        let batch = run.batch.parse::<Fence>().ok();
        Ok(RunningAttempt { job, fence, worker: Arc::from(run.worker_id), paused, held_ms, batch })
    };
    running.into_iter().map(one).collect()
}

fn name(pointer: &str, text: String) -> Result<String, Error> {
    let fits = !text.is_empty() && text.chars().count() <= limits::NAME_CHARS_MAX;
    let plain = !text.chars().any(char::is_control);
    if fits && plain {
        Ok(text)
    } else {
        Err(invalid(pointer, "must have 1 to 255 characters, none a control"))
    }
}

/// Workers do not say how fast they are yet: all count as the reference.
const SPEED_MILLI: u32 = 1_000;

pub(crate) fn hello(message: v1::Hello) -> Result<Hello, Error> {
    let id = name("/agent_id", message.agent_id)?;
    if message.workers.len() > limits::WORKERS_MAX || message.spooled.len() > limits::RUNNING_MAX {
        return Err(invalid("/workers", "must be at most 256, and at most 16,384 spooled reports"));
    }
    let mut names = BTreeSet::new();
    let mut workers = Vec::new();
    for worker in message.workers {
        let id = name("/workers/id", worker.id)?;
        if !names.insert(id.clone()) {
            return Err(invalid("/workers/id", "must be unique within the agent"));
        }
        workers.push(WorkerSpec {
            worker: Arc::from(id),
            gpus: u32::try_from(worker.gpus).unwrap_or(0).min(limits::WORKER_ROOM_MAX),
            memory_mib: worker.memory_mib.clamp(0, limits::MEMORY_MIB_MAX),
            slots: room(worker.slots),
            concurrency: room(worker.concurrency),
            models: worker.models.into_iter().map(Arc::from).collect(),
            speed_milli: SPEED_MILLI,
            overlap: worker.overlap,
            pool: None,
            batches: worker.batches,
        });
    }
    Ok(Hello {
        agent: AgentKey::from(id.as_str()),
        boot_id: head(&message.boot_id, limits::NAME_CHARS_MAX),
        name: head(&message.name, limits::NAME_CHARS_MAX),
        region: head(&message.region, limits::NAME_CHARS_MAX),
        pool: head(&message.pool, limits::NAME_CHARS_MAX),
        machine: head(&message.machine, limits::NAME_CHARS_MAX),
        workers,
        running: all_running(message.running)?,
        spooled: message.spooled.into_iter().map(report).collect::<Result<_, _>>()?,
    })
}

fn phase_of(value: i32) -> Phase {
    match v1::Phase::try_from(value) {
        Ok(v1::Phase::Loading) => Phase::Loading,
        Ok(v1::Phase::Running) => Phase::Running,
        Ok(v1::Phase::Paused) => Phase::Paused,
        Ok(v1::Phase::Uploading) => Phase::Uploading,
        Ok(v1::Phase::Fetching | v1::Phase::Queued | v1::Phase::Unspecified) | Err(_) => Phase::Fetching,
    }
}

fn class_of(value: i32) -> FailureClass {
    match v1::FailureClass::try_from(value) {
        Ok(v1::FailureClass::InvalidInput) => FailureClass::InvalidInput,
        Ok(v1::FailureClass::LostWorker) => FailureClass::LostWorker,
        Ok(v1::FailureClass::TimedOut) => FailureClass::TimedOut,
        Ok(v1::FailureClass::OutputRefused) => FailureClass::OutputRefused,
        Ok(v1::FailureClass::ModelError | v1::FailureClass::Unspecified) | Err(_) => FailureClass::ModelError,
    }
}

fn report(message: v1::AttemptFinished) -> Result<Report, Error> {
    let (job, fence) = attempt_of(&message.job_id, &message.fence)?;
    let class = class_of(message.failure);
    let outcome = match message.outcome.as_str() {
        "succeeded" => Outcome::Succeeded,
        "canceled" => Outcome::Canceled,
        // A lost worker may always be tried again: the model's opinion is not asked.
        "failed" => {
            Outcome::Failed { class, retryable: message.retryable || class == FailureClass::LostWorker }
        }
        _ => return Err(invalid("/outcome", "must be succeeded, failed or canceled")),
    };
    let output = |output: v1::JobOutput| Output {
        object_key: head(&output.object_key, limits::ISSUER_URL_CHARS_MAX),
        name: head(&output.name, limits::NAME_CHARS_MAX),
        content_type: head(&output.content_type, limits::NAME_CHARS_MAX),
        size_bytes: output.size_bytes.max(0),
        sha256: head(&output.sha256, 64),
        inline_base64: STANDARD.encode(&output.inline),
    };
    Ok(Report {
        job,
        fence,
        outcome,
        message: head(&message.message, limits::MESSAGE_CHARS_MAX),
        outputs: message.outputs.into_iter().take(limits::OUTPUTS_MAX + 1).map(output).collect(),
        load_ms: reported_ms(message.load_ms),
        compute_ms: reported_ms(message.compute_ms),
        held_ms: reported_ms(message.held_ms),
        batched: u32::try_from(message.batched).unwrap_or(0).clamp(1, limits::BATCH_MAX),
        log_tail: tail(&message.log_tail, limits::LOG_TAIL_BYTES_MAX),
    })
}

/// A preview is a small picture, or it is none: it is shown to people as it is.
fn picture(preview: String) -> String {
    let kinds = ["data:image/jpeg;base64,", "data:image/png;base64,", "data:image/webp;base64,"];
    let content = kinds.iter().find_map(|kind| preview.strip_prefix(kind));
    let is_base64 = |content: &str| {
        content.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
    };
    let is_good = preview.len() <= limits::PREVIEW_BYTES_MAX && content.is_some_and(is_base64);
    if is_good { preview } else { String::new() }
}

/// What an agent says after its hello; nothing where this version does not know the message.
pub(crate) fn said(message: v1::AgentMessage) -> Result<Option<ToDriver>, Error> {
    use v1::agent_message::Message;
    Ok(Some(match message.message {
        None => return Ok(None),
        Some(Message::Hello(_)) => return Err(invalid("", "hello is said once, first")),
        Some(Message::Heartbeat(heartbeat)) => ToDriver::Heartbeat(all_running(heartbeat.running)?),
        Some(Message::Phase(phase)) => {
            let (job, fence) = attempt_of(&phase.job_id, &phase.fence)?;
            ToDriver::Phase {
                job,
                fence,
                phase: phase_of(phase.phase),
                shown: Shown {
                    progress: phase.progress,
                    note: head(&phase.note, limits::NOTE_CHARS_MAX),
                    preview: picture(phase.preview),
                    log_tail: tail(&phase.log_tail, limits::LOG_TAIL_BYTES_MAX),
                },
            }
        }
        Some(Message::Finished(finished)) => ToDriver::Finished(Box::new(report(finished)?)),
        Some(Message::Residency(residency)) => ToDriver::Residency {
            worker: Arc::from(residency.worker_id),
            resident: residency
                .resident
                .iter()
                .take(limits::WORKER_ROOM_MAX as usize)
                .map(|model| ModelKey::from(model.as_str()))
                .collect(),
        },
        Some(Message::Loaded(loaded)) => ToDriver::Loaded {
            worker: Arc::from(loaded.worker_id),
            model: ModelKey::from(loaded.model.as_str()),
            load_ms: reported_ms(loaded.load_ms),
            loaded: loaded.loaded,
        },
        Some(Message::Draining(_)) => ToDriver::Draining,
    }))
}
