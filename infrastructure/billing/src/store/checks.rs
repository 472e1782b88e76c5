//! Reads for proving the ledger: folds of the journal beside the snapshots.

use std::collections::BTreeMap;

use backlot_infrastructure_api::{GrantId, OrganisationId};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::{all, one, unreadable};
use crate::ledger::Account;

/// Findings of one kind that are read; more say nothing more.
const FINDINGS_MAX: i64 = 20;

type Balances = BTreeMap<(Account, Option<GrantId>), i64>;

fn decode_balance(row: &QueryResult) -> Result<((Account, Option<GrantId>), i64), DbErr> {
    let account: String = row.try_get("", "account")?;
    let grant: String = row.try_get("", "grant_id")?;
    let grant = match grant.as_str() {
        "" => None,
        text => Some(GrantId::parse(text).map_err(|_| unreadable("grant_id", text))?),
    };
    let account = Account::parse(&account).ok_or_else(|| unreadable("account", &account))?;
    Ok(((account, grant), row.try_get("", "total")?))
}

/// The snapshot, without what is zero.
pub(crate) async fn balances(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Balances, DbErr> {
    let sql = "SELECT account, grant_id, amount_micro AS total FROM billing_balances
               WHERE organisation_id = $1 AND amount_micro <> 0";
    Ok(all(connection, sql, [organisation.into()], decode_balance).await?.into_iter().collect())
}

/// The same from the journal.
pub(crate) async fn fold(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Balances, DbErr> {
    let sql = "SELECT account, grant_id, CAST(SUM(amount_micro) AS BIGINT) AS total FROM billing_postings
               WHERE organisation_id = $1 GROUP BY account, grant_id HAVING SUM(amount_micro) <> 0";
    Ok(all(connection, sql, [organisation.into()], decode_balance).await?.into_iter().collect())
}

/// What was given and what was taken back of each grant, from the journal.
pub(crate) async fn granted_and_revoked(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<BTreeMap<GrantId, (i64, i64)>, DbErr> {
    let sql = "SELECT p.grant_id,
                 CAST(SUM(CASE WHEN t.kind = 'grant' THEN -p.amount_micro ELSE 0 END) AS BIGINT) AS granted,
                 CAST(SUM(CASE WHEN t.kind = 'grant' THEN 0 ELSE p.amount_micro END) AS BIGINT) AS revoked
               FROM billing_postings p
               JOIN billing_transactions t ON t.organisation_id = p.organisation_id AND t.number = p.number
               WHERE p.organisation_id = $1 AND p.account IN ('promo_expense', 'cash_clearing')
               GROUP BY p.grant_id";
    let rows = all(connection, sql, [organisation.into()], |row| {
        let grant: GrantId = row.try_get("", "grant_id")?;
        Ok((grant, (row.try_get("", "granted")?, row.try_get("", "revoked")?)))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Transactions whose lines do not sum to zero for some grant, or for costs.
pub(crate) async fn unbalanced(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Vec<i64>, DbErr> {
    let sql = "SELECT number FROM billing_postings WHERE organisation_id = $1
               GROUP BY number, grant_id HAVING SUM(amount_micro) <> 0 ORDER BY number LIMIT $2";
    all(connection, sql, [organisation.into(), FINDINGS_MAX.into()], |row| row.try_get("", "number")).await
}

/// How many transactions there are, the last number in the journal, and the last number given out.
pub(crate) async fn numbers(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<(i64, i64, i64), DbErr> {
    let sql = "SELECT COUNT(*) AS total, COALESCE(MAX(number), 0) AS last FROM billing_transactions
               WHERE organisation_id = $1";
    let counted = one(connection, sql, [organisation.into()], |row| {
        Ok((row.try_get("", "total")?, row.try_get("", "last")?))
    });
    let (total, last) = counted.await?.unwrap_or_default();
    Ok((total, last, super::ledger::last_number(connection, organisation).await?))
}

/// By grant: what open holds have taken, and what was charged less what was given back, from the holds.
pub(crate) async fn hold_parts(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<BTreeMap<GrantId, (i64, i64)>, DbErr> {
    let sql = "SELECT p.grant_id,
                 CAST(SUM(CASE WHEN h.state = 'held' THEN p.held_micro ELSE 0 END) AS BIGINT) AS held,
                 CAST(SUM(p.settled_micro - p.refunded_micro) AS BIGINT) AS spent
               FROM billing_hold_parts p JOIN billing_holds h ON h.run_id = p.run_id
               WHERE h.organisation_id = $1 GROUP BY p.grant_id";
    let rows = all(connection, sql, [organisation.into()], |row| {
        let grant: GrantId = row.try_get("", "grant_id")?;
        Ok((grant, (row.try_get("", "held")?, row.try_get("", "spent")?)))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Holds whose parts do not sum to what they say, or that were settled above what they held.
pub(crate) async fn broken_holds(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT h.run_id FROM billing_holds h
               LEFT JOIN billing_hold_parts p ON p.run_id = h.run_id
               WHERE h.organisation_id = $1
               GROUP BY h.run_id, h.held_micro, h.settled_micro, h.refunded_micro
               HAVING COALESCE(SUM(p.held_micro), 0) <> h.held_micro
                   OR COALESCE(SUM(p.settled_micro), 0) <> h.settled_micro
                   OR COALESCE(SUM(p.refunded_micro), 0) <> h.refunded_micro
                   OR h.settled_micro > h.held_micro OR h.refunded_micro > h.settled_micro
               LIMIT $2";
    all(connection, sql, [organisation.into(), FINDINGS_MAX.into()], |row| row.try_get("", "run_id")).await
}

/// Open holds of an organisation.
pub(crate) async fn open_holds(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<i64, DbErr> {
    let sql = "SELECT COUNT(*) AS total FROM billing_holds WHERE organisation_id = $1 AND ended_at IS NULL";
    Ok(one(connection, sql, [organisation.into()], |row| row.try_get("", "total")).await?.unwrap_or(0))
}

/// Caps whose counter is not the sum of what is charged on it, is below zero, or above the limit.
pub(crate) async fn broken_counters(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT k.mandate_id FROM mandate_counters k
               JOIN mandates m ON m.id = k.mandate_id
               LEFT JOIN mandate_charges c ON c.mandate_id = k.mandate_id AND c.period_start = k.period_start
               WHERE k.organisation_id = $1
               GROUP BY k.mandate_id, k.period_start, k.used_micro, m.envelope_micro
               HAVING COALESCE(SUM(c.amount_micro), 0) <> k.used_micro OR k.used_micro < 0
                   OR k.used_micro > m.envelope_micro OR COALESCE(MIN(c.amount_micro), 0) < 0
               LIMIT $2";
    let decode = |row: &QueryResult| row.try_get("", "mandate_id");
    all(connection, sql, [organisation.into(), FINDINGS_MAX.into()], decode).await
}

/// Mandates that have ended and whose account still holds credits.
pub(crate) async fn stranded(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT b.account FROM billing_balances b
               JOIN mandates m ON m.organisation_id = b.organisation_id AND b.account = 'envelope:' || m.id
               WHERE b.organisation_id = $1 AND b.amount_micro <> 0 AND m.state <> 'active' LIMIT $2";
    all(connection, sql, [organisation.into(), FINDINGS_MAX.into()], |row| row.try_get("", "account")).await
}
