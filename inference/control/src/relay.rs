//! A replica that does not lead passes calls of the contract on to the one that does.
//!
//! The leader's row names its address. A replica that was deposed reads it, and sends on what it is asked, streams of
//! agents included, as it came: the caller's token is checked there as it was here. What was passed on once is not
//! passed on again, so that two replicas which both believe the other never play ball.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::Channel;
use parking_lot::RwLock;
use tower::ServiceExt as _;

use crate::{error::Error, service::Inner};

/// Marks a call that a replica passed on.
const RELAYED: &str = "x-backlot-relayed";

/// Who leads, where it is not this process.
#[derive(Default)]
pub(crate) struct Relay(RwLock<Option<Leader>>);

#[derive(Clone)]
struct Leader {
    address: String,
    channel: Channel,
}

impl Relay {
    /// This process leads, or nobody is known to.
    pub(crate) fn stop(&self) {
        *self.0.write() = None;
    }

    /// Another process leads, at this address; empty: it does not say where it is.
    pub(crate) fn follow(&self, address: &str) {
        if self.0.read().as_ref().is_some_and(|leader| leader.address == address) {
            return;
        }
        let channel = (!address.is_empty()).then(|| Channel::remote(address)).transpose();
        let leader = match channel {
            Ok(channel) => channel.map(|channel| Leader { address: address.to_owned(), channel }),
            Err(error) => {
                tracing::warn!(%error, "the leader's address cannot be used");
                None
            }
        };
        *self.0.write() = leader;
    }

    fn channel(&self) -> Option<Channel> {
        self.0.read().as_ref().map(|leader| leader.channel.clone())
    }
}

/// Passes a call on where another process leads and says where; else it is answered here.
pub(crate) async fn pass_on(State(inner): State<Arc<Inner>>, mut request: Request, next: Next) -> Response {
    let was_relayed = request.headers().contains_key(RELAYED);
    let Some(leader) = inner.relay.channel().filter(|_| !was_relayed) else {
        return next.run(request).await;
    };
    request.headers_mut().insert(RELAYED, HeaderValue::from_static("1"));
    match leader.oneshot(request.map(tonic::body::Body::new)).await {
        Ok(response) => response.into_response(),
        Err(error) => {
            tracing::warn!(error, "the leader cannot be reached");
            let problem = Problem::from(Error::Unavailable);
            tonic::Status::from(problem).into_http::<axum::body::Body>()
        }
    }
}
