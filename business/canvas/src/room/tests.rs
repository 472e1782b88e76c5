//! Open boards over a real store: two replicas, folds that fail, changes that are refused.

use std::time::Duration;

use backlot_foundation_db::Db;
use backlot_foundation_runtime::Tasks;
use backlot_foundation_testkit::{TestDb, databases};
use backlot_foundation_time::{SystemClock, Timestamp};
use backlot_infrastructure_api::OrganisationId;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;

use super::*;
use crate::migrations::Migrator;
use crate::store::BoardRow;

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
        let ground = Ground { store: Store::new(db.clone()), clock: Arc::new(SystemClock), changes };
        Self { rooms: Rooms::new(ground, tasks.clone()), tasks }
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
        let session = Session { id: session, actor: "ada".to_owned(), is_home: true, outbox };
        self.rooms.ask(id, |reply| Ask::Join { session, reply }).await.unwrap().unwrap();
        heard
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

async fn worlds() -> Vec<TestDb> {
    let all = databases("business").await;
    for one in &all {
        one.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        one.db.migrate::<Migrator>().await.unwrap();
    }
    all
}

async fn board(db: &Db) -> BoardId {
    let now = Timestamp::from_micros(1);
    let row = BoardRow {
        id: BoardId::generate(),
        organisation_id: OrganisationId::generate(),
        project_id: None,
        title: "Harbour".to_owned(),
        created_by: "ada".to_owned(),
        is_template: false,
        parent_board_id: None,
        parent_post_id: None,
        nodes: 0,
        seq: 0,
        access_version: 0,
        preview_asset: None,
        created_at: now,
        updated_at: now,
    };
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
    for world in worlds().await {
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
    let world = TestDb::sqlite("business").await;
    world.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
    world.db.migrate::<Migrator>().await.unwrap();
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
    let world = TestDb::sqlite("business").await;
    world.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
    world.db.migrate::<Migrator>().await.unwrap();
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
    let world = TestDb::sqlite("business").await;
    world.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
    world.db.migrate::<Migrator>().await.unwrap();
    let id = board(&world.db).await;
    let replica = Replica::of(&world.db);
    let (mut own, mut other) = (replica.join(id, 1).await, replica.join(id, 2).await);
    let presence = crate::frames::Presence { client: 7, clock: 3, json: "{\"cursor\":1}".to_owned() };
    let says = frames::awareness([&presence].into_iter());
    let frame = frames::read(&says).unwrap().remove(0);
    let ask = Ask::Frame { session: 1, frame };
    replica.rooms.send(id, ask).await.unwrap();
    // After the greeting, the very same: also to who said it.
    for heard in [&mut own, &mut other] {
        assert!(matches!(heard.recv().await, Some(Said::Bytes(bytes)) if bytes[..2] == [0, 0]));
        assert!(matches!(heard.recv().await, Some(Said::Bytes(bytes)) if *bytes == *says));
    }
    replica.rooms.send(id, Ask::Leave { session: 1 }).await.unwrap();
    let gone = crate::frames::Presence { clock: 4, json: "null".to_owned(), ..presence };
    let says = frames::awareness([&gone].into_iter());
    assert!(matches!(other.recv().await, Some(Said::Bytes(bytes)) if *bytes == *says));
    replica.end().await;
}
