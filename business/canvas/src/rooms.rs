//! The boards that are open in this process.

use std::collections::HashMap;
use std::sync::Arc;

use backlot_business_api::BoardId;
use backlot_foundation_runtime::Tasks;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::limits::{ROOM_QUEUE, ROOMS_MAX};
use crate::relay::Word;
use crate::room::{Ask, Ground, Room};

/// Times that a request goes to a room which retires at that moment.
const TRIES: usize = 5;

/// The open boards. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rooms(Arc<Inner>);

struct Inner {
    ground: Ground,
    tasks: Tasks,
    open: Mutex<HashMap<BoardId, mpsc::Sender<Ask>>>,
}

impl Rooms {
    /// None yet. `tasks` owns each room.
    pub(crate) fn new(ground: Ground, tasks: Tasks) -> Self {
        Self(Arc::new(Inner { ground, tasks, open: Mutex::default() }))
    }

    fn room(&self, id: BoardId) -> Result<mpsc::Sender<Ask>, Error> {
        let mut open = self.0.open.lock();
        if let Some(room) = open.get(&id)
            && !room.is_closed()
        {
            return Ok(room.clone());
        }
        if open.len() >= ROOMS_MAX {
            open.retain(|_, room| !room.is_closed());
        }
        let stop = self.0.tasks.stop_signal();
        if open.len() >= ROOMS_MAX || stop.is_stopped() {
            return Err(Error::Busy);
        }
        let (sender, asks) = mpsc::channel(ROOM_QUEUE);
        open.insert(id, sender.clone());
        self.0.tasks.spawn_once(Room::run(id, self.0.ground.clone(), self.clone(), asks, stop));
        Ok(sender)
    }

    /// Brings something to the board's room, and opens it for that.
    pub(crate) async fn send(&self, id: BoardId, mut ask: Ask) -> Result<(), Error> {
        for _ in 0..TRIES {
            match self.room(id)?.send(ask).await {
                Ok(()) => return Ok(()),
                Err(mpsc::error::SendError(back)) => ask = back,
            }
        }
        Err(Error::Busy)
    }

    /// Asks the board's room, and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        id: BoardId,
        ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(id, ask(reply)).await?;
        answer.await.map_err(|_| Error::Busy)
    }

    /// News for those who are connected, here and at other replicas.
    pub(crate) fn tell(&self, id: BoardId, news: Value) {
        if let Some(relay) = &self.0.ground.relay {
            relay.say(id, Word::News(news.clone()));
        }
        self.hint(id, Ask::Tell(news));
    }

    /// Something that another replica says, for those who are connected here.
    pub(crate) fn relayed(&self, id: BoardId, word: Word) {
        self.hint(id, Ask::Relayed(word));
    }

    /// Other replicas may have spoken unheard.
    pub(crate) fn ask_who(&self) {
        let open: Vec<BoardId> = self.0.open.lock().keys().copied().collect();
        for id in open {
            self.hint(id, Ask::WhoIsThere);
        }
    }

    /// For whoever is connected; nobody is, where the board is not open.
    fn hint(&self, id: BoardId, ask: Ask) {
        let room = self.0.open.lock().get(&id).cloned();
        if let Some(room) = room {
            // A full queue drops it: news only wakes, the database tells.
            let _ = room.try_send(ask);
        }
    }

    /// Takes an idle room out, unless something has come for it. True: it may end.
    pub(crate) fn retire(&self, id: BoardId, asks: &mut mpsc::Receiver<Ask>) -> bool {
        let mut open = self.0.open.lock();
        if !asks.is_empty() {
            return false;
        }
        asks.close();
        open.remove(&id);
        drop(open);
        self.forward(id, asks);
        true
    }

    /// Takes a room out that cannot go on; whoever waits gets no answer and asks again.
    pub(crate) fn forget(&self, id: BoardId, asks: &mut mpsc::Receiver<Ask>) {
        let mut open = self.0.open.lock();
        asks.close();
        open.remove(&id);
    }

    /// What came between the last look and the closing goes to a new room.
    fn forward(&self, id: BoardId, asks: &mut mpsc::Receiver<Ask>) {
        while let Ok(ask) = asks.try_recv() {
            let rooms = self.clone();
            self.0.tasks.spawn_once(async move {
                let _ = rooms.send(id, ask).await;
            });
        }
    }
}
