//! Configuration in layers: defaults → file → environment → flags.
//!
//! The file is TOML. An environment variable `BACKLOT_A__B` sets key `a.b`. A key that nobody knows is
//! an error that names it and where it came from, because a misspelt key that is ignored is worse.

use std::path::{Path, PathBuf};

use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
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
    /// A variable that looks like a key and is none.
    #[error(
        "the environment variable {found} sets nothing: write {meant}, with two underscores after each section"
    )]
    Variable {
        /// As it is set.
        found: String,
        /// As it was meant.
        meant: String,
    },
}

/// Reads the layers into `T`, whose `Default` is the lowest. `flags` are (`a.b`, value) pairs.
/// `reserved` are names after the prefix that mean something else, such as `DATA`.
pub fn load<T>(file: Option<&Path>, flags: &[(String, String)], reserved: &[&str]) -> Result<T, ConfigError>
where
    T: Default + Serialize + DeserializeOwned,
{
    let mut layers = Figment::from(Serialized::defaults(T::default()));
    if let Ok(known) = layers.extract::<Value>()
        && let Some(error) = names().find_map(|name| misspelt(&name, &known, reserved))
    {
        return Err(error);
    }
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError::NoFile(path.to_owned()));
        }
        layers = layers.merge(Toml::file_exact(path));
    }
    layers = layers
        .merge(Env::prefixed(PREFIX).ignore(reserved).filter(|key| key.as_str().contains("__")).split("__"));
    for (key, value) in flags {
        let value: Value = value.parse().unwrap_or_else(|never| match never {});
        layers = layers.merge(Flag(Serialized::default(key, value)));
    }
    layers.extract().map_err(|error| ConfigError::Invalid(describe(error)))
}

/// Names of all variables that begin as ours do.
fn names() -> impl Iterator<Item = String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with(PREFIX))
}

/// The commonest slip: one underscore where two stand between a section and its key. Other names are not ours.
fn misspelt(name: &str, known: &Value, reserved: &[&str]) -> Option<ConfigError> {
    let rest = name.strip_prefix(PREFIX)?;
    if rest.contains("__") || reserved.contains(&rest) {
        return None;
    }
    let path = path_of(&rest.to_lowercase(), known)?;
    let meant = format!("{PREFIX}{}", path.join("__").to_uppercase());
    Some(ConfigError::Variable { found: name.to_owned(), meant })
}

/// The key that `text` names when every `_` may stand between two sections.
fn path_of(text: &str, known: &Value) -> Option<Vec<String>> {
    known.as_dict()?.iter().find_map(|(key, below)| {
        let rest = text.strip_prefix(key.as_str())?;
        if rest.is_empty() {
            return Some(vec![key.clone()]);
        }
        let mut path = path_of(rest.strip_prefix('_')?, below)?;
        path.insert(0, key.clone());
        Some(path)
    })
}

/// A flag of the command line, which is told as one.
struct Flag(Serialized<Value>);

impl Provider for Flag {
    fn metadata(&self) -> Metadata {
        Metadata::named("a flag, such as --set")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.0.data()
    }
}

/// Every fault on its own line, with the key and the place it was set.
fn describe(error: figment::Error) -> String {
    let lines = error.into_iter().map(|fault| {
        let place = fault.metadata.as_ref().map(|layer| {
            let file = layer.source.as_ref().and_then(|source| source.file_path());
            let file = file.map(|path| path.display().to_string());
            format!(" (set in {})", file.as_deref().unwrap_or(&layer.name))
        });
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

    #[test]
    fn an_error_names_the_file_or_the_flag() {
        let file = file("[http]\nprot = 2");
        let error = load::<Test>(Some(file.path()), &[], &[]).unwrap_err().to_string();
        let name = file.path().file_name().unwrap().to_str().unwrap();
        assert!(error.contains(name), "{error}");
        let error =
            load::<Test>(None, &[("http.port".to_owned(), "x".to_owned())], &[]).unwrap_err().to_string();
        assert!(error.contains("http.port") && error.contains("--set"), "{error}");
    }

    #[test]
    fn a_variable_with_one_underscore_is_told_how_it_was_meant() {
        let known = Figment::from(Serialized::defaults(Test::default())).extract().unwrap();
        let meant = |name: &str| match misspelt(name, &known, &["PORT"]) {
            Some(ConfigError::Variable { found, meant }) => {
                assert_eq!(found, name);
                Some(meant)
            }
            _ => None,
        };
        assert_eq!(meant("BACKLOT_HTTP_PORT").as_deref(), Some("BACKLOT_HTTP__PORT"));
        for other in ["BACKLOT_PORT", "BACKLOT_HTTP__PORT", "BACKLOT_CACHE", "BACKLOT_HTTPS_PORT", "PATH"] {
            assert_eq!(meant(other), None, "{other}");
        }
    }
}
