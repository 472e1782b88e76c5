//! What one replica tells the others that serve the same boards: who is there, and news of runs and takes.
//!
//! Edits go by way of the log, and whoever misses news reads the database; so news may be lost, and presences are said
//! again. One process alone (SQLite) tells nobody.

use backlot_business_api::BoardId;
use backlot_foundation_db::NEWS_BYTES_MAX;
use backlot_foundation_runtime::{Stop, Tasks};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::frames::Presence;
use crate::limits::{RELAY_BATCH, RELAY_PAUSE, RELAY_QUEUE};
use crate::rooms::Rooms;
use crate::store::Store;

/// The topic under which replicas talk.
const TOPIC: &str = "boards";

/// What a replica says about a board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// Somebody is here, was here, or has moved.
    Presence {
        /// Who.
        actor: String,
        /// The Yjs client.
        client: u64,
        /// Rises with each change.
        clock: u64,
        /// Null: gone.
        state: Value,
    },
    /// Who is with you?
    Who,
    /// For everybody who is connected.
    News(Value),
}

impl Word {
    /// `None` where the presence cannot be read.
    pub(crate) fn of(actor: String, presence: Presence) -> Option<Self> {
        let Presence { client, clock, json } = presence;
        Some(Self::Presence { actor, client, clock, state: serde_json::from_str(&json).ok()? })
    }
}

/// A word with where it comes from and what it is about.
#[derive(Debug, Serialize, Deserialize)]
struct Parcel {
    from: uuid::Uuid,
    board: BoardId,
    word: Word,
}

/// The way to the other replicas. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    own: uuid::Uuid,
    store: Store,
    queue: mpsc::Sender<String>,
}

impl Relay {
    /// `None` where there can be no other replica. `tasks` owns what sends.
    pub(crate) fn between_replicas(store: &Store, tasks: &Tasks) -> Option<Self> {
        if !store.has_replicas() {
            return None;
        }
        let (queue, waiting) = mpsc::channel(RELAY_QUEUE);
        tasks.spawn_once(send(store.clone(), waiting, tasks.stop_signal()));
        Some(Self { own: uuid::Uuid::new_v4(), store: store.clone(), queue })
    }

    /// Tells the others, sooner or later or never.
    pub(crate) fn say(&self, board: BoardId, word: Word) {
        let parcel = Parcel { from: self.own, board, word };
        let Ok(text) = serde_json::to_string(&parcel) else { return };
        if text.len() > NEWS_BYTES_MAX || self.queue.try_send(text).is_err() {
            metrics::counter!("backlot_board_relay_dropped").increment(1);
        }
    }

    /// Hears the others until the stop signal.
    pub(crate) async fn hear(self, rooms: Rooms, stop: Stop) {
        while !stop.is_stopped() {
            match stop.unless_stopped(self.store.db().listen(TOPIC)).await {
                Some(Ok(Some(mut listener))) => {
                    // What was said before is asked for.
                    rooms.ask_who();
                    while let Some(heard) = stop.unless_stopped(listener.next()).await {
                        match heard {
                            Ok(Some(text)) => self.pass_on(&rooms, &text),
                            Ok(None) => rooms.ask_who(),
                            Err(error) => {
                                tracing::warn!(%error, "other replicas cannot be heard now");
                                break;
                            }
                        }
                    }
                }
                Some(Ok(None)) | None => return,
                Some(Err(error)) => tracing::warn!(%error, "other replicas cannot be heard now"),
            }
            stop.sleep(RELAY_PAUSE).await;
        }
    }

    fn pass_on(&self, rooms: &Rooms, text: &str) {
        match serde_json::from_str::<Parcel>(text) {
            Ok(parcel) if parcel.from == self.own => (),
            Ok(parcel) => rooms.relayed(parcel.board, parcel.word),
            Err(error) => tracing::debug!(%error, "a word of another replica cannot be read"),
        }
    }
}

/// Sends what waits, several in one statement.
async fn send(store: Store, mut waiting: mpsc::Receiver<String>, stop: Stop) {
    let mut batch = Vec::with_capacity(RELAY_BATCH);
    while let Some(1..) = stop.unless_stopped(waiting.recv_many(&mut batch, RELAY_BATCH)).await {
        if let Err(error) = store.db().tell(TOPIC, std::mem::take(&mut batch)).await {
            // Lost, as news may be; the database says what they said.
            tracing::warn!(%error, "other replicas cannot be told now");
        }
    }
}
