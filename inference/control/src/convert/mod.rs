//! Between the contract's messages and the service's types. Nothing of protobuf goes further.

mod agents;

use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use backlot_inference_api::{JobId, v1};
use backlot_inference_scheduler::{JobKey, limits as scheduling};
use base64::{Engine as _, engine::general_purpose::STANDARD};

pub(crate) use self::agents::{assign, hello, running, said};
use crate::{
    error::Error,
    limits,
    model::{
        Attempt, Batching, Failure, Fleet, Job, JobState, Model, ModelSpec, Output, Pausing, Phase,
        RuntimeKind, Target, Tier,
    },
};

/// The id of a job of the scheduler.
pub(crate) fn job_id(key: JobKey) -> JobId {
    JobId::from_uuid(Uuid::from_u128(key.0))
}

fn invalid(pointer: &str, rule: &str) -> Error {
    Error::Invalid { pointer: pointer.to_owned(), rule: rule.to_owned() }
}

fn micros(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::micros)
}

/// The end of a text, without what PostgreSQL cannot store.
fn tail(text: &str, bytes_max: usize) -> String {
    let mut from = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].replace('\0', "")
}

/// The beginning of a text, without what PostgreSQL cannot store.
fn head(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(chars_max).collect()
}

fn room(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(1).clamp(1, limits::WORKER_ROOM_MAX)
}

fn reported_ms(value: i64) -> i64 {
    value.clamp(0, limits::REPORTED_MS_MAX)
}

/// A job's id from a text; what is no id is no job.
pub(crate) fn parse_job_id(text: &str) -> Result<JobId, Error> {
    JobId::parse(text).map_err(|_| Error::JobUnknown)
}

pub(crate) fn tier(value: i32) -> Tier {
    match v1::Tier::try_from(value) {
        Ok(v1::Tier::Interactive) => Tier::Interactive,
        Ok(v1::Tier::Batch) => Tier::Batch,
        Ok(v1::Tier::Standard | v1::Tier::Unspecified) | Err(_) => Tier::Standard,
    }
}

fn tier_message(tier: Tier) -> i32 {
    match tier {
        Tier::Interactive => v1::Tier::Interactive,
        Tier::Standard => v1::Tier::Standard,
        Tier::Batch => v1::Tier::Batch,
    }
    .into()
}

pub(crate) fn target(message: Option<v1::OutputTarget>) -> Target {
    match message.and_then(|target| target.target) {
        Some(v1::output_target::Target::Issuer(issuer)) => {
            Target::Issuer { url: issuer.url, capability: issuer.capability }
        }
        Some(v1::output_target::Target::Inline(_)) | None => Target::Inline,
    }
}

fn target_message(target: &Target) -> v1::OutputTarget {
    let target = match target {
        Target::Inline => v1::output_target::Target::Inline(v1::InlineTarget {}),
        Target::Issuer { url, capability } => v1::output_target::Target::Issuer(v1::IssuerTarget {
            url: url.clone(),
            capability: capability.clone(),
        }),
    };
    v1::OutputTarget { target: Some(target) }
}

pub(crate) fn read_spec(message: Option<v1::ModelSpec>) -> Result<ModelSpec, Error> {
    let broken = |pointer: &str, rule: &str| Error::ModelInvalid {
        pointer: pointer.to_owned(),
        rule: rule.to_owned(),
    };
    let message = message.ok_or_else(|| broken("", "must be given"))?;
    let runtime = match v1::RuntimeKind::try_from(message.runtime) {
        Ok(v1::RuntimeKind::Echo) => RuntimeKind::Echo,
        Ok(v1::RuntimeKind::Command) => RuntimeKind::Command,
        Ok(v1::RuntimeKind::Cog) => RuntimeKind::Cog,
        Ok(v1::RuntimeKind::Unspecified) | Err(_) => {
            return Err(broken("/runtime", "must be one that is known"));
        }
    };
    let schema = if message.input_schema_json.is_empty() { "true" } else { &message.input_schema_json };
    let input_schema = serde_json::from_str(schema)
        .map_err(|error| broken("/input_schema_json", &format!("must be JSON: {error}")))?;
    Ok(ModelSpec {
        name: message.name,
        version: message.version,
        runtime,
        worker: message.worker,
        input_schema,
        load_ms: message.load_ms,
        run_ms: message.run_ms,
        memory_mib: message.memory_mib,
        gpus: u32::try_from(message.gpus).map_err(|_| broken("/gpus", "must not be negative"))?,
        timeout_ms: message.timeout_ms,
        pausing: message.pausing.map(|pausing| Pausing { cost_ms: reported_ms(pausing.cost_ms) }),
        batching: message.batching.map(read_batching),
    })
}

/// What it must be is checked with the rest of the model.
fn read_batching(message: v1::Batching) -> Batching {
    let guess = u32::try_from(message.more_permille).unwrap_or(0);
    Batching {
        max: u32::try_from(message.max).unwrap_or(0),
        more_permille: if guess == 0 { scheduling::BATCH_MORE } else { guess },
        memory_mib: message.memory_mib,
        key: message.key,
    }
}

fn batching_message(batching: &Batching) -> v1::Batching {
    v1::Batching {
        max: i32::try_from(batching.max).unwrap_or(i32::MAX),
        more_permille: i32::try_from(batching.more_permille).unwrap_or(i32::MAX),
        memory_mib: batching.memory_mib,
        key: batching.key.clone(),
    }
}

pub(crate) fn model_spec(spec: &ModelSpec) -> v1::ModelSpec {
    let runtime = match spec.runtime {
        RuntimeKind::Echo => v1::RuntimeKind::Echo,
        RuntimeKind::Command => v1::RuntimeKind::Command,
        RuntimeKind::Cog => v1::RuntimeKind::Cog,
    };
    v1::ModelSpec {
        name: spec.name.clone(),
        version: spec.version.clone(),
        runtime: runtime.into(),
        worker: spec.worker.clone(),
        input_schema_json: spec.input_schema.to_string(),
        load_ms: spec.load_ms,
        run_ms: spec.run_ms,
        memory_mib: spec.memory_mib,
        gpus: i32::try_from(spec.gpus).unwrap_or(i32::MAX),
        timeout_ms: spec.timeout_ms,
        pausing: spec.pausing.map(|pausing| v1::Pausing { cost_ms: pausing.cost_ms }),
        batching: spec.batching.as_ref().map(batching_message),
    }
}

pub(crate) fn model(model: &Model) -> v1::Model {
    v1::Model { spec: Some(model_spec(&model.spec)), created_at_us: model.created_at.micros() }
}

fn failure_message(failure: Option<Failure>) -> i32 {
    let class = match failure {
        None => v1::FailureClass::Unspecified,
        Some(Failure::InvalidInput) => v1::FailureClass::InvalidInput,
        Some(Failure::ModelError) => v1::FailureClass::ModelError,
        Some(Failure::LostWorker) => v1::FailureClass::LostWorker,
        Some(Failure::TimedOut) => v1::FailureClass::TimedOut,
        Some(Failure::OutputRefused) => v1::FailureClass::OutputRefused,
    };
    class.into()
}

fn phase_message(phase: Phase) -> i32 {
    let phase = match phase {
        Phase::Queued => v1::Phase::Queued,
        Phase::Fetching => v1::Phase::Fetching,
        Phase::Loading => v1::Phase::Loading,
        Phase::Running => v1::Phase::Running,
        Phase::Paused => v1::Phase::Paused,
        Phase::Uploading => v1::Phase::Uploading,
    };
    phase.into()
}

pub(crate) fn state(value: i32) -> Option<JobState> {
    match v1::JobState::try_from(value) {
        Ok(v1::JobState::Queued) => Some(JobState::Queued),
        Ok(v1::JobState::Running) => Some(JobState::Running),
        Ok(v1::JobState::Succeeded) => Some(JobState::Succeeded),
        Ok(v1::JobState::Failed) => Some(JobState::Failed),
        Ok(v1::JobState::Canceled) => Some(JobState::Canceled),
        Ok(v1::JobState::Expired) => Some(JobState::Expired),
        Ok(v1::JobState::Unspecified) | Err(_) => None,
    }
}

fn state_message(state: JobState) -> i32 {
    let state = match state {
        JobState::Queued => v1::JobState::Queued,
        JobState::Running => v1::JobState::Running,
        JobState::Succeeded => v1::JobState::Succeeded,
        JobState::Failed => v1::JobState::Failed,
        JobState::Canceled => v1::JobState::Canceled,
        JobState::Expired => v1::JobState::Expired,
    };
    state.into()
}

fn attempt(attempt: &Attempt) -> v1::Attempt {
    v1::Attempt {
        fence: attempt.fence.to_string(),
        agent: attempt.agent.clone(),
        worker: attempt.worker.clone(),
        region: attempt.region.clone(),
        assigned_at_us: attempt.assigned_at.micros(),
        started_at_us: micros(attempt.started_at),
        ended_at_us: micros(attempt.ended_at),
        outcome: attempt.outcome.map(|outcome| outcome.as_str().to_owned()).unwrap_or_default(),
        failure: failure_message(attempt.failure),
        message: attempt.message.clone(),
        load_ms: attempt.load_ms,
        compute_ms: attempt.compute_ms,
        held_ms: attempt.held_ms,
        batch: attempt.batch.clone(),
        batched: i32::try_from(attempt.batched).unwrap_or(i32::MAX),
    }
}

fn output(output: &Output) -> v1::JobOutput {
    v1::JobOutput {
        object_key: output.object_key.clone(),
        name: output.name.clone(),
        content_type: output.content_type.clone(),
        size_bytes: output.size_bytes,
        sha256: output.sha256.clone(),
        // Written by us from bytes: always decodes.
        inline: STANDARD.decode(&output.inline_base64).unwrap_or_default(),
    }
}

pub(crate) fn job(job: &Job) -> v1::Job {
    v1::Job {
        id: job.id.to_string(),
        tenant: job.tenant.clone(),
        model: job.model.clone(),
        model_version: job.model_version.clone(),
        state: state_message(job.state),
        phase: phase_message(job.phase),
        progress: job.progress,
        progress_note: job.progress_note.clone(),
        preview: job.preview.clone(),
        position: i32::try_from(job.position).unwrap_or(i32::MAX),
        start_p50_ms: job.start_p50_ms,
        start_p90_ms: job.start_p90_ms,
        failure: failure_message(job.failure),
        message: job.message.clone(),
        outputs: job.outputs.iter().map(output).collect(),
        winning_fence: job.winning_fence.clone(),
        attempts: job.attempts.iter().map(attempt).collect(),
        log_tail: job.log_tail.clone(),
        compute_ms: job.compute_ms,
        predicted_ms: job.predicted_ms,
        created_at_us: job.created_at.micros(),
        started_at_us: micros(job.started_at),
        cancel_requested_at_us: micros(job.cancel_requested_at),
        ended_at_us: micros(job.ended_at),
        delivered_fraction: job.delivered_fraction,
        deadline_us: micros(job.deadline),
    }
}

pub(crate) fn fleet(fleet: &Fleet) -> v1::Fleet {
    let worker = |worker: &crate::model::WorkerView| v1::WorkerView {
        id: worker.id.clone(),
        gpus: i32::try_from(worker.gpus).unwrap_or(i32::MAX),
        memory_mib: worker.memory_mib,
        resident: worker.resident.clone(),
        job_id: worker.job_id.map(|id| id.to_string()).unwrap_or_default(),
        model: worker.model.clone(),
        phase: worker.phase.map_or(0, phase_message),
        progress: worker.progress,
    };
    let agents = fleet.agents.iter().map(|agent| v1::AgentView {
        id: agent.id.clone(),
        name: agent.name.clone(),
        region: agent.region.clone(),
        connected: agent.connected,
        draining: agent.draining,
        last_seen_us: agent.last_seen_at.micros(),
        workers: agent.workers.iter().map(worker).collect(),
        pool: agent.pool.clone().unwrap_or_default(),
    });
    let queues = fleet.queues.iter().map(|queue| v1::QueueView {
        tenant: queue.tenant.clone(),
        model: queue.model.clone(),
        queued: i32::try_from(queue.queued).unwrap_or(i32::MAX),
        oldest_ms: queue.oldest_ms,
    });
    let pools = fleet.pools.iter().map(|pool| v1::PoolView {
        name: pool.name.clone(),
        region: pool.region.clone(),
        provider: pool.provider.clone(),
        kind: pool.kind.clone(),
        spot: pool.spot,
        min: pool.min,
        max: pool.max,
        spares: pool.spares,
        wanted: pool.wanted,
        booting: pool.booting,
        running: pool.running,
        draining: pool.draining,
        unknown: pool.unknown,
        boot_ms: pool.boot_ms,
        taken_per_hour: pool.taken_per_hour,
        price_micro_per_hour: pool.price_micro_per_hour,
        spent_today_micro: pool.spent_today_micro,
        trouble: pool.trouble.clone().unwrap_or_default(),
    });
    let overflow = fleet.overflow.iter().map(|third| v1::OverflowView {
        name: third.name.clone(),
        slots: third.slots,
        price_micro_per_job: third.price_micro_per_job,
        price_micro_per_second: third.price_micro_per_second,
        cap_micro_per_day: third.cap_micro_per_day,
        tenant_cap_micro_per_day: third.tenant_cap_micro_per_day,
        spent_today_micro: third.spent_today_micro,
        tiers: third.tiers.iter().map(|tier| tier_message(*tier)).collect(),
    });
    let (agents, queues, pools) = (agents.collect(), queues.collect(), pools.collect());
    v1::Fleet { agents, queues, epoch: fleet.epoch, pools, overflow: overflow.collect() }
}

pub(crate) fn estimate(estimate: &crate::model::EstimateView) -> v1::Estimate {
    v1::Estimate {
        possible: estimate.impossible_because.is_empty(),
        impossible_because: estimate.impossible_because.clone(),
        position: i32::try_from(estimate.position).unwrap_or(i32::MAX),
        start_p50_ms: estimate.start_p50_ms,
        start_p90_ms: estimate.start_p90_ms,
        run_ms: estimate.run_ms,
    }
}
