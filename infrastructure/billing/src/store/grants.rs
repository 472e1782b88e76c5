//! Grants of credits.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{GrantId, OrganisationId};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::{all, execute, one, unreadable};
use crate::ledger::{GrantKind, Lot, ends_at};

/// A grant as it was given.
#[derive(Debug, Clone)]
pub(crate) struct GrantRow {
    pub(crate) id: GrantId,
    pub(crate) organisation: OrganisationId,
    pub(crate) kind: GrantKind,
    /// What made it: `sign_up`, `invoice`, `staff`.
    pub(crate) source: String,
    /// Which of those; a source gives once.
    pub(crate) source_ref: String,
    pub(crate) priority: i32,
    pub(crate) amount_micro: i64,
    pub(crate) effective_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    /// What came back after that may be used until then.
    pub(crate) returned_until: Option<Timestamp>,
    /// When it was taken back; nothing that comes back to it can be used from then on.
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) reason: String,
}

impl GrantRow {
    /// When the last of its credits run out; none: never.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        ends_at(self.expires_at, self.returned_until)
    }
}

const COLUMNS: &str = "id, organisation_id, kind, source, source_ref, priority, amount_micro, effective_at, \
                       expires_at, created_at, reason, returned_until, revoked_at";

fn decode(row: &QueryResult) -> Result<GrantRow, DbErr> {
    Ok(GrantRow {
        id: row.try_get("", "id")?,
        organisation: row.try_get("", "organisation_id")?,
        kind: decode_kind(row)?,
        source: row.try_get("", "source")?,
        source_ref: row.try_get("", "source_ref")?,
        priority: decode_priority(row)?,
        amount_micro: row.try_get("", "amount_micro")?,
        effective_at: row.try_get("", "effective_at")?,
        expires_at: row.try_get("", "expires_at")?,
        created_at: row.try_get("", "created_at")?,
        reason: row.try_get("", "reason")?,
        returned_until: row.try_get("", "returned_until")?,
        revoked_at: row.try_get("", "revoked_at")?,
    })
}

pub(super) fn decode_kind(row: &QueryResult) -> Result<GrantKind, DbErr> {
    let text: String = row.try_get("", "kind")?;
    GrantKind::parse(&text).ok_or_else(|| unreadable("kind", &text))
}

fn decode_priority(row: &QueryResult) -> Result<i32, DbErr> {
    let priority: i64 = row.try_get("", "priority")?;
    i32::try_from(priority).map_err(|_| unreadable("priority", &priority.to_string()))
}

pub(super) fn decode_lot(row: &QueryResult) -> Result<Lot, DbErr> {
    Ok(Lot {
        grant: row.try_get("", "id")?,
        kind: decode_kind(row)?,
        priority: decode_priority(row)?,
        effective_at: row.try_get("", "effective_at")?,
        expires_at: ends_at(row.try_get("", "expires_at")?, row.try_get("", "returned_until")?),
        created_at: row.try_get("", "created_at")?,
        available_micro: row.try_get("", "amount_micro")?,
    })
}

pub(crate) async fn insert(tx: &WriteTx, grant: &GrantRow) -> Result<(), DbErr> {
    let sql = format!(
        "INSERT INTO billing_grants ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    );
    let values: [Value; 13] = [
        grant.id.into(),
        grant.organisation.into(),
        grant.kind.as_str().into(),
        grant.source.clone().into(),
        grant.source_ref.clone().into(),
        i64::from(grant.priority).into(),
        grant.amount_micro.into(),
        grant.effective_at.into(),
        grant.expires_at.into(),
        grant.created_at.into(),
        grant.reason.clone().into(),
        grant.returned_until.into(),
        grant.revoked_at.into(),
    ];
    execute(&**tx, &sql, values).await?;
    Ok(())
}

/// Lets what came back be used until then.
pub(crate) async fn keep_until(tx: &WriteTx, grant: GrantId, until: Timestamp) -> Result<(), DbErr> {
    let sql = "UPDATE billing_grants SET returned_until = $2 WHERE id = $1";
    execute(&**tx, sql, [grant.into(), until.into()]).await?;
    Ok(())
}

/// From now on nothing of it can be used any more. False where that was so before.
pub(crate) async fn mark_revoked(tx: &WriteTx, grant: GrantId, now: Timestamp) -> Result<bool, DbErr> {
    let sql = "UPDATE billing_grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    Ok(execute(&**tx, sql, [grant.into(), now.into()]).await? == 1)
}

pub(crate) async fn find(connection: &impl ConnectionTrait, id: GrantId) -> Result<Option<GrantRow>, DbErr> {
    let sql = format!("SELECT {COLUMNS} FROM billing_grants WHERE id = $1");
    one(connection, &sql, [id.into()], decode).await
}

pub(crate) async fn find_by_source(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    source: &str,
    source_ref: &str,
) -> Result<Option<GrantRow>, DbErr> {
    let sql = format!(
        "SELECT {COLUMNS} FROM billing_grants WHERE organisation_id = $1 AND source = $2 AND source_ref = $3"
    );
    one(connection, &sql, [organisation.into(), source.into(), source_ref.into()], decode).await
}

pub(crate) async fn of_organisation(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Vec<GrantRow>, DbErr> {
    let sql =
        format!("SELECT {COLUMNS} FROM billing_grants WHERE organisation_id = $1 ORDER BY created_at, id");
    all(connection, &sql, [organisation.into()], decode).await
}

/// Grants that have run out and still have credits in a grant or an envelope.
pub(crate) async fn expired(
    connection: &impl ConnectionTrait,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(OrganisationId, GrantId)>, DbErr> {
    let sql = "SELECT DISTINCT g.organisation_id, g.id FROM billing_grants g
               JOIN billing_balances b ON b.organisation_id = g.organisation_id AND b.grant_id = g.id
               WHERE g.expires_at IS NOT NULL AND g.expires_at <= $1 AND b.amount_micro > 0
                 AND (g.returned_until IS NULL OR g.returned_until <= $1)
                 AND (b.account LIKE 'grant:%' OR b.account LIKE 'envelope:%')
               LIMIT $2";
    all(connection, sql, [now.into(), limit.into()], |row| {
        Ok((row.try_get("", "organisation_id")?, row.try_get("", "id")?))
    })
    .await
}

/// Where the unused credits of a grant lie: account and amount above zero.
pub(crate) async fn unused(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    grant: GrantId,
) -> Result<Vec<(String, i64)>, DbErr> {
    let sql = "SELECT account, amount_micro FROM billing_balances
               WHERE organisation_id = $1 AND grant_id = $2 AND amount_micro > 0
                 AND (account LIKE 'grant:%' OR account LIKE 'envelope:%') ORDER BY account";
    let values: [Value; 2] = [organisation.into(), grant.to_string().into()];
    all(connection, sql, values, |row| Ok((row.try_get("", "account")?, row.try_get("", "amount_micro")?)))
        .await
}

/// What became of each grant, folded from the journal: available, held, spent, expired, revoked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) available_micro: i64,
    pub(crate) held_micro: i64,
    pub(crate) spent_micro: i64,
    pub(crate) expired_micro: i64,
    pub(crate) revoked_micro: i64,
}
