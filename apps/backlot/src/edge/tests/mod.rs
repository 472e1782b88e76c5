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

mod answers;
mod credentials;

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

/// Says with which credential a tracking call arrived.
#[utoipa::path(post, path = "/v1/track", responses((status = 200, body = Object)))]
async fn tracked(headers: axum::http::HeaderMap) -> Json<Value> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Json(json!({ "authorization": text("authorization"), "cookie": text("cookie") }))
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
        let tracking = OpenApiRouter::new().routes(routes!(tracked));
        local.push(LocalSystem { name: audience::DATA, http: tracking, verifier: verifier(audience::DATA) });
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
