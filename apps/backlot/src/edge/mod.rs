//! The edge: one public address for all systems. It belongs to none of them and holds no rule of theirs.
//!
//! It swaps a session cookie or an API key for a token of at most 60 seconds for the one system that a
//! route belongs to; merges the routes of systems in this process, and proxies to those that run apart;
//! merges their OpenAPI fragments; and serves the web app and the pages of the error codes.
//!
//! It never answers from a system's data, and never lets a client's own internal token, address header
//! or cookie through to a system.

mod areas;
mod auth;
mod headers;
mod markdown;
mod openapi;
mod pages;
mod proxy;
mod streams;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::Tasks;
use backlot_foundation_tokens::{Signer, Verifier};
use serde::{Deserialize, Serialize};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;

use auth::{Auth, Door};
pub(crate) use openapi::Documents;
use view::AuthView;

/// What an operator can set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Base addresses (`http://HOST:PORT`) of systems that this process does not serve itself.
    pub(crate) systems: SystemAddresses,
    /// Proxies between the clients and the edge that append to `X-Forwarded-For`; 0: none, and the header
    /// is not believed.
    pub(crate) proxies_in_front: u8,
    /// Origins beside the public address from which browsers may send changes, for example
    /// `https://studio.example.com`.
    pub(crate) allowed_origins: Vec<String>,
    /// Origins of the media store, where it is not the edge itself: the web app sends and shows media there.
    pub(crate) media_origins: Vec<String>,
    /// Largest body of a request, in bytes. Media goes to the store, whose limit is its own.
    pub(crate) body_bytes_max: u64,
    /// Longest wait for the beginning of a proxied answer, in seconds.
    pub(crate) upstream_timeout_s: u32,
}

/// Where the systems are that run apart. Empty: in this process, or nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SystemAddresses {
    /// Identity, mandates, billing, storage.
    pub(crate) infrastructure: String,
    /// Tools.
    pub(crate) business: String,
    /// Jobs on models.
    pub(crate) inference: String,
    /// The company's numbers.
    pub(crate) data: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            systems: SystemAddresses::default(),
            proxies_in_front: 0,
            allowed_origins: Vec::new(),
            media_origins: Vec::new(),
            body_bytes_max: 4 * 1024 * 1024,
            upstream_timeout_s: 60,
        }
    }
}

/// A system whose routes this process holds.
pub(crate) struct LocalSystem {
    /// Its name, which is the audience of its tokens.
    pub(crate) name: &'static str,
    /// Its routes with their description, not yet behind the verifier.
    pub(crate) http: OpenApiRouter,
    /// Believes the edge's tokens for it.
    pub(crate) verifier: Arc<Verifier>,
}

/// What the edge is made of.
pub(crate) struct Parts {
    /// Systems in this process. Others are proxied to, by `Config::systems`.
    pub(crate) local: Vec<LocalSystem>,
    /// Infrastructure's contract, on which the edge speaks for itself: `Identity` and `Events`.
    pub(crate) infrastructure: Channel,
    /// Signs as issuer `edge`.
    pub(crate) signer: Arc<Signer>,
    /// How the outside reaches the studio, without a slash at the end.
    pub(crate) public_url: String,
    /// Routes that are no system's: health and metrics.
    pub(crate) extra: Router,
}

/// An edge that cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeError {
    /// A configured address is none.
    #[error("edge.systems.{system} is not an address: expected http://HOST:PORT, got \"{address}\"")]
    Address {
        /// Which.
        system: &'static str,
        /// What was given.
        address: String,
    },
    /// A header would not be one.
    #[error("edge.media_origins or edge.allowed_origins holds something that is no origin: \"{0}\"")]
    Origin(String),
}

/// The edge.
pub(crate) struct Edge;

impl Edge {
    /// Builds the public router and starts the view's loop in `tasks`.
    #[expect(clippy::new_ret_no_self, reason = "the edge is its router; there is nothing else to hold")]
    pub(crate) fn new(config: &Config, parts: Parts, tasks: &Tasks) -> Result<Router, EdgeError> {
        Self::build(config, parts, tasks).map(|(router, _)| router)
    }

    fn build(config: &Config, parts: Parts, tasks: &Tasks) -> Result<(Router, AuthView), EdgeError> {
        for origin in config.media_origins.iter().chain(&config.allowed_origins) {
            check_origin(origin)?;
        }
        let view = AuthView::new(parts.infrastructure, parts.signer);
        view.start(tasks);
        let auth = Arc::new(Auth::new(view.clone(), config, &parts.public_url));
        let mut documents = Documents::default();
        let mut router = Router::new();
        let mut served = Vec::new();
        for system in parts.local {
            let (routes, document) = system.http.split_for_parts();
            documents.add_local(system.name, &document);
            let verified = from_fn_with_state(system.verifier, backlot_foundation_rpc::http::authenticate);
            let door = Door { auth: auth.clone(), audience: system.name };
            router = router.merge(routes.layer(verified).layer(from_fn_with_state(door, auth::swap)));
            served.push(system.name);
        }
        let client = proxy::Client::new(Duration::from_secs(config.upstream_timeout_s.into()));
        for (name, address) in config.systems.configured() {
            if served.contains(&name) {
                continue;
            }
            let upstream = proxy::Upstream::new(client.clone(), address)
                .ok_or_else(|| EdgeError::Address { system: name, address: address.to_owned() })?;
            documents.add_remote(name, upstream.clone());
            let door = Door { auth: auth.clone(), audience: name };
            router = router.merge(proxied(name, upstream).layer(from_fn_with_state(door, auth::swap)));
        }
        let router = router
            .merge(parts.extra)
            .merge(documents.router())
            .route("/docs/errors/{code}", get(pages::error_page))
            .fallback_service(Router::new().fallback(pages::fallback).layer(CompressionLayer::new()))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn(measure))
            .layer(CatchPanicLayer::custom(after_panic));
        Ok((headers::secured(router, config, &parts.public_url), view))
    }
}

impl SystemAddresses {
    fn configured(&self) -> impl Iterator<Item = (&'static str, &str)> {
        use backlot_foundation_tokens::audience::{BUSINESS, DATA, INFERENCE, INFRASTRUCTURE};
        let all = [
            (INFRASTRUCTURE, self.infrastructure.as_str()),
            (BUSINESS, self.business.as_str()),
            (INFERENCE, self.inference.as_str()),
            (DATA, self.data.as_str()),
        ];
        all.into_iter().filter(|(_, address)| !address.is_empty())
    }
}

/// The routes of a system that runs apart, by the first part of their path.
fn proxied(name: &str, upstream: proxy::Upstream) -> Router {
    areas::of(name).iter().fold(Router::new(), |router, area| {
        let whole = any(proxy::forward).with_state(upstream.clone());
        router.route(&format!("/v1/{area}"), whole.clone()).route(&format!("/v1/{area}/{{*rest}}"), whole)
    })
}

fn check_origin(text: &str) -> Result<(), EdgeError> {
    let wrong = || EdgeError::Origin(text.to_owned());
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let is_origin = url.origin().ascii_serialization() == text.trim_end_matches('/');
    if is_origin { Ok(()) } else { Err(wrong()) }
}

async fn method_not_allowed() -> Problem {
    Problem::new(&codes::METHOD_NOT_ALLOWED, "See /openapi.json for the methods of this address.")
}

fn after_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    Problem::internal(&text).into_response()
}

/// For a system that runs apart: goes on with the trace that the edge began.
pub(crate) async fn traced(request: Request, next: axum::middleware::Next) -> Response {
    let name = format!("{} {}", request.method(), areas::label(request.uri().path()));
    let span = tracing::info_span!("http", otel.name = %name, otel.kind = "server");
    if let Some(parent) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
        backlot_foundation_telemetry::continue_trace(&span, parent);
    }
    next.run(request).instrument(span).await
}

/// Counts and times requests by the first part of their path, which keeps the number of series small,
/// and begins their trace: clients' own trace headers are not believed.
async fn measure(mut request: Request, next: axum::middleware::Next) -> Response {
    request.headers_mut().remove("traceparent");
    let area = areas::label(request.uri().path());
    let method = request.method().as_str().to_owned();
    let span = tracing::info_span!("http", otel.name = %format!("{method} {area}"), otel.kind = "server");
    let began = std::time::Instant::now();
    let response = next.run(request).instrument(span).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("backlot_http_seconds", "area" => area, "method" => method, "status" => status)
        .record(began.elapsed().as_secs_f64());
    response
}
