//! Open boards over a real store: two replicas, folds that fail, changes that are refused.

use std::time::Duration;

use backlot_business_api::doors::Named;
use backlot_foundation_db::Db;
use backlot_foundation_runtime::Tasks;
use backlot_foundation_time::SystemClock;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;

use super::*;
use crate::testing::{board_row, migrated, migrated_sqlite};

/// Longest wait for something that another task does.
const WITHIN: Duration = Duration::from_secs(20);

/// One process of several that share a database.
struct Replica {
    rooms: Rooms,
    tasks: Tasks,
}

impl Replica {
    fn of(db: &Db) -> Self {
        let (changes, tasks) = (broadcast::Sender::new(16), Tasks::new());
        let store = Store::new(db.clone());
        let relay = Relay::between_replicas(&store, &tasks);
        let ground = Ground { store, clock: Arc::new(SystemClock), changes, relay: relay.clone() };
        let rooms = Rooms::new(ground, tasks.clone());
        if let Some(relay) = relay {
            tasks.spawn_once(relay.hear(rooms.clone(), tasks.stop_signal()));
        }
        Self { rooms, tasks }
    }

    async fn edit(&self, id: BoardId, commands: Value) -> Result<Edited, Error> {
        let commands = serde_json::from_value(commands).unwrap();
        let author = Author { id: "ada".to_owned(), is_home: true };
        let ask = |reply| Ask::Edit { commands, author, reply };
        self.rooms.ask(id, ask).await.and_then(|done| done)
    }

    async fn read(&self, id: BoardId) -> Seen {
        self.rooms.ask(id, |reply| Ask::Read { reply }).await.unwrap()
    }

    /// Somebody who listens; the room is a live one from then on.
    async fn join(&self, id: BoardId, session: u64) -> mpsc::Receiver<Said> {
        let (outbox, heard) = mpsc::channel(512);
        let actor = if session == 1 { "ada" } else { "bob" };
        let name = Named { name: actor.to_uppercase(), handle: Some(actor.to_owned()) };
        let session = Session { id: session, actor: actor.to_owned(), name, is_home: true, outbox };
        self.rooms.ask(id, |reply| Ask::Join { session, reply }).await.unwrap().unwrap();
        heard
    }

    /// Somebody points somewhere.
    async fn points(&self, id: BoardId, session: u64, clock: u64, x: u32) {
        let json = json!({ "cursor": { "x": x } }).to_string();
        let presence = Presence { client: session, clock, json };
        let says = frames::awareness([&presence].into_iter());
        let frame = frames::read(&says).unwrap().remove(0);
        self.rooms.send(id, Ask::Frame { session, frame }).await.unwrap();
    }

    async fn end(self) {
        self.tasks.shutdown(Duration::from_secs(5)).await;
    }
}

fn node(id: &str) -> Value {
    json!({ "op": "add_node", "id": id, "kind": "prompt", "params": { "prompt": "a calm sea" } })
}

fn place(id: &str, x: u32) -> Value {
    json!({ "op": "move_node", "id": id, "x": x, "y": 0 })
}

async fn board(db: &Db) -> BoardId {
    let row = board_row();
    Store::new(db.clone()).insert(&row, None).await.unwrap();
    row.id
}

async fn run_sql(db: &Db, sql: &str) {
    let tx = db.begin_write().await.unwrap();
    tx.execute_raw(Statement::from_string(tx.backend(), sql)).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn two_replicas_of_one_board_say_the_same_and_lose_nothing() {
    for world in migrated().await {
        if !Store::new(world.db.clone()).has_replicas() {
            continue;
        }
        let id = board(&world.db).await;
        let replicas = [Replica::of(&world.db), Replica::of(&world.db)];
        let _heard = [replicas[0].join(id, 1).await, replicas[1].join(id, 1).await];
        let nodes: Vec<Value> = (0..8).map(|n| node(&format!("n{n}"))).collect();
        replicas[0].edit(id, Value::Array(nodes)).await.unwrap();
        replicas[1].read(id).await;
        // Each folds its log away several times, while the other writes.
        let edits = |replica: usize| {
            let (replicas, from) = (&replicas, replica as u32 * 4);
            async move {
                for n in 0..700_u32 {
                    let name = format!("n{}", from + n % 4);
                    replicas[replica].edit(id, json!([place(&name, n)])).await.unwrap();
                }
            }
        };
        tokio::join!(edits(0), edits(1));
        let (left, right) = (replicas[0].read(id).await, replicas[1].read(id).await);
        assert_eq!(left.board, right.board);
        assert_eq!((left.revision, right.revision), (1_401, 1_401));
        for (name, node) in &left.board.nodes {
            let n: u32 = name[1..].parse().unwrap();
            assert_eq!(node.x, f64::from(696 + n % 4), "{name}: the last edit of each is there");
        }
        for replica in replicas {
            replica.end().await;
        }
        let fresh = Replica::of(&world.db);
        assert_eq!(fresh.read(id).await.board, left.board, "and so the log says");
        fresh.end().await;
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_folded_loses_nothing() {
    let world = migrated_sqlite().await;
    let id = board(&world.db).await;
    run_sql(
        &world.db,
        "CREATE TRIGGER no_fold BEFORE UPDATE OF snapshot ON boards
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .await;
    let replica = Replica::of(&world.db);
    replica.edit(id, json!([node("n")])).await.unwrap();
    for x in 1..=(TAIL_UPDATES_MAX as u32 + 50) {
        replica.edit(id, json!([place("n", x)])).await.unwrap();
    }
    replica.end().await;
    let fresh = Replica::of(&world.db);
    let seen = fresh.read(id).await;
    assert_eq!(seen.board.nodes["n"].x, f64::from(TAIL_UPDATES_MAX as u32 + 50));
    assert_eq!(seen.revision, TAIL_UPDATES_MAX as i64 + 51);

    run_sql(&world.db, "DROP TRIGGER no_fold").await;
    fresh.edit(id, json!([place("n", 9_000)])).await.unwrap();
    // The fold comes after the answer.
    let store = Store::new(world.db.clone());
    let folded = async {
        while !store.document(id).await.unwrap().unwrap().updates.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, folded).await.unwrap();
    assert_eq!(fresh.read(id).await.board.nodes["n"].x, 9_000.0);
    fresh.end().await;
}

#[tokio::test]
async fn what_cannot_be_appended_is_answered_by_nobody_and_read_by_nobody() {
    let world = migrated_sqlite().await;
    let id = board(&world.db).await;
    let replica = Replica::of(&world.db);
    replica.edit(id, json!([node("kept")])).await.unwrap();
    run_sql(
        &world.db,
        "CREATE TRIGGER no_log BEFORE INSERT ON board_updates
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .await;
    let mut heard = replica.join(id, 1).await;
    assert!(replica.edit(id, json!([node("lost")])).await.is_err());
    // Who is connected hears the end and nothing of the change.
    let mut said = Vec::new();
    while let Some(Said::Bytes(bytes)) = heard.recv().await {
        said.push(bytes);
    }
    assert!(said.iter().all(|bytes| bytes[..2] != [0, 2]), "{said:?}");
    run_sql(&world.db, "DROP TRIGGER no_log").await;
    assert_eq!(replica.read(id).await.board.nodes.keys().collect::<Vec<_>>(), ["kept"]);
    replica.edit(id, json!([node("later")])).await.unwrap();
    assert_eq!(replica.read(id).await.board.nodes.len(), 2);
    replica.end().await;
}

#[tokio::test]
async fn a_presence_is_heard_by_everybody_and_ends_with_its_connection() {
    let world = migrated_sqlite().await;
    let id = board(&world.db).await;
    let replica = Replica::of(&world.db);
    let (mut own, mut other) = (replica.join(id, 1).await, replica.join(id, 2).await);
    replica.points(id, 1, 3, 7).await;
    // Also who says it hears it, with the name of who is connected.
    let user = json!({ "id": "ada", "name": "ADA", "handle": "ada" });
    for heard in [&mut own, &mut other] {
        let state = presence_of(heard, 1).await;
        assert_eq!(state, json!({ "cursor": { "x": 7 }, "user": user }));
    }
    replica.rooms.send(id, Ask::Leave { session: 1 }).await.unwrap();
    assert_eq!(presence_of(&mut other, 1).await, Value::Null);
    replica.end().await;
}

/// What is heard next of a client.
async fn presence_of(heard: &mut mpsc::Receiver<Said>, client: u64) -> Value {
    let next = async {
        loop {
            let Some(Said::Bytes(bytes)) = heard.recv().await else { panic!("the connection ended") };
            let Ok(frames) = frames::read(&bytes) else { continue };
            for frame in frames {
                let Frame::Awareness(body) = frame else { continue };
                let said = frames::presences(&body).unwrap();
                if let Some(presence) = said.into_iter().find(|presence| presence.client == client) {
                    return serde_json::from_str(&presence.json).unwrap();
                }
            }
        }
    };
    tokio::time::timeout(WITHIN, next).await.expect("a presence")
}

/// The next news of a kind.
async fn news_of(heard: &mut mpsc::Receiver<Said>, kind: &str) -> Value {
    let next = async {
        loop {
            let Some(Said::Bytes(bytes)) = heard.recv().await else { panic!("the connection ended") };
            // Type 100, then the text and its length.
            let news = bytes.iter().position(|byte| *byte == b'{').filter(|_| bytes[0] == 100);
            let news = news.and_then(|at| serde_json::from_slice::<Value>(&bytes[at..]).ok());
            if let Some(news) = news.filter(|news| news["type"] == kind) {
                return news;
            }
        }
    };
    tokio::time::timeout(WITHIN, next).await.expect("news")
}

#[tokio::test]
async fn presences_and_news_are_heard_at_the_other_replica() {
    for world in migrated().await {
        if !Store::new(world.db.clone()).has_replicas() {
            continue;
        }
        let id = board(&world.db).await;
        let other_board = board(&world.db).await;
        let replicas = [Replica::of(&world.db), Replica::of(&world.db)];
        let mut ada = replicas[0].join(id, 1).await;
        replicas[0].points(id, 1, 1, 5).await;
        assert_eq!(presence_of(&mut ada, 1).await["cursor"]["x"], 5);
        // Who comes later asks who is there; the first word may come before the other replica listens.
        let mut bob = replicas[1].join(id, 2).await;
        let mut elsewhere = replicas[1].join(other_board, 3).await;
        assert_eq!(presence_of(&mut bob, 1).await["user"]["name"], "ADA");
        replicas[1].points(id, 2, 1, 6).await;
        assert_eq!(presence_of(&mut ada, 2).await["user"]["name"], "BOB");
        let began = tokio::time::Instant::now();
        replicas[0].points(id, 1, 2, 9).await;
        while presence_of(&mut bob, 1).await["cursor"]["x"] != 9 {}
        assert!(began.elapsed() < WITHIN, "{:?}", began.elapsed());

        replicas[1].rooms.tell(id, json!({ "type": "take", "take_id": "t" }));
        assert_eq!(news_of(&mut ada, "take").await["take_id"], "t");
        assert_eq!(news_of(&mut bob, "take").await["take_id"], "t", "and here");
        while let Ok(said) = elsewhere.try_recv() {
            let Said::Bytes(bytes) = said else { panic!("it was closed") };
            assert_ne!(bytes[0], 100, "another board's people hear nothing of it");
        }

        replicas[0].rooms.send(id, Ask::Leave { session: 1 }).await.unwrap();
        while presence_of(&mut bob, 1).await != Value::Null {}
        for replica in replicas {
            replica.end().await;
        }
    }
}
