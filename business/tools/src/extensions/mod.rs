//! Extensions: a folder of Python that becomes a tool while the studio runs.
//!
//! A folder is read until it holds still, described by its own Python in a process of its own, and published:
//! its files, with the library that it was written for, are copied into a folder that never changes again, and
//! the manifest joins the catalogue as the next version. A broken file is shown with its line, and the last good
//! version stays. For one machine: the agent beside it runs what was published.

mod comfyui;
mod describe;
mod folder;
mod http;
mod published;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_foundation_time::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use comfyui::{FieldChoice, Import, ImportError, Proposal};
pub(crate) use http::routes;
pub(crate) use watch::watch;

/// Settings of extensions. An empty folder: none are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where people write: a folder for each extension.
    pub folder: PathBuf,
    /// Where versions are kept; the agent runs them from there.
    pub published: PathBuf,
    /// The Python that describes them: the agent's.
    pub python: PathBuf,
    /// Address of a ComfyUI server whose workflows may be imported as tools; empty: none.
    pub comfyui_url: String,
    /// How often the folder is looked at, in milliseconds.
    pub poll_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            published: PathBuf::new(),
            python: PathBuf::from("python3"),
            comfyui_url: String::new(),
            poll_ms: 300,
        }
    }
}

impl Config {
    pub(crate) fn is_on(&self) -> bool {
        !self.folder.as_os_str().is_empty() && !self.published.as_os_str().is_empty()
    }
}

/// What is wrong with an extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExtensionProblem {
    /// For whoever wrote it.
    pub message: String,
    /// In which file of its folder; null where it is in none.
    pub file: Option<String>,
    /// In which line of that file.
    pub line: Option<u32>,
}

/// An extension, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExtensionView {
    /// Name of its folder and of its tool.
    pub name: String,
    /// The version that runs; null where none ever could.
    pub version: Option<String>,
    /// What is wrong with the files as they are now; null where nothing is.
    pub problem: Option<ExtensionProblem>,
    /// When its files last changed.
    pub updated_at: Timestamp,
}

/// The extensions whose folders are there.
#[derive(Debug, Default)]
pub(crate) struct Extensions(Mutex<BTreeMap<String, ExtensionView>>);

impl Extensions {
    pub(crate) fn all(&self) -> Vec<ExtensionView> {
        self.0.lock().values().cloned().collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<ExtensionView> {
        self.0.lock().get(name).cloned()
    }

    fn put(&self, view: ExtensionView) {
        self.0.lock().insert(view.name.clone(), view);
    }

    fn keep_only(&self, names: &[String]) {
        self.0.lock().retain(|name, _| names.contains(name));
    }
}
