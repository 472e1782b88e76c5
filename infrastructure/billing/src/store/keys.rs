//! Idempotency keys: what an order was, and what it made.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::OrganisationId;
use sea_orm::{DbErr, Value};
use sha2::{Digest, Sha256};

use super::{execute, one};

/// An order's key, as digests: neither the key nor the order is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// What is ordered; keys of different orders do not meet.
    pub(crate) area: &'static str,
    key_digest: String,
    body_digest: String,
}

impl Key {
    /// `parts`: everything that a repetition must agree in.
    pub(crate) fn new(area: &'static str, key: &str, parts: &[String]) -> Self {
        let digest = |text: &str| hex::encode(Sha256::digest(text.as_bytes()));
        // Each part with its length, so that no two orders read the same.
        let body: String = parts.iter().map(|part| format!("{}:{part}\n", part.len())).collect();
        Self { area, key_digest: digest(key), body_digest: digest(&body) }
    }
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Used {
    /// This very order, which made this.
    Same(String),
    /// Another order.
    Other,
}

pub(crate) async fn find(
    tx: &WriteTx,
    organisation: OrganisationId,
    key: &Key,
) -> Result<Option<Used>, DbErr> {
    let sql = "SELECT body_digest, subject FROM billing_keys
               WHERE organisation_id = $1 AND area = $2 AND key_digest = $3";
    let values: [Value; 3] = [organisation.into(), key.area.into(), key.key_digest.as_str().into()];
    one(&**tx, sql, values, |row| {
        let is_same = row.try_get::<String>("", "body_digest")? == key.body_digest;
        Ok(if is_same { Used::Same(row.try_get("", "subject")?) } else { Used::Other })
    })
    .await
}

pub(crate) async fn insert(
    tx: &WriteTx,
    organisation: OrganisationId,
    key: &Key,
    subject: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let sql = "INSERT INTO billing_keys (organisation_id, area, key_digest, body_digest, subject, created_at)
               VALUES ($1, $2, $3, $4, $5, $6)";
    let values: [Value; 6] = [
        organisation.into(),
        key.area.into(),
        key.key_digest.as_str().into(),
        key.body_digest.as_str().into(),
        subject.into(),
        now.into(),
    ];
    execute(&**tx, sql, values).await?;
    Ok(())
}

/// Forgets keys that are older than `before`, at most `limit`.
pub(crate) async fn delete_before(tx: &WriteTx, before: Timestamp, limit: i64) -> Result<u64, DbErr> {
    let sql = "DELETE FROM billing_keys WHERE (organisation_id, area, key_digest) IN (
                 SELECT organisation_id, area, key_digest FROM billing_keys
                 WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
    execute(&**tx, sql, [before.into(), limit.into()]).await
}
