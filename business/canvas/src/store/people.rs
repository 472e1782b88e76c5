//! Who may do what with a board, and what they say about it.

use std::collections::HashMap;

use backlot_business_api::{BoardCommentId, BoardId, BoardShareId};
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use sea_orm::{ConnectionTrait as _, DbErr, FromQueryResult, Statement};

use super::{Store, execute};

/// Somebody with a role of their own.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct MemberRow {
    pub(crate) user_id: String,
    pub(crate) role: String,
    pub(crate) added_by: String,
    pub(crate) at: Timestamp,
}

/// A link that gives a role to whoever opens it.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct ShareRow {
    pub(crate) id: BoardShareId,
    pub(crate) board_id: BoardId,
    pub(crate) role: String,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct CommentRow {
    pub(crate) id: BoardCommentId,
    pub(crate) node: Option<String>,
    pub(crate) author_id: String,
    pub(crate) body: String,
    pub(crate) created_at: Timestamp,
    pub(crate) resolved_at: Option<Timestamp>,
    pub(crate) resolved_by: Option<String>,
}

impl Store {
    /// The role that this user has by name.
    pub(crate) async fn member(&self, board: BoardId, user: &str) -> Result<Option<MemberRow>, DbError> {
        let sql =
            "SELECT user_id, role, added_by, at FROM board_members WHERE board_id = $1 AND user_id = $2";
        let row = self.row(sql, vec![board.into(), user.into()]).await?;
        Ok(row.map(|row| MemberRow::from_query_result(&row, "")).transpose()?)
    }

    /// The roles that this user has by name on these boards.
    pub(crate) async fn roles_of(
        &self,
        user: &str,
        boards: &[BoardId],
    ) -> Result<HashMap<BoardId, String>, DbError> {
        if boards.is_empty() {
            return Ok(HashMap::new());
        }
        let places: Vec<String> = (2..boards.len() + 2).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT board_id, role FROM board_members WHERE user_id = $1 AND board_id IN ({})",
            places.join(", ")
        );
        let values = std::iter::once(user.into()).chain(boards.iter().map(|id| (*id).into())).collect();
        let rows = self.rows(&sql, values).await?;
        let pairs = rows.iter().map(|row| Ok((row.try_get("", "board_id")?, row.try_get("", "role")?)));
        Ok(pairs.collect::<Result<_, DbErr>>()?)
    }

    /// Everybody with a role by name.
    pub(crate) async fn members(&self, board: BoardId) -> Result<Vec<MemberRow>, DbError> {
        let sql =
            "SELECT user_id, role, added_by, at FROM board_members WHERE board_id = $1 ORDER BY at, user_id";
        let rows = self.rows(sql, vec![board.into()]).await?;
        Ok(rows.iter().map(|row| MemberRow::from_query_result(row, "")).collect::<Result<_, DbErr>>()?)
    }

    /// Gives a role, unless it would take the last owner's. False where it would.
    pub(crate) async fn put_member(&self, board: BoardId, member: &MemberRow) -> Result<bool, DbError> {
        let tx = self.db().begin_write().await?;
        bump(&tx, board).await?;
        put_member(&tx, board, member).await?;
        keep_an_owner(tx, board).await
    }

    /// Takes the role away, unless it is the last owner's. False where it was.
    pub(crate) async fn remove_member(&self, board: BoardId, user: &str) -> Result<bool, DbError> {
        let tx = self.db().begin_write().await?;
        bump(&tx, board).await?;
        let sql = "DELETE FROM board_members WHERE board_id = $1 AND user_id = $2";
        execute(&tx, sql, vec![board.into(), user.into()]).await?;
        keep_an_owner(tx, board).await
    }

    /// Writes a share link.
    pub(crate) async fn insert_share(&self, share: &ShareRow, digest: &str) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        let sql =
            "INSERT INTO board_shares (id, board_id, token_digest, role, created_by, created_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = vec![
            share.id.into(),
            share.board_id.into(),
            digest.into(),
            share.role.as_str().into(),
            share.created_by.as_str().into(),
            share.created_at.into(),
            share.expires_at.map(Timestamp::micros).into(),
        ];
        execute(&tx, sql, values).await?;
        tx.commit().await
    }

    /// Links that still open the board.
    pub(crate) async fn shares(&self, board: BoardId, now: Timestamp) -> Result<Vec<ShareRow>, DbError> {
        let sql = "SELECT id, board_id, role, created_by, created_at, expires_at FROM board_shares
                   WHERE board_id = $1 AND withdrawn_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
                   ORDER BY id";
        let rows = self.rows(sql, vec![board.into(), now.into()]).await?;
        Ok(rows.iter().map(|row| ShareRow::from_query_result(row, "")).collect::<Result<_, DbErr>>()?)
    }

    /// The link with this token, where it still opens its board.
    pub(crate) async fn share(&self, digest: &str, now: Timestamp) -> Result<Option<ShareRow>, DbError> {
        let sql = "SELECT id, board_id, role, created_by, created_at, expires_at FROM board_shares
                   WHERE token_digest = $1 AND withdrawn_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
        let row = self.row(sql, vec![digest.into(), now.into()]).await?;
        Ok(row.map(|row| ShareRow::from_query_result(&row, "")).transpose()?)
    }

    /// Withdraws a link. False where there is none.
    pub(crate) async fn withdraw_share(
        &self,
        board: BoardId,
        id: BoardShareId,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        let tx = self.db().begin_write().await?;
        let sql = "UPDATE board_shares SET withdrawn_at = $1
                   WHERE id = $2 AND board_id = $3 AND withdrawn_at IS NULL";
        let done = execute(&tx, sql, vec![now.into(), id.into(), board.into()]).await?;
        tx.commit().await?;
        Ok(done > 0)
    }

    /// Writes a comment.
    pub(crate) async fn insert_comment(&self, board: BoardId, comment: &CommentRow) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        let sql = "INSERT INTO board_comments (id, board_id, node, author_id, body, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let values = vec![
            comment.id.into(),
            board.into(),
            comment.node.clone().into(),
            comment.author_id.as_str().into(),
            comment.body.as_str().into(),
            comment.created_at.into(),
        ];
        execute(&tx, sql, values).await?;
        tx.commit().await
    }

    /// Comments that were not deleted, oldest first.
    pub(crate) async fn comments(
        &self,
        board: BoardId,
        after: Option<BoardCommentId>,
        limit: u64,
    ) -> Result<Vec<CommentRow>, DbError> {
        let sql = "SELECT id, node, author_id, body, created_at, resolved_at, resolved_by FROM board_comments
                   WHERE board_id = $1 AND deleted_at IS NULL AND id > $2 ORDER BY id LIMIT $3";
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.rows(sql, vec![board.into(), after.into(), limit.into()]).await?;
        Ok(rows.iter().map(|row| CommentRow::from_query_result(row, "")).collect::<Result<_, DbErr>>()?)
    }

    /// The comment, unless it was deleted.
    pub(crate) async fn comment(
        &self,
        board: BoardId,
        id: BoardCommentId,
    ) -> Result<Option<CommentRow>, DbError> {
        let sql = "SELECT id, node, author_id, body, created_at, resolved_at, resolved_by FROM board_comments
                   WHERE board_id = $1 AND id = $2 AND deleted_at IS NULL";
        let row = self.row(sql, vec![board.into(), id.into()]).await?;
        Ok(row.map(|row| CommentRow::from_query_result(&row, "")).transpose()?)
    }

    /// Marks a comment as done with, once.
    pub(crate) async fn resolve_comment(
        &self,
        board: BoardId,
        id: BoardCommentId,
        by: &str,
        now: Timestamp,
    ) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        let sql = "UPDATE board_comments SET resolved_at = $1, resolved_by = $2
                   WHERE board_id = $3 AND id = $4 AND resolved_at IS NULL AND deleted_at IS NULL";
        execute(&tx, sql, vec![now.into(), by.into(), board.into(), id.into()]).await?;
        tx.commit().await
    }

    /// Deletes a comment.
    pub(crate) async fn delete_comment(
        &self,
        board: BoardId,
        id: BoardCommentId,
        now: Timestamp,
    ) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        let sql = "UPDATE board_comments SET deleted_at = $1, body = ''
                   WHERE board_id = $2 AND id = $3 AND deleted_at IS NULL";
        execute(&tx, sql, vec![now.into(), board.into(), id.into()]).await?;
        tx.commit().await
    }

    /// How many rows of a table belong to the board. `table` is one of ours.
    pub(crate) async fn count_of(&self, table: &'static str, board: BoardId) -> Result<u64, DbError> {
        let sql = format!("SELECT count(*) AS n FROM {table} WHERE board_id = $1");
        let row = self.row(&sql, vec![board.into()]).await?;
        let count: i64 = row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

/// Commits where the board still has an owner by name; its row is locked, so two owners cannot go at once.
async fn keep_an_owner(tx: WriteTx, board: BoardId) -> Result<bool, DbError> {
    let sql = "SELECT user_id FROM board_members WHERE board_id = $1 AND role = 'owner' LIMIT 1";
    let owner = tx.query_one_raw(Statement::from_sql_and_values(tx.backend(), sql, [board.into()])).await?;
    if owner.is_none() {
        tx.rollback().await?;
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn put_member(tx: &WriteTx, board: BoardId, member: &MemberRow) -> Result<(), DbError> {
    let sql = "INSERT INTO board_members (board_id, user_id, role, added_by, at) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (board_id, user_id) DO UPDATE SET role = excluded.role, added_by = excluded.added_by";
    let values = vec![
        board.into(),
        member.user_id.as_str().into(),
        member.role.as_str().into(),
        member.added_by.as_str().into(),
        member.at.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// Other replicas see by this number that somebody's role changed. It also locks the board's people.
async fn bump(tx: &WriteTx, board: BoardId) -> Result<(), DbError> {
    let sql = "UPDATE boards SET access_version = access_version + 1 WHERE id = $1";
    execute(tx, sql, vec![board.into()]).await?;
    Ok(())
}
