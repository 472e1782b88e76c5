//! What can go wrong with a metric.

use backlot_data_api::codes;
use backlot_data_lake::Error as LakeError;
use backlot_foundation_errors::{Problem, codes as common};

use crate::definitions::DefinitionError;

/// A failure of the metrics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A definition is broken; the service does not start.
    #[error("a metric definition is broken: {0}")]
    Definition(#[from] DefinitionError),
    /// Nobody defined it.
    #[error("there is no metric \"{0}\"")]
    NotFound(String),
    /// A day that no calendar has.
    #[error("\"{0}\" is not a date: write it as YYYY-MM-DD")]
    NotADate(String),
    /// The end before the beginning, or too many days.
    #[error("the range must be 1 to {days_max} days long and is {days}")]
    RangeLength {
        /// As asked; negative where the end is before the beginning.
        days: i32,
        /// The most.
        days_max: i32,
    },
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A query took too long.
    #[error("the query took longer than {0} s")]
    TooSlow(u64),
    /// The lake answered something that no statement of ours asks for.
    #[error("the lake's answer has no readable column \"{0}\"")]
    Answer(String),
    /// The service is shutting down.
    #[error("no more queries are taken")]
    Closed,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match &error {
            Error::NotFound(_) => {
                Self::new(&codes::METRIC_NOT_FOUND, format!("{error}. GET /v1/metrics lists them all."))
            }
            Error::NotADate(_) | Error::RangeLength { .. } => {
                Self::new(&codes::METRIC_RANGE_INVALID, error.to_string())
            }
            Error::Lake(LakeError::Table(_) | LakeError::Folder { .. } | LakeError::Waiting(_)) => {
                tracing::warn!(error = %error, "the lake cannot be read");
                Self::new(
                    &codes::LAKE_UNAVAILABLE,
                    "The store of the lake does not answer. No event is lost; the numbers come back with it.",
                )
                .retry_after(5)
            }
            Error::TooSlow(_) => Self::new(&common::DEADLINE_EXCEEDED, error.to_string()),
            Error::Closed => Self::new(&common::UNAVAILABLE, error.to_string()),
            Error::Definition(_)
            | Error::Answer(_)
            | Error::Lake(
                LakeError::Location { .. }
                | LakeError::Query(_)
                | LakeError::Rows(_)
                | LakeError::Json(_)
                | LakeError::TooManyRows { .. },
            ) => Self::internal(&error),
        }
    }
}
