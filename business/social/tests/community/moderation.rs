//! Reports, decisions, and what they do.

use http::StatusCode;
use serde_json::json;

use crate::world::{Person, Stage};

async fn report(stage: &Stage, person: &Person, body: serde_json::Value) -> String {
    let (status, answer) = stage.send(person, "POST", "/v1/reports", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["case_id"].as_str().unwrap().to_owned()
}

async fn decide(stage: &Stage, staff: &Person, case: &str, decision: &str) -> serde_json::Value {
    let body = json!({ "decision": decision, "reason": format!("because: {decision}") });
    let (status, answer) = stage.send(staff, "POST", &format!("/v1/moderation/{case}"), Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

#[tokio::test]
async fn a_reported_post_is_taken_down_and_brought_back() {
    for stage in Stage::all().await {
        let (ada, bob, eve) =
            (stage.person("Ada").await, stage.person("Bob").await, stage.person("Eve").await);
        let staff = Person { staff: true, ..stage.person("Sam").await };
        let post = stage.post(&ada, "Offence", &["bad"]).await;
        let case =
            report(&stage, &bob, json!({ "post_id": post, "reason": "hateful", "text": "look" })).await;
        assert_eq!(report(&stage, &bob, json!({ "post_id": post, "reason": "spam" })).await, case);
        assert_eq!(report(&stage, &eve, json!({ "post_id": post, "reason": "spam" })).await, case);
        let queue = stage.get(&staff, "/v1/moderation/queue").await;
        let item = &queue["items"][0];
        assert_eq!((&item["subject"], &item["report_count"]), (&json!("post"), &json!(2)));
        assert_eq!(
            (&item["post"]["title"], &item["author"]["handle"]),
            (&json!("Offence"), &json!(ada.handle))
        );
        let words = item.to_string();
        assert!(
            !words.contains(&bob.handle) && !words.contains(&bob.user.to_string()),
            "reporters stay unnamed"
        );
        assert!(words.contains("look"));

        decide(&stage, &staff, &case, "remove").await;
        assert_eq!(stage.get(&staff, "/v1/moderation/queue").await["items"], json!([]));
        assert_eq!(
            stage.send(&bob, "GET", &format!("/v1/posts/{post}"), None).await.0,
            StatusCode::NOT_FOUND
        );
        let own = stage.get(&ada, &format!("/v1/posts/{post}")).await;
        assert_eq!((&own["state"], &own["removed_because"]), (&json!("removed"), &json!("moderation")));
        let heard = stage.get(&ada, "/v1/notifications").await;
        assert_eq!(
            (&heard["items"][0]["kind"], &heard["items"][0]["actor"]),
            (&json!("removed"), &json!(null))
        );
        assert_eq!(heard["items"][0]["text"], "because: remove");
        stage.sweep().await;
        assert!(stage.infra.0.lock().grants.values().all(|(_, public)| !public));

        decide(&stage, &staff, &case, "keep").await;
        stage.sweep().await;
        assert_eq!(stage.get(&bob, &format!("/v1/posts/{post}")).await["state"], "public");
        assert_eq!(stage.titles(&bob, "tag=bad").await, ["Offence"]);
        assert!(stage.infra.0.lock().grants.values().any(|(_, public)| *public));
        let audit = stage.get(&staff, "/v1/moderation/audit").await;
        let actions: Vec<_> =
            audit["items"].as_array().unwrap().iter().map(|one| one["action"].clone()).collect();
        assert_eq!(actions, [json!("moderation.keep"), json!("moderation.remove")]);
        assert_eq!(audit["items"][1]["detail"]["reason"], "because: remove");

        // A new report opens the case again, without what was answered.
        assert_eq!(report(&stage, &bob, json!({ "post_id": post, "reason": "other" })).await, case);
        let queue = stage.get(&staff, "/v1/moderation/queue").await;
        assert_eq!(
            (&queue["items"][0]["report_count"], &queue["items"][0]["decision"]),
            (&json!(1), &json!("keep"))
        );
    }
}

#[tokio::test]
async fn a_ban_hides_everything_and_its_end_shows_it_again() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let staff = Person { staff: true, ..stage.person("Sam").await };
        let (one, other) = (stage.post(&ada, "one", &[]).await, stage.post(&bob, "other", &[]).await);
        stage.post(&ada, "two", &[]).await;
        let comments = format!("/v1/posts/{other}/comments");
        stage.send(&ada, "POST", &comments, Some(json!({ "text": "spam" }))).await;
        let case = report(&stage, &bob, json!({ "post_id": one, "reason": "spam" })).await;
        decide(&stage, &staff, &case, "ban").await;
        assert_eq!(stage.titles(&bob, "").await, ["other"]);
        assert_eq!(stage.get(&bob, &comments).await["items"], json!([]));
        assert_eq!(
            stage.send(&bob, "GET", &format!("/v1/profiles/{}", ada.handle), None).await.0,
            StatusCode::NOT_FOUND
        );
        for (method, path, body) in [
            ("PUT", format!("/v1/posts/{other}/like"), None),
            ("POST", comments.clone(), Some(json!({ "text": "more" }))),
            (
                "POST",
                "/v1/posts".to_owned(),
                Some(json!({ "asset_id": stage.picture(&ada), "title": "three" })),
            ),
            ("POST", "/v1/reports".to_owned(), Some(json!({ "post_id": other, "reason": "spam" }))),
            ("PUT", "/v1/profiles/me".to_owned(), Some(json!({ "handle": "new_name", "name": "N" }))),
        ] {
            let (status, problem) = stage.send(&ada, method, &path, body).await;
            assert_eq!(
                (status, &problem["code"]),
                (StatusCode::FORBIDDEN, &json!("community_banned")),
                "{path}"
            );
        }
        stage.get(&ada, "/v1/posts").await;
        decide(&stage, &staff, &case, "keep").await;
        assert_eq!(stage.titles(&bob, "").await, ["two", "other", "one"]);
        assert_eq!(stage.get(&bob, &comments).await["items"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn comments_and_profiles_are_reported_too() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let staff = Person { staff: true, ..stage.person("Sam").await };
        let post = stage.post(&ada, "p", &[]).await;
        let comments = format!("/v1/posts/{post}/comments");
        let (_, comment) = stage.send(&bob, "POST", &comments, Some(json!({ "text": "rude" }))).await;
        let case = report(&stage, &ada, json!({ "comment_id": comment["id"], "reason": "hateful" })).await;
        let view = decide(&stage, &staff, &case, "remove").await;
        assert_eq!((&view["comment"]["text"], &view["post_id"]), (&json!("rude"), &json!(post)));
        assert_eq!(stage.get(&ada, &comments).await["items"], json!([]));
        assert_eq!(stage.get(&ada, &format!("/v1/posts/{post}")).await["comments"], 0);
        decide(&stage, &staff, &case, "keep").await;
        decide(&stage, &staff, &case, "keep").await;
        assert_eq!(stage.get(&ada, &format!("/v1/posts/{post}")).await["comments"], 1);

        let name = json!({ "handle": bob.handle, "name": "Rude words", "bio": "more of them" });
        stage.send(&bob, "PUT", "/v1/profiles/me", Some(name)).await;
        let case = report(&stage, &ada, json!({ "handle": bob.handle, "reason": "hateful" })).await;
        decide(&stage, &staff, &case, "remove").await;
        let seen = stage.get(&ada, &format!("/v1/profiles/{}", bob.handle)).await;
        assert_eq!((&seen["name"], &seen["bio"]), (&json!(bob.handle), &json!("")));
    }
}

#[tokio::test]
async fn only_staff_decide_and_nonsense_is_a_clear_problem() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let staff = Person { staff: true, ..stage.person("Sam").await };
        let post = stage.post(&ada, "p", &[]).await;
        let case = report(&stage, &bob, json!({ "post_id": post, "reason": "spam" })).await;
        for (method, path, body) in [
            ("GET", "/v1/moderation/queue".to_owned(), None),
            ("GET", "/v1/moderation/audit".to_owned(), None),
            ("POST", format!("/v1/moderation/{case}"), Some(json!({ "decision": "keep" }))),
        ] {
            assert_eq!(stage.send(&bob, method, &path, body).await.0, StatusCode::FORBIDDEN, "{path}");
        }
        for (body, code) in [
            (json!({ "reason": "spam" }), "invalid_fields"),
            (json!({ "post_id": post, "handle": ada.handle, "reason": "spam" }), "invalid_fields"),
            (json!({ "post_id": post, "reason": "boring" }), "invalid_fields"),
            (json!({ "post_id": "x", "reason": "spam" }), "post_unknown"),
            (json!({ "comment_id": post, "reason": "spam" }), "comment_unknown"),
            (json!({ "handle": "nobody_here", "reason": "spam" }), "profile_unknown"),
            (json!({ "handle": bob.handle, "reason": "spam" }), "invalid_fields"),
            (json!({ "post_id": post, "reason": "spam", "text": "x".repeat(1_001) }), "invalid_fields"),
        ] {
            let (_, problem) = stage.send(&bob, "POST", "/v1/reports", Some(body.clone())).await;
            assert_eq!(problem["code"], code, "{body}");
        }
        for (path, body, code) in [
            (format!("/v1/moderation/{post}"), json!({ "decision": "keep" }), "case_unknown"),
            ("/v1/moderation/x".to_owned(), json!({ "decision": "keep" }), "case_unknown"),
            (format!("/v1/moderation/{case}"), json!({ "decision": "shame" }), "invalid_fields"),
        ] {
            let (_, problem) = stage.send(&staff, "POST", &path, Some(body)).await;
            assert_eq!(problem["code"], code, "{path}");
        }
    }
}
