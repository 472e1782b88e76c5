//! What parts of business ask of each other. The application wires one part's answer to the other's question,
//! so that none of them links another.

use std::collections::HashMap;

use async_trait::async_trait;
use backlot_foundation_errors::Problem;
use serde_json::Value;

use crate::{BoardId, RunId};

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

/// A board to make from what somebody published.
#[derive(Debug, Clone, PartialEq)]
pub struct Remix {
    /// The new board's id: asking again with the same one makes nothing again.
    pub id: BoardId,
    /// For people.
    pub title: String,
    /// In the form of what [`Boards::snapshot`] answers; null: an empty board.
    pub snapshot: Value,
    /// The board that it was made from, where one is known.
    pub parent_board: Option<BoardId>,
    /// The post that it was made from.
    pub parent_post: String,
}

/// Canvas answers, the community asks.
#[async_trait]
pub trait Boards: Send + Sync + 'static {
    /// A board's content as plain data, without takes and history, for somebody who may at least edit it.
    ///
    /// # Errors
    /// `board_unknown` and `board_role_missing`, or a fault of the database.
    async fn snapshot(&self, organisation: &str, user: &str, board: BoardId) -> Result<Value, Problem>;

    /// Makes a board that names its parents; the user owns it. Safe to repeat.
    ///
    /// # Errors
    /// `too_many_boards`, a snapshot that cannot be read, or a fault of the database.
    async fn create_from_post(
        &self,
        organisation: &str,
        user: &str,
        remix: Remix,
    ) -> Result<BoardId, Problem>;
}

/// How somebody is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// As they call themselves; never empty.
    pub name: String,
    /// Names their profile; `None`: they have none.
    pub handle: Option<String>,
}

/// The community answers, the canvas asks.
#[async_trait]
pub trait People: Send + Sync + 'static {
    /// How these accounts are called, by id. Whoever is not known is missing.
    ///
    /// # Errors
    /// A fault of the database.
    async fn named(&self, users: &[String]) -> Result<HashMap<String, Named>, Problem>;
}
