//! A run and its money, through crashes, lost answers, duplicates, cancels and revocations.

mod world;

use backlot_business_tools::{Error, Order};
use backlot_foundation_errors::Problem;
use backlot_foundation_events::{EventMeta, outbox};
use backlot_foundation_runtime::Tasks;
use backlot_foundation_testkit::databases;
use backlot_inference_api::v1::FailureClass;
use backlot_infrastructure_api::v1::{Hold, HoldState};
use serde_json::json;
use world::{CREDITS, Fault, Stage, When};

/// 10,000 to begin with and 40,000 × 1 megapixel × 2².
const PRICE: i64 = 170_000;

#[tokio::test]
async fn a_run_that_succeeds_is_paid_in_full_and_tells_its_story() {
    for database in databases("business").await {
        let stage = Stage::over(database).await;
        let row = stage.submit().await;
        assert_eq!((row.stage.as_str(), row.held_micro, row.accepted), ("submitted", PRICE, true));
        let input = stage.world.state.lock().inputs[&row.id.to_string()].clone();
        assert!(input["image"]["$file"].as_str().unwrap().starts_with("http"), "{input}");
        assert_eq!((&input["image"]["name"], &input["scale"]), (&json!("portrait.jpg"), &json!(2)));
        stage.world.succeed_job(row.id);
        let row = stage.end(row.id).await;
        assert_eq!((row.stage.as_str(), row.settled_micro), ("settled", PRICE));
        assert_eq!(row.outputs().len(), 1);
        assert_eq!(stage.events().await, ["submitted", "started", "succeeded", "settled"]);
        stage.world.assert_books_balance();
        let timeline = stage.service.timeline(&stage.actor, row.id).await.unwrap();
        let whats: Vec<&str> = timeline.items.iter().map(|item| item.what.as_str()).collect();
        for what in ["accepted", "price held", "attempt 1 assigned", "work ended", "outputs kept", "settled"]
        {
            assert!(whats.contains(&what), "{what} is not in {whats:?}");
        }
        assert!(timeline.who_paid.contains("170000"), "{}", timeline.who_paid);
        assert!(timeline.missing.is_empty());
    }
}

#[tokio::test]
async fn a_crash_at_any_call_ends_in_one_money_state() {
    let calls = ["hold", "sign", "issuer", "submit", "get_job", "finalise", "settle"];
    for call in calls {
        for when in [When::Before, When::After] {
            let databases = databases("business").await;
            for database in databases {
                let mut stage = Stage::over(database).await;
                stage.world.break_once(call, when, Fault::Hang);
                let service = stage.service.clone();
                let (actor, order) = (stage.actor.clone(), stage.order());
                let world = stage.world.clone();
                let first_life = async {
                    let row = service.submit(&actor, &order, Some("key")).await.unwrap();
                    world.succeed_job(row.id);
                    stage.clock.advance(std::time::Duration::from_secs(61));
                    service.sweep().await.unwrap();
                    row
                };
                tokio::select! {
                    _ = first_life => (),
                    () = world.reached.notified() => (),
                }
                stage.crash().await;
                // The client does what clients do: the same request with the same key.
                let row = stage.service.submit(&stage.actor, &stage.order(), Some("key")).await.unwrap();
                for _ in 0..3 {
                    stage.sweep().await;
                    stage.world.succeed_job(row.id);
                }
                let row = stage.end(row.id).await;
                assert_eq!((row.stage.as_str(), row.settled_micro), ("settled", PRICE), "{call} {when:?}");
                assert_eq!(stage.world.state.lock().jobs.len(), 1, "{call} {when:?}: one job");
                assert_eq!(
                    stage.events().await,
                    ["submitted", "started", "succeeded", "settled"],
                    "{call} {when:?}"
                );
                stage.world.assert_books_balance();
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    for call in ["hold", "submit", "cancel", "discard", "void"] {
        for when in [When::Before, When::After] {
            let stage = Stage::over(databases("business").await.remove(0)).await;
            stage.world.break_once(call, when, Fault::Unavailable);
            let row = stage.submit().await;
            stage.sweep().await;
            stage.service.cancel(&stage.actor, row.id).await.unwrap();
            let row = stage.end(row.id).await;
            assert_eq!((row.stage.as_str(), row.settled_micro), ("voided", 0), "{call} {when:?}");
            assert_eq!(row.failure_class.as_deref(), Some("user_cancel"));
            stage.world.assert_books_balance();
        }
    }
}

#[tokio::test]
async fn a_run_whose_outputs_have_no_place_costs_nothing_and_holds_nothing() {
    for database in databases("business").await {
        let stage = Stage::over(database).await;
        stage.world.break_once("issuer", When::Before, Fault::Refused);
        let row = stage.submit().await;
        let row = stage.end(row.id).await;
        assert_eq!((row.stage.as_str(), row.settled_micro), ("voided", 0));
        assert_eq!(row.failure_detail, "No space is left.");
        assert!(stage.world.state.lock().jobs.is_empty(), "inference never heard of it");
        stage.world.assert_books_balance();
    }
}

#[tokio::test]
async fn a_cancel_of_what_runs_waits_for_the_agent_and_pays_for_what_was_used() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    let row = stage.submit().await;
    stage.world.start_job(row.id);
    stage.sweep().await;
    let row = stage.service.cancel(&stage.actor, row.id).await.unwrap();
    assert_eq!((row.stage.as_str(), row.cancel_sent), ("submitted", true));
    stage.sweep().await;
    assert_eq!(stage.row(row.id).await.stage, "submitted", "the agent has not confirmed");
    stage.world.confirm_cancel(row.id, row.predicted_ms / 2);
    let row = stage.end(row.id).await;
    assert_eq!((row.stage.as_str(), row.settled_micro), ("settled", PRICE / 2));
    assert_eq!(stage.events().await, ["submitted", "started", "canceled", "settled"]);
    stage.world.assert_books_balance();
}

#[tokio::test]
async fn a_cancel_that_comes_too_late_changes_nothing() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    let row = stage.submit().await;
    stage.world.succeed_job(row.id);
    let row = stage.service.cancel(&stage.actor, row.id).await.unwrap();
    let row = stage.end(row.id).await;
    assert_eq!((row.outcome.as_deref(), row.settled_micro), (Some("succeeded"), PRICE));
    let again = stage.service.cancel(&stage.actor, row.id).await.unwrap();
    assert_eq!(again, row);
}

#[tokio::test]
async fn who_pays_follows_the_table() {
    let cases = [
        (FailureClass::InvalidInput, "invalid_input"),
        (FailureClass::ModelError, "model_error"),
        (FailureClass::LostWorker, "lost_worker"),
        (FailureClass::TimedOut, "timed_out"),
    ];
    for (class, expected) in cases {
        let stage = Stage::over(databases("business").await.remove(0)).await;
        let row = stage.submit().await;
        stage.world.fail_job(row.id, class, 2_000);
        let row = stage.end(row.id).await;
        assert_eq!((row.stage.as_str(), row.failure_class.as_deref()), ("voided", Some(expected)));
        assert_eq!((row.settled_micro, row.absorbed_micro), (0, 800), "2 s at 400 micro-credits a second");
        assert_eq!(stage.world.state.lock().discarded.len(), 1, "nothing is kept");
        stage.world.assert_books_balance();
    }
}

#[tokio::test]
async fn outputs_that_cannot_be_kept_cost_the_person_nothing() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    stage.world.state.lock().refuse_outputs = true;
    let row = stage.submit().await;
    stage.world.succeed_job(row.id);
    let row = stage.end(row.id).await;
    assert_eq!((row.stage.as_str(), row.failure_class.as_deref()), ("voided", Some("output_refused")));
    assert_eq!(stage.events().await, ["submitted", "started", "failed", "settled"]);
    stage.world.assert_books_balance();
}

#[tokio::test]
async fn a_refused_hold_leaves_nothing_and_says_why() {
    for database in databases("business").await {
        let stage = Stage::over(database).await;
        stage.world.state.lock().available = PRICE - 1;
        let refused = stage.service.submit(&stage.actor, &stage.order(), Some("k")).await;
        let Err(Error::Refused(problem)) = refused else { panic!("{refused:?}") };
        assert_eq!((problem.status, problem.code.as_str()), (402, "insufficient_credits"));
        let again = stage.service.submit(&stage.actor, &stage.order(), Some("k")).await;
        assert!(matches!(again, Err(Error::Refused(_))), "the same key, the same answer");
        assert!(stage.world.state.lock().holds.is_empty() && stage.world.state.lock().jobs.is_empty());
        assert_eq!(stage.world.state.lock().hold_calls, 1);
        assert_eq!(stage.events().await, ["refused"]);
        // Looked after once, for an order that was heard late, and then never again.
        let row = stage.service.runs(&stage.actor, None, 1).await.unwrap().remove(0);
        assert!(row.due_at.is_some() && row.closed_at.is_some());
        stage.sweep().await;
        assert_eq!(stage.row(row.id).await.due_at, None);
        assert!(!stage.world.state.lock().calls.contains(&"void"), "there was nothing to return");
    }
}

#[tokio::test]
async fn a_refused_run_is_no_open_one() {
    for database in databases("business").await {
        let mut stage = Stage::over(database).await;
        stage.config.open_runs_max = 1;
        stage.crash().await;
        stage.world.state.lock().available = PRICE - 1;
        for _ in 0..3 {
            let refused = stage.service.submit(&stage.actor, &stage.order(), None).await;
            assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        }
        stage.world.state.lock().available = CREDITS;
        stage.submit().await;
        let second = stage.service.submit(&stage.actor, &stage.order(), None).await;
        assert!(second.is_err(), "this one is open, and one is all there may be");
    }
}

#[tokio::test]
async fn a_key_is_good_for_one_request() {
    for database in databases("business").await {
        let stage = Stage::over(database).await;
        let first = stage.service.submit(&stage.actor, &stage.order(), Some("k")).await.unwrap();
        let again = stage.service.submit(&stage.actor, &stage.order(), Some("k")).await.unwrap();
        assert_eq!(first.id, again.id);
        let other = Order { input: json!({"image": stage.image.to_string(), "scale": 4}), ..stage.order() };
        let reused = stage.service.submit(&stage.actor, &other, Some("k")).await;
        assert!(matches!(reused, Err(Error::KeyReused(id)) if id == first.id), "{reused:?}");
        assert_eq!(stage.world.state.lock().holds.len(), 1);
    }
}

#[tokio::test]
async fn one_key_sent_many_times_at_once_makes_one_run() {
    for database in databases("business").await {
        let stage = Stage::over(database).await;
        let order = stage.order();
        let submits = (0..8).map(|_| stage.service.submit(&stage.actor, &order, Some("k")));
        let rows = futures::future::join_all(submits).await;
        let ids: std::collections::HashSet<_> = rows.into_iter().map(|row| row.unwrap().id).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(stage.world.state.lock().holds.len(), 1);
    }
}

#[tokio::test]
async fn two_drivers_of_one_run_do_its_work_once() {
    for database in databases("business").await {
        let mut stage = Stage::over(database).await;
        let row = stage.submit().await;
        stage.world.succeed_job(row.id);
        let first = stage.service.clone();
        stage.crash().await;
        tokio::join!(first.drive(row.id), stage.service.drive(row.id), first.drive(row.id));
        let row = stage.end(row.id).await;
        assert_eq!(row.stage, "settled");
        assert_eq!(stage.events().await, ["submitted", "started", "succeeded", "settled"]);
        stage.world.assert_books_balance();
    }
}

#[tokio::test]
async fn a_full_queue_is_tried_again_until_the_run_expires() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    stage.world.state.lock().refuse_submit = Some(Stage::queue_full());
    let row = stage.submit().await;
    assert_eq!((row.stage.as_str(), row.accepted), ("submitted", false));
    stage.sweep().await;
    stage.world.state.lock().refuse_submit = None;
    stage.sweep().await;
    assert!(stage.row(row.id).await.accepted);

    stage.world.state.lock().refuse_submit = Some(Stage::queue_full());
    let row = stage.submit().await;
    stage.clock.advance(std::time::Duration::from_secs(3_600));
    let row = stage.end(row.id).await;
    assert_eq!((row.stage.as_str(), row.outcome.as_deref()), ("voided", Some("expired")));
}

#[tokio::test]
async fn a_model_that_refuses_the_input_is_the_callers_mistake() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    let problem = Problem::new(&backlot_inference_api::codes::JOB_INPUT_INVALID, "scale is odd");
    stage.world.state.lock().refuse_submit = Some(problem);
    let row = stage.submit().await;
    let row = stage.end(row.id).await;
    assert_eq!((row.stage.as_str(), row.failure_class.as_deref()), ("voided", Some("invalid_input")));
    assert_eq!(row.failure_detail, "scale is odd");
}

#[tokio::test]
async fn bad_orders_hold_nothing() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    let input = |value: serde_json::Value| Order { input: value, ..stage.order() };
    let foreign = backlot_infrastructure_api::AssetId::generate().to_string();
    let orders = [
        (Order { tool: "sing".to_owned(), ..stage.order() }, "tool_unknown", 404, ""),
        (Order { version: Some("9.9.9".to_owned()), ..stage.order() }, "tool_unknown", 404, ""),
        (input(json!({})), "tool_input_invalid", 422, "/input/image"),
        (input(json!({"image": foreign})), "tool_input_invalid", 422, "/input/image"),
        (
            input(json!({"image": stage.image.to_string(), "scale": 3})),
            "tool_input_invalid",
            422,
            "/input/scale",
        ),
        (Order { max_price_micro: Some(PRICE - 1), ..stage.order() }, "price_above_maximum", 409, ""),
    ];
    for (order, code, status, pointer) in orders {
        let problem =
            Problem::from(stage.service.submit(&stage.actor, &order, Some(code)).await.unwrap_err());
        assert_eq!((problem.code.as_str(), problem.status), (code, status), "{problem}");
        assert_eq!(problem.errors.first().map_or("", |error| error.pointer.as_str()), pointer);
    }
    stage
        .world
        .state
        .lock()
        .assets
        .get_mut(&stage.image.to_string())
        .unwrap()
        .set_state(backlot_infrastructure_api::v1::AssetState::Uploading);
    let problem = Problem::from(stage.service.submit(&stage.actor, &stage.order(), None).await.unwrap_err());
    assert!(problem.errors[0].message.contains("upload"), "{problem:?}");
    assert_eq!(stage.world.state.lock().available, CREDITS);
    assert!(stage.world.state.lock().holds.is_empty() && stage.events().await.is_empty());
}

#[tokio::test]
async fn another_organisation_sees_no_run() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    let row = stage.submit().await;
    let stranger = backlot_business_tools::Actor {
        organisation: backlot_infrastructure_api::OrganisationId::generate(),
        id: "x".to_owned(),
    };
    assert!(matches!(stage.service.run(&stranger, row.id).await, Err(Error::RunUnknown(_))));
    assert!(matches!(stage.service.cancel(&stranger, row.id).await, Err(Error::RunUnknown(_))));
    assert!(matches!(stage.service.timeline(&stranger, row.id).await, Err(Error::RunUnknown(_))));
    assert!(stage.service.runs(&stranger, None, 10).await.unwrap().is_empty());
    assert!(stage.row(row.id).await.cancel_reason.is_none());
}

#[tokio::test]
async fn a_quote_holds_nothing_and_lists_its_lines() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    let quote = stage.service.quote(&stage.actor, &stage.order()).await.unwrap();
    assert_eq!((quote.price_micro, quote.lines.len(), quote.available_micro), (PRICE, 2, CREDITS));
    assert!(quote.estimate.possible && quote.permission.allowed);
    assert!(stage.world.state.lock().holds.is_empty());
}

#[tokio::test]
async fn a_revoked_mandate_stops_what_waits_and_leaves_what_runs() {
    for database in databases("business").await {
        let stage = Stage::over(database).await;
        let (waits, runs) = (stage.submit().await, stage.submit().await);
        stage.world.start_job(runs.id);
        stage.sweep().await;
        let tasks = Tasks::new();
        stage.service.tasks(&tasks, &stage.infrastructure, &stage.inference);
        // The root of the chain: what hangs below it stops, too.
        let root = "0198a000-0000-7000-8000-000000000001";
        let tx = stage.infrastructure_db.begin_write().await.unwrap();
        let meta = EventMeta { subject: root.to_owned(), ..EventMeta::default() };
        outbox::publish_raw(&tx, meta, "mandates.mandate.revoked", 1, "{}".to_owned()).await.unwrap();
        tx.commit().await.unwrap();
        let stopped = until_closed(&stage, waits.id).await;
        assert_eq!(
            (stopped.stage.as_str(), stopped.failure_class.as_deref()),
            ("voided", Some("mandate_revoked"))
        );
        assert!(stage.row(runs.id).await.cancel_reason.is_none());
        // The end of the other is heard by inference's events, without any sweep.
        stage.world.succeed_job(runs.id);
        let tx = stage.inference_db.begin_write().await.unwrap();
        let meta = EventMeta { subject: runs.id.to_string(), ..EventMeta::default() };
        outbox::publish_raw(&tx, meta, "inference.job.succeeded", 1, "{}".to_owned()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(until_closed(&stage, runs.id).await.settled_micro, PRICE);
        assert_eq!(tasks.shutdown(std::time::Duration::from_secs(5)).await, 0);
        stage.world.assert_books_balance();
        assert_eq!(stage.world.state.lock().models.len(), 7, "the models of the catalogue are registered");
    }
}

/// A run that billing refused.
async fn refused(stage: &Stage) -> backlot_business_api::RunId {
    stage.world.state.lock().available = PRICE - 1;
    let refused = stage.service.submit(&stage.actor, &stage.order(), None).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    stage.service.runs(&stage.actor, None, 1).await.unwrap()[0].id
}

/// Billing holds its price after all: an earlier order came late.
fn hold_late(stage: &Stage, id: backlot_business_api::RunId) {
    let mut state = stage.world.state.lock();
    state.available = CREDITS - PRICE;
    let hold =
        Hold { run_id: id.to_string(), state: HoldState::Held.into(), held_micro: PRICE, ..Hold::default() };
    state.holds.insert(id.to_string(), hold);
}

/// Billing tells of a hold: that it was made, or that it is open for too long.
async fn tell(stage: &Stage, id: backlot_business_api::RunId, event: &str) {
    let tx = stage.infrastructure_db.begin_write().await.unwrap();
    let meta = EventMeta { subject: id.to_string(), ..EventMeta::default() };
    outbox::publish_raw(&tx, meta, event, 1, "{}".to_owned()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_hold_that_comes_after_its_refusal_returns_also_over_a_crash() {
    let faults = [None, Some(When::Before), Some(When::After)];
    for (fault, event) in
        faults.into_iter().zip(["billing.hold.created"; 3]).chain([(None, "billing.hold.overdue")])
    {
        for database in databases("business").await {
            let mut stage = Stage::over(database).await;
            let id = refused(&stage).await;
            // The look that every refusal gets finds nothing: the hold is made after it.
            stage.sweep().await;
            assert_eq!(stage.row(id).await.due_at, None);
            hold_late(&stage, id);
            if let Some(when) = fault {
                stage.world.break_once("void", when, Fault::Hang);
            }
            let tasks = Tasks::new();
            stage.service.tasks(&tasks, &stage.infrastructure, &stage.inference);
            tell(&stage, id, event).await;
            if fault.is_some() {
                stage.world.reached.notified().await;
                stage.crash().await;
                stage.sweep().await;
            }
            let returned = async {
                while stage.world.hold(id).unwrap().state() == HoldState::Held {
                    tokio::task::yield_now().await;
                }
            };
            let in_time = tokio::time::timeout(std::time::Duration::from_secs(30), returned).await;
            in_time.expect("the hold returns");
            stage.world.assert_books_balance();
            assert_eq!(stage.row(id).await.stage, "refused");
            tasks.shutdown(std::time::Duration::from_millis(1)).await;
        }
    }
}

/// The event of such a hold came when the run was not refused yet, and did nothing: nobody tells again.
#[tokio::test]
async fn a_hold_that_was_made_before_its_refusal_was_written_returns_also_over_a_crash() {
    for fault in [None, Some(When::Before), Some(When::After)] {
        for database in databases("business").await {
            let mut stage = Stage::over(database).await;
            let id = refused(&stage).await;
            hold_late(&stage, id);
            if let Some(when) = fault {
                stage.world.break_once("void", when, Fault::Hang);
                stage.clock.advance(std::time::Duration::from_secs(61));
                let service = stage.service.clone();
                let dying = tokio::spawn(async move { service.sweep().await });
                stage.world.reached.notified().await;
                dying.abort();
                stage.crash().await;
            }
            stage.sweep().await;
            assert_eq!(stage.world.hold(id).unwrap().state(), HoldState::Voided, "{fault:?}");
            stage.sweep().await;
            let row = stage.row(id).await;
            assert_eq!((row.stage.as_str(), row.due_at), ("refused", None));
            stage.world.assert_books_balance();
        }
    }
}

/// Watches, without moving the clock: only what woke the reconciler can end it.
async fn until_closed(stage: &Stage, id: backlot_business_api::RunId) -> backlot_business_tools::row::Model {
    let look = async {
        loop {
            let row = stage.row(id).await;
            if row.closed_at.is_some() {
                return row;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), look).await.expect("the run ends")
}

#[tokio::test]
async fn a_lost_hold_answer_is_never_forgotten() {
    let stage = Stage::over(databases("business").await.remove(0)).await;
    stage.world.break_once("hold", When::After, Fault::Unavailable);
    let row = stage.submit().await;
    assert_eq!(row.stage, "intent");
    assert_eq!(stage.world.hold(row.id).unwrap().state(), HoldState::Held);
    let row = stage.service.cancel(&stage.actor, row.id).await.unwrap();
    let row = stage.end(row.id).await;
    assert_eq!((row.stage.as_str(), stage.world.job(row.id).is_none()), ("voided", true));
    stage.world.assert_books_balance();
}

#[tokio::test]
async fn a_key_is_forgotten_after_90_days_and_its_run_stays() {
    for database in databases("business").await {
        let stage = Stage::over(database).await;
        let day = |days: u64| std::time::Duration::from_secs(days * 24 * 60 * 60);
        let order = stage.order();
        let submit = || stage.service.submit(&stage.actor, &order, Some("key"));
        let first = submit().await.unwrap().id;
        stage.world.succeed_job(first);
        stage.end(first).await;
        stage.clock.advance(day(89));
        assert_eq!(stage.service.prune_keys().await.unwrap(), 0);
        assert_eq!(submit().await.unwrap().id, first);
        stage.clock.advance(day(2));
        assert_eq!(stage.service.prune_keys().await.unwrap(), 1);
        assert_ne!(submit().await.unwrap().id, first, "a new order");
        assert_eq!(stage.row(first).await.stage, "settled");
    }
}
