//! One real job through every system, in one process with nothing installed.

use std::time::Duration;

use backlot_tests_end_to_end::{Account, Api, Studio, demo, eventually};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_runs_and_everything_it_reports_can_be_read_again() {
    let studio = Studio::start().await;
    // The first account of a fresh studio is its staff.
    let staff = Account::sign_up(studio.url(), "Staff").await;
    let lines =
        demo(studio.url(), &["--staff-email", &staff.email, "--staff-password", &staff.password]).await;
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["step"], "summary");
    read_again(studio.url(), summary, &staff.session).await;
    let api = Api::with_key(studio.url(), summary["api_key"].as_str().expect("a key"));
    books_and_numbers_agree(&api, &staff.session).await;
    studio.process.terminate().await;
}

/// Each figure through the route that docs/demo.md names.
async fn read_again(url: &str, summary: &Value, staff: &Api) {
    let text = |key: &str| summary[key].as_str().unwrap_or_else(|| panic!("{key}: {summary}")).to_owned();
    let api = Api::with_key(url, &text("api_key"));
    let check =
        |name: &str, found: &Value, key: &str| assert_eq!(found, &summary[key], "{name} against {key}");

    check("me", &api.get("/v1/identity/me").await.body["user"]["id"], "user_id");
    let asset_in = api.get(&format!("/v1/assets/{}", text("asset_in"))).await.body;
    check("asset in", &asset_in["width"], "width_in");
    let asset_out = api.get(&format!("/v1/assets/{}", text("asset_out"))).await.body;
    check("asset out", &asset_out["width"], "width_out");
    assert_eq!(asset_out["width"].as_i64(), asset_in["width"].as_i64().map(|width| width * 2));
    let run = api.get(&format!("/v1/runs/{}", text("run_id"))).await.body;
    check("run", &run["job_id"], "job_id");
    let hold = api.get(&format!("/v1/billing/holds/{}", text("run_id"))).await.body;
    check("hold", &hold["held_micro"], "held");
    check("hold", &hold["settled_micro"], "settled");
    check("balance", &api.get("/v1/billing/balance").await.body["available_micro"], "balance");
    let clip = api.get(&format!("/v1/assets/{}", text("clip_asset"))).await.body;
    assert_eq!(clip["duration_ms"].as_f64().map(|ms| ms / 1e3), summary["clip_seconds"].as_f64());
    let ledger = api.get("/v1/billing/ledger-check").await.body;
    check("ledger", &ledger["balanced"], "ledger_balanced");
    assert_eq!(ledger["open_holds"], 0, "{ledger}");
    assert!(summary["dau"].as_f64().is_some_and(|dau| dau >= 1.0), "{summary}");
    assert!(staff.get("/v1/metrics/dau").await.body["definition"].is_object());
}

/// Credit burn, computed from events in the lake, equals what the ledger has spent, to the micro-credit.
async fn books_and_numbers_agree(api: &Api, staff: &Api) {
    let organisation = api.get("/v1/identity/me").await.text("/organisation/id");
    let spent = api.get("/v1/billing/balance").await.integer("/spent_micro");
    assert!(spent > 0);
    eventually("credit burn equals the ledger", Duration::from_secs(30), || async {
        let lake = staff.get("/v1/data/reconciliation").await.body;
        let ours = lake["items"]
            .as_array()?
            .iter()
            .find(|item| item["organisation"] == organisation.as_str())?
            .clone();
        (ours["settled_micro"].as_i64()? - ours["refunded_micro"].as_i64()? == spent).then_some(())
    })
    .await;
}
