//! Signed URLs of the folder store, and the capabilities of the issuer.
//!
//! A signature covers the method, the key and every parameter that the route believes, under
//! HMAC-SHA256. Pure: the time is an argument.

use std::time::Duration;

use backlot_foundation_time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::keys::ObjectKey;

/// Bytes of a signing key.
pub(crate) const SECRET_BYTES: usize = 32;
/// What every capability of the issuer begins with, so that a leaked one is recognised.
const CAPABILITY_PREFIX: &str = "blo_";

/// What the holder of a signed URL may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Write the object, once.
    Put,
    /// Read it.
    Get,
}

/// The parameters of a signed URL; all of them are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    /// Unix seconds after which the URL is worth nothing.
    pub(crate) expires: i64,
    /// PUT: the exact size of the body in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// PUT: the body's SHA-256, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// GET: the verified media type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    /// GET: the file name to save as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Hex HMAC over all the above.
    #[serde(default)]
    pub(crate) signature: String,
}

/// Why a signed URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("the signature does not fit the address")]
    Tampered,
    #[error("the address has expired")]
    Expired,
}

/// The key that signs. Never printed.
#[derive(Clone)]
pub(crate) struct SigningKey([u8; SECRET_BYTES]);

impl SigningKey {
    /// Derives the key from a secret of any length.
    pub(crate) fn from_secret(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    fn mac(&self, parts: &[&str]) -> [u8; 32] {
        // A key of any length is taken, so that this cannot fail; an empty MAC would only ever refuse.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        for part in parts {
            // Each part with its length, so that no two lists of parts read the same.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn grant_mac(&self, verb: Verb, key: &ObjectKey, grant: &Grant) -> [u8; 32] {
        let method = match verb {
            Verb::Put => "PUT",
            Verb::Get => "GET",
        };
        let expires = grant.expires.to_string();
        let size = grant.size.map(|size| size.to_string()).unwrap_or_default();
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let (sha256, media_type, name) =
            (optional(&grant.sha256), optional(&grant.media_type), optional(&grant.name));
        self.mac(&["url", method, key.as_str(), &expires, &size, &sha256, &media_type, &name])
    }

    /// The query of a signed URL.
    pub(crate) fn sign(&self, verb: Verb, key: &ObjectKey, grant: Grant) -> Grant {
        let signature = hex::encode(self.grant_mac(verb, key, &grant));
        Grant { signature, ..grant }
    }

    /// Checks a signed URL; the signature first, so that nothing unsigned is believed.
    pub(crate) fn verify(
        &self,
        verb: Verb,
        key: &ObjectKey,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let given = hex::decode(&grant.signature).unwrap_or_default();
        let fits: bool = self.grant_mac(verb, key, grant).ct_eq(&given).into();
        if !fits {
            return Err(SignatureError::Tampered);
        }
        if now.seconds() >= grant.expires {
            return Err(SignatureError::Expired);
        }
        Ok(())
    }

    /// The capability for a job's outputs. Derived, not random, so that asking twice gives the same one
    /// while only its hash is stored.
    pub(crate) fn capability(&self, job: &str, organisation: &str) -> String {
        let mac = self.mac(&["capability", job, organisation]);
        format!("{CAPABILITY_PREFIX}{}", URL_SAFE_NO_PAD.encode(mac))
    }
}

/// What signs, and what was signed with is still good: while a secret is exchanged for another, both are.
#[derive(Clone)]
pub(crate) struct Keyring {
    current: SigningKey,
    accepted: Vec<SigningKey>,
}

impl Keyring {
    /// `current` signs; it and `accepted` verify.
    pub(crate) fn new(current: SigningKey, accepted: Vec<SigningKey>) -> Self {
        Self { current, accepted }
    }

    fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.accepted)
    }

    /// The query of a signed URL.
    pub(crate) fn sign(&self, verb: Verb, key: &ObjectKey, grant: Grant) -> Grant {
        self.current.sign(verb, key, grant)
    }

    /// Checks a signed URL; the signature first, so that nothing unsigned is believed.
    pub(crate) fn verify(
        &self,
        verb: Verb,
        key: &ObjectKey,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let mut answers = self.all().map(|signing| signing.verify(verb, key, grant, now));
        answers
            .find(|answer| *answer != Err(SignatureError::Tampered))
            .unwrap_or(Err(SignatureError::Tampered))
    }

    /// The capability for a new job's outputs.
    pub(crate) fn capability(&self, job: &str, organisation: &str) -> String {
        self.current.capability(job, organisation)
    }

    /// The capability that was given out before and of which this hash was kept; `None` where its secret is no
    /// longer listed.
    pub(crate) fn capability_given(&self, job: &str, organisation: &str, hash: &str) -> Option<String> {
        let mut capabilities = self.all().map(|signing| signing.capability(job, organisation));
        capabilities.find(|capability| capability_hash(capability) == hash)
    }
}

/// What is stored of a capability.
pub(crate) fn capability_hash(capability: &str) -> String {
    hex::encode(Sha256::digest(capability.as_bytes()))
}

/// The second at which something that lives for `ttl` from `now` ends.
pub(crate) fn expiry(now: Timestamp, ttl: Duration) -> i64 {
    now.plus(ttl).seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn signed(verb: Verb) -> (SigningKey, ObjectKey, Grant) {
        let key = SigningKey::from_secret(b"secret");
        let object = ObjectKey::parse("uploads/o/a").unwrap();
        let grant = Grant {
            expires: expiry(NOW, Duration::from_secs(60)),
            size: Some(5),
            sha256: None,
            media_type: None,
            name: None,
            signature: String::new(),
        };
        let grant = key.sign(verb, &object, grant);
        (key, object, grant)
    }

    #[test]
    fn a_signature_covers_everything_that_is_believed() {
        let (key, object, good) = signed(Verb::Put);
        let check = |verb, object: &ObjectKey, grant: &Grant| key.verify(verb, object, grant, NOW);
        assert_eq!(check(Verb::Put, &object, &good), Ok(()));
        assert_eq!(check(Verb::Get, &object, &good), Err(SignatureError::Tampered));
        let other = ObjectKey::parse("uploads/o/b").unwrap();
        assert_eq!(check(Verb::Put, &other, &good), Err(SignatureError::Tampered));
        for changed in [
            Grant { expires: good.expires + 1, ..good.clone() },
            Grant { size: Some(6), ..good.clone() },
            Grant { size: None, ..good.clone() },
            Grant { sha256: Some(String::new() + "00"), ..good.clone() },
            Grant { media_type: Some("text/html".into()), ..good.clone() },
            Grant { name: Some("x".into()), ..good.clone() },
            Grant { signature: String::new(), ..good.clone() },
            Grant { signature: "zz".into(), ..good.clone() },
            Grant { signature: good.signature[2..].into(), ..good.clone() },
        ] {
            assert_eq!(check(Verb::Put, &object, &changed), Err(SignatureError::Tampered), "{changed:?}");
        }
        let stranger = SigningKey::from_secret(b"other");
        assert_eq!(stranger.verify(Verb::Put, &object, &good, NOW), Err(SignatureError::Tampered));
    }

    #[test]
    fn a_signature_ends() {
        let (key, object, good) = signed(Verb::Get);
        let at = |seconds| key.verify(Verb::Get, &object, &good, NOW.plus(Duration::from_secs(seconds)));
        assert_eq!(at(59), Ok(()));
        assert_eq!(at(60), Err(SignatureError::Expired));
    }

    #[test]
    fn while_secrets_are_exchanged_both_are_good_and_then_only_the_new_one() {
        let signing = |secret: &str| SigningKey::from_secret(secret.as_bytes());
        let before = Keyring::new(signing("old"), vec![signing("new")]);
        let between = Keyring::new(signing("new"), vec![signing("old")]);
        let after = Keyring::new(signing("new"), Vec::new());
        let (_, object, grant) = signed(Verb::Put);
        let old = before.sign(Verb::Put, &object, grant.clone());
        let new = between.sign(Verb::Put, &object, grant);
        assert_ne!(old, new);
        let check = |ring: &Keyring, grant: &Grant| ring.verify(Verb::Put, &object, grant, NOW);
        for (ring, grant, good) in [
            (&before, &old, true),
            (&before, &new, true),
            (&between, &old, true),
            (&between, &new, true),
            (&after, &new, true),
            (&after, &old, false),
        ] {
            let expected = if good { Ok(()) } else { Err(SignatureError::Tampered) };
            assert_eq!(check(ring, grant), expected);
        }
        let late = NOW.plus(Duration::from_secs(60));
        assert_eq!(between.verify(Verb::Put, &object, &old, late), Err(SignatureError::Expired));

        let given = before.capability("j", "o");
        let hash = capability_hash(&given);
        assert_ne!(given, between.capability("j", "o"));
        assert_eq!(between.capability_given("j", "o", &hash), Some(given));
        assert_eq!(after.capability_given("j", "o", &hash), None);
    }

    #[test]
    fn capabilities_repeat_for_the_same_job_and_differ_for_others() {
        let key = SigningKey::from_secret(b"secret");
        assert_eq!(key.capability("j1", "o"), key.capability("j1", "o"));
        assert_ne!(key.capability("j1", "o"), key.capability("j2", "o"));
        assert_ne!(key.capability("j1", "o"), key.capability("j1o", ""));
    }
}
