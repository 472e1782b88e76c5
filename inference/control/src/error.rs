//! What can go wrong, and the code that each way has.

use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Problem, codes as common};
use backlot_inference_api::{JobId, codes};

/// Why control refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such job, or another tenant's.
    #[error("there is no such job")]
    JobUnknown,
    /// A field of the request breaks a rule.
    #[error("{pointer}: {rule}")]
    Invalid {
        /// JSON pointer of the field.
        pointer: String,
        /// What it must be.
        rule: String,
    },
    /// The input is larger than it may be.
    #[error("the input has {bytes} bytes, more than 256 KiB")]
    InputTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The input does not fit the model's schema: pointer and message of each field.
    #[error("the input is not what the model takes")]
    InputInvalid(Vec<(String, String)>),
    /// The model's version is not registered.
    #[error("model {0} is not registered")]
    ModelUnknown(String),
    /// The model's version is registered with another specification.
    #[error("model {0} is registered with another specification")]
    ModelImmutable(String),
    /// Names of this owner are another namespace's.
    #[error("models of \"{0}\" are registered by somebody else")]
    ModelTaken(String),
    /// The model's specification breaks a rule.
    #[error("{pointer}: {rule}")]
    ModelInvalid {
        /// JSON pointer of the field.
        pointer: String,
        /// What it must be.
        rule: String,
    },
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The idempotency key's job was deleted.
    #[error("job {0} of this idempotency key was deleted")]
    JobDeleted(JobId),
    /// The tenant's queue is full.
    #[error("{queued} of at most {queued_max} jobs are waiting")]
    QueueFull {
        /// How many wait.
        queued: u32,
        /// How many may.
        queued_max: u32,
    },
    /// It would most likely end after its deadline.
    #[error("it would most likely end after its deadline")]
    DeadlineImpossible {
        /// When it would end, in milliseconds.
        ends_ms: i64,
    },
    /// The driver is starting, was replaced, or does not answer.
    #[error("the queue's leader does not answer")]
    Unavailable,
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Db(error.into())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::JobUnknown => Self::new(&common::NOT_FOUND, "There is no such job, or it is not yours."),
            Error::Invalid { pointer, rule } => {
                Self::new(&common::INVALID_FIELDS, detail).with_field(pointer, rule)
            }
            Error::InputTooLarge { bytes } => Self::new(
                &codes::JOB_INPUT_TOO_LARGE,
                format!(
                    "The input has {bytes} bytes; at most {} are taken. Give files as URLs.",
                    crate::limits::INPUT_BYTES_MAX
                ),
            ),
            Error::InputInvalid(fields) => {
                let problem = Self::new(&codes::JOB_INPUT_INVALID, "Correct the fields named in \"errors\".");
                fields
                    .into_iter()
                    .fold(problem, |problem, (pointer, message)| problem.with_field(pointer, message))
            }
            Error::ModelUnknown(model) => {
                Self::new(&codes::MODEL_UNKNOWN, format!("The model {model} is not registered."))
            }
            Error::ModelImmutable(model) => Self::new(
                &codes::MODEL_IMMUTABLE,
                format!(
                    "{model} is registered with another specification. Register the change as a new version."
                ),
            ),
            Error::ModelTaken(owner) => Self::new(
                &codes::MODEL_NAME_TAKEN,
                format!(
                    "Models of \"{owner}\" are another company's here. Register yours under an owner of your own."
                ),
            ),
            Error::ModelInvalid { pointer, rule } => {
                Self::new(&codes::MODEL_INVALID, detail).with_field(pointer, rule)
            }
            Error::KeyReused => Self::new(
                &common::IDEMPOTENCY_KEY_REUSED,
                "Use a new key for a new request; the job of the first request is not touched.",
            ),
            Error::JobDeleted(job) => {
                Self::new(&codes::JOB_DELETED, detail).with_extra("job_id", job.to_string())
            }
            Error::QueueFull { queued, queued_max } => {
                Self::new(&codes::QUEUE_FULL, format!("{detail}. Wait until some have run."))
                    .with_extra("queued", queued)
                    .with_extra("queued_max", queued_max)
                    .retry_after(5)
            }
            Error::DeadlineImpossible { ends_ms } => Self::new(
                &codes::DEADLINE_IMPOSSIBLE,
                format!("Half of such jobs would end in {} s or later.", ends_ms / 1_000),
            )
            .with_extra("ends_in_ms", ends_ms),
            Error::Unavailable => Self::new(
                &codes::QUEUE_UNAVAILABLE,
                "The queue's leader does not answer. Send the same request with the same key again.",
            )
            .retry_after(1),
            Error::Forbidden(why) => Self::new(&common::FORBIDDEN, why),
            Error::Db(error) => error.into(),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}
