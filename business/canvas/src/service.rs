//! The canvas: boards, who may do what with them, and the rooms of those that are open.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backlot_business_api::{BoardId, BoardRunId};
use backlot_business_tools as tools;
use backlot_foundation_db::Db;
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_time::{SharedClock, Timestamp};
use backlot_infrastructure_api::{OrganisationId, ProjectId};
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};

use crate::command::{Command, Write};
use crate::crdt::Document;
use crate::error::Error;
use crate::follow::follow;
use crate::limits::{BOARDS_MAX, COMMANDS_MAX};
use crate::model::Board;
use crate::names::Names;
use crate::reconcile::reconcile;
use crate::relay::Relay;
use crate::role::Role;
use crate::room::{Ask, Author, Edited, Ground, Seen};
use crate::rooms::Rooms;
use crate::socket::{Change, Guest};
use crate::store::{BoardRow, Listed, Store};

/// Changes of authority that a connection may be behind; then it asks for its role again.
const CHANGES_MAX: usize = 1_024;
/// Characters of a title.
pub(crate) const TITLE_CHARS_MAX: usize = 200;

/// Who asks, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The tenant that they act in.
    pub organisation: OrganisationId,
    /// A user, or `service:NAME`.
    pub id: String,
    /// The session or key that they came with; may be empty.
    pub credential: String,
}

/// A board to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewBoard {
    /// For people.
    pub title: String,
    /// Where it belongs.
    pub project: Option<ProjectId>,
    /// Whose content it begins with.
    pub template: Option<BoardId>,
}

/// What changes about a board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) title: Option<String>,
    pub(crate) project: Option<ProjectId>,
    pub(crate) preview_asset: Option<String>,
}

/// The canvas. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    store: Store,
    rooms: Rooms,
    infrastructure: Channel,
    clock: SharedClock,
    tasks: Tasks,
    changes: broadcast::Sender<Change>,
    sessions: AtomicU64,
    tools: tools::Service,
    driven: Mutex<HashSet<BoardRunId>>,
    waked: Notify,
    names: Names,
    relay: Option<Relay>,
}

impl Service {
    /// Over business's migrated database. `tasks` owns rooms and connections.
    #[must_use]
    pub fn new(
        db: Db,
        infrastructure: Channel,
        tools: tools::Service,
        clock: SharedClock,
        tasks: &Tasks,
    ) -> Self {
        let store = Store::new(db);
        let changes = broadcast::Sender::new(CHANGES_MAX);
        let relay = Relay::between_replicas(&store, tasks);
        let ground = Ground {
            store: store.clone(),
            clock: clock.clone(),
            changes: changes.clone(),
            relay: relay.clone(),
        };
        let rooms = Rooms::new(ground, tasks.clone());
        let sessions = AtomicU64::new(1);
        let tasks = tasks.clone();
        Self(Arc::new(Inner {
            store,
            rooms,
            infrastructure,
            clock,
            tasks,
            changes,
            sessions,
            tools,
            driven: Mutex::default(),
            waked: Notify::new(),
            names: Names::default(),
            relay,
        }))
    }

    /// Starts the follower of authority's events and the reconciler of runs.
    pub fn tasks(&self, infrastructure_events: &Channel) {
        let service = self.clone();
        self.0.tasks.spawn_loop("canvas-runs", move |stop| reconcile(service.clone(), stop));
        if let Some(relay) = self.0.relay.clone() {
            let rooms = self.rooms().clone();
            self.0.tasks.spawn_loop("canvas-relay", move |stop| relay.clone().hear(rooms.clone(), stop));
        }
        let (service, events) = (self.clone(), infrastructure_events.clone());
        self.0
            .tasks
            .spawn_loop("canvas-authority", move |stop| follow(service.clone(), events.clone(), stop));
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    pub(crate) fn tools(&self) -> &tools::Service {
        &self.0.tools
    }

    pub(crate) fn driven(&self) -> &Mutex<HashSet<BoardRunId>> {
        &self.0.driven
    }

    /// Asks the reconciler to look now.
    pub(crate) fn wake(&self) {
        self.0.waked.notify_one();
    }

    pub(crate) async fn waked(&self) {
        self.0.waked.notified().await;
    }

    pub(crate) fn infrastructure(&self) -> Channel {
        self.0.infrastructure.clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn stop(&self) -> Stop {
        self.0.tasks.stop_signal()
    }

    /// A task that ends by itself, such as a connection.
    pub(crate) fn own_task(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn_once(future);
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.0.sessions.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn access_changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    pub(crate) fn access_changed(&self, change: Change) {
        // An error only says that nobody is connected.
        let _ = self.0.changes.send(change);
    }

    /// Makes a board; its maker owns it.
    pub async fn create(&self, actor: &Actor, new: &NewBoard) -> Result<BoardId, Error> {
        check_title(&new.title)?;
        if let Some(project) = new.project {
            self.may_make_in(actor, project).await?;
        }
        let copied = match new.template {
            Some(template) => Some((template, self.read(actor, template).await?.board)),
            None => None,
        };
        let parent = copied.as_ref().map(|(template, _)| *template);
        let row = self.new_row(actor, &new.title, new.project, parent);
        self.insert(row, copied.map(|(_, board)| board)).await
    }

    /// A new board with a copy of this one's content, as a template for others.
    pub(crate) async fn make_template(&self, actor: &Actor, id: BoardId) -> Result<BoardId, Error> {
        let (of, _) = self.at_least(actor, id, Role::Editor).await?;
        let board = self.read(actor, id).await?.board;
        let row = BoardRow {
            is_template: true,
            preview_asset: of.preview_asset.clone(),
            ..self.new_row(actor, &of.title, of.project_id, Some(id))
        };
        self.insert(row, Some(board)).await
    }

    pub(crate) fn new_row(
        &self,
        actor: &Actor,
        title: &str,
        project: Option<ProjectId>,
        parent: Option<BoardId>,
    ) -> BoardRow {
        let now = self.now();
        BoardRow {
            id: BoardId::generate(),
            organisation_id: actor.organisation,
            project_id: project,
            title: title.to_owned(),
            created_by: actor.id.clone(),
            is_template: false,
            parent_board_id: parent,
            parent_post_id: None,
            nodes: 0,
            seq: 0,
            access_version: 0,
            preview_asset: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Writes a new board. A copy begins a document of its own: what was deleted from the original, and
    /// who wrote what, does not come along.
    pub(crate) async fn insert(&self, mut row: BoardRow, copied: Option<Board>) -> Result<BoardId, Error> {
        let count = self.store().count_boards(row.organisation_id).await?;
        if count >= BOARDS_MAX {
            return Err(Error::TooManyBoards(count));
        }
        let document = copied.map(|board| {
            row.nodes = board.nodes.len() as i64;
            let mut document = Document::new();
            document.write(&writes_of(board));
            document.snapshot()
        });
        self.store().insert(&row, document).await?;
        Ok(row.id)
    }

    /// The boards that the actor may see, newest first, each with their role.
    pub(crate) async fn boards(
        &self,
        actor: &Actor,
        mut listed: Listed,
    ) -> Result<Vec<(BoardRow, Role)>, Error> {
        let base = self.mandate_role(actor, listed.project).await?;
        listed.whole_organisation = base.is_some();
        let rows = self.store().boards(actor.organisation, &actor.id, &listed).await?;
        let ids: Vec<BoardId> = rows.iter().map(|row| row.id).collect();
        let named = self.store().roles_of(&actor.id, &ids).await?;
        let with_role = rows.into_iter().filter_map(|row| {
            let base = base.filter(|_| row.organisation_id == actor.organisation);
            let role = base.max(named.get(&row.id).and_then(|role| Role::parse(role)))?;
            Some((row, role))
        });
        Ok(with_role.collect())
    }

    /// Changes what is said about a board.
    pub(crate) async fn change(&self, actor: &Actor, id: BoardId, changed: Changed) -> Result<(), Error> {
        let (mut row, _) = self.at_least(actor, id, Role::Editor).await?;
        if let Some(title) = changed.title {
            check_title(&title)?;
            row.title = title;
        }
        if let Some(project) = changed.project {
            self.may_make_in(actor, project).await?;
            row.project_id = Some(project);
        }
        if let Some(asset) = &changed.preview_asset {
            // Who belongs elsewhere chooses among what is there: an id alone shows nothing to anybody.
            let is_home = row.organisation_id == actor.organisation;
            if !is_home
                && !self.store().was_put_here(id, asset).await?
                && !self.store().was_made_here(id, asset).await?
            {
                return Err(Error::MediaUnknown(asset.clone()));
            }
            if is_home {
                self.store().put_here(id, asset).await?;
            }
            row.preview_asset = changed.preview_asset;
        }
        row.updated_at = self.now();
        Ok(self.store().update(&row).await?)
    }

    /// Deletes a board. Its runs go on, its takes stay.
    pub(crate) async fn delete(&self, actor: &Actor, id: BoardId) -> Result<(), Error> {
        self.at_least(actor, id, Role::Owner).await?;
        self.store().delete(id, self.now()).await?;
        self.access_changed(Change::Board(id));
        Ok(())
    }

    /// What the board says.
    pub(crate) async fn read(&self, actor: &Actor, id: BoardId) -> Result<Seen, Error> {
        self.at_least(actor, id, Role::Viewer).await?;
        self.rooms().ask(id, |reply| Ask::Read { reply }).await
    }

    /// Applies commands, all or none.
    pub(crate) async fn command(
        &self,
        actor: &Actor,
        id: BoardId,
        commands: Vec<Command>,
    ) -> Result<Edited, Error> {
        let (board, _) = self.at_least(actor, id, Role::Editor).await?;
        if commands.is_empty() || commands.len() > COMMANDS_MAX {
            let message = format!("must hold 1 to {COMMANDS_MAX} commands");
            return Err(Error::Field { pointer: "/commands", message });
        }
        let is_home = board.organisation_id == actor.organisation;
        let author = Author { id: actor.id.clone(), is_home };
        self.rooms().ask(id, |reply| Ask::Edit { commands, author, reply }).await?
    }

    /// Who wants to connect, with their role.
    pub(crate) async fn guest(&self, actor: &Actor, id: BoardId, only_looks: bool) -> Result<Guest, Error> {
        let (board, role) = self.role(actor, id).await?;
        let is_home = board.organisation_id == actor.organisation;
        Ok(Guest { actor: actor.clone(), board: id, role, is_home, only_looks })
    }
}

/// Everything on a board, as writes into an empty document; takes belong to the board that made them.
fn writes_of(board: Board) -> Vec<Write> {
    let nodes = board.nodes.into_values().map(|mut node| {
        node.chosen_take = None;
        Write::Node(node)
    });
    let edges = board.edges.into_values().map(Write::Edge);
    let tracks = board.tracks.into_values().map(Write::Track);
    nodes.chain(edges).chain(tracks).collect()
}

fn check_title(title: &str) -> Result<(), Error> {
    let count = title.chars().count();
    if (1..=TITLE_CHARS_MAX).contains(&count) && !title.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("must have 1 to {TITLE_CHARS_MAX} characters, none of them a control character");
    Err(Error::Field { pointer: "/title", message })
}
