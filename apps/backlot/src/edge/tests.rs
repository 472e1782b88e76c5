//! The edge over a real identity, beside a small system of the test's own: in process and apart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Json, Router};
use backlot_foundation_events::EventsService;
use backlot_foundation_rpc::http::Caller;
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::SystemClock;
use backlot_foundation_tokens::audience;
use backlot_infrastructure_identity::{
    Actor, Deps, Migrator, PasswordCost, Principal, RolesAlone, Service, SignUp,
};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tonic::service::Routes;
use tower::ServiceExt as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::*;

const PASSWORD: &str = "a quiet evening walk";

/// Says what a system sees of a request.
#[utoipa::path(get, path = "/v1/tools/seen", responses((status = 200, body = Object)))]
async fn seen(
    headers: axum::http::HeaderMap,
    caller: Option<axum::Extension<backlot_foundation_tokens::Claims>>,
) -> Json<Value> {
    let claims = caller.map(|claims| claims.0);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Json(json!({
        "sub": claims.as_ref().map(|claims| claims.sub.clone()),
        "org": claims.as_ref().map(|claims| claims.org.clone()),
        "aud": claims.as_ref().map(|claims| claims.aud.clone()),
        "credential": claims.as_ref().map(|claims| claims.credential.clone()),
        "cookie": text("cookie"),
        "address": text("x-backlot-client-address"),
    }))
}

/// Sends back the length of what it got.
#[utoipa::path(post, path = "/v1/tools/length", request_body = String, responses((status = 200, body = Object)))]
async fn length(_caller: Caller, body: Bytes) -> String {
    body.len().to_string()
}

/// A stream of events that never ends by itself.
#[utoipa::path(get, path = "/v1/runs/stream", responses((status = 200, body = Object)))]
async fn stream(_caller: Caller) -> impl IntoResponse {
    let events = futures::stream::iter(["data: one\n\n"]).chain(futures::stream::pending());
    let body = Body::from_stream(events.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, "text/event-stream")], body)
}

/// Fails as no handler should.
#[utoipa::path(get, path = "/v1/runs/panic", responses((status = 200, body = Object)))]
async fn panics() -> String {
    panic!("on purpose")
}

fn business() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(seen))
        .routes(routes!(length))
        .routes(routes!(stream))
        .routes(routes!(panics))
}

/// An edge before a real identity and the small system.
struct World {
    identity: Service,
    router: Router,
    view: AuthView,
    tasks: Tasks,
    /// Calls of infrastructure's contract so far.
    calls: Arc<AtomicUsize>,
    _database: TestDb,
}

/// How the world is put together.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// All in process.
    Together,
    /// The small system behind a socket.
    Apart,
    /// In process, and identity's events cannot be followed.
    Deaf,
    /// In process, and identity does not answer.
    Silent,
}

impl World {
    async fn new(shape: Shape) -> Self {
        let database = TestDb::sqlite("infrastructure").await;
        database.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        database.db.migrate::<Migrator>().await.unwrap();
        let clock = SystemClock::shared();
        let deps = Deps { observer: Arc::new(RolesAlone), authority: Arc::new(RolesAlone) };
        let config = backlot_infrastructure_identity::Config {
            password_cost: PasswordCost { memory_kib: 64, passes: 1, concurrent_max: 4 },
            ..Default::default()
        };
        let identity = Service::new(database.db.clone(), deps, config, clock.clone()).unwrap();
        let key = backlot_foundation_tokens::IssuerKey::generate();
        let signer = Arc::new(Signer::new("edge", &key, clock.clone()));
        let verifier = |name: &str| {
            let issuer = backlot_foundation_tokens::TrustedIssuer {
                name: "edge".into(),
                public_key: key.public(),
                kinds: vec![
                    backlot_foundation_tokens::CallerKind::Person,
                    backlot_foundation_tokens::CallerKind::Service,
                ],
                namespace: "studio".into(),
            };
            Arc::new(Verifier::new(name, vec![issuer], clock.clone()))
        };
        let schemas = backlot_infrastructure_api::events::schemas();
        let events = EventsService::new(database.db.clone(), clock.clone(), schemas);
        let routes = match shape {
            Shape::Together | Shape::Apart => Routes::new(identity.rpc()).add_service(events.server()),
            Shape::Deaf => Routes::new(identity.rpc()),
            Shape::Silent => Routes::default(),
        };
        let server = backlot_foundation_rpc::Server::new(verifier(audience::INFRASTRUCTURE));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let counter = axum::middleware::map_request(move |request: Request<Body>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { request }
        });
        let infrastructure = match shape {
            Shape::Silent => Channel::remote("http://127.0.0.1:9").unwrap(),
            _ => Channel::local(server.layer(routes).layer(counter)),
        };
        let infrastructure = infrastructure.with_signer(signer.clone(), audience::INFRASTRUCTURE);
        let mut config = Config { body_bytes_max: 100_000, ..Config::default() };
        let mut local = vec![LocalSystem {
            name: audience::INFRASTRUCTURE,
            http: identity.http(),
            verifier: verifier(audience::INFRASTRUCTURE),
        }];
        let tasks = Tasks::new();
        if shape == Shape::Apart {
            config.systems.business = serve_apart(verifier(audience::BUSINESS), &tasks).await;
        } else {
            local.push(LocalSystem {
                name: audience::BUSINESS,
                http: business(),
                verifier: verifier(audience::BUSINESS),
            });
        }
        let extra = Router::new().route("/healthz", get(|| async { "alive" }));
        let public_url = "http://studio.test".to_owned();
        let parts = Parts { local, infrastructure, signer, public_url, extra };
        let (router, view) = Edge::build(&config, parts, &tasks).unwrap();
        let world = Self { identity, router, view, tasks, calls, _database: database };
        if matches!(shape, Shape::Together | Shape::Apart) {
            world.wait_for_heartbeat().await;
        }
        world
    }

    /// The view answers from memory only after identity's first heartbeat.
    async fn wait_for_heartbeat(&self) {
        while !self.view.is_fresh() {
            tokio::task::yield_now().await;
        }
    }

    async fn person(&self, email: &str) -> Person {
        let input =
            SignUp { email: email.into(), password: PASSWORD.into(), name: "Ada".into(), organisation: None };
        let made = self.identity.sign_up(input, None).await.unwrap();
        let principal = self.identity.authenticate_session(&made.session.token).await.unwrap();
        Person { cookie: format!("backlot_session={}", made.session.token), actor: actor(&principal) }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, axum::http::HeaderMap, Vec<u8>) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn json(&self, request: Request<Body>) -> (StatusCode, Value) {
        let (status, _, body) = self.send(request).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Waits until a request of this kind is refused, and says how long that took.
    async fn until_refused(&self, request: impl Fn() -> Request<Body>) -> Duration {
        let began = Instant::now();
        while self.json(request()).await.0 != StatusCode::UNAUTHORIZED {
            assert!(began.elapsed() < Duration::from_secs(10), "never refused");
            tokio::task::yield_now().await;
        }
        began.elapsed()
    }
}

struct Person {
    cookie: String,
    actor: Actor,
}

fn actor(principal: &Principal) -> Actor {
    Actor {
        user: principal.user,
        organisation: principal.organisation,
        credential: principal.credential,
        scopes: principal.scopes.clone(),
        staff: principal.staff,
    }
}

async fn serve_apart(verifier: Arc<Verifier>, tasks: &Tasks) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (routes, document) = business().split_for_parts();
    let layer = from_fn_with_state(verifier, backlot_foundation_rpc::http::authenticate);
    let document = serde_json::to_value(&document).unwrap();
    let routes = routes.layer(layer).route("/openapi.json", get(move || async move { Json(document) }));
    let stop = tasks.stop_signal();
    tasks.spawn_once(async move {
        let served = axum::serve(listener, routes);
        stop.unless_stopped(served.into_future()).await;
    });
    address
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(axum::extract::ConnectInfo(SocketAddr::from(([10, 0, 0, 7], 4_000))));
    request
}

fn look(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    request(Method::GET, path, headers, "")
}

#[tokio::test]
async fn a_credential_becomes_a_token_for_one_system_and_nothing_else_passes() {
    for shape in [Shape::Together, Shape::Apart, Shape::Deaf] {
        let world = World::new(shape).await;
        let ada = world.person("ada@example.com").await;
        let key = world.identity.create_key(&ada.actor, "ci", vec![], None).await.unwrap().key;
        let bearer = format!("Bearer {key}");
        let organisation = ada.actor.organisation.unwrap().to_string();
        for headers in [("cookie", ada.cookie.as_str()), ("authorization", bearer.as_str())] {
            let lies = ("x-backlot-client-address", "6.6.6.6");
            let (status, seen) = world.json(look("/v1/tools/seen", &[headers, lies])).await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(seen["sub"], ada.actor.user.to_string());
            assert_eq!(seen["org"], organisation);
            assert_eq!(seen["aud"], "business");
            assert_eq!(seen["cookie"], Value::Null);
            assert_eq!(seen["address"], "10.0.0.7");
        }
        let (_, nobody) = world.json(look("/v1/tools/seen", &[])).await;
        assert_eq!(nobody["sub"], Value::Null);
        let (_, forged) =
            world.json(look("/v1/tools/seen", &[("authorization", "Bearer eyJh.e30.sig")])).await;
        assert_eq!(forged["sub"], Value::Null);
        let (status, _) = world.json(look("/v1/tools/seen", &[("cookie", "backlot_session=nonsense")])).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        world.tasks.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_token_of_ours_is_no_credential_from_outside() {
    let world = World::new(Shape::Together).await;
    let trust = Trust::new("edge", audience::BUSINESS);
    let token = format!("Bearer {}", trust.signer.service_token(audience::BUSINESS).unwrap());
    let (_, seen) = world.json(look("/v1/tools/seen", &[("authorization", &token)])).await;
    assert_eq!(seen["sub"], Value::Null);
}

#[tokio::test]
async fn a_revocation_bites_within_a_second() {
    for shape in [Shape::Together, Shape::Apart, Shape::Deaf] {
        let world = World::new(shape).await;
        let ada = world.person("ada@example.com").await;
        let made = world.identity.create_key(&ada.actor, "ci", vec![], None).await.unwrap();
        let bearer = format!("Bearer {}", made.key);
        let by_key = || look("/v1/tools/seen", &[("authorization", &bearer)]);
        let by_cookie = || look("/v1/tools/seen", &[("cookie", &ada.cookie)]);
        for _ in 0..3 {
            assert_eq!(world.json(by_key()).await.0, StatusCode::OK);
            assert_eq!(world.json(by_cookie()).await.0, StatusCode::OK);
        }
        // Behind the edge's back, as another edge would have done it.
        world.identity.revoke_key(&ada.actor, made.listed.id).await.unwrap();
        assert!(world.until_refused(by_key).await < Duration::from_secs(1));
        assert_eq!(world.json(by_key()).await.1["code"], "key_revoked");
        world.identity.end_all_sessions(&ada.actor).await.unwrap();
        assert!(world.until_refused(by_cookie).await < Duration::from_secs(1));
        assert_eq!(world.json(by_cookie()).await.1["code"], "session_ended");
        world.tasks.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_known_credential_costs_no_call_while_heartbeats_come() {
    let world = World::new(Shape::Together).await;
    let ada = world.person("ada@example.com").await;
    let by_cookie = || look("/v1/tools/seen", &[("cookie", &ada.cookie)]);
    // A busy machine may let a heartbeat be late, and then asking is right: any quiet stretch will do.
    for _ in 0..100 {
        world.wait_for_heartbeat().await;
        assert_eq!(world.json(by_cookie()).await.0, StatusCode::OK);
        let before = world.calls.load(Ordering::SeqCst);
        for _ in 0..20 {
            assert_eq!(world.json(by_cookie()).await.0, StatusCode::OK);
        }
        if world.calls.load(Ordering::SeqCst) == before {
            return;
        }
    }
    panic!("every request asked identity");
}

#[tokio::test]
async fn a_suspended_member_and_a_removed_one_are_refused_within_a_second() {
    let world = World::new(Shape::Together).await;
    let staff = world.person("staff@example.com").await;
    let ada = world.person("ada@example.com").await;
    let key = world.identity.create_key(&ada.actor, "ci", vec![], None).await.unwrap();
    let bearer = format!("Bearer {}", key.key);
    let by_key = || look("/v1/tools/seen", &[("authorization", &bearer)]);
    assert_eq!(world.json(by_key()).await.0, StatusCode::OK);
    world.identity.set_suspended(&staff.actor, ada.actor.user, true).await.unwrap();
    let began = Instant::now();
    while world.json(by_key()).await.1["code"] != "account_suspended" {
        assert!(began.elapsed() < Duration::from_secs(1), "too late");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_expired_key_has_its_own_code() {
    let world = World::new(Shape::Together).await;
    let ada = world.person("ada@example.com").await;
    let key = world.identity.create_key(&ada.actor, "short", vec![], Some(1)).await.unwrap().key;
    let bearer = format!("Bearer {key}");
    let by_key = || look("/v1/tools/seen", &[("authorization", &bearer)]);
    assert_eq!(world.json(by_key()).await.0, StatusCode::OK);
    assert!(world.until_refused(by_key).await < Duration::from_secs(3));
    assert_eq!(world.json(by_key()).await.1["code"], "key_expired");
}

#[tokio::test]
async fn where_identity_is_silent_everybody_is_denied() {
    let world = World::new(Shape::Silent).await;
    let (status, problem) = world.json(look("/v1/tools/seen", &[("cookie", "backlot_session=x")])).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable")));
    assert_eq!(world.json(look("/v1/tools/seen", &[])).await.0, StatusCode::OK, "nobody needs no check");
}

#[tokio::test]
async fn changes_from_other_sites_are_refused_and_old_cookies_are_no_obstacle() {
    let world = World::new(Shape::Together).await;
    let ada = world.person("ada@example.com").await;
    let send = |path: &str, origin: &str, cookie: &str, body: &Value| {
        let headers = [
            ("host", "127.0.0.1:1"),
            ("origin", origin),
            ("cookie", cookie),
            ("content-type", "application/json"),
        ];
        world.json(request(Method::POST, path, &headers, &body.to_string()))
    };
    let project = json!({ "name": "P" });
    let (status, problem) =
        send("/v1/identity/projects", "https://evil.example", &ada.cookie, &project).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("origin_refused")));
    for origin in ["http://127.0.0.1:1", "http://studio.test"] {
        assert_eq!(send("/v1/identity/projects", origin, &ada.cookie, &project).await.0, StatusCode::CREATED);
    }
    let sign_in = json!({ "email": "ada@example.com", "password": PASSWORD });
    let old = "backlot_session=old";
    assert_eq!(send("/v1/identity/sign-in", "http://127.0.0.1:1", old, &sign_in).await.0, StatusCode::OK);
    let forged = send("/v1/identity/sign-in", "https://evil.example", "", &sign_in).await;
    assert_eq!(forged.1["code"], "origin_refused", "nor is anybody signed in from elsewhere");
}

#[tokio::test]
async fn what_this_edge_changed_shows_at_the_next_request() {
    let world = World::new(Shape::Together).await;
    let owner = world.person("owner@example.com").await;
    let ada = world.person("ada@example.com").await;
    let role = backlot_infrastructure_identity::Role::Member;
    let invitation = world.identity.invite(&owner.actor, "ada@example.com", role).await.unwrap();
    let post = |path: &str, body: Value| {
        let headers = [("cookie", ada.cookie.as_str()), ("content-type", "application/json")];
        world.json(request(Method::POST, path, &headers, &body.to_string()))
    };
    let at =
        || async { world.json(look("/v1/tools/seen", &[("cookie", &ada.cookie)])).await.1["org"].clone() };
    assert_eq!(at().await, ada.actor.organisation.unwrap().to_string());
    assert_eq!(
        post("/v1/identity/invitations/accept", json!({ "token": invitation.token })).await.0,
        StatusCode::OK
    );
    let there = owner.actor.organisation.unwrap().to_string();
    assert_eq!(post("/v1/identity/switch", json!({ "organisation_id": there })).await.0, StatusCode::OK);
    assert_eq!(at().await, there);
    assert_eq!(post("/v1/identity/sign-out", json!({})).await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        world.json(look("/v1/tools/seen", &[("cookie", &ada.cookie)])).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_key_reaches_what_its_scopes_cover() {
    let world = World::new(Shape::Together).await;
    let ada = world.person("ada@example.com").await;
    let scopes = vec!["tools:read".to_owned()];
    let key = world.identity.create_key(&ada.actor, "ci", scopes, None).await.unwrap().key;
    let bearer = format!("Bearer {key}");
    let auth = ("authorization", bearer.as_str());
    assert_eq!(world.json(look("/v1/tools/seen", &[auth])).await.0, StatusCode::OK);
    let (status, problem) = world.json(request(Method::POST, "/v1/tools/length", &[auth], "x")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("scope_missing")));
    assert_eq!(problem["scope"], "tools:write");
    assert_eq!(world.json(look("/v1/identity/me", &[auth])).await.1["scope"], "identity:read");
}

#[tokio::test]
async fn a_body_has_a_limit_whether_it_says_its_length_or_not() {
    for shape in [Shape::Together, Shape::Apart] {
        let world = World::new(shape).await;
        let ada = world.person("ada@example.com").await;
        let post =
            |body: String| request(Method::POST, "/v1/tools/length", &[("cookie", &ada.cookie)], &body);
        let (_, _, body) = world.send(post("x".repeat(100_000))).await;
        assert_eq!(body, b"100000");
        let mut long = post("x".repeat(100_001));
        long.headers_mut().insert(header::CONTENT_LENGTH, 100_001.into());
        let (status, problem) = world.json(long).await;
        assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")));
        let chunks = futures::stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 10_000])));
        let unannounced = post(String::new()).map(|_| Body::from_stream(chunks));
        let (status, problem) = world.json(unannounced).await;
        assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")));
        world.tasks.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_stream_flows_at_once_and_ends_with_its_session() {
    for shape in [Shape::Together, Shape::Apart] {
        let world = World::new(shape).await;
        let ada = world.person("ada@example.com").await;
        let request = look("/v1/runs/stream", &[("cookie", &ada.cookie)]);
        let mut body = world.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "data: one\n\n");
        // Somebody else's change is no reason to end it.
        world.person("eve@example.com").await;
        world.identity.end_all_sessions(&ada.actor).await.unwrap();
        let end = tokio::time::timeout(Duration::from_secs(1), body.next()).await;
        assert!(end.unwrap().is_none(), "the stream ends");
        world.tasks.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_system_that_is_gone_is_a_problem_that_says_so() {
    let world = World::new(Shape::Apart).await;
    let ada = world.person("ada@example.com").await;
    assert_eq!(world.json(look("/v1/tools/seen", &[("cookie", &ada.cookie)])).await.0, StatusCode::OK);
    world.tasks.shutdown(Duration::from_secs(1)).await;
    let (status, problem) = world.json(look("/v1/tools/seen", &[])).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable")));
    assert_eq!(world.json(look("/openapi.json", &[])).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn one_document_describes_all_systems() {
    for shape in [Shape::Together, Shape::Apart] {
        let world = World::new(shape).await;
        let (status, document) = world.json(look("/openapi.json", &[])).await;
        assert_eq!((status, &document["openapi"]), (StatusCode::OK, &json!("3.1.0")));
        for path in ["/v1/identity/me", "/v1/tools/seen", "/v1/runs/stream"] {
            assert!(document["paths"][path]["get"].is_object(), "{path}");
        }
        assert!(document["components"]["schemas"]["Problem"].is_object());
        world.tasks.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn pages_carry_their_headers_and_the_app_answers_every_address_of_its_own() {
    let world = World::new(Shape::Together).await;
    let (status, headers, page) = world.send(look("/", &[])).await;
    assert_eq!(status, StatusCode::OK);
    assert!(String::from_utf8(page.clone()).unwrap().contains("<title>"));
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let (status, _, deep) = world.send(look("/runs/0192/timeline", &[])).await;
    assert_eq!((status, deep), (StatusCode::OK, page));
    let etag = headers[header::ETAG].to_str().unwrap().to_owned();
    let (status, _, body) = world.send(look("/", &[("if-none-match", &etag)])).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(world.send(look("/missing.png", &[])).await.0, StatusCode::NOT_FOUND);
    for path in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "/assets/../../package.json"] {
        assert_ne!(world.send(look(path, &[])).await.0, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert!(
            !String::from_utf8_lossy(&world.send(look(path, &[])).await.2).contains("[package]"),
            "{path}"
        );
    }
    let (status, problem) = world.json(look("/v1/nothing", &[])).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let (_, headers, _) = world.send(look("/v1/nothing", &[])).await;
    assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("sandbox"));
    let (status, problem) = world.json(request(Method::DELETE, "/v1/identity/sign-in", &[], "")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("method_not_allowed")));
    assert_eq!(world.send(look("/healthz", &[])).await.2, b"alive");
}

#[tokio::test]
async fn a_code_has_a_page_and_a_panic_is_a_problem() {
    let world = World::new(Shape::Together).await;
    let (status, headers, page) = world.send(look("/docs/errors/session_ended", &[])).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    assert!(String::from_utf8(page).unwrap().contains("<h1>session_ended</h1>"));
    for unknown in ["/docs/errors/nothing", "/docs/errors/..%2f..%2fREADME", "/docs/errors/README"] {
        assert_eq!(world.send(look(unknown, &[])).await.0, StatusCode::NOT_FOUND, "{unknown}");
    }
    let (status, problem) = world.json(look("/v1/runs/panic", &[])).await;
    assert_eq!((status, &problem["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("internal")));
}

#[tokio::test]
async fn every_code_has_its_page() {
    let world = World::new(Shape::Together).await;
    let codes = backlot_infrastructure_api::codes::all().chain(codes::ALL.iter().copied());
    for code in codes {
        let (status, _, _) = world.send(look(&format!("/docs/errors/{}", code.name), &[])).await;
        assert_eq!(status, StatusCode::OK, "{} has no page", code.name);
    }
}

#[test]
fn a_wrong_address_or_origin_is_named() {
    assert!(check_origin("https://media.example.com").is_ok());
    assert!(check_origin("https://media.example.com/bucket").is_err());
    assert!(check_origin("*").is_err());
}
