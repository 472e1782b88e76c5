//! The secret that signs: from the configuration, or made once and kept beside the media where one process owns them.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

use sea_orm::DatabaseBackend;

use crate::config::Config;
use crate::error::Error;
use crate::signing::{SECRET_BYTES, SigningKey};

/// The secret from the configuration, or one that is made once and kept beside the media. On PostgreSQL there may be
/// several replicas, each with a folder of its own: what one signs the others would refuse, so there it has to be
/// configured.
pub(crate) fn signing_key(config: &Config, database: DatabaseBackend) -> Result<SigningKey, Error> {
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
