//! Long answers end when their credential does.
//!
//! A stream of events may be open for hours; the token that opened it was checked once. So the edge
//! looks again whenever somebody's authority changed, and closes the stream of who has none any more.

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::header;
use axum::response::Response;
use futures::StreamExt as _;
use tokio::sync::watch;

use super::view::{AuthView, Presented};

/// Wraps a stream of events; every other answer passes as it is.
pub(super) fn watched(response: Response, view: &AuthView, presented: Presented) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_stream = kind.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return response;
    }
    let (view, changes) = (view.clone(), view.changes());
    response.map(|body| Body::from_stream(guarded(body.into_data_stream(), view, presented, changes)))
}

fn guarded(
    mut body: BodyDataStream,
    view: AuthView,
    presented: Presented,
    mut changes: watch::Receiver<u64>,
) -> impl futures::Stream<Item = Result<Bytes, axum::Error>> {
    async_stream::stream! {
        loop {
            tokio::select! {
                biased;
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Only a clear no ends it: where identity is silent, the stream goes on.
                    if let Err(problem) = view.resolve(&presented).await && !problem.is_transient() {
                        return;
                    }
                }
                item = body.next() => match item {
                    Some(item) => yield item,
                    None => return,
                },
            }
        }
    }
}
