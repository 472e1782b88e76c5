//! Which files strangers on a board may see.

use std::collections::BTreeSet;

use backlot_business_api::BoardId;
use backlot_foundation_db::{DbError, WriteTx};

use super::{Store, execute};

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

/// Remembers what somebody of the board's own organisation has put on it.
pub(super) async fn put(tx: &WriteTx, board: BoardId, media: &BTreeSet<String>) -> Result<(), DbError> {
    for asset in media {
        let sql = "INSERT INTO board_media (board_id, asset_id) VALUES ($1, $2)
                   ON CONFLICT (board_id, asset_id) DO NOTHING";
        execute(tx, sql, vec![board.into(), asset.as_str().into()]).await?;
    }
    Ok(())
}
