//! Bad input: each a clear problem document with a stable code and a page, nothing held, nothing half-written.

use backlot_tests_end_to_end::{
    Account, Answer, PHOTO, Studio, board, commands, photo_put, root, upload, upload_photo,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// The answer is a problem document with this code and a page.
fn check(answer: &Answer, code: &str) {
    assert_eq!(answer.code(), code, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["type"], format!("/docs/errors/{code}"));
    assert!(answer.body["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{answer:?}");
    assert!(root().join("docs/errors").join(format!("{code}.md")).is_file(), "no page for {code}");
}

async fn state(account: &Account) -> Value {
    let balance = account.session.get("/v1/billing/balance").await.body;
    let assets = account.session.get("/v1/assets").await.body["items"].as_array().map(Vec::len);
    json!([balance["available_micro"], balance["held_micro"], balance["spent_micro"], assets])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_refused_with_its_code_and_leaves_nothing() {
    let studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Clumsy").await;
    let api = &account.api;
    let photo = upload_photo(api).await;
    let before = state(&account).await;

    // Files.
    check(
        &upload(api, "photo.png", "image/png", b"#!/bin/sh\necho not a picture, whatever it says\n").await,
        "asset_type_mismatch",
    );
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".as_slice();
    check(&upload(api, "hostile.svg", "image/svg+xml", svg).await, "asset_type_unsupported");
    check(&upload(api, "hostile.png", "image/png", svg).await, "asset_type_mismatch");
    let archive = [PHOTO, b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    check(&upload(api, "polyglot.jpg", "image/jpeg", &archive).await, "asset_type_mismatch");
    let page = [b"GIF89a/*<html><script>alert(1)</script>*/".as_slice(), &[0; 64]].concat();
    check(&upload(api, "polyglot.gif", "image/gif", &page).await, "asset_type_mismatch");
    check(&upload(api, "empty.jpg", "image/jpeg", b"").await, "asset_empty");
    let huge = json!({ "name": "huge.mp4", "content_type": "video/mp4", "size_bytes": 2_u64 << 30 });
    check(&api.post("/v1/assets", &huge).await, "quota_exceeded");
    canceled_upload(&account).await;

    // Runs.
    check(&api.run("upscale-nothing", json!({})).await, "tool_unknown");
    let version = json!({ "tool": "upscale", "version": "99.0.0", "input": { "image": photo } });
    check(&api.post("/v1/runs", &version).await, "tool_unknown");
    let wrong = api.run("upscale", json!({ "image": photo, "scale": 3 })).await;
    check(&wrong, "tool_input_invalid");
    assert_eq!(wrong.body["errors"][0]["pointer"], "/input/scale");
    let long = api.run("narrate", json!({ "text": "x".repeat(100_000) })).await;
    check(&long, "tool_input_invalid");
    boards(&account).await;
    replayed_key(&account, &photo).await;
    over_the_envelope(&account, &photo).await;

    // Credentials.
    let key =
        account.session.post("/v1/identity/api-keys", &json!({ "name": "short", "expires_in_s": 1 })).await;
    let expired = backlot_tests_end_to_end::Api::with_key(studio.url(), &key.text("/key"));
    let refused = backlot_tests_end_to_end::eventually(
        "the key expires",
        std::time::Duration::from_secs(5),
        || async {
            let answer = expired.get("/v1/identity/me").await;
            (answer.status == StatusCode::UNAUTHORIZED).then_some(answer)
        },
    );
    let refused = refused.await;
    check(&refused, "key_expired");

    let after = state(&account).await;
    assert_eq!(after, before, "available, held, spent, assets");
    studio.process.terminate().await;
}

async fn boards(account: &Account) {
    let api = &account.api;
    let id = board(api).await;
    let node = |id: &str, kind: &str, params: Value| json!({ "op": "add_node", "id": id, "kind": kind, "params": params });
    let tool = json!({ "tool": "upscale" });
    let long = node("p", "prompt", json!({ "prompt": "x".repeat(100_000) }));
    check(&commands(api, &id, json!([long])).await, "board_prompt_too_long");
    check(
        &commands(api, &id, json!([{ "op": "remove_node", "id": "nobody" }])).await,
        "board_command_invalid",
    );
    let many: Vec<Value> = (0..501).map(|n| node(&format!("n{n}"), "note", json!({}))).collect();
    check(&commands(api, &id, Value::Array(many)).await, "invalid_fields");
    let connect =
        |from: &str, to: &str| json!({ "op": "connect", "from": from, "to": to, "to_port": "image" });
    let circle = json!([
        node("a", "tool", tool.clone()),
        node("b", "tool", tool),
        connect("a", "b"),
        connect("b", "a")
    ]);
    assert!(commands(api, &id, circle).await.status.is_success());
    check(&api.post(&format!("/v1/boards/{id}/runs"), &json!({})).await, "board_cyclic");
    let film = json!({ "width": 640, "height": 360, "fps": 24 });
    for path in ["export", "export/quote"] {
        check(&api.post(&format!("/v1/boards/{id}/{path}"), &film).await, "board_film_empty");
    }
    let odd = json!({ "width": 8, "height": 360, "fps": 24 });
    check(&api.post(&format!("/v1/boards/{id}/export"), &odd).await, "invalid_fields");
    check(&api.get(&format!("/v1/boards/{id}/media/nonsense")).await, "board_media_unknown");
    api.send(Method::DELETE, &format!("/v1/boards/{id}"), None, &[]).await;
}

async fn canceled_upload(account: &Account) {
    let api = &account.api;
    let body = json!({ "name": "later.jpg", "content_type": "image/jpeg", "size_bytes": 1000 });
    let created = api.post("/v1/assets", &body).await;
    let id = created.text("/asset/id");
    let deleted = api.send(Method::DELETE, &format!("/v1/assets/{id}"), None, &[]).await;
    assert!(deleted.status.is_success(), "{deleted:?}");
    // Its address is worth nothing now, and it cannot be completed.
    let _ = photo_put(&created.body["upload"], &[0; 1000]).await;
    let completed = api.post(&format!("/v1/assets/{id}/complete"), &json!({})).await;
    assert!(!completed.status.is_success() && !completed.code().is_empty(), "{completed:?}");
}

async fn replayed_key(account: &Account, photo: &str) {
    let headers = [("idempotency-key", "the same key")];
    let first = json!({ "tool": "animate", "input": { "image": photo, "seconds": 1 }, "max_price_micro": 1 });
    let other = json!({ "tool": "animate", "input": { "image": photo, "seconds": 2 }, "max_price_micro": 1 });
    let send =
        |body: Value| async move { account.api.send(Method::POST, "/v1/runs", Some(&body), &headers).await };
    check(&send(first).await, "price_above_maximum");
    let again = send(other).await;
    assert!(!again.status.is_success(), "{again:?}");
}

async fn over_the_envelope(account: &Account, photo: &str) {
    let root = account.session.get("/v1/mandates").await.text("/items/0/id");
    let helper = Account::sign_up(&account.session.url, "Helper").await;
    let invitation = account
        .session
        .post("/v1/identity/invitations", &json!({ "email": helper.email, "role": "member" }))
        .await;
    helper
        .session
        .post("/v1/identity/invitations/accept", &json!({ "token": invitation.text("/token") }))
        .await;
    helper
        .session
        .post("/v1/identity/switch", &json!({ "organisation_id": account.ids["organisation"]["id"] }))
        .await;
    let given = account.session.post("/v1/mandates", &json!({
        "parent_id": root, "grantee_id": helper.ids["user"]["id"], "actions": ["tools.run"],
        "envelope": { "amount_micro": 10, "mode": "cap" }, "depth_max": 0, "purpose": "far too little",
    })).await;
    let body = json!({ "tool": "upscale", "input": { "image": photo }, "mandate_id": given.text("/id") });
    check(&helper.session.post("/v1/runs", &body).await, "envelope_exceeded");
}
