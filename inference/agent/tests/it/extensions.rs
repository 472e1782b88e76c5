//! Models that appear in the second folder while the agent runs.

use backlot_inference_agent::Config;
use backlot_inference_api::v1::control_message::Message as FromControl;
use serde_json::json;

use crate::support::{Control, Place, command, eventually, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_appears_is_offered_and_what_runs_goes_on() {
    let (mut control, place) = (Control::new(), Place::new());
    place.command(
        "slow",
        "open(i['file'], 'w').close()\nwhile os.path.exists(i['file']): time.sleep(0.02)\nsay(output=[])",
    );
    let extensions = place.root.path().join("extensions");
    std::fs::create_dir(&extensions).expect("made");
    let agent = place.agent_with(Config { extensions_dir: extensions.clone(), ..place.config() }, &control);
    let running = run(agent);
    let (first, hello) = control.welcomed().await;
    assert!(!hello.workers[0].models.contains(&"test/new".to_owned()));
    let file = place.root.path().join("works");
    first.say(FromControl::Assign(command("slow", "1-1", "slow", json!({ "file": file })))).await;
    eventually("it computes", || file.exists()).await;

    // Written under a hidden name and renamed, as a studio publishes it.
    place.command("new", "say(output=[])");
    let (written, hidden) = (place.root.path().join("workers/new"), extensions.join(".draft"));
    std::fs::rename(written, &hidden).expect("moved");
    std::fs::rename(&hidden, extensions.join("new-1")).expect("renamed");
    let (mut second, hello) = control.welcomed().await;
    assert!(hello.workers[0].models.contains(&"test/new".to_owned()), "{:?}", hello.workers);
    assert_eq!(hello.running.len(), 1, "what runs is named, and goes on");

    let mut work = command("new", "1-2", "new", json!({}));
    if let Some(model) = &mut work.model {
        "new-1".clone_into(&mut model.worker);
    }
    second.say(FromControl::Assign(work)).await;
    let report = second.finished().await;
    assert_eq!((report.job_id.as_str(), report.outcome.as_str()), ("new", "succeeded"), "{}", report.message);
    std::fs::remove_file(&file).expect("removed");
    let report = second.finished().await;
    assert_eq!(
        (report.job_id.as_str(), report.outcome.as_str()),
        ("slow", "succeeded"),
        "{}",
        report.message
    );
    running.stop().await;
}
