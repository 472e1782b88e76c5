//! The outbox: events written in the transaction of the change, read in commit order.
//!
//! On SQLite there is one writer, so the sequence is the commit order. On PostgreSQL a row carries its
//! transaction's id; readers order by (transaction id, sequence) and read only below the oldest
//! transaction that still runs, so that nothing can later appear behind a cursor.

use std::fmt;
use std::str::FromStr;

use backlot_foundation_db::{Db, DbError, WriteTx};
use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement};

use crate::{EventType, v1};

/// Who, whose, when: the envelope of an event.
#[derive(Debug, Clone, Default)]
pub struct EventMeta {
    /// Pseudonymous id of the thing that changed.
    pub subject: String,
    /// Pseudonymous id of the tenant; may be empty.
    pub organisation: String,
    /// Pseudonymous id of the person or service; may be empty.
    pub actor: String,
    /// When it happened.
    pub time: Timestamp,
}

/// Writes an event in the transaction of its change.
pub async fn publish<E: EventType>(tx: &WriteTx, meta: EventMeta, data: &E) -> Result<(), DbError> {
    let json = serde_json::to_string(data).map_err(|error| DbErr::Json(error.to_string()))?;
    publish_raw(tx, meta, E::TYPE, E::VERSION, json).await
}

/// Writes an event whose type is known only at run time.
pub async fn publish_raw(
    tx: &WriteTx,
    meta: EventMeta,
    event_type: &str,
    version: u32,
    data_json: String,
) -> Result<(), DbError> {
    let traceparent = backlot_foundation_telemetry::traceparent();
    let one = Raw { meta: &meta, event_type, version, data_json: &data_json, traceparent };
    publish_all(tx, std::iter::once(one)).await
}

/// An event whose type is known only at run time, and the trace that it belongs to.
#[derive(Debug)]
pub struct Raw<'a> {
    /// Who, whose, when.
    pub meta: &'a EventMeta,
    /// Its type.
    pub event_type: &'a str,
    /// Version of its schema.
    pub version: u32,
    /// What it says.
    pub data_json: &'a str,
    /// W3C trace context; may be empty.
    pub traceparent: String,
}

/// Events of one statement, the most first: few lengths, so that few statements are prepared.
const LENGTHS: [usize; 4] = [64, 16, 4, 1];
/// Values of an event.
const COLUMNS: usize = 9;

/// Writes events, in their order, in the transaction of their changes.
pub async fn publish_all<'a>(
    tx: &WriteTx,
    events: impl ExactSizeIterator<Item = Raw<'a>>,
) -> Result<(), DbError> {
    let txid = match tx.backend() {
        DatabaseBackend::Postgres => "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)",
        _ => "0",
    };
    let row = |n: usize| {
        let places: Vec<String> = (1..=COLUMNS).map(|place| format!("${}", n * COLUMNS + place)).collect();
        format!("({txid}, {})", places.join(", "))
    };
    let mut events = events;
    for length in LENGTHS {
        while events.len() >= length {
            let rows: Vec<String> = (0..length).map(row).collect();
            let sql = format!(
                "INSERT INTO outbox (txid, id, type, version, subject, organisation, actor, time_us, data, traceparent)
                 VALUES {}",
                rows.join(", ")
            );
            let values = events.by_ref().take(length).flat_map(values);
            tx.execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?;
        }
    }
    Ok(())
}

fn values(event: Raw<'_>) -> [sea_orm::Value; COLUMNS] {
    [
        Uuid::now_v7().to_string().into(),
        event.event_type.into(),
        i32::try_from(event.version).unwrap_or(i32::MAX).into(),
        event.meta.subject.as_str().into(),
        event.meta.organisation.as_str().into(),
        event.meta.actor.as_str().into(),
        event.meta.time.into(),
        event.data_json.into(),
        event.traceparent.into(),
    ]
}

/// A position in an outbox. Opaque to others; its text is `txid.seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor {
    txid: i64,
    seq: i64,
}

/// A text that no outbox gave out.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a cursor of this stream")]
pub struct CursorError(String);

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.txid, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let wrong = || CursorError(text.chars().take(64).collect());
        let (txid, seq) = text.split_once('.').ok_or_else(wrong)?;
        Ok(Self { txid: txid.parse().map_err(|_| wrong())?, seq: seq.parse().map_err(|_| wrong())? })
    }
}

/// What may be read now: rows of transactions older than every one that still runs.
fn settled(backend: DatabaseBackend) -> &'static str {
    match backend {
        DatabaseBackend::Postgres => {
            "txid < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)"
        }
        _ => "1 = 1",
    }
}

/// Reads up to `limit` settled events after `cursor`, in commit order.
pub(crate) async fn read_after(
    db: &Db,
    cursor: Cursor,
    limit: u32,
) -> Result<Vec<(Cursor, v1::Event)>, DbError> {
    let sql = format!(
        "SELECT txid, seq, id, type, version, subject, organisation, actor, time_us, data, traceparent
         FROM outbox WHERE (txid, seq) > ($1, $2) AND {} ORDER BY txid, seq LIMIT {limit}",
        settled(db.backend())
    );
    let statement =
        Statement::from_sql_and_values(db.backend(), sql, [cursor.txid.into(), cursor.seq.into()]);
    let rows = db.read().query_all_raw(statement).await?;
    rows.iter().map(|row| decode(row, db.system()).map_err(DbError::from)).collect()
}

/// Whether committed events wait behind a transaction that still runs. Always false on SQLite.
pub(crate) async fn has_unsettled(db: &Db, cursor: Cursor) -> Result<bool, DbError> {
    if db.backend() != DatabaseBackend::Postgres {
        return Ok(false);
    }
    let sql = "SELECT 1 AS one FROM outbox WHERE (txid, seq) > ($1, $2) LIMIT 1";
    let statement =
        Statement::from_sql_and_values(db.backend(), sql, [cursor.txid.into(), cursor.seq.into()]);
    Ok(db.read().query_one_raw(statement).await?.is_some())
}

/// The position after everything that is settled now, and after everything that was deleted.
pub(crate) async fn end(db: &Db) -> Result<Cursor, DbError> {
    Ok(newest(db).await?.max(horizon(db).await?))
}

async fn newest(db: &Db) -> Result<Cursor, DbError> {
    let sql = format!(
        "SELECT txid, seq FROM outbox WHERE {} ORDER BY txid DESC, seq DESC LIMIT 1",
        settled(db.backend())
    );
    let row = db.read().query_one_raw(Statement::from_string(db.backend(), sql)).await?;
    row.map_or(Ok(Cursor::default()), |row| Ok(position(&row)?))
}

/// The position up to which events were deleted: whoever stands before it has missed some.
pub(crate) async fn horizon(db: &Db) -> Result<Cursor, DbError> {
    let sql = "SELECT txid, seq FROM outbox_horizon WHERE id = 1";
    let row = db.read().query_one_raw(Statement::from_string(db.backend(), sql)).await?;
    row.map_or(Ok(Cursor::default()), |row| Ok(position(&row)?))
}

/// Deletes the oldest events that were written before `before`, at most `limit`, and moves the horizon behind them.
/// Their age is read from their ids: the time of a change may lie far from the time at which it was written.
pub(crate) async fn delete_oldest(tx: &WriteTx, before: Timestamp, limit: u32) -> Result<u64, DbError> {
    let backend = tx.backend();
    let sql = format!(
        "SELECT txid, seq, id, time_us FROM outbox WHERE {} ORDER BY txid, seq LIMIT {limit}",
        settled(backend)
    );
    let mut last = None;
    for row in tx.query_all_raw(Statement::from_string(backend, sql)).await? {
        let written = match Uuid::parse_str(&row.try_get::<String>("", "id")?).ok().and_then(written_at) {
            Some(at) => at,
            None => row.try_get("", "time_us")?,
        };
        if written >= before {
            break;
        }
        last = Some(position(&row)?);
    }
    let Some(Cursor { txid, seq }) = last else { return Ok(0) };
    let execute = async |sql: &str| {
        tx.execute_raw(Statement::from_sql_and_values(backend, sql, [txid.into(), seq.into()])).await
    };
    let deleted = execute("DELETE FROM outbox WHERE (txid, seq) <= ($1, $2)").await?.rows_affected();
    execute("UPDATE outbox_horizon SET txid = $1, seq = $2 WHERE id = 1 AND (txid, seq) < ($1, $2)").await?;
    Ok(deleted)
}

/// When an id was made, by itself.
fn written_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Some(Timestamp::from_micros(micros + i64::from(nanos / 1_000)))
}

fn position(row: &QueryResult) -> Result<Cursor, DbErr> {
    Ok(Cursor { txid: row.try_get("", "txid")?, seq: row.try_get("", "seq")? })
}

fn decode(row: &QueryResult, system: &str) -> Result<(Cursor, v1::Event), DbErr> {
    let cursor = position(row)?;
    let version: i32 = row.try_get("", "version")?;
    let event = v1::Event {
        id: row.try_get("", "id")?,
        r#type: row.try_get("", "type")?,
        version: u32::try_from(version).unwrap_or_default(),
        source: system.to_owned(),
        subject: row.try_get("", "subject")?,
        organisation: row.try_get("", "organisation")?,
        actor: row.try_get("", "actor")?,
        time_us: row.try_get("", "time_us")?,
        data_json: row.try_get("", "data")?,
        cursor: cursor.to_string(),
        traceparent: row.try_get("", "traceparent")?,
    };
    Ok((cursor, event))
}
