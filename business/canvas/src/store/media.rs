//! Which files strangers on a board may see, and which somebody is bringing.

use std::collections::BTreeSet;

use backlot_business_api::BoardId;
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::AssetId;
use sea_orm::{ConnectionTrait as _, DbErr, FromQueryResult, Statement};

use super::{Store, execute};
use crate::limits::{GUEST_BYTES_MAX, GUEST_UPLOADS_OPEN_MAX};

impl Store {
    /// Whether somebody of the board's own organisation has put this on it, ever.
    pub(crate) async fn was_put_here(&self, board: BoardId, asset: &str) -> Result<bool, DbError> {
        let sql = "SELECT asset_id FROM board_media WHERE board_id = $1 AND asset_id = $2";
        Ok(self.row(sql, vec![board.into(), asset.into()]).await?.is_some())
    }

    /// Remembers that somebody of the board's own organisation has chosen this for it.
    pub(crate) async fn put_here(&self, board: BoardId, asset: &str) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        put(&tx, board, &BTreeSet::from([asset.to_owned()])).await?;
        tx.commit().await
    }

    /// Whether a run of the board has made this: a take, or a film.
    pub(crate) async fn was_made_here(&self, board: BoardId, asset: &str) -> Result<bool, DbError> {
        let sql = "SELECT id FROM board_takes WHERE board_id = $1 AND asset_id = $2 LIMIT 1";
        if self.row(sql, vec![board.into(), asset.into()]).await?.is_some() {
            return Ok(true);
        }
        let sql = "SELECT c.ord FROM board_run_children c JOIN board_runs r ON r.id = c.board_run_id
                   WHERE r.board_id = $1 AND r.kind = 'film' AND c.outputs LIKE $2 LIMIT 1";
        Ok(self.row(sql, vec![board.into(), format!("%\"{asset}\"%").into()]).await?.is_some())
    }
}

/// A file that somebody brings to a board.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct UploadRow {
    pub(crate) asset_id: AssetId,
    pub(crate) user_id: String,
    pub(crate) size_bytes: i64,
    pub(crate) created_at: Timestamp,
    /// When it was a file; `None`: not yet.
    pub(crate) completed_at: Option<Timestamp>,
}

/// What somebody brings to a board, the newest included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Brought {
    /// Files on their way.
    pub(crate) open: u64,
    /// Bytes of all that are on their way or arrived.
    pub(crate) bytes: i64,
}

impl Store {
    /// Remembers an upload.
    pub(crate) async fn insert_upload(&self, board: BoardId, row: &UploadRow) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        insert_upload(&tx, board, row).await?;
        tx.commit().await
    }

    /// Remembers a guest's upload, and answers what they bring with it; where that is too much, nothing is remembered.
    pub(crate) async fn insert_guest_upload(
        &self,
        board: BoardId,
        row: &UploadRow,
        open_since: Timestamp,
    ) -> Result<Brought, DbError> {
        let tx = self.db().begin_write().await?;
        if tx.backend() == sea_orm::DatabaseBackend::Postgres {
            // Two requests of one guest count one after the other.
            let sql = "SELECT id FROM boards WHERE id = $1 FOR UPDATE";
            execute(&tx, sql, vec![board.into()]).await?;
        }
        insert_upload(&tx, board, row).await?;
        let sql = "SELECT CAST(count(CASE WHEN completed_at IS NULL THEN 1 END) AS BIGINT) AS open_files,
                       CAST(sum(size_bytes) AS BIGINT) AS all_bytes
                   FROM board_uploads WHERE board_id = $1 AND user_id = $2
                   AND (completed_at IS NOT NULL OR created_at > $3)";
        let values = [board.into(), row.user_id.as_str().into(), open_since.into()];
        let statement = Statement::from_sql_and_values(tx.backend(), sql, values);
        let counted = tx.query_one_raw(statement).await?;
        let counted = counted.ok_or_else(|| DbErr::RecordNotFound("a sum has a row".to_owned()))?;
        let open: i64 = counted.try_get("", "open_files")?;
        let brought =
            Brought { open: u64::try_from(open).unwrap_or(0), bytes: counted.try_get("", "all_bytes")? };
        if brought.open > GUEST_UPLOADS_OPEN_MAX || brought.bytes > GUEST_BYTES_MAX {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(brought)
    }

    /// An upload of this board.
    pub(crate) async fn upload(&self, board: BoardId, asset: AssetId) -> Result<Option<UploadRow>, DbError> {
        let sql = "SELECT asset_id, user_id, size_bytes, created_at, completed_at FROM board_uploads
                   WHERE asset_id = $1 AND board_id = $2";
        let row = self.row(sql, vec![asset.into(), board.into()]).await?;
        Ok(row.map(|row| UploadRow::from_query_result(&row, "")).transpose()?)
    }

    /// Storage did not begin it.
    pub(crate) async fn forget_upload(&self, board: BoardId, asset: AssetId) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        let sql = "DELETE FROM board_uploads WHERE asset_id = $1 AND board_id = $2 AND completed_at IS NULL";
        execute(&tx, sql, vec![asset.into(), board.into()]).await?;
        tx.commit().await
    }

    /// It is a file of the board now: whoever is on the board sees it where it is shown.
    pub(crate) async fn complete_upload(
        &self,
        board: BoardId,
        asset: AssetId,
        at: Timestamp,
    ) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        let sql = "UPDATE board_uploads SET completed_at = $3
                   WHERE asset_id = $1 AND board_id = $2 AND completed_at IS NULL";
        execute(&tx, sql, vec![asset.into(), board.into(), at.into()]).await?;
        put(&tx, board, &BTreeSet::from([asset.to_string()])).await?;
        tx.commit().await
    }
}

async fn insert_upload(tx: &WriteTx, board: BoardId, row: &UploadRow) -> Result<(), DbError> {
    let sql = "INSERT INTO board_uploads (asset_id, board_id, user_id, size_bytes, created_at)
               VALUES ($1, $2, $3, $4, $5)";
    let values = vec![
        row.asset_id.into(),
        board.into(),
        row.user_id.as_str().into(),
        row.size_bytes.into(),
        row.created_at.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// Remembers what somebody of the board's own organisation has put on it.
pub(super) async fn put(tx: &WriteTx, board: BoardId, media: &BTreeSet<String>) -> Result<(), DbError> {
    for asset in media {
        let sql = "INSERT INTO board_media (board_id, asset_id) VALUES ($1, $2)
                   ON CONFLICT (board_id, asset_id) DO NOTHING";
        execute(tx, sql, vec![board.into(), asset.as_str().into()]).await?;
    }
    Ok(())
}
