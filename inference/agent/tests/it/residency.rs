//! Which models are in a worker's memory: loaded when they are needed, ahead, and until another needs the room. Needs
//! the workers' Python, as the shipped workers do.

use backlot_inference_agent::Config;
use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::control_message::Message as FromControl;
use backlot_inference_api::v1::{AttemptFinished, Evict, Prefetch};
use serde_json::json;

use crate::support::{Control, Place, Session, assign, cog_model, run, workers_python};

/// Runs a model and returns its report with what became resident on the way.
async fn run_one(session: &mut Session, n: u32, name: &str) -> (AttemptFinished, Vec<Vec<String>>) {
    session
        .say(FromControl::Assign(assign("job", &format!("1-{n}"), "cpu-0", cog_model(name), json!({}))))
        .await;
    let mut residency = Vec::new();
    let report = session
        .until(|message| match message {
            FromAgent::Residency(report) => {
                residency.push(report.resident);
                None
            }
            FromAgent::Finished(report) => Some(report),
            _ => None,
        })
        .await;
    assert_eq!(report.outcome, "succeeded", "{}", report.message);
    session.acknowledge(&report).await;
    (report, residency)
}

async fn resident(session: &mut Session) -> Vec<String> {
    session
        .until(|message| match message {
            FromAgent::Residency(report) if report.worker_id == "cpu-0" => Some(report.resident),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_model_leaves() {
    let python = workers_python();
    let (mut control, place) = (Control::new(), Place::new());
    for name in ["a", "b", "c"] {
        place.cog(name);
    }
    let running = run(place.agent_with(Config { python, ..place.config() }, &control));
    let (mut session, _) = control.welcomed().await;
    assert!(resident(&mut session).await.is_empty(), "told at once, also when there is none");

    let (report, residency) = run_one(&mut session, 1, "a").await;
    assert!(report.loaded && report.load_ms > 0);
    assert_eq!(residency.last().expect("told before the report"), &["test/a:1"]);
    run_one(&mut session, 2, "b").await;
    let (report, residency) = run_one(&mut session, 3, "a").await;
    assert!(!report.loaded && residency.is_empty(), "warm");
    let (report, residency) = run_one(&mut session, 4, "c").await;
    assert!(report.loaded);
    assert_eq!(residency.last().expect("told"), &["test/a:1", "test/c:1"], "b was used longest ago");

    session.say(FromControl::Evict(Evict { worker_id: "cpu-0".into(), model: "test/a:1".into() })).await;
    assert_eq!(resident(&mut session).await, ["test/c:1"]);
    let model = Some(cog_model("b"));
    session.say(FromControl::Prefetch(Prefetch { worker_id: "cpu-0".into(), model })).await;
    let loaded = session
        .until(|message| match message {
            FromAgent::Loaded(loaded) => Some(loaded),
            _ => None,
        })
        .await;
    assert_eq!((loaded.model.as_str(), loaded.loaded), ("test/b:1", true));
    let (report, _) = run_one(&mut session, 5, "b").await;
    assert!(!report.loaded, "loaded ahead");
    let homes = || std::fs::read_dir(place.root.path().join("agent/models")).expect("homes").count();
    assert_eq!(homes(), 2, "what left has left no files");
    running.stop().await;
    assert_eq!(homes(), 0);
}
