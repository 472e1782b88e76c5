//! The folder store's own routes: `PUT` and `GET /v1/objects/{key}` with a signature in the query.
//!
//! The signature is the only credential, so nothing here looks at who calls. What is served is never
//! executed: the type is the verified one, sniffing is off, and a sandbox policy covers the rest.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::codes::storage as codes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use object_store::GetRange;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tower_http::cors::{Any, CorsLayer};

use crate::error::{Error, Rejection};
use crate::keys::{Area, ObjectKey};
use crate::service::Service;
use crate::signing::{Grant, SignatureError, Verb};

/// Longest silence in the middle of a body.
const BODY_IDLE_MAX: Duration = Duration::from_secs(60);
/// Seconds for which a browser may keep what it fetched. Objects never change.
const CACHE_CONTROL: &str = "private, max-age=3600, immutable";

/// Routes that are outside of the OpenAPI document: their addresses are opaque and made by this server.
pub(crate) fn routes(service: Service) -> Router {
    // Any origin, without credentials: the signature is what allows, as it does on S3.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([http::Method::GET, http::Method::PUT])
        .allow_headers([header::CONTENT_TYPE, header::RANGE])
        .expose_headers([header::CONTENT_LENGTH, header::CONTENT_RANGE, header::ETAG]);
    Router::new().route("/v1/objects/{*key}", get(get_object).put(put_object)).layer(cors).with_state(service)
}

type SignedQuery = Result<Query<Grant>, QueryRejection>;

async fn put_object(
    State(service): State<Service>,
    Path(key): Path<String>,
    grant: SignedQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (key, grant) = service.verified(Verb::Put, &key, grant)?;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    service.write_object(&key, &grant, length, body).await?;
    Ok(StatusCode::OK)
}

async fn get_object(
    State(service): State<Service>,
    Path(key): Path<String>,
    grant: SignedQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (key, grant) = service.verified(Verb::Get, &key, grant)?;
    Ok(service.read_object(&key, &grant, &headers).await?)
}

impl Service {
    /// Nothing of the request is believed before its signature fits.
    fn verified(&self, verb: Verb, key: &str, grant: SignedQuery) -> Result<(ObjectKey, Grant), Error> {
        if !self.inner.objects.serves_itself() {
            return Err(Error::NotFound("object"));
        }
        let key = ObjectKey::parse(key).ok_or(Error::SignatureInvalid)?;
        let Query(grant) = grant.map_err(|_| Error::SignatureInvalid)?;
        self.inner.key.verify(verb, &key, &grant, self.inner.clock.now()).map_err(|error| match error {
            SignatureError::Tampered => Error::SignatureInvalid,
            SignatureError::Expired => Error::SignatureExpired,
        })?;
        Ok((key, grant))
    }

    async fn write_object(
        &self,
        key: &ObjectKey,
        grant: &Grant,
        length: Option<u64>,
        body: Body,
    ) -> Result<(), Error> {
        let expected = grant.size.ok_or(Error::SignatureInvalid)?;
        self.check_wanted(key).await?;
        if let Some(length) = length
            && length != expected
        {
            return Err(size_mismatch(expected, length));
        }
        self.inner
            .objects
            .write_once(key, async |file| receive(body, file, expected, grant.sha256.as_deref()).await)
            .await?;
        // Canceled while the bytes were on their way: nothing is kept.
        if let Err(closed) = self.check_wanted(key).await {
            self.inner.objects.delete(key).await?;
            return Err(closed);
        }
        Ok(())
    }

    async fn check_wanted(&self, key: &ObjectKey) -> Result<(), Error> {
        if self.is_wanted(key).await? {
            return Ok(());
        }
        Err(match key.area() {
            Area::Uploads => Error::UploadClosed,
            Area::Outputs => Error::OutputsEnded,
            Area::Assets | Area::Previews => Error::SignatureInvalid,
        })
    }

    async fn read_object(
        &self,
        key: &ObjectKey,
        grant: &Grant,
        headers: &HeaderMap,
    ) -> Result<Response, Error> {
        let media_type = grant.media_type.as_deref().ok_or(Error::SignatureInvalid)?;
        let size = self.inner.objects.size(key).await?.ok_or(Error::NotFound("object"))?;
        let etag = format!("\"{}-{size}\"", key.last());
        if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes()) {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
        let range = headers.get(header::RANGE).and_then(|value| parse_range(value.to_str().ok()?, size));
        let range = match range {
            Some(Ok(range)) => Some(range),
            Some(Err(Unsatisfiable)) => return Err(Error::RangeInvalid { size_bytes: size }),
            None => None,
        };
        let asked = range.clone().map(GetRange::Bounded);
        let part = self.inner.objects.read(key, asked).await?.ok_or(Error::NotFound("object"))?;
        let length = part.range.end - part.range.start;
        let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut response = (status, Body::from_stream(part.body)).into_response();
        let answer = response.headers_mut();
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.insert(name, value);
            }
        };
        set(header::CONTENT_TYPE, media_type);
        set(header::CONTENT_LENGTH, &length.to_string());
        set(header::ETAG, &etag);
        set(header::ACCEPT_RANGES, "bytes");
        set(header::CACHE_CONTROL, CACHE_CONTROL);
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
        set(header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
        set(header::CONTENT_DISPOSITION, &disposition(grant.name.as_deref().unwrap_or("download")));
        if range.is_some() {
            let last = part.range.end.saturating_sub(1);
            set(header::CONTENT_RANGE, &format!("bytes {}-{last}/{}", part.range.start, part.size_bytes));
        }
        Ok(response)
    }
}

/// Takes exactly `expected` bytes, and only those with this hash where it is known.
async fn receive(
    body: Body,
    file: &mut tokio::fs::File,
    expected: u64,
    sha256: Option<&str>,
) -> Result<(), Error> {
    let mut stream = body.into_data_stream();
    let mut hasher = Sha256::new();
    let mut received: u64 = 0;
    loop {
        let next = tokio::time::timeout(BODY_IDLE_MAX, stream.next()).await;
        let chunk = match next {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(Error::BodyBroken(error.to_string())),
            Err(_) => return Err(Error::BodyBroken("nothing came for a minute".to_owned())),
        };
        received += chunk.len() as u64;
        if received > expected {
            return Err(size_mismatch(expected, received));
        }
        if sha256.is_some() {
            hasher.update(&chunk);
        }
        file.write_all(&chunk).await?;
    }
    if received != expected {
        return Err(size_mismatch(expected, received));
    }
    match sha256 {
        Some(declared) => {
            let found = hex::encode(hasher.finalize());
            if found == declared { Ok(()) } else { Err(hash_mismatch(declared, &found)) }
        }
        None => Ok(()),
    }
}

fn size_mismatch(expected: u64, received: u64) -> Error {
    Error::Rejected(Rejection::new(
        &codes::ASSET_SIZE_MISMATCH,
        format!("{expected} bytes were declared and {received} or more were sent. Nothing was kept."),
    ))
}

fn hash_mismatch(declared: &str, found: &str) -> Error {
    Error::Rejected(Rejection::new(
        &codes::ASSET_HASH_MISMATCH,
        format!("The SHA-256 {declared} was declared and {found} was sent. Nothing was kept."),
    ))
}

#[derive(Debug, PartialEq, Eq)]
struct Unsatisfiable;

/// One range of bytes; `None` where the header is to be ignored (several ranges, another unit, nonsense).
fn parse_range(header: &str, size: u64) -> Option<Result<std::ops::Range<u64>, Unsatisfiable>> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.trim(), last.trim()) {
        ("", "") => return None,
        ("", suffix) => {
            let suffix: u64 = suffix.parse().ok()?;
            size.saturating_sub(suffix)..size
        }
        (first, "") => first.parse().ok()?..size,
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if range.start < range.end { Ok(range) } else { Err(Unsatisfiable) })
}

/// Shown where it is, with the name for those who save it: plain for old readers, encoded for the rest.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    let encoded: String = name
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_') {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    format!("inline; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_browsers_write_them() {
        let check = |header| parse_range(header, 10);
        assert_eq!(check("bytes=0-"), Some(Ok(0..10)));
        assert_eq!(check("bytes=2-4"), Some(Ok(2..5)));
        assert_eq!(check("bytes=2-400"), Some(Ok(2..10)));
        assert_eq!(check("bytes=-3"), Some(Ok(7..10)));
        assert_eq!(check("bytes=-300"), Some(Ok(0..10)));
        assert_eq!(check("bytes=10-"), Some(Err(Unsatisfiable)));
        assert_eq!(check("bytes=-0"), Some(Err(Unsatisfiable)));
        for ignored in ["bytes=4-2", "bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=-", "bytes=a-b", ""] {
            assert_eq!(check(ignored), None, "{ignored}");
        }
        let largest = format!("bytes=0-{}", u64::MAX);
        assert_eq!(parse_range(&largest, 10), Some(Ok(0..10)));
    }

    #[test]
    fn a_name_cannot_break_the_header() {
        assert_eq!(
            disposition("a\"b\r\n; ö.png"),
            "inline; filename=\"a_b__; _.png\"; filename*=UTF-8''a%22b%0D%0A%3B%20%C3%B6.png"
        );
    }

    proptest::proptest! {
        #[test]
        fn a_range_lies_within_the_object(header in "bytes=[0-9]{0,21}-[0-9]{0,21}|.*", size: u64) {
            if let Some(Ok(range)) = parse_range(&header, size) {
                assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn any_name_makes_a_header(name: String) {
            assert!(HeaderValue::from_str(&disposition(&name)).is_ok());
        }
    }
}
