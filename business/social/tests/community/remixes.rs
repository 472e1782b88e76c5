//! Remixes and the tree that they make.

use http::StatusCode;
use serde_json::json;

use crate::world::Stage;

#[tokio::test]
async fn a_remix_is_a_board_that_names_its_parent_and_so_does_what_is_published_from_it() {
    for stage in Stage::all().await {
        let (ada, bob, eve) =
            (stage.person("Ada").await, stage.person("Bob").await, stage.person("Eve").await);
        let post = stage.post(&ada, "Origin", &[]).await;
        let remix = format!("/v1/posts/{post}/remix");
        let (status, made) = stage.send(&bob, "POST", &remix, None).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let board = made["board_id"].as_str().unwrap().to_owned();
        let (_, again) = stage.send(&bob, "POST", &remix, None).await;
        assert_eq!(again["board_id"], json!(board), "a double click is one remix");
        let key = [("idempotency-key", "another")];
        let (_, other) = stage.send_with(&bob, "POST", &remix, None, &key).await;
        assert_ne!(other["board_id"], json!(board));
        {
            let facts = stage.infra.0.lock();
            let (owner, from) = &facts.boards[&board];
            let from = from.as_ref().unwrap();
            assert_eq!((owner, &from.parent_post), (&bob.user.to_string(), &post));
            let nodes = from.snapshot["nodes"].as_object().unwrap();
            assert_eq!(nodes.len(), 1, "the medium alone: its author shares no parameters");
            let asset = nodes["published"]["params"]["asset"].as_str().unwrap();
            assert_eq!(facts.assets[asset].organisation_id, bob.organisation.to_string());
        }
        assert_eq!(stage.get(&ada, &format!("/v1/posts/{post}")).await["remixes"], 2);
        assert_eq!(stage.get(&ada, "/v1/notifications").await["items"][0]["kind"], "remix");

        let body = json!({ "asset_id": stage.picture(&bob), "title": "Child", "board_id": board,
            "remixable": true, "share_parameters": true });
        let (_, child) = stage.send(&bob, "POST", "/v1/posts", Some(body)).await;
        assert_eq!(child["parent_post_id"], json!(post));
        let child = child["id"].as_str().unwrap().to_owned();
        let stolen = json!({ "asset_id": stage.picture(&eve), "title": "t", "board_id": board });
        let (_, problem) = stage.send(&eve, "POST", "/v1/posts", Some(stolen)).await;
        assert_eq!(problem["errors"][0]["pointer"], "/board_id");

        let (_, made) = stage.send(&eve, "POST", &format!("/v1/posts/{child}/remix"), None).await;
        let board = made["board_id"].as_str().unwrap().to_owned();
        let content = stage.infra.0.lock().boards[&board].1.as_ref().unwrap().snapshot.clone();
        let shared = json!({ "prompt": "what was asked for", "input": {} });
        assert_eq!(content["nodes"]["n"]["params"], shared, "its author shares it, without the media");
        let body = json!({ "asset_id": stage.picture(&eve), "title": "Grandchild", "board_id": board });
        stage.send(&eve, "POST", "/v1/posts", Some(body)).await;
        for of in [&post, &child] {
            let tree = stage.get(&eve, &format!("/v1/posts/{of}/lineage")).await;
            let titles: Vec<_> =
                tree["nodes"].as_array().unwrap().iter().map(|node| &node["title"]).collect();
            assert_eq!(titles, ["Origin", "Child", "Grandchild"]);
            assert_eq!(tree["edges"][0], json!({ "from": post, "to": child }));
        }
        stage.act(&ada, "DELETE", &format!("/v1/posts/{post}")).await;
        let tree = stage.get(&eve, &format!("/v1/posts/{child}/lineage")).await;
        let root = &tree["nodes"][0];
        assert_eq!(
            (&root["removed"], &root["title"], &root["preview_url"]),
            (&json!(true), &json!(""), &json!(null))
        );
        assert_eq!(root["author"]["handle"], "deleted");
    }
}

#[tokio::test]
async fn what_its_author_keeps_is_not_remixed_by_others() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "p", &[]).await;
        stage.send(&ada, "PATCH", &format!("/v1/posts/{post}"), Some(json!({ "remixable": false }))).await;
        let (status, problem) = stage.send(&bob, "POST", &format!("/v1/posts/{post}/remix"), None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("remix_not_allowed")));
        assert_eq!(
            stage.send(&ada, "POST", &format!("/v1/posts/{post}/remix"), None).await.0,
            StatusCode::CREATED
        );
        assert_eq!(stage.infra.0.lock().boards.len(), 1);
    }
}

#[tokio::test]
async fn a_crash_between_makes_one_board() {
    for mut stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "p", &[]).await;
        stage.infra.0.lock().lose_boards = 1;
        let key = [("idempotency-key", "k")];
        let remix = format!("/v1/posts/{post}/remix");
        let (status, _) = stage.send_with(&bob, "POST", &remix, None, &key).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        stage.crash();
        stage.sweep().await;
        assert_eq!(stage.get(&ada, &format!("/v1/posts/{post}")).await["remixes"], 1);
        let (status, made) = stage.send_with(&bob, "POST", &remix, None, &key).await;
        assert_eq!(status, StatusCode::CREATED);
        let boards: Vec<String> = stage.infra.0.lock().boards.keys().cloned().collect();
        assert_eq!(json!(boards), json!([made["board_id"]]));
    }
}
