//! What storage is told about a post's medium: driven from the row, so that a crash at any line loses nothing.
//!
//! The row says that storage is to be told (`due_at`) and which version of the truth (`grant_version`). The call
//! is idempotent by both, and only the row's present version clears `due_at`: a driver that was overtaken by a
//! removal clears nothing, and its call changes nothing in storage.

use std::time::Duration;

use backlot_business_api::PostId;
use backlot_business_api::community_events::{PostPublished, PostRemoved};
use backlot_foundation_errors::{Kind, Problem};
use backlot_foundation_events::{EventMeta, outbox};

use super::Service;
use crate::error::Error;
use crate::limits::{DUE_MAX, LEASE, RETRY_MAX};
use crate::rows::{Post, post_state, removed_because};
use crate::store;
use crate::systems::Grant;

/// First pause after a failure; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);

impl Service {
    /// Tells storage what every due post asks for, once; answers how many were due.
    pub(crate) async fn sweep_posts(&self) -> Result<usize, Error> {
        let now = self.now();
        let due = self.store().take_due(now, now.plus(LEASE), DUE_MAX).await?;
        for id in &due {
            self.tell_storage(*id).await;
        }
        Ok(due.len())
    }

    /// Tells storage whether a post's medium is public; what fails is tried again by the sweep.
    pub(crate) async fn tell_storage(&self, id: PostId) {
        if let Err(error) = self.try_tell(id).await {
            tracing::warn!(post = %id, %error, "storage could not be told about a post and is told later");
        }
    }

    async fn try_tell(&self, id: PostId) -> Result<(), Error> {
        let Some(post) = self.store().post(id).await? else { return Ok(()) };
        if post.due_at.is_none() {
            return Ok(());
        }
        let public = post.wants_grant();
        let grant = Grant {
            asset: post.asset_id,
            organisation: post.organisation_id,
            name: post.id.to_string(),
            version: post.grant_version,
            public,
        };
        match self.systems().set_public(&grant).await {
            Ok(()) => self.storage_knows(&post, public).await,
            Err(problem) => self.storage_refused(&post, public, problem).await,
        }
    }

    async fn storage_knows(&self, post: &Post, public: bool) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store().begin().await?;
        if !store::told(&tx, post, public, now).await? {
            // Overtaken: the newer version is due already.
            return Ok(tx.rollback().await?);
        }
        if post.state == post_state::PUBLISHING && public {
            let event = PostPublished {
                author_id: post.author_id.to_string(),
                asset_id: post.asset_id.to_string(),
                kind: post.kind.clone(),
                tool: post.tool.clone(),
                is_remix: post.parent_post_id.is_some(),
                parent_post_id: post.parent_post_id.map(|id| id.to_string()).unwrap_or_default(),
                remixable: post.remixable,
                tags: i32::try_from(post.tags().len()).unwrap_or(i32::MAX),
            };
            outbox::publish(&tx, of(post, now), &event).await?;
            // Banned while it was being published.
            let author = store::profile_of(&tx, post.author_id).await?;
            if !author.is_some_and(|author| author.is_active()) {
                let public = Post { state: post_state::PUBLIC.to_owned(), ..post.clone() };
                store::set_post_state(&tx, &public, post_state::HIDDEN, "", now).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    async fn storage_refused(&self, post: &Post, public: bool, problem: Problem) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store().begin().await?;
        let gone =
            matches!(problem.kind, Kind::NotFound | Kind::Gone | Kind::Conflict | Kind::FailedPrecondition);
        if gone {
            let Some(post) = store::lock_post(&tx, post.id).await? else { return Ok(tx.rollback().await?) };
            if public && post.wants_grant() {
                store::set_post_state(&tx, &post, post_state::REMOVED, removed_because::ASSET_DELETED, now)
                    .await?;
                let event = PostRemoved {
                    author_id: post.author_id.to_string(),
                    reason: removed_because::ASSET_DELETED.to_owned(),
                };
                outbox::publish(&tx, of(&post, now), &event).await?;
            } else {
                // There is nothing that could still be public.
                store::told(&tx, &post, false, now).await?;
            }
            return Ok(tx.commit().await?);
        }
        let pause = RETRY_MIN.saturating_mul(1 << post.tries.clamp(0, 16)).min(RETRY_MAX);
        store::put_off(&tx, post.id, now.plus(pause), &problem.to_string()).await?;
        tx.commit().await?;
        tracing::info!(post = %post.id, %problem, "storage does not take a word about a post yet");
        Ok(())
    }
}

pub(super) fn of(post: &Post, at: backlot_foundation_time::Timestamp) -> EventMeta {
    EventMeta {
        subject: post.id.to_string(),
        organisation: post.organisation_id.to_string(),
        actor: post.author_id.to_string(),
        time: at,
    }
}
