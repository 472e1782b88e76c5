//! One tenant never reads or changes another's anything: every route of the OpenAPI document is called with
//! the ids of another tenant.
//!
//! What somebody publishes is public by design: everybody signed in may look at it, like it, comment on it, remix
//! it where its author allows, and follow, block, mute or report its author. So for these routes, and for no
//! others, success is right; but nothing of it may name anything of the tenant's beside the post itself, and
//! nobody but its author may change or remove it.

use std::time::Duration;

use backlot_tests_end_to_end::{Account, Studio, board, commands, eventually, upload_photo};
use reqwest::Method;
use serde_json::{Value, json};

/// Routes whose ids belong to nobody.
const PUBLIC: &[&str] = &["/docs/errors/", "/v1/tools/", "/v1/metrics/", "/v1/models/", "/v1/billing/plans"];

/// Routes of what is published.
const PUBLISHED: &[&str] = &["/v1/posts/", "/v1/profiles/"];
/// What only the author of what is published may do.
const AUTHORS_ONLY: &[(&str, &str)] = &[
    ("PATCH", "/v1/posts/{id}"),
    ("DELETE", "/v1/posts/{id}"),
    ("DELETE", "/v1/posts/{id}/comments/{comment_id}"),
];

/// Whether this route succeeds for everybody signed in, because it is about something published.
fn is_published(method: &Method, path: &str) -> bool {
    let authors = AUTHORS_ONLY.iter().any(|(only, of)| *only == method.as_str() && *of == path);
    !authors && PUBLISHED.iter().any(|prefix| path.starts_with(prefix))
}

/// The victim's id that fits a route's parameter.
fn id_for(path: &str, parameter: &str, ids: &Value) -> String {
    let text = |name: &str| ids[name].as_str().unwrap_or_else(|| panic!("no id called {name}")).to_owned();
    let by_path = [
        ("/v1/assets/", "asset"),
        ("/v1/runs/", "run"),
        ("/v1/boards/", "board"),
        ("/v1/board-runs/", "board_run"),
        ("/v1/reviews/", "run"),
        ("/v1/billing/holds/", "run"),
        ("/v1/jobs/", "run"),
        ("/v1/mandates/", "mandate"),
        ("/v1/identity/api-keys/", "key"),
        ("/v1/identity/sessions/", "key"),
        ("/v1/identity/invitations/", "invitation"),
        ("/v1/identity/members/", "user"),
        ("/v1/identity/users/", "user"),
        ("/v1/identity/projects/", "project"),
        ("/v1/identity/organisations/", "organisation"),
        ("/v1/billing/invoices/", "invoice"),
        ("/v1/billing/grants/", "grant"),
        ("/v1/objects/", "asset"),
        ("/v1/profiles/", "handle"),
        // The staff's queue: Mallory has no business there, whatever the id.
        ("/v1/moderation/", "case"),
    ];
    if path.starts_with("/v1/boards/") && parameter != "id" {
        return text(match parameter {
            "share_id" => "board_share",
            "comment_id" => "board_comment",
            "asset_id" => "asset",
            _ => "user",
        });
    }
    if path.starts_with("/v1/posts/") {
        return text(if parameter == "comment_id" { "comment" } else { "post" });
    }
    let found = by_path.iter().find(|(prefix, _)| path.starts_with(prefix));
    let (_, name) = found.unwrap_or_else(|| panic!("say in this test whose id {{{parameter}}} of {path} is"));
    text(name)
}

fn fill(path: &str, ids: &Value) -> String {
    if PUBLIC.iter().any(|prefix| path.starts_with(prefix)) {
        return path.replace("{name}", "upscale").replace("{version}", "1.0.0");
    }
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (parameter, remainder) = after.split_once('}').expect("a closed parameter");
        filled.push_str(before);
        filled.push_str(&id_for(path, parameter, ids));
        rest = remainder;
    }
    filled + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_gives_another_tenants_ids_anything() {
    let studio = Studio::start().await;
    let staff = Account::sign_up(studio.url(), "Staff").await;
    let victim = Account::sign_up(studio.url(), "Victim").await;
    let mallory = Account::sign_up(studio.url(), "Mallory").await;

    let asset = upload_photo(&victim.api).await;
    let run = victim.api.run("animate", json!({ "image": asset, "seconds": 1 })).await.text("/id");
    victim.api.ended(&run).await;
    let board = board_with_everything(&victim, &asset).await;
    let mandate = victim.session.get("/v1/mandates").await.text("/items/0/id");
    let key = victim.session.get("/v1/identity/api-keys").await.text("/items/0/id");
    let invited = victim
        .session
        .post("/v1/identity/invitations", &json!({ "email": "a@b.example", "role": "member" }))
        .await;
    let grant = victim.session.get("/v1/billing/balance").await.text("/grants/0/id");
    let invoice = victim.session.post("/v1/billing/subscription", &json!({ "plan": "studio" })).await;
    let invoice = invoice.body.pointer("/invoice/id").or(invoice.body.pointer("/invoice_id")).cloned();
    let invoice = invoice.unwrap_or_else(|| panic!("a subscription makes an invoice"));
    let (post, comment, handle) = published(&victim, &asset).await;
    let report = json!({ "post_id": post, "reason": "spam" });
    let case = staff.session.post("/v1/reports", &report).await.text("/case_id");
    let ids = json!({
        "case": case, "board": board.0, "board_run": board.1, "board_share": board.2, "board_comment": board.3,
        "post": post, "comment": comment, "handle": handle,
        "grant": grant, "invoice": invoice,
        "asset": asset, "run": run, "mandate": mandate, "key": key, "invitation": invited.text("/id"),
        "user": victim.ids["user"]["id"], "project": victim.ids["project"]["id"],
        "organisation": victim.ids["organisation"]["id"],
    });
    let before = victims_view(&victim, &board.0).await;

    let document = mallory.session.get("/openapi.json").await.body;
    let paths = document["paths"].as_object().expect("an OpenAPI document");
    let mut walked = 0;
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            // Mallory may end the own session and account; that is not what is asked here.
            if path.starts_with("/v1/identity/") && method != Method::GET && !path.contains('{') {
                continue;
            }
            // A stream of one's own news does not end.
            if path == "/v1/notifications/events" {
                continue;
            }
            let body = (method != Method::GET)
                .then(|| json!({ "project_id": ids["project"], "parent_id": ids["mandate"] }));
            let answer = mallory.session.send(method.clone(), &fill(path, &ids), body.as_ref(), &[]).await;
            walked += 1;
            let leaked = ids.as_object().expect("ids").iter().filter(|(_, id)| {
                let id = id.as_str().expect("an id");
                let own_words = answer.code() != ""
                    && answer.body["detail"].as_str().is_some_and(|text| text.contains(id));
                answer.body.to_string().contains(id) && !own_words
            });
            // What is published is named wherever it is listed.
            let leaked = leaked.map(|(name, _)| name.as_str());
            let leaked: Vec<_> =
                leaked.filter(|name| !["post", "comment", "handle"].contains(name)).collect();
            assert!(leaked.is_empty(), "{method} {path} tells another tenant about {leaked:?}: {answer:?}");
            let is_public = PUBLIC.iter().any(|prefix| path.starts_with(prefix));
            if path.contains('{') && is_published(&method, path) {
                assert!(!answer.status.is_server_error(), "{method} {path}: {answer:?}");
            } else if path.contains('{') && !is_public {
                assert!(!answer.status.is_success(), "{method} {path} serves another tenant: {answer:?}");
                assert!(!answer.status.is_server_error(), "{method} {path}: {answer:?}");
            }
        }
    }
    assert!(walked > 40, "only {walked} routes were walked");
    assert_eq!(victims_view(&victim, &board.0).await, before, "something of the victim's changed");
    studio.process.terminate().await;
}

/// A board with a file, a run, a share link and a comment; answers the ids of all.
async fn board_with_everything(victim: &Account, asset: &str) -> (String, String, String, String) {
    let id = board(&victim.api).await;
    let path = format!("/v1/boards/{id}");
    let content = json!([
        { "op": "add_node", "id": "photo", "kind": "image", "params": { "asset": asset } },
        { "op": "add_node", "id": "move", "kind": "tool",
          "params": { "tool": "animate", "input": { "move": "zoom_in", "seconds": 1 } } },
        { "op": "connect", "from": "photo", "to": "move", "to_port": "image" },
    ]);
    assert!(commands(&victim.api, &id, content).await.status.is_success());
    let run = victim.api.post(&format!("{path}/runs"), &json!({})).await.text("/id");
    eventually("the board's run ends", Duration::from_secs(120), || async {
        let run = victim.api.get(&format!("/v1/board-runs/{run}")).await.body;
        (!run["ended_at"].is_null()).then_some(())
    })
    .await;
    let share = victim.api.post(&format!("{path}/shares"), &json!({ "role": "viewer" })).await;
    let comment = victim.api.post(&format!("{path}/comments"), &json!({ "text": "mine" })).await;
    (id, run, share.text("/id"), comment.text("/id"))
}

/// The victim publishes a picture, and says something about it.
async fn published(victim: &Account, asset: &str) -> (String, String, String) {
    let body = json!({ "asset_id": asset, "title": "Public", "tags": ["public"], "remixable": true });
    let post = victim.session.post("/v1/posts", &body).await;
    let id = post.text("/id");
    let comments = format!("/v1/posts/{id}/comments");
    let comment = victim.session.post(&comments, &json!({ "text": "mine" })).await.text("/id");
    (id, comment, post.text("/author/handle"))
}

/// What the victim sees of what is theirs.
async fn victims_view(victim: &Account, board: &str) -> Value {
    let mut view = json!({});
    for path in ["/v1/assets", "/v1/runs", "/v1/mandates", "/v1/billing/balance", "/v1/identity/members"] {
        view[path] = victim.session.get(path).await.body;
    }
    for part in ["", "/document", "/members", "/shares", "/comments", "/runs", "/takes"] {
        let path = format!("/v1/boards/{board}{part}");
        view[&path] = victim.session.get(&path).await.body;
    }
    let posts = victim.session.get("/v1/posts?feed=new&q=public").await;
    for fact in ["title", "text", "tags", "state", "remixable", "share_parameters"] {
        view["post"][fact] = posts.body["items"][0][fact].clone();
    }
    let profile = victim.session.get("/v1/profiles/me").await;
    for fact in ["handle", "name", "bio", "state", "following"] {
        view["profile"][fact] = profile.body[fact].clone();
    }
    // Signed addresses differ at every reading.
    strip_signed(&mut view);
    view
}

fn strip_signed(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !key.ends_with("_url") && key != "url");
            fields.values_mut().for_each(strip_signed);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_signed),
        _ => (),
    }
}
