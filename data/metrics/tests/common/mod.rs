//! Events by hand, and a service over them: some in a real Delta table, the rest still waiting.

use std::sync::Arc;

use async_trait::async_trait;
use backlot_data_api::{Metric, Point};
use backlot_data_lake::{
    Config as LakeConfig, EventRow, Lake, MICROS_PER_DAY, Waiting, WaitingEvent, WaitingSource,
};
use backlot_data_metrics::{Config, Day, Service};
use backlot_foundation_time::{ManualClock, Timestamp};
use serde_json::{Value, json};

/// 2024-10-04, the day that the tests call 0.
pub(crate) const DAY_0: i32 = 20_000;

/// An instant: a day of the tests and an hour of it.
pub(crate) fn at(day: i32, hour: f64) -> i64 {
    i64::from(DAY_0 + day) * MICROS_PER_DAY + (hour * 3_600_000_000.0) as i64
}

/// The date of a day of the tests.
pub(crate) fn date(day: i32) -> String {
    Day::from_days(DAY_0 + day).to_string()
}

/// Events in the order in which they were accepted.
#[derive(Default, Clone)]
pub(crate) struct Events(pub(crate) Vec<EventRow>);

impl Events {
    fn positioned(&self) -> Vec<WaitingEvent> {
        (1..).zip(&self.0).map(|(position, row)| WaitingEvent { position, row: row.clone() }).collect()
    }

    pub(crate) fn add(
        &mut self,
        event_type: &str,
        subject: &str,
        actor: &str,
        time_us: i64,
        data: Value,
    ) -> &mut Self {
        let n = self.0.len();
        self.0.push(EventRow {
            id: format!("00000000-0000-7000-8000-{n:012}"),
            event_type: event_type.to_owned(),
            version: 1,
            source: event_type.split('.').next().unwrap_or_default().to_owned(),
            subject: subject.to_owned(),
            organisation: "org-1".to_owned(),
            actor: actor.to_owned(),
            time_us,
            data_json: data.to_string(),
            received_us: time_us + 1_000,
        });
        self
    }

    pub(crate) fn user(&mut self, user: &str, time_us: i64, is_staff: bool, kind: &str) -> &mut Self {
        let data = json!({"user_id": user, "kind": kind, "is_staff": is_staff});
        self.add("identity.user.created", user, user, time_us, data)
    }

    pub(crate) fn submitted(&mut self, run: &str, user: &str, time_us: i64) -> &mut Self {
        self.add("business.run.submitted", run, user, time_us, json!({"held_micro": 5}))
    }

    pub(crate) fn succeeded(
        &mut self,
        run: &str,
        user: &str,
        time_us: i64,
        first_output_ms: i64,
    ) -> &mut Self {
        let data = json!({"first_output_ms": first_output_ms, "queue_ms": first_output_ms / 10,
            "load_ms": first_output_ms / 5, "compute_ms": first_output_ms / 2});
        self.add("business.run.succeeded", run, user, time_us, data)
    }

    pub(crate) fn failed(&mut self, run: &str, user: &str, time_us: i64, class: &str) -> &mut Self {
        let data = json!({"failure_class": class, "queue_ms": 1, "load_ms": 0, "compute_ms": 100});
        self.add("business.run.failed", run, user, time_us, data)
    }

    pub(crate) fn canceled(&mut self, run: &str, user: &str, time_us: i64) -> &mut Self {
        let data = json!({"failure_class": "user_cancel", "queue_ms": 1, "load_ms": 0, "compute_ms": 40});
        self.add("business.run.canceled", run, user, time_us, data)
    }
}

struct Source(Events);

#[async_trait]
impl WaitingSource for Source {
    async fn waiting(&self) -> Result<Waiting, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Waiting { application: "test".to_owned(), events: self.0.positioned(), as_of_us: None })
    }
}

/// A service over `events`, of which the first `delivered` are in the table (and still said to be waiting,
/// as after a crash), at the instant `now_us`.
pub(crate) struct World {
    pub(crate) service: Service,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(events: &Events, delivered: usize, now_us: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(LakeConfig::folder(folder.path())).unwrap();
        if delivered > 0 {
            lake.append("test", &events.positioned()[..delivered]).await.unwrap();
        }
        let clock = ManualClock::at(Timestamp::from_micros(now_us));
        let service =
            Service::new(lake, Arc::new(Source(events.clone())), clock, Config::default()).await.unwrap();
        Self { service, _folder: folder }
    }

    pub(crate) async fn metric(&self, name: &str, from: i32, to: i32) -> Metric {
        self.service.metric(name, Some(&date(from)), Some(&date(to))).await.unwrap()
    }
}

/// The values of the points, as JSON.
pub(crate) fn values(metric: &Metric) -> Vec<Value> {
    metric.points.iter().map(|point| json!(point.value)).collect()
}

/// The value of a part of a point, as JSON.
pub(crate) fn part(point: &Point, name: &str) -> Value {
    json!(point.parts.iter().find(|part| part.name == name).unwrap().value)
}
