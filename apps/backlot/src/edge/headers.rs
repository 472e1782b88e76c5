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
}

/// Puts the headers around a router.
pub(super) fn secured(router: Router, config: &Config, public_url: &str) -> Router {
    let pages = HeaderValue::try_from(page_policy(&config.media_origins));
    let policies = Policies {
        // Origins were checked when the edge was built, so the text is a header's.
        pages: pages.unwrap_or_else(|_| HeaderValue::from_static(API_POLICY)),
        https: public_url.starts_with("https://"),
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

async fn add(State(policies): State<Policies>, request: Request, next: Next) -> Response {
    let is_api = areas::area(request.uri().path()).is_some();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
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
