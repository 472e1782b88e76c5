//! A tool's manifest: everything about one version of a tool, as data.
//!
//! Manifests are immutable once published: a change is a new version in a new file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::input::{InputError, InputSchema};
use crate::price::{Formula, PriceError};
use crate::who_pays::Overrides;

/// Longest time to live in the queue: one day.
const TTL_S_MAX: u32 = 86_400;
/// Most outputs of one run.
const OUTPUTS_MAX: u32 = 64;
/// Largest output: 16 GiB.
const OUTPUT_BYTES_MAX: i64 = 16 << 30;
const NAME_CHARS_MAX: usize = 64;

/// One version of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Lower case letters, digits and hyphens; unique in the catalogue.
    pub name: String,
    /// `major.minor.patch`.
    pub version: String,
    /// What people read.
    pub label: String,
    /// One or two sentences.
    pub description: String,
    /// Where the catalogue shows it.
    pub category: String,
    /// Who finds and may run it.
    #[serde(default)]
    pub visibility: Visibility,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Source::ships")]
    pub source: Source,
    /// The model version that does the work.
    pub model: ModelRef,
    /// JSON Schema of the input (draft 2020-12), with `format: asset`, `x-asset` and `x-ui`.
    pub input: Value,
    /// What comes out.
    pub output: OutputSpec,
    /// Micro-credits.
    pub price: Formula,
    /// Milliseconds of compute.
    pub predicted_ms: Formula,
    /// What the work costs us.
    #[serde(default)]
    pub cost: Cost,
    /// Rows of the who-pays table that differ for this tool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub who_pays: Overrides,
    /// How long a run may wait to start, in seconds.
    pub ttl_s: u32,
    /// What is looked at before anything is delivered.
    #[serde(default, skip_serializing_if = "Moderation::is_usual")]
    pub moderation: Moderation,
    /// For the catalogue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// Who finds and may run a tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everyone.
    #[default]
    Everyone,
    /// Not listed: for the operator's measurements.
    Operator,
}

/// Where a tool comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It ships.
    #[default]
    Builtin,
    /// A folder of Python (`src/extensions`).
    Extension,
    /// An imported workflow of ComfyUI (`src/extensions`).
    Comfyui,
}

impl Source {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn ships(&self) -> bool {
        *self == Self::Builtin
    }
}

/// The model that a tool runs, as inference registers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// `owner/name`.
    pub name: String,
    /// An immutable version of it.
    pub version: String,
    /// What starts it.
    pub runtime: Runtime,
    /// Folder of the worker on the agent.
    #[serde(default)]
    pub worker: String,
    /// Expected milliseconds to load.
    #[serde(default)]
    pub load_ms: i64,
    /// Expected milliseconds of a typical run.
    #[serde(default)]
    pub run_ms: i64,
    /// Memory it needs.
    #[serde(default)]
    pub memory_mib: i64,
    /// 0: runs on a CPU.
    #[serde(default)]
    pub gpus: i32,
    /// Of one attempt; 0: inference's default.
    #[serde(default)]
    pub timeout_ms: i64,
    /// Whether it stands still between two of its steps where it is told to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pausable: bool,
    /// How many jobs it takes in one call; nothing where it takes one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
}

/// What a model that takes several jobs in one call says of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Jobs in one call.
    pub max: u32,
    /// Parameters that must be equal in one call.
    #[serde(default)]
    pub key: Vec<String>,
    /// Memory that each after the first takes, MiB.
    #[serde(default)]
    pub memory_mib: u32,
    /// What each after the first adds, in thousandths of what one takes: a first guess; 0: not known.
    #[serde(default)]
    pub more_permille: u32,
}

/// What starts a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// A Cog predictor server, kept warm.
    Cog,
    /// One process a job.
    Command,
    /// Gives its input back.
    Echo,
}

/// What a tool makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Where outputs go.
    #[serde(default)]
    pub target: OutputTarget,
    /// Media types that it may make.
    pub content_types: Vec<String>,
    /// Most outputs of one run.
    pub max_outputs: u32,
    /// Largest sum of outputs, in bytes.
    pub max_bytes: i64,
}

impl OutputSpec {
    /// Whether pictures or clips may come out.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.target == OutputTarget::Storage
            && self.content_types.iter().any(|media| crate::moderation::is_seen(media))
    }
}

/// Where outputs go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputTarget {
    /// They become assets.
    #[default]
    Storage,
    /// They stay in the job: small values only.
    Inline,
}

/// What the work costs us, until inference reports a provider's price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Micro-credits for a second of compute.
    #[serde(default)]
    pub micro_per_compute_second: i64,
}

/// What is looked at before anything is delivered. Scores are parts per million: 0 safe, 1,000,000 not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Moderation {
    /// Texts of the input, by the word list.
    pub prompts: bool,
    /// Pictures and clips of the input.
    pub inputs: bool,
    /// Pictures and clips that come out.
    pub outputs: bool,
    /// From this score on an output waits for a person; left out: as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_ppm: Option<i64>,
    /// From this score on it is refused; left out: as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse_ppm: Option<i64>,
}

impl Default for Moderation {
    fn default() -> Self {
        Self { prompts: true, inputs: true, outputs: true, review_ppm: None, refuse_ppm: None }
    }
}

impl Moderation {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// An example for the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What people read.
    pub title: String,
    /// A sentence.
    #[serde(default)]
    pub description: String,
    /// Input without its assets.
    pub input: Value,
    /// Path of the picture before, on this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Path of the picture or clip after, on this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Why a manifest cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML of the right shape.
    #[error("{file} cannot be read: {source}")]
    Yaml {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: serde_yaml_ng::Error,
    },
    /// A field breaks a rule.
    #[error("{tool}: {field} {rule}")]
    Field {
        /// Which tool.
        tool: String,
        /// Which field.
        field: &'static str,
        /// Which rule.
        rule: &'static str,
    },
    /// The input's schema cannot be used.
    #[error("{tool}: the input schema cannot be used: {source}")]
    Input {
        /// Which tool.
        tool: String,
        /// Why.
        #[source]
        source: InputError,
    },
    /// A formula cannot be used.
    #[error("{tool}: the formula {formula} cannot be used: {source}")]
    Price {
        /// Which tool.
        tool: String,
        /// Which formula.
        formula: &'static str,
        /// Why.
        #[source]
        source: PriceError,
    },
    /// Two files declare the same version.
    #[error("{0} is declared twice")]
    Twice(String),
}

/// A manifest that was checked, with its compiled input schema.
#[derive(Debug)]
pub struct Tool {
    /// As declared.
    pub manifest: Manifest,
    /// Compiled.
    pub input: InputSchema,
    /// SHA-256 of the canonical manifest, hex: what "immutable" is checked with.
    pub hash: String,
}

impl Tool {
    /// Reads and checks one file.
    pub fn parse(file: &str, yaml: &str) -> Result<Self, ManifestError> {
        let manifest: Manifest = serde_yaml_ng::from_str(yaml)
            .map_err(|source| ManifestError::Yaml { file: file.to_owned(), source })?;
        Self::check(manifest)
    }

    /// Checks a manifest.
    pub fn check(manifest: Manifest) -> Result<Self, ManifestError> {
        let tool = format!("{} {}", manifest.name, manifest.version);
        check_fields(&manifest, &tool)?;
        let input = InputSchema::compile(&manifest.input)
            .map_err(|source| ManifestError::Input { tool: tool.clone(), source })?;
        for (formula, name) in [(&manifest.price, "price"), (&manifest.predicted_ms, "predicted_ms")] {
            formula.check(|property| input.declares(property)).map_err(|source| ManifestError::Price {
                tool: tool.clone(),
                formula: name,
                source,
            })?;
        }
        let canonical = canonical_json(&serde_json::to_value(&manifest).unwrap_or_default());
        let hash = hex::encode(Sha256::digest(canonical));
        Ok(Self { manifest, input, hash })
    }
}

fn check_fields(manifest: &Manifest, tool: &str) -> Result<(), ManifestError> {
    let name_is_good = !manifest.name.is_empty()
        && manifest.name.len() <= NAME_CHARS_MAX
        && manifest.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let outputs = &manifest.output;
    let rules = [
        (name_is_good, "name", "is 1 to 64 lower case letters, digits and hyphens"),
        (version_key(&manifest.version).is_some(), "version", "is major.minor.patch"),
        (manifest.model.name.contains('/'), "model.name", "is owner/name"),
        (!manifest.model.version.is_empty(), "model.version", "is not empty"),
        ((1..=TTL_S_MAX).contains(&manifest.ttl_s), "ttl_s", "is between 1 and 86400"),
        ((1..=OUTPUTS_MAX).contains(&outputs.max_outputs), "output.max_outputs", "is between 1 and 64"),
        ((1..=OUTPUT_BYTES_MAX).contains(&outputs.max_bytes), "output.max_bytes", "is between 1 and 16 GiB"),
        (manifest.price.minimum >= 1, "price.minimum", "is at least 1: a hold of nothing guards nothing"),
        (manifest.predicted_ms.minimum >= 1, "predicted_ms.minimum", "is at least 1"),
        (manifest.cost.micro_per_compute_second >= 0, "cost", "is not negative"),
    ];
    match rules.into_iter().find(|(holds, ..)| !holds) {
        Some((_, field, rule)) => Err(ManifestError::Field { tool: tool.to_owned(), field, rule }),
        None => Ok(()),
    }
}

/// What orders versions; `None` where the text is not `major.minor.patch`.
#[must_use]
pub fn version_key(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let key = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(key)
}

/// JSON with sorted keys and no spaces: the same value always has the same text.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let fields: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::String(key.clone()), canonical_json(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical_json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn canonical_json_does_not_depend_on_the_order_of_keys() {
        let first = canonical_json(&json!({"b": [1, {"y": 1, "x": null}], "a": "ö\""}));
        let second = canonical_json(&json!({"a": "ö\"", "b": [1, {"x": null, "y": 1}]}));
        assert_eq!(first, second);
        assert_eq!(first, r#"{"a":"ö\"","b":[1,{"x":null,"y":1}]}"#);
    }

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!(version_key("1.20.3"), Some((1, 20, 3)));
        assert!(["1.2", "1.2.3.4", "a.b.c", "", "1.2.-3"].iter().all(|text| version_key(text).is_none()));
    }

    #[test]
    fn a_broken_manifest_says_what_is_wrong() {
        let good = include_str!("../catalogue/upscale-1.0.0.yaml");
        let broken =
            |from: &str, to: &str| Tool::parse("test", &good.replace(from, to)).unwrap_err().to_string();
        assert!(broken("name: upscale", "name: Up Scale").contains("lower case"));
        assert!(broken("ttl_s: 3600", "ttl_s: 0").contains("ttl_s"));
        assert!(broken("number: scale", "number: size").contains("\"size\""));
        assert!(broken("category: image", "category: image\nsurprise: 1").contains("surprise"));
        assert!(broken("type: object", "type: nonsense").contains("schema"));
    }
}
