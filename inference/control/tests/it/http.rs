//! The HTTP API: people see their organisation's jobs and start none.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use backlot_foundation_rpc::http::authenticate;
use backlot_foundation_time::{Clock as _, SystemClock};
use backlot_foundation_tokens::{CallerKind, Claims};
use backlot_inference_api::v1;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::lab::{Process, echo, on_every_database, submission};

struct Door<'a> {
    process: &'a Process,
    router: axum::Router,
}

impl<'a> Door<'a> {
    fn new(process: &'a Process) -> Self {
        let (router, _) = process.service.http().split_for_parts();
        let verifier = process.trust.verifier.clone();
        let router = router.layer(axum::middleware::from_fn_with_state(verifier, authenticate));
        Self { process, router }
    }

    fn person(&self, organisation: &str) -> String {
        let claims = Claims::person("inference", "someone", organisation, SystemClock.now());
        self.process.trust.signer.sign(&claims).unwrap()
    }

    /// A key of an organisation's own program: a service, and yet one organisation's.
    fn service_account(&self, organisation: &str) -> String {
        let mut claims = Claims::person("inference", "robot", organisation, SystemClock.now());
        claims.kind = CallerKind::Service;
        self.process.trust.signer.sign(&claims).unwrap()
    }

    fn system(&self) -> String {
        self.process.trust.signer.service_token("inference").unwrap()
    }

    fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path).header("idempotency-key", "k");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = match body {
            Some(body) => {
                request.header("content-type", "application/json").body(Body::from(body.to_string()))
            }
            None => request.body(Body::empty()),
        };
        self.process.run(async {
            let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
            let status = response.status();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
        })
    }
}

#[test]
fn a_person_sees_only_their_organisations_jobs() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let job = process.submit("1");
        process.try_submit(v1::SubmitRequest { tenant: "t2".to_owned(), ..submission("2") }).unwrap();
        let door = Door::new(&process);
        let (own, other) = (door.person("t1"), door.person("t2"));
        let (status, page) = door.call("GET", "/v1/jobs", &own, None);
        assert_eq!((status, page["items"].as_array().unwrap().len()), (StatusCode::OK, 1));
        assert_eq!(page["items"][0]["id"], job.id);
        let path = format!("/v1/jobs/{}", job.id);
        assert_eq!(door.call("GET", &path, &own, None).1["state"], "queued");
        assert_eq!(door.call("GET", &path, &other, None).0, StatusCode::NOT_FOUND);
        assert_eq!(door.call("POST", &format!("{path}/cancel"), &other, None).0, StatusCode::NOT_FOUND);
        assert_eq!(door.call("GET", &format!("{path}/events"), &other, None).0, StatusCode::NOT_FOUND);
        assert_eq!(door.call("GET", &path, "", None).0, StatusCode::UNAUTHORIZED);
        assert_eq!(door.call("GET", "/v1/jobs/nonsense", &own, None).0, StatusCode::NOT_FOUND);
        let fleet = door.call("GET", "/v1/fleet", &other, None).1;
        let tenants: Vec<&Value> =
            fleet["queues"].as_array().unwrap().iter().map(|queue| &queue["tenant"]).collect();
        assert_eq!(tenants, [&json!(""), &json!("t2")]);
        assert_eq!(door.call("POST", &format!("{path}/cancel"), &own, None).1["state"], "canceled");
    });
}

#[test]
fn a_system_submits_and_a_person_does_not() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let door = Door::new(&process);
        let body =
            json!({"tenant": "t1", "model": "backlot/echo", "model_version": "1", "input": {"text": "a"}});
        let (status, problem) = door.call("POST", "/v1/jobs", &door.person("t1"), Some(body.clone()));
        assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
        let (status, job) = door.call("POST", "/v1/jobs", &door.system(), Some(body.clone()));
        assert_eq!((status, &job["state"]), (StatusCode::ACCEPTED, &json!("queued")));
        assert_eq!(door.call("POST", "/v1/jobs", &door.system(), Some(body)).1["id"], job["id"]);
        let wrong = json!({"tenant": "t1", "model": "backlot/echo", "model_version": "1", "input": {}});
        let (status, problem) = door.call("POST", "/v1/jobs", &door.system(), Some(wrong));
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("job_input_invalid"))
        );
        assert_eq!(
            door.call("GET", "/v1/models", &door.person("t1"), None).1["items"][0]["name"],
            "backlot/echo"
        );
    });
}

#[test]
fn a_service_account_sees_its_organisation_and_submits_where_people_may() {
    on_every_database(|world| {
        let process = world.start_with(|config| config.people_may_submit = true);
        echo(&process);
        let foreign = process.submit("1");
        let door = Door::new(&process);
        let robot = door.service_account("t2");
        assert_eq!(door.call("GET", "/v1/jobs", &robot, None).1["items"], json!([]));
        let path = format!("/v1/jobs/{}", foreign.id);
        assert_eq!(door.call("GET", &path, &robot, None).0, StatusCode::NOT_FOUND);
        assert_eq!(door.call("GET", &format!("{path}/events"), &robot, None).0, StatusCode::NOT_FOUND);
        assert_eq!(door.call("POST", &format!("{path}/cancel"), &robot, None).0, StatusCode::NOT_FOUND);
        assert_eq!(process.job(&foreign.id).state(), v1::JobState::Queued);
        let fleet = door.call("GET", "/v1/fleet", &robot, None).1;
        assert_eq!(fleet["queues"][0]["tenant"], "", "others' queues have no name");
        // What it submits counts for its own organisation, whatever it names, and goes to no address of its own.
        let body = |output: Value| {
            json!({"tenant": "t1", "model": "backlot/echo", "model_version": "1", "input": {"text": "a"},
                "output": output})
        };
        let (status, job) = door.call("POST", "/v1/jobs", &robot, Some(body(json!({"kind": "inline"}))));
        assert_eq!((status, &job["tenant"]), (StatusCode::ACCEPTED, &json!("t2")));
        let issuer = json!({"kind": "issuer", "url": "http://127.0.0.1:1", "capability": ""});
        assert_eq!(door.call("POST", "/v1/jobs", &robot, Some(body(issuer))).0, StatusCode::FORBIDDEN);
        assert_eq!(door.call("GET", "/v1/jobs", &robot, None).1["items"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_service_account_submits_nothing_where_people_may_not() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let door = Door::new(&process);
        let body =
            json!({"tenant": "t1", "model": "backlot/echo", "model_version": "1", "input": {"text": "a"}});
        let (status, problem) = door.call("POST", "/v1/jobs", &door.service_account("t1"), Some(body));
        assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
        assert_eq!(process.count("SELECT count(*) FROM jobs"), 0);
    });
}

#[test]
fn where_people_may_submit_they_name_no_addresses() {
    on_every_database(|world| {
        let process = world.start_with(|config| config.people_may_submit = true);
        process.put_model("backlot/any", "");
        let door = Door::new(&process);
        let submit = |input: Value, output: Value| {
            let body = json!({"model": "backlot/any", "tenant": "t2", "input": input, "output": output});
            door.call("POST", "/v1/jobs", &door.person("t1"), Some(body))
        };
        let issuer = json!({"kind": "issuer", "url": "http://127.0.0.1:1", "capability": ""});
        assert_eq!(submit(json!({}), issuer).0, StatusCode::FORBIDDEN);
        let file = json!({"image": [{"$file": "http://127.0.0.1:1/secret"}]});
        assert_eq!(submit(file, json!({"kind": "inline"})).0, StatusCode::FORBIDDEN);
        let (status, job) = submit(json!({"a": 1}), json!({"kind": "inline"}));
        assert_eq!((status, &job["tenant"]), (StatusCode::ACCEPTED, &json!("t1")));
    });
}

#[test]
fn the_openapi_document_has_no_dangling_reference() {
    on_every_database(|world| {
        let process = world.start();
        let (_, document) = process.service.http().split_for_parts();
        let document = serde_json::to_value(&document).unwrap();
        let mut names = Vec::new();
        collect(&document, &mut names);
        for name in names {
            let pointer = name.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{name} points nowhere");
        }
    });
}

fn collect(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(name)) = members.get("$ref") {
                names.push(name.clone());
            }
            members.values().for_each(|value| collect(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_list_is_read_page_by_page() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let mut expected: Vec<String> = Vec::new();
        for n in 0..5 {
            // Two of them have the same time: the id decides.
            if n != 2 {
                process.wait_ms(1);
            }
            expected.push(process.submit(&format!("k{n}")).id);
        }
        let door = Door::new(&process);
        let token = door.person("t1");
        let (mut seen, mut path) = (Vec::new(), "/v1/jobs?limit=2".to_owned());
        loop {
            let page = door.call("GET", &path, &token, None).1;
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/jobs?limit=2&before={next}");
        }
        expected.sort();
        seen.sort();
        assert_eq!(seen, expected);
        let running = door.call("GET", "/v1/jobs?state=running", &token, None).1;
        assert_eq!(running["items"], json!([]));
        assert_eq!(door.call("GET", "/v1/jobs?state=nonsense", &token, None).0, StatusCode::BAD_REQUEST);
    });
}
