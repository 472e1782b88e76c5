//! ComfyUI workflows as tools. What a workflow is and what its server lacks, the library's own Python tells
//! (`sdk/python/backlot/comfyui.py`), which also runs the jobs; here it is asked, and the answer is published.

use std::path::PathBuf;

use backlot_business_api::codes;
use backlot_foundation_errors::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::ExtensionProblem;
use super::describe::{Described, python_says};
use super::folder::{is_name, of_files};
use super::published::{Kind, write_files};
use super::watch::publish_version;
use crate::error::Error;
use crate::manifest::{Source, Tool};
use crate::service::Service;

const FILE: &str = "workflow.json";

/// A workflow that is to become a tool.
#[derive(Debug, Clone, Serialize)]
pub struct Import {
    /// Of the tool: lower-case letters, digits and hyphens.
    pub name: String,
    /// As ComfyUI exports it in API format.
    pub workflow: Value,
    /// What people read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The form; left out: what is proposed as chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<FieldChoice>>,
    /// Of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_micro: Option<i64>,
}

/// A literal input of the workflow that becomes a field of the form.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldChoice {
    /// The node's id in the workflow.
    pub node: String,
    /// The node's input.
    pub input: String,
    /// Of the field; left out: as proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What people read; left out: as proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// What the tool's form may be, and what the server lacks.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
pub struct Proposal {
    /// Every literal input that a form can have: `node`, `input`, `name`, `title`, `schema`, `default`, `chosen`.
    #[schema(value_type = Vec<Object>)]
    pub fields: Vec<Value>,
    /// Nodes that save something: `node`, `class_type`, `title`.
    #[schema(value_type = Vec<Object>)]
    pub outputs: Vec<Value>,
    /// Nodes that the server does not have: `node`, `class_type`, `title`.
    #[schema(value_type = Vec<Object>)]
    pub missing_nodes: Vec<Value>,
    /// Models that the server does not have: `node`, `input`, `model`, and those that are `here`.
    #[schema(value_type = Vec<Object>)]
    pub missing_models: Vec<Value>,
    /// What else is in the way.
    pub problems: Vec<String>,
}

/// Why a workflow cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No server, or none that answers.
    #[error("{0}")]
    Unavailable(String),
    /// The workflow, or the choice of fields.
    #[error("{0}")]
    Refused(String),
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Unavailable(why) => Self::new(&codes::COMFYUI_UNAVAILABLE, why),
            ImportError::Refused(why) => Self::new(&codes::WORKFLOW_REFUSED, why),
        }
    }
}

/// What the library answers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Error { error: String, kind: String },
    Good(T),
}

#[derive(Deserialize)]
struct Chosen {
    manifest: Described,
    fields: Value,
}

impl Service {
    /// Holds a workflow against the ComfyUI server. Publishes nothing.
    pub async fn propose_workflow(&self, import: &Import) -> Result<Proposal, Error> {
        self.importable(&import.name)?;
        Ok(self.ask_library("propose", import).await?)
    }

    /// Publishes a workflow as the next version of its tool.
    pub async fn import_workflow(&self, import: &Import) -> Result<std::sync::Arc<Tool>, Error> {
        self.importable(&import.name)?;
        let chosen: Chosen = self.ask_library("manifest", import).await?;
        let config = &self.config().extensions;
        let stored =
            json!({ "url": config.comfyui_url, "workflow": import.workflow, "fields": chosen.fields });
        let text = serde_json::to_vec_pretty(&stored).unwrap_or_default();
        let source = of_files(&import.name, FILE, vec![(PathBuf::from(FILE), text)]);
        let draft = tempfile::Builder::new().prefix(".draft-").tempdir_in(&config.published).map_err(disk)?;
        write_files(&source, draft.path()).map_err(disk)?;
        publish_version(self, &source, Kind::ComfyUi, FILE, chosen.manifest, draft.path())
            .await
            .map_err(|problem: ExtensionProblem| ImportError::Refused(problem.message))?;
        self.tool(&import.name, None)
    }

    fn importable(&self, name: &str) -> Result<(), ImportError> {
        let config = &self.config().extensions;
        if config.comfyui_url.is_empty() || config.published.as_os_str().is_empty() {
            let why = "This studio knows no ComfyUI server: set business.tools.extensions.comfyui_url.";
            return Err(ImportError::Unavailable(why.to_owned()));
        }
        if !is_name(name) {
            let why = "A tool's name has at most 48 lower-case letters, digits and hyphens, a letter first.";
            return Err(ImportError::Refused(why.to_owned()));
        }
        let taken = self.catalogue().newest(name).is_some_and(|tool| tool.manifest.source != Source::Comfyui);
        if taken {
            return Err(ImportError::Refused(format!(
                "There is a tool \"{name}\" already; take another name."
            )));
        }
        Ok(())
    }

    async fn ask_library<T: serde::de::DeserializeOwned>(
        &self,
        command: &str,
        import: &Import,
    ) -> Result<T, ImportError> {
        let config = &self.config().extensions;
        let folder = tempfile::tempdir().map_err(disk)?;
        write_files(&of_files(&import.name, FILE, Vec::new()), folder.path()).map_err(disk)?;
        let module = ["backlot.comfyui", command, &config.comfyui_url];
        let request = serde_json::to_vec(import).unwrap_or_default();
        let (answer, words) = python_says(&config.python, folder.path(), &module, Some(request))
            .await
            .map_err(ImportError::Unavailable)?;
        match serde_json::from_slice(&answer) {
            Ok(Answer::Good(good)) => Ok(good),
            Ok(Answer::Error { error, kind }) if kind == "refused" => Err(ImportError::Refused(error)),
            Ok(Answer::Error { error, .. }) => Err(ImportError::Unavailable(error)),
            Err(error) => {
                let words = String::from_utf8_lossy(&words).into_owned();
                tracing::error!(%error, words, "the library's answer about a workflow cannot be read");
                Err(ImportError::Refused("The workflow cannot be read.".to_owned()))
            }
        }
    }
}

fn disk(error: std::io::Error) -> ImportError {
    tracing::error!(%error, "a workflow's version cannot be written");
    ImportError::Unavailable("The folder of published extensions cannot be written.".to_owned())
}
