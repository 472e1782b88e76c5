//! One tenant never sees another's anything.

use backlot_foundation_time::{Clock, SystemClock};
use backlot_foundation_tokens::{Claims, audience};
use backlot_infrastructure_api::v1;
use reqwest::Method;
use tonic::{Code, Request};

use crate::world::{Person, png, read, worlds};

#[tokio::test]
async fn another_tenants_asset_is_not_there() {
    for world in worlds().await {
        let picture = png(8, 8);
        let asset = world.upload("a.png", "image/png", &picture).await.ok();
        let begun = world.begin("b.png", "image/png", picture.len()).await.ok();
        let mallory = Person::new();
        for id in [&asset["id"], &begun["asset"]["id"]] {
            let id = id.as_str().unwrap();
            for (method, path) in [
                (Method::GET, format!("/v1/assets/{id}")),
                (Method::DELETE, format!("/v1/assets/{id}")),
                (Method::POST, format!("/v1/assets/{id}/complete")),
                (Method::GET, format!("/v1/assets/{id}/content")),
                (Method::GET, format!("/v1/assets/{id}/preview")),
                (Method::GET, format!("/v1/assets/{id}/lineage")),
            ] {
                let answer = read(world.send(&mallory, method.clone(), &path, None).await).await;
                assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{method} {path}");
            }
        }
        let page = read(world.send(&mallory, Method::GET, "/v1/assets", None).await).await.ok();
        assert_eq!(page["items"].as_array().unwrap().len(), 0);
        assert_eq!(world.get("/v1/assets/nonsense").await.code(), "not_found");
        assert_eq!(
            world.get(&format!("/v1/assets/{}", asset["id"].as_str().unwrap())).await.ok()["state"],
            "ready"
        );
    }
}

#[tokio::test]
async fn a_limited_key_does_only_what_it_is_for() {
    let world = crate::world::folder_world().await;
    let mut claims = Claims::person(
        audience::INFRASTRUCTURE,
        &world.alice.user.to_string(),
        &world.alice.organisation.to_string(),
        SystemClock.now(),
    );
    claims.scopes = vec!["assets:read".to_owned()];
    let token = world.trust.signer.sign(&claims).unwrap();
    let url = format!("{}/v1/assets", world.base);
    let listed = world.http.get(&url).bearer_auth(&token).send().await.unwrap();
    assert!(listed.status().is_success());
    let body = serde_json::json!({ "name": "a.png", "size_bytes": 5 });
    claims.scopes = vec!["assets:write".to_owned()];
    let writer = world.trust.signer.sign(&claims).unwrap();
    assert!(world.http.get(&url).bearer_auth(&writer).send().await.unwrap().status().is_success());
    let created = read(world.http.post(&url).bearer_auth(&token).json(&body).send().await.unwrap()).await;
    assert_eq!(created.code(), "scope_missing");
}

#[tokio::test]
async fn the_contract_is_for_systems_and_for_the_organisation_of_their_token() {
    for world in worlds().await {
        let asset = world.upload("a.png", "image/png", &png(8, 8)).await.ok();
        let id = asset["id"].as_str().unwrap().to_owned();
        let organisation = world.alice.organisation.to_string();
        let stranger = Person::new().organisation.to_string();
        let ask = |organisation: &str| v1::GetAssetRequest {
            asset_id: id.clone(),
            organisation_id: organisation.to_owned(),
        };
        let mut any = world.rpc();
        assert_eq!(any.get_asset(ask(&organisation)).await.unwrap().into_inner().id, id);
        assert_eq!(any.get_asset(ask(&stranger)).await.unwrap_err().code(), Code::NotFound);

        let with_claims = |claims: Claims| {
            let token = world.trust.signer.sign(&claims).unwrap();
            let mut request = Request::new(ask(&organisation));
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            request
        };
        let now = SystemClock.now();
        let person = Claims::person(audience::INFRASTRUCTURE, "u", &organisation, now);
        assert_eq!(any.get_asset(with_claims(person)).await.unwrap_err().code(), Code::PermissionDenied);
        let elsewhere =
            Claims { org: stranger, ..Claims::service(audience::INFRASTRUCTURE, "business", now) };
        assert_eq!(any.get_asset(with_claims(elsewhere)).await.unwrap_err().code(), Code::PermissionDenied);
        let here = Claims {
            org: organisation.clone(),
            ..Claims::service(audience::INFRASTRUCTURE, "business", now)
        };
        assert!(any.get_asset(with_claims(here)).await.is_ok());
    }
}
