//! Forwards requests to systems that run apart. Bodies stream both ways; nothing is buffered.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::http::Lease;
use http_body_util::LengthLimitError;
use hyper::body::{Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::watch;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Headers that belong to one connection and not to the request.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Connections to all upstreams. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    http: hyper_util::client::legacy::Client<HttpConnector, Body>,
    timeout: Duration,
}

impl Client {
    /// `timeout` bounds the silence before the beginning of an answer, not its length, nor that of the request's body.
    pub(super) fn new(timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Self { http, timeout }
    }
}

/// One system at its address. Cheap to clone.
#[derive(Clone)]
pub(super) struct Upstream {
    client: Client,
    authority: Authority,
}

impl Upstream {
    /// None where the address is not `http://HOST:PORT`.
    pub(super) fn new(client: Client, address: &str) -> Option<Self> {
        let uri: Uri = address.trim_end_matches('/').parse().ok()?;
        let plain =
            uri.scheme() == Some(&Scheme::HTTP) && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = uri.authority().cloned()?;
        plain.then_some(Self { client, authority })
    }

    /// Sends a request there and returns the beginning of the answer.
    pub(super) async fn send(&self, mut request: Request) -> Result<Response, Problem> {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build();
        *request.uri_mut() = uri.map_err(|error| Problem::internal(&error))?;
        *request.version_mut() = axum::http::Version::HTTP_11;
        let is_upgrade = is_web_socket(request.headers());
        prepare(request.headers_mut());
        if is_upgrade {
            mark_upgrade(request.headers_mut());
        }
        let lease = request.extensions_mut().remove::<Lease>();
        let client = request.extensions_mut().remove::<OnUpgrade>();
        let (body, flow) = Flowing::new(std::mem::take(request.body_mut()));
        *request.body_mut() = Body::new(body);
        match unless_silent(self.client.http.request(request), flow, self.client.timeout).await {
            Some(Ok(mut response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let Some(client) = client.filter(|_| is_upgrade) else {
                    return Err(Problem::internal(&"a system switched protocols unasked"));
                };
                tunnel(client, hyper::upgrade::on(&mut response), lease);
                Ok(response.map(Body::new))
            }
            Some(Ok(response)) => {
                let mut response = response.map(Body::new);
                strip(response.headers_mut());
                Ok(response)
            }
            Some(Err(error)) if is_too_long(&error) => {
                Err(Problem::new(&codes::BODY_TOO_LARGE, "The body is larger than this address takes."))
            }
            Some(Err(error)) => {
                tracing::warn!(upstream = %self.authority, %error, "a system that runs apart did not answer");
                let detail =
                    "A part of the studio cannot be reached. Nothing is known of the outcome; try again.";
                Err(Problem::new(&codes::UNAVAILABLE, detail).retry_after(1))
            }
            None => {
                let detail =
                    "A part of the studio took too long to answer. It may still finish what was asked.";
                Err(Problem::new(&codes::DEADLINE_EXCEEDED, detail))
            }
        }
    }
}

/// Waits for `work` as long as something flows: a file that takes minutes to send is no system that does not answer.
/// None after a silence of `limit`.
async fn unless_silent<T>(
    work: impl Future<Output = T>,
    mut flow: watch::Receiver<()>,
    limit: Duration,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut is_flowing = true;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            more = flow.changed(), if is_flowing => is_flowing = more.is_ok(),
            () = tokio::time::sleep(limit) => return None,
        }
    }
}

/// A body that says when a part of it goes out.
struct Flowing {
    inner: Body,
    flow: watch::Sender<()>,
}

impl Flowing {
    fn new(inner: Body) -> (Self, watch::Receiver<()>) {
        let (flow, seen) = watch::channel(());
        (Self { inner, flow }, seen)
    }
}

impl HttpBody for Flowing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if frame.is_ready() {
            self.flow.send_replace(());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Carries bytes both ways until one side ends or the lease does. The task belongs to the connection.
fn tunnel(client: OnUpgrade, system: OnUpgrade, lease: Option<Lease>) {
    tokio::spawn(async move {
        let both = tokio::time::timeout(CONNECT_TIMEOUT, async { tokio::try_join!(client, system) }).await;
        let (client, system) = match both {
            Ok(Ok(both)) => both,
            Ok(Err(error)) => return tracing::debug!(%error, "a connection was not upgraded"),
            Err(_) => return tracing::debug!("a connection took too long to be upgraded"),
        };
        let (mut client, mut system) = (TokioIo::new(client), TokioIo::new(system));
        let ended = async {
            match &lease {
                Some(lease) => lease.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut system) => (),
            () = ended => (),
        }
    });
}

/// Whether the request asks for a WebSocket. Nothing else is upgraded.
pub(super) fn is_web_socket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut named = connection.flat_map(|value| value.split(','));
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        && named.any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
}

/// Says again, after stripping, that this request is a WebSocket's.
pub(super) fn mark_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Whether sending stopped because the client's body went over the edge's limit.
fn is_too_long(error: &hyper_util::client::legacy::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Says how the request came, and carries the trace on.
fn prepare(headers: &mut HeaderMap) {
    strip(headers);
    if let Some(host) = headers.remove(header::HOST) {
        headers.insert(HeaderName::from_static("x-forwarded-host"), host);
    }
    let traceparent = backlot_foundation_telemetry::traceparent();
    if let Ok(value) = HeaderValue::try_from(traceparent)
        && !value.is_empty()
    {
        headers.insert(HeaderName::from_static("traceparent"), value);
    }
}

/// Removes what belongs to one connection, named in the standard or by the connection itself.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
}

/// Handler: whatever comes goes there.
pub(super) async fn forward(State(upstream): State<Upstream>, request: Request) -> Response {
    upstream.send(request).await.unwrap_or_else(|problem| problem.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port() {
        let check = |address| Upstream::new(Client::new(Duration::from_secs(1)), address).is_some();
        assert!(check("http://10.0.0.1:8080") && check("http://business:80/"));
        assert!(
            !check("business:80")
                && !check("https://business")
                && !check("http://business/api")
                && !check("")
        );
    }

    #[test]
    fn only_a_whole_handshake_is_a_web_socket() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            is_web_socket(&headers)
        };
        assert!(check(&[("upgrade", "websocket"), ("connection", "Upgrade")]));
        assert!(check(&[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")]));
        assert!(!check(&[("upgrade", "websocket")]) && !check(&[("connection", "upgrade")]));
        assert!(!check(&[("upgrade", "h2c"), ("connection", "upgrade")]));
    }

    #[test]
    fn headers_of_one_connection_stay_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, x-private"), ("x-private", "1"), ("te", "trailers"), ("x-kept", "1")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_flows_is_waited_for_and_silence_is_not() {
        let limit = Duration::from_secs(60);
        // An hour of sending, a part every minute but one second, then an answer within the limit.
        let (flow, seen) = watch::channel(());
        let sent = async move {
            for _ in 0..60 {
                tokio::time::sleep(limit - Duration::from_secs(1)).await;
                flow.send_replace(());
            }
            drop(flow);
            tokio::time::sleep(limit - Duration::from_secs(1)).await;
            "done"
        };
        assert_eq!(unless_silent(sent, seen, limit).await, Some("done"));
        let (flow, seen) = watch::channel(());
        let stalled = async move {
            flow.send_replace(());
            tokio::time::sleep(limit * 2).await;
            drop(flow);
        };
        assert_eq!(unless_silent(stalled, seen, limit).await, None);
        let (flow, seen) = watch::channel(());
        drop(flow);
        assert_eq!(unless_silent(std::future::pending::<()>(), seen, limit).await, None);
    }
}
