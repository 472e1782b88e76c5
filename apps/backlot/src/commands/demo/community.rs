//! What is made is published, liked by somebody else, and remixed.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::client::{Client, text};
use super::people;
use super::report::Report;

/// Longest wait for a notification: the stream tells within a second, and so does the list.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// How often the list is read meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The owner publishes; a stranger in an organisation of their own finds it, likes it and remixes it.
pub(super) async fn publish_and_remix(
    url: &str,
    api: &Client,
    board: &str,
    film: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.doing("publishing");
    let body = json!({
        "asset_id": film,
        "board_id": board,
        "title": "One small step",
        "text": "A photograph, enlarged, set in motion twice and cut.",
        "tags": ["space", "demo"],
        "share_parameters": true,
        "remixable": true,
    });
    let key = uuid::Uuid::now_v7().to_string();
    let post = api.post_once("/v1/posts", &key, &body).await.context("publish")?;
    let id = text(&post, "/id")?;
    report.keep("post_id", id.clone());
    report.done("publish", "everybody signed in sees it", json!({ "post_id": id }));

    let stranger = people::sign_up(url, "Noa Stranger", report).await?;
    let fan_key = people::api_key(&stranger, report).await?;
    let fan = stranger.client;
    report.doing("finding, liking and remixing it");
    let feed = fan.get("/v1/posts?feed=new&tag=demo").await?;
    let found =
        feed["items"].as_array().is_some_and(|posts| posts.iter().any(|post| post["id"] == json!(id)));
    ensure!(found, "the post is not in the feed of somebody else: {feed}");
    let bytes = fan.download(&text(&post, "/media_url")?).await.context("its medium")?;
    ensure!(!bytes.is_empty(), "the published medium is empty");
    fan.put(&format!("/v1/posts/{id}/like")).await.context("like")?;
    let remix = format!("/v1/posts/{id}/remix");
    let made = fan.post_once(&remix, &key, &json!({})).await.context("remix")?;
    let board = text(&made, "/board_id")?;
    let parent = fan.get(&format!("/v1/boards/{board}")).await.context("the remix's board")?;
    ensure!(parent["parent_post_id"] == json!(id), "the board does not name its parent: {parent}");
    report.keep("remix_board_id", board.clone());
    report.keep("remix_api_key", fan_key);
    let heard = heard(api, &id).await?;
    report.done(
        "community",
        "liked and remixed by a stranger; its author heard of both",
        json!({ "remix_board_id": board, "heard": heard }),
    );
    Ok(())
}

/// Waits until the author has heard of the like and the remix.
async fn heard(api: &Client, post: &str) -> anyhow::Result<Vec<Value>> {
    let began = tokio::time::Instant::now();
    loop {
        let list = api.get("/v1/notifications").await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let kinds: Vec<Value> =
            items.iter().filter(|one| one["post_id"] == json!(post)).map(|one| one["kind"].clone()).collect();
        if ["like", "remix"].iter().all(|kind| kinds.contains(&json!(kind))) {
            return Ok(kinds);
        }
        ensure!(began.elapsed() < HEARD_WITHIN, "the author has heard only of {kinds:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
