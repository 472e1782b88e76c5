//! Likes.

use backlot_business_api::PostId;
use backlot_business_api::community_events::{PostLiked, PostUnliked};
use backlot_foundation_events::outbox;

use super::{Service, Viewer, admit, leave, meta};
use crate::error::Error;
use crate::limits::LIKES;
use crate::rows::notice;
use crate::store::{self, Counter, Notice};

impl Service {
    /// Likes a post. Liking it twice is liking it.
    pub(crate) async fn like(&self, viewer: &Viewer, id: PostId) -> Result<(), Error> {
        self.open_post(viewer, id).await?;
        let own = self.participant(viewer).await?;
        let now = self.now();
        let tx = self.store().begin().await?;
        admit(&tx, &own, LIKES, now).await?;
        if !store::like(&tx, id, viewer.user, now).await? {
            return Ok(leave(tx).await?);
        }
        let author = store::bump(&tx, id, Counter::Likes, 1).await?;
        let author = author.ok_or_else(|| Error::PostUnknown(id.to_string()))?;
        let event = PostLiked { author_id: author.to_string() };
        outbox::publish(&tx, meta(id, viewer, now), &event).await?;
        let notice = Notice {
            to: author,
            kind: notice::LIKE,
            actor: Some(viewer.user),
            post: Some(id),
            comment: None,
            text: "",
            once: format!("like:{id}:{}", viewer.user),
        };
        let news = store::notify(&tx, &notice, now).await?;
        tx.commit().await?;
        self.tell(news.then_some(author));
        Ok(())
    }

    /// Takes a like back.
    pub(crate) async fn unlike(&self, viewer: &Viewer, id: PostId) -> Result<(), Error> {
        self.visible_post(viewer, id).await?;
        let own = self.participant(viewer).await?;
        let now = self.now();
        let tx = self.store().begin().await?;
        admit(&tx, &own, LIKES, now).await?;
        if !store::unlike(&tx, id, viewer.user).await? {
            return Ok(leave(tx).await?);
        }
        if let Some(author) = store::bump(&tx, id, Counter::Likes, -1).await? {
            let event = PostUnliked { author_id: author.to_string() };
            outbox::publish(&tx, meta(id, viewer, now), &event).await?;
        }
        Ok(tx.commit().await?)
    }
}
