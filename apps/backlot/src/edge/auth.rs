//! The middleware before every system: credential in, token out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::http::Lease;
use backlot_foundation_tokens::audience;
use backlot_infrastructure_api::codes::identity as own;
use backlot_infrastructure_identity::{API_KEY_MARK, CLIENT_ADDRESS_HEADER, SESSION_COOKIE};
use http_body_util::Limited;

use super::view::{AuthView, Known, Presented};
use super::{Config, areas, streams};

/// Longest credential that is looked at, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// What the middleware needs to decide.
pub(super) struct Auth {
    pub(super) view: AuthView,
    /// Origins from which browsers may send changes.
    origins: Vec<String>,
    proxies_in_front: u8,
    body_bytes_max: u64,
}

impl Auth {
    pub(super) fn new(view: AuthView, config: &Config, public_url: &str) -> Self {
        let origins = config.allowed_origins.iter().map(String::as_str).chain([public_url]);
        let origins = origins.map(|origin| origin.trim_end_matches('/').to_lowercase()).collect();
        Self {
            view,
            origins,
            proxies_in_front: config.proxies_in_front,
            body_bytes_max: config.body_bytes_max,
        }
    }
}

/// The middleware's state before one system.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) auth: Arc<Auth>,
    pub(super) audience: &'static str,
}

/// Swaps the client's credential for a token of this system, or refuses.
pub(super) async fn swap(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let auth = &door.auth;
    let path = request.uri().path().to_owned();
    let is_change = !areas::is_safe(request.method());
    let changes = auth.view.changes();
    let admitted = match admit(&door, &mut request, &path).await {
        Ok(admitted) => admitted,
        Err(problem) => return problem.into_response(),
    };
    let mut request = match limited(auth, request, &path) {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let watch = request.headers().contains_key(header::UPGRADE).then(|| {
        let (lease, watch) = Lease::new();
        request.extensions_mut().insert(lease);
        watch
    });
    let response = problem_where_too_long(next.run(request).await);
    let Some((presented, known)) = admitted else { return response };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(watch) = watch
    {
        let opened = streams::Opened { view: auth.view.clone(), presented, known, changes };
        streams::lease(opened, watch);
        return response;
    }
    if is_change && areas::area(&path) == Some("identity") {
        auth.view.forget_user(&known.principal.user_id);
    }
    streams::watched(response, streams::Opened { view: auth.view.clone(), presented, known, changes })
}

/// A body that announced no length is cut where it is read, and whoever reads says so in plain text.
fn problem_where_too_long(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_problem = kind.is_some_and(|value| value.as_bytes().starts_with(b"application/problem+json"));
    if response.status() != StatusCode::PAYLOAD_TOO_LARGE || is_problem {
        return response;
    }
    Problem::new(&codes::BODY_TOO_LARGE, "The body is larger than this address takes.").into_response()
}

/// Checks the request and gives it its token. None: nobody calls, or the path is its own credential.
async fn admit(
    door: &Door,
    request: &mut Request,
    path: &str,
) -> Result<Option<(Presented, Arc<Known>)>, Problem> {
    let auth = &door.auth;
    let address = client_address(request, auth.proxies_in_front);
    let method = request.method().clone();
    let headers = request.headers_mut();
    let is_upgrade = super::proxy::is_web_socket(headers);
    // Before anything of ours goes in: a client must not be able to name our headers as its connection's own.
    super::proxy::strip(headers);
    if is_upgrade {
        super::proxy::mark_upgrade(headers);
    }
    let presented = presented(headers);
    let foreign = foreign_token(headers, door.audience);
    let is_capability = areas::is_capability(&method, path);
    let write_key = areas::is_tracking(&method, path).then(|| basic(headers)).flatten();
    let from_browser = !matches!(presented, Some(Presented::ApiKey(_)));
    // A page of another site could open a live connection with the person's cookie, too.
    let acts = is_upgrade || !areas::is_safe(&method);
    if from_browser && acts && !is_capability && foreign.is_none() {
        check_origin(headers, &auth.origins)?;
    }
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::COOKIE);
    headers.remove(CLIENT_ADDRESS_HEADER);
    if let Some(value) = address.and_then(|address| HeaderValue::try_from(address.to_string()).ok()) {
        headers.insert(CLIENT_ADDRESS_HEADER, value);
    }
    if is_capability {
        write_key.map(|value| headers.insert(header::AUTHORIZATION, value));
        return Ok(None);
    }
    if let Some(token) = foreign {
        headers.insert(header::AUTHORIZATION, token);
        return Ok(None);
    }
    let Some(presented) = presented else { return Ok(None) };
    let known = match auth.view.resolve(&presented).await {
        Ok(known) => known,
        // An old cookie must not keep anybody from signing in again.
        Err(_) if areas::is_door(path) && matches!(presented, Presented::Session(_)) => return Ok(None),
        Err(problem) => return Err(problem),
    };
    check_scope(&known, &areas::scope(&method, path))?;
    let token = auth.view.token(&known, door.audience)?;
    let value =
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| Problem::internal(&error))?;
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(Some((presented, known)))
}

/// The credential of a client. A key is explicit, so it wins over a cookie.
fn presented(headers: &HeaderMap) -> Option<Presented> {
    if let Some(bearer) = bearer(headers).filter(|bearer| bearer.starts_with(API_KEY_MARK)) {
        return Some(Presented::ApiKey(cut(bearer)));
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == SESSION_COOKIE && !value.is_empty())
        .map(|(_, value)| Presented::Session(cut(value)))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// `Authorization: Basic`, as it came: a write key of the tracking protocol.
fn basic(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::AUTHORIZATION).filter(|value| value.as_bytes().starts_with(b"Basic ")).cloned()
}

/// Longer than any of ours, it stays unknown when it is cut.
fn cut(text: &str) -> String {
    text.chars().take(CREDENTIAL_BYTES_MAX + 1).collect()
}

/// The token of another company's backend, which inference believes or not by its own list of issuers.
/// To every other system nobody brings tokens of their own.
fn foreign_token(headers: &HeaderMap, system: &str) -> Option<HeaderValue> {
    let is_foreign = bearer(headers).is_some_and(|bearer| !bearer.starts_with(API_KEY_MARK));
    (system == audience::INFERENCE && is_foreign).then(|| headers.get(header::AUTHORIZATION).cloned())?
}

/// Refuses a change that a browser sends from a page of another site. Browsers name the origin of every
/// change; programs that are no browsers name none, and carry no cookie by accident either.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let same = match (text(header::ORIGIN), text(header::HeaderName::from_static("sec-fetch-site"))) {
        (Some(origin), _) => {
            let origin = origin.to_lowercase();
            let host = text(header::HOST).unwrap_or_default().to_lowercase();
            let own = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
            own || allowed.contains(&origin)
        }
        (None, Some(site)) => matches!(site, "same-origin" | "none"),
        (None, None) => true,
    };
    if same {
        return Ok(());
    }
    Err(Problem::new(
        &own::ORIGIN_REFUSED,
        "Use the page of this service itself, or an API key from a program.",
    ))
}

fn check_scope(known: &Known, scope: &str) -> Result<(), Problem> {
    let scopes = &known.principal.scopes;
    if scopes.is_empty() || scopes.iter().any(|held| held == scope || held == "*") {
        return Ok(());
    }
    let detail = format!("Use a key that has the scope \"{scope}\".");
    Err(Problem::new(&own::SCOPE_MISSING, detail).with_extra("scope", scope))
}

/// From where the request came: the connection's other end, or what the outermost of our own proxies saw.
fn client_address(request: &Request, proxies_in_front: u8) -> Option<IpAddr> {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if proxies_in_front == 0 {
        return connection;
    }
    let forwarded = request.headers().get_all("x-forwarded-for").iter();
    let hops: Vec<IpAddr> = forwarded
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|hop| hop.trim().parse().ok())
        .collect();
    // Each proxy appends what it saw: counted from the right, only our own entries are believed.
    let index = hops.len().checked_sub(usize::from(proxies_in_front));
    index.and_then(|index| hops.get(index).copied()).or(connection)
}

/// Bounds the body. Media has its own limit in storage.
fn limited(auth: &Auth, request: Request, path: &str) -> Result<Request, Problem> {
    if areas::area(path) == Some("objects") {
        return Ok(request);
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced =
        announced.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > auth.body_bytes_max) {
        let detail = format!(
            "This address takes at most {} bytes. Media goes to its upload URL.",
            auth.body_bytes_max
        );
        return Err(Problem::new(&codes::BODY_TOO_LARGE, detail));
    }
    let limit = usize::try_from(auth.body_bytes_max).unwrap_or(usize::MAX);
    Ok(request.map(|body| Body::new(Limited::new(body, limit))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_change_from_another_site_is_refused() {
        let check = |pairs: &[(&'static str, &str)]| {
            check_origin(&headers(pairs), &["https://studio.example.com".to_owned()]).is_ok()
        };
        assert!(check(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")]));
        assert!(check(&[("host", "edge:80"), ("origin", "https://Studio.example.com")]));
        assert!(check(&[("host", "a"), ("sec-fetch-site", "same-origin")]));
        assert!(check(&[("host", "a")]));
        assert!(!check(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:9999")]));
        assert!(!check(&[("host", "a"), ("origin", "https://evil.example")]));
        assert!(!check(&[("host", "a"), ("origin", "null")]));
        assert!(!check(&[("host", "a"), ("sec-fetch-site", "cross-site")]));
        assert!(!check(&[("host", "a"), ("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn a_key_wins_over_a_cookie_and_odd_headers_are_nobody() {
        let kind = |pairs: &[(&'static str, &str)]| match presented(&headers(pairs)) {
            Some(Presented::ApiKey(key)) => format!("key {key}"),
            Some(Presented::Session(token)) => format!("session {token}"),
            None => "nobody".to_owned(),
        };
        assert_eq!(kind(&[("cookie", "a=b; backlot_session=t; c=d")]), "session t");
        assert_eq!(kind(&[("cookie", "backlot_session=t"), ("authorization", "Bearer blk_k")]), "key blk_k");
        assert_eq!(kind(&[("authorization", "Bearer eyJhbGciOi")]), "nobody");
        assert_eq!(kind(&[("authorization", "Basic blk_k")]), "nobody");
        assert_eq!(kind(&[("cookie", "backlot_session=")]), "nobody");
        assert_eq!(kind(&[("cookie", "xbacklot_session=t")]), "nobody");
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        let request = |forwarded: &str| {
            let mut request = Request::new(Body::empty());
            request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 9], 1))));
            request
        };
        let check =
            |forwarded: &str, proxies| client_address(&request(forwarded), proxies).unwrap().to_string();
        assert_eq!(check("6.6.6.6", 0), "10.0.0.9");
        assert_eq!(check("6.6.6.6, 1.2.3.4", 1), "1.2.3.4");
        assert_eq!(check("6.6.6.6, 1.2.3.4, 10.0.0.8", 2), "1.2.3.4");
        assert_eq!(check("nonsense", 1), "10.0.0.9");
    }
}
