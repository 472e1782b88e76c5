//! Long answers end when the authority that opened them does.
//!
//! A stream of events may be open for hours; the token that opened it was checked once. So the edge looks
//! again whenever somebody's authority changed, and twice a second besides: an expiry makes no event, and
//! where identity's events cannot be followed, nobody tells. A stream ends when its credential is refused,
//! and when it now speaks for another organisation, other scopes, or no longer for the staff.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::header;
use axum::response::Response;
use backlot_foundation_rpc::http::LeaseWatch;
use backlot_infrastructure_api::v1::Principal;
use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::view::{AuthView, Known, Presented};

/// Between two looks at a stream's credential where no event asks for one. With the longest answer from
/// memory it stays under the second within which a revocation bites.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// On whose behalf a stream was opened.
pub(super) struct Opened {
    pub(super) view: AuthView,
    pub(super) presented: Presented,
    pub(super) known: Arc<Known>,
    /// Subscribed before the credential was checked, so that no change falls in between.
    pub(super) changes: watch::Receiver<u64>,
}

/// Wraps a stream of events; every other answer passes as it is.
pub(super) fn watched(response: Response, opened: Opened) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_stream = kind.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return response;
    }
    response.map(|body| Body::from_stream(guarded(body.into_data_stream(), opened)))
}

fn guarded(
    mut body: BodyDataStream,
    mut opened: Opened,
) -> impl futures::Stream<Item = Result<Bytes, axum::Error>> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    async_stream::stream! {
        loop {
            tokio::select! {
                biased;
                changed = opened.changes.changed() => {
                    if changed.is_err() || !opened.holds().await {
                        return;
                    }
                }
                _ = look.tick() => {
                    if !opened.holds().await {
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

/// Guards a connection that became something else than HTTP, such as a WebSocket: its lease ends with the
/// authority that opened it. The task belongs to the connection and ends with it.
pub(super) fn lease(mut opened: Opened, watch: LeaseWatch) {
    tokio::spawn(async move {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while watch.is_used() {
            let changed = tokio::select! {
                changed = opened.changes.changed() => changed,
                _ = look.tick() => Ok(()),
            };
            if changed.is_err() || !opened.holds().await {
                watch.end();
                return;
            }
        }
    });
}

impl Opened {
    /// Whether the credential still is what it was. Only a clear no ends a stream: where identity is silent,
    /// the stream goes on, and the next look asks again.
    async fn holds(&self) -> bool {
        match self.view.resolve(&self.presented).await {
            Ok(known) => speaks_for_the_same(&self.known.principal, &known.principal),
            Err(problem) => problem.is_transient(),
        }
    }
}

/// Whether what was opened for one may go on for the other.
fn speaks_for_the_same(opened: &Principal, now: &Principal) -> bool {
    opened.user_id == now.user_id
        && opened.organisation_id == now.organisation_id
        && opened.scopes == now.scopes
        && opened.platform_staff == now.platform_staff
}
