//! What a room is asked, and what it says.

use std::sync::Arc;

use backlot_business_api::doors::Named;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::command::Command;
use crate::error::Error;
use crate::frames::Frame;
use crate::model::Board;
use crate::relay::Word;

/// Whoever waits for commands to be durable.
pub(crate) type EditReply = oneshot::Sender<Result<Edited, Error>>;

/// What a connection hears.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// A message.
    Bytes(Arc<[u8]>),
    /// The end, with a code of ours and a reason.
    Close(u16, String),
}

/// Somebody who is connected.
#[derive(Debug)]
pub(crate) struct Session {
    /// Unique in this process.
    pub(crate) id: u64,
    /// Whose changes they are.
    pub(crate) actor: String,
    /// How they are called.
    pub(crate) name: Named,
    /// Whether they belong to the board's own organisation.
    pub(crate) is_home: bool,
    /// What they hear; full: they are too slow, and closed.
    pub(crate) outbox: mpsc::Sender<Said>,
}

/// Whose change it is.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    /// A user, or `service:NAME`.
    pub(crate) id: String,
    /// Whether they belong to the board's own organisation.
    pub(crate) is_home: bool,
}

/// What commands did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edited {
    /// The number of the last update.
    pub(crate) revision: i64,
    /// For each command, the id that it made or touched.
    pub(crate) ids: Vec<String>,
}

/// The board at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The number of the last update.
    pub(crate) revision: i64,
    /// What it says.
    pub(crate) board: Board,
}

/// What a room is asked.
pub(crate) enum Ask {
    /// Lets somebody in.
    Join { session: Session, reply: oneshot::Sender<Result<(), Error>> },
    /// Something that somebody said.
    Frame { session: u64, frame: Frame },
    /// Somebody is gone.
    Leave { session: u64 },
    /// Commands.
    Edit { commands: Vec<Command>, author: Author, reply: EditReply },
    /// What the board says.
    Read { reply: oneshot::Sender<Seen> },
    /// News for everybody who is connected.
    Tell(Value),
    /// What another replica says.
    Relayed(Word),
    /// Other replicas may have spoken unheard: who is there is asked and said again.
    WhoIsThere,
}
