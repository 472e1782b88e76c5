//! Every route of the OpenAPI document is called by those who may not: by nobody, with a session that is over, by a
//! suspended person, with keys whose scopes say nothing of it, and by a guest who may only look.

use std::collections::BTreeSet;
use std::time::Duration;

use backlot_tests_end_to_end::{Account, Answer, Api, Studio, board, commands, eventually, upload_photo};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

/// Routes for people who have no credential yet, or no longer.
const FOR_STRANGERS: &[&str] = &["/v1/identity/sign-in", "/v1/identity/sign-up", "/v1/identity/sign-out"];
/// What pages show before anybody has signed in.
const FOR_EVERYBODY: &[&str] = &["/v1/tools/{name}/examples/{file}"];
/// Routes whose credential is in the call itself: a capability, or a write key.
const BRING_THEIR_OWN: &[&str] = &[
    "/v1/outputs",
    "/v1/track",
    "/v1/identify",
    "/v1/page",
    "/v1/screen",
    "/v1/group",
    "/v1/alias",
    "/v1/batch",
];
/// An id of nothing.
const NOBODYS_ID: &str = "01900000-0000-7000-8000-000000000000";

/// Method and path of each route, `{parameters}` still in it.
async fn routes(studio: &Studio) -> Vec<(Method, String)> {
    let document = Api::anonymous(studio.url()).get("/openapi.json").await.body;
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("an OpenAPI document") {
        for method in methods.as_object().expect("methods").keys() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            routes.push((method, path.clone()));
        }
    }
    assert!(routes.len() > 100, "only {} routes are described", routes.len());
    routes
}

fn is_for_members(path: &str) -> bool {
    let open = [FOR_STRANGERS, FOR_EVERYBODY, BRING_THEIR_OWN].concat();
    path.starts_with("/v1/") && !open.contains(&path)
}

fn filled(path: &str) -> String {
    let mut text = String::new();
    for part in path.split_inclusive(['{', '}']) {
        match part.strip_suffix('}') {
            Some(_) => text.push_str(NOBODYS_ID),
            None => text.push_str(part.trim_end_matches('{')),
        }
    }
    text
}

async fn call(api: &Api, method: &Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({});
    api.send(method.clone(), &filled(path), (*method != Method::GET).then_some(&body), headers).await
}

/// Calls every route that is for members, and lists those whose answer is not the expected refusal.
async fn let_in(
    studio: &Studio,
    api: &Api,
    headers: &[(&str, &str)],
    asked: impl Fn(&Method, &str) -> bool,
    refused: impl Fn(&Answer) -> bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let routes = routes(studio).await.into_iter().filter(|(_, path)| is_for_members(path));
    for (method, path) in routes.filter(|(method, path)| asked(method, path)) {
        let answer = call(api, &method, &path, headers).await;
        if !refused(&answer) {
            wrong.push(format!("{method} {path}: {} {}", answer.status, answer.code()));
        }
    }
    wrong
}

const fn all(_: &Method, _: &str) -> bool {
    true
}

fn nothing(wrong: &[String], who: &str) {
    assert!(wrong.is_empty(), "{who} was not refused:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_credential_or_with_one_that_is_over() {
    let studio = Studio::start().await;
    let stranger = Api::anonymous(studio.url());
    let unknown =
        |answer: &Answer| answer.status == StatusCode::UNAUTHORIZED && answer.code() == "unauthenticated";
    nothing(&let_in(&studio, &stranger, &[], all, unknown).await, "a stranger");
    for path in BRING_THEIR_OWN {
        let answer = call(&stranger, &Method::POST, path, &[]).await;
        assert!(answer.status.is_client_error() && !answer.code().is_empty(), "{path}: {answer:?}");
    }

    let staff = Account::sign_up(studio.url(), "Staff").await;
    let body = json!({ "email": staff.email, "password": staff.password });
    let signed_in = Api::anonymous(studio.url()).post("/v1/identity/sign-in", &body).await;
    let cookie = signed_in.headers[header::SET_COOKIE].to_str().expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();
    let carried = [("cookie", cookie.as_str())];
    assert_eq!(stranger.send(Method::GET, "/v1/identity/me", None, &carried).await.status, StatusCode::OK);
    stranger.send(Method::POST, "/v1/identity/sign-out", Some(&json!({})), &carried).await;
    let over =
        |answer: &Answer| answer.status == StatusCode::UNAUTHORIZED && answer.code() == "session_ended";
    nothing(&let_in(&studio, &stranger, &carried, all, over).await, "a session that was signed out");

    let victim = Account::sign_up(studio.url(), "Suspended").await;
    let state = format!("/v1/identity/users/{}/state", victim.ids["user"]["id"].as_str().expect("an id"));
    let suspended = staff.session.post(&state, &json!({ "suspended": true })).await;
    assert!(suspended.status.is_success(), "{suspended:?}");
    let out = |answer: &Answer| {
        ["session_ended", "account_suspended"].contains(&answer.code()) && answer.status.is_client_error()
    };
    nothing(&let_in(&studio, &victim.session, &[], all, out).await, "a suspended person's session");
    nothing(&let_in(&studio, &victim.api, &[], all, out).await, "a suspended person's key");
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_studio_that_is_reached_by_https_sends_its_cookie_over_nothing_else() {
    let studio = Studio::start_with(|launch| {
        let launch = launch.with("http.public_url", "https://studio.example");
        launch.with("infrastructure.billing.prove_every_s", "1")
    })
    .await;
    let body = json!({ "email": "a@b.example", "password": "a long enough sentence", "name": "Ada" });
    let answer = Api::anonymous(studio.url()).post("/v1/identity/sign-up", &body).await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().expect("a cookie").to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    assert!(answer.headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    // Whoever watches sees that the books were proved, with somebody's credits in them.
    eventually("the ledgers are proved", Duration::from_secs(60), || async {
        let metrics = reqwest::get(format!("{}/metrics", studio.url())).await.ok()?.text().await.ok()?;
        let value =
            |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        let proved = value("backlot_billing_ledger_transactions ")? > 0.0;
        (proved && value("backlot_billing_ledger_problems ")? == 0.0).then_some(())
    })
    .await;
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_its_scopes_say_and_nothing_else() {
    let studio = Studio::start().await;
    // Staff, so that nothing but the scope stands in the way.
    let staff = Account::sign_up(studio.url(), "Staff").await;
    let key = async |scopes: Value| {
        let body = json!({ "name": "narrow", "scopes": scopes });
        Api::with_key(studio.url(), &staff.session.post("/v1/identity/api-keys", &body).await.text("/key"))
    };
    let missing =
        |answer: &Answer| answer.status == StatusCode::FORBIDDEN && answer.code() == "scope_missing";
    let elsewhere = key(json!(["elsewhere:read", "elsewhere:write"])).await;
    nothing(&let_in(&studio, &elsewhere, &[], all, missing).await, "a key for something else");

    let areas: BTreeSet<String> = routes(&studio)
        .await
        .iter()
        .filter_map(|(_, path)| Some(path.strip_prefix("/v1/")?.split('/').next()?.replace('-', "_")))
        .collect();
    // A key has at most 32 scopes: two keys hold them all.
    let reads: Vec<String> = areas.iter().map(|area| format!("{area}:read")).collect();
    for part in reads.chunks(30) {
        let looks = key(json!(part)).await;
        // A quote holds nothing: to ask for one is to look.
        let changes = |method: &Method, path: &str| *method != Method::GET && !path.ends_with("/quote");
        nothing(&let_in(&studio, &looks, &[], changes, missing).await, "a key that may only look");
    }
    studio.process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_who_may_look_changes_nothing() {
    let studio = Studio::start().await;
    let owner = Account::sign_up(studio.url(), "Owner").await;
    let guest = Account::sign_up(studio.url(), "Guest").await;
    let photo = upload_photo(&owner.api).await;
    let id = board(&owner.api).await;
    let content = json!([{ "op": "add_node", "id": "photo", "kind": "image", "params": { "asset": photo } }]);
    assert!(commands(&owner.api, &id, content).await.status.is_success());
    let path = format!("/v1/boards/{id}");
    let share = owner.api.post(&format!("{path}/shares"), &json!({ "role": "viewer" })).await.text("/token");
    let accepted = guest.session.post("/v1/boards/shares/accept", &json!({ "token": share })).await;
    assert!(accepted.status.is_success(), "{accepted:?}");
    assert_eq!(guest.session.get(&path).await.status, StatusCode::OK);
    let document = async || owner.session.get(&format!("{path}/document")).await.body.to_string();
    let before = document().await;

    let mut asked = 0;
    for (method, route) in routes(&studio).await {
        let is_change = route.starts_with("/v1/boards/{id}") && method != Method::GET;
        // To leave a board, and to take back what one has begun to bring, is everybody's right; a plan and a quote
        // change nothing.
        let own = ["/members/{user_id}", "/media/{asset_id}", "/quote", "/plan"];
        let is_own = own.iter().any(|end| route.ends_with(end));
        if !is_change || is_own {
            continue;
        }
        let body = body_for(&route);
        let there = filled(&route.replace("{id}", &id));
        let answer = guest.session.send(method.clone(), &there, Some(&body), &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {route}: {answer:?}");
        assert_eq!(answer.code(), "board_role_missing", "{method} {route}");
        asked += 1;
    }
    assert!(asked >= 10, "only {asked} routes change a board");
    // Not through the side door either: the medium itself is its organisation's.
    assert_eq!(guest.session.get(&format!("/v1/assets/{photo}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(document().await, before);
    studio.process.terminate().await;
}

/// A body that is right, so that the role alone is what is missing.
fn body_for(route: &str) -> Value {
    match route.rsplit('/').next().unwrap_or_default() {
        "commands" => json!({ "commands": [{ "op": "add_node", "id": "n", "kind": "note", "params": {} }] }),
        "comments" => json!({ "text": "hello" }),
        "members" => json!({ "user_id": NOBODYS_ID, "role": "viewer" }),
        "shares" => json!({ "role": "viewer" }),
        "export" => json!({ "width": 64, "height": 64, "fps": 24 }),
        "media" => json!({ "name": "a.png", "size_bytes": 100 }),
        "{id}" => json!({ "title": "Mine now" }),
        _ => json!({}),
    }
}
