//! Moderation in the life of a run: what is looked at, withheld, decided by people, and never lost by a crash.

mod world;

use std::time::Duration;

use backlot_business_api::RunId;
use backlot_business_tools::moderation::{Decision, ReviewFilter, ReviewState, ReviewView};
use backlot_business_tools::row::Model as Row;
use backlot_business_tools::{Config, Error, Order};
use backlot_foundation_errors::Problem;
use backlot_foundation_testkit::{TestDb, databases};
use backlot_inference_api::v1::FailureClass;
use serde_json::json;
use world::{Fault, Stage, When};

/// Below every threshold, between them, above them.
const SAFE: i64 = 3_000;
const DOUBTFUL: i64 = 600_000;
const BAD: i64 = 950_000;

async fn stage() -> Stage {
    Stage::configured(TestDb::sqlite("business").await, Config::default()).await
}

/// Up to the place where what was made is looked at.
async fn until_outputs(stage: &Stage) -> Row {
    let row = stage.submit().await;
    stage.world.score_looks(SAFE);
    stage.sweep().await;
    stage.world.succeed_job(row.id);
    stage.sweep().await;
    stage.row(row.id).await
}

async fn open(stage: &Stage, state: ReviewState) -> Vec<ReviewView> {
    stage.service.reviews(ReviewFilter { state, after: None, limit: 10 }).await.unwrap()
}

async fn looks(stage: &Stage) -> usize {
    stage.world.state.lock().looks.len()
}

fn kept(stage: &Stage, id: RunId) -> bool {
    stage.world.state.lock().finalised.contains_key(&id.to_string())
}

#[tokio::test]
async fn nothing_is_submitted_or_delivered_before_it_has_passed() {
    for database in databases("business").await {
        let stage = Stage::configured(database, Config::default()).await;
        let row = stage.submit().await;
        assert_eq!((row.stage.as_str(), stage.world.job(row.id).is_none()), ("held", true));
        assert_eq!(looks(&stage).await, 1);
        stage.sweep().await;
        assert_eq!((looks(&stage).await, stage.row(row.id).await.stage.as_str()), (1, "held"));
        stage.world.score_looks(SAFE);
        stage.sweep().await;
        assert_eq!(stage.row(row.id).await.stage, "submitted");
        stage.world.succeed_job(row.id);
        stage.sweep().await;
        let row = stage.row(row.id).await;
        assert_eq!((row.stage.as_str(), looks(&stage).await, kept(&stage, row.id)), ("terminal", 2, false));
        stage.world.score_looks(SAFE);
        let row = stage.end(row.id).await;
        assert_eq!((row.stage.as_str(), row.outputs().len(), kept(&stage, row.id)), ("settled", 1, true));
        stage.world.assert_books_balance();
    }
}

#[tokio::test]
async fn what_is_refused_by_its_score_is_thrown_away_and_costs_nothing() {
    let stage = stage().await;
    let row = until_outputs(&stage).await;
    stage.world.score_looks(BAD);
    let row = stage.end(row.id).await;
    assert_eq!((row.stage.as_str(), row.settled_micro), ("voided", 0));
    assert_eq!(row.failure_class.as_deref(), Some("moderated_output"));
    assert!(!kept(&stage, row.id));
    assert_eq!(stage.world.state.lock().discarded, [row.id.to_string()]);
    assert_eq!(stage.events().await, ["submitted", "started", "failed", "settled"]);
    let upheld = open(&stage, ReviewState::Upheld).await;
    assert_eq!((upheld[0].run_id, upheld[0].decided_by.as_deref()), (row.id, Some("score")));
    stage.world.assert_books_balance();
}

#[tokio::test]
async fn what_is_in_doubt_waits_for_a_person() {
    for (decision, ends) in [(Decision::Release, "settled"), (Decision::Uphold, "voided")] {
        let mut stage = stage().await;
        let row = until_outputs(&stage).await;
        stage.world.score_looks(DOUBTFUL);
        stage.sweep().await;
        assert!(stage.row(row.id).await.in_review);
        // Neither time within the limit nor a crash decides.
        stage.crash().await;
        for _ in 0..3 {
            stage.sweep().await;
        }
        let waiting = open(&stage, ReviewState::Open).await;
        assert_eq!((waiting.len(), waiting[0].score_ppm), (1, Some(DOUBTFUL)));
        assert!(waiting[0].media[0].url.is_some() && !kept(&stage, row.id));
        let due = waiting[0].created_at.plus(Duration::from_secs(72 * 3_600));
        assert_eq!(waiting[0].due_at, Some(due));
        let decided = stage.service.decide_review("staff", waiting[0].id, decision, "looked").await.unwrap();
        assert_eq!((decided.decided_by.as_deref(), decided.due_at), (Some("staff"), None));
        // Twice is once, and otherwise is a conflict.
        stage.service.decide_review("other", waiting[0].id, decision, "").await.unwrap();
        let other = if decision == Decision::Release { Decision::Uphold } else { Decision::Release };
        let conflict = stage.service.decide_review("other", waiting[0].id, other, "").await.unwrap_err();
        assert_eq!(Problem::from(conflict).code, "review_decided");
        let row = stage.end(row.id).await;
        assert_eq!((row.stage.as_str(), kept(&stage, row.id)), (ends, decision == Decision::Release));
        stage.world.assert_books_balance();
    }
}

#[tokio::test]
async fn who_waits_longest_is_looked_at_first_and_what_was_decided_last_is_read_first() {
    let stage = stage().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let row = until_outputs(&stage).await;
        stage.world.score_looks(DOUBTFUL);
        stage.sweep().await;
        runs.push(row.id);
    }
    let waiting = open(&stage, ReviewState::Open).await;
    assert_eq!(waiting.iter().map(|review| review.run_id).collect::<Vec<_>>(), runs);
    let filter = ReviewFilter { state: ReviewState::Open, after: Some(waiting[0].id), limit: 1 };
    assert_eq!(stage.service.reviews(filter).await.unwrap()[0].id, waiting[1].id);
    for review in &waiting {
        stage.service.decide_review("staff", review.id, Decision::Uphold, "").await.unwrap();
    }
    let decided = open(&stage, ReviewState::Upheld).await;
    runs.reverse();
    assert_eq!(decided.iter().map(|review| review.run_id).collect::<Vec<_>>(), runs);
    let filter = ReviewFilter { state: ReviewState::Upheld, after: Some(decided[0].id), limit: 1 };
    assert_eq!(stage.service.reviews(filter).await.unwrap()[0].id, decided[1].id);
}

#[tokio::test]
async fn what_nobody_decides_is_refused_in_the_end() {
    let stage = stage().await;
    let row = until_outputs(&stage).await;
    stage.world.fail_looks(FailureClass::InvalidInput);
    stage.sweep().await;
    assert!(stage.row(row.id).await.in_review, "what cannot be judged is not delivered");
    stage.clock.advance(Duration::from_secs(73 * 3_600));
    let row = stage.end(row.id).await;
    assert_eq!((row.stage.as_str(), row.failure_class.as_deref()), ("voided", Some("moderated_output")));
    assert_eq!(open(&stage, ReviewState::Expired).await[0].decided_by.as_deref(), Some("clock"));
}

#[tokio::test]
async fn a_refused_input_is_never_run_until_a_person_releases_it() {
    let stage = stage().await;
    let row = stage.submit().await;
    stage.world.score_looks(BAD);
    let row = stage.end(row.id).await;
    assert_eq!((row.stage.as_str(), row.failure_class.as_deref()), ("voided", Some("moderated_input")));
    assert!(stage.world.job(row.id).is_none());
    let review = open(&stage, ReviewState::Open).await.remove(0);
    assert_eq!((review.media[0].asset_id, review.due_at), (Some(stage.image), None));
    stage.service.decide_review("staff", review.id, Decision::Release, "").await.unwrap();
    let row = stage.submit().await;
    assert_eq!((row.stage.as_str(), looks(&stage).await), ("submitted", 1), "it is not looked at again");
}

#[tokio::test]
async fn what_an_earlier_run_made_has_passed_already() {
    let stage = stage().await;
    let row = until_outputs(&stage).await;
    stage.world.score_looks(SAFE);
    let row = stage.end(row.id).await;
    let made = row.outputs()[0].id.clone();
    {
        let mut state = stage.world.state.lock();
        let mut asset = state.assets[&stage.image.to_string()].clone();
        (asset.id, asset.run_id) = (made.clone(), row.id.to_string());
        state.assets.insert(made.clone(), asset);
    }
    let order = Order { input: json!({ "image": made, "scale": 2 }), ..stage.order() };
    let row = stage.service.submit(&stage.actor, &order, None).await.unwrap();
    assert_eq!((row.stage.as_str(), looks(&stage).await), ("submitted", 2), "nothing is looked at again");
}

#[tokio::test]
async fn a_look_that_is_lost_is_asked_for_again_and_then_counts_as_unjudged() {
    let stage = stage().await;
    let row = stage.submit().await;
    for tries in 1..=3 {
        assert_eq!(looks(&stage).await, tries);
        stage.world.fail_looks(FailureClass::LostWorker);
        stage.sweep().await;
        stage.sweep().await;
    }
    let row = stage.end(row.id).await;
    assert_eq!((looks(&stage).await, row.failure_class.as_deref()), (3, Some("moderated_input")));
    assert!(row.failure_detail.contains("could not be judged"), "{}", row.failure_detail);
}

#[tokio::test]
async fn a_crash_at_any_call_of_moderation_loses_nothing_and_looks_once() {
    for call in ["sign", "sign_output", "submit", "get_job", "finalise", "settle"] {
        for when in [When::Before, When::After] {
            let mut stage = stage().await;
            stage.world.break_once(call, when, Fault::Hang);
            let (service, world) = (stage.service.clone(), stage.world.clone());
            let (actor, order) = (stage.actor.clone(), stage.order());
            let first_life = async {
                let row = service.submit(&actor, &order, Some("key")).await.unwrap();
                for _ in 0..3 {
                    world.score_looks(SAFE);
                    stage.clock.advance(Duration::from_secs(61));
                    service.sweep().await.unwrap();
                    world.succeed_job(row.id);
                }
            };
            tokio::select! {
                () = first_life => (),
                () = world.reached.notified() => (),
            }
            stage.crash().await;
            let row = stage.service.submit(&stage.actor, &stage.order(), Some("key")).await.unwrap();
            for _ in 0..6 {
                stage.world.score_looks(SAFE);
                stage.sweep().await;
                stage.world.succeed_job(row.id);
            }
            let row = stage.end(row.id).await;
            assert_eq!(row.stage, "settled", "{call} {when:?}");
            assert_eq!(looks(&stage).await, 2, "{call} {when:?}: one look a medium");
            stage.world.assert_books_balance();
        }
    }
}

#[tokio::test]
async fn a_refused_text_leaves_nothing_behind() {
    let stage = stage().await;
    let order = Order {
        tool: "narrate".to_owned(),
        input: json!({ "text": "a story with child porn in it" }),
        ..Order::default()
    };
    for refused in [
        stage.service.submit(&stage.actor, &order, None).await.map(|_| ()).unwrap_err(),
        stage.service.quote(&stage.actor, &order).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(refused, Error::Prompt { .. }));
        let problem = Problem::from(refused);
        assert_eq!(problem.code, "prompt_moderated");
        assert_eq!(problem.errors[0].pointer, "/input/text");
    }
    assert!(stage.world.state.lock().holds.is_empty());
    let harmless = Order { input: json!({ "text": "a story with a child in it" }), ..order };
    stage.service.submit(&stage.actor, &harmless, None).await.unwrap();
}

#[tokio::test]
async fn a_dry_run_says_what_a_run_would_be_refused_for() {
    let stage = stage().await;
    let quote = stage.service.quote(&stage.actor, &stage.order()).await.unwrap();
    assert_eq!(quote.refusal, None);
    let order = Order { max_price_micro: Some(1), ..stage.order() };
    let refusal = stage.service.quote(&stage.actor, &order).await.unwrap().refusal.unwrap();
    assert_eq!(refusal.code, "price_above_maximum");
    stage.world.state.lock().available = 0;
    let refusal = stage.service.quote(&stage.actor, &stage.order()).await.unwrap().refusal.unwrap();
    assert_eq!(refusal.code, "insufficient_credits");
}
