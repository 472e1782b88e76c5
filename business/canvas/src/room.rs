//! A board that is open: one task owns its document, so that nothing of it is ever locked.
//!
//! A change is applied, checked, appended to the log, and only then heard by anybody else; changes that
//! come together share a commit. What is refused is never stored: the document is read again from the log.

mod ask;
mod elsewhere;

use std::collections::HashMap;
use std::sync::Arc;

use backlot_business_api::BoardId;
use backlot_foundation_errors::Problem;
use backlot_foundation_runtime::Stop;
use backlot_foundation_time::SharedClock;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::command::{Command, check};
use crate::crdt::{Document, Refusal};
use crate::error::Error;
use crate::frames::{self, Frame, Presence};
use crate::limits::{
    DOCUMENT_BYTES_MAX, RELAY_EVERY, REPLICA_POLL, ROOM_BATCH, ROOM_IDLE, SESSIONS_MAX, TAIL_BYTES_MAX,
    TAIL_UPDATES_MAX, UPDATE_BYTES_MAX,
};
use crate::presence::Presences;
use crate::relay::Relay;
use crate::rooms::Rooms;
use crate::socket::Change;
use crate::store::{NewUpdate, Store};

use ask::EditReply;
pub(crate) use ask::{Ask, Author, Edited, Said, Seen, Session};

/// Close code: a change was refused.
pub(crate) const CLOSE_REFUSED: u16 = 4422;

/// A change that is applied and not yet durable.
struct Pending {
    bytes: Vec<u8>,
    author: Author,
    from: Option<u64>,
    reply: Option<(EditReply, Vec<String>)>,
}

/// The room cannot go on: its board is gone, or its log cannot be read.
struct Closed(Problem);

impl<E: Into<Problem>> From<E> for Closed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// What a room stands on.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) clock: SharedClock,
    pub(crate) changes: broadcast::Sender<Change>,
    /// `None`: no other replica can be there.
    pub(crate) relay: Option<Relay>,
}

pub(crate) struct Room {
    id: BoardId,
    ground: Ground,
    document: Document,
    seq: i64,
    access_version: i64,
    nodes: usize,
    bytes: usize,
    tail_updates: usize,
    tail_bytes: usize,
    sessions: HashMap<u64, Session>,
    presences: Presences,
    /// What other replicas are still to hear of those who are here: the last of each.
    unsaid: HashMap<u64, (String, Presence)>,
    pending: Vec<Pending>,
}

impl Room {
    /// Opens the board and serves it until nobody needs it.
    pub(crate) async fn run(
        id: BoardId,
        ground: Ground,
        rooms: Rooms,
        mut asks: mpsc::Receiver<Ask>,
        stop: Stop,
    ) {
        let mut room = match Self::open(id, ground).await {
            Ok(room) => room,
            Err(Closed(problem)) => {
                tracing::warn!(board = %id, %problem, "a board cannot be opened");
                rooms.forget(id, &mut asks);
                return;
            }
        };
        if let Err(Closed(problem)) = room.serve(&rooms, &mut asks, &stop).await {
            tracing::info!(board = %id, %problem, "a board is closed");
            rooms.forget(id, &mut asks);
        }
        // Whoever is connected sees the end of the outbox, and comes back.
    }

    async fn open(id: BoardId, ground: Ground) -> Result<Self, Closed> {
        let mut room = Self {
            id,
            ground,
            document: Document::new(),
            seq: 0,
            access_version: 0,
            nodes: 0,
            bytes: 0,
            tail_updates: 0,
            tail_bytes: 0,
            sessions: HashMap::new(),
            presences: Presences::default(),
            unsaid: HashMap::new(),
            pending: Vec::new(),
        };
        room.read_again().await?;
        Ok(room)
    }

    /// Throws the document in memory away and reads it from the log.
    async fn read_again(&mut self) -> Result<(), Closed> {
        let stored = self.ground.store.document(self.id).await?;
        let stored = stored.ok_or_else(|| Error::BoardUnknown(self.id.to_string()))?;
        let mut document = Document::new();
        for bytes in stored.snapshot.iter().chain(&stored.updates) {
            document.replay(bytes).map_err(|error| Error::Broken(format!("board {}: {error}", self.id)))?;
        }
        self.document = document;
        self.nodes = self.document.node_count();
        self.tail_updates = stored.updates.len();
        self.tail_bytes = stored.updates.iter().map(Vec::len).sum();
        self.bytes = self.tail_bytes + stored.snapshot.map_or(0, |snapshot| snapshot.len());
        (self.seq, self.access_version) = (stored.seq, stored.access_version);
        Ok(())
    }

    async fn serve(
        &mut self,
        rooms: &Rooms,
        asks: &mut mpsc::Receiver<Ask>,
        stop: &Stop,
    ) -> Result<(), Closed> {
        let mut batch = Vec::with_capacity(ROOM_BATCH);
        let mut polled = tokio::time::interval(REPLICA_POLL);
        polled.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let replicas = self.ground.store.has_replicas();
        let mut relayed = tokio::time::interval(RELAY_EVERY);
        relayed.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                count = asks.recv_many(&mut batch, ROOM_BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for ask in batch.drain(..) {
                        self.answer(ask).await?;
                    }
                    self.commit().await?;
                    self.fold().await;
                }
                _ = polled.tick(), if replicas && !self.sessions.is_empty() => {
                    self.hear_replicas().await?;
                    let silent = self.presences.expire(self.ground.clock.now());
                    if !silent.is_empty() {
                        self.send(&frames::awareness(silent.iter()), None);
                    }
                }
                _ = relayed.tick(), if !self.unsaid.is_empty() => self.say_presences(),
                () = tokio::time::sleep(ROOM_IDLE), if self.sessions.is_empty() => {
                    // The store may be down: then the log stays as it is, and the memory is given back all the same.
                    if self.tail_updates > 0 {
                        self.fold_now().await;
                    }
                    if rooms.retire(self.id, asks) {
                        return Ok(());
                    }
                }
                () = stop.stopped() => return Ok(()),
            }
        }
    }

    async fn answer(&mut self, ask: Ask) -> Result<(), Closed> {
        match ask {
            Ask::Join { session, reply } => {
                self.commit().await?;
                let _ = reply.send(self.join(session));
            }
            Ask::Frame { session, frame } => self.frame(session, frame).await?,
            Ask::Leave { session } => self.leave(session),
            Ask::Edit { commands, author, reply } => self.edit(&commands, author, reply),
            Ask::Read { reply } => {
                self.commit().await?;
                if self.ground.store.has_replicas() {
                    self.hear_replicas().await?;
                }
                let _ = reply.send(Seen { revision: self.seq, board: self.document.board() });
            }
            Ask::Tell(news) => self.tell(&news),
            Ask::Relayed(word) => self.relayed(word),
            Ask::WhoIsThere => self.ask_who(),
        }
        Ok(())
    }

    fn join(&mut self, session: Session) -> Result<(), Error> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Error::Full { what: "people at once", max: SESSIONS_MAX as u64 });
        }
        let mut greeting = vec![frames::step1(&self.document.state_vector())];
        greeting.extend(self.presences.message());
        for bytes in greeting {
            let _ = session.outbox.try_send(Said::Bytes(bytes.into()));
        }
        metrics::gauge!("backlot_board_sessions").increment(1.0);
        self.sessions.insert(session.id, session);
        if self.sessions.len() == 1 {
            self.ask_who();
        }
        Ok(())
    }

    fn leave(&mut self, session: u64) {
        if self.sessions.remove(&session).is_none() {
            return;
        }
        metrics::gauge!("backlot_board_sessions").decrement(1.0);
        let gone = self.presences.leave(session);
        if gone.is_empty() {
            return;
        }
        let presences: Vec<Presence> = gone.iter().map(|(_, presence)| presence.clone()).collect();
        self.send(&frames::awareness(presences.iter()), None);
        self.say_later(gone);
        // Nobody may be left here to say it later.
        self.say_presences();
    }

    async fn frame(&mut self, session: u64, frame: Frame) -> Result<(), Closed> {
        match frame {
            Frame::Step1(state_vector) => {
                self.commit().await?;
                match self.document.diff(&state_vector) {
                    Ok(update) => self.send_to(session, frames::step2(&update)),
                    Err(refusal) => self.refuse(session, Error::refused(refusal)),
                }
            }
            Frame::Update(bytes) => self.update(session, &bytes).await?,
            Frame::Awareness(bytes) => self.awareness(session, &bytes),
            Frame::QueryAwareness => {
                self.send_to(session, self.presences.message().unwrap_or_else(frames::nobody));
            }
            Frame::Other => (),
        }
        Ok(())
    }

    async fn update(&mut self, session: u64, bytes: &[u8]) -> Result<(), Closed> {
        let author = self
            .sessions
            .get(&session)
            .map(|session| Author { id: session.actor.clone(), is_home: session.is_home });
        let Some(author) = author else { return Ok(()) };
        if bytes.len() > UPDATE_BYTES_MAX || self.bytes + bytes.len() > DOCUMENT_BYTES_MAX {
            self.refuse(session, Error::TooLarge(bytes.len()));
            return Ok(());
        }
        match self.document.apply(bytes) {
            Ok(None) => Ok(()),
            Ok(Some(bytes)) => {
                self.nodes = self.document.node_count();
                self.bytes += bytes.len();
                self.pending.push(Pending { bytes, author, from: Some(session), reply: None });
                Ok(())
            }
            Err(Refusal::Unreadable) => {
                // An update that cannot be decoded changed nothing; one that breaks half-way may have.
                self.start_over(session, Refusal::Unreadable).await
            }
            Err(refusal) => self.start_over(session, refusal).await,
        }
    }

    /// Keeps what was accepted, forgets what was not.
    async fn start_over(&mut self, session: u64, refusal: Refusal) -> Result<(), Closed> {
        tracing::info!(board = %self.id, %refusal, "an update was refused");
        self.commit().await?;
        self.read_again().await?;
        self.refuse(session, Error::refused(refusal));
        // What waited for changes that had not come yet was forgotten, too: the others are asked for it again.
        self.send(&frames::step1(&self.document.state_vector()), None);
        Ok(())
    }

    /// Says why, then closes: the client holds something that the board will never have.
    fn refuse(&mut self, session: u64, error: Error) {
        let problem = Problem::from(error);
        let news = json!({ "type": "refused", "code": problem.code, "detail": problem.detail,
            "node": problem.extra.get("node") });
        self.send_to(session, frames::custom(&news));
        if let Some(session) = self.sessions.get(&session) {
            let _ = session.outbox.try_send(Said::Close(CLOSE_REFUSED, problem.code));
        }
        self.leave(session);
    }

    /// Everybody hears of it, also who said it: y-websocket takes half a minute without a message for a lost
    /// connection, and the echo of its own presence is what it hears on a board that is quiet.
    fn awareness(&mut self, session: u64, bytes: &[u8]) {
        let Some(speaker) = self.sessions.get(&session) else { return };
        let Ok(said) = frames::presences(bytes) else { return };
        let heard = self.presences.hear(session, &speaker.actor, &speaker.name, said);
        if heard.is_empty() {
            return;
        }
        let actor = speaker.actor.clone();
        self.send(&frames::awareness(heard.iter()), None);
        self.say_later(heard.into_iter().map(|presence| (actor.clone(), presence)).collect());
    }

    fn edit(&mut self, commands: &[Command], author: Author, reply: EditReply) {
        let mut board = self.document.board();
        let (writes, ids) = match check(&mut board, commands, || uuid::Uuid::now_v7().to_string()) {
            Ok(checked) => checked,
            Err(invalid) => {
                let _ = reply.send(Err(invalid.into()));
                return;
            }
        };
        if self.bytes > DOCUMENT_BYTES_MAX {
            let _ = reply.send(Err(Error::TooLarge(self.bytes)));
            return;
        }
        let bytes = self.document.write(&writes);
        self.nodes = self.document.node_count();
        self.bytes += bytes.len();
        self.pending.push(Pending { bytes, author, from: None, reply: Some((reply, ids)) });
    }

    /// Makes what is pending durable, then tells it.
    async fn commit(&mut self) -> Result<(), Closed> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let updates: Vec<NewUpdate> = pending
            .iter()
            .map(|one| NewUpdate {
                bytes: one.bytes.clone(),
                actor: one.author.id.clone(),
                is_home: one.author.is_home,
            })
            .collect();
        let now = self.ground.clock.now();
        // An error here closes the room: memory is ahead of the log, so it is not to be believed. Nobody has
        // heard of these changes; their clients still have them, and send them again when they come back.
        let appended = self.ground.store.append(self.id, self.seq, &updates, self.nodes, now).await?;
        let appended = appended.ok_or_else(|| Error::BoardUnknown(self.id.to_string()))?;
        match &appended.missed {
            Some(missed) => self.take_in(missed)?,
            // Without this the document would lack what was folded, and the next fold would lose it for good.
            None => self.catch_up().await?,
        }
        self.seq = self.seq.max(appended.seq);
        for one in pending {
            self.tail_updates += 1;
            self.tail_bytes += one.bytes.len();
            self.send(&frames::update(&one.bytes), one.from);
            if let Some((reply, ids)) = one.reply {
                let _ = reply.send(Ok(Edited { revision: self.seq, ids }));
            }
        }
        Ok(())
    }

    /// Applies and tells what other replicas wrote.
    fn take_in(&mut self, updates: &[Vec<u8>]) -> Result<(), Closed> {
        for bytes in updates {
            self.document
                .replay(bytes)
                .map_err(|error| Error::Broken(format!("board {}: {error}", self.id)))?;
            self.tail_updates += 1;
            self.tail_bytes += bytes.len();
            self.bytes += bytes.len();
            self.send(&frames::update(bytes), None);
        }
        if !updates.is_empty() {
            self.nodes = self.document.node_count();
        }
        Ok(())
    }

    async fn hear_replicas(&mut self) -> Result<(), Closed> {
        let versions = self.ground.store.versions(self.id).await?;
        let (seq, access_version) = versions.ok_or_else(|| Error::BoardUnknown(self.id.to_string()))?;
        if seq > self.seq {
            let updates = self.ground.store.updates(self.id, self.seq).await?;
            if i64::try_from(updates.len()).unwrap_or(0) < seq - self.seq {
                self.catch_up().await?;
            } else {
                self.seq += updates.len() as i64;
                self.take_in(&updates)?;
            }
        }
        if access_version != self.access_version {
            self.access_version = access_version;
            let _ = self.ground.changes.send(Change::Board(self.id));
        }
        Ok(())
    }

    /// Reads what another replica has folded away meanwhile, and tells all of it.
    async fn catch_up(&mut self) -> Result<(), Closed> {
        self.read_again().await?;
        self.send(&frames::update(&self.document.snapshot()), None);
        Ok(())
    }

    async fn fold(&mut self) {
        if self.tail_updates >= TAIL_UPDATES_MAX || self.tail_bytes >= TAIL_BYTES_MAX {
            self.fold_now().await;
        }
    }

    /// Folds the log into a snapshot. Where that fails, the log is only longer than it need be.
    async fn fold_now(&mut self) {
        let snapshot = self.document.snapshot();
        let size = snapshot.len();
        match self.ground.store.compact(self.id, self.seq, snapshot).await {
            Ok(true) => (self.tail_updates, self.tail_bytes, self.bytes) = (0, 0, size),
            Ok(false) => (self.tail_updates, self.tail_bytes) = (0, 0),
            Err(error) => tracing::warn!(board = %self.id, %error, "a board's log could not be folded"),
        }
    }

    fn tell(&mut self, news: &Value) {
        self.send(&frames::custom(news), None);
    }

    /// To everybody but `except`. Who does not keep up is closed; they come back and get what they lack.
    fn send(&mut self, bytes: &[u8], except: Option<u64>) {
        let bytes: Arc<[u8]> = bytes.into();
        let mut slow = Vec::new();
        for session in self.sessions.values().filter(|session| Some(session.id) != except) {
            if session.outbox.try_send(Said::Bytes(bytes.clone())).is_err() {
                slow.push(session.id);
            }
        }
        for session in slow {
            self.leave(session);
        }
    }

    fn send_to(&mut self, session: u64, bytes: Vec<u8>) {
        let full = self
            .sessions
            .get(&session)
            .is_some_and(|session| session.outbox.try_send(Said::Bytes(bytes.into())).is_err());
        if full {
            self.leave(session);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        metrics::gauge!("backlot_board_sessions").decrement(self.sessions.len() as f64);
    }
}

#[cfg(test)]
mod tests;
