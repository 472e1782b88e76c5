//! Models of this machine, as control knows them and as they are started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_inference_api::v1::{Batching, ModelSpec, Pausing, RuntimeKind};
use backlot_inference_runtimes::{
    CogRuntime, CommandRuntime, EchoRuntime, Environment, Manifest, ManifestError, Program, Runtime,
    Supervisor, discover,
};
use serde_json::json;

use crate::config::Config;

/// The name of the built-in model that gives its input back.
pub const ECHO_MODEL: &str = "backlot/echo";
const ECHO_TIMEOUT_MS: i64 = 600_000;

/// The models that a folder of workers offers, for whoever registers them with control. A folder with a wrong
/// description is logged as an error and left out.
#[must_use]
pub fn discover_models(workers_dir: &Path) -> Vec<ModelSpec> {
    discover(workers_dir)
        .into_iter()
        .filter_map(|found| match found {
            Ok(manifest) => Some(spec(&manifest)),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                match error {
                    ManifestError::Folder { .. } => tracing::error!(
                        %error,
                        cause,
                        "none of its models is offered: agent.workers_dir must name a folder that is there"
                    ),
                    ManifestError::Read { .. }
                    | ManifestError::Toml { .. }
                    | ManifestError::Schema { .. }
                    | ManifestError::Rule { .. } => tracing::error!(%error, cause, "a worker is left out"),
                }
                None
            }
        })
        .collect()
}

impl Config {
    /// Whether a second folder of models is looked at while the agent runs.
    pub(crate) fn watches_extensions(&self) -> bool {
        !self.extensions_dir.as_os_str().is_empty()
    }

    /// The models of both folders, as they are now.
    pub(crate) fn models(&self) -> Vec<ModelSpec> {
        let mut models = discover_models(&self.workers_dir);
        if self.watches_extensions() && self.extensions_dir.is_dir() {
            models.extend(discover_models(&self.extensions_dir));
        }
        models
    }
}

/// The built-in echo, which every agent has.
#[must_use]
pub fn echo_model() -> ModelSpec {
    ModelSpec {
        name: ECHO_MODEL.to_owned(),
        version: "1".to_owned(),
        runtime: RuntimeKind::Echo.into(),
        worker: String::new(),
        input_schema_json: json!({"type": "object"}).to_string(),
        load_ms: 0,
        run_ms: 1,
        memory_mib: 0,
        gpus: 0,
        timeout_ms: ECHO_TIMEOUT_MS,
        pausing: None,
        batching: None,
    }
}

fn spec(manifest: &Manifest) -> ModelSpec {
    let bounded = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let worker = manifest.folder.file_name().unwrap_or_default();
    ModelSpec {
        name: manifest.model.clone(),
        version: manifest.version.clone(),
        runtime: match manifest.program {
            Program::Cog { .. } => RuntimeKind::Cog.into(),
            Program::Command(_) => RuntimeKind::Command.into(),
        },
        worker: worker.to_string_lossy().into_owned(),
        input_schema_json: manifest.job_schema().map(|schema| schema.to_string()).unwrap_or_default(),
        load_ms: bounded(manifest.load_ms),
        run_ms: bounded(manifest.run_ms),
        memory_mib: bounded(manifest.memory_mib),
        gpus: i32::try_from(manifest.gpus).unwrap_or(i32::MAX),
        timeout_ms: bounded(manifest.timeout_ms),
        pausing: manifest.pause_ms.map(|cost_ms| Pausing { cost_ms: bounded(cost_ms) }),
        batching: manifest.batch.as_ref().map(|batch| Batching {
            max: i32::try_from(batch.max).unwrap_or(i32::MAX),
            more_permille: i32::try_from(batch.more_permille).unwrap_or(i32::MAX),
            memory_mib: bounded(batch.memory_mib),
            key: batch.key.clone(),
        }),
    }
}

/// "owner/name:version": what residency is told by.
pub(crate) fn key(spec: &ModelSpec) -> String {
    format!("{}:{}", spec.name, spec.version)
}

/// Makes runtimes of models.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    /// Where models are looked for, in this order.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) environment: Environment,
    pub(crate) supervisor: Arc<Supervisor>,
    /// Homes of models that stay in memory.
    pub(crate) homes: PathBuf,
}

impl Maker {
    /// The runtime of a model on a worker, not loaded yet. The text says why there is none.
    pub(crate) fn make(&self, worker: &str, spec: &ModelSpec) -> Result<Arc<dyn Runtime>, String> {
        if spec.runtime() == RuntimeKind::Echo {
            return Ok(Arc::new(EchoRuntime));
        }
        // A folder's name and nothing else: the text comes over the network.
        if Path::new(&spec.worker).components().count() != 1 || spec.worker.starts_with('.') {
            return Err(format!("\"{}\" is no worker's folder", spec.worker));
        }
        let mut places = self.folders.iter().map(|folder| folder.join(&spec.worker));
        let place = places.find(|place| place.is_dir());
        let place = place.ok_or_else(|| format!("this agent has no worker \"{}\"", spec.worker))?;
        let manifest = Manifest::read(&place).map_err(|error| error.to_string())?;
        if (&manifest.model, &manifest.version) != (&spec.name, &spec.version) {
            let here = format!("{}:{}", manifest.model, manifest.version);
            return Err(format!("this agent has {here} and not {}", key(spec)));
        }
        let home = self.homes.join(format!("{worker}-{}-{}", spec.worker, uuid::Uuid::new_v4().simple()));
        let (environment, supervisor) = (self.environment.clone(), self.supervisor.clone());
        let made: Option<Arc<dyn Runtime>> = match manifest.program {
            Program::Cog { .. } => CogRuntime::new(manifest, environment, supervisor, home)
                .map(|made| Arc::new(made) as Arc<dyn Runtime>),
            Program::Command(_) => CommandRuntime::new(manifest, environment, supervisor)
                .map(|made| Arc::new(made) as Arc<dyn Runtime>),
        };
        made.ok_or_else(|| "no runtime for this model".to_owned())
    }
}
