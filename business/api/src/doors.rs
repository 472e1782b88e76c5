//! What parts of business ask of each other. The application wires one part's answer to the other's question,
//! so that none of them links another.

use async_trait::async_trait;
use backlot_foundation_errors::Problem;
use serde_json::Value;

use crate::RunId;

/// Where a run's output came from, as far as its author may show it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOrigin {
    /// Name of the tool.
    pub tool: String,
    /// Version of the tool.
    pub tool_version: String,
    /// `owner/name` of the model.
    pub model: String,
    /// Version of the model.
    pub model_version: String,
    /// The input without its media: an object that names no asset of anybody's.
    pub parameters: Value,
}

/// Tools answer, the community asks.
#[async_trait]
pub trait RunOrigins: Send + Sync + 'static {
    /// The origin of what a run of this organisation made; `None` where it has no such run.
    ///
    /// # Errors
    /// A fault of the database.
    async fn origin(&self, organisation: &str, run: RunId) -> Result<Option<RunOrigin>, Problem>;
}
