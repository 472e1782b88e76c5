//! One way to say what went wrong, over HTTP and over gRPC.
//!
//! A system declares its error codes as constants of [`Code`] in its contract crate; a service maps each
//! variant of its error enum to a [`Problem`] in one exhaustive `match`. Over HTTP a problem is an
//! `application/problem+json` document (RFC 9457); over gRPC it travels, whole, beside the status.
//! Every code has a page `docs/errors/<code>.md`.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tonic::metadata::MetadataValue;

/// The metadata entry that carries a whole problem beside a gRPC status.
const PROBLEM_METADATA: &str = "backlot-problem";
/// Longest detail that is sent; the rest is cut.
const DETAIL_CHARS_MAX: usize = 2_000;
/// Most field errors that are sent.
const FIELDS_MAX: usize = 32;

/// What kind of refusal it is; decides the HTTP status and the gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 400: the request cannot be understood.
    BadRequest,
    /// 401: nobody, or nobody that we know.
    Unauthenticated,
    /// 402: not enough credits.
    PaymentRequired,
    /// 403: somebody who may not.
    Forbidden,
    /// 404: not there, or not theirs.
    NotFound,
    /// 409: contradicts what is.
    Conflict,
    /// 410: was there, is no more.
    Gone,
    /// 412: something must happen first.
    FailedPrecondition,
    /// 413: too large.
    TooLarge,
    /// 415: a kind of media that is not taken.
    UnsupportedMedia,
    /// 422: understood, and wrong.
    Unprocessable,
    /// 429: too much at once.
    TooMany,
    /// 500: our fault.
    Internal,
    /// 503: not now.
    Unavailable,
    /// 504: took too long.
    Timeout,
}

impl Kind {
    /// The HTTP status of this kind.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The gRPC code of this kind.
    #[must_use]
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::BadRequest | Self::TooLarge | Self::UnsupportedMedia | Self::Unprocessable => {
                tonic::Code::InvalidArgument
            }
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::Forbidden => tonic::Code::PermissionDenied,
            Self::NotFound | Self::Gone => tonic::Code::NotFound,
            Self::Conflict => tonic::Code::AlreadyExists,
            Self::PaymentRequired | Self::FailedPrecondition => tonic::Code::FailedPrecondition,
            Self::TooMany => tonic::Code::ResourceExhausted,
            Self::Internal => tonic::Code::Internal,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::Timeout => tonic::Code::DeadlineExceeded,
        }
    }

    /// The kind of a gRPC code that came without a problem document.
    #[must_use]
    pub const fn of_grpc(code: tonic::Code) -> Self {
        match code {
            tonic::Code::InvalidArgument | tonic::Code::OutOfRange => Self::BadRequest,
            tonic::Code::Unauthenticated => Self::Unauthenticated,
            tonic::Code::PermissionDenied => Self::Forbidden,
            tonic::Code::NotFound => Self::NotFound,
            tonic::Code::AlreadyExists | tonic::Code::Aborted => Self::Conflict,
            tonic::Code::FailedPrecondition => Self::FailedPrecondition,
            tonic::Code::ResourceExhausted => Self::TooMany,
            tonic::Code::Unavailable => Self::Unavailable,
            tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => Self::Timeout,
            tonic::Code::Ok
            | tonic::Code::Unknown
            | tonic::Code::Internal
            | tonic::Code::DataLoss
            | tonic::Code::Unimplemented => Self::Internal,
        }
    }

    /// Whether the same call may succeed later, unchanged.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout | Self::TooMany | Self::Internal)
    }
}

/// A stable name for one way of failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Snake case, unique in the whole product, never reused.
    pub name: &'static str,
    /// What kind of refusal it is.
    pub kind: Kind,
    /// A short sentence for people, the same for every occurrence.
    pub title: &'static str,
}

impl Code {
    /// Declares a code.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, title: &'static str) -> Self {
        Self { name, kind, title }
    }
}

/// Codes that every system may answer.
pub mod codes {
    use super::{Code, Kind};

    /// The request's body or parameters cannot be read.
    pub const BAD_REQUEST: Code = Code::new("bad_request", Kind::BadRequest, "The request cannot be read");
    /// Readable, but a field breaks a rule.
    pub const INVALID_FIELDS: Code =
        Code::new("invalid_fields", Kind::Unprocessable, "Some fields are not valid");
    /// No credential, or none that is valid.
    pub const UNAUTHENTICATED: Code = Code::new("unauthenticated", Kind::Unauthenticated, "Sign in first");
    /// Known, and not allowed.
    pub const FORBIDDEN: Code = Code::new("forbidden", Kind::Forbidden, "You may not do this");
    /// Not there, or another tenant's.
    pub const NOT_FOUND: Code = Code::new("not_found", Kind::NotFound, "There is nothing here");
    /// The route exists, the method does not.
    pub const METHOD_NOT_ALLOWED: Code =
        Code::new("method_not_allowed", Kind::BadRequest, "This address does not take that method");
    /// Larger than the limit of this route.
    pub const BODY_TOO_LARGE: Code = Code::new("body_too_large", Kind::TooLarge, "The request is too large");
    /// Too many requests.
    pub const RATE_LIMITED: Code = Code::new("rate_limited", Kind::TooMany, "Too many requests");
    /// An idempotency key came again with another body.
    pub const IDEMPOTENCY_KEY_REUSED: Code = Code::new(
        "idempotency_key_reused",
        Kind::Conflict,
        "This idempotency key was used for another request",
    );
    /// A dependency does not answer.
    pub const UNAVAILABLE: Code = Code::new("unavailable", Kind::Unavailable, "Try again in a moment");
    /// A consumer's position in a stream of events lies before what is kept.
    pub const CURSOR_EXPIRED: Code =
        Code::new("cursor_expired", Kind::Gone, "The events after this position were deleted");
    /// The deadline of the request passed.
    pub const DEADLINE_EXCEEDED: Code = Code::new("deadline_exceeded", Kind::Timeout, "It took too long");
    /// A fault of ours. The detail is in the log, not in the answer.
    pub const INTERNAL: Code = Code::new("internal", Kind::Internal, "Something went wrong on our side");

    /// All of the above.
    pub const ALL: &[&Code] = &[
        &BAD_REQUEST,
        &INVALID_FIELDS,
        &UNAUTHENTICATED,
        &FORBIDDEN,
        &NOT_FOUND,
        &METHOD_NOT_ALLOWED,
        &BODY_TOO_LARGE,
        &RATE_LIMITED,
        &IDEMPOTENCY_KEY_REUSED,
        &UNAVAILABLE,
        &CURSOR_EXPIRED,
        &DEADLINE_EXCEEDED,
        &INTERNAL,
    ];
}

/// One field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer into the request's body, for example `/input/scale`.
    pub pointer: String,
    /// What is wrong with it, for people.
    pub message: String,
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// The page that explains the code: `/docs/errors/<code>`.
    #[serde(rename = "type")]
    pub page: String,
    /// The same for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do next.
    pub detail: String,
    /// Stable, snake case.
    pub code: String,
    /// What kind of refusal it is.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// Fields that break rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which a retry makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// Facts for programs, by code.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub extra: Map<String, Value>,
}

impl Problem {
    /// A problem with this code; `detail` says what happened here and what to do next.
    #[must_use]
    pub fn new(code: &Code, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.chars().count() > DETAIL_CHARS_MAX {
            detail = detail.chars().take(DETAIL_CHARS_MAX).collect();
        }
        Self {
            page: format!("/docs/errors/{}", code.name),
            title: code.title.to_owned(),
            status: code.kind.status().as_u16(),
            detail,
            code: code.name.to_owned(),
            kind: code.kind,
            errors: Vec::new(),
            retry_after_s: None,
            extra: Map::new(),
        }
    }

    /// Hides the cause from the caller and writes it to the log, once.
    #[must_use]
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(&codes::INTERNAL, "The fault is ours and has been logged. Try again; nothing was changed.")
    }

    /// Names a field that breaks a rule. At most 32 are kept.
    #[must_use]
    pub fn with_field(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        if self.errors.len() < FIELDS_MAX {
            self.errors.push(FieldError { pointer: pointer.into(), message: message.into() });
        }
        self
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn with_extra(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Whether it has this code.
    #[must_use]
    pub fn is(&self, code: &Code) -> bool {
        self.code == code.name
    }

    /// Whether the same call may succeed later, unchanged.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> Self {
        let mut status = Self::new(problem.kind.grpc(), problem.detail.clone());
        let document = serde_json::to_vec(&problem).unwrap_or_default();
        if let Ok(value) = MetadataValue::try_from(STANDARD_NO_PAD.encode(document)) {
            status.metadata_mut().insert(PROBLEM_METADATA, value);
        }
        status
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        let carried = status
            .metadata()
            .get(PROBLEM_METADATA)
            .and_then(|value| STANDARD_NO_PAD.decode(value.as_bytes()).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        carried.unwrap_or_else(|| {
            let kind = Kind::of_grpc(status.code());
            let code = match kind {
                Kind::BadRequest
                | Kind::TooLarge
                | Kind::UnsupportedMedia
                | Kind::Unprocessable
                | Kind::Conflict
                | Kind::Gone
                | Kind::PaymentRequired
                | Kind::FailedPrecondition => Code { kind, ..codes::BAD_REQUEST },
                Kind::Unauthenticated => codes::UNAUTHENTICATED,
                Kind::Forbidden => codes::FORBIDDEN,
                Kind::NotFound => codes::NOT_FOUND,
                Kind::TooMany => codes::RATE_LIMITED,
                Kind::Internal => codes::INTERNAL,
                Kind::Unavailable => codes::UNAVAILABLE,
                Kind::Timeout => codes::DEADLINE_EXCEEDED,
            };
            Self::new(&code, status.message())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_the_wire() {
        let problem = Problem::new(&codes::INVALID_FIELDS, "two are wrong — größer")
            .with_field("/input/scale", "must be 2 or 4")
            .with_extra("held_micro", 0);
        let status: tonic::Status = problem.clone().into();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(Problem::from(status), problem);
    }

    #[test]
    fn a_foreign_status_becomes_a_problem_of_its_kind() {
        let problem = Problem::from(tonic::Status::unavailable("gone fishing"));
        assert!(problem.is(&codes::UNAVAILABLE) && problem.is_transient());
    }
}
