//! Likes.

use std::collections::HashSet;

use backlot_business_api::PostId;
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::UserId;

use super::{Store, column, execute, list};

impl Store {
    /// Those of `posts` that the viewer likes.
    pub(crate) async fn liked_among(
        &self,
        viewer: UserId,
        posts: &[PostId],
    ) -> Result<HashSet<PostId>, DbError> {
        if posts.is_empty() {
            return Ok(HashSet::new());
        }
        let (places, mut values) = list(2, posts.iter().copied());
        let sql = format!("SELECT post_id FROM social_likes WHERE user_id = $1 AND post_id IN ({places})");
        values.insert(0, viewer.into());
        let rows = self.rows(&sql, values).await?;
        Ok(column(&rows, "post_id")?.into_iter().collect())
    }
}

/// Likes; false where that was so already.
pub(crate) async fn like(tx: &WriteTx, post: PostId, user: UserId, now: Timestamp) -> Result<bool, DbError> {
    let sql =
        "INSERT INTO social_likes (post_id, user_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    Ok(execute(tx, sql, vec![post.into(), user.into(), now.into()]).await? > 0)
}

/// Likes no longer; false where that was so already.
pub(crate) async fn unlike(tx: &WriteTx, post: PostId, user: UserId) -> Result<bool, DbError> {
    let sql = "DELETE FROM social_likes WHERE post_id = $1 AND user_id = $2";
    Ok(execute(tx, sql, vec![post.into(), user.into()]).await? > 0)
}
