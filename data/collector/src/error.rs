//! What can go wrong in the collector.

use backlot_data_api::codes;
use backlot_data_lake::Error as LakeError;
use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Problem, codes as common};

/// A failure of the collector. No event is lost by any of them: what is not stored is asked for again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Data's own database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A source does not tell its schemas.
    #[error("the schemas of \"{source_name}\" cannot be read: {problem}")]
    Schemas {
        /// Which source.
        source_name: String,
        /// What it answered.
        problem: Box<Problem>,
    },
    /// No write key, or none that is known.
    #[error("the write key is missing or not known")]
    WriteKey,
    /// A tracking call that the protocol does not have.
    #[error("{0}")]
    Tracking(String),
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Db(error.into())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Db(error) => error.into(),
            Error::Lake(error) => {
                tracing::warn!(%error, "the lake cannot be used");
                Self::new(
                    &codes::LAKE_UNAVAILABLE,
                    "The store of the lake does not answer. No event is lost.",
                )
                .retry_after(5)
            }
            Error::Schemas { .. } => Self::new(&common::UNAVAILABLE, error.to_string()).retry_after(1),
            Error::WriteKey => Self::new(
                &codes::WRITE_KEY_INVALID,
                "Send a configured write key as the user name of HTTP Basic authentication.",
            ),
            Error::Tracking(detail) => Self::new(&codes::TRACKING_INVALID, detail),
        }
    }
}
