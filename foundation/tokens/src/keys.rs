//! Ed25519 keys of issuers: 32 random bytes in a file that only its owner reads.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rand::RngCore as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can be neither read nor made.
    #[error("cannot read or create key file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not hold 32 bytes in base64.
    #[error("key file {0} does not hold an Ed25519 key: expected 32 bytes in base64")]
    Malformed(PathBuf),
}

/// An issuer's secret key.
pub struct IssuerKey(SigningKey);

impl IssuerKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        let mut seed = [0_u8; 32];
        rand::rng().fill_bytes(&mut seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// Reads the key in `path`, or makes one there, readable by its owner only.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let file_error = |source| KeyError::File { path: path.to_owned(), source };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(text.trim()).ok_or_else(|| KeyError::Malformed(path.to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = Self::generate();
                key.write(path).map_err(file_error)?;
                Ok(key)
            }
            Err(error) => Err(file_error(error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let seed: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
        Some(Self(SigningKey::from_bytes(&seed)))
    }

    /// Writes beside the file and renames: a crash leaves no half key.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let draft = path.with_extension("new");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(STANDARD.encode(self.0.to_bytes()).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(draft, path)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn encoding(&self) -> EncodingKey {
        let document = self.0.to_pkcs8_der().map(|der| der.as_bytes().to_vec()).unwrap_or_default();
        EncodingKey::from_ed_der(&document)
    }
}

/// An issuer's public key; base64 in configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    pub(crate) fn decoding(self) -> DecodingKey {
        DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(self.0))
            .unwrap_or_else(|_| DecodingKey::from_ed_der(&self.0))
    }
}

impl std::str::FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes =
            STANDARD.decode(text.trim()).map_err(|error| format!("public key is not base64: {error}"))?;
        let bytes = bytes.try_into().map_err(|_| "public key does not have 32 bytes".to_owned())?;
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
