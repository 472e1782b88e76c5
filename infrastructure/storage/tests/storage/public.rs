//! What is made public under a name, and taken back; and copies of it.

use std::time::{Duration, SystemTime};

use backlot_infrastructure_api::v1;
use reqwest::Method;
use serde_json::json;
use tonic::Code;

use crate::world::{Person, World, folder_world, png, read, worlds};

fn grant(world: &World, asset: &str, version: i64, public: bool) -> v1::SetPublicRequest {
    v1::SetPublicRequest {
        asset_id: asset.to_owned(),
        organisation_id: world.alice.organisation.to_string(),
        grant_id: "post-1".to_owned(),
        version,
        public,
    }
}

fn sign(asset: &str, preview: bool) -> v1::SignPublicRequest {
    v1::SignPublicRequest { asset_id: asset.to_owned(), grant_id: "post-1".to_owned(), ttl_s: 60, preview }
}

#[tokio::test]
async fn an_asset_is_public_exactly_while_the_newest_word_says_so() {
    for world in worlds().await {
        let picture = png(32, 32);
        let asset = world.upload("secret plans.png", "image/png", &picture).await.ok()["id"].clone();
        let asset = asset.as_str().unwrap();
        let mut rpc = world.rpc();
        assert_eq!(rpc.sign_public(sign(asset, false)).await.unwrap_err().code(), Code::NotFound);
        rpc.set_public(grant(&world, asset, 2, true)).await.unwrap();
        for preview in [false, true] {
            let url = rpc.sign_public(sign(asset, preview)).await.unwrap().into_inner().url;
            assert!(!url.contains("secret"), "its file name stays its owner's: {url}");
            let bytes = world.http.get(&url).send().await.unwrap().bytes().await.unwrap();
            assert_eq!(bytes == picture, !preview, "{}", world.name);
        }
        // A word that was overtaken on its way changes nothing.
        rpc.set_public(grant(&world, asset, 1, false)).await.unwrap();
        rpc.sign_public(sign(asset, false)).await.unwrap();
        rpc.set_public(grant(&world, asset, 3, false)).await.unwrap();
        rpc.set_public(grant(&world, asset, 2, true)).await.unwrap();
        assert_eq!(rpc.sign_public(sign(asset, false)).await.unwrap_err().code(), Code::NotFound);
        rpc.set_public(grant(&world, asset, 4, true)).await.unwrap();
        world.call(Method::DELETE, &format!("/v1/assets/{asset}"), None).await.ok();
        assert!(rpc.sign_public(sign(asset, false)).await.is_err(), "it was deleted");
        assert!(rpc.set_public(grant(&world, asset, 5, true)).await.is_err(), "and cannot be public again");
        rpc.set_public(grant(&world, asset, 6, false)).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_makes_public_what_is_not_theirs_or_not_ready() {
    for world in worlds().await {
        let asset = world.upload("a.png", "image/png", &png(8, 8)).await.ok()["id"].clone();
        let begun = world.begin("b.png", "image/png", 100).await.ok()["asset"]["id"].clone();
        let (asset, begun) = (asset.as_str().unwrap(), begun.as_str().unwrap());
        let mut rpc = world.rpc();
        let other = Person::new().organisation.to_string();
        let foreign = v1::SetPublicRequest { organisation_id: other, ..grant(&world, asset, 1, true) };
        assert_eq!(rpc.set_public(foreign).await.unwrap_err().code(), Code::NotFound);
        assert!(rpc.set_public(grant(&world, begun, 1, true)).await.is_err());
        for name in ["", "two words", &"x".repeat(65)] {
            let named = v1::SetPublicRequest { grant_id: name.to_owned(), ..grant(&world, asset, 1, true) };
            assert_eq!(rpc.set_public(named).await.unwrap_err().code(), Code::InvalidArgument, "{name}");
        }
    }
}

#[tokio::test]
async fn a_copy_is_its_new_owners_and_is_made_once_within_their_quota() {
    for world in worlds().await {
        let picture = png(64, 64);
        let asset = world.upload("a.png", "image/png", &picture).await.ok()["id"].clone();
        let asset = asset.as_str().unwrap();
        let bob = Person::new();
        let order = copy_order(asset, &bob);
        let copy = order.copy_id.clone();
        let mut rpc = world.rpc();
        assert_eq!(rpc.copy_public(order.clone()).await.unwrap_err().code(), Code::NotFound);
        rpc.set_public(grant(&world, asset, 1, true)).await.unwrap();
        for _ in 0..2 {
            let made = rpc.copy_public(order.clone()).await.unwrap().into_inner();
            assert_eq!((made.id.as_str(), made.width_px), (copy.as_str(), 64));
        }
        let usage = world.service.usage(bob.organisation).await.unwrap();
        assert_eq!((usage.used_bytes, usage.reserved_bytes), (picture.len() as i64, 0), "{}", world.name);
        // The copy lives on without the original.
        world.call(Method::DELETE, &format!("/v1/assets/{asset}"), None).await.ok();
        let seen = read(world.send(&bob, Method::GET, &format!("/v1/assets/{copy}"), None).await).await.ok();
        assert_eq!((&seen["state"], &seen["inputs"]), (&json!("ready"), &json!([])));
        let content = world.send(&bob, Method::GET, &format!("/v1/assets/{copy}/content"), None).await;
        let url = content.headers()["location"].to_str().unwrap().to_owned();
        assert_eq!(world.http.get(&url).send().await.unwrap().bytes().await.unwrap(), picture);
    }
}

#[tokio::test]
async fn who_has_no_space_has_no_bytes_copied() {
    for world in worlds().await {
        let asset = world.upload("a.png", "image/png", &png(64, 64)).await.ok()["id"].clone();
        let asset = asset.as_str().unwrap();
        let bob = Person::new();
        world.service.set_quota(bob.organisation, Some(10)).await.unwrap();
        let mut rpc = world.rpc();
        rpc.set_public(grant(&world, asset, 1, true)).await.unwrap();
        for _ in 0..3 {
            let refused = rpc.copy_public(copy_order(asset, &bob)).await.unwrap_err();
            assert_eq!(backlot_foundation_errors::Problem::from(refused).code, "quota_exceeded");
        }
        world.clock.advance(Duration::from_secs(3 * 3_600));
        let swept = world.service.sweep_orphans().await.unwrap();
        assert_eq!(swept.orphans, 0, "{}: bytes were copied for a row that could not come", world.name);
    }
}

/// The sweep of orphans removes what is old and has no row, and a copy's row comes after its bytes.
#[tokio::test]
async fn a_copy_of_an_old_file_is_young() {
    let world = folder_world().await;
    let asset = world.upload("a.png", "image/png", &png(64, 64)).await.ok()["id"].clone();
    let asset = asset.as_str().unwrap();
    let file = |person: &Person, id: &str| {
        let path = format!("objects/assets/{}/{id}", person.organisation);
        std::fs::File::open(world.folder.path().join(path)).unwrap()
    };
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 86_400);
    file(&world.alice, asset).set_modified(long_ago).unwrap();
    let bob = Person::new();
    let order = copy_order(asset, &bob);
    let mut rpc = world.rpc();
    rpc.set_public(grant(&world, asset, 1, true)).await.unwrap();
    rpc.copy_public(order.clone()).await.unwrap();
    let copied_at = file(&bob, &order.copy_id).metadata().unwrap().modified().unwrap();
    assert!(copied_at > long_ago + Duration::from_secs(86_400), "{copied_at:?}");
}

fn copy_order(asset: &str, to: &Person) -> v1::CopyPublicRequest {
    v1::CopyPublicRequest {
        asset_id: asset.to_owned(),
        grant_id: "post-1".to_owned(),
        copy_id: uuid(),
        organisation_id: to.organisation.to_string(),
        project_id: String::new(),
        actor_id: to.user.to_string(),
    }
}

fn uuid() -> String {
    backlot_infrastructure_api::AssetId::generate().to_string()
}

#[tokio::test]
async fn an_upload_that_a_system_begins_again_is_the_same_one() {
    for world in worlds().await {
        let guest = Person::new();
        let order = v1::BeginUploadRequest {
            asset_id: uuid(),
            organisation_id: world.alice.organisation.to_string(),
            project_id: String::new(),
            actor_id: guest.user.to_string(),
            name: "a.png".to_owned(),
            content_type: String::new(),
            size_bytes: 100,
        };
        let mut rpc = world.rpc();
        for _ in 0..2 {
            let begun = rpc.begin_upload(order.clone()).await.unwrap().into_inner();
            assert!(begun.url.contains(&order.asset_id) && begun.expires_at_us > 0, "{begun:?}");
        }
        let usage = world.service.usage(world.alice.organisation).await.unwrap();
        assert_eq!((usage.used_bytes, usage.reserved_bytes), (0, 100), "{}", world.name);
        let other =
            v1::BeginUploadRequest { organisation_id: guest.organisation.to_string(), ..order.clone() };
        assert_eq!(rpc.begin_upload(other).await.unwrap_err().code(), Code::NotFound);
        let complete = |organisation: String| v1::CompleteUploadRequest {
            asset_id: order.asset_id.clone(),
            organisation_id: organisation,
        };
        let foreign = rpc.complete_upload(complete(guest.organisation.to_string())).await;
        assert_eq!(foreign.unwrap_err().code(), Code::NotFound);
        let early = rpc.complete_upload(complete(order.organisation_id.clone())).await.unwrap_err();
        assert_ne!(early.code(), Code::NotFound, "its bytes have not arrived: {early:?}");
        let cancel = |organisation: String| v1::CancelUploadRequest {
            asset_id: order.asset_id.clone(),
            organisation_id: organisation,
            actor_id: guest.user.to_string(),
        };
        let foreign = rpc.cancel_upload(cancel(guest.organisation.to_string())).await;
        assert_eq!(foreign.unwrap_err().code(), Code::NotFound);
        for _ in 0..2 {
            rpc.cancel_upload(cancel(order.organisation_id.clone())).await.unwrap();
            let usage = world.service.usage(world.alice.organisation).await.unwrap();
            assert_eq!((usage.used_bytes, usage.reserved_bytes), (0, 0), "{}", world.name);
        }
        let late = rpc.complete_upload(complete(order.organisation_id.clone())).await.unwrap_err();
        assert_eq!(late.code(), Code::NotFound, "it was canceled: {late:?}");
    }
}

#[tokio::test]
async fn what_is_an_asset_is_no_upload_to_cancel() {
    for world in worlds().await {
        let made = world.upload("a.png", "image/png", &png(8, 8)).await.ok();
        let asset = made["id"].as_str().unwrap().to_owned();
        let used = world.usage().await;
        let request = v1::CancelUploadRequest {
            asset_id: asset.clone(),
            organisation_id: world.alice.organisation.to_string(),
            actor_id: world.alice.user.to_string(),
        };
        assert_eq!(world.rpc().cancel_upload(request).await.unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(world.usage().await, used);
        assert_eq!(
            world.call(Method::GET, &format!("/v1/assets/{asset}"), None).await.ok()["state"],
            "ready"
        );
    }
}
