//! What was spent with third parties: one row a tenant and a day, written with the attempt that costs it.

use backlot_foundation_db::{Db, WriteTx};
use sea_orm::{DbErr, QueryResult};

use super::{execute, rows};
use crate::error::Error;

/// What a tenant spent with a third party on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) pool: String,
    /// The scheduler's key of the tenant.
    pub(crate) tenant: String,
    /// Days since the Unix epoch.
    pub(crate) day: i64,
    pub(crate) micro: i64,
}

/// Rows of a day and later ones.
pub(crate) async fn spent(db: &Db, since_day: i64) -> Result<Vec<Spent>, Error> {
    let sql =
        "SELECT pool, tenant, day, micro FROM overflow_spent WHERE day >= $1 ORDER BY pool, day, tenant";
    let decode = |row: &QueryResult| -> Result<Spent, DbErr> {
        Ok(Spent {
            pool: row.try_get("", "pool")?,
            tenant: row.try_get("", "tenant")?,
            day: row.try_get("", "day")?,
            micro: row.try_get("", "micro")?,
        })
    };
    Ok(rows(db, sql, vec![since_day.into()]).await?.iter().map(decode).collect::<Result<_, _>>()?)
}

/// Writes what a tenant has spent by now.
pub(crate) async fn put_spent(tx: &WriteTx, spent: &Spent) -> Result<(), Error> {
    let sql = "INSERT INTO overflow_spent (pool, tenant, day, micro) VALUES ($1, $2, $3, $4)
               ON CONFLICT (pool, day, tenant) DO UPDATE SET micro = excluded.micro";
    let values =
        vec![spent.pool.as_str().into(), spent.tenant.as_str().into(), spent.day.into(), spent.micro.into()];
    execute(tx, sql, values).await?;
    Ok(())
}

/// Forgets days before `day`, at most `limit` rows.
pub(crate) async fn delete_spent(tx: &WriteTx, day: i64, limit: u32) -> Result<u64, Error> {
    let sql = format!(
        "DELETE FROM overflow_spent WHERE (pool, day, tenant) IN (
             SELECT pool, day, tenant FROM overflow_spent WHERE day < $1 ORDER BY day LIMIT {limit})"
    );
    Ok(execute(tx, &sql, vec![day.into()]).await?)
}
