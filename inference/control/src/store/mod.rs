//! All SQL of control, in the dialect that SQLite and PostgreSQL share.

mod jobs;
mod machines;
mod many;
mod spent;

use std::collections::BTreeSet;

use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_inference_api::JobId;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement, Value};

pub(crate) use jobs::{
    JobFilter, attempts_insert, attempts_update, clear_inputs, delete_jobs, inputs_of, job_by_id,
    jobs_by_filter, jobs_insert, jobs_update, late_report, live_jobs,
};

pub(crate) use machines::{delete_machines, machine_write, machines};
pub(crate) use spent::{Spent, delete_spent, put_spent, spent};

use crate::{
    error::Error,
    model::{Model, ModelSpec, Tenant},
};

/// Runs one statement; how many rows it touched.
async fn execute(tx: &WriteTx, sql: &str, values: Vec<Value>) -> Result<u64, DbErr> {
    Ok(tx.execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?.rows_affected())
}

/// Rows outside of a transaction.
async fn rows(db: &Db, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbErr> {
    db.read().query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values)).await
}

/// `$first, …` for `count` values.
fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

fn broken(what: &str) -> DbErr {
    DbErr::Custom(format!("a row holds what this version cannot read: {what}"))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, DbErr> {
    serde_json::from_str(text).map_err(|error| DbErr::Json(error.to_string()))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, DbErr> {
    serde_json::to_string(value).map_err(|error| DbErr::Json(error.to_string()))
}

/// The database's own clock on PostgreSQL, where several processes compare times; the caller's on SQLite.
fn database_time(backend: DatabaseBackend) -> &'static str {
    match backend {
        DatabaseBackend::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        _ => "CAST($1 AS BIGINT)",
    }
}

/// Takes the lead: the epoch that nobody had before. `address` tells the others where the leader is.
pub(crate) async fn take_lead(tx: &WriteTx, address: &str, now: Timestamp) -> Result<u64, Error> {
    let sql = "UPDATE leader SET epoch = epoch + 1, address = $1 WHERE id = 1";
    execute(tx, sql, vec![address.into()]).await?;
    let sql = format!("UPDATE leader SET renewed_at = {} WHERE id = 1", database_time(tx.backend()));
    let values = if tx.backend() == DatabaseBackend::Postgres { Vec::new() } else { vec![now.into()] };
    execute(tx, &sql, values).await?;
    let row = tx.query_one_raw(Statement::from_string(tx.backend(), "SELECT epoch FROM leader WHERE id = 1"));
    let epoch: i64 = row.await?.ok_or_else(|| broken("no leader row"))?.try_get("", "epoch")?;
    Ok(u64::try_from(epoch).unwrap_or_default())
}

/// Whether `epoch` still leads. The row stays locked until the transaction ends, so that nobody takes over before the
/// commit; on SQLite the file belongs to one process and the check costs no write.
pub(crate) async fn still_leads(tx: &WriteTx, epoch: u64) -> Result<bool, Error> {
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    if tx.backend() == DatabaseBackend::Postgres {
        let sql = format!(
            "UPDATE leader SET renewed_at = {} WHERE id = 1 AND epoch = $1",
            database_time(DatabaseBackend::Postgres)
        );
        return Ok(execute(tx, &sql, vec![epoch.into()]).await? == 1);
    }
    let sql = "SELECT 1 AS one FROM leader WHERE id = 1 AND epoch = $1";
    let row = tx.query_one_raw(Statement::from_sql_and_values(tx.backend(), sql, [epoch.into()])).await?;
    Ok(row.is_some())
}

/// Whoever leads now.
pub(crate) struct Leader {
    /// Milliseconds since it last renewed its epoch.
    pub(crate) silent_ms: i64,
    /// Where it is; empty where it does not say.
    pub(crate) address: String,
}

/// Reads the leader's row.
pub(crate) async fn leader(db: &Db, now: Timestamp) -> Result<Leader, Error> {
    let sql = format!(
        "SELECT {} - renewed_at AS silent_us, address FROM leader WHERE id = 1",
        database_time(db.backend())
    );
    let values = if db.backend() == DatabaseBackend::Postgres { Vec::new() } else { vec![now.into()] };
    let row = rows(db, &sql, values).await?.pop().ok_or_else(|| broken("no leader row"))?;
    Ok(Leader {
        silent_ms: row.try_get::<i64>("", "silent_us")? / 1000,
        address: row.try_get("", "address")?,
    })
}

/// All tenants that were ever put.
pub(crate) async fn tenants(db: &Db) -> Result<Vec<Tenant>, Error> {
    let sql = "SELECT namespace, tenant, weight_milli, queued_max, regions, version FROM tenants";
    let decode = |row: QueryResult| -> Result<Tenant, DbErr> {
        Ok(Tenant {
            namespace: row.try_get("", "namespace")?,
            tenant: row.try_get("", "tenant")?,
            weight_milli: u32::try_from(row.try_get::<i64>("", "weight_milli")?).unwrap_or(1000),
            queued_max: u32::try_from(row.try_get::<i64>("", "queued_max")?).unwrap_or(u32::MAX),
            regions: from_json::<BTreeSet<String>>(&row.try_get::<String>("", "regions")?)?,
            version: row.try_get("", "version")?,
        })
    };
    Ok(rows(db, sql, Vec::new()).await?.into_iter().map(decode).collect::<Result<_, _>>()?)
}

/// Writes a tenant whose version is newer.
pub(crate) async fn put_tenant(tx: &WriteTx, tenant: &Tenant) -> Result<(), Error> {
    let sql = "INSERT INTO tenants (namespace, tenant, weight_milli, queued_max, regions, version)
               VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (namespace, tenant) DO UPDATE SET weight_milli = excluded.weight_milli,
                   queued_max = excluded.queued_max, regions = excluded.regions, version = excluded.version
               WHERE tenants.version < excluded.version";
    let values = vec![
        tenant.namespace.as_str().into(),
        tenant.tenant.as_str().into(),
        i64::from(tenant.weight_milli).into(),
        i64::from(tenant.queued_max).into(),
        to_json(&tenant.regions)?.into(),
        tenant.version.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// All registered models.
pub(crate) async fn models(db: &Db) -> Result<Vec<Model>, Error> {
    let sql = "SELECT namespace, spec, created_at FROM models ORDER BY name, version";
    let decode = |row: QueryResult| -> Result<Model, DbErr> {
        let spec: ModelSpec = from_json(&row.try_get::<String>("", "spec")?)?;
        Ok(Model {
            namespace: row.try_get("", "namespace")?,
            spec,
            created_at: row.try_get("", "created_at")?,
        })
    };
    Ok(rows(db, sql, Vec::new()).await?.into_iter().map(decode).collect::<Result<_, _>>()?)
}

/// Registers a model's version for good.
pub(crate) async fn put_model(tx: &WriteTx, model: &Model) -> Result<(), Error> {
    let sql = "INSERT INTO models (name, version, spec, created_at, namespace) VALUES ($1, $2, $3, $4, $5)";
    let spec = &model.spec;
    let values = vec![
        spec.name.as_str().into(),
        spec.version.as_str().into(),
        to_json(spec)?.into(),
        model.created_at.into(),
        model.namespace.as_str().into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// An idempotency key as it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsedKey {
    pub(crate) namespace: String,
    pub(crate) key_hash: String,
    pub(crate) body_hash: String,
    pub(crate) job: JobId,
}

/// The question of [`used_keys`], for rows of namespace, key and job. Both parts go by a primary key: keys are kept for
/// months, and every submission asks this.
fn used_keys_sql(tuples: &str) -> String {
    format!(
        "WITH asked (namespace, key_hash, job_id) AS (VALUES {tuples})
         SELECT k.namespace, k.key_hash, k.body_hash, k.job_id FROM asked
             JOIN idempotency_keys k ON k.namespace = asked.namespace AND k.key_hash = asked.key_hash
         UNION ALL SELECT '', '', '', j.id FROM asked JOIN jobs j ON j.id = asked.job_id"
    )
}

/// Which of these keys were used, and which of these jobs exist. A job without a key has an empty one.
pub(crate) async fn used_keys(
    db: &Db,
    asked: &[(&str, &str, JobId)],
) -> Result<(Vec<UsedKey>, BTreeSet<JobId>), Error> {
    let values =
        asked.iter().map(|(namespace, key, job)| vec![(*namespace).into(), (*key).into(), (*job).into()]);
    let (mut used, mut existing) = (Vec::new(), BTreeSet::new());
    let Some((tuples, values)) = many::padded(values.collect()) else { return Ok((used, existing)) };
    for row in rows(db, &used_keys_sql(&tuples), values).await? {
        let (key_hash, job): (String, JobId) = (row.try_get("", "key_hash")?, row.try_get("", "job_id")?);
        if key_hash.is_empty() {
            existing.insert(job);
            continue;
        }
        let (namespace, body_hash) = (row.try_get("", "namespace")?, row.try_get("", "body_hash")?);
        used.push(UsedKey { namespace, key_hash, body_hash, job });
    }
    Ok((used, existing))
}

/// Remembers keys.
pub(crate) async fn put_keys(tx: &WriteTx, keys: &[UsedKey], now: Timestamp) -> Result<(), Error> {
    let row = |key: &UsedKey| -> Vec<Value> {
        vec![
            key.namespace.as_str().into(),
            key.key_hash.as_str().into(),
            key.body_hash.as_str().into(),
            key.job.into(),
            "accepted".into(),
            now.into(),
        ]
    };
    let sql = |tuples: &str| {
        format!(
            "INSERT INTO idempotency_keys (namespace, key_hash, body_hash, job_id, outcome, created_at) VALUES {tuples}"
        )
    };
    Ok(many::execute_many(tx, keys.iter().map(row).collect(), sql).await?)
}

/// Forgets keys that are older than `before` and whose jobs were deleted, at most `limit` of them.
pub(crate) async fn purge_keys(tx: &WriteTx, before: Timestamp, limit: u32) -> Result<u64, Error> {
    let sql = format!(
        "DELETE FROM idempotency_keys WHERE (namespace, key_hash) IN (
             SELECT namespace, key_hash FROM idempotency_keys WHERE created_at < $1
                 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = idempotency_keys.job_id)
             ORDER BY created_at LIMIT {limit})"
    );
    Ok(execute(tx, &sql, vec![before.into()]).await?)
}

/// What the scheduler had learned.
pub(crate) async fn snapshot(db: &Db) -> Result<String, Error> {
    let row = rows(db, "SELECT body FROM scheduler_snapshot WHERE id = 1", Vec::new()).await?.pop();
    Ok(row.map(|row| row.try_get("", "body")).transpose()?.unwrap_or_default())
}

/// Keeps what the scheduler has learned.
pub(crate) async fn put_snapshot(tx: &WriteTx, body: &str, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO scheduler_snapshot (id, body, written_at) VALUES (1, $1, $2)
               ON CONFLICT (id) DO UPDATE SET body = excluded.body, written_at = excluded.written_at";
    execute(tx, sql, vec![body.into(), now.into()]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use backlot_foundation_testkit::TestDb;

    use super::*;

    #[tokio::test]
    async fn what_every_submission_asks_goes_by_an_index_however_many_keys_are_kept() {
        let test = TestDb::sqlite("inference").await;
        crate::Service::migrate(&test.db).await.unwrap();
        let asked = vec![vec!["studio".into(), "key".into(), "job".into()]];
        let (tuples, values) = many::padded(asked).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {}", used_keys_sql(&tuples));
        let steps: Vec<String> = rows(&test.db, &sql, values)
            .await
            .unwrap()
            .iter()
            .map(|row| row.try_get("", "detail").unwrap())
            .collect();
        let searches =
            steps.iter().filter(|step| step.starts_with("SEARCH k ") || step.starts_with("SEARCH j "));
        assert_eq!(searches.count(), 2, "{steps:?}");
        assert!(
            !steps.iter().any(|step| step.starts_with("SCAN k") || step.starts_with("SCAN j")),
            "{steps:?}"
        );
    }
}
