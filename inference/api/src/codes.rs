//! The error codes of inference. Each has a page `docs/errors/<code>.md`.

/// The same mistake has the same name everywhere.
pub use backlot_foundation_errors::codes::IDEMPOTENCY_KEY_REUSED;
use backlot_foundation_errors::{Code, Kind};

/// The input of a job is not what the model takes.
pub const JOB_INPUT_INVALID: Code =
    Code::new("job_input_invalid", Kind::Unprocessable, "The input is not what the model takes");
/// The input of a job is larger than 256 KiB.
pub const JOB_INPUT_TOO_LARGE: Code =
    Code::new("job_input_too_large", Kind::TooLarge, "The input of the job is too large");
/// A job names a model version that was never registered.
pub const MODEL_UNKNOWN: Code = Code::new("model_unknown", Kind::NotFound, "There is no such model version");
/// A model version was registered with another body before.
pub const MODEL_IMMUTABLE: Code =
    Code::new("model_immutable", Kind::Conflict, "A model version never changes: register a new version");
/// The owner in a model's name belongs to another namespace.
pub const MODEL_NAME_TAKEN: Code =
    Code::new("model_name_taken", Kind::Conflict, "Models of this owner are somebody else's");
/// A model's specification breaks a rule.
pub const MODEL_INVALID: Code =
    Code::new("model_invalid", Kind::Unprocessable, "The model cannot be registered");
/// An idempotency key came again after its job was deleted.
pub const JOB_DELETED: Code =
    Code::new("job_deleted", Kind::Gone, "The job of this idempotency key was deleted");
/// The job would most likely end after its deadline.
pub const DEADLINE_IMPOSSIBLE: Code =
    Code::new("deadline_impossible", Kind::Unprocessable, "It would end after its deadline");
/// The tenant has as many jobs waiting as it may.
pub const QUEUE_FULL: Code = Code::new("queue_full", Kind::TooMany, "Too many jobs are waiting");
/// The queue's leader is starting, busy beyond its limits, or was replaced.
pub const QUEUE_UNAVAILABLE: Code = Code::new(
    "queue_unavailable",
    Kind::Unavailable,
    "The queue cannot take this now: try again in a moment",
);
/// The token that opens an agent's stream is not this fleet's.
pub const AGENT_REFUSED: Code =
    Code::new("agent_refused", Kind::Unauthenticated, "The join token is not this fleet's");

/// All of the above.
pub const ALL: &[&Code] = &[
    &JOB_INPUT_INVALID,
    &JOB_INPUT_TOO_LARGE,
    &MODEL_UNKNOWN,
    &MODEL_IMMUTABLE,
    &MODEL_NAME_TAKEN,
    &MODEL_INVALID,
    &JOB_DELETED,
    &DEADLINE_IMPOSSIBLE,
    &QUEUE_FULL,
    &QUEUE_UNAVAILABLE,
    &AGENT_REFUSED,
];
