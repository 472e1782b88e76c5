//! Many at once.

use futures::future::join_all;
use reqwest::Method;

use crate::world::{QUOTA_BYTES, png, worlds};

#[tokio::test]
async fn uploads_at_once_never_take_more_than_there_is() {
    for world in worlds().await {
        let size = usize::try_from(QUOTA_BYTES / 5).unwrap();
        let begun = join_all((0..16).map(|_| world.begin("a.png", "image/png", size))).await;
        let accepted = begun.iter().filter(|answer| answer.status.is_success()).count();
        assert_eq!(accepted, 5, "{}", world.name);
        for refused in begun.iter().filter(|answer| !answer.status.is_success()) {
            assert_eq!(refused.code(), "quota_exceeded");
        }
        assert_eq!(world.usage().await, (0, (5 * size) as i64));
    }
}

#[tokio::test]
async fn completing_at_once_gives_everybody_the_same_asset() {
    for world in worlds().await {
        let picture = png(300, 300);
        let begun = world.begin("a.png", "image/png", picture.len()).await.ok();
        world.put(&begun["upload"], &picture).await;
        let id = begun["asset"]["id"].as_str().unwrap();
        let answers = join_all((0..8).map(|_| world.complete(id))).await;
        for answer in answers {
            assert_eq!(answer.ok()["state"], "ready", "{}", world.name);
        }
        assert_eq!(world.usage().await, (picture.len() as i64, 0));
        let (types, _) = world.events().await;
        assert_eq!(types, ["storage.asset.created", "storage.asset.ready"], "looked at once");
    }
}

#[tokio::test]
async fn a_cancel_beside_a_completion_leaves_all_or_nothing() {
    for world in worlds().await {
        let picture = png(64, 64);
        for _ in 0..6 {
            let begun = world.begin("a.png", "image/png", picture.len()).await.ok();
            world.put(&begun["upload"], &picture).await;
            let id = begun["asset"]["id"].as_str().unwrap();
            let path = format!("/v1/assets/{id}");
            let (completed, canceled) =
                tokio::join!(world.complete(id), world.call(Method::DELETE, &path, None));
            if !canceled.status.is_success() {
                assert_eq!(canceled.code(), "asset_busy");
                world.call(Method::DELETE, &path, None).await;
            }
            if !completed.status.is_success() {
                assert_eq!(completed.code(), "asset_deleted");
            }
            world.service.reconcile().await.unwrap();
            world.assert_nothing_kept("canceled beside a completion").await;
        }
    }
}

#[tokio::test]
async fn two_writers_to_one_address_make_one_object() {
    let world = crate::world::folder_world().await;
    let picture = png(200, 200);
    let begun = world.begin("a.png", "image/png", picture.len()).await.ok();
    let answers = join_all((0..6).map(|_| world.put(&begun["upload"], &picture))).await;
    let written = answers.iter().filter(|answer| answer.status.is_success()).count();
    assert_eq!(written, 1);
    for refused in answers.iter().filter(|answer| !answer.status.is_success()) {
        assert_eq!(refused.code(), "object_exists");
    }
    assert_eq!(world.files().len(), 1, "no scratch file is left");
}
