//! The client's side: one boxed service, local or remote.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderValue, Request, Response, Uri, header};
use backlot_foundation_tokens::Signer;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use crate::{DEADLINE_DEFAULT, trace};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The header in which gRPC states how long the caller waits.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// An address that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("\"{address}\" is not an address of a system: expected http://HOST:PORT")]
pub struct ChannelError {
    address: String,
    #[source]
    source: tonic::transport::Error,
}

/// Where a generated client sends its calls. Cheap to clone.
#[derive(Clone)]
pub struct Channel {
    service: BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>,
    token: Option<Token>,
}

#[derive(Clone)]
enum Token {
    Service { signer: Arc<Signer>, audience: &'static str },
    Fixed(HeaderValue),
}

impl Channel {
    /// Calls a server in this process: the router that [`crate::Server::layer`] made.
    #[must_use]
    pub fn local(router: axum::Router) -> Self {
        let service = tower::service_fn(move |request: Request<Body>| {
            let router = router.clone();
            async move {
                // The socket transport cuts a call at its deadline; in process we do it here.
                let deadline = deadline_of(&request);
                let call = router.oneshot(request.map(axum::body::Body::new));
                match tokio::time::timeout(deadline, call).await {
                    Ok(Ok(response)) => Ok(response.map(Body::new)),
                    Ok(Err(never)) => match never {},
                    Err(_) => Ok(tonic::Status::deadline_exceeded("the call took too long").into_http()),
                }
            }
        });
        Self { service: BoxCloneSyncService::new(service), token: None }
    }

    /// Calls a server over the network; connects when it is first used, and again when it must. A path in
    /// the address comes before every method's: a process that serves several systems mounts each under
    /// its name (`http://HOST:PORT/inference`).
    pub fn remote(address: &str) -> Result<Self, ChannelError> {
        let prefix =
            address.parse::<Uri>().map(|uri| uri.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|source| ChannelError { address: address.to_owned(), source })?
            .connect_timeout(Duration::from_secs(3))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        let service = endpoint.connect_lazy().map_err(BoxError::from);
        let service = service.map_request(move |request| under(&prefix, request));
        Ok(Self { service: BoxCloneSyncService::new(service), token: None })
    }

    /// The same channel, with a service token of `signer` for `audience` on every call.
    #[must_use]
    pub fn with_signer(self, signer: Arc<Signer>, audience: &'static str) -> Self {
        Self { token: Some(Token::Service { signer, audience }), ..self }
    }

    /// The same channel, with one fixed bearer token: an agent's join token, for example.
    #[must_use]
    pub fn with_bearer(self, token: &str) -> Self {
        let token = HeaderValue::try_from(format!("Bearer {token}")).ok().map(Token::Fixed);
        Self { token, ..self }
    }

    fn authorise(&self, request: &mut Request<Body>) -> Result<(), BoxError> {
        if request.headers().contains_key(header::AUTHORIZATION) {
            return Ok(());
        }
        let value = match &self.token {
            None => return Ok(()),
            Some(Token::Fixed(value)) => value.clone(),
            Some(Token::Service { signer, audience }) => {
                HeaderValue::try_from(format!("Bearer {}", signer.service_token(audience)?))?
            }
        };
        request.headers_mut().insert(header::AUTHORIZATION, value);
        Ok(())
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Err(error) = self.authorise(&mut request) {
            return Box::pin(async move { Err(error) });
        }
        trace::inject(request.headers_mut());
        let deadline = deadline_of(&request);
        if !request.headers().contains_key(GRPC_TIMEOUT) {
            let millis = HeaderValue::try_from(format!("{}m", deadline.as_millis()));
            if let Ok(millis) = millis {
                request.headers_mut().insert(GRPC_TIMEOUT, millis);
            }
        }
        let service = self.service.clone();
        Box::pin(async move {
            match tokio::time::timeout(deadline, service.oneshot(request)).await {
                Ok(answer) => answer,
                Err(_) => Ok(tonic::Status::deadline_exceeded("the call took too long").into_http()),
            }
        })
    }
}

/// Puts a prefix before the method's path.
fn under(prefix: &str, mut request: Request<Body>) -> Request<Body> {
    if !prefix.is_empty()
        && let Ok(path) = format!("{prefix}{}", request.uri().path()).parse()
    {
        *request.uri_mut() = path;
    }
    request
}

/// The deadline that a request names, or the default. Format: digits and a unit of `H M S m u n`.
pub(crate) fn deadline_of<B>(request: &Request<B>) -> Duration {
    request
        .headers()
        .get(GRPC_TIMEOUT)
        .and_then(|value| value.to_str().ok())
        .and_then(parse_timeout)
        .unwrap_or(DEADLINE_DEFAULT)
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let amount: u64 = text.get(..text.len() - 1)?.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(amount.checked_mul(3_600)?)),
        'M' => Some(Duration::from_secs(amount.checked_mul(60)?)),
        'S' => Some(Duration::from_secs(amount)),
        'm' => Some(Duration::from_millis(amount)),
        'u' => Some(Duration::from_micros(amount)),
        'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_of_grpc_are_read() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parse_timeout("soon"), None);
        assert_eq!(parse_timeout(""), None);
    }
}
