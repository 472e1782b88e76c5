//! What comes back: limits, streams, documents, pages.

use super::*;

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

/// Opens a stream and reads its first event.
async fn opened(world: &World, cookie: &str) -> axum::body::BodyDataStream {
    let request = look("/v1/runs/stream", &[("cookie", cookie)]);
    let mut body = world.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: one\n\n");
    body
}

async fn ends_within_a_second(body: &mut axum::body::BodyDataStream) -> bool {
    matches!(tokio::time::timeout(Duration::from_secs(1), body.next()).await, Ok(None))
}

#[tokio::test]
async fn a_stream_ends_when_its_person_leaves_the_organisation_by_switch_or_removal() {
    use backlot_infrastructure_identity::Role;
    for shape in [Shape::Together, Shape::Apart, Shape::Deaf] {
        let world = World::new(shape).await;
        let owner = world.person("owner@example.com").await;
        let ada = world.person("ada@example.com").await;
        let there = owner.actor.organisation.unwrap();
        let invitation = world.identity.invite(&owner.actor, "ada@example.com", Role::Member).await.unwrap();
        world.identity.accept_invitation(&ada.actor, &invitation.token).await.unwrap();
        // Joining may have moved the session there already; the streams below are of one organisation each.
        world.identity.switch(&ada.actor, ada.actor.organisation.unwrap()).await.unwrap();
        let mut at_home = opened(&world, &ada.cookie).await;
        world.identity.switch(&ada.actor, there).await.unwrap();
        assert!(ends_within_a_second(&mut at_home).await, "switched away");
        let mut as_member = opened(&world, &ada.cookie).await;
        world.identity.remove_member(&owner.actor, ada.actor.user).await.unwrap();
        assert!(ends_within_a_second(&mut as_member).await, "removed");
        world.tasks.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_key_although_an_expiry_makes_no_event() {
    let world = World::new(Shape::Together).await;
    let ada = world.person("ada@example.com").await;
    let key = world.identity.create_key(&ada.actor, "short", vec![], Some(1)).await.unwrap().key;
    let request = look("/v1/runs/stream", &[("authorization", &format!("Bearer {key}"))]);
    let mut body = world.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: one\n\n");
    let end = tokio::time::timeout(Duration::from_secs(3), body.next()).await;
    assert!(end.unwrap().is_none(), "the stream ends with the key");
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
