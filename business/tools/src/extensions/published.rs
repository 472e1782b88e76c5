//! A published version of an extension: a folder that never changes, and the manifest that names it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::describe::Described;
use super::folder::Source;
use crate::manifest::{Cost, Manifest, ModelRef, Moderation, OutputSpec, OutputTarget, Runtime, Visibility};
use crate::price::{Formula, Term};

/// The library, as every version carries it.
pub(super) const SDK: &[(&str, &str)] = &[
    ("backlot/__init__.py", include_str!("../../../../sdk/python/backlot/__init__.py")),
    ("backlot/fields.py", include_str!("../../../../sdk/python/backlot/fields.py")),
    ("backlot/comfyui.py", include_str!("../../../../sdk/python/backlot/comfyui.py")),
    ("backlot/__main__.py", include_str!("../../../../sdk/python/backlot/__main__.py")),
];
/// Starts the tool; beside the library, so that Python finds it there.
const STARTER: &str = "backlot_serve.py";
/// Seconds that a run may wait to start.
const TTL_S: u32 = 3_600;
/// Largest output of a run.
const OUTPUT_BYTES_MAX: i64 = 1 << 30;
/// Longest a run may take, in seconds.
const TIMEOUT_S_MAX: u32 = 3_600;
/// Micro-credits that a second of compute costs us.
const COST_MICRO: i64 = 400;
/// The least that a run costs.
const PRICE_MIN: i64 = 1;
const MS_PER_SECOND: f64 = 1_000.0;

/// Copies the files and the library into `into`, which is new. Blocks.
pub(super) fn write_files(source: &Source, into: &Path) -> std::io::Result<()> {
    let library = SDK.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes()));
    let own = source.files.iter().map(|(path, content)| (path.clone(), content.as_slice()));
    // The library last: a file of the same name must not take its place.
    for (path, content) in own.chain(library) {
        let path = into.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, content)?;
    }
    Ok(())
}

/// What runs a version's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A Python file with a tool.
    Tool,
    /// A workflow for a ComfyUI server.
    ComfyUi,
}

impl Kind {
    const fn module(self) -> &'static str {
        match self {
            Self::Tool => "backlot",
            Self::ComfyUi => "backlot.comfyui",
        }
    }

    /// Owner in the name of the model.
    const fn owner(self) -> &'static str {
        match self {
            Self::Tool => "extension",
            Self::ComfyUi => "comfyui",
        }
    }

    const fn source(self) -> crate::manifest::Source {
        match self {
            Self::Tool => crate::manifest::Source::Extension,
            Self::ComfyUi => crate::manifest::Source::Comfyui,
        }
    }
}

/// Makes the folder one that an agent runs. Blocks.
pub(super) fn write_worker(manifest: &Manifest, kind: Kind, file: &str, into: &Path) -> std::io::Result<()> {
    let model = &manifest.model;
    let mut worker = toml::toml! {
        model = (model.name.clone())
        version = (model.version.clone())
        runtime = "command"
        command = ["python", "-B", "backlot_serve.py"]
        load_ms = 0
        run_ms = (model.run_ms)
        timeout_ms = (model.timeout_ms)
        memory_mib = (model.memory_mib)
        gpus = (model.gpus)
        pausable = (model.pausable)
    };
    if let Some(batch) = &model.batch {
        worker.insert("batch".to_owned(), i64::from(batch.max).into());
        worker.insert("batch_key".to_owned(), batch.key.clone().into());
        worker.insert("batch_more_permille".to_owned(), i64::from(batch.more_permille).into());
        worker.insert("batch_memory_mib".to_owned(), i64::from(batch.memory_mib).into());
    }
    std::fs::write(into.join("worker.toml"), worker.to_string())?;
    std::fs::write(into.join("input_schema.json"), worker_schema(&manifest.input).to_string())?;
    let starter = format!(
        "import os\nimport sys\n\nimport {module}\n\nhere = os.path.dirname(os.path.abspath(__file__))\n\
         sys.exit({module}.serve(os.path.join(here, {})))\n",
        Value::String(file.to_owned()),
        module = kind.module(),
    );
    std::fs::write(into.join(STARTER), starter)
}

/// The schema as the worker sees it: an asset is a file there.
fn worker_schema(input: &Value) -> Value {
    let mut schema = input.clone();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(serde_json::Map::values_mut) {
        if property.get("format").and_then(Value::as_str) == Some("asset") {
            *property = json!({ "type": "string", "format": "uri" });
        }
    }
    schema
}

/// The name of a version's folder.
pub(super) fn folder_name(source: &Source) -> String {
    format!("{}-{}", source.name, source.hash)
}

/// The manifest of a version.
pub(super) fn manifest(source: &Source, kind: Kind, described: Described, version: String) -> Manifest {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to a day before")]
    let run_ms = (described.seconds.clamp(0.001, 86_400.0) * MS_PER_SECOND) as i64;
    let fixed: i64 =
        described.price.iter().filter(|term| term.times.is_empty()).map(|term| term.amount).sum();
    Manifest {
        name: source.name.clone(),
        version,
        label: described.label,
        description: described.description,
        category: described.category,
        visibility: Visibility::Everyone,
        source: kind.source(),
        model: ModelRef {
            name: format!("{}/{}", kind.owner(), source.name),
            version: source.hash.clone(),
            runtime: Runtime::Command,
            worker: folder_name(source),
            load_ms: 0,
            run_ms,
            memory_mib: i64::from(described.memory_mib),
            gpus: i32::try_from(described.gpus).unwrap_or(i32::MAX),
            timeout_ms: i64::from(described.timeout.clamp(1, TIMEOUT_S_MAX)) * 1_000,
            pausable: described.pausable,
            batch: described.batch,
        },
        input: described.input,
        output: OutputSpec {
            target: OutputTarget::Storage,
            content_types: described.makes,
            max_outputs: described.max_outputs,
            max_bytes: OUTPUT_BYTES_MAX,
        },
        price: Formula { minimum: fixed.max(PRICE_MIN), lines: described.price },
        predicted_ms: Formula {
            minimum: run_ms.max(1),
            lines: vec![Term { label: "Run".to_owned(), amount: run_ms, times: Vec::new() }],
        },
        cost: Cost { micro_per_compute_second: COST_MICRO },
        who_pays: crate::who_pays::Overrides::new(),
        ttl_s: TTL_S,
        moderation: Moderation::default(),
        examples: Vec::new(),
    }
}
