//! Remixes: a new board from a post, made once, whatever comes between.

use std::time::Duration;

use backlot_business_api::codes::REMIX_NOT_ALLOWED;
use backlot_business_api::community_events::PostRemixed;

use backlot_business_api::{BoardId, PostId, RemixId, doors};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_events::{EventMeta, outbox};

use super::{Service, Viewer, admit, digest};
use crate::error::Error;
use crate::limits::{DUE_MAX, LEASE, PUBLISH_INLINE, REMIXES, RETRY_MAX};
use crate::recipe::with_medium;
use crate::rows::{Post, Remix, notice};
use crate::store::{self, Counter, Notice};

/// Without a key, the same person's remix of the same post in this time is the same remix: a double click.
const SAME_WITHIN_S: i64 = 60;
/// First pause after a failure; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);

impl Service {
    /// Makes a board from a post and answers its id. The same key gives the same board.
    pub(crate) async fn remix(
        &self,
        viewer: &Viewer,
        id: PostId,
        key: Option<&str>,
    ) -> Result<String, Error> {
        let organisation = viewer.organisation.ok_or(Error::NoOrganisation)?;
        if self.doors().boards.is_none() {
            return Err(no_canvas().into());
        }
        let now = self.now();
        let key = match key {
            Some(key) => digest(&format!("key:{id}:{key}")),
            None => digest(&format!("click:{id}:{}", now.seconds().div_euclid(SAME_WITHIN_S))),
        };
        if let Some(before) = self.store().remix_by_key(viewer.user, &key).await? {
            return self.finish(before.id).await;
        }
        let post = self.open_post(viewer, id).await?;
        if !post.remixable && post.author_id != viewer.user {
            return Err(Error::RemixNotAllowed);
        }
        let own = self.participant(viewer).await?;
        let remix = Remix {
            id: RemixId::generate(),
            post_id: id,
            user_id: viewer.user,
            organisation_id: organisation,
            state: "intent".to_owned(),
            board_id: None,
            problem: String::new(),
            due_at: Some(now.plus(LEASE)),
            tries: 0,
            created_at: now,
        };
        let tx = self.store().begin().await?;
        admit(&tx, &own, REMIXES, now).await?;
        if !store::insert_remix(&tx, &remix, &key).await? {
            tx.rollback().await?;
            let before = self.store().remix_by_key(viewer.user, &key).await?;
            return self.finish(before.map_or(remix.id, |before| before.id)).await;
        }
        tx.commit().await?;
        self.finish(remix.id).await
    }

    /// Makes what an intent says, and answers the board.
    async fn finish(&self, id: RemixId) -> Result<String, Error> {
        let late = || {
            let detail = "The board is being made and will be among yours in a moment.";
            Problem::new(&codes::UNAVAILABLE, detail).retry_after(2)
        };
        let made = tokio::time::timeout(PUBLISH_INLINE, self.make_board(id)).await;
        made.map_err(|_| late())??;
        let remix = self.store().remix(id).await?.ok_or_else(late)?;
        match (remix.board_id, serde_json::from_str::<Problem>(&remix.problem)) {
            (Some(board), _) => Ok(board),
            (None, Ok(problem)) => Err(problem.into()),
            (None, Err(_)) => Err(late().into()),
        }
    }

    /// Makes the boards of due intents.
    pub(crate) async fn sweep_remixes(&self) -> Result<usize, Error> {
        let now = self.now();
        let due = self.store().take_due_remixes(now, now.plus(LEASE), DUE_MAX).await?;
        for id in &due {
            if let Err(error) = self.make_board(*id).await {
                tracing::warn!(remix = %id, %error, "a remix could not be made and is tried again");
            }
        }
        Ok(due.len())
    }

    async fn make_board(&self, id: RemixId) -> Result<(), Error> {
        let Some(remix) = self.store().remix(id).await?.filter(|remix| remix.due_at.is_some()) else {
            return Ok(());
        };
        let post = self.store().post(remix.post_id).await?;
        let post = post.ok_or_else(|| Error::PostUnknown(remix.post_id.to_string()))?;
        match self.board_of(&remix, &post).await {
            Ok(board) => self.board_is_there(&remix, &post, &board).await,
            Err(problem) => {
                let tx = self.store().begin().await?;
                if problem.is_transient() {
                    let pause = RETRY_MIN.saturating_mul(1 << remix.tries.clamp(0, 16)).min(RETRY_MAX);
                    store::put_off_remix(&tx, id, self.now().plus(pause)).await?;
                } else {
                    let text = serde_json::to_string(&problem).unwrap_or_default();
                    store::remix_failed(&tx, id, &text).await?;
                }
                Ok(tx.commit().await?)
            }
        }
    }

    /// Both calls are idempotent by the remix's id: the copy of the medium, and the board.
    async fn board_of(&self, remix: &Remix, post: &Post) -> Result<String, Problem> {
        let boards = self.doors().boards.as_ref().ok_or_else(no_canvas)?;
        let asset = self.systems().copy_public(post, remix).await?;
        let recipe = match post.share_parameters {
            true => serde_json::from_str(&self.store().recipe(post.id).await?).ok(),
            false => None,
        };
        let new = doors::Remix {
            id: BoardId::from_uuid(remix.id.uuid()),
            title: post.title.clone(),
            snapshot: with_medium(recipe, &asset, &post.kind),
            // The author's board stays theirs: it is not even named.
            parent_board: None,
            parent_post: post.id.to_string(),
        };
        let (organisation, user) = (remix.organisation_id.to_string(), remix.user_id.to_string());
        Ok(boards.create_from_post(&organisation, &user, new).await?.to_string())
    }

    async fn board_is_there(&self, remix: &Remix, post: &Post, board: &str) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store().begin().await?;
        if !store::remix_done(&tx, remix.id, board).await? {
            return Ok(tx.rollback().await?);
        }
        let mut news = None;
        if let Some(author) = store::bump(&tx, post.id, Counter::Remixes, 1).await? {
            let event = PostRemixed {
                author_id: author.to_string(),
                remix_id: remix.id.to_string(),
                board_id: board.to_owned(),
            };
            let meta = EventMeta {
                subject: post.id.to_string(),
                organisation: remix.organisation_id.to_string(),
                actor: remix.user_id.to_string(),
                time: now,
            };
            outbox::publish(&tx, meta, &event).await?;
            let notice = Notice {
                to: author,
                kind: notice::REMIX,
                actor: Some(remix.user_id),
                post: Some(post.id),
                comment: None,
                text: "",
                once: format!("remix:{}", remix.id),
            };
            news = store::notify(&tx, &notice, now).await?.then_some(author);
        }
        tx.commit().await?;
        self.tell(news);
        Ok(())
    }
}

fn no_canvas() -> Problem {
    Problem::new(&REMIX_NOT_ALLOWED, "This studio has no canvas: nothing can be remixed here.")
}
