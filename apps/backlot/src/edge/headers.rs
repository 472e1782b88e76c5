//! Security headers of every answer.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use super::{Config, areas};

/// What an answer of the API may do where a browser opens it as a page: nothing.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// The policies, built once.
#[derive(Clone)]
struct Policies {
    pages: HeaderValue,
    https: bool,
    public_url: String,
}

/// Puts the headers around a router.
pub(super) fn secured(router: Router, config: &Config, public_url: &str) -> Router {
    let pages = HeaderValue::try_from(page_policy(&config.media_origins));
    let policies = Policies {
        // Origins were checked when the edge was built, so the text is a header's.
        pages: pages.unwrap_or_else(|_| HeaderValue::from_static(API_POLICY)),
        https: public_url.starts_with("https://"),
        public_url: public_url.trim_end_matches('/').to_owned(),
    };
    router.layer(from_fn_with_state(policies, add))
}

/// What the web app may load: its own code, and media from the store.
fn page_policy(media_origins: &[String]) -> String {
    let media: String =
        media_origins.iter().map(|origin| format!(" {}", origin.trim_end_matches('/'))).collect();
    format!(
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; \
         img-src 'self' data: blob:{media}; media-src 'self' blob:{media}; connect-src 'self'{media}; \
         object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// Where the studio is open under another name than its public one (a tunnel, `localhost`), what it sends on to itself
/// stays under that name: the pages' policy lets nothing else in.
fn through_this_name(
    location: &HeaderValue,
    host: Option<HeaderValue>,
    public_url: &str,
) -> Option<HeaderValue> {
    let (_, public_host) = public_url.split_once("://")?;
    if host.is_none_or(|host| host.as_bytes() == public_host.as_bytes()) {
        return None;
    }
    let path = location.to_str().ok()?.strip_prefix(public_url).filter(|path| path.starts_with('/'))?;
    HeaderValue::from_str(path).ok()
}

async fn add(State(policies): State<Policies>, request: Request, next: Next) -> Response {
    let is_api = areas::area(request.uri().path()).is_some();
    let host = request.headers().get(header::HOST).cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Some(there) =
        headers.get(header::LOCATION).and_then(|at| through_this_name(at, host, &policies.public_url))
    {
        headers.insert(header::LOCATION, there);
    }
    let policy = if is_api { HeaderValue::from_static(API_POLICY) } else { policies.pages };
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=()",
        ),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_api {
        // Answers are one person's; shared caches keep nothing unless a system says otherwise.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if policies.https {
        let value = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "https://studio.example";

    fn sent_on(location: &'static str, host: &'static str) -> Option<HeaderValue> {
        through_this_name(&HeaderValue::from_static(location), Some(HeaderValue::from_static(host)), PUBLIC)
    }

    #[test]
    fn under_another_name_media_stay_under_it() {
        let own = sent_on("https://studio.example/v1/objects/a?signature=b", "localhost:8080");
        assert_eq!(own.unwrap(), "/v1/objects/a?signature=b");
    }

    #[test]
    fn under_the_public_name_and_to_another_store_nothing_changes() {
        assert_eq!(sent_on("https://studio.example/v1/objects/a", "studio.example"), None);
        assert_eq!(sent_on("https://store.example/a", "localhost:8080"), None);
        assert_eq!(sent_on("https://studio.example.evil/a", "localhost:8080"), None);
    }
}
