//! `backlot openapi`: the public API's document, from a studio that is built in a folder of its own and never serves.

use anyhow::Context as _;
use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt as _;

use crate::compose::{Context, Role, Studio};
use crate::config::Config;

/// Prints the document.
pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let config = Config::default().in_folder(folder.path());
    let context = Context::new(config, folder.path(), "http://127.0.0.1:8080".to_owned(), true)?;
    let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Agent).collect();
    let studio = Studio::build(context, &roles, None).await?;
    let request = Request::get("/openapi.json").body(Body::empty())?;
    let answer = studio.http.clone().oneshot(request).await?;
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
    let document: serde_json::Value = serde_json::from_slice(&bytes).context("the document is JSON")?;
    println!("{}", serde_json::to_string_pretty(&document)?);
    studio.context.tasks.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(())
}
