//! The journal and its snapshot.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{GrantId, OrganisationId};
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Value};

use super::{all, execute, insert_many, one, unreadable};
use crate::error::Error;
use crate::ledger::{Account, Entry, EntryKind, Lot, Posting};

/// An organisation's ledger, locked for this transaction.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) organisation: OrganisationId,
    last_number: i64,
}

pub(crate) async fn open(tx: &WriteTx, organisation: OrganisationId, now: Timestamp) -> Result<(), DbErr> {
    let sql = "INSERT INTO billing_ledgers (organisation_id, last_number, mandate_version, created_at)
               VALUES ($1, 0, 0, $2)";
    execute(&**tx, sql, [organisation.into(), now.into()]).await?;
    Ok(())
}

/// Locks the organisation's ledger until the transaction ends.
pub(crate) async fn lock(tx: &WriteTx, organisation: OrganisationId) -> Result<Ledger, Error> {
    let wait = if tx.backend() == DatabaseBackend::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT last_number FROM billing_ledgers WHERE organisation_id = $1 {wait}");
    let last_number = one(&**tx, &sql, [organisation.into()], |row| row.try_get("", "last_number")).await?;
    let last_number = last_number.ok_or(Error::UnknownOrganisation(organisation))?;
    Ok(Ledger { organisation, last_number })
}

pub(crate) async fn exists(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<bool, DbErr> {
    let sql = "SELECT last_number FROM billing_ledgers WHERE organisation_id = $1";
    let found: Option<i64> =
        one(connection, sql, [organisation.into()], |row| row.try_get("", "last_number")).await?;
    Ok(found.is_some())
}

/// Appends an entry and moves the snapshot with it. An entry without lines leaves no trace.
async fn post(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    subject: &str,
    entry: &Entry,
) -> Result<(), Error> {
    if entry.postings().is_empty() {
        return Ok(());
    }
    let organisation = ledger.organisation;
    ledger.last_number += 1;
    let number = ledger.last_number;
    let sql = "UPDATE billing_ledgers SET last_number = $2 WHERE organisation_id = $1";
    execute(&**tx, sql, [organisation.into(), number.into()]).await?;
    let sql = "INSERT INTO billing_transactions (organisation_id, number, kind, subject, created_at)
               VALUES ($1, $2, $3, $4, $5)";
    let values: [Value; 5] =
        [organisation.into(), number.into(), entry.kind().as_str().into(), subject.into(), now.into()];
    execute(&**tx, sql, values).await?;
    let lines = (0_i64..).zip(entry.postings()).map(|(ordinal, posting)| {
        let account = posting.account.to_string();
        let amount = posting.amount_micro;
        vec![
            organisation.into(),
            number.into(),
            ordinal.into(),
            account.into(),
            tag(posting.grant),
            amount.into(),
        ]
    });
    let head =
        "INSERT INTO billing_postings (organisation_id, number, ordinal, account, grant_id, amount_micro)";
    insert_many(&**tx, head, lines.collect(), "", |_| Ok(())).await?;
    move_snapshot(tx, organisation, entry).await
}

/// Appends the lines in as many entries as they take.
pub(crate) async fn post_lines(
    tx: &WriteTx,
    ledger: &mut Ledger,
    now: Timestamp,
    subject: &str,
    kind: EntryKind,
    lines: Vec<Posting>,
) -> Result<(), Error> {
    for entry in Entry::several(kind, lines)? {
        post(tx, ledger, now, subject, &entry).await?;
    }
    Ok(())
}

/// Adds the entry's changes to the balances; refuses the transaction where an account that holds credits
/// would go below zero.
async fn move_snapshot(tx: &WriteTx, organisation: OrganisationId, entry: &Entry) -> Result<(), Error> {
    let rows = entry.changes().into_iter().map(|((account, grant), amount)| {
        vec![organisation.into(), account.to_string().into(), tag(grant), amount.into()]
    });
    let head = "INSERT INTO billing_balances (organisation_id, account, grant_id, amount_micro)";
    let tail = "ON CONFLICT (organisation_id, account, grant_id)
                DO UPDATE SET amount_micro = billing_balances.amount_micro + excluded.amount_micro
                RETURNING account, amount_micro";
    let moved = insert_many(&**tx, head, rows.collect(), tail, |row| {
        let account: String = row.try_get("", "account")?;
        let account = Account::parse(&account).ok_or_else(|| unreadable("account", &account))?;
        Ok((account, row.try_get::<i64>("", "amount_micro")?))
    })
    .await?;
    match moved.into_iter().find(|(account, amount)| account.holds_credits() && *amount < 0) {
        Some((account, amount_micro)) => Err(Error::Overdrawn { account, amount_micro }),
        None => Ok(()),
    }
}

fn tag(grant: Option<GrantId>) -> Value {
    grant.map(|grant| grant.to_string()).unwrap_or_default().into()
}

/// What is available of each grant: in the organisation's own accounts, or in one envelope.
pub(crate) async fn lots(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    envelope: Option<Account>,
) -> Result<Vec<Lot>, DbErr> {
    let account = envelope.map_or_else(|| "grant:%".to_owned(), |account| account.to_string());
    let sql = "SELECT g.id, g.kind, g.priority, g.effective_at, g.expires_at, g.returned_until, g.created_at,
                 b.amount_micro
               FROM billing_balances b JOIN billing_grants g ON g.id = b.grant_id
               WHERE b.organisation_id = $1 AND b.account LIKE $2 AND b.amount_micro > 0";
    all(connection, sql, [organisation.into(), account.into()], super::grants::decode_lot).await
}

/// One transaction of the journal, with its lines.
#[derive(Debug, Clone)]
pub(crate) struct TransactionRow {
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) created_at: Timestamp,
    /// Account, grant (empty for costs), amount.
    pub(crate) postings: Vec<(String, String, i64)>,
}

/// Transactions with numbers in `first..=last`, ascending, with their lines.
pub(crate) async fn transactions(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    first: i64,
    last: i64,
) -> Result<Vec<TransactionRow>, DbErr> {
    let range: [Value; 3] = [organisation.into(), first.into(), last.into()];
    let sql = "SELECT number, kind, subject, created_at FROM billing_transactions
               WHERE organisation_id = $1 AND number BETWEEN $2 AND $3 ORDER BY number";
    let mut rows = all(connection, sql, range.clone(), |row| {
        Ok(TransactionRow {
            number: row.try_get("", "number")?,
            kind: row.try_get("", "kind")?,
            subject: row.try_get("", "subject")?,
            created_at: row.try_get("", "created_at")?,
            postings: Vec::new(),
        })
    })
    .await?;
    let sql = "SELECT number, account, grant_id, amount_micro FROM billing_postings
               WHERE organisation_id = $1 AND number BETWEEN $2 AND $3 ORDER BY number, ordinal";
    let lines = all(connection, sql, range, |row| {
        let line =
            (row.try_get("", "account")?, row.try_get("", "grant_id")?, row.try_get("", "amount_micro")?);
        Ok((row.try_get::<i64>("", "number")?, line))
    })
    .await?;
    for (number, line) in lines {
        if let Ok(index) = rows.binary_search_by_key(&number, |row| row.number) {
            rows[index].postings.push(line);
        }
    }
    Ok(rows)
}

/// The number of the last transaction; 0 where there is none.
pub(crate) async fn last_number(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<i64, DbErr> {
    let sql = "SELECT last_number FROM billing_ledgers WHERE organisation_id = $1";
    let last = one(connection, sql, [organisation.into()], |row| row.try_get("", "last_number")).await?;
    Ok(last.unwrap_or(0))
}

/// Organisations in the order of their ids, after `after`.
pub(crate) async fn organisations(
    connection: &impl ConnectionTrait,
    after: &str,
    limit: i64,
) -> Result<Vec<OrganisationId>, DbErr> {
    let sql = "SELECT organisation_id FROM billing_ledgers WHERE organisation_id > $1
               ORDER BY organisation_id LIMIT $2";
    all(connection, sql, [after.into(), limit.into()], |row| row.try_get("", "organisation_id")).await
}

/// Authority in the organisation changed.
pub(crate) async fn raise_mandate_version(tx: &WriteTx, organisation: OrganisationId) -> Result<(), DbErr> {
    let sql = "UPDATE billing_ledgers SET mandate_version = mandate_version + 1 WHERE organisation_id = $1";
    execute(&**tx, sql, [organisation.into()]).await?;
    Ok(())
}
