//! Feeds, tags and search.

use http::StatusCode;
use serde_json::{Value, json};

use crate::world::{Person, Stage};

/// All titles of a feed, page by page; `between` happens after each page.
async fn walk(stage: &Stage, person: &Person, query: &str, between: Option<&Person>) -> Vec<String> {
    let (mut titles, mut before) = (Vec::new(), String::new());
    loop {
        let page = stage.get(person, &format!("/v1/posts?{query}&limit=3{before}")).await;
        let items = page["items"].as_array().unwrap();
        titles.extend(items.iter().map(|post| post["title"].as_str().unwrap().to_owned()));
        if let Some(author) = between {
            stage.post(author, "meanwhile", &["t1"]).await;
        }
        match &page["next"] {
            Value::String(next) => before = format!("&before={next}"),
            _ => return titles,
        }
    }
}

#[tokio::test]
async fn pages_hold_every_post_once_whatever_is_published_meanwhile() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let mut expected = Vec::new();
        for n in 0..10 {
            stage.post(&ada, &format!("post {n}"), &["t1"]).await;
            expected.insert(0, format!("post {n}"));
        }
        stage.act(&bob, "PUT", &format!("/v1/profiles/{}/follow", ada.handle)).await;
        let author = format!("author={}", ada.handle);
        for query in
            ["feed=new", "feed=following", "tag=t1", &author, "q=post", "q=post+t1", "feed=following&tag=t1"]
        {
            let seen = walk(&stage, &bob, query, Some(&ada)).await;
            let seen: Vec<_> = seen.into_iter().filter(|title| title != "meanwhile").collect();
            assert_eq!(seen, expected, "{query}");
        }
        for query in ["feed=hot", "feed=hot&tag=t1", &format!("feed=hot&{author}")] {
            let mut seen = walk(&stage, &bob, query, None).await;
            seen.retain(|title| title != "meanwhile");
            assert_eq!(seen, expected, "{query}: without likes the hottest are the newest");
        }
    }
}

#[tokio::test]
async fn what_is_liked_rises_and_a_newer_post_overtakes_it() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let old = stage.post(&ada, "liked", &["t1"]).await;
        stage.post(&ada, "new", &["t1"]).await;
        stage.act(&bob, "PUT", &format!("/v1/posts/{old}/like")).await;
        for query in ["feed=hot", "feed=hot&tag=t1"] {
            assert_eq!(stage.titles(&bob, query).await, ["liked", "new"], "{query}");
        }
        // One like is worth four hours.
        stage.clock.advance(std::time::Duration::from_secs(4 * 3_600 + 60));
        stage.post(&ada, "later", &["t1"]).await;
        assert_eq!(stage.titles(&bob, "feed=hot").await, ["later", "liked", "new"]);
    }
}

#[tokio::test]
async fn following_shows_whom_one_follows_and_nobody_else() {
    for stage in Stage::all().await {
        let bob = stage.person("Bob").await;
        let mut expected = Vec::new();
        for n in 0..8 {
            let author = stage.person("A").await;
            for k in 0..3 {
                stage.post(&author, &format!("{n} {k}"), &[]).await;
                if n % 2 == 0 {
                    expected.insert(0, format!("{n} {k}"));
                }
            }
            if n % 2 == 0 {
                stage.act(&bob, "PUT", &format!("/v1/profiles/{}/follow", author.handle)).await;
            }
        }
        assert_eq!(walk(&stage, &bob, "feed=following", None).await, expected);
    }
}

#[tokio::test]
async fn a_search_finds_words_and_beginnings() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        stage.post(&ada, "Golden sunset", &["stop-motion"]).await;
        stage.post(&ada, "Golden gate", &["bridge"]).await;
        stage.post(&bob, "Sunday", &[]).await;
        let author = format!("q=golden&author={}", bob.handle);
        for (query, found) in [
            ("q=golden", 2),
            ("q=GOLD", 2),
            ("q=sun", 2),
            ("q=golden+sun", 1),
            ("q=gold+sunset", 0),
            ("q=motion", 1),
            ("q=moon", 0),
            ("q=%2D%2D", 0),
            ("q=golden&tag=bridge", 1),
            (&author, 0),
        ] {
            assert_eq!(stage.titles(&bob, query).await.len(), found, "{query}");
        }
        let tags = stage.get(&bob, "/v1/tags?q=St").await;
        assert_eq!(tags["items"], json!([{ "tag": "stop-motion", "posts": 1 }]));
    }
}

#[tokio::test]
async fn nonsense_is_a_clear_problem() {
    for stage in Stage::all().await {
        let ada = stage.person("Ada").await;
        for (path, status, code) in [
            ("/v1/posts?before=x".to_owned(), StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields"),
            ("/v1/posts?feed=hot&before=1".to_owned(), StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields"),
            ("/v1/posts?feed=best".to_owned(), StatusCode::BAD_REQUEST, "bad_request"),
            ("/v1/posts?limit=many".to_owned(), StatusCode::BAD_REQUEST, "bad_request"),
            ("/v1/posts?tag=%20%27".to_owned(), StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields"),
            ("/v1/posts?author=nobody_at_all".to_owned(), StatusCode::NOT_FOUND, "profile_unknown"),
            (format!("/v1/posts?q={}", "x".repeat(101)), StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields"),
            ("/v1/posts/nonsense".to_owned(), StatusCode::NOT_FOUND, "post_unknown"),
            ("/v1/profiles/%E2%80%AE".to_owned(), StatusCode::NOT_FOUND, "profile_unknown"),
        ] {
            let (found, problem) = stage.send(&ada, "GET", &path, None).await;
            assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
        }
    }
}
