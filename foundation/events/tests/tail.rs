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
use backlot_foundation_time::SystemClock;
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
