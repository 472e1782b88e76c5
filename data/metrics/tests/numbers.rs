//! Each metric on events written by hand, with numbers worked out by hand.

mod common;

use backlot_data_metrics::{Config, Service};
use common::{Events, World, at, date, part, values};
use serde_json::{Value, json};

/// Long after everything.
const LATER: i32 = 100;

#[tokio::test]
async fn daily_active_users_are_persons_with_a_value_action_on_the_utc_day() {
    let mut events = Events::default();
    events
        .user("ann", at(0, 9.0), false, "person")
        .user("bob", at(0, 9.0), false, "person")
        .user("sue", at(0, 9.0), true, "person")
        .user("bot", at(0, 9.0), false, "service")
        // Twice on one day is one person; the first instant of a day belongs to it, the last one, too.
        .submitted("r1", "ann", at(1, 0.0))
        .submitted("r2", "ann", at(1, 12.0))
        .submitted("r3", "bob", at(2, 0.0) - 1)
        .submitted("r4", "bob", at(2, 0.0))
        // Staff and services are left out, by event and by name.
        .submitted("r5", "sue", at(1, 1.0))
        .submitted("r6", "bot", at(1, 1.0))
        .submitted("r7", "service:business", at(1, 1.0))
        // No value action: signing in, outputs, a run's end.
        .add(
            "identity.session.started",
            "s",
            "cat",
            at(1, 2.0),
            json!({"user_id": "cat", "is_staff": false, "kind": "person"}),
        )
        .add("storage.asset.ready", "a", "dan", at(1, 2.0), json!({"origin": "output"}))
        .succeeded("r1", "dan", at(1, 2.0), 10)
        // A value action: a file of one's own.
        .add("storage.asset.ready", "a", "eve", at(3, 2.0), json!({"origin": "upload"}));
    for delivered in [0, 7, events.0.len()] {
        let world = World::new(&events, delivered, at(LATER, 0.0)).await;
        let dau = world.metric("dau", 0, 4).await;
        assert_eq!(values(&dau), [json!(0), json!(2), json!(1), json!(1), json!(0)]);
        assert_eq!(json!(dau.total), json!(3), "ann, bob, eve: days do not add up");
        assert_eq!((dau.excluded.staff, dau.excluded.service, dau.excluded.events), (1, 2, 3));
        assert_eq!(dau.events_waiting, events.0.len() - delivered);
        assert!(dau.points.iter().all(|point| point.complete));
        assert!(dau.sql.contains("business.run.submitted"));
        assert_eq!(dau.definition_yaml.lines().next(), Some("name: dau"));
    }
}

#[tokio::test]
async fn the_latest_word_on_staff_counts_for_the_past() {
    let mut events = Events::default();
    events
        .user("ann", at(0, 9.0), false, "person")
        .user("sue", at(0, 9.0), true, "person")
        .submitted("r1", "ann", at(1, 1.0))
        .submitted("r2", "sue", at(1, 1.0));
    let before = World::new(&events, 0, at(LATER, 0.0)).await.metric("dau", 1, 1).await;
    assert_eq!((values(&before), before.excluded.staff), (vec![json!(1)], 1));
    // They change places. A later event that says nothing of it changes nothing.
    for (user, is_staff) in [("ann", json!(true)), ("sue", json!(false))] {
        let data = json!({"user_id": user, "state": "active", "is_staff": is_staff});
        events.add("identity.user.state_changed", user, "admin", at(2, 0.0), data);
        events.add(
            "identity.user.state_changed",
            user,
            "admin",
            at(3, 0.0),
            json!({"user_id": user, "state": "active"}),
        );
    }
    events.submitted("r3", "ann", at(4, 0.0));
    let after = World::new(&events, 0, at(LATER, 0.0)).await.metric("dau", 1, 4).await;
    assert_eq!(values(&after), [json!(1), json!(0), json!(0), json!(0)], "only sue now");
    assert_eq!(after.excluded.staff, 1);
}

#[tokio::test]
async fn windows_are_trailing_and_half_open() {
    let mut events = Events::default();
    events.submitted("r1", "ann", at(0, 0.0)).submitted("r2", "bob", at(1, 23.9)).submitted(
        "r3",
        "ann",
        at(8, 5.0),
    );
    let world = World::new(&events, 1, at(LATER, 0.0)).await;
    let wau = world.metric("wau", 0, 9).await;
    // ann from day 0 to 6 (not 7) and again from 8; bob from 1 to 7.
    assert_eq!(values(&wau), [1, 2, 2, 2, 2, 2, 2, 1, 1, 1].map(|n| json!(n)));
    assert_eq!(json!(wau.total), json!(1), "the window that ends with the last day");
    let mau = world.metric("mau", 28, 38).await;
    // ann: day 0 counts to 29, day 8 to 37; bob: day 1 counts to 30.
    assert_eq!(values(&mau), [2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 0].map(|n| json!(n)));
}

#[tokio::test]
async fn retention_is_of_the_first_event_ever_and_marks_what_is_incomplete() {
    let mut events = Events::default();
    events
        // Cohort of day 0: ann comes back on day 1, bob on day 2, cat never, sue is staff.
        .user("ann", at(0, 1.0), false, "person")
        .user("bob", at(0, 2.0), false, "person")
        .user("cat", at(0, 23.99), false, "person")
        .user("sue", at(0, 3.0), true, "person")
        .submitted("r0", "ann", at(0, 5.0))
        .submitted("r1", "ann", at(1, 5.0))
        .submitted("r2", "bob", at(2, 5.0))
        .submitted("r3", "sue", at(1, 5.0))
        // Cohort of day 1: dan, by a run, not by the sign-up; back on day 2.
        .submitted("r4", "dan", at(1, 0.0))
        .submitted("r5", "dan", at(2, 0.0))
        // A return that is no value action does not count. Cohort of day 2: eve.
        .user("eve", at(2, 1.0), false, "person")
        .add(
            "identity.session.started",
            "s",
            "eve",
            at(3, 1.0),
            json!({"user_id": "eve", "is_staff": false, "kind": "person"}),
        );
    let third = 1.0 / 3.0;
    // Day 3, 00:59: day 2 ended 59 minutes ago, and late data has an hour.
    let world = World::new(&events, 3, at(3, 59.0 / 60.0)).await;
    let early = world.metric("retention_d1", 0, 3).await;
    assert_eq!(values(&early), [json!(third), json!(1.0), json!(0.0), Value::Null]);
    let complete: Vec<bool> = early.points.iter().map(|point| point.complete).collect();
    assert_eq!(complete, [true, false, false, false]);
    assert_eq!(json!(early.total), json!(third), "only the complete day");
    // A minute later day 1's cohort is complete, too: 2 of 4.
    let world = World::new(&events, 3, at(3, 1.0)).await;
    let later = world.metric("retention_d1", 0, 3).await;
    assert_eq!(json!(later.total), json!(0.5));
    assert_eq!(json!(later.total_detail.denominator), json!(4));
    let cohort = &later.points[0];
    assert_eq!((json!(cohort.numerator), json!(cohort.denominator)), (json!(1), json!(3)));
}

/// A write key of the tracking protocol lies in every page: with it anybody names any person and any day.
#[tokio::test]
async fn what_a_browser_says_makes_no_person_and_moves_no_cohort() {
    let mut events = Events::default();
    events
        .user("ann", at(1, 1.0), false, "person")
        .submitted("r1", "ann", at(2, 5.0))
        .add("client.page_viewed", "", "ann", at(0, 1.0), json!({}))
        .add("client.page_viewed", "", "nobody", at(1, 1.0), json!({}))
        .add("client.shot_exported", "", "ann", at(3, 1.0), json!({}));
    let world = World::new(&events, 2, at(LATER, 0.0)).await;
    let retention = world.metric("retention_d1", 0, 2).await;
    assert_eq!(
        values(&retention),
        [Value::Null, json!(1.0), Value::Null],
        "one person, on day 1, who came back"
    );
    assert_eq!(values(&world.metric("dau", 0, 3).await), [json!(0), json!(0), json!(1), json!(0)]);
}

#[tokio::test]
async fn who_looked_around_before_signing_up_is_one_visitor() {
    let mut events = Events::default();
    let device = |name: &str| json!({ "anonymous_id": name });
    events
        .user("ann", at(1, 1.0), false, "person")
        .user("sue", at(0, 1.0), true, "person")
        // Two devices of ann's and one of nobody's, before ann is known; one of the staff's.
        .add("client.page_viewed", "", "", at(0, 1.0), device("d1"))
        .add("client.page_viewed", "", "", at(0, 2.0), device("d1"))
        .add("client.page_viewed", "", "", at(0, 3.0), device("d2"))
        .add("client.screen_viewed", "", "", at(0, 4.0), device("d3"))
        .add("client.page_viewed", "", "", at(0, 5.0), device("d4"))
        .add("client.page_viewed", "", "", at(0, 6.0), json!({}))
        // She signs in: on one device at once, on the other by its alias, later.
        .add("client.identified", "", "ann", at(1, 1.0), device("d1"))
        .add("client.page_viewed", "", "ann", at(1, 2.0), device("d1"))
        .add("client.aliased", "", "ann", at(2, 1.0), json!({ "previous_id": "d2" }))
        .add("client.identified", "", "sue", at(2, 1.0), device("d4"))
        // Whoever sits down at her device later takes none of her past.
        .add("client.identified", "", "bob", at(3, 1.0), device("d1"))
        .add("client.page_viewed", "", "bob", at(3, 2.0), device("d1"));
    let world = World::new(&events, 5, at(LATER, 0.0)).await;
    let visitors = world.metric("visitors", 0, 3).await;
    assert_eq!(values(&visitors), [json!(2), json!(1), json!(0), json!(1)], "{}", visitors.sql);
    assert_eq!(json!(visitors.total), json!(3), "ann, bob, and the device of nobody's");
    assert_eq!(visitors.excluded.staff, 1);
}

#[tokio::test]
async fn the_success_rate_judges_the_system_and_shows_the_rest_apart() {
    let mut events = Events::default();
    events
        .user("sue", at(0, 3.0), true, "person")
        .submitted("r9", "sue", at(1, 0.5))
        .succeeded("r1", "ann", at(1, 1.0), 10)
        .succeeded("r2", "ann", at(1, 1.0), 10)
        .failed("r3", "ann", at(1, 1.0), "model_error")
        .failed("r4", "ann", at(1, 1.0), "timed_out")
        .failed("r5", "ann", at(1, 1.0), "invalid_input")
        .failed("r6", "ann", at(1, 1.0), "moderated_output")
        .canceled("r7", "ann", at(1, 1.0))
        .canceled("r8", "ann", at(1, 1.0))
        .failed("r9", "sue", at(1, 1.0), "lost_worker")
        // Only invalid input on day 2: nothing to judge.
        .failed("r10", "ann", at(2, 1.0), "invalid_input");
    let world = World::new(&events, 4, at(LATER, 0.0)).await;
    let rate = world.metric("generation_success_rate", 0, 2).await;
    assert_eq!(values(&rate), [Value::Null, json!(0.5), Value::Null]);
    let day = &rate.points[1];
    assert_eq!((json!(day.numerator), json!(day.denominator)), (json!(2), json!(4)));
    assert_eq!(
        (part(day, "canceled"), part(day, "moderated"), part(day, "invalid_input")),
        (json!(2), json!(1), json!(1))
    );
    assert_eq!(part(&rate.points[2], "invalid_input"), json!(1));
    assert_eq!(json!(rate.total), json!(0.5));
    assert_eq!(
        rate.total_detail
            .parts
            .iter()
            .find(|part| part.name == "invalid_input")
            .map(|part| json!(part.value)),
        Some(json!(2))
    );
    assert_eq!((rate.excluded.staff, rate.excluded.service, rate.excluded.events), (1, 0, 1));
}

#[tokio::test]
async fn a_percentile_is_a_nearest_rank_in_which_failures_rank_last() {
    let mut events = Events::default();
    for n in 1..=9 {
        events.succeeded(&format!("r{n}"), "ann", at(1, 1.0), n * 100);
    }
    events
        .failed("f1", "ann", at(1, 1.0), "model_error")
        .failed("f2", "ann", at(1, 1.0), "invalid_input")
        .canceled("c1", "ann", at(1, 1.0))
        // Day 2: one result, two failures. Day 3: only a failure.
        .succeeded("r10", "ann", at(2, 1.0), 7)
        .failed("f3", "ann", at(2, 1.0), "lost_worker")
        .failed("f4", "ann", at(2, 1.0), "timed_out")
        .failed("f5", "ann", at(3, 1.0), "timed_out");
    let world = World::new(&events, 5, at(LATER, 0.0)).await;
    // Ten count on day 1: rank 5 is 500, rank 9 is 900. Dropped failures would give 500 and 900 of nine: 500, 900.
    let p50 = world.metric("time_to_first_result_p50", 0, 3).await;
    assert_eq!(values(&p50), [Value::Null, json!(500), Value::Null, Value::Null]);
    let day = &p50.points[1];
    assert_eq!(
        (part(day, "queue"), part(day, "load"), part(day, "run")),
        (json!(50), json!(100), json!(250))
    );
    assert_eq!((part(day, "canceled"), part(day, "refused")), (json!(1), json!(1)));
    let p90 = world.metric("time_to_first_result_p90", 1, 1).await;
    assert_eq!(values(&p90), [json!(900)]);
    // Together 14 count: rank 7 of (7, 100 … 900) is 600; rank 13 is a failure.
    assert_eq!(json!(p50.total), json!(600));
    assert_eq!(json!(world.metric("time_to_first_result_p90", 0, 3).await.total), Value::Null);
}

#[tokio::test]
async fn credits_burn_by_kind_of_grant_and_reconcile_by_organisation() {
    let mut events = Events::default();
    let settled = |given: i64, bought: i64| json!({"settled_micro": given + bought, "settled_promotional_micro": given, "settled_paid_micro": bought});
    events
        .add("billing.hold.settled", "r1", "service:business", at(1, 1.0), settled(3_000_001, 0))
        .add("billing.hold.settled", "r2", "service:business", at(1, 2.0), settled(500_000, 250_000))
        .add("billing.hold.refunded", "r2", "ann", at(2, 2.0),
            json!({"refunded_micro": 100_000, "refunded_promotional_micro": 0, "refunded_paid_micro": 100_000}))
        .add("billing.hold.voided", "r3", "service:business", at(1, 3.0), json!({"held_micro": 9}));
    events.0[1].organisation = "org-2".to_owned();
    let world = World::new(&events, 2, at(LATER, 0.0)).await;
    let burn = world.metric("credit_burn", 0, 2).await;
    assert_eq!(values(&burn), [json!(0), json!(3_750_001), json!(-100_000)]);
    assert_eq!(
        (part(&burn.points[1], "promotional"), part(&burn.points[1], "paid")),
        (json!(3_500_001), json!(250_000))
    );
    assert_eq!(json!(burn.total), json!(3_650_001));
    let ledger = world.service.reconciliation(Some(&date(0)), Some(&date(2))).await.unwrap();
    assert_eq!(
        (ledger.settled_micro, ledger.refunded_micro, ledger.burn_micro),
        (3_750_001, 100_000, 3_650_001)
    );
    let by_organisation: Vec<_> = ledger
        .items
        .iter()
        .map(|item| (item.organisation.as_str(), item.settled_micro, item.refunded_micro, item.holds))
        .collect();
    assert_eq!(by_organisation, [("org-1", 3_000_001, 100_000, 1), ("org-2", 750_000, 0, 1)]);
}

#[tokio::test]
async fn cost_per_run_counts_failed_milliseconds_too() {
    let mut events = Events::default();
    // compute + load: 500 + 200, 100 + 0, 40 + 0 = 840 ms at 10 micro-credits, over three runs.
    events.succeeded("r1", "ann", at(1, 1.0), 1_000).failed("r2", "ann", at(1, 1.0), "model_error").canceled(
        "r3",
        "ann",
        at(1, 1.0),
    );
    let world = World::new(&events, 0, at(LATER, 0.0)).await;
    let cost = world.metric("cost_per_run", 1, 2).await;
    assert_eq!(values(&cost), [json!(2_800.0), Value::Null]);
    assert_eq!(json!(cost.points[0].numerator), json!(8_400));
    assert_eq!(cost.parameters["compute_micro_per_ms"], json!(10.0));
}

#[tokio::test]
async fn what_the_community_does_is_counted_once_and_staff_not_at_all() {
    let mut events = Events::default();
    let published = |is_remix: bool| json!({ "author_id": "ann", "is_remix": is_remix });
    let liked = |author: &str| json!({ "author_id": author });
    events
        .user("ann", at(0, 9.0), false, "person")
        .user("bob", at(0, 9.0), false, "person")
        .user("sue", at(0, 9.0), true, "person")
        .add("business.post.published", "p1", "ann", at(1, 1.0), published(false))
        .add("business.post.published", "p2", "bob", at(1, 2.0), published(true))
        .add("business.post.published", "p3", "ann", at(2, 2.0), published(false))
        .add("business.post.published", "p4", "sue", at(1, 2.0), published(true))
        .add("business.post.liked", "p1", "bob", at(1, 3.0), liked("ann"))
        .add("business.post.unliked", "p1", "bob", at(1, 4.0), liked("ann"))
        .add("business.post.liked", "p1", "bob", at(1, 5.0), liked("ann"))
        .add("business.post.liked", "p1", "ann", at(1, 5.0), liked("ann"))
        .add("business.post.liked", "p2", "ann", at(2, 5.0), liked("bob"))
        .add("business.post.liked", "p2", "sue", at(2, 5.0), liked("bob"));
    let world = World::new(&events, events.0.len(), at(LATER, 0.0)).await;
    let published = world.metric("posts_published", 0, 3).await;
    assert_eq!(values(&published), [json!(0), json!(2), json!(1), json!(0)]);
    let likes = world.metric("likes_given", 0, 3).await;
    assert_eq!(values(&likes), [json!(0), json!(1), json!(1), json!(0)]);
    let share = world.metric("remix_share", 0, 3).await;
    assert_eq!(values(&share), [Value::Null, json!(0.5), json!(0.0), Value::Null]);
}

#[tokio::test]
async fn a_number_opens_its_rows() {
    let mut events = Events::default();
    events
        .user("sue", at(0, 3.0), true, "person")
        .submitted("r1", "ann", at(1, 1.0))
        .submitted("r2", "sue", at(1, 2.0))
        .submitted("r3", "ann", at(2, 0.0));
    let world = World::new(&events, 1, at(LATER, 0.0)).await;
    let rows = world.service.rows("dau", Some(&date(1)), Some(10)).await.unwrap();
    let seen: Vec<_> =
        rows.items.iter().map(|row| (row["subject"].clone(), row["counted"].clone())).collect();
    assert_eq!(seen, [(json!("r1"), json!(true)), (json!("r2"), json!(false))]);
    assert_eq!(rows.items[0]["data"], json!({"held_micro": 5}));
    assert_eq!(rows.items[0]["time"], json!(format!("{}T01:00:00Z", date(1))));
    assert_eq!(world.service.rows("dau", Some(&date(1)), Some(1)).await.unwrap().items.len(), 1);
    for document in world.service.catalogue().documents() {
        world.service.rows(&document.definition.name, Some(&date(1)), None).await.unwrap();
    }
}

#[tokio::test]
async fn questions_that_cannot_be_answered_say_why() {
    let world = World::new(&Events::default(), 0, at(LATER, 0.0)).await;
    let ask = |name: &'static str, from: &'static str, to: &'static str| {
        let service = world.service.clone();
        async move { service.metric(name, Some(from), Some(to)).await.err().unwrap().to_string() }
    };
    assert_eq!(ask("dauu", "2024-01-01", "2024-01-02").await, "there is no metric \"dauu\"");
    assert_eq!(
        ask("dau", "2024-02-30", "2024-03-02").await,
        "\"2024-02-30\" is not a date: write it as YYYY-MM-DD"
    );
    assert!(ask("dau", "2024-01-02", "2024-01-01").await.contains("is 0"));
    assert!(ask("dau", "2020-01-02", "2024-01-01").await.contains("400 days"));
    let empty = world.service.metric("dau", None, None).await.unwrap();
    assert_eq!((empty.points.len(), empty.lake_version), (30, None));
    assert!(!empty.points[29].complete, "today may still change");
}

#[tokio::test]
async fn every_definition_that_ships_is_sql_that_the_engine_takes() {
    let world = World::new(&Events::default(), 0, at(LATER, 0.0)).await;
    world.service.check_sql().await.unwrap();
    let shown: Vec<String> = world.service.list(false).items.into_iter().map(|item| item.name).collect();
    assert_eq!(
        shown,
        [
            "dau",
            "wau",
            "mau",
            "retention_d1",
            "generation_success_rate",
            "time_to_first_result_p50",
            "time_to_first_result_p90",
            "credit_burn",
            "cost_per_run",
            "posts_published",
            "likes_given",
            "remix_share",
            "visitors"
        ]
    );
}

#[tokio::test]
async fn a_definition_of_the_operators_is_checked_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let start = |text: String| {
        let path = folder.path().to_owned();
        async move {
            std::fs::write(path.join("own.yaml"), text).unwrap();
            let lake =
                backlot_data_lake::Lake::new(backlot_data_lake::Config::folder(&path.join("lake"))).unwrap();
            let clock = backlot_foundation_time::SystemClock::shared();
            let config = Config { definitions: Some(path), ..Config::default() };
            Service::new(lake, std::sync::Arc::new(()), clock, config).await
        }
    };
    let good = "name: uploads\nlabel: Uploads\ndescription: Files that people brought\nversion: 1\ntype: simple\nunit: runs\n\
        events: [storage.asset.ready]\nagg: count\nexpr: json_str(data_json, 'origin')\nactor: actor\ntime_zone: UTC\n\
        week_starts_on: monday\nwindow_kind: calendar_day\nexclusions: [staff]\nlate_data_horizon: 1 hours\n";
    let service = start(good.to_owned()).await.unwrap();
    assert!(service.list(false).items.iter().any(|item| item.name == "uploads"));
    let error = start(good.replace("data_json,", "no_such_column,")).await.err().unwrap().to_string();
    assert!(error.contains("own.yaml:9: ") && error.contains("no_such_column"), "{error}");
    let error = start(good.replace("version: 1", "version: x")).await.err().unwrap().to_string();
    assert!(error.contains("own.yaml:4: "), "{error}");
}

#[tokio::test]
async fn the_numbers_are_for_staff() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let world = World::new(&Events::default(), 0, at(LATER, 0.0)).await;
    let trust = backlot_foundation_testkit::Trust::new("edge", "data");
    let (router, _) = world.service.http().split_for_parts();
    let verifier = trust.verifier.clone();
    let app = router
        .layer(axum::middleware::from_fn_with_state(verifier, backlot_foundation_rpc::http::authenticate));
    let ask = |staff: Option<bool>, path: &'static str| {
        let mut request = axum::http::Request::get(path);
        if let Some(staff) = staff {
            let now = backlot_foundation_time::SystemClock::shared().now();
            let person = backlot_foundation_tokens::Claims::person("data", "ann", "org", now);
            let claims = backlot_foundation_tokens::Claims { staff, ..person };
            request =
                request.header("authorization", format!("Bearer {}", trust.signer.sign(&claims).unwrap()));
        }
        let answer = app.clone().oneshot(request.body(axum::body::Body::empty()).unwrap());
        async move {
            let answer = answer.await.unwrap();
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice::<Value>(&bytes).unwrap())
        }
    };
    for path in ["/v1/metrics", "/v1/metrics/dau", "/v1/metrics/dau/rows", "/v1/data/reconciliation"] {
        assert_eq!(ask(None, path).await.0, 401, "{path}");
        assert_eq!(ask(Some(false), path).await.0, 403, "{path}");
        assert_eq!(ask(Some(true), path).await.0, 200, "{path}");
    }
    let code = |(status, body): (u16, Value)| (status, body["code"].as_str().unwrap_or_default().to_owned());
    assert_eq!(code(ask(Some(true), "/v1/metrics/x").await), (404, "metric_not_found".to_owned()));
    let wrong = code(ask(Some(true), "/v1/metrics/dau?from=2024-13-01").await);
    assert_eq!(wrong, (422, "metric_range_invalid".to_owned()));
    let (_, list) = ask(Some(true), "/v1/metrics").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 13);
    assert_eq!(list["items"][0]["type"], "simple");
    let (_, all) = ask(Some(true), "/v1/metrics?components=true").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 19);
}
