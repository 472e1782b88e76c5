//! The web app, embedded, and the pages of the error codes.

use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use backlot_foundation_errors::{Problem, codes};
use rust_embed::{Embed, EmbeddedFile};

use super::{areas, markdown};

/// The built web app. `build.rs` puts a page there that says how to build it, where it is missing.
#[derive(Embed)]
#[folder = "../../web/dist"]
struct WebApp;

/// The pages of the error codes.
#[derive(Embed)]
#[folder = "../../docs/errors"]
struct ErrorPages;

/// Files whose names change with their content.
const HASHED_FOLDER: &str = "assets/";
/// The page that every address of the app begins with.
const INDEX: &str = "index.html";

/// Everything that is no route: a file of the web app, the app itself, or nothing.
pub(super) async fn fallback(request: Request) -> Response {
    let path = request.uri().path();
    if areas::area(path).is_some() || path.starts_with("/v1") {
        let detail = "No part of the studio has this address. /openapi.json lists all that there are.";
        return Problem::new(&codes::NOT_FOUND, detail).into_response();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Problem::new(&codes::METHOD_NOT_ALLOWED, "Pages can only be read.").into_response();
    }
    let name = path.trim_start_matches('/');
    if let Some(file) = WebApp::get(name).filter(|_| !name.is_empty()) {
        return file_response(name, &file, request.headers());
    }
    // A missing picture or script is missing; every other address is a page of the app.
    let last = name.rsplit('/').next().unwrap_or_default();
    match WebApp::get(INDEX).filter(|_| !last.contains('.')) {
        Some(file) => file_response(INDEX, &file, request.headers()),
        None => Problem::new(&codes::NOT_FOUND, "There is no such file.").into_response(),
    }
}

fn file_response(name: &str, file: &EmbeddedFile, request: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let cache = if name.starts_with(HASHED_FOLDER) {
        "public, max-age=31536000, immutable"
    } else {
        // Asked for again each time, answered with "not modified": a deployment shows at once.
        "no-cache"
    };
    let mut response = if known.is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = file.data.clone().into_owned().into_response();
        let kind = HeaderValue::try_from(file.metadata.mimetype());
        let kind = kind.unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// The page of one error code.
pub(super) async fn error_page(Path(code): Path<String>) -> Response {
    let name = code.trim_end_matches(".md");
    let well_formed =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let page = ErrorPages::get(&format!("{name}.md")).filter(|_| well_formed);
    let Some(page) = page else {
        let body = document(
            "Unknown code",
            "<h1>There is no such code</h1>\n<p>It may be of another version.</p>\n",
        );
        return (StatusCode::NOT_FOUND, Html(body)).into_response();
    };
    let text = String::from_utf8_lossy(&page.data);
    Html(document(name, &markdown::to_html(&text))).into_response()
}

fn document(title: &str, body: &str) -> String {
    let title = markdown::escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} · Backlot</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <footer><a href=\"/\">Backlot</a></footer>\n</body>\n</html>\n"
    )
}

/// Quiet, readable, dark and light, without a file of its own.
const STYLE: &str = ":root{color-scheme:dark light}\
body{margin:0;font:16px/1.6 ui-sans-serif,system-ui,sans-serif;background:light-dark(#faf8f5,#151413);color:light-dark(#22201d,#e8e4de)}\
main,footer{max-width:40rem;margin:0 auto;padding:3rem 1.5rem 1rem}\
h1{font:600 1.5rem/1.3 ui-monospace,monospace;margin:0 0 1rem}h2{font-size:1rem;margin:2rem 0 .25rem}\
p,ul{margin:.5rem 0}code{font:.9em ui-monospace,monospace;background:light-dark(#eeeae4,#24221f);padding:.1em .3em;border-radius:6px}\
pre{background:light-dark(#eeeae4,#24221f);padding:1rem;border-radius:10px;overflow:auto}pre code{padding:0}\
a{color:light-dark(#a85a00,#f0a040)}footer{padding-top:2rem;font-size:.875rem}";
