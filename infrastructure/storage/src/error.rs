//! What can go wrong in storage, and which code each has.

use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Code, Problem, codes as common};
use backlot_infrastructure_api::codes::storage as codes;

/// A file that was looked at and is not taken. It is remembered with its asset and answered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which rule it breaks.
    pub code: &'static Code,
    /// What was found, and what to do.
    pub detail: String,
}

impl Rejection {
    pub(crate) fn new(code: &'static Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// From what is stored of it.
    pub(crate) fn remembered(code: &str, detail: &str) -> Self {
        let known = codes::ALL.iter().find(|known| known.name == code);
        Self::new(known.copied().unwrap_or(&codes::ASSET_UNREADABLE), detail)
    }
}

/// What can go wrong in storage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there, or another tenant's: the two cannot be told apart.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A service acts in an organisation that its token does not name.
    #[error("the token is not for this organisation")]
    ForeignOrganisation,
    /// A field breaks a rule.
    #[error("{pointer}: {message}")]
    InvalidField {
        /// JSON pointer of the field.
        pointer: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The organisation's space is used up.
    #[error("{needed_bytes} bytes are needed and {available_bytes} are left")]
    QuotaExceeded {
        /// What the upload needs.
        needed_bytes: i64,
        /// What is left.
        available_bytes: i64,
    },
    /// A run asks for a place for its outputs, and there is none left.
    #[error("the organisation's space is used up")]
    SpaceUsedUp,
    /// Too many uploads in progress.
    #[error("{max} uploads are in progress")]
    UploadsOpen {
        /// How many there may be.
        max: u64,
    },
    /// The file was looked at and is not taken.
    #[error("{}: {}", .0.code.name, .0.detail)]
    Rejected(Rejection),
    /// Its bytes have not arrived.
    #[error("the file has not been uploaded yet")]
    NotUploaded,
    /// Something else works on it.
    #[error("the asset is being processed")]
    Busy,
    /// It was deleted, or its upload canceled.
    #[error("the asset was deleted")]
    Deleted,
    /// There is nothing to show.
    #[error("the asset is not ready")]
    NotReady,
    /// The upload's time is over.
    #[error("the upload was not completed in time")]
    UploadExpired,
    /// The address was good for an upload that has ended.
    #[error("this upload has ended")]
    UploadClosed,
    /// The signature does not fit.
    #[error("the signature does not fit this address")]
    SignatureInvalid,
    /// The address has expired.
    #[error("this address has expired")]
    SignatureExpired,
    /// Objects are written once.
    #[error("there is a file at this address already")]
    ObjectExists,
    /// No bytes in that range.
    #[error("there are no bytes in this range; the object has {size_bytes}")]
    RangeInvalid {
        /// The object's size.
        size_bytes: u64,
    },
    /// The capability is none that was given.
    #[error("this capability allows nothing")]
    CapabilityInvalid,
    /// The capability's time is over.
    #[error("this capability has expired")]
    CapabilityExpired,
    /// Finalised or discarded.
    #[error("the outputs of this job are closed")]
    OutputsEnded,
    /// More than the job may write.
    #[error("{0}")]
    OutputLimit(String),
    /// Announced with other facts.
    #[error("{0}")]
    OutputExists(String),
    /// Not announced or not written.
    #[error("{0}")]
    OutputMissing(String),
    /// Another size or hash.
    #[error("{0}")]
    OutputMismatch(String),
    /// The job's outputs were arranged differently before.
    #[error("{0}")]
    IssuerConflict(String),
    /// The body stopped before its end.
    #[error("the body ended early: {0}")]
    BodyBroken(String),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store.
    #[error("the object store failed: {0}")]
    Store(#[from] object_store::Error),
    /// A local file.
    #[error("a local file failed: {0}")]
    Io(#[from] std::io::Error),
    /// An event could not be written.
    #[error("an event could not be written: {0}")]
    Event(String),
    /// Several replicas are possible, and no secret is set that they could share.
    #[error(
        "infrastructure.storage.signing_secret is not set: on PostgreSQL there may be several replicas, and what one \
         signs the others must accept. Set it to one long random text for all of them \
         (BACKLOT_INFRASTRUCTURE__STORAGE__SIGNING_SECRET, from a secret store); where {} exists, its content keeps \
         good what was signed before", .kept_before.display()
    )]
    SigningSecretMissing {
        /// Where a process keeps the one that it made for itself.
        kept_before: std::path::PathBuf,
    },
    /// Secrets to accept that are none.
    #[error("infrastructure.storage.signing_secrets_accepted: {0}")]
    SigningSecretsInvalid(String),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
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
            Error::NotFound(_) => Self::new(&common::NOT_FOUND, detail),
            Error::ForeignOrganisation => Self::new(&common::FORBIDDEN, detail),
            Error::InvalidField { pointer, message } => {
                Self::new(&common::INVALID_FIELDS, "Correct the fields named in \"errors\" and send it again.")
                    .with_field(pointer, message)
            }
            Error::QuotaExceeded { needed_bytes, available_bytes } => Self::new(
                &codes::QUOTA_EXCEEDED,
                format!("The file needs {needed_bytes} bytes and {available_bytes} are left. Delete assets, or ask for more space."),
            )
            .with_extra("needed_bytes", needed_bytes)
            .with_extra("available_bytes", available_bytes),
            Error::SpaceUsedUp => Self::new(
                &codes::QUOTA_EXCEEDED,
                "Your organisation's space is used up, and what a run makes would have no place. Delete assets, or ask for \
                 more space.",
            ),
            Error::UploadsOpen { max } => Self::new(
                &codes::UPLOADS_OPEN_LIMIT,
                format!("{max} uploads are in progress. Complete or cancel some of them first."),
            ),
            Error::Rejected(rejection) => Self::new(rejection.code, rejection.detail),
            Error::NotUploaded => Self::new(
                &codes::ASSET_NOT_UPLOADED,
                "Send the file to the upload address first, then complete the upload.",
            ),
            Error::Busy => {
                Self::new(&codes::ASSET_BUSY, "It is being looked at. Ask again in a moment.").retry_after(1)
            }
            Error::Deleted => Self::new(&codes::ASSET_DELETED, "It was deleted, or its upload was canceled."),
            Error::NotReady => Self::new(&codes::ASSET_NOT_READY, "Only a ready asset has content."),
            Error::UploadExpired => {
                Self::new(&codes::UPLOAD_EXPIRED, "Begin a new upload; nothing of this one is kept.")
            }
            Error::UploadClosed => Self::new(&codes::UPLOAD_CLOSED, "Begin a new upload to send other bytes."),
            Error::SignatureInvalid => Self::new(
                &codes::SIGNED_URL_INVALID,
                "Use the address exactly as it was given; nothing in it may be changed.",
            ),
            Error::SignatureExpired => Self::new(&codes::SIGNED_URL_EXPIRED, "Ask for a new one."),
            Error::ObjectExists => Self::new(&codes::OBJECT_EXISTS, "Files are written once and never replaced."),
            Error::RangeInvalid { size_bytes } => {
                let mut problem = Self::new(&codes::RANGE_INVALID, detail).with_extra("size_bytes", size_bytes);
                problem.status = http::StatusCode::RANGE_NOT_SATISFIABLE.as_u16();
                problem
            }
            Error::CapabilityInvalid => {
                Self::new(&codes::CAPABILITY_INVALID, "It is none that was given for this job.")
            }
            Error::CapabilityExpired => Self::new(&codes::CAPABILITY_EXPIRED, "The job ran longer than its outputs were expected."),
            Error::OutputsEnded => {
                Self::new(&codes::OUTPUTS_ENDED, "They were finalised or discarded; nothing more is taken.")
            }
            Error::OutputLimit(detail) => Self::new(&codes::OUTPUT_LIMIT, detail),
            Error::OutputExists(detail) => Self::new(&codes::OUTPUT_EXISTS, detail),
            Error::OutputMissing(detail) => Self::new(&codes::OUTPUT_MISSING, detail),
            Error::OutputMismatch(detail) => Self::new(&codes::OUTPUT_MISMATCH, detail),
            Error::IssuerConflict(detail) => Self::new(&codes::ISSUER_CONFLICT, detail),
            Error::BodyBroken(_) => Self::new(&common::BAD_REQUEST, detail),
            Error::Db(error) => error.into(),
            Error::Store(_) | Error::Io(_) => {
                tracing::error!(%detail, "storage failed");
                Self::new(&common::UNAVAILABLE, "The media store does not answer. Nothing was changed; try again.")
                    .retry_after(2)
            }
            Error::SigningSecretMissing { .. }
            | Error::SigningSecretsInvalid(_)
            | Error::Event(_)
            | Error::Internal(_) => Self::internal(&detail),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}
