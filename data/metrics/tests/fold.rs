//! The compiled SQL of every metric says what a naive fold over the same events says.
//!
//! `PROPTEST_CASES` sets how many random sets of events are tried; 4 by default, as each asks the engine some
//! forty questions.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use backlot_data_api::Point;
use backlot_data_lake::{EventRow, MICROS_PER_DAY};
use common::{DAY_0, Events, World, at};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Events fall on days 0 to 4 and are asked for on days 0 to 5.
const LAST_DAY: i32 = 5;
const USERS: [&str; 5] = ["ann", "bob", "cat", "sue", "bot"];
const CLASSES: [&str; 5] = ["model_error", "timed_out", "invalid_input", "moderated_output", "lost_worker"];

#[derive(Debug, Clone)]
struct Step {
    kind: usize,
    user: usize,
    run: usize,
    /// Sixths of an hour since day 0: often midnight, often the same instant.
    tick: i64,
    amount: i64,
}

fn step() -> impl Strategy<Value = Step> {
    // One in three at midnight.
    let tick = prop_oneof![2 => 0..720_i64, 1 => (0..5_i64).prop_map(|day| day * 144)];
    (0..10_usize, 0..USERS.len(), 0..6_usize, tick, 0..50_i64)
        .prop_map(|(kind, user, run, tick, amount)| Step { kind, user, run, tick, amount })
}

fn events(steps: &[Step]) -> Events {
    let mut events = Events::default();
    for Step { kind, user, run, tick, amount } in steps {
        let (user, run, time_us) = (USERS[*user], format!("r{run}"), at(0, 0.0) + tick * 600_000_000);
        match kind {
            0 => {
                events.user(user, time_us, amount % 3 == 0, if user == "bot" { "service" } else { "person" })
            }
            1 => {
                let said = match amount % 3 {
                    0 => json!({"user_id": user}),
                    more => json!({"user_id": user, "is_staff": more == 1}),
                };
                events.add("identity.user.state_changed", user, "service:admin", time_us, said)
            }
            2 | 3 => events.submitted(&run, user, time_us),
            4 => {
                let origin = if amount % 2 == 0 { "upload" } else { "output" };
                events.add("storage.asset.ready", &run, user, time_us, json!({"origin": origin}))
            }
            5 | 6 => events.succeeded(&run, user, time_us, amount * 100),
            7 => events.failed(&run, user, time_us, CLASSES[*amount as usize % CLASSES.len()]),
            8 => events.canceled(&run, user, time_us),
            _ => {
                let (name, paid) = if amount % 4 == 0 { ("refunded", 0) } else { ("settled", amount / 2) };
                let data = json!({format!("{name}_micro"): amount, format!("{name}_paid_micro"): paid,
                    format!("{name}_promotional_micro"): amount - paid});
                events.add(&format!("billing.hold.{name}"), &run, user, time_us, data)
            }
        };
    }
    events
}

/// The events as the fold sees them.
struct Folded<'a> {
    rows: Vec<(&'a EventRow, Value)>,
    staff: BTreeMap<String, bool>,
    service: BTreeMap<String, bool>,
}

impl<'a> Folded<'a> {
    fn new(events: &'a Events) -> Self {
        let mut rows: Vec<_> =
            events.0.iter().map(|row| (row, serde_json::from_str(&row.data_json).unwrap())).collect();
        rows.sort_by_key(|(row, _): &(&EventRow, Value)| (row.time_us, row.id.clone()));
        let (mut staff, mut service) = (BTreeMap::new(), BTreeMap::new());
        for (row, data) in &rows {
            if row.event_type.starts_with("identity.") {
                let who = data["user_id"].as_str().unwrap().to_owned();
                if let Some(is_staff) = data["is_staff"].as_bool() {
                    staff.insert(who.clone(), is_staff);
                }
                if let Some(kind) = data["kind"].as_str() {
                    service.insert(who, kind == "service");
                }
            }
        }
        Self { rows, staff, service }
    }

    fn left_out(&self, person: &str) -> bool {
        person.starts_with("service:")
            || self.staff.get(person) == Some(&true)
            || self.service.get(person) == Some(&true)
    }

    fn day(row: &EventRow) -> i32 {
        i32::try_from(row.time_us.div_euclid(MICROS_PER_DAY)).unwrap() - DAY_0
    }

    /// Days and persons of value actions.
    fn active(&self) -> BTreeSet<(i32, &str)> {
        let counts = |row: &EventRow, data: &Value| match row.event_type.as_str() {
            "business.run.submitted" => true,
            "storage.asset.ready" => data["origin"] == "upload",
            _ => false,
        };
        let rows = self.rows.iter().filter(|(row, data)| counts(row, data) && !self.left_out(&row.actor));
        rows.map(|(row, _)| (Self::day(row), row.actor.as_str())).collect()
    }

    fn active_between(&self, first: i32, last: i32) -> Value {
        let active = self.active();
        let persons: BTreeSet<_> =
            active.iter().filter(|(day, _)| (first..=last).contains(day)).map(|(_, person)| person).collect();
        json!(persons.len())
    }

    fn retention(&self, day: i32) -> (usize, usize) {
        let mut first: BTreeMap<&str, i32> = BTreeMap::new();
        for (row, _) in
            self.rows.iter().filter(|(row, _)| !row.actor.is_empty() && !self.left_out(&row.actor))
        {
            let seen = Self::day(row);
            first.entry(&row.actor).and_modify(|known| *known = seen.min(*known)).or_insert(seen);
        }
        let active = self.active();
        let cohort: Vec<_> = first.iter().filter(|(_, first)| **first == day).collect();
        let back = cohort.iter().filter(|(person, _)| active.contains(&(day + 1, **person))).count();
        (back, cohort.len())
    }

    /// Ends of runs on these days, of those who are not left out.
    fn ends(&self, first: i32, last: i32, everybody: bool) -> Vec<(&EventRow, &Value)> {
        let is_end = |row: &EventRow| {
            ["business.run.succeeded", "business.run.failed", "business.run.canceled"]
                .contains(&row.event_type.as_str())
        };
        let counts = |row: &EventRow| {
            is_end(row)
                && (first..=last).contains(&Self::day(row))
                && (everybody || !self.left_out(&row.actor))
        };
        self.rows.iter().filter(|(row, _)| counts(row)).map(|(row, data)| (*row, data)).collect()
    }

    fn success(&self, first: i32, last: i32) -> (usize, usize) {
        let ends = self.ends(first, last, false);
        let runs = |judge: &dyn Fn(&EventRow, &Value) -> bool| {
            let counted = ends.iter().filter(|(row, data)| judge(row, data));
            counted.map(|(row, _)| row.subject.clone()).collect::<BTreeSet<_>>().len()
        };
        (runs(&|row, _| row.event_type.ends_with("succeeded")), runs(&judged))
    }

    fn percentile(&self, part: f64, first: i32, last: i32) -> Value {
        let ends = self.ends(first, last, false);
        let mut times: Vec<i64> = ends
            .iter()
            .filter(|(row, data)| judged(row, data))
            .map(|(row, data)| {
                if row.event_type.ends_with("succeeded") {
                    data["first_output_ms"].as_i64().unwrap()
                } else {
                    i64::MAX
                }
            })
            .collect();
        times.sort_unstable();
        let rank = (part * times.len() as f64 - 1e-6).ceil() as usize;
        let reached =
            rank.checked_sub(1).and_then(|index| times.get(index)).filter(|time| **time != i64::MAX);
        json!(reached)
    }

    fn burn(&self, first: i32, last: i32, part: &str) -> i64 {
        let of = |(row, data): &(&EventRow, Value)| {
            let (name, sign) = match row.event_type.as_str() {
                "billing.hold.settled" => ("settled", 1),
                "billing.hold.refunded" => ("refunded", -1),
                _ => return 0,
            };
            let counts = (first..=last).contains(&Self::day(row));
            if counts { sign * data[format!("{name}{part}_micro")].as_i64().unwrap() } else { 0 }
        };
        self.rows.iter().map(of).sum()
    }

    fn cost(&self, first: i32, last: i32) -> (i64, usize) {
        let ends = self.ends(first, last, true);
        let cost = ends
            .iter()
            .map(|(_, data)| (data["compute_ms"].as_i64().unwrap() + data["load_ms"].as_i64().unwrap()) * 10);
        (cost.sum(), ends.iter().map(|(row, _)| &row.subject).collect::<BTreeSet<_>>().len())
    }
}

fn judged(row: &EventRow, data: &Value) -> bool {
    let class = data["failure_class"].as_str().unwrap_or_default();
    row.event_type.ends_with("succeeded")
        || (row.event_type.ends_with("failed") && class != "invalid_input" && !class.starts_with("moderated"))
}

fn ratio(top: f64, bottom: usize) -> Value {
    if bottom == 0 { Value::Null } else { json!(top / bottom as f64) }
}

type Expectation<'a> = Box<dyn Fn(i32, i32) -> Value + 'a>;

/// Each metric with its fold over the days from one to another; where those differ, for a total.
fn expectations<'a>(folded: &'a Folded<'a>) -> Vec<(&'static str, Expectation<'a>)> {
    let success = |first, last| {
        let (top, bottom) = folded.success(first, last);
        ratio(top as f64, bottom)
    };
    let cost = |first, last| {
        let (top, bottom) = folded.cost(first, last);
        ratio(top as f64, bottom)
    };
    vec![
        ("dau", Box::new(|first, last| folded.active_between(first, last))),
        ("wau", Box::new(|_, last| folded.active_between(last - 6, last))),
        ("mau", Box::new(|_, last| folded.active_between(last - 29, last))),
        ("generation_success_rate", Box::new(success)),
        ("time_to_first_result_p50", Box::new(|first, last| folded.percentile(0.5, first, last))),
        ("time_to_first_result_p90", Box::new(|first, last| folded.percentile(0.9, first, last))),
        ("credit_burn", Box::new(|first, last| json!(folded.burn(first, last, "")))),
        ("cost_per_run", Box::new(cost)),
    ]
}

fn part(point: &Point, name: &str) -> Value {
    common::part(point, name)
}

async fn check(steps: &[Step], delivered: usize) {
    let events = events(steps);
    let folded = Folded::new(&events);
    let world = World::new(&events, delivered.min(events.0.len()), at(50, 0.0)).await;
    for (name, expected) in expectations(&folded) {
        let metric = world.metric(name, 0, LAST_DAY).await;
        let days: Vec<Value> = (0..=LAST_DAY).map(|day| expected(day, day)).collect();
        assert_eq!(common::values(&metric), days, "{name}\n{}", metric.sql);
        assert_eq!(json!(metric.total), expected(0, LAST_DAY), "total of {name}");
        if name == "credit_burn" {
            for (day, point) in (0..).zip(&metric.points) {
                assert_eq!(part(point, "paid"), json!(folded.burn(day, day, "_paid")));
                assert_eq!(part(point, "promotional"), json!(folded.burn(day, day, "_promotional")));
            }
        }
    }
    let retention = world.metric("retention_d1", 0, LAST_DAY).await;
    let cohorts: Vec<_> = (0..=LAST_DAY).map(|day| folded.retention(day)).collect();
    let days: Vec<Value> = cohorts.iter().map(|(back, size)| ratio(*back as f64, *size)).collect();
    assert_eq!(common::values(&retention), days, "{}", retention.sql);
    let (back, size) = cohorts.iter().fold((0, 0), |(back, size), next| (back + next.0, size + next.1));
    assert_eq!(json!(retention.total), ratio(back as f64, size));
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sql_says_what_a_naive_fold_says(steps in prop::collection::vec(step(), 0..60), delivered in 0..60_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&steps, delivered));
    }
}
