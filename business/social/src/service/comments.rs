//! Comments.

use std::collections::HashSet;

use backlot_business_api::community_events::PostCommented;
use backlot_business_api::{CommentId, PostId};
use backlot_foundation_events::outbox;

use super::{Page, Service, Viewer, admit, meta};
use crate::error::Error;
use crate::limits::{COMMENT_CHARS_MAX, COMMENTS, EXCERPT_CHARS, SCAN_CHUNK, SCAN_MAX};
use crate::rows::{Comment, comment_state, notice};
use crate::store::{self, Counter, Notice};
use crate::text;

impl Service {
    /// Writes a comment.
    pub(crate) async fn comment(&self, viewer: &Viewer, id: PostId, text: &str) -> Result<Comment, Error> {
        let text = text::lines(text, COMMENT_CHARS_MAX).map_err(|error| Error::field("/text", error))?;
        self.open_post(viewer, id).await?;
        let own = self.participant(viewer).await?;
        let now = self.now();
        let comment = Comment {
            id: CommentId::generate(),
            post_id: id,
            author_id: viewer.user,
            state: comment_state::PUBLIC.to_owned(),
            text,
            created_at: now,
        };
        let tx = self.store().begin().await?;
        admit(&tx, &own, COMMENTS, now).await?;
        store::insert_comment(&tx, &comment).await?;
        let author = store::bump(&tx, id, Counter::Comments, 1).await?;
        let author = author.ok_or_else(|| Error::PostUnknown(id.to_string()))?;
        let event = PostCommented { author_id: author.to_string(), comment_id: comment.id.to_string() };
        outbox::publish(&tx, meta(id, viewer, now), &event).await?;
        let excerpt: String = comment.text.chars().take(EXCERPT_CHARS).collect();
        let notice = Notice {
            to: author,
            kind: notice::COMMENT,
            actor: Some(viewer.user),
            post: Some(id),
            comment: Some(comment.id),
            text: &excerpt,
            once: format!("comment:{}", comment.id),
        };
        let news = store::notify(&tx, &notice, now).await?;
        tx.commit().await?;
        self.tell(news.then_some(author));
        Ok(comment)
    }

    /// A post's comments, newest first, without those of whom the viewer does not want to see.
    pub(crate) async fn comments(
        &self,
        viewer: &Viewer,
        id: PostId,
        before: Option<CommentId>,
        limit: usize,
    ) -> Result<Page<Comment>, Error> {
        self.visible_post(viewer, id).await?;
        let mut page = Page { items: Vec::new(), next: None };
        let (mut before, mut scanned) = (before, 0);
        loop {
            let chunk = self.store().comments(id, before, SCAN_CHUNK).await?;
            let full = chunk.len() as u64 == SCAN_CHUNK;
            let authors: HashSet<_> = chunk.iter().map(|comment| comment.author_id).collect();
            let mut hidden = self.store().hidden_among(viewer.user, &authors).await?;
            let authors: Vec<_> = authors.into_iter().collect();
            let profiles = self.store().profiles(&authors).await?;
            hidden.extend(profiles.values().filter(|one| !one.is_active()).map(|one| one.user_id));
            for comment in chunk {
                scanned += 1;
                before = Some(comment.id);
                if hidden.contains(&comment.author_id) && comment.author_id != viewer.user {
                    continue;
                }
                if page.items.len() == limit {
                    page.next = page.items.last().map(|last: &Comment| last.id.to_string());
                    return Ok(page);
                }
                page.items.push(comment);
            }
            if !full {
                return Ok(page);
            }
            if scanned >= SCAN_MAX {
                page.next = before.map(|id| id.to_string());
                return Ok(page);
            }
        }
    }

    /// Deletes a comment: its author's own, on the caller's own post, or as staff. Safe to repeat.
    pub(crate) async fn delete_comment(
        &self,
        viewer: &Viewer,
        post: PostId,
        id: CommentId,
    ) -> Result<(), Error> {
        let unknown = || Error::CommentUnknown(id.to_string());
        let on = self.visible_post(viewer, post).await?;
        let comment = self.store().comment(id).await?.filter(|comment| comment.post_id == post);
        let comment = comment.ok_or_else(unknown)?;
        if comment.author_id != viewer.user && on.author_id != viewer.user && !viewer.staff {
            return Err(Error::NotYours("who wrote the comment or the post"));
        }
        let tx = self.store().begin().await?;
        if store::remove_comment(&tx, id).await? {
            store::bump(&tx, post, Counter::Comments, -1).await?;
        }
        Ok(tx.commit().await?)
    }
}
