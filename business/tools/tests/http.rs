//! The HTTP API of tools, as a client sees it.

mod world;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use backlot_foundation_rpc::http::authenticate;
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::{Clock as _, SystemClock};
use backlot_foundation_tokens::Claims;
use futures::StreamExt as _;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use world::Stage;

struct Client {
    stage: Stage,
    router: Router,
    trust: Trust,
}

impl Client {
    async fn new() -> Self {
        let stage = Stage::over(TestDb::sqlite("business").await).await;
        let trust = Trust::new("edge", "business");
        let (router, _) = stage.service.http().split_for_parts();
        let verifier = Arc::clone(&trust.verifier);
        let router = router.layer(axum::middleware::from_fn_with_state(verifier, authenticate));
        Self { stage, router, trust }
    }

    fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let organisation = self.stage.actor.organisation.to_string();
        let mut claims = Claims::person("business", &self.stage.actor.id, &organisation, SystemClock.now());
        change(&mut claims);
        self.trust.signer.sign(&claims).unwrap()
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> (StatusCode, Value) {
        self.send_as(&self.token(|_| ()), method, path, body, key).await
    }

    async fn send_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> (StatusCode, Value) {
        let mut request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    fn run_body(&self) -> Value {
        json!({ "tool": "upscale", "input": { "image": self.stage.image.to_string() } })
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_answered() {
    let client = Client::new().await;
    let paths = [
        "/v1/tools",
        "/v1/tools/upscale",
        "/v1/runs",
        "/v1/runs/x",
        "/v1/runs/x/events",
        "/v1/runs/x/timeline",
    ];
    for path in paths {
        let (status, problem) = client.send_as("none", "GET", path, None, None).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNAUTHORIZED, &json!("unauthenticated")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_key_with_a_narrow_scope_looks_and_does_not_run() {
    let client = Client::new().await;
    let token = client.token(|claims| claims.scopes = vec!["tools:read".to_owned()]);
    let (status, _) = client.send_as(&token, "GET", "/v1/tools", None, None).await;
    assert_eq!(status, StatusCode::OK);
    let (status, problem) = client.send_as(&token, "POST", "/v1/runs", Some(client.run_body()), None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("scope_missing")));
}

#[tokio::test]
async fn the_catalogue_has_forms_and_examples_and_no_operators_tool() {
    let client = Client::new().await;
    let (_, list) = client.send("GET", "/v1/tools", None, None).await;
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["animate", "cutout", "moderate", "narrate", "upscale"]);
    assert_eq!(list["items"][4]["input"]["properties"]["image"]["format"], "asset");
    assert_eq!(list["items"][4]["before"], "/v1/tools/upscale/examples/upscale-before.webp");
    assert_eq!(list["items"][3]["after"], "/v1/tools/narrate/examples/narrate-after.mp3");
    let (_, tool) = client.send("GET", "/v1/tools/upscale/versions/1.0.0", None, None).await;
    let path = tool["examples"][0]["after"].as_str().unwrap();
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let picture = client.router.clone().oneshot(request).await.unwrap();
    assert_eq!(
        (picture.status(), &picture.headers()["content-type"]),
        (StatusCode::OK, &"image/webp".parse().unwrap())
    );
    for path in ["/v1/tools/sing", "/v1/tools/upscale/versions/7.0.0"] {
        let (status, problem) = client.send("GET", path, None, None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("tool_unknown")));
    }
}

#[tokio::test]
async fn a_quote_says_price_and_wait() {
    let client = Client::new().await;
    let body = json!({ "input": { "image": client.stage.image.to_string(), "scale": 4 } });
    let (status, quote) = client.send("POST", "/v1/tools/upscale/quote", Some(body), None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&quote["price_micro"], &quote["possible"], &quote["allowed"]),
        (&json!(650_000), &json!(true), &json!(true))
    );
    assert_eq!(quote["refused_code"], Value::Null);
    client.stage.world.state.lock().available = 1;
    let body = json!({ "input": { "image": client.stage.image.to_string(), "scale": 4 } });
    let (_, quote) = client.send("POST", "/v1/tools/upscale/quote", Some(body), None).await;
    assert_eq!((&quote["allowed"], &quote["refused_code"]), (&json!(false), &json!("insufficient_credits")));
}

#[tokio::test]
async fn a_run_is_accepted_watched_and_read_again() {
    let client = Client::new().await;
    let (status, run) = client.send("POST", "/v1/runs", Some(client.run_body()), Some("k")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        (&run["state"], &run["position"], &run["held_micro"]),
        (&json!("queued"), &json!(3), &json!(170_000))
    );
    assert_eq!(
        (&run["phase"], &run["settled_micro"], &run["input"]["scale"]),
        (&json!("queued"), &Value::Null, &json!(2))
    );
    let (_, again) = client.send("POST", "/v1/runs", Some(client.run_body()), Some("k")).await;
    assert_eq!(again["id"], run["id"]);
    let id = backlot_business_api::RunId::parse(run["id"].as_str().unwrap()).unwrap();
    client.stage.world.succeed_job(id);
    client.stage.end(id).await;
    let (_, done) = client.send("GET", &format!("/v1/runs/{id}"), None, None).await;
    assert_eq!(
        (&done["state"], &done["settled_micro"], &done["phase"]),
        (&json!("succeeded"), &json!(170_000), &Value::Null)
    );
    let output = &done["outputs"][0];
    assert_eq!(
        output["download_url"],
        json!(format!("/v1/assets/{}/content", output["id"].as_str().unwrap()))
    );
    let (_, list) = client.send("GET", "/v1/runs?limit=1", None, None).await;
    assert_eq!((&list["items"][0]["id"], &list["next"]), (&run["id"], &Value::Null));
    let (_, timeline) = client.send("GET", &format!("/v1/runs/{id}/timeline"), None, None).await;
    assert_eq!(
        (&timeline["cost"]["settled_micro"], &timeline["why_failed"]),
        (&json!(170_000), &Value::Null)
    );
}

#[tokio::test]
async fn a_list_has_pages() {
    let client = Client::new().await;
    for _ in 0..3 {
        client.stage.submit().await;
    }
    let (_, first) = client.send("GET", "/v1/runs?limit=2", None, None).await;
    let next = first["next"].as_str().unwrap();
    let (_, second) = client.send("GET", &format!("/v1/runs?limit=2&before={next}"), None, None).await;
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (2, 1));
    let (status, _) = client.send("GET", "/v1/runs?before=nonsense", None, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn bad_bodies_are_problems_with_their_fields() {
    let client = Client::new().await;
    let cases = [
        (json!({ "tool": "upscale" }), 422, "invalid_fields"),
        (json!({ "tool": "upscale", "input": {}, "surprise": 1 }), 422, "invalid_fields"),
        (json!({ "tool": "", "input": {} }), 422, "invalid_fields"),
        (json!({ "tool": "upscale", "input": {}, "project_id": "x" }), 422, "invalid_fields"),
        (json!({ "tool": "upscale", "input": [] }), 422, "tool_input_invalid"),
        (json!({ "tool": "upscale", "input": {} }), 422, "tool_input_invalid"),
        (json!({ "tool": "upscale", "input": { "image": 7 } }), 422, "tool_input_invalid"),
        (json!({ "tool": "upscale", "input": {}, "max_price_micro": -1 }), 422, "invalid_fields"),
    ];
    for (body, status, code) in cases {
        let (answered, problem) = client.send("POST", "/v1/runs", Some(body.clone()), None).await;
        assert_eq!((answered.as_u16(), problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
    }
    let (_, problem) =
        client.send("POST", "/v1/runs", Some(json!({ "tool": "upscale", "input": {} })), None).await;
    assert_eq!(problem["errors"][0]["pointer"], "/input/image");
    let (status, _) = client.send("GET", "/v1/runs/nonsense", None, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_refusal_of_billing_comes_through_whole() {
    let client = Client::new().await;
    client.stage.world.state.lock().available = 0;
    let (status, problem) = client.send("POST", "/v1/runs", Some(client.run_body()), None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PAYMENT_REQUIRED, &json!("insufficient_credits")));
    let run = problem["run_id"].as_str().unwrap();
    let (_, run) = client.send("GET", &format!("/v1/runs/{run}"), None, None).await;
    assert_eq!(
        (&run["state"], &run["settled_micro"], &run["held_micro"]),
        (&json!("refused"), &json!(0), &json!(0))
    );
}

#[tokio::test]
async fn another_key_body_is_a_conflict() {
    let client = Client::new().await;
    client.send("POST", "/v1/runs", Some(client.run_body()), Some("k")).await;
    let body = json!({ "tool": "upscale", "input": { "image": client.stage.image.to_string(), "scale": 4 } });
    let (status, problem) = client.send("POST", "/v1/runs", Some(body), Some("k")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_reused")));
}

#[tokio::test]
async fn another_organisation_finds_nothing() {
    let client = Client::new().await;
    let id = client.stage.submit().await.id;
    let stranger = client
        .token(|claims| claims.org = backlot_infrastructure_api::OrganisationId::generate().to_string());
    for (method, path) in [
        ("GET", format!("/v1/runs/{id}")),
        ("POST", format!("/v1/runs/{id}/cancel")),
        ("GET", format!("/v1/runs/{id}/events")),
        ("GET", format!("/v1/runs/{id}/timeline")),
    ] {
        let (status, problem) = client.send_as(&stranger, method, &path, None, None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("run_unknown")), "{path}");
    }
    // Not even as an input.
    let (status, _) = client.send_as(&stranger, "POST", "/v1/runs", Some(client.run_body()), None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn the_event_stream_tells_each_change_and_ends_with_the_money() {
    let client = Client::new().await;
    let id = client.stage.submit().await.id;
    let request = |last: Option<&str>| {
        let request = Request::builder()
            .uri(format!("/v1/runs/{id}/events"))
            .header("authorization", format!("Bearer {}", client.token(|_| ())));
        let request = last.iter().fold(request, |request, last| request.header("last-event-id", *last));
        request.body(Body::empty()).unwrap()
    };
    let response = client.router.clone().oneshot(request(None)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    let mut states = Vec::new();
    let mut ids = Vec::new();
    while let Some(chunk) = body.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        while let Some((event, rest)) = text.clone().split_once("\n\n") {
            text = rest.to_owned();
            let field =
                |name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            let Some(data) = field("data: ") else { continue };
            assert_eq!(field("event: ").as_deref(), Some("run"));
            ids.extend(field("id: "));
            let run: Value = serde_json::from_str(&data).unwrap();
            let state = run["state"].as_str().unwrap().to_owned();
            match (states.last().map(String::as_str), state.as_str()) {
                (None, _) => client.stage.world.start_job(id),
                (Some("queued"), "running") => {
                    client.stage.world.succeed_job(id);
                    // As the reconciler would, woken by inference's event.
                    client.stage.service.drive(id).await;
                }
                _ => (),
            }
            states.push(state);
        }
    }
    states.dedup();
    assert_eq!(states, ["queued", "running", "succeeded"]);
    // Who has seen the end is told again, and the stream ends.
    let response = client.router.clone().oneshot(request(ids.last().map(String::as_str))).await.unwrap();
    let rest = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(std::str::from_utf8(&rest).unwrap().matches("event: run").count(), 1);
}

#[tokio::test]
async fn a_stream_ends_when_the_process_is_to_stop() {
    let client = Client::new().await;
    let id = client.stage.submit().await.id;
    let tasks = backlot_foundation_runtime::Tasks::new();
    client.stage.service.tasks(&tasks, &client.stage.infrastructure, &client.stage.inference);
    let request = Request::builder()
        .uri(format!("/v1/runs/{id}/events"))
        .header("authorization", format!("Bearer {}", client.token(|_| ())));
    let response = client.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.is_some(), "the run as it is");
    assert_eq!(tasks.shutdown(std::time::Duration::from_secs(5)).await, 0);
    let rest = async { while body.next().await.is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(5), rest).await.expect("the stream ends");
}

#[tokio::test]
async fn the_description_names_every_schema_that_it_uses() {
    let client = Client::new().await;
    let (_, openapi) = client.stage.service.http().split_for_parts();
    let document = serde_json::to_value(&openapi).unwrap();
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not described");
    }
    assert_eq!(document["paths"].as_object().unwrap().len(), 15);
}

#[tokio::test]
async fn only_staff_sees_and_decides_reviews() {
    let client = Client::new().await;
    let unknown = "/v1/reviews/0198a000-0000-7000-8000-000000000009";
    for (method, path) in [("GET", "/v1/reviews"), ("GET", unknown), ("POST", unknown)] {
        let body = (method == "POST").then(|| json!({ "decision": "release" }));
        let (status, problem) = client.send(method, path, body, None).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::FORBIDDEN, &json!("forbidden")),
            "{method} {path}"
        );
    }
    let staff = client.token(|claims| claims.staff = true);
    let (status, list) = client.send_as(&staff, "GET", "/v1/reviews?state=upheld", None, None).await;
    assert_eq!((status, list), (StatusCode::OK, json!({ "items": [], "next": null })));
    for path in [unknown, "/v1/reviews/x"] {
        let (status, problem) = client.send_as(&staff, "GET", path, None, None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("review_unknown")), "{path}");
    }
    let (status, _) = client.send_as(&staff, "GET", "/v1/reviews?state=nonsense", None, None).await;
    assert!(status.is_client_error());
}
