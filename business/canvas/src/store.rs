//! All SQL of boards and their documents.
//!
//! An update is a row before anybody hears of it. `boards.seq` is the last one's number; the row of the
//! board is the lock of its log, on both engines.

mod media;
mod people;
mod runs;

use backlot_business_api::BoardId;
use backlot_foundation_db::{Db, DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{OrganisationId, ProjectId};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, Statement, Value};

use crate::media::ids_in;

pub(crate) use media::UploadRow;
pub(crate) use people::{CommentRow, MemberRow, ShareRow};
pub(crate) use runs::{ChildRow, RunKey, RunRow, TakeRow};

/// A board without its document.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct BoardRow {
    pub(crate) id: BoardId,
    pub(crate) organisation_id: OrganisationId,
    pub(crate) project_id: Option<ProjectId>,
    pub(crate) title: String,
    pub(crate) created_by: String,
    pub(crate) is_template: bool,
    pub(crate) parent_board_id: Option<BoardId>,
    pub(crate) parent_post_id: Option<String>,
    pub(crate) nodes: i64,
    pub(crate) seq: i64,
    pub(crate) access_version: i64,
    pub(crate) preview_asset: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

const COLUMNS: &str = "b.id, b.organisation_id, b.project_id, b.title, b.created_by, b.is_template,
    b.parent_board_id, b.parent_post_id, b.nodes, b.seq, b.access_version, b.preview_asset, b.created_at,
    b.updated_at";

/// A document as it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) snapshot: Option<Vec<u8>>,
    pub(crate) updates: Vec<Vec<u8>>,
    pub(crate) seq: i64,
    pub(crate) access_version: i64,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The number of the last update.
    pub(crate) seq: i64,
    /// Updates of other replicas that came between, in order; `None`: another replica has folded some of them into
    /// the snapshot already, so the whole document is to be read again.
    pub(crate) missed: Option<Vec<Vec<u8>>>,
}

/// An update to append.
#[derive(Debug, Clone)]
pub(crate) struct NewUpdate {
    pub(crate) bytes: Vec<u8>,
    pub(crate) actor: String,
    /// Whether they belong to the board's own organisation: files that they put on it, others may see.
    pub(crate) is_home: bool,
}

/// Which boards a list shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    /// Of this organisation, all; else only those where `user` is named.
    pub(crate) whole_organisation: bool,
    pub(crate) templates: bool,
    pub(crate) project: Option<ProjectId>,
    pub(crate) before: Option<BoardId>,
    pub(crate) limit: u64,
}

/// Boards, their people and their documents.
#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
}

impl Store {
    /// Over business's database.
    pub(crate) const fn new(db: Db) -> Self {
        Self { db }
    }

    /// The database.
    pub(crate) const fn db(&self) -> &Db {
        &self.db
    }

    /// Whether several processes may write the same board.
    pub(crate) fn has_replicas(&self) -> bool {
        self.db.backend() == sea_orm::DatabaseBackend::Postgres
    }

    async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbError> {
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, values);
        Ok(self.db.read().query_all_raw(statement).await?)
    }

    async fn row(&self, sql: &str, values: Vec<Value>) -> Result<Option<QueryResult>, DbError> {
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, values);
        Ok(self.db.read().query_one_raw(statement).await?)
    }

    /// The board, unless it was deleted.
    pub(crate) async fn board(&self, id: BoardId) -> Result<Option<BoardRow>, DbError> {
        let sql = format!("SELECT {COLUMNS} FROM boards b WHERE b.id = $1 AND b.deleted_at IS NULL");
        let row = self.row(&sql, vec![id.into()]).await?;
        Ok(row.map(|row| BoardRow::from_query_result(&row, "")).transpose()?)
    }

    /// Whether a board has this id, deleted ones included.
    pub(crate) async fn was_made(&self, id: BoardId) -> Result<bool, DbError> {
        Ok(self.row("SELECT b.id FROM boards b WHERE b.id = $1", vec![id.into()]).await?.is_some())
    }

    /// Boards, newest first.
    pub(crate) async fn boards(
        &self,
        organisation: OrganisationId,
        user: &str,
        listed: &Listed,
    ) -> Result<Vec<BoardRow>, DbError> {
        let mut values: Vec<Value> = vec![listed.templates.into()];
        let mut sql =
            format!("SELECT {COLUMNS} FROM boards b WHERE b.deleted_at IS NULL AND b.is_template = $1");
        let mut bind = |sql: &mut String, text: &str, value: Value| {
            values.push(value);
            sql.push_str(&text.replace('?', &format!("${}", values.len())));
        };
        if listed.whole_organisation {
            bind(&mut sql, " AND (b.organisation_id = ?", organisation.into());
            bind(
                &mut sql,
                " OR b.id IN (SELECT m.board_id FROM board_members m WHERE m.user_id = ?))",
                user.into(),
            );
        } else {
            bind(
                &mut sql,
                " AND b.id IN (SELECT m.board_id FROM board_members m WHERE m.user_id = ?)",
                user.into(),
            );
        }
        if let Some(project) = listed.project {
            bind(&mut sql, " AND b.project_id = ?", project.into());
        }
        if let Some(before) = listed.before {
            bind(&mut sql, " AND b.id < ?", before.into());
        }
        bind(&mut sql, " ORDER BY b.id DESC LIMIT ?", i64::try_from(listed.limit).unwrap_or(i64::MAX).into());
        let rows = self.rows(&sql, values).await?;
        Ok(rows.iter().map(|row| BoardRow::from_query_result(row, "")).collect::<Result<_, DbErr>>()?)
    }

    /// How many boards the organisation has.
    pub(crate) async fn count_boards(&self, organisation: OrganisationId) -> Result<u64, DbError> {
        let sql = "SELECT count(*) AS n FROM boards WHERE organisation_id = $1 AND deleted_at IS NULL";
        let row = self.row(sql, vec![organisation.into()]).await?;
        let count: i64 = row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Writes a new board with its document, and its maker as owner.
    pub(crate) async fn insert(&self, row: &BoardRow, document: Option<Vec<u8>>) -> Result<(), DbError> {
        let tx = self.db.begin_write().await?;
        let media = document.as_deref().map(ids_in).unwrap_or_default();
        insert_board(&tx, row, document).await?;
        media::put(&tx, row.id, &media).await?;
        let owner = MemberRow {
            user_id: row.created_by.clone(),
            role: "owner".to_owned(),
            added_by: row.created_by.clone(),
            at: row.created_at,
        };
        people::put_member(&tx, row.id, &owner).await?;
        tx.commit().await
    }

    /// Sets title, project, preview and whether it is a template.
    pub(crate) async fn update(&self, row: &BoardRow) -> Result<(), DbError> {
        let sql = "UPDATE boards SET title = $1, project_id = $2, preview_asset = $3, is_template = $4,
                   updated_at = $5 WHERE id = $6 AND deleted_at IS NULL";
        let values = vec![
            row.title.as_str().into(),
            row.project_id.map(|id| id.to_string()).into(),
            row.preview_asset.clone().into(),
            row.is_template.into(),
            row.updated_at.into(),
            row.id.into(),
        ];
        let tx = self.db.begin_write().await?;
        execute(&tx, sql, values).await?;
        tx.commit().await
    }

    /// Deletes a board. Its takes and runs stay.
    pub(crate) async fn delete(&self, id: BoardId, at: Timestamp) -> Result<(), DbError> {
        let tx = self.db.begin_write().await?;
        let sql = "UPDATE boards SET deleted_at = $1, access_version = access_version + 1
                   WHERE id = $2 AND deleted_at IS NULL";
        execute(&tx, sql, vec![at.into(), id.into()]).await?;
        tx.commit().await
    }

    /// The document; `None` where the board was deleted.
    pub(crate) async fn document(&self, id: BoardId) -> Result<Option<Stored>, DbError> {
        // One point in time: another replica may fold the log meanwhile.
        let tx = self.db.begin_snapshot().await?;
        let backend = self.db.backend();
        let sql = "SELECT snapshot, snapshot_seq, seq, access_version FROM boards
                   WHERE id = $1 AND deleted_at IS NULL";
        let board = tx.query_one_raw(Statement::from_sql_and_values(backend, sql, [id.into()])).await?;
        let Some(board) = board else { return Ok(None) };
        let folded: i64 = board.try_get("", "snapshot_seq")?;
        let updates = updates_after(&tx, backend, id, folded).await?;
        tx.rollback().await?;
        Ok(Some(Stored {
            snapshot: board.try_get("", "snapshot")?,
            updates,
            seq: board.try_get("", "seq")?,
            access_version: board.try_get("", "access_version")?,
        }))
    }

    /// The number of the last update and the version of who may do what; `None`: deleted.
    pub(crate) async fn versions(&self, id: BoardId) -> Result<Option<(i64, i64)>, DbError> {
        let sql = "SELECT seq, access_version FROM boards WHERE id = $1 AND deleted_at IS NULL";
        let row = self.row(sql, vec![id.into()]).await?;
        Ok(row
            .map(|row| Ok::<_, DbErr>((row.try_get("", "seq")?, row.try_get("", "access_version")?)))
            .transpose()?)
    }

    /// Updates after this number, in order.
    pub(crate) async fn updates(&self, id: BoardId, after: i64) -> Result<Vec<Vec<u8>>, DbError> {
        updates_after(self.db.read(), self.db.backend(), id, after).await
    }

    /// Appends updates, durably. `known` is the last number that the caller has applied. `None`: the board
    /// was deleted.
    pub(crate) async fn append(
        &self,
        id: BoardId,
        known: i64,
        updates: &[NewUpdate],
        nodes: usize,
        now: Timestamp,
    ) -> Result<Option<Appended>, DbError> {
        let count = i64::try_from(updates.len()).unwrap_or(i64::MAX);
        let tx = self.db.begin_write().await?;
        let sql = "UPDATE boards SET seq = seq + $1, nodes = $2, updated_at = $3
                   WHERE id = $4 AND deleted_at IS NULL RETURNING seq";
        let values = [count.into(), i64::try_from(nodes).unwrap_or(i64::MAX).into(), now.into(), id.into()];
        let row = tx.query_one_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?;
        let Some(row) = row else { return Ok(None) };
        let seq: i64 = row.try_get("", "seq")?;
        let first = seq - count + 1;
        let between = first - 1 - known;
        let missed = match between > 0 {
            true => updates_after(&*tx, tx.backend(), id, known).await?,
            false => Vec::new(),
        };
        let is_whole = i64::try_from(missed.len()).is_ok_and(|count| count >= between);
        for (number, update) in (first..).zip(updates) {
            let sql =
                "INSERT INTO board_updates (board_id, seq, bytes, actor_id, at) VALUES ($1, $2, $3, $4, $5)";
            let values = vec![
                id.into(),
                number.into(),
                update.bytes.clone().into(),
                update.actor.as_str().into(),
                now.into(),
            ];
            execute(&tx, sql, values).await?;
            if update.is_home {
                media::put(&tx, id, &ids_in(&update.bytes)).await?;
            }
        }
        tx.commit().await?;
        Ok(Some(Appended { seq, missed: is_whole.then_some(missed) }))
    }

    /// Folds the log up to `seq` into a snapshot. False where another replica has written meanwhile.
    pub(crate) async fn compact(&self, id: BoardId, seq: i64, snapshot: Vec<u8>) -> Result<bool, DbError> {
        let tx = self.db.begin_write().await?;
        let sql = "UPDATE boards SET snapshot = $1, snapshot_seq = $2
                   WHERE id = $3 AND seq = $2 AND snapshot_seq < $2 AND deleted_at IS NULL";
        if execute(&tx, sql, vec![snapshot.into(), seq.into(), id.into()]).await? == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        let sql = "DELETE FROM board_updates WHERE board_id = $1 AND seq <= $2";
        execute(&tx, sql, vec![id.into(), seq.into()]).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn updates_after(
    connection: &impl ConnectionTrait,
    backend: sea_orm::DatabaseBackend,
    id: BoardId,
    after: i64,
) -> Result<Vec<Vec<u8>>, DbError> {
    let sql = "SELECT bytes FROM board_updates WHERE board_id = $1 AND seq > $2 ORDER BY seq";
    let statement = Statement::from_sql_and_values(backend, sql, [id.into(), after.into()]);
    let rows = connection.query_all_raw(statement).await?;
    Ok(rows.iter().map(|row| row.try_get("", "bytes")).collect::<Result<_, DbErr>>()?)
}

async fn insert_board(tx: &WriteTx, row: &BoardRow, document: Option<Vec<u8>>) -> Result<(), DbError> {
    let sql = "INSERT INTO boards (id, organisation_id, project_id, title, created_by, is_template,
               parent_board_id, parent_post_id, nodes, seq, snapshot, snapshot_seq, access_version,
               preview_asset, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, 0, 0, $11, $12, $12)";
    let values = vec![
        row.id.into(),
        row.organisation_id.into(),
        row.project_id.map(|id| id.to_string()).into(),
        row.title.as_str().into(),
        row.created_by.as_str().into(),
        row.is_template.into(),
        row.parent_board_id.map(|id| id.to_string()).into(),
        row.parent_post_id.clone().into(),
        row.nodes.into(),
        document.into(),
        row.preview_asset.clone().into(),
        row.created_at.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

async fn execute(tx: &WriteTx, sql: &str, values: Vec<Value>) -> Result<u64, DbError> {
    let done = tx.execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests;
