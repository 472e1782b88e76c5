//! The outbox is read in commit order, by every consumer exactly once, on every database.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_events::{
    Consumer, EventMeta, EventsService, Handler, HandlerError, Migrator, outbox, v1,
};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_testkit::{Trust, databases};
use backlot_foundation_time::{Clock as _, SystemClock};
use sea_orm::{ConnectionTrait as _, Statement};
use tokio::sync::mpsc;

fn serve(db: &Db) -> Channel {
    let service = EventsService::new(db.clone(), SystemClock::shared(), Vec::new());
    let routes = tonic::service::Routes::new(service.server());
    Trust::new("test", "infrastructure").channel(routes, "infrastructure")
}

async fn write(tx: &WriteTx, subject: &str) {
    let meta = EventMeta { subject: subject.to_owned(), ..EventMeta::default() };
    outbox::publish_raw(tx, meta, "test.thing.happened", 1, "{}".to_owned()).await.unwrap();
}

struct Seen(mpsc::UnboundedSender<String>);

#[async_trait]
impl Handler for Seen {
    async fn handle(&self, _: &WriteTx, event: &v1::Event) -> Result<(), HandlerError> {
        self.0.send(event.subject.clone()).map_err(|error| HandlerError(error.to_string()))
    }
}

fn consume(db: &Db, channel: Channel, tasks: &Tasks) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let consumer = Arc::new(Consumer::new(db.clone(), "test", channel, &[], Arc::new(Seen(sender))));
    tasks.spawn_loop("consumer", move |stop| {
        let consumer = consumer.clone();
        async move { consumer.run(stop).await }
    });
    receiver
}

#[tokio::test]
async fn nothing_is_missed_behind_a_transaction_that_commits_late() {
    for test in databases("infrastructure").await {
        test.db.migrate::<Migrator>().await.unwrap();
        let tasks = Tasks::new();
        let mut seen = consume(&test.db, serve(&test.db), &tasks);
        if test.db.backend() == sea_orm::DatabaseBackend::Postgres {
            // The early transaction takes its place first and commits last.
            let early = test.db.begin_write().await.unwrap();
            write(&early, "early").await;
            let late = test.db.begin_write().await.unwrap();
            write(&late, "late").await;
            late.commit().await.unwrap();
            let nothing = tokio::time::timeout(Duration::from_millis(300), seen.recv()).await;
            assert!(nothing.is_err(), "a later event must wait for an earlier transaction");
            early.commit().await.unwrap();
        } else {
            for subject in ["early", "late"] {
                let tx = test.db.begin_write().await.unwrap();
                write(&tx, subject).await;
                tx.commit().await.unwrap();
            }
        }
        assert_eq!(seen.recv().await.unwrap(), "early");
        assert_eq!(seen.recv().await.unwrap(), "late");
        tasks.shutdown(Duration::from_secs(2)).await;
    }
}

/// Applies an event as a row: a second application breaks the table's key.
struct Applied(mpsc::UnboundedSender<()>);

#[async_trait]
impl Handler for Applied {
    async fn handle(&self, tx: &WriteTx, event: &v1::Event) -> Result<(), HandlerError> {
        let sql =
            format!("INSERT INTO applied (subject, cursor) VALUES ('{}', '{}')", event.subject, event.cursor);
        tx.execute_unprepared(&sql).await?;
        Ok(())
    }

    async fn committed(&self) {
        self.0.send(()).ok();
    }
}

async fn applied(db: &Db) -> Vec<String> {
    let sql = "SELECT subject, cursor FROM applied";
    let rows = db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
    let mut rows: Vec<(Vec<i64>, String)> = rows
        .iter()
        .map(|row| {
            let cursor: String = row.try_get("", "cursor").unwrap();
            let position = cursor.split('.').map(|part| part.parse().unwrap()).collect();
            (position, row.try_get("", "subject").unwrap())
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, subject)| subject).collect()
}

#[tokio::test]
async fn many_writers_one_order_and_each_event_takes_effect_once_over_restarts() {
    const WRITERS: usize = 8;
    const EVENTS_EACH: usize = 25;
    for test in databases("infrastructure").await {
        test.db.migrate::<Migrator>().await.unwrap();
        let table = "CREATE TABLE applied (subject TEXT PRIMARY KEY, cursor TEXT NOT NULL)";
        test.db.read().execute_unprepared(table).await.unwrap();
        let writers = (0..WRITERS).map(|writer| {
            let db = test.db.clone();
            tokio::spawn(async move {
                for n in 0..EVENTS_EACH {
                    let tx = db.begin_write().await.unwrap();
                    write(&tx, &format!("{writer}:{n:02}")).await;
                    tx.commit().await.unwrap();
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        let channel = serve(&test.db);
        // Each life of the consumer ends after one committed batch, wherever the next one stands.
        while applied(&test.db).await.len() < WRITERS * EVENTS_EACH {
            let (sender, mut batches) = mpsc::unbounded_channel();
            let handler = Arc::new(Applied(sender));
            let consumer = Consumer::new(test.db.clone(), "applied", channel.clone(), &[], handler);
            let stop = Stop::new();
            tokio::join!(consumer.run(stop.clone()), async {
                batches.recv().await;
                stop.stop();
            });
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let applied = applied(&test.db).await;
        for writer in 0..WRITERS {
            let of_writer: Vec<_> =
                applied.iter().filter(|subject| subject.starts_with(&format!("{writer}:"))).collect();
            assert!(of_writer.is_sorted(), "events of writer {writer} are out of order: {of_writer:?}");
            assert_eq!(of_writer.len(), EVENTS_EACH);
        }
    }
}

/// Waits until something holds; the test's own limit ends it where it never does.
async fn until<Fut: Future<Output = bool>>(what: &str, holds: impl Fn() -> Fut) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), wait).await.is_ok(), "{what}");
}

async fn first_answer(channel: &Channel, cursor: &str) -> Result<v1::TailResponse, tonic::Status> {
    let request = v1::TailRequest { cursor: cursor.to_owned(), ..v1::TailRequest::default() };
    let mut client = v1::events_client::EventsClient::new(channel.clone());
    Ok(client.tail(request).await?.into_inner().message().await?.expect("an answer"))
}

#[tokio::test]
async fn what_is_old_goes_and_whoever_stands_before_it_is_told() {
    for test in databases("infrastructure").await {
        test.db.migrate::<Migrator>().await.unwrap();
        let channel = serve(&test.db);
        for subject in ["one", "two"] {
            let tx = test.db.begin_write().await.unwrap();
            write(&tx, subject).await;
            tx.commit().await.unwrap();
        }
        let mut cursors = Vec::new();
        let mut client = v1::events_client::EventsClient::new(channel.clone());
        let mut stream = client.tail(v1::TailRequest::default()).await.unwrap().into_inner();
        while cursors.len() < 2 {
            if let Some(v1::tail_response::Item::Event(event)) = stream.message().await.unwrap().unwrap().item
            {
                cursors.push(event.cursor);
            }
        }
        let now = || SystemClock.now();
        assert_eq!(
            backlot_foundation_events::prune(&test.db, now().minus(Duration::from_secs(60))).await.unwrap(),
            0
        );
        let soon = now().plus(Duration::from_secs(60));
        assert_eq!(backlot_foundation_events::prune(&test.db, soon).await.unwrap(), 2);
        assert_eq!(backlot_foundation_events::prune(&test.db, soon).await.unwrap(), 0);
        let tx = test.db.begin_write().await.unwrap();
        write(&tx, "three").await;
        tx.commit().await.unwrap();

        let refused =
            backlot_foundation_errors::Problem::from(first_answer(&channel, &cursors[0]).await.unwrap_err());
        assert_eq!((refused.code.as_str(), refused.status), ("cursor_expired", 410));
        for cursor in ["", &cursors[1]] {
            let answer = first_answer(&channel, cursor).await.unwrap();
            let Some(v1::tail_response::Item::Event(event)) = answer.item else { panic!("{answer:?}") };
            assert_eq!(event.subject, "three", "after \"{cursor}\"");
        }
        // The open stream goes on where it stands: it missed nothing.
        let next = loop {
            if let Some(v1::tail_response::Item::Event(event)) = stream.message().await.unwrap().unwrap().item
            {
                break event.subject;
            }
        };
        assert_eq!(next, "three");
        // One that begins at the end of an emptied outbox stands behind what was deleted.
        backlot_foundation_events::prune(&test.db, soon).await.unwrap();
        let request = v1::TailRequest { from_end: true, ..v1::TailRequest::default() };
        let mut stream = client.tail(request).await.unwrap().into_inner();
        let beat = stream.message().await.unwrap().unwrap().item;
        assert!(matches!(beat, Some(v1::tail_response::Item::Heartbeat(_))), "{beat:?}");
    }
}

#[tokio::test]
async fn many_events_of_one_commit_keep_their_order() {
    for test in databases("infrastructure").await {
        test.db.migrate::<Migrator>().await.unwrap();
        // Every length of statement, and several of the longest.
        let metas: Vec<EventMeta> = (0..64 * 2 + 16 + 4 + 3)
            .map(|n| EventMeta { subject: format!("{n}"), ..EventMeta::default() })
            .collect();
        let tx = test.db.begin_write().await.unwrap();
        let events = metas.iter().map(|meta| outbox::Raw {
            meta,
            event_type: "test.thing.happened",
            version: 1,
            data_json: "{}",
            traceparent: String::new(),
        });
        outbox::publish_all(&tx, events).await.unwrap();
        outbox::publish_all(&tx, std::iter::empty()).await.unwrap();
        tx.commit().await.unwrap();
        let tasks = Tasks::new();
        let mut seen = consume(&test.db, serve(&test.db), &tasks);
        for meta in &metas {
            assert_eq!(seen.recv().await.unwrap(), meta.subject);
        }
        tasks.shutdown(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn a_consumer_whose_events_do_not_come_moves_on_with_the_heartbeats() {
    for test in databases("infrastructure").await {
        test.db.migrate::<Migrator>().await.unwrap();
        let tx = test.db.begin_write().await.unwrap();
        write(&tx, "of another kind").await;
        tx.commit().await.unwrap();
        let (sender, mut seen) = mpsc::unbounded_channel();
        let types = &["test.other.happened"];
        let handler = Arc::new(Seen(sender));
        let consumer = Consumer::new(test.db.clone(), "idle", serve(&test.db), types, handler);
        let stop = Stop::new();
        tokio::join!(consumer.run(stop.clone()), async {
            until("the position is kept", || async { !consumer.cursor().await.unwrap().is_empty() }).await;
            stop.stop();
        });
        assert!(seen.try_recv().is_err());
        let soon = SystemClock.now().plus(Duration::from_secs(60));
        assert_eq!(backlot_foundation_events::prune(&test.db, soon).await.unwrap(), 1);
        // It was not behind: what comes next reaches it.
        let tx = test.db.begin_write().await.unwrap();
        let meta = EventMeta { subject: "its own".to_owned(), ..EventMeta::default() };
        outbox::publish_raw(&tx, meta, types[0], 1, "{}".to_owned()).await.unwrap();
        tx.commit().await.unwrap();
        let stop = Stop::new();
        tokio::join!(consumer.run(stop.clone()), async {
            assert_eq!(seen.recv().await.unwrap(), "its own");
            stop.stop();
        });
    }
}
