//! Error codes of storage.

use backlot_foundation_errors::{Code, Kind};

/// The kind of media is none that is taken.
pub const ASSET_TYPE_UNSUPPORTED: Code =
    Code::new("asset_type_unsupported", Kind::UnsupportedMedia, "This kind of file is not taken");
/// The file's bytes are something else than was said, or two things at once.
pub const ASSET_TYPE_MISMATCH: Code =
    Code::new("asset_type_mismatch", Kind::Unprocessable, "The file is not what it is said to be");
/// There is not one byte in it.
pub const ASSET_EMPTY: Code = Code::new("asset_empty", Kind::Unprocessable, "The file is empty");
/// Larger than the largest upload.
pub const ASSET_TOO_LARGE: Code = Code::new("asset_too_large", Kind::TooLarge, "The file is too large");
/// The body has another size than was declared.
pub const ASSET_SIZE_MISMATCH: Code =
    Code::new("asset_size_mismatch", Kind::Unprocessable, "The file has another size than was declared");
/// The body has another SHA-256 than was declared.
pub const ASSET_HASH_MISMATCH: Code =
    Code::new("asset_hash_mismatch", Kind::Unprocessable, "The file has another hash than was declared");
/// It cannot be decoded.
pub const ASSET_UNREADABLE: Code =
    Code::new("asset_unreadable", Kind::Unprocessable, "The file cannot be read");
/// It would unpack to more pixels than are taken.
pub const ASSET_TOO_MANY_PIXELS: Code =
    Code::new("asset_too_many_pixels", Kind::Unprocessable, "The picture has too many pixels");
/// Completed before its bytes arrived.
pub const ASSET_NOT_UPLOADED: Code =
    Code::new("asset_not_uploaded", Kind::Conflict, "The file has not been uploaded yet");
/// Something else works on it at this moment.
pub const ASSET_BUSY: Code = Code::new("asset_busy", Kind::Conflict, "The asset is being processed");
/// It was deleted, or its upload canceled.
pub const ASSET_DELETED: Code = Code::new("asset_deleted", Kind::Gone, "The asset was deleted");
/// Its state has nothing to show: an upload in progress, or a file that was refused.
pub const ASSET_NOT_READY: Code = Code::new("asset_not_ready", Kind::Conflict, "The asset is not ready");
/// The upload was not completed in time.
pub const UPLOAD_EXPIRED: Code =
    Code::new("upload_expired", Kind::Gone, "The upload was not completed in time");
/// The address was good for an upload that has ended.
pub const UPLOAD_CLOSED: Code = Code::new("upload_closed", Kind::Conflict, "This upload has ended");
/// The organisation's space is used up.
pub const QUOTA_EXCEEDED: Code =
    Code::new("quota_exceeded", Kind::TooLarge, "There is not enough space left");
/// The organisation has too many uploads in progress.
pub const UPLOADS_OPEN_LIMIT: Code =
    Code::new("uploads_open_limit", Kind::TooMany, "Too many uploads are in progress");
/// The signature does not fit the address.
pub const SIGNED_URL_INVALID: Code =
    Code::new("signed_url_invalid", Kind::Forbidden, "The signature does not fit this address");
/// The signed address has expired.
pub const SIGNED_URL_EXPIRED: Code =
    Code::new("signed_url_expired", Kind::Forbidden, "This address has expired");
/// Objects are written once.
pub const OBJECT_EXISTS: Code =
    Code::new("object_exists", Kind::Conflict, "There is a file at this address already");
/// The bytes asked for are beyond the end.
pub const RANGE_INVALID: Code =
    Code::new("range_invalid", Kind::BadRequest, "There are no bytes in this range");
/// The capability is none that was given.
pub const CAPABILITY_INVALID: Code =
    Code::new("capability_invalid", Kind::Forbidden, "This capability allows nothing");
/// The capability's time is over.
pub const CAPABILITY_EXPIRED: Code =
    Code::new("capability_expired", Kind::Forbidden, "This capability has expired");
/// The job's outputs were finalised or discarded: nothing more is taken.
pub const OUTPUTS_ENDED: Code =
    Code::new("outputs_ended", Kind::Conflict, "The outputs of this job are closed");
/// More outputs, or more bytes, than the job may write.
pub const OUTPUT_LIMIT: Code = Code::new("output_limit", Kind::TooLarge, "The job may not write that much");
/// An output of this number was announced with other facts.
pub const OUTPUT_EXISTS: Code = Code::new("output_exists", Kind::Conflict, "This output exists already");
/// An output that should be there was not announced or not written.
pub const OUTPUT_MISSING: Code =
    Code::new("output_missing", Kind::FailedPrecondition, "An output of the job is missing");
/// An output's size or hash differs from what was announced.
pub const OUTPUT_MISMATCH: Code =
    Code::new("output_mismatch", Kind::FailedPrecondition, "An output differs from what was announced");
/// An issuer, or a finalisation, with other facts exists for this job.
pub const ISSUER_CONFLICT: Code =
    Code::new("issuer_conflict", Kind::Conflict, "This job's outputs were arranged differently before");

/// All codes of storage.
pub const ALL: &[&Code] = &[
    &ASSET_TYPE_UNSUPPORTED,
    &ASSET_TYPE_MISMATCH,
    &ASSET_EMPTY,
    &ASSET_TOO_LARGE,
    &ASSET_SIZE_MISMATCH,
    &ASSET_HASH_MISMATCH,
    &ASSET_UNREADABLE,
    &ASSET_TOO_MANY_PIXELS,
    &ASSET_NOT_UPLOADED,
    &ASSET_BUSY,
    &ASSET_DELETED,
    &ASSET_NOT_READY,
    &UPLOAD_EXPIRED,
    &UPLOAD_CLOSED,
    &QUOTA_EXCEEDED,
    &UPLOADS_OPEN_LIMIT,
    &SIGNED_URL_INVALID,
    &SIGNED_URL_EXPIRED,
    &OBJECT_EXISTS,
    &RANGE_INVALID,
    &CAPABILITY_INVALID,
    &CAPABILITY_EXPIRED,
    &OUTPUTS_ENDED,
    &OUTPUT_LIMIT,
    &OUTPUT_EXISTS,
    &OUTPUT_MISSING,
    &OUTPUT_MISMATCH,
    &ISSUER_CONFLICT,
];
