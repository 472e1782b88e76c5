//! Media of organisations that have closed: whoever deletes their account takes their media along.
//!
//! Whoever closes an organisation says so in the same transaction; a row remembers it until nothing is left. A crash
//! anywhere is taken up by the next round. What comes later, such as the outputs of a run that was under way, makes the
//! row count again.

use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::OrganisationId;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};

use crate::assets::PAGE_MAX;
use crate::error::Error;
use crate::service::{Actor, Service};
use crate::store;

/// Organisations that one round looks at.
const ORGANISATIONS_MAX: i64 = 50;
/// Assets of one organisation that one round deletes.
const ASSETS_MAX: usize = 2_000;
/// Who deletes them, in events.
const ACTOR: &str = "service:storage";

/// Has everything deleted that this organisation keeps, soon. Saying it again changes nothing.
///
/// # Errors
/// The database's.
pub async fn organisation_closed(
    tx: &WriteTx,
    organisation: OrganisationId,
    at: Timestamp,
) -> Result<(), DbError> {
    let sql = "INSERT INTO storage_closed (organisation_id, closed_at) VALUES ($1, $2)
               ON CONFLICT (organisation_id) DO NOTHING";
    execute(&**tx, sql, vec![organisation.into(), at.into()]).await?;
    Ok(())
}

/// An organisation gets an asset. Where it has closed, somebody has to look at it again; the row is locked in any case,
/// so that whoever says that nothing is left has seen this asset or comes before it.
pub(crate) async fn asset_added(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<(), DbErr> {
    let sql = "UPDATE storage_closed SET cleared_at = NULL WHERE organisation_id = $1";
    execute(db, sql, vec![organisation.into()]).await?;
    Ok(())
}

impl Service {
    /// Deletes what closed organisations still keep; how many assets there were.
    pub(crate) async fn clear_closed(&self) -> Result<usize, Error> {
        let mut deleted = 0;
        for organisation in open(self.inner.db.read(), ORGANISATIONS_MAX).await? {
            match self.clear(organisation).await {
                Ok(assets) => deleted += assets,
                // One that cannot be cleared must not keep the others: the next round tries it again.
                Err(error) => {
                    tracing::error!(%error, %organisation, "media of a closed organisation could not be deleted");
                }
            }
        }
        Ok(deleted)
    }

    async fn clear(&self, organisation: OrganisationId) -> Result<usize, Error> {
        let actor = Actor { id: ACTOR.to_owned(), organisation };
        let (mut after, mut deleted) = (None, 0);
        while deleted < ASSETS_MAX {
            let ids = store::live_assets(self.inner.db.read(), organisation, after, PAGE_MAX).await?;
            let Some(last) = ids.last() else { break };
            after = Some(*last);
            for id in &ids {
                self.delete(&actor, *id).await?;
            }
            deleted += ids.len();
        }
        let tx = self.inner.db.begin_write().await?;
        lock(&tx, organisation).await?;
        if store::live_assets(&*tx, organisation, None, 1).await?.is_empty() {
            // The rows stay for lineage; what people called their files does not.
            let sql = "UPDATE storage_assets SET name = '' WHERE organisation_id = $1 AND name <> ''";
            execute(&*tx, sql, vec![organisation.into()]).await?;
            let sql = "UPDATE storage_closed SET cleared_at = $2 WHERE organisation_id = $1";
            execute(&*tx, sql, vec![organisation.into(), self.inner.clock.now().into()]).await?;
            tx.commit().await?;
        }
        Ok(deleted)
    }
}

/// Closed organisations of which something may be left.
async fn open(db: &impl ConnectionTrait, limit: i64) -> Result<Vec<OrganisationId>, DbErr> {
    let sql = "SELECT organisation_id FROM storage_closed WHERE cleared_at IS NULL ORDER BY organisation_id LIMIT $1";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [limit.into()]);
    db.query_all_raw(statement).await?.iter().map(|row| row.try_get("", "organisation_id")).collect()
}

async fn lock(tx: &WriteTx, organisation: OrganisationId) -> Result<(), DbErr> {
    let wait = if tx.backend() == DatabaseBackend::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT closed_at FROM storage_closed WHERE organisation_id = $1 {wait}");
    tx.query_one_raw(Statement::from_sql_and_values(tx.backend(), sql, [organisation.into()])).await?;
    Ok(())
}

async fn execute(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<u64, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.execute_raw(statement).await?.rows_affected())
}
