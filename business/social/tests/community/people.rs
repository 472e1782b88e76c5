//! People among themselves: handles, likes, comments, follows, blocks and mutes.

use http::StatusCode;
use serde_json::json;

use crate::world::Stage;

#[tokio::test]
async fn a_handle_belongs_to_one_person_and_so_does_what_looks_like_it() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let take = async |person, handle: &str| {
            let body = json!({ "handle": handle, "name": "N" });
            stage.send(person, "PUT", "/v1/profiles/me", Some(body)).await
        };
        assert_eq!(take(&ada, "lin_lead").await.0, StatusCode::OK);
        for taken in ["lin_lead", "LIN_LEAD", "l1n_lead", "linlead"] {
            let (status, problem) = take(&bob, taken).await;
            assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("handle_taken")), "{taken}");
        }
        for wrong in ["admin", "adm1n", "me", "a", "Ада", "with space", ""] {
            let (status, problem) = take(&bob, wrong).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}: {problem}");
        }
        assert_eq!(take(&ada, "linlead").await.0, StatusCode::OK, "one may change one's own");
        assert_eq!(stage.send(&bob, "GET", "/v1/profiles/lin_lead", None).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn likes_are_counted_once() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "p", &[]).await;
        let (path, like) = (format!("/v1/posts/{post}"), format!("/v1/posts/{post}/like"));
        stage.act(&bob, "PUT", &like).await;
        stage.act(&bob, "PUT", &like).await;
        let seen = stage.get(&bob, &path).await;
        assert_eq!((&seen["likes"], &seen["liked"]), (&json!(1), &json!(true)));
        assert_eq!(stage.get(&ada, &path).await["liked"], false);
        stage.act(&bob, "DELETE", &like).await;
        stage.act(&bob, "DELETE", &like).await;
        assert_eq!(stage.get(&bob, &path).await["likes"], 0);
        assert_eq!(stage.events().await, ["post.published", "post.liked", "post.unliked"]);
    }
}

#[tokio::test]
async fn a_hundred_likes_at_once_are_a_hundred() {
    for stage in Stage::all().await {
        let ada = stage.person("Ada").await;
        let post = stage.post(&ada, "p", &["busy"]).await;
        let mut people = Vec::new();
        for _ in 0..20 {
            people.push(stage.person("P").await);
        }
        let like = format!("/v1/posts/{post}/like");
        let all =
            people.iter().flat_map(|person| [person, person]).map(|person| stage.act(person, "PUT", &like));
        futures::future::join_all(all).await;
        assert_eq!(stage.get(&ada, &format!("/v1/posts/{post}")).await["likes"], 20);
    }
}

#[tokio::test]
async fn comments_are_deleted_by_who_may() {
    for stage in Stage::all().await {
        let (ada, bob, eve) =
            (stage.person("Ada").await, stage.person("Bob").await, stage.person("Eve").await);
        let post = stage.post(&ada, "p", &[]).await;
        let comments = format!("/v1/posts/{post}/comments");
        let say = async |text: &str| {
            let (status, body) = stage.send(&bob, "POST", &comments, Some(json!({ "text": text }))).await;
            (status, body["id"].as_str().unwrap_or_default().to_owned())
        };
        let (_, first) = say("one").await;
        let (_, second) = say("two").await;
        assert_eq!(say("  ").await.0, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(say(&"x".repeat(1_001)).await.0, StatusCode::UNPROCESSABLE_ENTITY);
        let page = stage.get(&eve, &format!("{comments}?limit=1")).await;
        assert_eq!(page["items"][0]["text"], "two");
        let page =
            stage.get(&eve, &format!("{comments}?limit=1&before={}", page["next"].as_str().unwrap())).await;
        assert_eq!((&page["items"][0]["text"], &page["next"]), (&json!("one"), &json!(null)));
        let (status, _) = stage.send(&eve, "DELETE", &format!("{comments}/{first}"), None).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        stage.act(&bob, "DELETE", &format!("{comments}/{first}")).await;
        stage.act(&ada, "DELETE", &format!("{comments}/{second}")).await;
        stage.act(&ada, "DELETE", &format!("{comments}/{second}")).await;
        assert_eq!(stage.get(&eve, &comments).await["items"], json!([]));
        assert_eq!(stage.get(&eve, &format!("/v1/posts/{post}")).await["comments"], 0);
    }
}

#[tokio::test]
async fn a_block_parts_two_people_everywhere() {
    for stage in Stage::all().await {
        let (ada, bob, eve) =
            (stage.person("Ada").await, stage.person("Bob").await, stage.person("Eve").await);
        let post = stage.post(&ada, "p", &["t1"]).await;
        let other = stage.post(&eve, "e", &[]).await;
        stage.act(&bob, "PUT", &format!("/v1/profiles/{}/follow", ada.handle)).await;
        for person in [&ada, &bob] {
            let body = Some(json!({ "text": "hello" }));
            stage.send(person, "POST", &format!("/v1/posts/{other}/comments"), body).await;
        }
        stage.act(&ada, "PUT", &format!("/v1/profiles/{}/block", bob.handle)).await;
        for (method, path) in [
            ("GET", format!("/v1/posts/{post}")),
            ("GET", format!("/v1/posts/{post}/media")),
            ("PUT", format!("/v1/posts/{post}/like")),
            ("GET", format!("/v1/profiles/{}", ada.handle)),
            ("PUT", format!("/v1/profiles/{}/follow", ada.handle)),
        ] {
            assert_eq!(stage.send(&bob, method, &path, None).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        for query in ["", "feed=hot", "feed=following", "tag=t1", "q=p"] {
            assert!(!stage.titles(&bob, query).await.contains(&"p".to_owned()), "{query}");
        }
        for person in [&ada, &bob] {
            let seen = stage.get(person, &format!("/v1/posts/{other}/comments")).await;
            assert_eq!(seen["items"].as_array().unwrap().len(), 1, "each sees only their own");
        }
        let seen = stage.get(&ada, &format!("/v1/profiles/{}", bob.handle)).await;
        assert_eq!((&seen["blocked"], &seen["following"]), (&json!(true), &json!(0)));
        assert_eq!(stage.get(&eve, &format!("/v1/profiles/{}", ada.handle)).await["followers"], 0);
        stage.act(&ada, "DELETE", &format!("/v1/profiles/{}/block", bob.handle)).await;
        stage.get(&bob, &format!("/v1/posts/{post}")).await;
    }
}

#[tokio::test]
async fn a_mute_is_seen_by_nobody_else_and_hides_from_lists_alone() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "p", &[]).await;
        stage.act(&bob, "PUT", &format!("/v1/profiles/{}/mute", ada.handle)).await;
        assert_eq!(stage.titles(&bob, "").await, Vec::<String>::new());
        stage.get(&bob, &format!("/v1/posts/{post}")).await;
        assert_eq!(stage.get(&ada, &format!("/v1/profiles/{}", bob.handle)).await["muted"], false);
        stage.act(&bob, "DELETE", &format!("/v1/profiles/{}/mute", ada.handle)).await;
        assert_eq!(stage.titles(&bob, "").await, ["p"]);
    }
}

#[tokio::test]
async fn what_makes_no_sense_between_people_is_a_clear_problem() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        stage.post(&ada, "p", &[]).await;
        stage.post(&bob, "q", &[]).await;
        for act in ["follow", "block", "mute"] {
            let own = format!("/v1/profiles/{}/{act}", ada.handle);
            let (status, problem) = stage.send(&ada, "PUT", &own, None).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{act}: {problem}");
            for handle in ["nobody_here", "x", "%00", &"y".repeat(500)] {
                let path = format!("/v1/profiles/{handle}/{act}");
                for method in ["PUT", "DELETE"] {
                    let (status, problem) = stage.send(&ada, method, &path, None).await;
                    assert_eq!(
                        (status, &problem["code"]),
                        (StatusCode::NOT_FOUND, &json!("profile_unknown")),
                        "{path}"
                    );
                }
            }
            // Again changes nothing, in both directions.
            let other = format!("/v1/profiles/{}/{act}", bob.handle);
            for method in ["PUT", "PUT", "DELETE", "DELETE"] {
                stage.act(&ada, method, &other).await;
            }
        }
        let seen = stage.get(&ada, &format!("/v1/profiles/{}", bob.handle)).await;
        let standing = ["followed", "blocked", "muted"].map(|fact| seen[fact].clone());
        assert_eq!((standing, &seen["followers"]), ([json!(false), json!(false), json!(false)], &json!(0)));

        for (method, path, body) in [
            ("GET", "/v1/notifications?before=yesterday", None),
            ("POST", "/v1/notifications/read", Some(json!({ "until": "now" }))),
            ("POST", "/v1/notifications/read", Some(json!({ "all": true }))),
        ] {
            let (status, problem) = stage.send(&ada, method, path, body).await;
            assert_eq!(
                (status, &problem["code"]),
                (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_fields")),
                "{path}"
            );
        }
        for _ in 0..2 {
            let (status, _) = stage.send(&ada, "POST", "/v1/notifications/read", Some(json!({}))).await;
            assert_eq!(status, StatusCode::NO_CONTENT);
        }
    }
}

#[tokio::test]
async fn nobody_floods_the_others() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "p", &[]).await;
        let mut refused = None;
        for n in 0..=120 {
            let body = json!({ "text": format!("{n}") });
            let (status, problem) =
                stage.send(&bob, "POST", &format!("/v1/posts/{post}/comments"), Some(body)).await;
            if status != StatusCode::CREATED {
                refused = Some((n, status, problem));
            }
        }
        let (n, status, problem) = refused.expect("there is a limit");
        assert_eq!(
            (n, status, &problem["code"]),
            (120, StatusCode::TOO_MANY_REQUESTS, &json!("community_limit"))
        );
        assert_eq!(stage.get(&ada, &format!("/v1/posts/{post}")).await["comments"], 120);
    }
}
