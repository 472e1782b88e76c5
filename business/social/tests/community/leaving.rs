//! Accounts that are suspended or deleted, organisations that close, assets that go.

use http::StatusCode;
use serde_json::json;

use crate::world::Stage;

#[tokio::test]
async fn a_deleted_account_leaves_no_trace_but_the_numbers_of_others_are_right() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let (own, other) = (stage.post(&ada, "Adas", &["t1"]).await, stage.post(&bob, "Bobs", &[]).await);
        stage.act(&ada, "PUT", &format!("/v1/posts/{other}/like")).await;
        let comments = format!("/v1/posts/{other}/comments");
        stage.send(&ada, "POST", &comments, Some(json!({ "text": "of ada" }))).await;
        for (one, two) in [(&ada, &bob), (&bob, &ada)] {
            stage.act(one, "PUT", &format!("/v1/profiles/{}/follow", two.handle)).await;
        }
        stage.hear("identity.user.deleted", json!({ "user_id": ada.user })).await;
        assert_eq!(stage.titles(&bob, "").await, ["Bobs"], "hidden at once");
        assert_eq!(
            stage.send(&bob, "GET", &format!("/v1/posts/{own}/media"), None).await.0,
            StatusCode::NOT_FOUND
        );
        for _ in 0..3 {
            stage.sweep().await;
        }
        let seen = stage.get(&bob, &format!("/v1/posts/{other}")).await;
        assert_eq!((&seen["likes"], &seen["comments"]), (&json!(0), &json!(0)));
        assert_eq!(stage.get(&bob, &comments).await["items"], json!([]));
        let bobs = stage.get(&bob, "/v1/profiles/me").await;
        assert_eq!((&bobs["followers"], &bobs["following"]), (&json!(0), &json!(0)));
        assert_eq!(stage.get(&bob, "/v1/notifications").await["items"], json!([]));
        assert_eq!(
            stage.send(&bob, "GET", &format!("/v1/profiles/{}", ada.handle), None).await.0,
            StatusCode::NOT_FOUND
        );
        assert_eq!(stage.get(&bob, "/v1/tags").await["items"], json!([]));
        assert!(
            stage.infra.0.lock().grants.iter().all(|((_, grant), (_, public))| *grant == other || !public)
        );
        for table in ["social_posts", "social_comments", "social_profiles", "social_notifications"] {
            let left = stage.texts(table).await;
            assert!(!left.contains("Ada") && !left.contains("of ada"), "{table}: {left}");
        }
    }
}

#[tokio::test]
async fn a_suspended_account_is_hidden_until_it_is_back() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let post = stage.post(&ada, "p", &[]).await;
        let state = |state: &str| json!({ "user_id": ada.user, "state": state, "is_staff": false });
        stage.hear("identity.user.state_changed", state("suspended")).await;
        stage.sweep().await;
        assert_eq!(stage.titles(&bob, "").await, Vec::<String>::new());
        assert!(stage.infra.0.lock().grants.values().all(|(_, public)| !public));
        stage.hear("identity.user.state_changed", state("active")).await;
        stage.sweep().await;
        assert_eq!(stage.titles(&bob, "").await, ["p"]);
        assert_eq!(
            stage.send(&bob, "GET", &format!("/v1/posts/{post}/media"), None).await.0,
            StatusCode::FOUND
        );
    }
}

#[tokio::test]
async fn a_closed_organisation_and_a_deleted_asset_take_their_posts_along() {
    for stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        for n in 0..3 {
            stage.post(&ada, &format!("p{n}"), &[]).await;
        }
        let kept = stage.post(&bob, "kept", &[]).await;
        stage.hear("identity.organisation.closed", json!({ "organisation_id": ada.organisation })).await;
        stage.sweep().await;
        assert_eq!(stage.titles(&bob, "").await, ["kept"]);
        let asset = stage.infra.0.lock().grants.keys().find(|(_, grant)| *grant == kept).unwrap().0.clone();
        stage.hear("storage.asset.deleted", json!({ "asset_id": asset })).await;
        assert_eq!(stage.titles(&bob, "").await, Vec::<String>::new());
        let own = stage.get(&bob, &format!("/v1/posts/{kept}")).await;
        assert_eq!(own["removed_because"], "asset_deleted");
    }
}

#[tokio::test]
async fn a_picture_that_a_profile_no_longer_shows_is_public_no_longer() {
    for mut stage in Stage::all().await {
        let (ada, bob) = (stage.person("Ada").await, stage.person("Bob").await);
        let (one, two) = (stage.picture(&ada), stage.picture(&ada));
        let show = |asset: &str| json!({ "handle": ada.handle, "name": "Ada", "avatar_asset": asset });
        let avatar = format!("/v1/profiles/{}/avatar", ada.handle);
        for asset in [&one, &two] {
            let (status, profile) = stage.send(&ada, "PUT", "/v1/profiles/me", Some(show(asset))).await;
            assert_eq!((status, &profile["avatar_url"]), (StatusCode::OK, &json!(avatar)), "{profile}");
            // One's own profile says which it is, so that saving it keeps the picture; nobody else's does.
            assert_eq!(stage.get(&ada, "/v1/profiles/me").await["avatar_asset"], json!(asset));
            let seen = stage.get(&bob, &format!("/v1/profiles/{}", ada.handle)).await;
            assert_eq!((&seen["avatar_asset"], &seen["avatar_url"]), (&json!(null), &json!(avatar)));
            stage.clock.advance(std::time::Duration::from_millis(1));
        }
        stage.sweep().await;
        assert_eq!(stage.send(&bob, "GET", &avatar, None).await.0, StatusCode::FOUND);
        let public = |stage: &Stage, asset: &str| {
            stage.infra.0.lock().grants[&(asset.to_owned(), ada.user.to_string())].1
        };
        assert_eq!((public(&stage, &one), public(&stage, &two)), (false, true));
        // Made public, and then the process died before the profile named it.
        let three = stage.picture(&ada);
        stage.infra.0.lock().lose_after = 1;
        assert_eq!(
            stage.send(&ada, "PUT", "/v1/profiles/me", Some(show(&three))).await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        stage.crash();
        stage.sweep().await;
        assert_eq!((public(&stage, &two), public(&stage, &three)), (true, false));
    }
}

impl Stage {
    /// Everything that a table says, for a look at what is left.
    async fn texts(&self, table: &str) -> String {
        use sea_orm::{ConnectionTrait as _, Statement};
        let sql = format!("SELECT * FROM {table}");
        let rows =
            self.db.read().query_all_raw(Statement::from_string(self.db.backend(), sql)).await.unwrap();
        format!("{rows:?}")
    }
}
