//! `worker.toml`: what a folder of the workers offers. Its keys are described in workers/README.md.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

const FILE: &str = "worker.toml";
/// The schema that a Cog predictor carries.
const COG_SCHEMA: &str = ".cog/openapi_schema.json";
/// The schema of a command's input.
const COMMAND_SCHEMA: &str = "input_schema.json";
/// Jobs in one call.
const BATCH_MAX: u32 = 64;
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A model that a folder offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// "owner/name".
    pub model: String,
    /// Immutable: a change of behaviour is a new version.
    pub version: String,
    /// How it is started.
    pub program: Program,
    /// What loading takes, a first guess.
    pub load_ms: u64,
    /// What a typical job takes, a first guess.
    pub run_ms: u64,
    /// Of one attempt.
    pub timeout_ms: u64,
    /// Memory that it needs.
    pub memory_mib: u64,
    /// GPUs that it needs; 0: runs on a CPU.
    pub gpus: u32,
    /// Whether it stands still between two of its steps where it is told to, and what going on costs, milliseconds.
    pub pause_ms: Option<u64>,
    /// How many jobs it takes in one call; nothing where it takes one.
    pub batch: Option<BatchFacts>,
    /// Where it is.
    pub folder: PathBuf,
    /// JSON Schema of its input as the model sees it, where files are strings with `"format": "uri"`.
    pub input_schema: Option<Value>,
}

/// What a worker that takes several jobs in one call says of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFacts {
    /// Jobs in one call.
    pub max: u32,
    /// Parameters that must be equal in one call.
    pub key: Vec<String>,
    /// What each after the first adds, in thousandths of what one takes: a first guess; 0: not known.
    pub more_permille: u32,
    /// Memory that each after the first takes, MiB.
    pub memory_mib: u64,
}

/// How a model is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// "file.py:Class" of a Cog predictor.
    Cog {
        /// What Cog calls the predictor's reference.
        predictor: String,
    },
    /// Program and arguments.
    Command(Vec<String>),
}

/// A folder that offers no model.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The folder in which workers should be cannot be read: none of them is known.
    #[error("the folder of workers {} cannot be read", path.display())]
    Folder {
        /// Of the folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is missing, too large or unreadable.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Of the file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML, or has a wrong or an unknown key.
    #[error("{} is not a worker's description", path.display())]
    Toml {
        /// Of the file.
        path: PathBuf,
        /// Names line and key.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The schema is no JSON.
    #[error("{} is not a schema", path.display())]
    Schema {
        /// Of the file.
        path: PathBuf,
        /// Names the line.
        #[source]
        source: serde_json::Error,
    },
    /// A key's value breaks a rule.
    #[error("{}: {rule}", path.display())]
    Rule {
        /// Of the file.
        path: PathBuf,
        /// What it must be.
        rule: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: String,
    version: String,
    runtime: Kind,
    predictor: Option<String>,
    command: Option<Vec<String>>,
    #[serde(default)]
    load_ms: u64,
    #[serde(default = "default_run_ms")]
    run_ms: u64,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    #[serde(default)]
    memory_mib: u64,
    #[serde(default)]
    gpus: u32,
    #[serde(default)]
    pausable: bool,
    #[serde(default)]
    pause_ms: u64,
    #[serde(default)]
    batch: u32,
    #[serde(default)]
    batch_key: Vec<String>,
    #[serde(default)]
    batch_more_permille: u32,
    #[serde(default)]
    batch_memory_mib: u64,
}

impl File {
    fn batch(&self) -> Option<BatchFacts> {
        (self.batch > 1).then(|| BatchFacts {
            max: self.batch,
            key: self.batch_key.clone(),
            more_permille: self.batch_more_permille,
            memory_mib: self.batch_memory_mib,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Cog,
    Command,
}

fn default_run_ms() -> u64 {
    5_000
}

fn default_timeout_ms() -> u64 {
    600_000
}

impl Manifest {
    /// Reads the description in `folder`.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(FILE);
        let text = read_text(&path)?;
        let file: File = toml::from_str(&text)
            .map_err(|source| ManifestError::Toml { path: path.clone(), source: source.into() })?;
        let rule = |rule| ManifestError::Rule { path: path.clone(), rule };
        if !is_model_name(&file.model) {
            return Err(rule(
                "model is \"owner/name\" of lower-case letters, digits, \"-\", \"_\" and \".\"",
            ));
        }
        if file.version.is_empty() || file.version.len() > 64 {
            return Err(rule("version has 1 to 64 characters"));
        }
        if file.pausable && matches!(file.runtime, Kind::Cog) {
            return Err(rule("runtime \"cog\" cannot be paused"));
        }
        if file.batch > BATCH_MAX || (file.batch > 1 && matches!(file.runtime, Kind::Cog)) {
            return Err(rule("batch is at most 64, and of runtime \"command\""));
        }
        let batch = file.batch();
        let (program, input_schema) = match (file.runtime, file.predictor, file.command) {
            (Kind::Cog, Some(predictor), None) if predictor.contains(':') => {
                (Program::Cog { predictor }, cog_schema(folder)?)
            }
            (Kind::Cog, ..) => {
                return Err(rule("runtime \"cog\" takes predictor = \"file.py:Class\" and no command"));
            }
            (Kind::Command, None, Some(command)) if !command.is_empty() => {
                (Program::Command(command), read_schema(&folder.join(COMMAND_SCHEMA))?)
            }
            (Kind::Command, ..) => {
                return Err(rule("runtime \"command\" takes command = [\"program\", …] and no predictor"));
            }
        };
        Ok(Self {
            model: file.model,
            version: file.version,
            program,
            load_ms: file.load_ms,
            run_ms: file.run_ms,
            timeout_ms: file.timeout_ms,
            memory_mib: file.memory_mib,
            gpus: file.gpus,
            pause_ms: file.pausable.then_some(file.pause_ms),
            batch,
            folder: folder.to_owned(),
            input_schema,
        })
    }

    /// The schema as jobs see it: a file is an object `{"$file": URL, "name": …}`.
    #[must_use]
    pub fn job_schema(&self) -> Option<Value> {
        let mut schema = self.input_schema.clone()?;
        for property in file_properties(&mut schema) {
            *property = json!({
                "type": "object",
                "required": ["$file"],
                "additionalProperties": false,
                "properties": {
                    "$file": {"type": "string", "format": "uri"},
                    "name": {"type": "string"},
                },
            });
        }
        Some(schema)
    }
}

/// The properties of a schema that are files.
fn file_properties(schema: &mut Value) -> impl Iterator<Item = &mut Value> {
    schema
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|properties| properties.values_mut())
        .filter(|property| is_file(property))
}

/// Whether a property of a model's schema is a file.
pub(crate) fn is_file(property: &Value) -> bool {
    property.get("format").and_then(Value::as_str) == Some("uri")
}

/// All models under `folder`, in the order of their folders' names; a folder without a description is no
/// worker and is passed over, one with a wrong description is returned as an error beside the others.
#[must_use]
pub fn discover(folder: &Path) -> Vec<Result<Manifest, ManifestError>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) => return vec![Err(ManifestError::Folder { path: folder.to_owned(), source })],
    };
    let mut folders: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_worker(path)).collect();
    folders.sort();
    folders.iter().map(|folder| Manifest::read(folder)).collect()
}

/// A hidden folder is one that is still being written.
fn is_worker(folder: &Path) -> bool {
    let is_hidden = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !is_hidden && folder.join(FILE).is_file()
}

fn is_model_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.len() <= 64
            && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
    };
    name.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

fn cog_schema(folder: &Path) -> Result<Option<Value>, ManifestError> {
    let document = read_schema(&folder.join(COG_SCHEMA))?;
    Ok(document.and_then(|document| document.pointer("/components/schemas/Input").cloned()))
}

fn read_schema(path: &Path) -> Result<Option<Value>, ManifestError> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = read_text(path)?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|source| ManifestError::Schema { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> Result<String, ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other("larger than 1 MiB")));
    }
    std::fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, ManifestError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), text).expect("written");
        Manifest::read(folder.path())
    }

    #[test]
    fn the_shipped_workers_are_described() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workers");
        let models: Vec<Manifest> =
            discover(&folder).into_iter().map(|manifest| manifest.expect("a description")).collect();
        let names: Vec<&str> = models.iter().map(|manifest| manifest.model.as_str()).collect();
        let shipped = ["animate", "cutout", "film", "moderate", "narrate", "upscale"];
        assert_eq!(names, shipped.map(|name| format!("backlot/{name}")));
        // The others take no picture.
        let takes_one = |model: &str| !["backlot/film", "backlot/narrate"].contains(&model);
        for manifest in models.iter().filter(|manifest| takes_one(&manifest.model)) {
            let schema = manifest.job_schema().expect("a schema");
            assert_eq!(schema["properties"]["image"]["required"][0], "$file");
        }
    }

    #[test]
    fn a_wrong_description_says_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let error = read(text).expect_err("refused");
            let text = match &error {
                ManifestError::Toml { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            assert!(text.contains(expected), "{text}");
        };
        check("model = 'a/b'\nversion = '1'\nruntime = 'cog'\nmodle = 1", "unknown field `modle`");
        check("model = 'a/b'\nversion = '1'\nruntime = 'cog'", "file.py:Class");
        check("model = 'a/b'\nversion = '1'\nruntime = 'command'\ncommand = []", "command = [");
        check(
            "model = 'a/b'\nversion = '1'\nruntime = 'cog'\npredictor = 'a.py:A'\npausable = true",
            "cannot be paused",
        );
        check("model = '../b/c'\nversion = '1'\nruntime = 'command'\ncommand = ['x']", "owner/name");
    }

    #[test]
    fn a_folder_of_workers_that_is_not_there_is_no_worker_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap().path().join("workers");
        let found = discover(&folder);
        let [Err(error @ ManifestError::Folder { .. })] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(error.to_string(), format!("the folder of workers {} cannot be read", folder.display()));
    }
}
