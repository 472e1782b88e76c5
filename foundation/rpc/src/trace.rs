//! W3C trace context in headers, on both sides of a call.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

struct ReadHeaders<'a>(&'a HeaderMap);

impl Extractor for ReadHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Writes the current span's context into the headers.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let context = tracing::Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Headers(headers));
    });
}

/// A span for a call that came in, child of the caller's.
pub(crate) fn span_of(request: &str, headers: &HeaderMap) -> tracing::Span {
    let span = tracing::info_span!("request", otel.name = request, otel.kind = "server");
    let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&ReadHeaders(headers))
    });
    // An error only says that no OpenTelemetry layer is installed, as in tests.
    let _ = span.set_parent(parent);
    span
}
