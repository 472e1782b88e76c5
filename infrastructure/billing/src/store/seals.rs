//! Seals: the hash chain over the journal.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::OrganisationId;
use sea_orm::{ConnectionTrait, DbErr, Value};

use super::{all, execute};

/// One link of the hash chain: a run of transactions without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealRow {
    pub(crate) first_number: i64,
    pub(crate) last_number: i64,
    pub(crate) previous_hash: String,
    pub(crate) hash: String,
}

fn decode(row: &sea_orm::QueryResult) -> Result<SealRow, DbErr> {
    Ok(SealRow {
        first_number: row.try_get("", "first_number")?,
        last_number: row.try_get("", "last_number")?,
        previous_hash: row.try_get("", "previous_hash")?,
        hash: row.try_get("", "hash")?,
    })
}

/// Ledgers with transactions behind their last seal: organisation and last number.
pub(crate) async fn unsealed(
    connection: &impl ConnectionTrait,
    limit: i64,
) -> Result<Vec<OrganisationId>, DbErr> {
    let sql = "SELECT l.organisation_id FROM billing_ledgers l
               WHERE l.last_number > (SELECT COALESCE(MAX(s.last_number), 0) FROM billing_seals s
                                      WHERE s.organisation_id = l.organisation_id)
               LIMIT $1";
    all(connection, sql, [limit.into()], |row| row.try_get("", "organisation_id")).await
}

/// The last seal of a ledger.
pub(crate) async fn last(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Option<SealRow>, DbErr> {
    let sql = "SELECT first_number, last_number, previous_hash, hash FROM billing_seals
               WHERE organisation_id = $1 ORDER BY last_number DESC LIMIT 1";
    super::one(connection, sql, [organisation.into()], decode).await
}

/// Seals after `after`, in order.
pub(crate) async fn after(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    after: i64,
    limit: i64,
) -> Result<Vec<SealRow>, DbErr> {
    let sql = "SELECT first_number, last_number, previous_hash, hash FROM billing_seals
               WHERE organisation_id = $1 AND last_number > $2 ORDER BY last_number LIMIT $3";
    all(connection, sql, [organisation.into(), after.into(), limit.into()], decode).await
}

/// Writes a seal. False where another sealer wrote one from the same transaction on: the chain never forks.
pub(crate) async fn insert(
    tx: &WriteTx,
    organisation: OrganisationId,
    seal: &SealRow,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let sql = "INSERT INTO billing_seals
                 (organisation_id, first_number, last_number, previous_hash, hash, sealed_at)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (organisation_id, first_number) DO NOTHING";
    let values: [Value; 6] = [
        organisation.into(),
        seal.first_number.into(),
        seal.last_number.into(),
        seal.previous_hash.clone().into(),
        seal.hash.clone().into(),
        now.into(),
    ];
    Ok(execute(&**tx, sql, values).await? == 1)
}
