//! What the community asks of the canvas: a board's content when it is published, a new board for a remix.

use async_trait::async_trait;
use backlot_business_api::BoardId;
use backlot_business_api::doors::{Boards, Remix};
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::OrganisationId;
use serde_json::Value;

use crate::error::Error;
use crate::limits::{CLIPS_MAX, EDGES_MAX, NODES_MAX, TRACKS_MAX};
use crate::model::Board;
use crate::role::Role;
use crate::service::{Actor, Service, TITLE_CHARS_MAX};
use crate::store::BoardRow;

#[async_trait]
impl Boards for Service {
    async fn snapshot(&self, organisation: &str, user: &str, board: BoardId) -> Result<Value, Problem> {
        let actor = actor(organisation, user)?;
        self.at_least(&actor, board, Role::Editor).await?;
        let mut content = self.read(&actor, board).await?.board;
        // Takes belong to the board that made them.
        content.nodes.values_mut().for_each(|node| node.chosen_take = None);
        serde_json::to_value(&content).map_err(|error| Problem::internal(&error))
    }

    async fn create_from_post(
        &self,
        organisation: &str,
        user: &str,
        remix: Remix,
    ) -> Result<BoardId, Problem> {
        let actor = actor(organisation, user)?;
        // Made before, whatever became of it since.
        if self.store().was_made(remix.id).await? {
            return Ok(remix.id);
        }
        let content = match remix.snapshot {
            Value::Null => None,
            snapshot => Some(content_of(snapshot)?),
        };
        let title: String = remix.title.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX).collect();
        let title = if title.trim().is_empty() { "Remix".to_owned() } else { title };
        let row = BoardRow {
            id: remix.id,
            parent_post_id: Some(remix.parent_post),
            ..self.new_row(&actor, &title, None, remix.parent_board)
        };
        Ok(self.insert(row, content).await?)
    }
}

fn actor(organisation: &str, user: &str) -> Result<Actor, Problem> {
    let organisation = OrganisationId::parse(organisation)
        .map_err(|_| Problem::new(&backlot_foundation_errors::codes::FORBIDDEN, "Act in an organisation."))?;
    Ok(Actor { organisation, id: user.to_owned(), credential: String::new() })
}

fn content_of(snapshot: Value) -> Result<Board, Error> {
    let board: Board = serde_json::from_value(snapshot)
        .map_err(|error| Error::Broken(format!("a published board cannot be read: {error}")))?;
    let clips: usize = board.tracks.values().map(|track| track.clips.len()).sum();
    let fits = board.nodes.len() <= NODES_MAX
        && board.edges.len() <= EDGES_MAX
        && board.tracks.len() <= TRACKS_MAX
        && clips <= CLIPS_MAX;
    if fits { Ok(board) } else { Err(Error::Full { what: "nodes", max: NODES_MAX as u64 }) }
}
