//! `kill -9` of the process, of the agent and of the model's process, at several moments of a job. After a
//! restart the run ends in exactly one terminal state, the ledger balances, no hold is open, the output is whole.

use std::time::Duration;

use backlot_tests_end_to_end::{
    Account, Answer, Api, Launch, Process, Studio, WITHOUT_AGENT, eventually, upload_photo,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// Opens control's door to the agent.
const JOIN_TOKEN: &str = "a token of this test's";

/// Waits until the run shows one of `phases`, or is over.
async fn reaches(api: &Api, run_id: &str, phases: &[&str]) {
    eventually(&format!("{run_id} reaches {phases:?}"), Duration::from_secs(60), || async {
        let run = api.get(&format!("/v1/runs/{run_id}")).await.body;
        let phase = run["phase"].as_str().unwrap_or_default();
        let over = ["succeeded", "failed", "canceled"].contains(&run["state"].as_str().unwrap_or_default());
        (over || phases.contains(&phase) || phases.contains(&run["state"].as_str().unwrap_or_default()))
            .then_some(())
    })
    .await;
}

/// The run ended once, its money too, and what it delivered is whole.
async fn check_end(api: &Api, run_id: &str) -> Answer {
    let run = api.ended(run_id).await;
    let hold = api.get(&format!("/v1/billing/holds/{run_id}")).await.body;
    match run.body["state"].as_str().expect("a state") {
        "succeeded" => {
            assert_eq!(hold["state"], "settled", "{hold}");
            assert_eq!(hold["settled_micro"], run.body["price_micro"], "{hold}");
            let output = run.text("/outputs/0/id");
            let asset = api.get(&format!("/v1/assets/{output}")).await;
            assert_eq!(asset.body["state"], "ready", "{asset:?}");
            let bytes = api.download(&format!("/v1/assets/{output}/content")).await;
            assert_eq!(bytes.len() as i64, asset.integer("/size_bytes"), "the output is whole");
        }
        _ => assert!(hold["state"] != "held", "{hold}"),
    }
    let check = api.get("/v1/billing/ledger-check").await;
    assert_eq!((&check.body["balanced"], check.integer("/open_holds")), (&json!(true), 0), "{check:?}");
    run
}

async fn start_run(account: &Account, photo: &str) -> String {
    let run = account.api.run("animate", json!({ "image": photo, "seconds": 3 })).await;
    assert!(run.status.is_success(), "{run:?}");
    run.text("/id")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_process_is_killed_at_every_phase() {
    let mut studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Unlucky").await;
    let photo = upload_photo(&account.api).await;
    for phases in [
        &["checking"][..],
        &["queued", "running"],
        &["fetching", "loading", "running"],
        &["running"],
        &["uploading"],
        &["succeeded"],
    ] {
        let run_id = start_run(&account, &photo).await;
        reaches(&account.api, &run_id, phases).await;
        studio = studio.kill_and_restart().await;
        let run = check_end(&account.api, &run_id).await;
        assert_eq!(run.body["state"], "succeeded", "killed at {phases:?}: {run:?}");
    }
    studio.process.terminate().await;
}

/// A studio whose agent is a process of its own.
async fn with_agent() -> (Studio, Launch, Process) {
    let studio = Studio::start_with(|launch| {
        let arguments = ["serve"].iter().chain(WITHOUT_AGENT).map(|&text| text.to_owned()).collect();
        Launch { arguments, ..launch }.with("inference.control.join_token", JOIN_TOKEN)
    })
    .await;
    let launch = Launch {
        arguments: vec!["agent".to_owned()],
        ..Launch::serve(&studio.folder.path().join("agent"), &[])
    }
    .with("rpc.inference", &format!("{}/inference", studio.process.rpc))
    .with("agent.join_token", JOIN_TOKEN);
    let agent = launch.start().await;
    (studio, launch, agent)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_is_killed_while_it_works() {
    let (studio, launch, mut agent) = with_agent().await;
    let account = Account::sign_up(studio.url(), "Unlucky").await;
    let photo = upload_photo(&account.api).await;
    for phases in [&["fetching", "loading", "running"][..], &["running"], &["uploading"]] {
        let run_id = start_run(&account, &photo).await;
        reaches(&account.api, &run_id, phases).await;
        agent.kill().await;
        agent = launch.start().await;
        let run = check_end(&account.api, &run_id).await;
        assert_eq!(run.body["state"], "succeeded", "killed at {phases:?}: {run:?}");
    }
    agent.terminate().await;
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_process_is_killed_while_it_works() {
    let (studio, _launch, agent) = with_agent().await;
    let account = Account::sign_up(studio.url(), "Unlucky").await;
    let photo = upload_photo(&account.api).await;
    let run_id = start_run(&account, &photo).await;
    let model = eventually("the model's process runs", Duration::from_secs(30), || async {
        descendants(agent.pid()).into_iter().find(|pid| command_of(*pid).contains("run.py"))
    })
    .await;
    kill(model, Signal::SIGKILL).expect("it can be killed");
    let run = check_end(&account.api, &run_id).await;
    assert!(["succeeded", "failed"].contains(&run.body["state"].as_str().expect("a state")), "{run:?}");
    // The next one is not harmed.
    let next = start_run(&account, &photo).await;
    assert_eq!(check_end(&account.api, &next).await.body["state"], "succeeded");
    agent.terminate().await;
    studio.process.terminate().await;
}

fn descendants(of: Pid) -> Vec<Pid> {
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let path = format!("/proc/{parent}/task");
        for task in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw));
        }
        next += 1;
    }
    found
}

fn command_of(pid: Pid) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
