//! The server's side: layers that every contract carries, in process and on a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::http::header;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_runtime::Stop;
use backlot_foundation_tokens::{Claims, Verifier};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tracing::Instrument as _;

use crate::{channel::deadline_of, trace};

/// Calls in progress above which a new one is refused.
const CALLS_IN_PROGRESS_MAX: usize = 4_096;

/// The layers of one system's contract.
#[derive(Clone)]
pub struct Server {
    verifier: Arc<Verifier>,
    in_progress: Arc<AtomicUsize>,
}

impl Server {
    /// Layers that believe the callers whom `verifier` believes.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier, in_progress: Arc::default() }
    }

    /// Puts the layers around a contract's services.
    pub fn layer(&self, routes: Routes) -> axum::Router {
        // Without tonic's own fallback, so that the contracts of several systems merge into one socket.
        let router = routes.prepare().into_axum_router().reset_fallback();
        router.layer(axum::middleware::from_fn_with_state(self.clone(), carry))
    }
}

/// Counts a call in, and out when it is dropped, however it ends.
struct InProgress(Arc<AtomicUsize>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn carry(State(server): State<Server>, mut request: Request, next: Next) -> Response {
    let before = server.in_progress.fetch_add(1, Ordering::Relaxed);
    let _in_progress = InProgress(server.in_progress.clone());
    if before >= CALLS_IN_PROGRESS_MAX {
        return tonic::Status::resource_exhausted("too many calls in progress; try again")
            .into_http::<axum::body::Body>();
    }
    if let Some(claims) = believe(&server.verifier, request.headers()) {
        request.extensions_mut().insert(claims);
    }
    let deadline = deadline_of(&request);
    let path = request.uri().path().to_owned();
    let span = trace::span_of(&path, request.headers());
    let began = Instant::now();
    let answer = tokio::time::timeout(deadline, next.run(request).instrument(span)).await;
    metrics::histogram!("backlot_rpc_seconds", "call" => path).record(began.elapsed().as_secs_f64());
    match answer {
        Ok(response) => response,
        Err(_) => tonic::Status::deadline_exceeded("the call took too long")
            .into_http::<axum::body::Body>()
            .into_response(),
    }
}

/// Reads the bearer token; somebody who cannot be believed is nobody.
pub(crate) fn believe(verifier: &Verifier, headers: &::http::HeaderMap) -> Option<Claims> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    verifier.verify(token).inspect_err(|error| tracing::debug!(%error, "a token was not believed")).ok()
}

/// Who calls. `UNAUTHENTICATED` where nobody whom this system believes.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Claims, tonic::Status> {
    request.extensions().get::<Claims>().cloned().ok_or_else(|| {
        Problem::new(&codes::UNAUTHENTICATED, "The call carries no token that this system trusts.").into()
    })
}

/// A socket that could not be served.
#[derive(Debug, thiserror::Error)]
#[error("the contract's socket cannot be served")]
pub struct RpcServeError(#[source] tonic::transport::Error);

/// Serves a layered contract on a socket until the stop signal.
pub async fn serve_rpc(listener: TcpListener, router: axum::Router, stop: Stop) -> Result<(), RpcServeError> {
    // `tcp_nodelay` of the builder is ignored for a listener of one's own and costs 40 ms a call.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_routes(Routes::from(router))
        .serve_with_incoming_shutdown(incoming, async move { stop.stopped().await })
        .await
        .map_err(RpcServeError)
}
