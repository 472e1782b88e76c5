//! Random secrets and how they are stored: only as SHA-256, because 256 random bits need no slow hash.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};

/// Bytes of randomness in every session token, invitation token and API key.
const SECRET_BYTES: usize = 32;
/// What every API key starts with, so that scanners find leaked ones.
pub const API_KEY_MARK: &str = "blk_";
/// Characters of the public part of an API key, between the mark and the secret.
const KEY_PREFIX_CHARS: usize = 8;
/// Longest credential that is looked at; anything longer is refused unread.
pub(crate) const CREDENTIAL_CHARS_MAX: usize = 256;

/// The system's random source failed. Nothing may go on without it.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomError(#[source] rand::rand_core::OsError);

/// A secret that is shown once, and what is kept of it.
pub(crate) struct Secret {
    /// What the owner receives.
    pub text: String,
    /// SHA-256 of `text`, hexadecimal.
    pub sha256: String,
}

/// Makes a session or invitation token of 256 random bits.
///
/// # Errors
/// Where the operating system gives no randomness.
pub(crate) fn generate_token() -> Result<Secret, RandomError> {
    let text = URL_SAFE_NO_PAD.encode(random_bytes::<SECRET_BYTES>()?);
    Ok(Secret { sha256: sha256_hex(&text), text })
}

/// A new API key: `blk_<prefix>_<secret>`.
pub(crate) struct ApiKeySecret {
    /// The public part, by which people recognise the key in a list.
    pub prefix: String,
    /// The whole key and its hash.
    pub secret: Secret,
}

/// Makes an API key.
///
/// # Errors
/// Where the operating system gives no randomness.
pub(crate) fn generate_api_key() -> Result<ApiKeySecret, RandomError> {
    let prefix = hex::encode(random_bytes::<{ KEY_PREFIX_CHARS / 2 }>()?);
    let text = format!("{API_KEY_MARK}{prefix}_{}", hex::encode(random_bytes::<SECRET_BYTES>()?));
    Ok(ApiKeySecret { prefix, secret: Secret { sha256: sha256_hex(&text), text } })
}

/// SHA-256 of a credential, hexadecimal: the form in which it is stored and looked up. A look-up by
/// hash tells a timing observer nothing about the secret.
pub(crate) fn sha256_hex(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn random_bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0_u8; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(RandomError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_has_mark_prefix_and_secret() {
        let key = generate_api_key().unwrap();
        let parts: Vec<&str> = key.secret.text.split('_').collect();
        assert_eq!(parts[0], "blk");
        assert_eq!(parts[1], key.prefix);
        assert_eq!(parts[2].len(), SECRET_BYTES * 2);
        assert_eq!(key.secret.sha256, sha256_hex(&key.secret.text));
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(generate_token().unwrap().text, generate_token().unwrap().text);
    }
}
