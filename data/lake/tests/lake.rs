//! The table against real Delta and DataFusion: in a folder always, on S3 where `BACKLOT_TEST_S3` says where.

use backlot_data_lake::{
    Appended, Config, Error, EventRow, Lake, MICROS_PER_DAY, S3, Waiting, WaitingEvent, WaitingSource,
};
use serde_json::{Value, json};

struct Fixed(Waiting);

#[async_trait::async_trait]
impl WaitingSource for Fixed {
    async fn waiting(&self) -> Result<Waiting, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.clone())
    }
}

fn event(n: i64, day: i64) -> EventRow {
    EventRow {
        id: format!("event-{n}"),
        event_type: "test.thing.happened".to_owned(),
        version: 1,
        source: "test".to_owned(),
        subject: format!("thing-{n}"),
        organisation: "org".to_owned(),
        actor: "someone".to_owned(),
        time_us: day * MICROS_PER_DAY + n,
        data_json: json!({"n": n, "deep": {"word": format!("w{n}"), "yes": n % 2 == 0}}).to_string(),
        received_us: day * MICROS_PER_DAY + n + 5,
    }
}

fn waiting(application: &str, positions: std::ops::RangeInclusive<i64>) -> Fixed {
    let events = positions.map(|position| WaitingEvent { position, row: event(position, 20_000) }).collect();
    Fixed(Waiting { application: application.to_owned(), events, as_of_us: None })
}

fn rows(positions: std::ops::RangeInclusive<i64>) -> Vec<WaitingEvent> {
    positions.map(|position| WaitingEvent { position, row: event(position, 20_000) }).collect()
}

async fn ids(lake: &Lake, source: &dyn WaitingSource) -> Vec<String> {
    let view = lake.read(source).await.unwrap();
    let rows = view.query("SELECT id FROM events ORDER BY time_us", 1_000).await.unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// `http://ACCESS:SECRET@HOST:PORT/BUCKET`.
fn s3() -> Option<Config> {
    let text = std::env::var("BACKLOT_TEST_S3").ok().filter(|text| !text.is_empty())?;
    let url = url::Url::parse(&text).unwrap();
    Some(Config {
        url: format!("s3://{}/lake-{}", url.path().trim_matches('/'), uuid::Uuid::now_v7()),
        s3: S3 {
            endpoint: format!("{}://{}:{}", url.scheme(), url.host_str().unwrap(), url.port().unwrap_or(80)),
            access_key: url.username().to_owned(),
            secret_key: url.password().unwrap_or_default().to_owned(),
            ..S3::default()
        },
        ..Config::default()
    })
}

async fn delivers_exactly_once(config: Config) {
    let lake = Lake::new(config.clone()).unwrap();
    assert_eq!(lake.position("c").await.unwrap(), 0);
    assert!(ids(&lake, &()).await.is_empty(), "no table yet");
    assert!(matches!(lake.append("c", &rows(1..=3)).await.unwrap(), Appended::Committed { .. }));
    // The process died after the commit and before it noted so: it delivers the same again.
    let again = Lake::new(config).unwrap();
    assert_eq!(again.append("c", &rows(1..=3)).await.unwrap(), Appended::AlreadyThere);
    assert_eq!(again.position("c").await.unwrap(), 3);
    // It had not noted the first delivery and offers everything: only what is new is taken.
    assert!(matches!(again.append("c", &rows(1..=5)).await.unwrap(), Appended::Committed { .. }));
    assert_eq!(lake.append("c", &rows(4..=5)).await.unwrap(), Appended::AlreadyThere);
    // Another collector counts for itself.
    assert!(matches!(lake.append("d", &rows(6..=6)).await.unwrap(), Appended::Committed { .. }));
    assert_eq!(ids(&lake, &()).await, ["event-1", "event-2", "event-3", "event-4", "event-5", "event-6"]);
}

#[tokio::test]
async fn a_folder_takes_each_delivery_once() {
    let folder = tempfile::tempdir().unwrap();
    delivers_exactly_once(Config::folder(&folder.path().join("events"))).await;
}

#[tokio::test]
async fn s3_takes_each_delivery_once() {
    let Some(config) = s3() else { return };
    rustls::crypto::ring::default_provider().install_default().ok();
    delivers_exactly_once(config).await;
}

#[tokio::test]
async fn a_view_joins_the_table_and_what_waits_without_doubles() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(Config::folder(folder.path())).unwrap();
    // Nothing is in the table: all waits.
    assert_eq!(ids(&lake, &waiting("c", 1..=2)).await, ["event-1", "event-2"]);
    lake.append("c", &rows(1..=2)).await.unwrap();
    // Delivered and not yet removed from what waits, with one more behind it.
    assert_eq!(ids(&lake, &waiting("c", 1..=3)).await, ["event-1", "event-2", "event-3"]);
    let view = lake.read(&waiting("c", 1..=3)).await.unwrap();
    assert_eq!(view.waiting(), 1);
    assert!(view.version().is_some());
}

#[tokio::test]
async fn sql_reads_json_and_is_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(Config::folder(folder.path())).unwrap();
    lake.append("c", &rows(1..=2)).await.unwrap();
    let view = lake.read(&waiting("c", 3..=3)).await.unwrap();
    let rows = view
        .query(
            "SELECT json_int(data_json, 'n') AS n, json_str(data_json, 'deep.word') AS word, \
             json_bool(data_json, 'deep.yes') AS yes, json_float(data_json, 'n') AS f, \
             json_str(data_json, 'nowhere') AS nothing, date FROM events ORDER BY n",
            10,
        )
        .await
        .unwrap();
    assert_eq!(
        Value::from_iter(rows.into_iter().map(Value::from)),
        json!([
            {"n": 1, "word": "w1", "yes": false, "f": 1.0, "nothing": null, "date": "2024-10-04"},
            {"n": 2, "word": "w2", "yes": true, "f": 2.0, "nothing": null, "date": "2024-10-04"},
            {"n": 3, "word": "w3", "yes": false, "f": 3.0, "nothing": null, "date": "2024-10-04"},
        ])
    );
    assert!(matches!(view.query("SELECT * FROM events", 2).await, Err(Error::TooManyRows { limit: 2 })));
    assert!(view.query("CREATE TABLE x AS SELECT 1", 10).await.is_err());
    assert!(view.query("DELETE FROM events", 10).await.is_err());
    assert!(view.query("SELECT nothing FROM events", 10).await.is_err());
}

#[tokio::test]
async fn a_day_is_found_by_its_partition() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(Config::folder(folder.path())).unwrap();
    for (position, day) in [(1, 20_000), (2, 20_001), (3, 20_002)] {
        lake.append("c", &[WaitingEvent { position, row: event(position, day) }]).await.unwrap();
    }
    let view = lake.read(&()).await.unwrap();
    let plan = view.explain("SELECT id FROM events WHERE date = DATE '2024-10-05'").await.unwrap();
    assert_eq!(plan.matches(".parquet").count(), 1, "the other days' files are not opened:\n{plan}");
}

#[tokio::test]
async fn compaction_packs_files_and_keeps_rows_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(Config::folder(folder.path())).unwrap();
    for position in 1..=5 {
        lake.append("c", &rows(position..=position)).await.unwrap();
    }
    let before = ids(&lake, &()).await;
    let packed = lake.compact().await.unwrap();
    assert_eq!((packed.files_removed, packed.files_added), (5, 1));
    assert_eq!(ids(&lake, &()).await, before);
    assert_eq!(lake.position("c").await.unwrap(), 5);
    assert_eq!(lake.append("c", &rows(5..=5)).await.unwrap(), Appended::AlreadyThere);
}

#[tokio::test]
async fn two_writers_of_one_table_both_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let writers = (0..4).map(|writer| {
        let lake = Lake::new(Config::folder(folder.path())).unwrap();
        tokio::spawn(async move {
            for position in 1..=5_i64 {
                let next = WaitingEvent { position, row: event(writer * 100 + position, 20_000) };
                let name = format!("w{writer}");
                let mut attempts = 0;
                while let Err(error) = lake.append(&name, std::slice::from_ref(&next)).await {
                    attempts += 1;
                    assert!(attempts < 50, "{error}");
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let lake = Lake::new(Config::folder(folder.path())).unwrap();
    assert_eq!(ids(&lake, &()).await.len(), 20);
}

#[test]
fn a_wrong_address_is_an_error_that_names_it() {
    for url in ["", "gopher://x", "s3//x://"] {
        let error = Lake::new(Config { url: url.to_owned(), ..Config::default() }).err().unwrap();
        assert!(error.to_string().contains(&format!("\"{url}\"")), "{error}");
    }
}

#[tokio::test]
async fn a_narrowed_view_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(Config::folder(folder.path())).unwrap();
    lake.append("c", &rows(1..=4)).await.unwrap();
    let sql =
        "SELECT count(*) AS n, sum(json_int(data_json, 'n')) AS sum FROM events WHERE subject <> 'thing-4'";
    for rows_max in [0, 3, 4, 100] {
        let view = lake.read(&waiting("c", 5..=6)).await.unwrap();
        let view = view.narrowed("subject <> 'thing-4'", rows_max).await.unwrap();
        let answer = view.query(sql, 1).await.unwrap();
        assert_eq!(
            Value::from(answer[0].clone()),
            json!({"n": 5, "sum": 17}),
            "at most {rows_max} in memory"
        );
    }
    let blank = lake.blank().await.unwrap();
    assert!(blank.query("SELECT * FROM events", 1).await.unwrap().is_empty());
    assert!(blank.check("SELECT no_such_column FROM events").await.is_err());
}
