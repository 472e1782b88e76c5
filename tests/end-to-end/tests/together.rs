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
    a_film_and_what_became_of_it(url, &api, summary).await;
    let ledger = api.get("/v1/billing/ledger-check").await.body;
    check("ledger", &ledger["balanced"], "ledger_balanced");
    assert_eq!(ledger["open_holds"], 0, "{ledger}");
    assert!(summary["dau"].as_f64().is_some_and(|dau| dau >= 1.0), "{summary}");
    assert!(staff.get("/v1/metrics/dau").await.body["definition"].is_object());
}

/// The board, its film, the post and the remix.
async fn a_film_and_what_became_of_it(url: &str, api: &Api, summary: &Value) {
    let text = |key: &str| summary[key].as_str().unwrap_or_else(|| panic!("{key}: {summary}")).to_owned();
    let document = api.get(&format!("/v1/boards/{}/document", text("board_id"))).await.body;
    assert_eq!(document["nodes"].as_array().map(Vec::len), Some(3), "{document}");
    let film = api.get(&format!("/v1/assets/{}", text("film_asset"))).await.body;
    assert_eq!(film["duration_ms"].as_f64().map(|ms| ms / 1e3), summary["film_seconds"].as_f64(), "{film}");
    let runs = api.get(&format!("/v1/boards/{}/runs", text("board_id"))).await.body;
    let cut = runs["items"].as_array().into_iter().flatten().find(|run| run["kind"] == "film");
    let cut = cut.unwrap_or_else(|| panic!("no film: {runs}"));
    assert_eq!(cut["asset_id"], summary["film_asset"]);
    let otio = api.get(cut["otio_url"].as_str().expect("a route")).await.body;
    assert_eq!(otio["OTIO_SCHEMA"], "Timeline.1", "{otio}");
    let post = api.get(&format!("/v1/posts/{}", text("post_id"))).await.body;
    assert_eq!((&post["likes"], &post["remixes"]), (&Value::from(1), &Value::from(1)), "{post}");
    let medium = api.download(&format!("/v1/posts/{}/media", text("post_id"))).await;
    assert_eq!(medium, api.download(&format!("/v1/assets/{}/content", text("film_asset"))).await);
    let stranger = Api::with_key(url, &text("remix_api_key"));
    let remix = stranger.get(&format!("/v1/boards/{}", text("remix_board_id"))).await.body;
    assert_eq!(remix["parent_post_id"], summary["post_id"], "{remix}");
    // Everything that the remix begins with is the stranger's own: they can read it, and it can run.
    let board = format!("/v1/boards/{}", text("remix_board_id"));
    let document = stranger.get(&format!("{board}/document")).await.body;
    let sources = document["nodes"].as_array().into_iter().flatten();
    let mut assets = sources.filter_map(|node| node["params"]["asset"].as_str());
    let asset = assets.next().unwrap_or_else(|| panic!("the remix begins with nothing: {document}"));
    assert_eq!(stranger.get(&format!("/v1/assets/{asset}")).await.status, reqwest::StatusCode::OK);
    assert!(assets.next().is_none(), "only the published medium comes along: {document}");
    // Its storyboard shows the film, so it can be exported as it is.
    let size = serde_json::json!({ "width": 640, "height": 360, "fps": 24 });
    let quote = stranger.post(&format!("{board}/export/quote"), &size).await.body;
    assert_eq!((&quote["clips"], &quote["seconds"]), (&Value::from(1), &summary["film_seconds"]), "{quote}");
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
