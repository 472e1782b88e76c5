//! Real sources, a real lake, both databases: every event arrives once, or is set aside with its reason.

use std::time::Duration;

use backlot_data_collector::{Config, Migrator, Service, Source};
use backlot_data_lake::{Config as LakeConfig, Lake, S3, WaitingSource as _};
use backlot_foundation_db::Db;
use backlot_foundation_events::{EventMeta, EventSchema, EventsService, outbox};
use backlot_foundation_runtime::Tasks;
use backlot_foundation_testkit::{TestDb, Trust, databases};
use backlot_foundation_time::{SystemClock, Timestamp};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tonic::service::Routes;
use tower::ServiceExt as _;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);
const EXACT: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}},"additionalProperties":false}"#;

fn schema(event_type: &'static str) -> EventSchema {
    EventSchema { event_type, version: 1, json: EXACT.to_owned() }
}

/// A system with an outbox.
struct Producer {
    db: Db,
    trust: Trust,
}

impl Producer {
    async fn new(db: &TestDb) -> Self {
        db.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        Self { db: db.db.clone(), trust: Trust::new("data", "business") }
    }

    fn source(&self, name: &str, schemas: Vec<EventSchema>) -> Source {
        let service = EventsService::new(self.db.clone(), SystemClock::shared(), schemas);
        let routes = Routes::new(service.server());
        Source { name: name.to_owned(), channel: self.trust.channel(routes, "business") }
    }

    async fn publish(&self, event_type: &str, data: Value) {
        let tx = self.db.begin_write().await.unwrap();
        let meta = EventMeta {
            subject: "thing".to_owned(),
            organisation: "org".to_owned(),
            actor: "ann".to_owned(),
            time: SystemClock::shared().now(),
        };
        outbox::publish_raw(&tx, meta, event_type, 1, data.to_string()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Data: its database, its lake, a collector and its tasks.
struct Data {
    db: Db,
    lake: Lake,
    service: Service,
    tasks: Tasks,
}

impl Data {
    async fn start(db: &Db, folder: &std::path::Path, sources: Vec<Source>, flush_ms: u64) -> Self {
        Self::start_over(db, LakeConfig::folder(folder), sources, flush_ms).await
    }

    async fn start_over(db: &Db, lake: LakeConfig, sources: Vec<Source>, flush_ms: u64) -> Self {
        db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        db.migrate::<Migrator>().await.unwrap();
        let lake = Lake::new(lake).unwrap();
        let config = Config { flush_ms, write_keys: vec!["web".to_owned()], ..Config::default() };
        let service =
            Service::new(db.clone(), lake.clone(), sources, SystemClock::shared(), config).await.unwrap();
        let tasks = Tasks::new();
        service.tasks(&tasks);
        Self { db: db.clone(), lake, service, tasks }
    }

    /// `n` of the events that readers see, in order.
    async fn numbers(&self) -> Vec<i64> {
        let view = self.lake.read(&self.service).await.unwrap();
        let sql = "SELECT json_int(data_json, 'n') AS n FROM events ORDER BY n";
        view.query(sql, 10_000).await.unwrap().iter().map(|row| row["n"].as_i64().unwrap()).collect()
    }

    async fn quarantined(&self) -> Vec<(String, String)> {
        let list = self.service.quarantined(None, None).await.unwrap();
        list.items.into_iter().map(|item| (item.event_type, item.reason)).collect()
    }

    /// Looks after every commit of data's database until `holds`.
    async fn until<Fut: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> Fut) {
        let mut commits = self.db.commits();
        let wait = async {
            while !holds().await {
                commits.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("it never came to be: {what}"));
    }

    async fn until_seen(&self, expected: &[i64]) {
        self.until(&format!("{expected:?} are seen"), || async { self.numbers().await == expected }).await;
    }

    async fn waiting(&self) -> usize {
        self.service.waiting().await.unwrap().events.len()
    }

    async fn stop(self) {
        self.tasks.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn every_event_is_seen_at_once_and_arrives_once() {
    for (producing, collecting) in pairs().await {
        let folder = tempfile::tempdir().unwrap();
        let producer = Producer::new(&producing).await;
        for n in 0..3 {
            producer.publish("test.thing.happened", json!({"n": n})).await;
        }
        // Twice the same system under two names: every event comes twice.
        let sources =
            || ["one", "two"].map(|name| producer.source(name, vec![schema("test.thing.happened")])).to_vec();
        // Nothing is flushed in this time: all that is seen is still waiting.
        let data = Data::start(&collecting.db, folder.path(), sources(), 3_600_000).await;
        data.until_seen(&[0, 1, 2]).await;
        producer.publish("test.thing.happened", json!({"n": 3})).await;
        data.until_seen(&[0, 1, 2, 3]).await;
        data.stop().await;

        // After a restart what waits moves into the lake, and nothing is read again.
        let data = Data::start(&collecting.db, folder.path(), sources(), 1).await;
        producer.publish("test.thing.happened", json!({"n": 4})).await;
        data.until_seen(&[0, 1, 2, 3, 4]).await;
        data.until("nothing waits", || async { data.waiting().await == 0 }).await;
        assert_eq!(data.numbers().await, [0, 1, 2, 3, 4]);
        assert!(data.quarantined().await.is_empty());
        data.stop().await;
    }
}

/// A producer's and a collector's database of each kind.
async fn pairs() -> Vec<(TestDb, TestDb)> {
    databases("business").await.into_iter().zip(databases("data").await).collect()
}

#[tokio::test]
async fn a_crash_between_the_lakes_commit_and_the_removal_neither_loses_nor_doubles() {
    let (producing, collecting) = pairs().await.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let producer = Producer::new(&producing).await;
    producer.publish("test.thing.happened", json!({"n": 1})).await;
    producer.publish("test.thing.happened", json!({"n": 2})).await;
    let source = || vec![producer.source("one", vec![schema("test.thing.happened")])];
    let data = Data::start(&collecting.db, folder.path(), source(), 3_600_000).await;
    data.until_seen(&[1, 2]).await;
    // What the loader does first; then it dies.
    let waiting = data.service.waiting().await.unwrap();
    data.lake.append(&waiting.application, &waiting.events).await.unwrap();
    assert_eq!(data.waiting().await, 2, "the rows are still there");
    assert_eq!(data.numbers().await, [1, 2], "and are not seen twice");
    // More comes before it is started again.
    producer.publish("test.thing.happened", json!({"n": 3})).await;
    data.until_seen(&[1, 2, 3]).await;
    data.stop().await;

    let data = Data::start(&collecting.db, folder.path(), source(), 1).await;
    data.until("nothing waits", || async { data.waiting().await == 0 }).await;
    assert_eq!(data.numbers().await, [1, 2, 3]);
    data.stop().await;
}

#[tokio::test]
async fn a_new_database_over_an_old_lake_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let producing = TestDb::sqlite("business").await;
    let producer = Producer::new(&producing).await;
    producer.publish("test.thing.happened", json!({"n": 1})).await;
    let source = || vec![producer.source("one", vec![schema("test.thing.happened")])];
    let first = TestDb::sqlite("data").await;
    let data = Data::start(&first.db, folder.path(), source(), 1).await;
    data.until_seen(&[1]).await;
    data.until("nothing waits", || async { data.waiting().await == 0 }).await;
    data.stop().await;

    // Data's database is lost: all sources are read from their beginnings.
    producer.publish("test.thing.happened", json!({"n": 2})).await;
    let second = TestDb::sqlite("data").await;
    let data = Data::start(&second.db, folder.path(), source(), 1).await;
    data.until_seen(&[1, 2]).await;
    data.until("nothing waits", || async { data.waiting().await == 0 }).await;
    assert_eq!(data.numbers().await, [1, 2]);
    data.stop().await;
}

#[tokio::test]
async fn while_the_store_of_the_lake_is_down_events_wait() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let (producing, collecting) = pairs().await.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let producer = Producer::new(&producing).await;
    let source = || vec![producer.source("one", vec![schema("test.thing.happened")])];
    producer.publish("test.thing.happened", json!({"n": 1})).await;
    let data = Data::start(&collecting.db, folder.path(), source(), 1).await;
    data.until("nothing waits", || async { data.numbers().await == [1] && data.waiting().await == 0 }).await;
    data.stop().await;

    // Nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let s3 = S3 { endpoint, access_key: "a".to_owned(), secret_key: "s".to_owned(), ..S3::default() };
    let down = LakeConfig { url: "s3://nowhere/lake".to_owned(), s3, ..LakeConfig::default() };
    let data = Data::start_over(&collecting.db, down, source(), 1).await;
    producer.publish("test.thing.happened", json!({"n": 2})).await;
    data.until("it waits", || async { data.waiting().await == 1 }).await;
    let answer = tokio::time::timeout(PATIENCE, data.lake.read(&data.service)).await.unwrap();
    assert!(answer.is_err(), "an answer, and no number without the table");
    data.stop().await;

    let data = Data::start(&collecting.db, folder.path(), source(), 1).await;
    data.until("nothing waits", || async { data.waiting().await == 0 }).await;
    assert_eq!(data.numbers().await, [1, 2]);
    data.stop().await;
}

#[tokio::test]
async fn an_unknown_type_is_set_aside_and_replayed_when_its_schema_arrives() {
    for (producing, collecting) in pairs().await {
        let folder = tempfile::tempdir().unwrap();
        let producer = Producer::new(&producing).await;
        producer.publish("test.thing.happened", json!({"n": 1})).await;
        producer.publish("test.thing.happened", json!({"n": "one"})).await;
        producer.publish("test.novelty.happened", json!({"n": 2})).await;
        let old = vec![producer.source("one", vec![schema("test.thing.happened")])];
        let data = Data::start(&collecting.db, folder.path(), old, 1).await;
        let aside = |event_type: &str, reason: &str| (event_type.to_owned(), reason.to_owned());
        let both = [
            aside("test.novelty.happened", "unknown_type"),
            aside("test.thing.happened", "schema_violation"),
        ];
        data.until("two are set aside", || async { data.quarantined().await == both }).await;
        assert_eq!(data.numbers().await, [1], "the others are not held up");
        let nothing = data.service.replay(false).await.unwrap();
        assert_eq!((nothing.tried, nothing.accepted, nothing.remaining), (2, 0, 2));
        data.stop().await;

        // The producer is deployed with the schema of its new type.
        let schemas = vec![schema("test.thing.happened"), schema("test.novelty.happened")];
        let data = Data::start(&collecting.db, folder.path(), vec![producer.source("one", schemas)], 1).await;
        data.until_seen(&[1, 2]).await;
        assert_eq!(data.quarantined().await, [aside("test.thing.happened", "schema_violation")]);
        data.stop().await;
    }
}

#[tokio::test]
async fn a_source_cannot_change_the_schema_of_another() {
    let (producing, collecting) = pairs().await.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let producer = Producer::new(&producing).await;
    let data = Data::start(
        &collecting.db,
        folder.path(),
        vec![producer.source("one", vec![schema("test.thing.happened")])],
        1,
    )
    .await;
    producer.publish("test.thing.happened", json!({"n": 1})).await;
    data.until_seen(&[1]).await;
    data.stop().await;
    let lax = EventSchema { json: "{}".to_owned(), ..schema("test.thing.happened") };
    let data = Data::start(&collecting.db, folder.path(), vec![producer.source("two", vec![lax])], 1).await;
    producer.publish("test.thing.happened", json!({"n": "anything"})).await;
    let aside = [("test.thing.happened".to_owned(), "schema_violation".to_owned())];
    data.until("it is set aside", || async { data.quarantined().await == aside }).await;
    data.stop().await;
}

#[tokio::test]
async fn it_says_up_to_when_it_has_read_all_sources() {
    let (producing, collecting) = pairs().await.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let producer = Producer::new(&producing).await;
    let began = SystemClock::shared().now();
    let source = producer.source("one", vec![]);
    let data = Data::start(&collecting.db, folder.path(), vec![source], 1).await;
    let reached = async {
        loop {
            let as_of = data.service.waiting().await.unwrap().as_of_us;
            if as_of.is_some_and(|at| Timestamp::from_micros(at) > began) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
    data.stop().await;
}

#[tokio::test]
async fn the_doors_are_for_staff_and_for_write_keys() {
    let (_, collecting) = pairs().await.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let data = Data::start(&collecting.db, folder.path(), vec![], 3_600_000).await;
    let trust = Trust::new("edge", "data");
    let (router, _) = data.service.http().split_for_parts();
    let verifier = trust.verifier.clone();
    let app = router
        .layer(axum::middleware::from_fn_with_state(verifier, backlot_foundation_rpc::http::authenticate));
    let token = |staff: bool| {
        let now = SystemClock::shared().now();
        let claims = backlot_foundation_tokens::Claims {
            staff,
            ..backlot_foundation_tokens::Claims::person("data", "ann", "org", now)
        };
        format!("Bearer {}", trust.signer.sign(&claims).unwrap())
    };
    let call = |method: &'static str, path: &'static str, authorization: String, body: Value| {
        let app = app.clone();
        async move {
            let request = axum::http::Request::builder()
                .method(method)
                .uri(path)
                .header("authorization", authorization)
                .header("content-type", "application/json")
                .body(axum::body::Body::from(body.to_string()))
                .unwrap();
            let answer = app.oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            (status, body["code"].as_str().unwrap_or_default().to_owned())
        }
    };
    let quarantine = "/v1/events/quarantine";
    assert_eq!(call("GET", quarantine, String::new(), json!({})).await.0, 401);
    assert_eq!(call("GET", quarantine, token(false), json!({})).await.0, 403);
    assert_eq!(call("GET", quarantine, token(true), json!({})).await.0, 200);
    assert_eq!(call("POST", "/v1/quarantine/replay", token(false), json!({})).await.0, 403);
    assert_eq!(call("POST", "/v1/quarantine/replay", token(true), json!({})).await.0, 200);

    // "web:" and "nobody:".
    let (known, unknown) = ("Basic d2ViOg==".to_owned(), "Basic bm9ib2R5Og==".to_owned());
    let play = json!({"event": "Clip Played", "anonymousId": "device-1", "messageId": "m-1", "properties": {"n": 7}});
    assert_eq!(call("POST", "/v1/track", unknown, play.clone()).await, (401, "write_key_invalid".to_owned()));
    assert_eq!(
        call("POST", "/v1/track", known.clone(), json!({})).await,
        (400, "tracking_invalid".to_owned())
    );
    for _ in 0..2 {
        assert_eq!(call("POST", "/v1/track", known.clone(), play.clone()).await.0, 200);
    }
    let mut with_key = play.clone();
    with_key["writeKey"] = json!("web");
    let again = json!({"writeKey": "web", "batch": [{"type": "track", "event": "Clip Played", "anonymousId": "device-1",
        "messageId": "m-1"}, {"type": "page", "anonymousId": "device-1", "messageId": "m-2"}]});
    assert_eq!(call("POST", "/v1/track", String::new(), with_key).await.0, 200);
    assert_eq!(call("POST", "/v1/batch", String::new(), again).await.0, 200);
    let view = data.lake.read(&data.service).await.unwrap();
    let rows = view
        .query("SELECT type, json_int(data_json, 'properties.n') AS n FROM events ORDER BY type", 10)
        .await;
    assert_eq!(
        json!(rows.unwrap()),
        json!([{"type": "client.clip_played", "n": 7}, {"type": "client.page_viewed", "n": null}])
    );
    data.stop().await;
}
