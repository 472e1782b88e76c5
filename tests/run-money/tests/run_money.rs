//! A run and its money over the real systems.

mod house;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use backlot_business_tools::{Actor, Error, Order};
use backlot_infrastructure_api::{HoldId, MandateId, UserId};
use backlot_infrastructure_billing::{GiveOrder, HoldOrder, HoldState};
use backlot_infrastructure_mandates::{ActionPattern, Envelope, Period};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use house::House;
use serde_json::{Value, json};

/// The price of an echo.
const ECHO: i64 = 100;
/// Requests of the storm.
const STORM: usize = 60;

fn main() {
    if std::env::args().any(|argument| argument == "probe-child") {
        backlot_infrastructure_storage::probe_child_main();
        return;
    }
    // A test runner asks for the tests' names first: all of it is one.
    if std::env::args().any(|argument| argument == "--list") {
        if !std::env::args().any(|argument| argument == "--ignored") {
            println!("run_and_money: test");
        }
        return;
    }
    // Before anything else, as nothing else is quicker to say.
    let _ = house::python();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for postgres in [false, true] {
        runtime.block_on(async move {
            let Some(mut house) = House::build(postgres).await else { return };
            println!("on {}", if postgres { "PostgreSQL" } else { "SQLite" });
            all(&mut house).await;
            house.close().await;
        });
    }
}

async fn all(house: &mut House) {
    told("what waits is canceled and costs nothing", canceled_while_queued(house)).await;
    told("a revoked mandate stops what waits", revoked_while_queued(house)).await;
    house.start_agent();
    told("what was accepted before runs and is paid", accepted_before(house)).await;
    told("over the envelope: refused, nothing held", over_the_envelope(house)).await;
    told("a hold that is made after its refusal returns", late_hold(house)).await;
    told("an echo succeeds", echo_succeeds(house)).await;
    told("failures cost the person nothing", failures(house)).await;
    told("what runs is canceled and pays its share", canceled_while_running(house)).await;
    told("a crash of business in the middle", crash_in_the_middle(house)).await;
    told("a storm of runs, cancels, dropped requests and a crash", storm(house)).await;
    told("a picture goes in and an asset comes out", picture(house)).await;
    told("a photograph becomes a clip", clip(house)).await;
    let median = many_echoes(house).await;
    println!("  an echo, from the order to the settled money: p50 {} ms", median.as_millis());
    house.assert_books_balance().await;
}

async fn told(what: &str, scenario: impl Future<Output = ()>) {
    scenario.await;
    println!("  ok: {what}");
}

fn echo(input: Value) -> Order {
    Order { tool: "echo".to_owned(), input, ..Order::default() }
}

async fn canceled_while_queued(house: &House) {
    let run = house.submit(&echo(json!({"text": "never"}))).await;
    assert_eq!((run.stage.as_str(), run.held_micro, run.accepted), ("submitted", ECHO, true));
    house.tools.cancel(&house.owner, run.id).await.unwrap();
    let run = house.end(run.id).await;
    assert_eq!((run.stage.as_str(), run.failure_class.as_deref()), ("voided", Some("user_cancel")));
}

async fn give(house: &House, limit_micro: i64) -> (MandateId, Actor) {
    let grantee = UserId::generate();
    let order = GiveOrder {
        organisation: house.owner.organisation,
        giver: UserId::parse(&house.owner.id).unwrap(),
        parent: house.root,
        grantee,
        project: None,
        actions: BTreeSet::from([ActionPattern::parse("tools.*").unwrap()]),
        tools: None,
        max_unit_price_micro: None,
        envelope: Envelope::Cap { limit_micro, period: Period::Life },
        depth_max: 2,
        expires_at: None,
        share_bps: 0,
        purpose: "a part of the film".to_owned(),
    };
    let given = house.billing.give(&order).await.unwrap();
    (given.row.mandate.id, Actor { id: grantee.to_string(), ..house.owner.clone() })
}

async fn revoked_while_queued(house: &House) {
    let (mandate, member) = give(house, 10_000).await;
    let run = house.tools.submit(&member, &echo(json!({})), None).await.unwrap();
    assert_eq!(run.held_by_mandate, mandate.to_string());
    let giver = UserId::parse(&house.owner.id).unwrap();
    house.billing.revoke(house.owner.organisation, giver, mandate).await.unwrap();
    let run = house.end(run.id).await;
    assert_eq!((run.stage.as_str(), run.failure_class.as_deref()), ("voided", Some("mandate_revoked")));
    let refused = house.tools.submit(&member, &echo(json!({})), None).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
}

async fn accepted_before(house: &House) {
    let run = house.submit(&echo(json!({"text": "patience"}))).await;
    let run = house.end(run.id).await;
    assert_eq!((run.stage.as_str(), run.settled_micro), ("settled", ECHO));
}

async fn over_the_envelope(house: &House) {
    let (_, member) = give(house, ECHO - 1).await;
    let before = house.balance().await;
    let refused = house.tools.submit(&member, &echo(json!({})), Some("key")).await;
    let Err(Error::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.code.as_str(), problem.status / 100), ("envelope_exceeded", 4));
    assert_eq!(house.balance().await, before);
}

/// A process of business ordered the hold, hung and died; another one was refused meanwhile; now billing hears the first.
async fn late_hold(house: &House) {
    let (_, member) = give(house, ECHO - 1).await;
    let refused = house.tools.submit(&member, &echo(json!({})), None).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    let run = house.tools.runs(&house.owner, None, 1).await.unwrap().remove(0);
    assert_eq!(run.stage, "refused");
    // The look after a refusal is over: only the hold's own event can bring it back.
    house.until(run.id, |run| run.due_at.is_none()).await;
    let before = house.balance().await;
    let order = HoldOrder {
        run: HoldId::parse(&run.id.to_string()).unwrap(),
        organisation: house.owner.organisation,
        project: None,
        actor: UserId::parse(&house.owner.id).unwrap(),
        mandate: None,
        action: "tools.run".to_owned(),
        tool: "echo".to_owned(),
        amount_micro: ECHO,
        overdue_after: Duration::ZERO,
    };
    house.billing.hold(&order).await.unwrap();
    house.until_ended(order.run).await;
    // Business writes down what billing has done.
    house.until(run.id, |run| run.due_at.is_none()).await;
    let hold = house.billing.find_hold(order.run).await.unwrap();
    assert_eq!((hold.state, hold.reason.as_str()), (HoldState::Voided, "refused"));
    assert_eq!(house.balance().await, before);
    let timeline = house.tools.timeline(&house.owner, run.id).await.unwrap();
    assert!(timeline.items.iter().any(|item| item.what == "late hold returned"), "{timeline:#?}");
}

async fn echo_succeeds(house: &House) {
    let (available, _) = house.balance().await;
    let key = Some("once");
    let run = house.tools.submit(&house.owner, &echo(json!({"text": "hello"})), key).await.unwrap();
    let again = house.tools.submit(&house.owner, &echo(json!({"text": "hello"})), key).await.unwrap();
    assert_eq!(run.id, again.id);
    let run = house.end(run.id).await;
    assert_eq!((run.stage.as_str(), run.settled_micro), ("settled", ECHO));
    assert_eq!(run.outputs()[0].value.as_ref().unwrap()["text"], "hello");
    assert_eq!(house.balance().await, (available - ECHO, 0));
    let timeline = house.tools.timeline(&house.owner, run.id).await.unwrap();
    assert!(timeline.missing.is_empty() && timeline.items.len() >= 6, "{timeline:#?}");
    assert!(timeline.items.iter().any(|item| item.what == "attempt 1 assigned"), "{timeline:#?}");
}

async fn failures(house: &House) {
    for class in ["invalid_input", "model_error"] {
        let (available, _) = house.balance().await;
        let run = house.submit(&echo(json!({"fail": class}))).await;
        let run = house.end(run.id).await;
        assert_eq!((run.stage.as_str(), run.failure_class.as_deref()), ("voided", Some(class)));
        assert_eq!(house.balance().await, (available, 0));
    }
}

async fn canceled_while_running(house: &House) {
    let run = house.submit(&echo(json!({"sleep_ms": 20_000}))).await;
    house.until(run.id, |run| run.started_at.is_some()).await;
    house.tools.cancel(&house.owner, run.id).await.unwrap();
    let run = house.end(run.id).await;
    assert_eq!(run.failure_class.as_deref(), Some("user_cancel"));
    assert!(run.settled_micro < ECHO, "{run:?}");
    assert!(run.compute_ms < 20_000, "the work was stopped");
}

async fn crash_in_the_middle(house: &mut House) {
    let run = house.submit(&echo(json!({"sleep_ms": 300}))).await;
    house.crash_business().await;
    let run = house.end(run.id).await;
    assert_eq!((run.stage.as_str(), run.settled_micro), ("settled", ECHO));
}

/// Requests that are cut off at any point, cancels beside them, and the end of the process in the middle.
async fn storm(house: &mut House) {
    let tools = house.tools.clone();
    let owner = house.owner.clone();
    let mut requests: FuturesUnordered<_> = (0..STORM)
        .map(|n| {
            let (tools, owner) = (tools.clone(), owner.clone());
            async move {
                let order = echo(json!({"text": n.to_string(), "sleep_ms": n % 7 * 15}));
                let run = tools.submit(&owner, &order, Some(&format!("storm {n}"))).await.unwrap();
                if n % 3 == 0 {
                    tools.cancel(&owner, run.id).await.unwrap();
                }
                run.id
            }
        })
        .collect();
    for _ in 0..STORM / 3 {
        requests.next().await;
    }
    drop(requests);
    house.crash_business().await;
    let runs = house.tools.runs(&house.owner, None, 200).await.unwrap();
    assert!(runs.len() >= STORM / 3);
    // What an earlier scenario was refused is in the list, too.
    for run in runs.into_iter().filter(|run| run.stage != "refused") {
        let run = house.end(run.id).await;
        let whole = run.outcome.as_deref() == Some("succeeded") && run.settled_micro == ECHO;
        let part = run.cancel_reason.is_some() && run.settled_micro <= ECHO;
        let failed = run.outcome.as_deref() == Some("failed") && run.settled_micro == 0;
        assert!(whole || part || failed, "{run:#?}");
    }
    assert_eq!(house.balance().await.1, 0, "nothing is held any more");
}

async fn picture(house: &House) {
    let image = house.upload("photo.png", house::png()).await;
    let input = json!({"image": image.to_string(), "scale": 2});
    let order = Order { tool: "upscale".to_owned(), input, ..Order::default() };
    let quote = house.tools.quote(&house.owner, &order).await.unwrap();
    assert!(quote.estimate.possible && quote.permission.allowed, "{quote:?}");
    let run = house.submit(&order).await;
    let run = house.end(run.id).await;
    assert_eq!((run.stage.as_str(), run.settled_micro), ("settled", quote.price_micro), "{run:?}");
    let output = &run.outputs()[0];
    assert_eq!((output.content_type.as_str(), output.width, output.height), ("image/png", 64, 48));
    // A file that the model cannot read fails after it was fetched; the person pays nothing.
    let bad = Order { input: json!({"image": image.to_string(), "scale": 4}), ..order };
    let run = house.submit(&bad).await;
    let run = house.end(run.id).await;
    assert_eq!(
        (run.stage.as_str(), run.failure_class.as_deref()),
        ("voided", Some("invalid_input")),
        "{run:?}"
    );
}

/// One after the other; the figure is for people, the balance afterwards is the test.
async fn many_echoes(house: &House) -> Duration {
    let mut took = Vec::new();
    for _ in 0..30 {
        let began = Instant::now();
        let run = house.submit(&echo(json!({}))).await;
        house.end(run.id).await;
        took.push(began.elapsed());
    }
    took.sort();
    took[took.len() / 2]
}

async fn clip(house: &House) {
    let image = house.upload("still.png", house::png()).await;
    let input = json!({"image": image.to_string(), "seconds": 1, "aspect": "original"});
    let order = Order { tool: "animate".to_owned(), input, ..Order::default() };
    let run = house.submit(&order).await;
    let run = house.end(run.id).await;
    assert_eq!((run.stage.as_str(), run.settled_micro), ("settled", run.price_micro), "{run:?}");
    let clip = &run.outputs()[0];
    assert_eq!(clip.content_type, "video/mp4");
    assert!((900..1_200).contains(&clip.duration_ms), "{clip:?}");
    assert!(Duration::from_millis(run.compute_ms.unsigned_abs()) > Duration::ZERO);
}
