//! The photograph's way: uploaded, enlarged, set in motion; and what the books say afterwards.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::client::{Client, integer, text};
use super::people::{Crew, Person};
use super::report::Report;

/// A public-domain photograph (NASA, Eileen Collins, 1999), 256 × 256.
const PHOTO: &[u8] = include_bytes!("../../../assets/photo.jpg");

/// Uploads the photograph straight to the store.
pub(super) async fn upload_photo(api: &Client, report: &mut Report) -> anyhow::Result<String> {
    report.doing("uploading a photograph");
    let asset = upload(api).await.context("upload")?;
    let id = text(&asset, "/id")?;
    report.keep("asset_in", id.clone());
    report.keep("width_in", asset["width"].clone());
    report.keep("height_in", asset["height"].clone());
    let sentence = format!("{} × {}, {}", asset["width"], asset["height"], asset["content_type"]);
    report.done(
        "upload",
        &sentence,
        json!({ "asset_in": id, "width": asset["width"], "height": asset["height"] }),
    );
    Ok(id)
}

async fn upload(api: &Client) -> anyhow::Result<Value> {
    let body = json!({ "name": "photo.jpg", "content_type": "image/jpeg", "size_bytes": PHOTO.len() });
    let created = api.post("/v1/assets", &body).await?;
    api.upload(&created["upload"], PHOTO.to_vec()).await?;
    api.post(&format!("/v1/assets/{}/complete", text(&created, "/asset/id")?), &json!({})).await
}

/// Enlarges the photograph: quote, hold, run, settle.
pub(super) async fn upscale(api: &Client, photo: &str, report: &mut Report) -> anyhow::Result<String> {
    let input = json!({ "image": photo, "scale": 2 });
    report.doing("asking for a price");
    let quote = api.post("/v1/tools/upscale/quote", &json!({ "input": input })).await.context("quote")?;
    let quoted = integer(&quote, "/price_micro")?;
    report.keep("quoted", quoted);
    report.done("quote", &format!("{} credits", credits(quoted)), json!({ "quoted": quoted }));

    let run = run_to_end(api, "upscale", input, None, report).await.context("upscale")?;
    succeeded(&run)?;
    let run_id = text(&run, "/id")?;
    let hold = api.get(&format!("/v1/billing/holds/{run_id}")).await.context("hold")?;
    let output = text(&run, "/outputs/0/id")?;
    let asset = api.get(&format!("/v1/assets/{output}")).await?;
    let bytes = api.download(&format!("/v1/assets/{output}/content")).await.context("download")?;
    ensure!(bytes.len() as i64 == integer(&asset, "/size_bytes")?, "the download is not whole");
    for (key, value) in [
        ("run_id", json!(run_id)),
        ("job_id", run["job_id"].clone()),
        ("asset_out", json!(output)),
        ("width_out", asset["width"].clone()),
        ("held", hold["held_micro"].clone()),
        ("settled", hold["settled_micro"].clone()),
    ] {
        report.keep(key, value);
    }
    let sentence = format!(
        "{} × {}, settled {} credits",
        asset["width"],
        asset["height"],
        credits(integer(&hold, "/settled_micro")?)
    );
    report.done("upscale", &sentence, json!({ "run_id": run_id, "asset_out": output }));
    Ok(output)
}

/// Sets the enlarged photograph in motion.
pub(super) async fn animate(api: &Client, image: &str, report: &mut Report) -> anyhow::Result<String> {
    let input = json!({ "image": image, "move": "zoom_in", "seconds": 2 });
    let run = run_to_end(api, "animate", input, None, report).await.context("animate")?;
    succeeded(&run)?;
    let clip = text(&run, "/outputs/0/id")?;
    let asset = api.get(&format!("/v1/assets/{clip}")).await?;
    let seconds = integer(&asset, "/duration_ms")? as f64 / 1_000.0;
    report.keep("clip_asset", clip.clone());
    report.keep("clip_seconds", seconds);
    report.done(
        "animate",
        &format!("a clip of {seconds} s"),
        json!({ "clip_asset": clip, "clip_seconds": seconds }),
    );
    Ok(clip)
}

/// The artist runs under the chain of two mandates: both envelopes pay.
pub(super) async fn run_under_mandate(crew: &Crew, photo: &str, report: &mut Report) -> anyhow::Result<()> {
    let input = json!({ "image": photo, "scale": 2 });
    let run = run_to_end(&crew.artist, "upscale", input, Some(crew), report)
        .await
        .context("run under a mandate")?;
    succeeded(&run)?;
    report.done(
        "under mandate",
        "the artist spent from the envelope that was given on",
        json!({ "run_id": run["id"] }),
    );
    Ok(())
}

/// The owner takes the line producer's mandate back while the artist's run waits: nothing stays held.
pub(super) async fn revoke_while_queued(
    owner: &Person,
    crew: &Crew,
    photo: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.doing("revoking a mandate while a run waits");
    let mut runs = Vec::new();
    for _ in 0..3 {
        let body = json!({ "tool": "animate", "input": { "image": photo, "seconds": 8 },
            "project_id": crew.project_id, "mandate_id": crew.artist_mandate });
        let key = uuid::Uuid::now_v7().to_string();
        let run = crew.artist.post_once("/v1/runs", &key, &body).await.context("queue a run")?;
        runs.push(text(&run, "/id")?);
    }
    let revoke = format!("/v1/mandates/{}/revoke", crew.lead_mandate);
    owner.client.post(&revoke, &json!({})).await.context("revoke")?;
    let refused = json!({ "tool": "upscale", "input": { "image": photo },
        "project_id": crew.project_id, "mandate_id": crew.artist_mandate });
    let key = uuid::Uuid::now_v7().to_string();
    let answer = crew.artist.post_once("/v1/runs", &key, &refused).await;
    ensure!(answer.is_err(), "a run under a revoked mandate must be refused");
    let mut canceled = 0;
    for run_id in &runs {
        let run = crew.artist.follow(run_id, |run| report.progress(run)).await?;
        canceled += usize::from(run["state"] == "canceled");
        let hold = owner.client.get(&format!("/v1/billing/holds/{run_id}")).await?;
        ensure!(hold["state"] != "held", "run {run_id} ended and its hold is still open");
    }
    ensure!(canceled > 0, "no waiting run was canceled by the revocation");
    report.done(
        "revocation",
        &format!("{canceled} waiting runs canceled, a new one refused, nothing left held"),
        json!({ "canceled": canceled }),
    );
    Ok(())
}

/// What the books say.
pub(super) async fn accounts(api: &Client, report: &mut Report) -> anyhow::Result<()> {
    report.doing("reading the books");
    let balance = api.get("/v1/billing/balance").await?;
    let check = api.get("/v1/billing/ledger-check").await?;
    let balanced = check["balanced"].as_bool().unwrap_or(false);
    report.keep("balance", balance["available_micro"].clone());
    report.keep("ledger_balanced", balanced);
    ensure!(balanced, "the ledger does not balance: {check}");
    let sentence =
        format!("{} credits left; the ledger balances", credits(integer(&balance, "/available_micro")?));
    report.done(
        "books",
        &sentence,
        json!({ "balance": balance["available_micro"], "ledger_balanced": balanced }),
    );
    Ok(())
}

async fn run_to_end(
    api: &Client,
    tool: &str,
    input: Value,
    crew: Option<&Crew>,
    report: &mut Report,
) -> anyhow::Result<Value> {
    report.doing(tool);
    let mut body = json!({ "tool": tool, "input": input });
    if let Some(crew) = crew {
        body["project_id"] = json!(crew.project_id);
        body["mandate_id"] = json!(crew.artist_mandate);
    }
    let run = api.post_once("/v1/runs", &uuid::Uuid::now_v7().to_string(), &body).await?;
    api.follow(&text(&run, "/id")?, |run| report.progress(run)).await
}

fn succeeded(run: &Value) -> anyhow::Result<()> {
    ensure!(run["state"] == "succeeded", "the run ended as {}: {}", run["state"], run["failure"]);
    Ok(())
}

fn credits(micro: i64) -> String {
    format!("{:.2}", micro as f64 / 1e6)
}
