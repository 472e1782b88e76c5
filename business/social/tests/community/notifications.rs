//! What people hear of.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use http::StatusCode;
use serde_json::{Value, json};

use crate::world::Stage;

/// Reads events of a stream.
struct Events(BodyDataStream, String);

impl Events {
    fn of(body: Body) -> Self {
        Self(body.into_data_stream(), String::new())
    }

    /// The next event's data, within a second.
    async fn next(&mut self) -> Value {
        let read = async {
            loop {
                if let Some((event, rest)) = self.1.split_once("\n\n") {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                    self.1 = rest.to_owned();
                    if let Some(data) = data {
                        return serde_json::from_str(&data).unwrap();
                    }
                    continue;
                }
                let bytes = self.0.next().await.expect("the stream goes on").unwrap();
                self.1.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(1), read).await.expect("within a second")
    }
}

#[tokio::test]
async fn what_others_do_is_told_once() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "Sunset", &[]).await;
        let like = format!("/v1/posts/{post}/like");
        for (method, path) in [("PUT", &like), ("DELETE", &like), ("PUT", &like)] {
            stage.act(&bob, method, path).await;
        }
        stage.act(&ada, "PUT", &like).await;
        let comments = format!("/v1/posts/{post}/comments");
        stage.send(&bob, "POST", &comments, Some(json!({ "text": "wonderful" }))).await;
        stage.act(&bob, "PUT", &format!("/v1/profiles/{}/follow", ada.handle)).await;
        let list = stage.get(&ada, "/v1/notifications").await;
        let told: Vec<_> = list["items"].as_array().unwrap().iter().map(|one| one["kind"].clone()).collect();
        assert_eq!(told, [json!("follow"), json!("comment"), json!("like")]);
        assert_eq!(list["unread"], 3);
        let comment = &list["items"][1];
        assert_eq!((&comment["text"], &comment["post_title"]), (&json!("wonderful"), &json!("Sunset")));
        assert_eq!(comment["actor"]["handle"], json!(bob.handle));
        let until = json!({ "until": comment["id"] });
        let (status, _) = stage.send(&ada, "POST", "/v1/notifications/read", Some(until)).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(stage.get(&ada, "/v1/notifications").await["unread"], 1);
        stage.send(&ada, "POST", "/v1/notifications/read", Some(json!({}))).await;
        assert_eq!(stage.get(&ada, "/v1/notifications").await["unread"], 0);
        assert_eq!(stage.get(&bob, "/v1/notifications").await["items"], json!([]));
    }
}

#[tokio::test]
async fn who_is_muted_or_blocked_is_not_heard_of() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "p", &[]).await;
        stage.act(&bob, "PUT", &format!("/v1/posts/{post}/like")).await;
        for how in ["mute", "block"] {
            stage.act(&ada, "PUT", &format!("/v1/profiles/{}/{how}", bob.handle)).await;
            let list = stage.get(&ada, "/v1/notifications").await;
            assert_eq!((&list["items"], &list["unread"]), (&json!([]), &json!(0)), "{how}");
            stage.act(&ada, "DELETE", &format!("/v1/profiles/{}/{how}", bob.handle)).await;
            assert_eq!(stage.get(&ada, "/v1/notifications").await["unread"], 1);
        }
        stage.act(&ada, "PUT", &format!("/v1/profiles/{}/mute", bob.handle)).await;
        stage.act(&bob, "PUT", &format!("/v1/profiles/{}/follow", ada.handle)).await;
        stage.act(&ada, "DELETE", &format!("/v1/profiles/{}/mute", bob.handle)).await;
        assert_eq!(stage.get(&ada, "/v1/notifications").await["unread"], 1, "what was muted stays untold");
    }
}

#[tokio::test]
async fn a_stream_tells_within_a_second_and_goes_on_where_it_ended() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "p", &[]).await;
        let mut events = Events::of(stage.stream(&ada, "/v1/notifications/events", None).await);
        // The first look of the stream comes before what happens now.
        let comments = format!("/v1/posts/{post}/comments");
        let (_, first) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                stage.send(&bob, "POST", &comments, Some(json!({ "text": "one" }))).await
            },
            events.next()
        );
        assert_eq!((&first["kind"], &first["text"]), (&json!("comment"), &json!("one")));
        drop(events);
        stage.send(&bob, "POST", &comments, Some(json!({ "text": "two" }))).await;
        let last = first["id"].as_str().unwrap();
        let mut events = Events::of(stage.stream(&ada, "/v1/notifications/events", Some(last)).await);
        assert_eq!(events.next().await["text"], "two");
        let (_, third) = tokio::join!(
            stage.send(&bob, "POST", &comments, Some(json!({ "text": "three" }))),
            events.next()
        );
        assert_eq!(third["text"], "three");
    }
}
