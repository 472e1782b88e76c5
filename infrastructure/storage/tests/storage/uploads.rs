//! A person's upload, good and bad.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{QUOTA_BYTES, World, encoded, png, read, sha256, worlds};

#[tokio::test]
async fn a_photograph_becomes_an_asset_and_comes_back_whole() {
    for world in worlds().await {
        let photo = encoded(900, 600, image::ImageFormat::Jpeg);
        let asset = world.upload("holiday at the sea.jpg", "image/jpeg", &photo).await.ok();
        let id = asset["id"].as_str().unwrap();
        assert_eq!(asset["state"], "ready", "{}", world.name);
        assert_eq!((asset["width"].clone(), asset["height"].clone()), (json!(900), json!(600)));
        assert_eq!(asset["sha256"], sha256(&photo));
        assert_eq!(asset["content_type"], "image/jpeg");
        assert_eq!(world.usage().await, (photo.len() as i64, 0));

        let redirect = world.send(&world.alice, Method::GET, &format!("/v1/assets/{id}/content"), None).await;
        assert_eq!(redirect.status(), StatusCode::FOUND);
        let signed = redirect.headers()["location"].to_str().unwrap().to_owned();
        let content = world.http.get(signed).send().await.unwrap();
        assert_eq!(content.headers()["content-type"], "image/jpeg", "{}", world.name);
        assert_eq!(content.bytes().await.unwrap(), photo);

        let redirect = world.send(&world.alice, Method::GET, &format!("/v1/assets/{id}/preview"), None).await;
        let signed = redirect.headers()["location"].to_str().unwrap().to_owned();
        let preview = world.http.get(signed).send().await.unwrap().bytes().await.unwrap();
        let preview = image::load_from_memory(&preview).unwrap();
        assert_eq!((preview.width(), preview.height()), (640, 427));

        let page = world.get("/v1/assets?limit=1").await.ok();
        assert_eq!(page["items"][0]["id"], asset["id"]);
        let deleted = world.call(Method::DELETE, &format!("/v1/assets/{id}"), None).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
        assert_eq!(world.get(&format!("/v1/assets/{id}/content")).await.code(), "asset_deleted");
        assert_eq!(world.get(&format!("/v1/assets/{id}")).await.ok()["state"], "deleted");
        world.assert_nothing_kept("deleted").await;

        let (types, data) = world.events().await;
        assert_eq!(types, ["storage.asset.created", "storage.asset.ready", "storage.asset.deleted"]);
        assert!(!data.contains("holiday") && !data.contains("http"), "{data}");
    }
}

#[tokio::test]
async fn completing_again_gives_the_same_answer() {
    for world in worlds().await {
        let photo = png(32, 16);
        let first = world.upload("a.png", "image/png", &photo).await.ok();
        let again = world.complete(first["id"].as_str().unwrap()).await.ok();
        assert_eq!(first, again, "{}", world.name);
        let lie = world.upload("a.png", "image/png", b"GIF89a nothing").await;
        assert_eq!(lie.code(), "asset_type_mismatch");
        let page = world.get("/v1/assets").await.ok();
        assert_eq!(page["items"].as_array().unwrap().len(), 1, "those rejected are not listed");
    }
}

/// Uploads that are refused once their bytes are looked at.
async fn check_refused(world: &World, name: &str, content_type: &str, bytes: &[u8], code: &str) {
    let begun = world.begin(name, content_type, bytes.len()).await.ok();
    let id = begun["asset"]["id"].as_str().unwrap();
    assert!(world.put(&begun["upload"], bytes).await.status.is_success());
    for _ in 0..2 {
        let refused = world.complete(id).await;
        assert_eq!(refused.code(), code, "{}: {name}: {refused:?}", world.name);
        assert!(refused.body["detail"].as_str().unwrap().len() > 20, "{refused:?}");
    }
    assert_eq!(world.get(&format!("/v1/assets/{id}")).await.ok()["rejected"]["code"], code);
    assert_eq!(world.get(&format!("/v1/assets/{id}/content")).await.code(), "asset_not_ready");
    world.assert_nothing_kept(name).await;
}

#[tokio::test]
async fn a_bad_file_is_refused_with_its_reason_and_nothing_is_kept() {
    for world in worlds().await {
        let picture = png(64, 64);
        let check = |name, claim, bytes, code| check_refused(&world, name, claim, bytes, code);
        let jpeg = encoded(16, 16, image::ImageFormat::Jpeg);
        check("lies.png", "image/png", jpeg.as_slice(), "asset_type_mismatch").await;
        check("text.png", "image/png", b"just some words".as_slice(), "asset_type_mismatch").await;
        check(
            "program",
            "",
            b"\x7fELF\x02\x01\x01aaaaaaaaaaaaaaaaaaaaa".as_slice(),
            "asset_type_unsupported",
        )
        .await;
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".as_slice();
        check("drawing.svg", "", svg, "asset_type_unsupported").await;
        check("drawing.png", "image/png", svg, "asset_type_mismatch").await;
        check("cut.png", "image/png", &picture[..picture.len() / 2], "asset_unreadable").await;
        check("head.png", "image/png", &picture[..40], "asset_unreadable").await;
        let bomb = bomb(60_000, 60_000);
        check("bomb.png", "image/png", &bomb, "asset_too_many_pixels").await;
        let page = [b"GIF89a/*<html><script>alert(1)</script>*/".as_slice(), &[0; 64]].concat();
        check("page.gif", "image/gif", &page, "asset_type_mismatch").await;
        let mut zip = b"PK\x05\x06".to_vec();
        zip.extend([0; 18]);
        let archive = [picture.clone(), zip].concat();
        check("archive.png", "image/png", &archive, "asset_type_mismatch").await;
        let script = [picture.clone(), b"<script>alert(1)</script>".to_vec()].concat();
        check("tail.png", "image/png", &script, "asset_type_mismatch").await;
        check(
            "cut.mp4",
            "video/mp4",
            b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".as_slice(),
            "asset_unreadable",
        )
        .await;
    }
}

/// A PNG whose header promises this many pixels and which holds none.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let small = png(1, 1);
    let mut bytes = small[..16].to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    bytes.truncate(12);
    bytes.extend(&header);
    bytes.extend(crc(&header).to_be_bytes());
    bytes.extend(&small[33..]);
    bytes
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

#[tokio::test]
async fn what_is_said_wrong_is_refused_before_a_byte_moves() {
    for world in worlds().await {
        let refused = [
            (world.begin("a.svg", "image/svg+xml", 10).await, "asset_type_unsupported"),
            (world.begin("a.html", "text/html", 10).await, "asset_type_unsupported"),
            (world.begin("a.png", "image/png", 0).await, "asset_empty"),
            (world.begin("film.mp4", "video/mp4", 2 << 30).await, "quota_exceeded"),
            (world.begin("a.png", "image/png", QUOTA_BYTES as usize + 1).await, "quota_exceeded"),
            (world.begin("a.png", "image/png", i64::MAX as usize).await, "invalid_fields"),
            (world.begin("", "image/png", 10).await, "invalid_fields"),
            (world.begin(&"x".repeat(256), "image/png", 10).await, "invalid_fields"),
            (world.call(Method::POST, "/v1/assets", Some(json!({ "name": "x" }))).await, "invalid_fields"),
            (
                world.call(Method::POST, "/v1/assets", Some(json!({ "name": "x", "size_bytes": -1 }))).await,
                "invalid_fields",
            ),
        ];
        for (answer, code) in refused {
            assert_eq!(answer.code(), code, "{}", world.name);
        }
        world.assert_nothing_kept("refused at once").await;
        assert!(world.events().await.0.is_empty());
    }
}

#[tokio::test]
async fn one_file_has_a_limit_of_its_own() {
    for world in crate::world::worlds_with(|config| config.upload_bytes_max = 1_000).await {
        assert_eq!(world.begin("a.png", "image/png", 1_001).await.code(), "asset_too_large");
        world.assert_nothing_kept("too large").await;
        world.begin("a.png", "image/png", 1_000).await.ok();
    }
}

#[tokio::test]
async fn what_arrives_must_be_what_was_declared() {
    for world in worlds().await {
        let picture = png(8, 8);
        for sent in [&picture[..picture.len() - 1], &[picture.clone(), vec![0]].concat(), b""] {
            let begun = world.begin("a.png", "image/png", picture.len()).await.ok();
            let id = begun["asset"]["id"].as_str().unwrap();
            let put = world.put(&begun["upload"], sent).await;
            if world.name.ends_with("folder") {
                assert_eq!(put.code(), "asset_size_mismatch");
                assert_eq!(world.complete(id).await.code(), "asset_not_uploaded");
                // The refused body did not use the address up.
                assert!(world.put(&begun["upload"], &picture).await.status.is_success());
                assert_eq!(world.complete(id).await.ok()["state"], "ready");
                world.call(Method::DELETE, &format!("/v1/assets/{id}"), None).await;
            } else {
                // The length is in the signature: the store takes nothing else in, for however long.
                assert_eq!(put.status, StatusCode::FORBIDDEN, "{} bytes: {put:?}", sent.len());
                assert_eq!(world.complete(id).await.code(), "asset_not_uploaded");
                assert!(world.put(&begun["upload"], &picture).await.status.is_success());
                assert_eq!(world.complete(id).await.ok()["state"], "ready");
                world.call(Method::DELETE, &format!("/v1/assets/{id}"), None).await;
            }
            world.assert_nothing_kept("another size").await;
        }
    }
}

#[tokio::test]
async fn a_canceled_upload_returns_its_space_and_its_address() {
    for world in worlds().await {
        let picture = png(8, 8);
        let begun = world.begin("a.png", "image/png", picture.len()).await.ok();
        let id = begun["asset"]["id"].as_str().unwrap();
        assert_eq!(world.usage().await, (0, picture.len() as i64));
        for _ in 0..2 {
            let canceled = world.call(Method::DELETE, &format!("/v1/assets/{id}"), None).await;
            assert_eq!(canceled.status, StatusCode::NO_CONTENT);
            world.assert_nothing_kept("canceled").await;
        }
        assert_eq!(world.complete(id).await.code(), "asset_deleted");
        if world.name.ends_with("folder") {
            assert_eq!(world.put(&begun["upload"], &picture).await.code(), "upload_closed");
        }
        let (types, _) = world.events().await;
        assert_eq!(types, ["storage.asset.created", "storage.asset.deleted"]);
    }
}

#[tokio::test]
async fn an_abandoned_upload_ends_by_itself() {
    for world in worlds().await {
        let picture = png(8, 8);
        let begun = world.begin("a.png", "image/png", picture.len()).await.ok();
        let id = begun["asset"]["id"].as_str().unwrap();
        world.put(&begun["upload"], &picture).await;
        world.clock.advance(Duration::from_secs(3_599));
        assert_eq!(world.service.reconcile().await.unwrap().expired_uploads, 0);
        world.clock.advance(Duration::from_secs(2));
        assert_eq!(world.service.reconcile().await.unwrap().expired_uploads, 1);
        world.assert_nothing_kept("abandoned").await;
        assert_eq!(world.complete(id).await.code(), "upload_expired");
        assert_eq!(world.service.reconcile().await.unwrap().expired_uploads, 0);
    }
}

#[tokio::test]
async fn pages_follow_each_other() {
    for world in worlds().await {
        let picture = png(4, 4);
        for n in 0..5 {
            world.upload(&format!("{n}.png"), "image/png", &picture).await.ok();
        }
        let mut names = Vec::new();
        let mut path = "/v1/assets?limit=2".to_owned();
        loop {
            let page = world.get(&path).await.ok();
            for item in page["items"].as_array().unwrap() {
                names.push(item["name"].as_str().unwrap().to_owned());
            }
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/assets?limit=2&before={next}");
        }
        assert_eq!(names, ["4.png", "3.png", "2.png", "1.png", "0.png"], "{}", world.name);
        assert_eq!(world.get("/v1/assets?limit=x").await.code(), "bad_request");
    }
}

#[tokio::test]
async fn a_token_is_needed() {
    for world in worlds().await {
        let answer = read(world.http.get(format!("{}/v1/assets", world.base)).send().await.unwrap()).await;
        assert_eq!(answer.code(), "unauthenticated");
    }
}

#[tokio::test]
async fn a_plan_changes_what_an_organisation_may_use() {
    for world in worlds().await {
        let organisation = world.alice.organisation;
        world.service.set_quota(organisation, Some(100)).await.unwrap();
        let refused = world.begin("a.png", "image/png", 101).await;
        assert_eq!(refused.code(), "quota_exceeded");
        assert_eq!(refused.body["available_bytes"], 100);
        world.begin("a.png", "image/png", 60).await.ok();
        assert_eq!(world.begin("a.png", "image/png", 60).await.body["available_bytes"], 40);
        world.service.set_quota(organisation, Some(10)).await.unwrap();
        assert_eq!(world.begin("a.png", "image/png", 1).await.body["available_bytes"], 0);
        world.service.set_quota(organisation, None).await.unwrap();
        world.begin("a.png", "image/png", 1_000).await.ok();
        let usage = world.get("/v1/assets/usage").await.ok();
        assert_eq!(usage, json!({ "used_bytes": 0, "reserved_bytes": 1_060, "quota_bytes": QUOTA_BYTES }));
    }
}

#[tokio::test]
async fn uploads_in_progress_have_a_limit() {
    for world in crate::world::worlds_with(|config| config.uploads_open_max = 3).await {
        let begun = world.begin("a.png", "image/png", 9).await.ok();
        for _ in 0..2 {
            world.begin("a.png", "image/png", 9).await.ok();
        }
        assert_eq!(world.begin("a.png", "image/png", 9).await.code(), "uploads_open_limit", "{}", world.name);
        assert_eq!(world.usage().await, (0, 27));
        let path = format!("/v1/assets/{}", begun["asset"]["id"].as_str().unwrap());
        world.call(Method::DELETE, &path, None).await;
        world.begin("a.png", "image/png", 9).await.ok();
    }
}

#[tokio::test]
async fn the_description_of_the_api_is_whole() {
    let world = crate::world::folder_world().await;
    let (_, api) = world.service.http().split_for_parts();
    let text = api.to_json().unwrap();
    let api: serde_json::Value = serde_json::from_str(&text).unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(api["components"]["schemas"][name].is_object(), "{name} is referred to and not described");
    }
    let paths: Vec<&String> = api["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths.len(), 8, "{paths:?}");
}

#[tokio::test]
async fn a_file_of_many_parts_arrives_whole() {
    for world in crate::world::worlds_with(|config| config.quota_bytes = 64 << 20).await {
        let sound = silence(20_000_000);
        let asset = world.upload("long.wav", "audio/wav", &sound).await.ok();
        assert_eq!(asset["sha256"], sha256(&sound), "{}", world.name);
        let path = format!("/v1/assets/{}/content", asset["id"].as_str().unwrap());
        let redirect = world.send(&world.alice, Method::GET, &path, None).await;
        let signed = redirect.headers()["location"].to_str().unwrap().to_owned();
        let content = world.http.get(signed).send().await.unwrap();
        assert_eq!(content.headers()["content-type"], "audio/wav");
        assert_eq!(sha256(&content.bytes().await.unwrap()), sha256(&sound));
    }
}

/// A WAV file of silence: 16 bits, 44,100 samples a second, one channel.
fn silence(bytes: u32) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((bytes + 36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(44_100_u32.to_le_bytes());
    file.extend(88_200_u32.to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.resize(file.len() + bytes as usize, 0);
    file
}
