//! Comments.

use backlot_business_api::{CommentId, PostId};
use backlot_foundation_db::{DbError, WriteTx};

use super::{Store, execute};
use crate::rows::{Comment, comment_state};

impl Store {
    /// A post's comments that are seen, newest first, older than `before`.
    pub(crate) async fn comments(
        &self,
        post: PostId,
        before: Option<CommentId>,
        limit: u64,
    ) -> Result<Vec<Comment>, DbError> {
        let mut values = vec![post.into()];
        let older = before.map_or("", |before| {
            values.push(before.into());
            "AND id < $2"
        });
        let sql = format!(
            "SELECT {} FROM social_comments WHERE post_id = $1 AND state = 'public' {older}
             ORDER BY id DESC LIMIT {limit}",
            Comment::COLUMNS
        );
        self.all(&sql, values).await
    }

    /// One comment, whatever its state.
    pub(crate) async fn comment(&self, id: CommentId) -> Result<Option<Comment>, DbError> {
        let sql = format!("SELECT {} FROM social_comments WHERE id = $1", Comment::COLUMNS);
        self.one(&sql, vec![id.into()]).await
    }
}

/// Writes a comment.
pub(crate) async fn insert(tx: &WriteTx, comment: &Comment) -> Result<(), DbError> {
    let sql = "INSERT INTO social_comments (id, post_id, author_id, state, text, created_at)
               VALUES ($1, $2, $3, $4, $5, $6)";
    let values = vec![
        comment.id.into(),
        comment.post_id.into(),
        comment.author_id.into(),
        comment.state.as_str().into(),
        comment.text.as_str().into(),
        comment.created_at.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// Moves a comment from one state to another; false where it was in another one.
pub(crate) async fn set_state(tx: &WriteTx, id: CommentId, from: &str, to: &str) -> Result<bool, DbError> {
    let sql = "UPDATE social_comments SET state = $3 WHERE id = $1 AND state = $2";
    Ok(execute(tx, sql, vec![id.into(), from.into(), to.into()]).await? > 0)
}

/// Nobody sees it any more; false where that was so already.
pub(crate) async fn remove(tx: &WriteTx, id: CommentId) -> Result<bool, DbError> {
    set_state(tx, id, comment_state::PUBLIC, comment_state::REMOVED).await
}
