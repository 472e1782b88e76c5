//! A board becomes a film: nodes and connections, one priced run of what is stale, takes, a storyboard, an export.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::client::{Client, integer, text};
use super::report::Report;

/// Longest wait for a run of a board.
const WAIT: Duration = Duration::from_secs(600);
/// Pause between two looks at it.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes a board around the photograph and the clip, and exports its film. Answers both.
pub(super) async fn make(
    api: &Client,
    photo: &str,
    clip: &str,
    report: &mut Report,
) -> anyhow::Result<(String, String)> {
    report.doing("making a board");
    let board = api.post("/v1/boards", &json!({ "title": "Portrait, two moves" })).await.context("board")?;
    let id = text(&board, "/id")?;
    let commands = json!({ "commands": [
        { "op": "add_node", "id": "photo", "kind": "image", "x": 0, "y": 0, "params": { "asset": photo } },
        { "op": "add_node", "id": "close", "kind": "video", "x": 0, "y": 240, "params": { "asset": clip } },
        { "op": "add_node", "id": "away", "kind": "tool", "x": 320, "y": 0,
          "params": { "tool": "animate", "input": { "move": "zoom_out", "seconds": 2 } } },
        { "op": "connect", "from": "photo", "to": "away", "to_port": "image" },
        { "op": "add_track", "id": "picture", "kind": "video" },
        { "op": "add_clip", "track": "picture", "node": "close" },
        { "op": "add_clip", "track": "picture", "node": "away", "transition": { "kind": "cross_fade", "ms": 500 } },
    ] });
    api.post(&format!("/v1/boards/{id}/commands"), &commands).await.context("commands")?;
    let plan = api.post(&format!("/v1/boards/{id}/plan"), &json!({})).await.context("plan")?;
    let price = integer(&plan, "/price_micro")?;
    let stale = plan["stale"].as_array().map_or(0, Vec::len);
    report.keep("board_id", id.clone());
    let sentence = format!("{stale} stale node, {:.2} credits", price as f64 / 1e6);
    report.done("board", &sentence, json!({ "board_id": id, "price_micro": price }));

    report.doing("running what is stale");
    let key = uuid::Uuid::now_v7().to_string();
    let run = api.post_once(&format!("/v1/boards/{id}/runs"), &key, &json!({})).await.context("run")?;
    let run = ended(api, &run).await?;
    ensure!(
        run["settled_micro"] == price,
        "the run cost {} and was planned at {price}",
        run["settled_micro"]
    );
    report.done("board run", "its take is chosen", json!({ "board_run_id": run["id"] }));

    report.doing("exporting the film");
    let order = json!({ "width": 640, "height": 360, "fps": 24 });
    let key = uuid::Uuid::now_v7().to_string();
    let film = api.post_once(&format!("/v1/boards/{id}/export"), &key, &order).await.context("export")?;
    let film = ended(api, &film).await?;
    let asset = text(&film, "/asset_id")?;
    report.keep("film_asset", asset.clone());
    report.keep("film_seconds", film["seconds"].clone());
    let sentence = format!("a film of {} s", film["seconds"]);
    report.done("film", &sentence, json!({ "film_asset": asset, "film_seconds": film["seconds"] }));
    Ok((id, asset))
}

async fn ended(api: &Client, run: &Value) -> anyhow::Result<Value> {
    let path = format!("/v1/board-runs/{}", text(run, "/id")?);
    let waiting = async {
        loop {
            let run = api.get(&path).await?;
            if !run["ended_at"].is_null() {
                return anyhow::Ok(run);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let run = tokio::time::timeout(WAIT, waiting).await.context("the board's run takes too long")??;
    ensure!(run["state"] == "succeeded", "the board's run ended as {}: {}", run["state"], run["children"]);
    Ok(run)
}
