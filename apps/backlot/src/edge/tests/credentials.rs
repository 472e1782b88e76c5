//! Who is let through, as whom, and for how long.

use super::*;

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
async fn a_tracking_call_keeps_its_write_key_and_nothing_else_from_any_origin() {
    let world = World::new(Shape::Together).await;
    let ada = world.person("ada@example.com").await;
    // As Segment's libraries send it: the write key as the user of Basic, without a password ("web:").
    let basic = ("authorization", "Basic d2ViOg==");
    let headers = [
        basic,
        ("host", "127.0.0.1:1"),
        ("origin", "https://shop.example"),
        ("cookie", ada.cookie.as_str()),
        ("content-type", "application/json"),
    ];
    let (status, seen) = world.json(request(Method::POST, "/v1/track", &headers, "{}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(seen, json!({ "authorization": "Basic d2ViOg==", "cookie": null }));
    let key = world.identity.create_key(&ada.actor, "ci", vec![], None).await.unwrap().key;
    let bearer = [("authorization", format!("Bearer {key}"))];
    let bearer = bearer.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (_, seen) = world.json(request(Method::POST, "/v1/track", &bearer, "{}")).await;
    assert_eq!(seen["authorization"], Value::Null, "a key of ours goes to no system");
    let (_, seen) = world.json(look("/v1/tools/seen", &[basic])).await;
    assert_eq!(seen["sub"], Value::Null, "nor is a write key a credential elsewhere");
}
