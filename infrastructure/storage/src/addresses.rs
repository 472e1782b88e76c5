//! Addresses that are good for one thing and for a while, whichever store answers them.

use std::time::Duration;

use backlot_foundation_time::Timestamp;

use crate::error::Error;
use crate::http::object_address;
use crate::keys::ObjectKey;
use crate::service::Service;
use crate::signing::{Grant, Verb, expiry};

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadTarget {
    /// Absolute address for one PUT.
    pub url: String,
    /// Headers to send with it.
    pub headers: Vec<(String, String)>,
    /// When the address ends.
    pub expires_at: Timestamp,
}

/// An address that needs no further credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUrl {
    /// Absolute.
    pub url: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Service {
    /// Where to PUT an object of exactly this size, and hash where it is known.
    pub(crate) async fn put_target(
        &self,
        key: &ObjectKey,
        size: u64,
        sha256: Option<&str>,
        content_type: &str,
        ttl: Duration,
    ) -> Result<UploadTarget, Error> {
        let expires_at = self.inner.clock.now().plus(ttl);
        let grant = Grant { size: Some(size), sha256: sha256.map(str::to_owned), ..self.grant(ttl) };
        let url = self.address(Verb::Put, key, grant, ttl).await?;
        let content_type = if content_type.is_empty() { "application/octet-stream" } else { content_type };
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Ok(UploadTarget { url, headers, expires_at })
    }

    /// Where to GET one, with the type and the name that it is served under.
    pub(crate) async fn get_target(
        &self,
        key: &ObjectKey,
        media_type: &str,
        name: &str,
        ttl: Duration,
    ) -> Result<SignedUrl, Error> {
        let expires_at = self.inner.clock.now().plus(ttl);
        let grant =
            Grant { media_type: Some(media_type.to_owned()), name: Some(name.to_owned()), ..self.grant(ttl) };
        Ok(SignedUrl { url: self.address(Verb::Get, key, grant, ttl).await?, expires_at })
    }

    fn grant(&self, ttl: Duration) -> Grant {
        Grant {
            expires: expiry(self.inner.clock.now(), ttl),
            size: None,
            sha256: None,
            media_type: None,
            name: None,
            signature: String::new(),
        }
    }

    async fn address(
        &self,
        verb: Verb,
        key: &ObjectKey,
        grant: Grant,
        ttl: Duration,
    ) -> Result<String, Error> {
        let put_size = grant.size.filter(|_| verb == Verb::Put);
        if let Some(url) = self.inner.objects.signed_url(put_size, key, ttl).await? {
            return Ok(url);
        }
        let signed = self.inner.key.sign(verb, key, grant);
        Ok(object_address(&self.base_url(), key, &signed))
    }

    pub(crate) fn base_url(&self) -> String {
        self.inner.base_url.read().clone()
    }
}
