//! The secrets that sign and verify: from the configuration, or one that is made once and kept beside the media where
//! one process owns them.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

use sea_orm::DatabaseBackend;

use crate::config::Config;
use crate::error::Error;
use crate::signing::{Keyring, SECRET_BYTES, SigningKey};

/// Most secrets that are accepted beside the one that signs: each is tried for each request.
const ACCEPTED_MAX: usize = 8;

/// The secret that signs, and those that are accepted beside it.
pub(crate) fn keyring(config: &Config, database: DatabaseBackend) -> Result<Keyring, Error> {
    let accepted = &config.signing_secrets_accepted;
    if accepted.len() > ACCEPTED_MAX {
        return Err(Error::SigningSecretsInvalid(format!("at most {ACCEPTED_MAX} are possible")));
    }
    // Anybody can sign with an empty secret.
    if let Some(n) = accepted.iter().position(|secret| secret.trim().is_empty()) {
        return Err(Error::SigningSecretsInvalid(format!("number {} is empty", n + 1)));
    }
    let accepted = accepted.iter().map(|secret| SigningKey::from_secret(secret.as_bytes())).collect();
    Ok(Keyring::new(signing_key(config, database)?, accepted))
}

/// The secret from the configuration, or one that is made once and kept beside the media. On PostgreSQL there may be
/// several replicas, each with a folder of its own: what one signs the others would refuse, so there it has to be
/// configured.
fn signing_key(config: &Config, database: DatabaseBackend) -> Result<SigningKey, Error> {
    if !config.signing_secret.is_empty() {
        return Ok(SigningKey::from_secret(config.signing_secret.as_bytes()));
    }
    let path = config.folder.join("signing.key");
    if database != DatabaseBackend::Sqlite {
        return Err(Error::SigningSecretMissing { kept_before: path });
    }
    if !path.exists() {
        let mut secret = [0_u8; SECRET_BYTES];
        rand::Rng::fill(&mut rand::rng(), &mut secret[..]);
        let mut file = tempfile::Builder::new().make_in(&config.folder, |path| {
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
        })?;
        file.write_all(hex::encode(secret).as_bytes())?;
        file.as_file().sync_all()?;
        // Whoever is first wins; the other reads it.
        match file.persist_noclobber(&path) {
            Ok(_) => (),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => (),
            Err(error) => return Err(error.error.into()),
        }
    }
    let secret = std::fs::read(&path)?;
    Ok(SigningKey::from_secret(secret.trim_ascii()))
}
