//! Who the agent is and what it offers.

use std::path::PathBuf;

use backlot_inference_api::v1::WorkerSpec;
use serde::{Deserialize, Serialize};

use crate::models::ECHO_MODEL;

/// Attempts at once on the echo: it measures, and must not be what is waited for.
const ECHO_CONCURRENCY: u32 = 64;

/// The shipped model that looks at pictures before and after a job.
const MODERATE_MODEL: &str = "backlot/moderate";

/// An agent's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Stable across restarts, unique in the fleet. Empty: made at the first start and kept in its folder.
    pub id: String,
    /// For people.
    pub name: String,
    /// Where it is; jobs may be bound to regions.
    pub region: String,
    /// The pool that its machine belongs to, where it was ordered for one.
    pub pool: String,
    /// The id under which its machine was ordered.
    pub machine: String,
    /// What opens the stream to control.
    pub join_token: String,
    /// The folder with a folder for each model (workers/README.md).
    pub workers_dir: PathBuf,
    /// A second folder of models, in which more may appear while the agent runs; empty: none.
    pub extensions_dir: PathBuf,
    /// The Python that runs them; `scripts/setup-workers` makes it.
    pub python: PathBuf,
    /// What it can run on.
    pub workers: Vec<WorkerConfig>,
    /// How long a stopping agent lets its jobs finish, milliseconds; then they are stopped and tried elsewhere.
    pub drain_ms: u64,
}

/// A place where attempts run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// Unique within the agent.
    pub id: String,
    /// GPUs that it has; 0: a CPU.
    #[serde(default)]
    pub gpus: u32,
    /// Memory for models, MiB; 0: not counted.
    #[serde(default)]
    pub memory_mib: u64,
    /// Models that may be resident at once, at least 1.
    pub slots: u32,
    /// Attempts at once, at least 1.
    #[serde(default = "one")]
    pub concurrency: u32,
    /// Whether it can load one model while it computes with another: both have memory, and a load does not slow compute
    /// down. Control then gives it its next job while it computes.
    #[serde(default)]
    pub overlap: bool,
    /// Names ("owner/name") of what it runs. Empty: every model of `workers_dir`.
    #[serde(default)]
    pub models: Vec<String>,
}

fn one() -> u32 {
    1
}

impl Default for Config {
    /// One CPU worker for the models of `workers_dir`, one for the checks that everybody waits for, and one for
    /// the echo.
    fn default() -> Self {
        let cpu = WorkerConfig {
            id: "cpu-0".to_owned(),
            gpus: 0,
            memory_mib: 0,
            slots: 2,
            concurrency: 1,
            overlap: false,
            models: Vec::new(),
        };
        let echo = WorkerConfig {
            id: "echo-0".to_owned(),
            gpus: 0,
            memory_mib: 0,
            slots: 1,
            concurrency: ECHO_CONCURRENCY,
            overlap: false,
            models: vec![ECHO_MODEL.to_owned()],
        };
        // Moderation stands before and after every job: it must not wait behind the job that it lets pass.
        let checks = WorkerConfig {
            id: "checks-0".to_owned(),
            gpus: 0,
            memory_mib: 0,
            slots: 1,
            concurrency: 1,
            overlap: false,
            models: vec![MODERATE_MODEL.to_owned()],
        };
        Self {
            id: String::new(),
            name: "local".to_owned(),
            region: "local".to_owned(),
            pool: String::new(),
            machine: String::new(),
            join_token: String::new(),
            workers_dir: PathBuf::from("workers"),
            extensions_dir: PathBuf::new(),
            python: PathBuf::from("python3"),
            workers: vec![cpu, checks, echo],
            drain_ms: 8_000,
        }
    }
}

impl WorkerConfig {
    /// What control is told. `discovered` are the models of `workers_dir`.
    pub(crate) fn spec(&self, discovered: &[String]) -> WorkerSpec {
        let is_here = |name: &&String| name.as_str() == ECHO_MODEL || discovered.contains(name);
        let models = if self.models.is_empty() {
            discovered.to_vec()
        } else {
            self.models.iter().filter(is_here).cloned().collect()
        };
        WorkerSpec {
            id: self.id.clone(),
            gpus: i32::try_from(self.gpus).unwrap_or(i32::MAX),
            memory_mib: i64::try_from(self.memory_mib).unwrap_or(i64::MAX),
            slots: i32::try_from(self.slots.max(1)).unwrap_or(i32::MAX),
            models,
            concurrency: i32::try_from(self.concurrency.max(1)).unwrap_or(i32::MAX),
            overlap: self.overlap,
            batches: true,
        }
    }
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folder cannot be used.
    #[error("the agent's folder {} cannot be used", path.display())]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another agent uses its folder.
    #[error("another agent runs in {}", .0.display())]
    Busy(PathBuf),
    /// No thread for its processes.
    #[error("model processes cannot be supervised")]
    Supervisor(#[source] std::io::Error),
    /// No HTTP client.
    #[error("no HTTP client can be made")]
    Http(#[source] reqwest::Error),
    /// Two workers have one id.
    #[error("two workers have the id \"{0}\"")]
    SameWorker(String),
}
