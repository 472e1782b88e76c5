//! A backup is taken while people work, and what it wrote is a studio of that moment.

use std::path::Path;
use std::time::Duration;

use backlot_tests_end_to_end::{Account, Api, Launch, Studio, binary, eventually, upload_photo};
use serde_json::json;
use tokio::process::Command;

/// `backlot admin backup`; what it printed, where it succeeded.
async fn backup(data: &Path, out: &Path) -> Result<String, String> {
    let mut command = Command::new(binary("backlot"));
    command.args(["admin", "backup", "--data"]).arg(data).arg("--out").arg(out);
    let output = command.output().await.expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_running_studio_is_a_studio() {
    let studio = Studio::start().await;
    let staff = Account::sign_up(studio.url(), "Staff").await;
    let photo = upload_photo(&staff.api).await;
    let run = staff.api.run("animate", json!({ "image": photo, "seconds": 1 })).await.text("/id");
    let ended = staff.api.ended(&run).await;
    assert_eq!(ended.body["state"], "succeeded", "{ended:?}");
    let clip = ended.text("/outputs/0/id");
    let content = format!("/v1/assets/{clip}/content");
    let bytes = staff.api.download(&content).await;

    // Somebody goes on working while the copy is made.
    let busy = Account::sign_up(studio.url(), "Busy").await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let work = tokio::spawn(async move {
        let mut projects = 0;
        while stopped.try_recv().is_err() {
            let made =
                busy.session.post("/v1/identity/projects", &json!({ "name": format!("P{projects}") })).await;
            assert!(made.status.is_success(), "{made:?}");
            upload_photo(&busy.api).await;
            projects += 1;
        }
        projects
    });
    let place = tempfile::tempdir().expect("a temporary folder");
    let out = place.path().join("monday");
    let said = backup(studio.folder.path(), &out).await.expect("a backup");
    assert!(said.contains("4 databases"), "{said}");
    assert!(stop.send(()).is_ok() && work.await.expect("the work goes on") > 0);
    let again = backup(studio.folder.path(), &out).await.expect_err("a backup is never written over");
    assert!(again.contains("exists"), "{again}");
    staff.session.post("/v1/identity/projects", &json!({ "name": "Later" })).await;

    let copy = Launch::serve(&out, &[]).start().await;
    let restored = Api::anonymous(&copy.url);
    let credentials = json!({ "email": staff.email, "password": staff.password });
    assert!(restored.post("/v1/identity/sign-in", &credentials).await.status.is_success());
    let projects = restored.get("/v1/identity/projects").await;
    assert!(!projects.body.to_string().contains("Later"), "{projects:?}");
    assert_eq!(restored.get(&format!("/v1/runs/{run}")).await.body["state"], "succeeded");
    assert!(restored.download(&content).await == bytes, "the clip is whole");
    let ledger = restored.get("/v1/billing/ledger-check?all=true").await;
    assert_eq!(ledger.body["balanced"], true, "{ledger:?}");
    // It is no museum: work goes on there, with numbers of its own.
    let api = Api::with_key(&copy.url, &staff.key);
    let more = api.run("animate", json!({ "image": photo, "seconds": 1 })).await.text("/id");
    assert_eq!(api.ended(&more).await.body["state"], "succeeded");
    eventually("both runs are counted, and none twice", Duration::from_secs(60), || async {
        let metric = restored.get("/v1/metrics/cost_per_run").await;
        let points = metric.body["points"].as_array()?;
        let ended: i64 = points.iter().filter_map(|point| point["denominator"].as_i64()).sum();
        (ended == 2).then_some(())
    })
    .await;
    copy.terminate().await;
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_nothing_says_what_is_missing() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let (empty, out) = (place.path().join("empty"), place.path().join("out"));
    let missing = backup(&empty, &out).await.expect_err("no such folder");
    assert!(missing.contains("there is no data folder"), "{missing}");
    std::fs::create_dir(&empty).expect("a folder");
    let nothing = backup(&empty, &out).await.expect_err("nothing in it");
    assert!(nothing.contains("nothing to copy"), "{nothing}");
    assert!(!out.exists());
}
