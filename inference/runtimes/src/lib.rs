//! How a model runs: a warm Cog predictor, one process a job, or an echo. Each model process is a supervised
//! child that never outlives its agent.
//!
//! Knows neither jobs, nor leases, nor the network: files are local paths, results are files or bytes.

mod cog;
mod command;
mod echo;
mod environment;
mod hold;
mod leftovers;
mod lines;
mod manifest;
mod outputs;
mod process;
mod report;
mod talk;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub use cog::CogRuntime;
pub use command::CommandRuntime;
pub use echo::EchoRuntime;
pub use environment::Environment;
pub use hold::{Hold, HoldControl};
pub use manifest::{BatchFacts, Manifest, ManifestError, Program, discover};
pub use process::Supervisor;
pub use report::{LOG_TAIL_BYTES_MAX, Reporter, Snapshot};

/// Longest message of a failure, in characters: it is for people, the log tail has the rest.
pub const MESSAGE_CHARS_MAX: usize = 2_000;
/// How long a canceled model has to end by itself before its whole process group is killed.
pub const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// Most files that one job may give back.
pub const OUTPUTS_MAX: usize = 64;

/// One job's work for a model.
#[derive(Debug, Clone)]
pub struct Work {
    /// Names the work in the model's own messages; no two at once have the same.
    pub id: String,
    /// A JSON object; files in it are paths among `files`.
    pub input: serde_json::Value,
    /// The local files that the input may name.
    pub files: Vec<PathBuf>,
    /// A private, existing folder; whoever made it removes it.
    pub folder: PathBuf,
    /// How long the model may compute; a pause does not count.
    pub timeout: Duration,
    /// Whether it should stand still between two of its steps; a runtime that cannot do so does not look.
    pub hold: Hold,
}

/// What the model made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// A file name without folders.
    pub name: String,
    /// As the model claims it.
    pub content_type: String,
    /// The bytes, or where they are.
    pub body: Body,
}

/// Where an output's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A regular file inside the work's folder.
    File(PathBuf),
    /// In memory.
    Bytes(Bytes),
}

/// Why there is no result. The text is for people.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The work was canceled, and nothing of it runs any more.
    #[error("the work was canceled")]
    Canceled,
    /// The caller's mistake.
    #[error("{0}")]
    InvalidInput(String),
    /// The model's mistake: another attempt would fail too.
    #[error("{0}")]
    Model(String),
    /// The process was killed or vanished: another attempt may succeed.
    #[error("{0}")]
    Lost(String),
    /// The model took too long, and nothing of it runs any more.
    #[error("the model took longer than {} s", limit.as_secs_f64())]
    TimedOut {
        /// What it was allowed.
        limit: Duration,
    },
    /// The call of several jobs failed as a whole, through no fault that is known of this one: alone it may succeed.
    #[error("the call of {count} jobs failed: {why}")]
    Together {
        /// How many were in it.
        count: usize,
        /// What happened.
        why: String,
    },
    /// This machine cannot start the model; another one may.
    #[error("the model could not be started: {what}")]
    Start {
        /// Which step failed.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A model that can be brought into memory, used and removed. One piece of work at a time; a second waits.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Makes the model ready; does nothing where it is. Fails with `Canceled` where `cancel` came first.
    async fn load(&self, cancel: &CancellationToken) -> Result<(), Failure>;

    /// Runs one piece of work. When this returns, for whatever reason, nothing of the work runs any more:
    /// `Failure::Canceled` is the confirmation of a cancel.
    async fn run(
        &self,
        work: Work,
        report: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Vec<Output>, Failure>;

    /// Runs several pieces of work in one call, each with its own reporter and its own end, in their order. A runtime that
    /// takes one at a time runs them one after another.
    async fn run_together(
        &self,
        works: Vec<Work>,
        reports: &[Reporter],
        cancel: &CancellationToken,
    ) -> Vec<Result<Vec<Output>, Failure>> {
        let mut results = Vec::with_capacity(works.len());
        for (work, report) in works.into_iter().zip(reports) {
            results.push(self.run(work, report, cancel).await);
        }
        results
    }

    /// Removes the model from memory. Waits for work that runs.
    async fn unload(&self);

    /// Whether its model stays in memory between two pieces of work, and takes room there.
    fn takes_room(&self) -> bool;

    /// Whether the model is in memory now. One that takes no room never is.
    fn is_resident(&self) -> bool;
}

/// Cuts a text that a stranger wrote to what a message may have.
pub(crate) fn message(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
