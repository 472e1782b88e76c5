//! Whoever deletes their account takes their media along, also where the process dies right after the answer.

use std::path::Path;
use std::time::Duration;

use backlot_tests_end_to_end::{Account, Studio, eventually, upload_photo};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// Files of an organisation under the media folder.
fn files(folder: &Path, organisation: &str) -> usize {
    let areas = ["assets", "previews", "uploads"]
        .map(|area| folder.join("media/objects").join(area).join(organisation));
    areas.iter().filter_map(|area| std::fs::read_dir(area).ok()).flatten().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_leaves_no_media_behind() {
    let studio =
        Studio::start_with(|launch| launch.with("infrastructure.storage.reconcile_every_s", "1")).await;
    let stays = Account::sign_up(studio.url(), "stays@example.com").await;
    let leaves = Account::sign_up(studio.url(), "leaves@example.com").await;
    let mut organisations = Vec::new();
    for account in [&stays, &leaves] {
        upload_photo(&account.api).await;
        organisations.push(account.api.get("/v1/identity/me").await.text("/organisation/id"));
    }
    assert_eq!(files(studio.folder.path(), &organisations[1]), 2, "the photograph and its preview");
    let body = json!({ "password": leaves.password });
    let gone = leaves.api.send(Method::DELETE, "/v1/identity/me", Some(&body), &[]).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
    let studio = studio.kill_and_restart().await;
    eventually("their media are deleted", Duration::from_secs(60), || async {
        (files(studio.folder.path(), &organisations[1]) == 0).then_some(())
    })
    .await;
    assert_eq!(files(studio.folder.path(), &organisations[0]), 2, "nobody else's are");
    studio.process.terminate().await;
}
