//! Follows, blocks and mutes.

use backlot_business_api::community_events::{ProfileFollowed, ProfileUnfollowed};
use backlot_foundation_events::outbox;

use super::{Service, Viewer, admit, leave, meta};
use crate::error::Error;
use crate::limits::{FOLLOWS_MAX, HIDDEN_MAX, RELATIONS};
use crate::rows::{Profile, notice};
use crate::store::{self, Hiding, Notice};

impl Service {
    /// Follows. Following somebody twice is following them.
    pub(crate) async fn follow(&self, viewer: &Viewer, handle: &str) -> Result<(), Error> {
        let (own, other) = self.two(viewer, handle).await?;
        let now = self.now();
        let tx = self.store().begin().await?;
        admit(&tx, &own, RELATIONS, now).await?;
        if store::is_apart(&tx, own.user_id, other.user_id).await? {
            return Err(Error::ProfileUnknown(other.handle));
        }
        if !store::follow(&tx, own.user_id, other.user_id, now).await? {
            return Ok(leave(tx).await?);
        }
        let following = store::profile_of(&tx, own.user_id).await?.map_or(0, |profile| profile.following);
        if following > FOLLOWS_MAX {
            return Err(Error::TooMany { what: "follows", max: FOLLOWS_MAX });
        }
        let event = ProfileFollowed { followee_id: other.user_id.to_string() };
        outbox::publish(&tx, meta(other.user_id, viewer, now), &event).await?;
        let notice = Notice {
            to: other.user_id,
            kind: notice::FOLLOW,
            actor: Some(viewer.user),
            post: None,
            comment: None,
            text: "",
            once: format!("follow:{}", viewer.user),
        };
        let news = store::notify(&tx, &notice, now).await?;
        tx.commit().await?;
        self.tell(news.then_some(other.user_id));
        Ok(())
    }

    /// Follows no longer.
    pub(crate) async fn unfollow(&self, viewer: &Viewer, handle: &str) -> Result<(), Error> {
        let (own, other) = self.two(viewer, handle).await?;
        let now = self.now();
        let tx = self.store().begin().await?;
        admit(&tx, &own, RELATIONS, now).await?;
        if !store::unfollow(&tx, own.user_id, other.user_id).await? {
            return Ok(leave(tx).await?);
        }
        let event = ProfileUnfollowed { followee_id: other.user_id.to_string() };
        outbox::publish(&tx, meta(other.user_id, viewer, now), &event).await?;
        Ok(tx.commit().await?)
    }

    /// Blocks or mutes.
    pub(crate) async fn hide(&self, viewer: &Viewer, handle: &str, hiding: Hiding) -> Result<(), Error> {
        let (own, other) = self.two(viewer, handle).await?;
        let now = self.now();
        let tx = self.store().begin().await?;
        admit(&tx, &own, RELATIONS, now).await?;
        store::hide(&tx, own.user_id, other.user_id, hiding, now).await?;
        if store::hidden_count(&tx, own.user_id, hiding).await? > HIDDEN_MAX {
            return Err(Error::TooMany { what: "hidden accounts", max: HIDDEN_MAX });
        }
        Ok(tx.commit().await?)
    }

    /// Blocks or mutes no longer.
    pub(crate) async fn unhide(&self, viewer: &Viewer, handle: &str, hiding: Hiding) -> Result<(), Error> {
        let (own, other) = self.two(viewer, handle).await?;
        let now = self.now();
        let tx = self.store().begin().await?;
        admit(&tx, &own, RELATIONS, now).await?;
        store::unhide(&tx, own.user_id, other.user_id, hiding).await?;
        Ok(tx.commit().await?)
    }

    async fn two(&self, viewer: &Viewer, handle: &str) -> Result<(Profile, Profile), Error> {
        let (other, _) = self.profile_of(viewer, handle).await?;
        if other.user_id == viewer.user {
            return Err(Error::field("/handle", "is your own"));
        }
        Ok((self.participant(viewer).await?, other))
    }
}
