//! The HTTP routes and the contract, through the layers that carry them in production.

use axum::Router;
use axum::body::Body;
use backlot_foundation_rpc::http::authenticate;
use backlot_foundation_testkit::Trust;
use backlot_foundation_tokens::{Claims, audience};
use backlot_infrastructure_api::v1;
use backlot_infrastructure_api::v1::authenticate_request::Credential;
use backlot_infrastructure_api::v1::identity_client::IdentityClient;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::common::{PASSWORD, Person, World, config, worlds};

/// Identity's routes behind the token check, on the world's clock.
struct Doors {
    router: Router,
    trust: Trust,
}

impl Doors {
    fn of(world: &World) -> Self {
        let trust = Trust::with_clock("edge", audience::INFRASTRUCTURE, world.clock.clone());
        let (router, _) = world.service.http().split_for_parts();
        let router = router.layer(axum::middleware::from_fn_with_state(trust.verifier.clone(), authenticate));
        Self { router, trust }
    }

    fn token(&self, person: &Person) -> String {
        let actor = &person.actor;
        let organisation = actor.organisation.map(|id| id.to_string()).unwrap_or_default();
        let now = self.trust.signer.now();
        let mut claims =
            Claims::person(audience::INFRASTRUCTURE, &actor.user.to_string(), &organisation, now);
        claims.credential = actor.credential.text();
        claims.scopes.clone_from(&actor.scopes);
        claims.staff = actor.staff;
        self.trust.signer.sign(&claims).unwrap()
    }

    /// Status, cookie and JSON body of one request.
    async fn send(
        &self,
        person: Option<&Person>,
        method: &str,
        path: &str,
        body: Value,
    ) -> (StatusCode, String, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(person) = person {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token(person)));
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let cookie = response.headers().get(header::SET_COOKIE);
        let cookie = cookie.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, cookie, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

#[tokio::test]
async fn sign_up_sign_in_me_and_sign_out() {
    for world in worlds(config()).await {
        let doors = Doors::of(&world);
        let body =
            json!({"email": "ada@example.com", "password": PASSWORD, "name": "Ada", "organisation": "Films"});
        let (status, cookie, made) = doors.send(None, "POST", "/v1/identity/sign-up", body.clone()).await;
        assert_eq!(status, StatusCode::CREATED);
        assert_eq!(made["organisation"]["name"], "Films");
        assert_eq!(made["user"]["staff"], true);
        assert!(made["project"]["id"].is_string());
        let token = cookie.strip_prefix("backlot_session=").unwrap().split(';').next().unwrap().to_owned();
        for part in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age="] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let (status, _, problem) = doors.send(None, "POST", "/v1/identity/sign-up", body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("email_taken")));

        let principal = world.service.authenticate_session(&token).await.unwrap();
        let actor = crate::common::actor(&principal);
        let person = Person { organisation: actor.organisation.unwrap(), actor, token };
        let (status, _, me) = doors.send(Some(&person), "GET", "/v1/identity/me", Value::Null).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            (&me["user"]["email"], &me["organisation"]["role"]),
            (&json!("ada@example.com"), &json!("owner"))
        );
        assert_eq!(me["projects"].as_array().unwrap().len(), 1);

        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        let (status, _, me_again) = doors.send(None, "POST", "/v1/identity/sign-in", body).await;
        assert_eq!((status, me_again), (StatusCode::OK, me));
        let (status, cookie, _) =
            doors.send(Some(&person), "POST", "/v1/identity/sign-out", Value::Null).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert!(cookie.contains("Max-Age=0"), "{cookie}");
        assert!(world.service.authenticate_session(&person.token).await.is_err());
        let (status, _, _) = doors.send(None, "POST", "/v1/identity/sign-out", Value::Null).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "nobody may sign out, too");
    }
}

#[tokio::test]
async fn every_route_but_three_wants_a_token_and_a_scope() {
    let world = worlds(config()).await.remove(0);
    let doors = Doors::of(&world);
    let mut person = world.person("ada@example.com").await;
    person.actor.scopes = vec!["assets:read".to_owned()];
    let (_, api) = world.service.http().split_for_parts();
    let api = serde_json::to_value(&api).unwrap();
    let open = ["/v1/identity/sign-up", "/v1/identity/sign-in", "/v1/identity/sign-out"];
    let mut routes = 0;
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let path = path.replace("{id}", "019298e4-7c1e-7b6a-9a55-0d2f4d3c2b1a");
            let path = path.replace("{user_id}", "019298e4-7c1e-7b6a-9a55-0d2f4d3c2b1a");
            let method = method.to_uppercase();
            routes += 1;
            if open.contains(&path.as_str()) {
                continue;
            }
            let (status, _, problem) = doors.send(None, &method, &path, json!({})).await;
            assert_eq!(
                (status, &problem["code"]),
                (StatusCode::UNAUTHORIZED, &json!("unauthenticated")),
                "{path}"
            );
            let (status, _, problem) = doors.send(Some(&person), &method, &path, json!({})).await;
            assert_eq!(
                (status, &problem["code"]),
                (StatusCode::FORBIDDEN, &json!("scope_missing")),
                "{path}"
            );
        }
    }
    assert!(routes >= 24, "{routes} routes");
    check_references(&api, &api);
}

/// Every `$ref` of the document leads somewhere.
fn check_references(document: &Value, value: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            map.values().for_each(|value| check_references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| check_references(document, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

#[tokio::test]
async fn bodies_that_lie_get_problem_documents() {
    let world = worlds(config()).await.remove(0);
    let doors = Doors::of(&world);
    let check = |body: Value| doors.send(None, "POST", "/v1/identity/sign-in", body);
    let (status, _, problem) = check(json!({"email": 1, "password": "x"})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_fields")));
    let (status, _, problem) = check(json!({"email": "x".repeat(3_000), "password": "x"})).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("/email"))
    );
    let (status, _, problem) = check(json!({"email": "x".repeat(30_000), "password": "x"})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")));
    let person = world.person("ada@example.com").await;
    let (status, _, _) = doors.send(Some(&person), "DELETE", "/v1/identity/api-keys/none", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = worlds(config()).await.remove(0);
    let doors = Doors::of(&world);
    let person = world.person("ada@example.com").await;
    let (_, _, first) = doors.send(Some(&person), "GET", "/v1/identity/audit?limit=2", Value::Null).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = format!("/v1/identity/audit?limit=200&before={}", first["next"].as_str().unwrap());
    let (_, _, rest) = doors.send(Some(&person), "GET", &next, Value::Null).await;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (3, &Value::Null));
    let (_, _, members) = doors.send(Some(&person), "GET", "/v1/identity/members?limit=1", Value::Null).await;
    assert_eq!((&members["items"][0]["role"], &members["next"]), (&json!("owner"), &Value::Null));
}

#[tokio::test]
async fn the_contract_answers_services_only() {
    for world in worlds(config()).await {
        let person = world.person("ada@example.com").await;
        let key = world.service.create_key(&person.actor, "ci", vec![], None).await.unwrap();
        let trust = Trust::with_clock("edge", audience::INFRASTRUCTURE, world.clock.clone());
        let channel =
            trust.channel(tonic::service::Routes::new(world.service.rpc()), audience::INFRASTRUCTURE);
        let mut client = IdentityClient::new(channel.clone());
        let ask = |credential| v1::AuthenticateRequest { credential: Some(credential) };
        let session = client.authenticate(ask(Credential::SessionToken(person.token.clone()))).await.unwrap();
        let session = session.into_inner();
        assert_eq!(session.user_id, person.user().to_string());
        assert_eq!(session.credential_id, person.actor.credential.text());
        let by_key =
            client.authenticate(ask(Credential::ApiKey(key.key.clone()))).await.unwrap().into_inner();
        assert_eq!(by_key.organisation_id, session.organisation_id);
        let unknown = client.authenticate(ask(Credential::ApiKey("blk_none".into()))).await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::Unauthenticated);
        let user =
            client.get_user(v1::GetUserRequest { user_id: session.user_id }).await.unwrap().into_inner();
        assert_eq!(user.display_name, "Ada");

        let create = v1::CreateApiKeyRequest { email: "ada@example.com".into(), name: "cli".into() };
        let refused = client.create_api_key(create.clone()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "the edge is not the operator");
        let admin = Trust::with_clock("admin", audience::INFRASTRUCTURE, world.clock.clone());
        let channel =
            admin.channel(tonic::service::Routes::new(world.service.rpc()), audience::INFRASTRUCTURE);
        let made = IdentityClient::new(channel).create_api_key(create).await.unwrap().into_inner();
        assert!(world.service.authenticate_key(&made.key).await.is_ok());

        let reset = v1::ResetPasswordRequest { email: "ADA@example.com".into() };
        let refused = client.reset_password(reset.clone()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "the edge is not the operator");
        let channel =
            admin.channel(tonic::service::Routes::new(world.service.rpc()), audience::INFRASTRUCTURE);
        let mut operator = IdentityClient::new(channel);
        let given = operator.reset_password(reset).await.unwrap().into_inner();
        assert_eq!(given.sessions_ended, 1);
        assert!(world.service.authenticate_session(&person.token).await.is_err(), "the old session is over");
        assert!(world.service.sign_in("ada@example.com", &given.password, None).await.is_ok());
        let unknown = v1::ResetPasswordRequest { email: "nobody@example.com".into() };
        assert_eq!(operator.reset_password(unknown).await.unwrap_err().code(), tonic::Code::NotFound);

        let as_person = Doors::of(&world);
        let mut request = tonic::Request::new(ask(Credential::ApiKey(key.key.clone())));
        let bearer = format!("Bearer {}", as_person.token(&person)).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        assert!(client.authenticate(request).await.is_err(), "a person may not ask who others are");
    }
}
