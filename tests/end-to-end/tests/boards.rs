//! Boards as people use them: edited live by several, with roles that hold on the socket; run, exported, and
//! killed in the middle of each.

use std::time::Duration;

use backlot_tests_end_to_end::{
    Account, Api, Studio, board, commands, connect, eventually, hears, update, upload_photo, yjs,
};
use futures::SinkExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error as SocketError;

async fn run_ended(api: &Api, id: &str) -> Value {
    eventually(&format!("board run {id} ends"), Duration::from_secs(180), || async {
        let run = api.get(&format!("/v1/board-runs/{id}")).await.body;
        (!run["ended_at"].is_null()).then_some(run)
    })
    .await
}

/// Nothing is held, and the ledger balances.
async fn books_balance(api: &Api) {
    let check = api.get("/v1/billing/ledger-check").await;
    assert_eq!((&check.body["balanced"], check.integer("/open_holds")), (&json!(true), 0), "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_is_made_changed_copied_and_deleted() {
    let studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Director").await;
    let id = board(&account.api).await;
    let made = commands(
        &account.api,
        &id,
        json!([
            { "op": "add_node", "id": "p", "kind": "prompt", "params": { "prompt": "a calm sea" } },
            { "op": "add_node", "id": "n", "kind": "tool", "params": { "tool": "narrate", "input": { "speed": 1 } } },
            { "op": "connect", "from": "p", "to": "n", "to_port": "text" },
            { "op": "add_track", "id": "t", "kind": "audio" },
            { "op": "add_clip", "track": "t", "node": "n" },
        ]),
    )
    .await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let document = account.api.get(&format!("/v1/boards/{id}/document")).await.body;
    assert_eq!(document["nodes"][1]["params"]["prompt"], "a calm sea", "{document}");
    assert_eq!(document["tracks"][0]["clips"][0]["node"], "n");

    // All or none.
    let wrong = json!([{ "op": "remove_node", "id": "p" }, { "op": "remove_node", "id": "nobody" }]);
    let refused = commands(&account.api, &id, wrong).await;
    assert_eq!((refused.code(), refused.integer("/index")), ("board_command_invalid", 1), "{refused:?}");
    let after = account.api.get(&format!("/v1/boards/{id}/document")).await.body;
    assert_eq!(after["revision"], document["revision"]);

    let long = json!([{ "op": "update_node", "id": "p", "params": { "prompt": "x".repeat(100_000) } }]);
    let refused = commands(&account.api, &id, long).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::UNPROCESSABLE_ENTITY, "board_prompt_too_long"));

    let template = account.api.post(&format!("/v1/boards/{id}/template"), &json!({})).await;
    let listed = account.api.get("/v1/board-templates").await;
    assert_eq!(listed.text("/items/0/id"), template.text("/id"), "{listed:?}");
    let body = json!({ "title": "Again", "template_id": template.text("/id") });
    let again = account.api.post("/v1/boards", &body).await;
    assert_eq!(again.integer("/nodes"), 2, "{again:?}");

    assert_eq!(account.api.send(Method::DELETE, &format!("/v1/boards/{id}"), None, &[]).await.status, 204);
    assert_eq!(account.api.get(&format!("/v1/boards/{id}/document")).await.code(), "board_unknown");
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_hold_on_the_socket_and_who_is_removed_is_cut_off() {
    let studio = Studio::start().await;
    let owner = Account::sign_up(studio.url(), "Owner").await;
    let guest = Account::sign_up(studio.url(), "Guest").await;
    let id = board(&owner.api).await;
    let refused = connect(studio.url(), &id, &guest.key, None).await;
    assert!(matches!(refused, Err(SocketError::Http(answer)) if answer.status() == 404));
    let nobody = connect(studio.url(), &id, "blk_nonsense", None).await;
    assert!(matches!(nobody, Err(SocketError::Http(answer)) if answer.status() == 401));

    let share = owner.api.post(&format!("/v1/boards/{id}/shares"), &json!({ "role": "viewer" })).await;
    let accepted =
        guest.api.post("/v1/boards/shares/accept", &json!({ "token": share.text("/token") })).await;
    assert_eq!(accepted.text("/role"), "viewer", "{accepted:?}");
    let mut socket = connect(studio.url(), &id, &guest.key, None).await.expect("a viewer may look");
    assert_eq!(hears(&mut socket, "role").await.expect("a role")["may_edit"], false);
    // A change of somebody who only looks is dropped: the bytes are not even read.
    socket.send(update(&[1, 2, 3])).await.expect("it is sent");
    let refused = commands(&guest.api, &id, json!([{ "op": "add_track", "kind": "video" }])).await;
    assert_eq!(refused.code(), "board_role_missing");

    let user = guest.ids["user"]["id"].as_str().expect("an id");
    let raised = json!({ "user_id": user, "role": "editor" });
    assert!(owner.api.post(&format!("/v1/boards/{id}/members"), &raised).await.status.is_success());
    assert_eq!(hears(&mut socket, "role").await.expect("a role")["may_edit"], true);

    let began = std::time::Instant::now();
    let path = format!("/v1/boards/{id}/members/{user}");
    assert_eq!(owner.api.send(Method::DELETE, &path, None, &[]).await.status, 204);
    assert_eq!(hears(&mut socket, "never").await, Err(4403));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(guest.api.get(&format!("/v1/boards/{id}")).await.code(), "board_unknown");

    // A key that is revoked ends its connection, too.
    let mut socket = connect(studio.url(), &id, &owner.key, None).await.expect("the owner");
    hears(&mut socket, "role").await.expect("a role");
    let keys = owner.session.get("/v1/identity/api-keys").await;
    let began = std::time::Instant::now();
    let path = format!("/v1/identity/api-keys/{}", keys.text("/items/0/id"));
    owner.session.send(Method::DELETE, &path, None, &[]).await;
    assert!(matches!(hears(&mut socket, "never").await, Err(4401 | 0)));
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_update_or_too_large_is_refused_in_words() {
    let studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Director").await;
    let id = board(&account.api).await;
    for (bytes, code) in [(vec![7; 10 << 20], "board_too_large"), (vec![200; 40], "board_update_invalid")] {
        let mut socket = connect(studio.url(), &id, &account.key, None).await.expect("a connection");
        socket.send(update(&bytes)).await.expect("it is sent");
        assert_eq!(hears(&mut socket, "refused").await.expect("a reason")["code"], code);
        assert_eq!(hears(&mut socket, "never").await, Err(4422));
    }
    // Another site's page may not open a connection with somebody's cookie.
    let foreign = connect(studio.url(), &id, "some-session", Some("https://evil.example")).await;
    assert!(matches!(foreign, Err(SocketError::Http(answer)) if answer.status() == 403));
    assert_eq!(account.api.get(&format!("/v1/boards/{id}/sync")).await.code(), "websocket_expected");
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_yjs_clients_converge_through_lost_connections_and_a_kill() {
    let mut studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Director").await;
    let id = board(&account.api).await;
    for seed in [1, 2, 3] {
        let order = json!({ "url": studio.url(), "board": id, "keys": [account.key, account.key, account.key],
            "seed": seed, "rounds": 400 });
        let said = yjs("converge.cjs", &order).await;
        assert_eq!((&said["same"], &said["prompts"]), (&json!(true), &json!(true)), "seed {seed}: {said}");
        assert_eq!(said["nodes"], said["server_nodes"], "seed {seed}: {said}");
        let before = account.api.get(&format!("/v1/boards/{id}/document")).await.body;
        studio = studio.kill_and_restart().await;
        let after = account.api.get(&format!("/v1/boards/{id}/document")).await.body;
        assert_eq!(before, after, "seed {seed}: what was acknowledged is there after a kill");
    }
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn circles_wrong_types_and_deleted_files_are_refused_with_their_codes() {
    let studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Director").await;
    let photo = upload_photo(&account.api).await;
    let tool = |id: &str, tool: &str| json!({ "op": "add_node", "id": id, "kind": "tool", "params": { "tool": tool } });
    let connect = |from: &str, to: &str, port: &str| json!({ "op": "connect", "from": from, "to": to, "to_port": port });
    let source = json!({ "op": "add_node", "id": "i", "kind": "image", "params": { "asset": photo } });
    let prompt = json!({ "op": "add_node", "id": "p", "kind": "prompt", "params": { "prompt": "sea" } });
    let cases = [
        (
            json!([
                tool("a", "upscale"),
                tool("b", "upscale"),
                connect("a", "b", "image"),
                connect("b", "a", "image")
            ]),
            "board_cyclic",
        ),
        (json!([prompt, tool("a", "upscale"), connect("p", "a", "image")]), "board_type_mismatch"),
        (json!([tool("a", "upscale")]), "board_input_missing"),
        (json!([tool("a", "no-such-tool")]), "tool_unknown"),
        (json!([prompt]), "board_nothing_to_run"),
        (json!([source, tool("a", "upscale"), connect("i", "a", "image")]), "board_asset_missing"),
    ];
    account.api.send(Method::DELETE, &format!("/v1/assets/{photo}"), None, &[]).await;
    for (content, code) in cases {
        let id = board(&account.api).await;
        assert!(commands(&account.api, &id, content).await.status.is_success());
        let refused = account.api.post(&format!("/v1/boards/{id}/runs"), &json!({})).await;
        assert_eq!(refused.code(), code, "{refused:?}");
        let plan = account.api.post(&format!("/v1/boards/{id}/plan"), &json!({})).await;
        assert!(plan.status.is_success(), "{plan:?}");
    }
    let film = json!({ "width": 640, "height": 360, "fps": 24 });
    let gone = board(&account.api).await;
    let clip = json!([source, { "op": "add_track", "id": "v", "kind": "video" }, { "op": "add_clip", "track": "v", "node": "i" }]);
    assert!(commands(&account.api, &gone, clip).await.status.is_success());
    for path in ["export", "export/quote"] {
        let refused = account.api.post(&format!("/v1/boards/{gone}/{path}"), &film).await;
        assert_eq!(
            (refused.code(), refused.text("/problems/0/node")),
            ("board_asset_missing", "i".to_owned())
        );
    }
    let empty = board(&account.api).await;
    let refused = account.api.post(&format!("/v1/boards/{empty}/export"), &film).await;
    assert_eq!(refused.code(), "board_film_empty", "{refused:?}");
    books_balance(&account.api).await;
    studio.process.terminate().await;
}

/// A photograph that is animated twice, one clip behind the other.
async fn storyboard(account: &Account, photo: &str) -> String {
    let id = board(&account.api).await;
    let animate = |id: &str, way: &str| {
        json!({ "op": "add_node", "id": id, "kind": "tool",
            "params": { "tool": "animate", "input": { "move": way, "seconds": 1 } } })
    };
    let done = commands(
        &account.api,
        &id,
        json!([
            { "op": "add_node", "id": "photo", "kind": "image", "params": { "asset": photo } },
            animate("in", "zoom_in"), animate("out", "zoom_out"),
            { "op": "connect", "from": "photo", "to": "in", "to_port": "image" },
            { "op": "connect", "from": "photo", "to": "out", "to_port": "image" },
            { "op": "add_track", "id": "v", "kind": "video" },
            { "op": "add_clip", "id": "1", "track": "v", "node": "in" },
            { "op": "add_clip", "id": "2", "track": "v", "node": "out", "transition": { "kind": "cross_fade", "ms": 250 } },
        ]),
    )
    .await;
    assert!(done.status.is_success(), "{done:?}");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_priced_once_and_killed_at_any_moment_it_charges_what_it_delivers() {
    let mut studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Director").await;
    let photo = upload_photo(&account.api).await;
    let id = storyboard(&account, &photo).await;
    let plan = account.api.post(&format!("/v1/boards/{id}/plan"), &json!({})).await;
    assert_eq!(plan.body["stale"].as_array().map(Vec::len), Some(2), "{plan:?}");
    let path = format!("/v1/boards/{id}/runs");
    let low = json!({ "max_price_micro": plan.integer("/price_micro") - 1 });
    assert_eq!(account.api.post(&path, &low).await.code(), "price_above_maximum");

    let key = [("idempotency-key", "one run")];
    let run = account.api.send(Method::POST, &path, Some(&json!({})), &key).await;
    assert_eq!(run.status, StatusCode::ACCEPTED, "{run:?}");
    let run_id = run.text("/id");
    studio = studio.kill_and_restart().await;
    let again = account.api.send(Method::POST, &path, Some(&json!({})), &key).await;
    assert_eq!(again.text("/id"), run_id, "the same key is the same run");
    eventually("a child runs", Duration::from_secs(60), || async {
        let run = account.api.get(&format!("/v1/board-runs/{run_id}")).await.body;
        (run["children"][0]["state"] != "waiting").then_some(())
    })
    .await;
    studio = studio.kill_and_restart().await;
    let run = run_ended(&account.api, &run_id).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["settled_micro"], plan.body["price_micro"], "{run}");
    books_balance(&account.api).await;

    // An unchanged board costs nothing; its takes answer it.
    let plan = account.api.post(&format!("/v1/boards/{id}/plan"), &json!({})).await;
    assert_eq!(plan.body["stale"], json!([]), "{plan:?}");
    let takes = account.api.get(&format!("/v1/boards/{id}/takes")).await.body;
    assert_eq!(takes["items"].as_array().map(Vec::len), Some(2), "{takes}");
    assert!(takes["items"].as_array().expect("takes").iter().all(|take| take["stale"] == false), "{takes}");
    let document = account.api.get(&format!("/v1/boards/{id}/document")).await.body;
    assert!(document["nodes"][0]["chosen_take"].is_string(), "{document}");

    // A node that is gone takes no take along.
    commands(&account.api, &id, json!([{ "op": "update_node", "id": "out", "params": { "input": { "move": "pan_left", "seconds": 1 } } }])).await;
    let plan = account.api.post(&format!("/v1/boards/{id}/plan"), &json!({})).await;
    assert_eq!(plan.text("/stale/0/node"), "out", "{plan:?}");

    // The film, killed while it is made.
    let order = json!({ "width": 320, "height": 180, "fps": 24 });
    let film = account.api.post(&format!("/v1/boards/{id}/export"), &order).await;
    assert_eq!(film.status, StatusCode::ACCEPTED, "{film:?}");
    let film_id = film.text("/id");
    eventually("the film is being made", Duration::from_secs(60), || async {
        let run = account.api.get(&format!("/v1/board-runs/{film_id}")).await.body;
        (run["children"][0]["state"] != "waiting").then_some(())
    })
    .await;
    studio = studio.kill_and_restart().await;
    let film = run_ended(&account.api, &film_id).await;
    assert_eq!(film["state"], "succeeded", "{film}");
    let seconds = film["seconds"].as_f64().expect("a length");
    assert!((1.7..1.8).contains(&seconds), "two clips of a second and a fade of a quarter: {seconds}");
    let asset = film["asset_id"].as_str().expect("an asset");
    let bytes = account.api.download(&format!("/v1/assets/{asset}/content")).await;
    assert!(bytes.len() > 1_000, "{}", bytes.len());
    let otio = account.api.get(&format!("/v1/board-runs/{film_id}/otio")).await.body;
    assert_eq!(otio["tracks"]["children"][0]["children"].as_array().map(Vec::len), Some(3), "{otio}");
    books_balance(&account.api).await;
    studio.process.terminate().await;
}
