//! Protobuf messages into plain facts.

use backlot_foundation_time::Timestamp;
use backlot_inference_api::v1 as inference;
use backlot_infrastructure_api::v1 as infrastructure;

use crate::facts::{Attempt, Hold, HoldState, Job, JobState};
use crate::row::JobOutput;
use crate::view::Phase;
use crate::who_pays::{FailureClass, PPM};

fn instant(micros: i64) -> Option<Timestamp> {
    (micros > 0).then(|| Timestamp::from_micros(micros))
}

pub(crate) fn hold_of(hold: infrastructure::Hold) -> Hold {
    let state = match hold.state() {
        infrastructure::HoldState::Held | infrastructure::HoldState::Unspecified => HoldState::Held,
        infrastructure::HoldState::Settled => HoldState::Settled,
        infrastructure::HoldState::Voided => HoldState::Voided,
    };
    Hold {
        state,
        held_micro: hold.held_micro,
        settled_micro: hold.settled_micro,
        mandate_id: hold.mandate_id,
        chain: hold.mandate_chain,
        created_at: Timestamp::from_micros(hold.created_at_us),
        ended_at: instant(hold.ended_at_us),
        grants: hold.parts.len(),
    }
}

pub(crate) fn job_of(job: inference::Job) -> Job {
    let state = match job.state() {
        inference::JobState::Queued | inference::JobState::Unspecified => JobState::Queued,
        inference::JobState::Running => JobState::Running,
        inference::JobState::Succeeded => JobState::Succeeded,
        inference::JobState::Failed => JobState::Failed,
        inference::JobState::Canceled => JobState::Canceled,
        inference::JobState::Expired => JobState::Expired,
    };
    let phase = match job.phase() {
        inference::Phase::Queued | inference::Phase::Unspecified => Phase::Queued,
        inference::Phase::Fetching => Phase::Fetching,
        inference::Phase::Loading => Phase::Loading,
        inference::Phase::Running => Phase::Running,
        inference::Phase::Paused => Phase::Paused,
        inference::Phase::Uploading => Phase::Uploading,
    };
    let failure = class_of(job.failure());
    let attempts: Vec<Attempt> = job.attempts.into_iter().map(attempt_of).collect();
    #[expect(clippy::cast_possible_truncation, reason = "clamped to one million before")]
    let delivered_ppm = (job.delivered_fraction.clamp(0.0, 1.0) * PPM as f64) as i64;
    Job {
        state,
        phase,
        progress: if job.progress.is_finite() { job.progress.clamp(0.0, 1.0) } else { 0.0 },
        progress_note: job.progress_note,
        preview: job.preview,
        position: job.position,
        start_p50_ms: job.start_p50_ms,
        start_p90_ms: job.start_p90_ms,
        failure,
        message: job.message,
        outputs: job.outputs.into_iter().map(output_of).collect(),
        winning_fence: job.winning_fence,
        compute_ms: job.compute_ms,
        load_ms: attempts.iter().map(|attempt| attempt.load_ms).sum(),
        delivered_ppm: if state == JobState::Succeeded { PPM } else { delivered_ppm },
        started_at: attempts.first().map(|attempt| attempt.assigned_at).or(instant(job.started_at_us)),
        ended_at: instant(job.ended_at_us),
        cancel_requested_at: instant(job.cancel_requested_at_us),
        attempts,
    }
}

fn class_of(class: inference::FailureClass) -> FailureClass {
    match class {
        inference::FailureClass::InvalidInput => FailureClass::InvalidInput,
        inference::FailureClass::ModelError | inference::FailureClass::Unspecified => {
            FailureClass::ModelError
        }
        inference::FailureClass::LostWorker => FailureClass::LostWorker,
        inference::FailureClass::TimedOut => FailureClass::TimedOut,
        inference::FailureClass::OutputRefused => FailureClass::OutputRefused,
    }
}

fn attempt_of(attempt: inference::Attempt) -> Attempt {
    let place = [attempt.worker, attempt.agent, attempt.region];
    Attempt {
        place: place.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
        assigned_at: Timestamp::from_micros(attempt.assigned_at_us),
        started_at: instant(attempt.started_at_us),
        ended_at: instant(attempt.ended_at_us),
        outcome: attempt.outcome,
        message: attempt.message,
        load_ms: attempt.load_ms,
        compute_ms: attempt.compute_ms,
        held_ms: attempt.held_ms,
    }
}

fn output_of(output: inference::JobOutput) -> JobOutput {
    let value = serde_json::from_slice(&output.inline).ok();
    JobOutput {
        object_key: output.object_key,
        name: output.name,
        content_type: output.content_type,
        size_bytes: output.size_bytes,
        sha256: output.sha256,
        value,
    }
}
