//! Roles and scopes hold at every door, and not only where money is: a viewer looks and changes nothing, and a key
//! with scopes does exactly what they say.

use backlot_tests_end_to_end::{Account, Api, Studio, upload_photo};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_looks_and_changes_nothing() {
    let studio = Studio::start().await;
    let owner = Account::sign_up(studio.url(), "Owner").await;
    let viewer = Account::sign_up(studio.url(), "Viewer").await;
    let photo = upload_photo(&owner.api).await;
    let invitation = json!({ "email": viewer.email, "role": "viewer" });
    let token = owner.session.post("/v1/identity/invitations", &invitation).await.text("/token");
    viewer.session.post("/v1/identity/invitations/accept", &json!({ "token": token })).await;
    let switch = json!({ "organisation_id": owner.ids["organisation"]["id"] });
    viewer.session.post("/v1/identity/switch", &switch).await;

    let asset = format!("/v1/assets/{photo}");
    assert_eq!(viewer.session.get(&asset).await.status, StatusCode::OK);
    let run = owner.api.run("animate", json!({ "image": photo, "seconds": 8 })).await.text("/id");
    let upload = json!({ "name": "a.jpg", "content_type": "image/jpeg", "size_bytes": 10 });
    for (method, path, body) in [
        (Method::DELETE, asset.clone(), json!({})),
        (Method::POST, "/v1/assets".to_owned(), upload),
        (Method::POST, format!("/v1/runs/{run}/cancel"), json!({})),
    ] {
        let answer = viewer.session.send(method, &path, Some(&body), &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {answer:?}");
        assert!(!answer.code().is_empty(), "{answer:?}");
    }
    assert_eq!(owner.api.get(&asset).await.text("/state"), "ready");
    assert_eq!(owner.api.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await.status, StatusCode::OK);
    owner.api.ended(&run).await;
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_scopes_does_what_they_say() {
    let studio = Studio::start().await;
    let account = Account::sign_up(studio.url(), "Owner").await;
    let key = |scopes: &'static [&'static str]| {
        let session = account.session.clone();
        async move {
            let answer =
                session.post("/v1/identity/api-keys", &json!({ "name": "narrow", "scopes": scopes })).await;
            Api::with_key(&session.url, &answer.text("/key"))
        }
    };
    let reads = key(&["tools:read", "assets:read", "mandates:read"]).await;
    for path in ["/v1/tools", "/v1/runs", "/v1/assets", "/v1/mandates"] {
        assert_eq!(reads.get(path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(reads.get("/v1/billing/balance").await.status, StatusCode::FORBIDDEN);
    let writes = key(&["assets:read", "assets:write", "tools:read", "tools:write"]).await;
    let photo = upload_photo(&writes).await;
    let refused = reads.run("animate", json!({ "image": photo, "seconds": 1 })).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    let run = writes.run("animate", json!({ "image": photo, "seconds": 1 })).await;
    assert!(run.status.is_success(), "{run:?}");
    account.api.ended(&run.text("/id")).await;
    studio.process.terminate().await;
}
