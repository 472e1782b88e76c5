//! Doors of the HTTP APIs: who calls, what they send, and what they get when it is wrong.

use std::sync::Arc;

use ::http::request::Parts;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_runtime::Stop;
use backlot_foundation_tokens::{Claims, Verifier};
use garde::Validate;
use serde::de::DeserializeOwned;

/// Longest idempotency key, in characters.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// Middleware: reads the token that the edge made. Use with `from_fn_with_state(verifier, authenticate)`.
pub async fn authenticate(
    State(verifier): State<Arc<Verifier>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(claims) = crate::server::believe(&verifier, request.headers()) {
        request.extensions_mut().insert(claims);
    }
    next.run(request).await
}

/// Extracts who calls; answers 401 where nobody does.
#[derive(Debug, Clone)]
pub struct Caller(pub Claims);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Claims>().cloned().map(Self).ok_or_else(|| {
            Problem::new(
                &codes::UNAUTHENTICATED,
                "Sign in, or send an API key as \"Authorization: Bearer blk_…\".",
            )
        })
    }
}

/// How long a connection that outlives its request may go on: the edge sets it on requests that upgrade, and
/// gives the signal when the credential ends or now speaks for another.
#[derive(Debug, Clone)]
pub struct Lease(Arc<Stop>);

/// The edge's end of a [`Lease`].
#[derive(Debug, Clone)]
pub struct LeaseWatch(std::sync::Weak<Stop>);

impl Lease {
    /// A lease and the end that may end it. The watch does not keep it alive.
    #[must_use]
    pub fn new() -> (Self, LeaseWatch) {
        let stop = Arc::new(Stop::new());
        let watch = LeaseWatch(Arc::downgrade(&stop));
        (Self(stop), watch)
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        self.0.stopped().await;
    }
}

impl LeaseWatch {
    /// Whether the connection is still there.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Ends it.
    pub fn end(&self) {
        if let Some(stop) = self.0.upgrade() {
            stop.stop();
        }
    }
}

/// Extracts a JSON body and checks its rules; answers a problem document that names the fields.
#[derive(Debug, Clone)]
pub struct ValidJson<T>(pub T);

impl<S, T> FromRequest<S> for ValidJson<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(value) = Json::<T>::from_request(request, state).await.map_err(json_problem)?;
        value.validate().map_err(|report| invalid_fields(&report))?;
        Ok(Self(value))
    }
}

/// A problem that names each field that breaks a rule.
#[must_use]
pub fn invalid_fields(report: &garde::Report) -> Problem {
    let problem =
        Problem::new(&codes::INVALID_FIELDS, "Correct the fields named in \"errors\" and send it again.");
    report.iter().fold(problem, |problem, (path, error)| {
        let pointer = format!("/{}", path.to_string().replace('.', "/"));
        problem.with_field(pointer, error.message())
    })
}

/// The problem of a body that is no JSON, or not the JSON that was expected.
#[must_use]
pub fn json_problem(rejection: JsonRejection) -> Problem {
    match rejection {
        JsonRejection::JsonDataError(error) => Problem::new(&codes::INVALID_FIELDS, error.body_text()),
        JsonRejection::JsonSyntaxError(error) => Problem::new(&codes::BAD_REQUEST, error.body_text()),
        JsonRejection::MissingJsonContentType(_) => {
            Problem::new(&codes::BAD_REQUEST, "Send JSON with the header \"Content-Type: application/json\".")
        }
        JsonRejection::BytesRejection(error) if error.status() == ::http::StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(&codes::BODY_TOO_LARGE, "The body is larger than this address takes.")
        }
        other => Problem::new(&codes::BAD_REQUEST, other.body_text()),
    }
}

/// Extracts path parameters; a text that is no id is not found, as nothing can have it.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let value = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        value.map(|axum::extract::Path(value)| Self(value)).map_err(|error: PathRejection| {
            Problem::new(&codes::NOT_FOUND, format!("Nothing can have this address: {}", error.body_text()))
        })
    }
}

/// Extracts query parameters; answers a problem where they cannot be read.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let value = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        value
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error: QueryRejection| Problem::new(&codes::BAD_REQUEST, error.body_text()))
    }
}

/// Extracts the header `Idempotency-Key`, where there is one: 1 to 255 visible characters.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text.is_empty() || text.chars().count() > IDEMPOTENCY_KEY_CHARS_MAX {
            return Err(Problem::new(
                &codes::BAD_REQUEST,
                "The header Idempotency-Key takes 1 to 255 visible ASCII characters.",
            ));
        }
        Ok(Self(Some(text.to_owned())))
    }
}
