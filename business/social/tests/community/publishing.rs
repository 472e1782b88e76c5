//! Publishing: from a private asset to a public post, and back.

use std::time::Duration;

use backlot_business_api::RunId;
use backlot_business_api::doors::RunOrigin;
use backlot_infrastructure_api::v1::AssetState;
use http::StatusCode;
use serde_json::json;

use crate::world::Stage;

#[tokio::test]
async fn a_published_picture_is_seen_by_a_stranger_and_no_longer_when_it_is_removed() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let asset = stage.picture(&ada);
        let body = json!({ "asset_id": asset, "title": " Golden hour ", "text": "over the harbour",
            "tags": ["#Sunset", "sunset", "Sea"], "remixable": true });
        let (status, post) = stage.send(&ada, "POST", "/v1/posts", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{post}");
        assert_eq!(post["title"], "Golden hour");
        assert_eq!(post["tags"], json!(["sunset", "sea"]));
        assert_eq!((&post["state"], &post["kind"]), (&json!("public"), &json!("image")));
        let path = format!("/v1/posts/{}", post["id"].as_str().unwrap());

        let seen = stage.get(&bob, &path).await;
        assert_eq!(seen["author"]["handle"], json!(ada.handle));
        assert_eq!(
            (&seen["is_mine"], &seen["liked"], &seen["board_id"]),
            (&json!(false), &json!(false), &json!(null))
        );
        let (status, address) = stage.send(&bob, "GET", &format!("{path}/media"), None).await;
        assert_eq!(
            (status, &address),
            (StatusCode::FOUND, &json!(format!("http://store.example/{asset}?preview=false")))
        );
        assert_eq!(stage.get(&bob, &format!("/v1/profiles/{}", ada.handle)).await["posts"], 1);

        let (status, problem) = stage.send(&bob, "DELETE", &path, None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
        stage.act(&ada, "DELETE", &path).await;
        stage.act(&ada, "DELETE", &path).await;
        for gone in [path.clone(), format!("{path}/media"), format!("{path}/comments")] {
            let (status, problem) = stage.send(&bob, "GET", &gone, None).await;
            assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("post_unknown")), "{gone}");
        }
        stage.sweep().await;
        assert!(stage.infra.0.lock().grants.values().all(|(_, public)| !public));
        assert_eq!(stage.get(&bob, &format!("/v1/profiles/{}", ada.handle)).await["posts"], 0);
        assert_eq!(stage.titles(&bob, "q=golden").await, Vec::<String>::new());
        assert_eq!(stage.get(&bob, "/v1/tags").await["items"], json!([]));
        assert_eq!(stage.events().await, ["post.published", "post.removed"]);
    }
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_and_leaves_nothing() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let (sound, coming) = (
            stage.asset(&ada, "audio/wav", AssetState::Ready),
            stage.asset(&ada, "image/png", AssetState::Uploading),
        );
        let good = stage.picture(&ada);
        let long = "x".repeat(121);
        for (body, code) in [
            (json!({ "asset_id": stage.picture(&bob), "title": "t" }), "asset_not_publishable"),
            (json!({ "asset_id": sound, "title": "t" }), "asset_not_publishable"),
            (json!({ "asset_id": coming, "title": "t" }), "asset_not_publishable"),
            (json!({ "asset_id": good, "title": "" }), "invalid_fields"),
            (json!({ "asset_id": good, "title": long }), "invalid_fields"),
            (json!({ "asset_id": good, "title": "a\u{202e}b" }), "invalid_fields"),
            (json!({ "asset_id": good, "title": "t", "tags": ["two words"] }), "invalid_fields"),
            (
                json!({ "asset_id": good, "title": "t", "tags": (0..9).map(|n| format!("t{n}")).collect::<Vec<_>>() }),
                "invalid_fields",
            ),
            (json!({ "asset_id": good, "title": "t", "board_id": "nonsense" }), "invalid_fields"),
            (json!({ "asset_id": good, "title": "t", "surprise": 1 }), "invalid_fields"),
            (json!({ "asset_id": "nonsense", "title": "t" }), "invalid_fields"),
        ] {
            let (status, problem) = stage.send(&ada, "POST", "/v1/posts", Some(body.clone())).await;
            assert!(status.is_client_error(), "{body}");
            assert_eq!(problem["code"], code, "{body}: {problem}");
        }
        stage.infra.0.lock().may_not_publish.insert(ada.user.to_string());
        let (status, problem) =
            stage.send(&ada, "POST", "/v1/posts", Some(json!({ "asset_id": good, "title": "t" }))).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("no_mandate")));
        assert_eq!(stage.titles(&bob, "").await, Vec::<String>::new());
        assert!(stage.infra.0.lock().grants.is_empty() && stage.events().await.is_empty());
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_post() {
    for stage in Stage::all().await {
        let ada = stage.person("Ada").await;
        let body = json!({ "asset_id": stage.picture(&ada), "title": "once" });
        let key = [("idempotency-key", "k")];
        let (_, first) = stage.send_with(&ada, "POST", "/v1/posts", Some(body.clone()), &key).await;
        let (_, again) = stage.send_with(&ada, "POST", "/v1/posts", Some(body.clone()), &key).await;
        assert_eq!(first["id"], again["id"]);
        let other = json!({ "asset_id": stage.picture(&ada), "title": "twice" });
        let (status, problem) = stage.send_with(&ada, "POST", "/v1/posts", Some(other), &key).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_reused")));
        assert_eq!(stage.titles(&ada, "").await, ["once"]);
    }
}

#[tokio::test]
async fn a_crash_or_a_silent_storage_only_delays() {
    for mut stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        for (before, after) in [(1, 0), (0, 1)] {
            stage.infra.0.lock().lose_before = before;
            stage.infra.0.lock().lose_after = after;
            let body = json!({ "asset_id": stage.picture(&ada), "title": format!("lost {before} {after}") });
            let (status, post) = stage.send(&ada, "POST", "/v1/posts", Some(body)).await;
            assert_eq!((status, &post["state"]), (StatusCode::ACCEPTED, &json!("publishing")));
            let path = format!("/v1/posts/{}", post["id"].as_str().unwrap());
            assert_eq!(stage.send(&bob, "GET", &path, None).await.0, StatusCode::NOT_FOUND);
            stage.crash();
            stage.sweep().await;
            assert_eq!(stage.get(&bob, &path).await["state"], "public");

            stage.infra.0.lock().lose_before = before;
            stage.infra.0.lock().lose_after = after;
            stage.act(&ada, "DELETE", &path).await;
            stage.sweep().await;
            stage.crash();
            stage.sweep().await;
            assert!(stage.infra.0.lock().grants.values().all(|(_, public)| !public));
        }
        assert_eq!(
            stage.events().await,
            ["post.published", "post.removed", "post.published", "post.removed"]
        );
    }
}

#[tokio::test]
async fn an_asset_that_was_deleted_on_the_way_is_never_public() {
    for stage in Stage::all().await {
        let ada = stage.person("Ada").await;
        let asset = stage.picture(&ada);
        stage.infra.0.lock().lose_before = 1;
        let body = json!({ "asset_id": asset, "title": "too late" });
        let (_, post) = stage.send(&ada, "POST", "/v1/posts", Some(body)).await;
        stage.infra.0.lock().assets.get_mut(&asset).unwrap().set_state(AssetState::Deleted);
        stage.sweep().await;
        let post = stage.get(&ada, &format!("/v1/posts/{}", post["id"].as_str().unwrap())).await;
        assert_eq!((&post["state"], &post["removed_because"]), (&json!("removed"), &json!("asset_deleted")));
    }
}

#[tokio::test]
async fn parameters_are_shown_as_far_as_the_author_allows() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let (asset, run) = (stage.picture(&ada), RunId::generate());
        let origin = RunOrigin {
            tool: "upscale".to_owned(),
            tool_version: "1.0.0".to_owned(),
            model: "backlot/upscale".to_owned(),
            model_version: "2".to_owned(),
            parameters: json!({ "scale": 2 }),
        };
        stage.infra.0.lock().origins.insert(run, origin);
        stage.infra.0.lock().assets.get_mut(&asset).unwrap().run_id = run.to_string();
        let body = json!({ "asset_id": asset, "title": "made" });
        let (_, post) = stage.send(&ada, "POST", "/v1/posts", Some(body)).await;
        let path = format!("/v1/posts/{}", post["id"].as_str().unwrap());
        assert_eq!(post["provenance"]["parameters"], json!({ "scale": 2 }), "its author's own");
        let seen = stage.get(&bob, &path).await["provenance"].clone();
        assert_eq!((&seen["model"], &seen["tool"]), (&json!("backlot/upscale"), &json!("upscale")));
        assert_eq!((&seen["version"], &seen["parameters"]), (&json!("1.0.0"), &json!(null)));
        let (status, _) = stage.send(&ada, "PATCH", &path, Some(json!({ "share_parameters": true }))).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(stage.get(&bob, &path).await["provenance"]["parameters"], json!({ "scale": 2 }));
    }
}

#[tokio::test]
async fn an_edit_changes_where_a_post_is_found() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "Morning fog", &["forest"]).await;
        let path = format!("/v1/posts/{post}");
        let change = json!({ "title": "Evening light", "tags": ["lake"] });
        assert_eq!(stage.send(&bob, "PATCH", &path, Some(change.clone())).await.0, StatusCode::FORBIDDEN);
        assert_eq!(stage.send(&ada, "PATCH", &path, Some(change)).await.0, StatusCode::OK);
        for (query, found) in
            [("q=fog", 0), ("tag=forest", 0), ("q=evening", 1), ("tag=lake", 1), ("tag=lake&feed=hot", 1)]
        {
            assert_eq!(stage.titles(&bob, query).await.len(), found, "{query}");
        }
        assert_eq!(stage.get(&bob, "/v1/tags").await["items"], json!([{ "tag": "lake", "posts": 1 }]));
    }
}

impl Stage {
    /// Time passes and due posts are looked at, until none is.
    pub(crate) async fn sweep(&self) {
        for _ in 0..3 {
            self.clock.advance(Duration::from_secs(600));
            self.service.sweep().await.unwrap();
        }
    }
}
