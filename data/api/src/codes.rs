//! Every stable error code of data. Each has a page `docs/errors/<code>.md`.

use backlot_foundation_errors::{Code, Kind};

/// No metric has this name.
pub const METRIC_NOT_FOUND: Code = Code::new("metric_not_found", Kind::NotFound, "There is no such metric");
/// The dates of a question about a metric cannot be used.
pub const METRIC_RANGE_INVALID: Code =
    Code::new("metric_range_invalid", Kind::Unprocessable, "These dates cannot be used");
/// The lake or its store does not answer.
pub const LAKE_UNAVAILABLE: Code =
    Code::new("lake_unavailable", Kind::Unavailable, "The numbers cannot be computed now");
/// The write key of a tracking call is missing or unknown.
pub const WRITE_KEY_INVALID: Code =
    Code::new("write_key_invalid", Kind::Unauthenticated, "The write key is not known");
/// A tracking call is not what the protocol says.
pub const TRACKING_INVALID: Code =
    Code::new("tracking_invalid", Kind::BadRequest, "This is not a tracking call");

/// All of the above.
pub const ALL: &[&Code] =
    &[&METRIC_NOT_FOUND, &METRIC_RANGE_INVALID, &LAKE_UNAVAILABLE, &WRITE_KEY_INVALID, &TRACKING_INVALID];
