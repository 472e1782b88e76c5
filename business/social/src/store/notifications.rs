//! What people hear of.

use std::collections::HashMap;

use backlot_business_api::{CommentId, NotificationId, PostId};
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::UserId;
use sea_orm::Value;

use super::{Store, execute, query};
use crate::limits::UNREAD_MAX;
use crate::rows::Notification;

/// Something to tell somebody.
#[derive(Debug, Clone)]
pub(crate) struct Notice<'a> {
    /// Whom.
    pub(crate) to: UserId,
    /// One of `rows::notice`.
    pub(crate) kind: &'static str,
    /// Who did it; `None`: the studio itself.
    pub(crate) actor: Option<UserId>,
    /// About which post.
    pub(crate) post: Option<PostId>,
    /// About which comment.
    pub(crate) comment: Option<CommentId>,
    /// Words to show; may be empty.
    pub(crate) text: &'a str,
    /// The same text is told once: liking again is no news.
    pub(crate) once: String,
}

impl Store {
    /// A person's notifications, newest first, older than `before`, without those of whom they do not want to see.
    pub(crate) async fn notifications(
        &self,
        user: UserId,
        before: Option<NotificationId>,
        limit: u64,
    ) -> Result<Vec<Notification>, DbError> {
        let mut values = vec![user.into()];
        let older = before.map_or("", |before| {
            values.push(before.into());
            "AND n.id < $2"
        });
        let sql = format!(
            "SELECT {} FROM social_notifications n WHERE n.user_id = $1 {SEEN} {older}
             ORDER BY n.id DESC LIMIT {limit}",
            Notification::COLUMNS
        );
        self.all(&sql, values).await
    }

    /// Those after `after`, oldest first.
    pub(crate) async fn notifications_after(
        &self,
        user: UserId,
        after: &str,
        limit: u64,
    ) -> Result<Vec<Notification>, DbError> {
        let sql = format!(
            "SELECT {} FROM social_notifications n WHERE n.user_id = $1 {SEEN} AND n.id > $2
             ORDER BY n.id LIMIT {limit}",
            Notification::COLUMNS
        );
        self.all(&sql, vec![user.into(), after.into()]).await
    }

    /// How many are unread, up to [`UNREAD_MAX`].
    pub(crate) async fn unread(&self, user: UserId) -> Result<i64, DbError> {
        let sql = format!(
            "SELECT count(*) AS n FROM (SELECT n.id FROM social_notifications n
             WHERE n.user_id = $1 AND n.read_at IS NULL {SEEN} LIMIT {UNREAD_MAX}) AS counted"
        );
        let rows = self.rows(&sql, vec![user.into()]).await?;
        Ok(rows.first().map(|row| row.try_get("", "n")).transpose()?.unwrap_or_default())
    }

    /// Titles of posts.
    pub(crate) async fn titles(&self, posts: &[PostId]) -> Result<HashMap<PostId, String>, DbError> {
        let found = self.posts(posts).await?;
        Ok(found.into_iter().map(|(id, post)| (id, post.title)).collect())
    }
}

/// The condition that its person wants to hear of who did it.
const SEEN: &str = "AND NOT EXISTS (SELECT 1 FROM social_hidden h
    WHERE h.viewer_id = n.user_id AND h.author_id = n.actor_id)";

/// Tells somebody, once; false where they did it themselves, heard of it before, or do not want to hear of who did it.
pub(crate) async fn notify(tx: &WriteTx, notice: &Notice<'_>, now: Timestamp) -> Result<bool, DbError> {
    if let Some(actor) = notice.actor {
        if actor == notice.to {
            return Ok(false);
        }
        let sql = "SELECT reason FROM social_hidden WHERE viewer_id = $1 AND author_id = $2";
        if query(tx, sql, vec![notice.to.into(), actor.into()]).await?.is_some() {
            return Ok(false);
        }
    }
    let text = |id: Option<String>| Value::String(id);
    let sql =
        "INSERT INTO social_notifications (id, user_id, kind, actor_id, post_id, comment_id, text, once,
                   created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let values = vec![
        NotificationId::generate().into(),
        notice.to.into(),
        notice.kind.into(),
        text(notice.actor.map(|id| id.to_string())),
        text(notice.post.map(|id| id.to_string())),
        text(notice.comment.map(|id| id.to_string())),
        notice.text.into(),
        notice.once.as_str().into(),
        now.into(),
    ];
    Ok(execute(tx, sql, values).await? > 0)
}

/// Marks what a person has, up to `until` where it is given, as read.
pub(crate) async fn mark_read(
    tx: &WriteTx,
    user: UserId,
    until: Option<NotificationId>,
    now: Timestamp,
) -> Result<u64, DbError> {
    let mut values: Vec<Value> = vec![user.into(), now.into()];
    let older = until.map_or("", |until| {
        values.push(until.into());
        "AND id <= $3"
    });
    let sql = format!(
        "UPDATE social_notifications SET read_at = $2 WHERE user_id = $1 AND read_at IS NULL {older}"
    );
    execute(tx, &sql, values).await
}

/// Forgets what is older, a bounded number at once; answers how many.
pub(crate) async fn forget(tx: &WriteTx, before: Timestamp, limit: u64) -> Result<u64, DbError> {
    let sql = format!(
        "DELETE FROM social_notifications WHERE id IN
         (SELECT id FROM social_notifications WHERE created_at < $1 ORDER BY created_at LIMIT {limit})"
    );
    execute(tx, &sql, vec![before.into()]).await
}

/// Forgets the windows of rates that are over.
pub(crate) async fn forget_rates(tx: &WriteTx, before: Timestamp) -> Result<u64, DbError> {
    execute(tx, "DELETE FROM social_rates WHERE window_start < $1", vec![before.seconds().into()]).await
}
