//! Remixes, and the tree that they make.

use backlot_business_api::{PostId, RemixId};
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{OrganisationId, UserId};
use sea_orm::{DatabaseBackend, Statement, Value};

use super::{Store, column, execute, list};
use crate::rows::Remix;

impl Store {
    /// One remix.
    pub(crate) async fn remix(&self, id: RemixId) -> Result<Option<Remix>, DbError> {
        let sql = format!("SELECT {} FROM social_remixes WHERE id = $1", Remix::COLUMNS);
        self.one(&sql, vec![id.into()]).await
    }

    /// The remix that a key was used for.
    pub(crate) async fn remix_by_key(&self, user: UserId, key: &str) -> Result<Option<Remix>, DbError> {
        let sql =
            format!("SELECT {} FROM social_remixes WHERE user_id = $1 AND key_digest = $2", Remix::COLUMNS);
        self.one(&sql, vec![user.into(), key.into()]).await
    }

    /// The post that a board was made from, where it was by this person or in this organisation.
    pub(crate) async fn parent_of_board(
        &self,
        board: &str,
        user: UserId,
        organisation: OrganisationId,
    ) -> Result<Option<PostId>, DbError> {
        let sql = "SELECT post_id FROM social_remixes
                   WHERE board_id = $1 AND (user_id = $2 OR organisation_id = $3) LIMIT 1";
        let rows = self.rows(sql, vec![board.into(), user.into(), organisation.into()]).await?;
        Ok(column(&rows, "post_id")?.into_iter().next())
    }

    /// Takes remixes that are due and puts them off until `until`.
    pub(crate) async fn take_due_remixes(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u64,
    ) -> Result<Vec<RemixId>, DbError> {
        let sql = "SELECT id FROM social_remixes WHERE due_at IS NOT NULL AND due_at <= $1 LIMIT 1";
        if self.rows(sql, vec![now.into()]).await?.is_empty() {
            return Ok(Vec::new());
        }
        let tx = self.begin().await?;
        let lock = if tx.backend() == DatabaseBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
        let sql = format!(
            "UPDATE social_remixes SET due_at = $1 WHERE id IN
             (SELECT id FROM social_remixes WHERE due_at IS NOT NULL AND due_at <= $2
              ORDER BY due_at LIMIT {limit} {lock}) RETURNING id"
        );
        let statement = Statement::from_sql_and_values(tx.backend(), sql, [until.into(), now.into()]);
        let rows = sea_orm::ConnectionTrait::query_all_raw(&*tx, statement).await?;
        let taken = column(&rows, "id")?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Public posts that remix one of these.
    pub(crate) async fn children(&self, posts: &[PostId], limit: usize) -> Result<Vec<PostId>, DbError> {
        if posts.is_empty() {
            return Ok(Vec::new());
        }
        let (places, values) = list(1, posts.iter().copied());
        let sql = format!(
            "SELECT id FROM social_posts WHERE parent_post_id IN ({places}) AND state = 'public' ORDER BY id LIMIT {limit}"
        );
        column(&self.rows(&sql, values).await?, "id")
    }
}

/// Writes the intent of a remix; false where its key was used before.
pub(crate) async fn insert(tx: &WriteTx, remix: &Remix, key: &str) -> Result<bool, DbError> {
    let sql = "INSERT INTO social_remixes (id, post_id, user_id, organisation_id, key_digest, state, problem, due_at,
                   tries, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, '', $7, 0, $8) ON CONFLICT DO NOTHING";
    let values = vec![
        remix.id.into(),
        remix.post_id.into(),
        remix.user_id.into(),
        remix.organisation_id.into(),
        key.into(),
        remix.state.as_str().into(),
        remix.due_at.map_or(Value::BigInt(None), Into::into),
        remix.created_at.into(),
    ];
    Ok(execute(tx, sql, values).await? > 0)
}

/// The board is there; false where that was written before.
pub(crate) async fn done(tx: &WriteTx, id: RemixId, board: &str) -> Result<bool, DbError> {
    let sql = "UPDATE social_remixes SET state = 'done', board_id = $2, due_at = NULL
               WHERE id = $1 AND state = 'intent'";
    Ok(execute(tx, sql, vec![id.into(), board.into()]).await? > 0)
}

/// There will be no board, and why.
pub(crate) async fn failed(tx: &WriteTx, id: RemixId, problem: &str) -> Result<(), DbError> {
    let sql = "UPDATE social_remixes SET state = 'failed', problem = $2, due_at = NULL
               WHERE id = $1 AND state = 'intent'";
    execute(tx, sql, vec![id.into(), problem.into()]).await?;
    Ok(())
}

/// It could not be done now.
pub(crate) async fn put_off(tx: &WriteTx, id: RemixId, due_at: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE social_remixes SET due_at = $2, tries = tries + 1 WHERE id = $1 AND due_at IS NOT NULL";
    execute(tx, sql, vec![id.into(), due_at.into()]).await?;
    Ok(())
}
