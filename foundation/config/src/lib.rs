//! Configuration in layers: defaults → file → environment → flags.
//!
//! The file is TOML. An environment variable `BACKLOT_A__B` sets key `a.b`. A key that nobody knows is
//! an error that names it and where it came from, because a misspelt key that is ignored is worse.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Begins every environment variable that sets a key.
const PREFIX: &str = "BACKLOT_";

/// Configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file was named and is not there.
    #[error("configuration file {0} does not exist")]
    NoFile(PathBuf),
    /// A key is unknown or a value has the wrong form. The text names the key and the layer.
    #[error("configuration: {0}")]
    Invalid(String),
}

/// Reads the layers into `T`, whose `Default` is the lowest. `flags` are (`a.b`, value) pairs.
/// `reserved` are names after the prefix that mean something else, such as `DATA`.
pub fn load<T>(file: Option<&Path>, flags: &[(String, String)], reserved: &[&str]) -> Result<T, ConfigError>
where
    T: Default + Serialize + DeserializeOwned,
{
    let mut layers = Figment::from(Serialized::defaults(T::default()));
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError::NoFile(path.to_owned()));
        }
        layers = layers.merge(Toml::file_exact(path));
    }
    layers = layers
        .merge(Env::prefixed(PREFIX).ignore(reserved).filter(|key| key.as_str().contains("__")).split("__"));
    for (key, value) in flags {
        let value: figment::value::Value = value.parse().unwrap_or_else(|never| match never {});
        layers = layers.merge(Serialized::default(key, value));
    }
    layers.extract().map_err(|error| ConfigError::Invalid(describe(error)))
}

/// Every fault on its own line, with the key and the place it was set.
fn describe(error: figment::Error) -> String {
    let lines = error.into_iter().map(|fault| {
        let place = fault.metadata.as_ref().map(|layer| format!(" (set in {})", layer.name));
        let key = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path.join(".")) };
        format!("{key}{}{}", fault.kind, place.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Test {
        http: Http,
    }

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Http {
        port: u16,
        host: String,
    }

    impl Default for Http {
        fn default() -> Self {
            Self { port: 1, host: "a".into() }
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_flag_wins_over_a_file_and_a_file_over_the_default() {
        let file = file("[http]\nport = 2\nhost = \"b\"");
        let flags = [("http.port".to_owned(), "3".to_owned())];
        let config: Test = load(Some(file.path()), &flags, &[]).unwrap();
        assert_eq!(config.http, Http { port: 3, host: "b".into() });
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let file = file("[http]\nprot = 2");
        let error = load::<Test>(Some(file.path()), &[], &[]).unwrap_err();
        assert!(error.to_string().contains("prot"), "{error}");
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = load::<Test>(Some(Path::new("/nowhere/b.toml")), &[], &[]).unwrap_err();
        assert!(error.to_string().contains("/nowhere/b.toml"));
    }
}
