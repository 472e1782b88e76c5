//! All SQL of the collector. SQLite and PostgreSQL take the same statements.

use backlot_data_api::Quarantined;
use backlot_data_lake::{EventRow, WaitingEvent};
use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_time::Timestamp;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, Statement, Value};

use crate::registry::Refusal;

/// Ids written by one statement when the lake's ids are adopted.
const IDS_A_STATEMENT: usize = 500;

/// Columns of an event, in the order of [`values`].
const COLUMNS: &str = "id, type, version, source, subject, organisation, actor, time_us, data, received_us";

fn values(event: &EventRow) -> Vec<Value> {
    vec![
        event.id.clone().into(),
        event.event_type.clone().into(),
        event.version.into(),
        event.source.clone().into(),
        event.subject.clone().into(),
        event.organisation.clone().into(),
        event.actor.clone().into(),
        event.time_us.into(),
        event.data_json.clone().into(),
        event.received_us.into(),
    ]
}

fn event_of(row: &QueryResult) -> Result<EventRow, DbErr> {
    Ok(EventRow {
        id: row.try_get("", "id")?,
        event_type: row.try_get("", "type")?,
        version: row.try_get("", "version")?,
        source: row.try_get("", "source")?,
        subject: row.try_get("", "subject")?,
        organisation: row.try_get("", "organisation")?,
        actor: row.try_get("", "actor")?,
        time_us: row.try_get("", "time_us")?,
        data_json: row.try_get("", "data")?,
        received_us: row.try_get("", "received_us")?,
    })
}

async fn execute(tx: &WriteTx, sql: &str, values: Vec<Value>) -> Result<u64, DbErr> {
    Ok(tx.execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?.rows_affected())
}

/// The one row of the collector's state.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct State {
    /// The name under which it delivers to the lake.
    pub(crate) application: String,
    /// Whether it knows the ids that were in the lake before it.
    pub(crate) adopted: i32,
}

/// The state; made with `application` where there is none.
pub(crate) async fn state(tx: &WriteTx, application: &str) -> Result<State, DbErr> {
    let insert = "INSERT INTO collector_state (id, application, position, adopted) VALUES (1, $1, 0, 0)
                  ON CONFLICT (id) DO NOTHING";
    execute(tx, insert, vec![application.into()]).await?;
    let sql = "SELECT application, adopted FROM collector_state WHERE id = 1";
    let row = tx.query_one_raw(Statement::from_string(tx.backend(), sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("collector_state".to_owned()))?;
    State::from_query_result(&row, "")
}

/// Remembers ids that are in the lake already, and that this has been done.
pub(crate) async fn adopt(tx: &WriteTx, ids: &[String], now: Timestamp) -> Result<(), DbErr> {
    for part in ids.chunks(IDS_A_STATEMENT) {
        let places: Vec<String> = (1..=part.len()).map(|n| format!("(${n}, {})", now.micros())).collect();
        let sql = format!(
            "INSERT INTO seen_events (id, received_us) VALUES {} ON CONFLICT (id) DO NOTHING",
            places.join(", ")
        );
        execute(tx, &sql, part.iter().map(|id| id.clone().into()).collect()).await?;
    }
    execute(tx, "UPDATE collector_state SET adopted = 1 WHERE id = 1", vec![]).await?;
    Ok(())
}

/// Stages an accepted event; false where its id was seen before.
///
/// The state's row is locked first, by everybody: positions are then in commit order, so that the loader,
/// which delivers everything up to a position, never passes a row that commits later.
pub(crate) async fn stage(tx: &WriteTx, event: &EventRow) -> Result<bool, DbErr> {
    let next = "UPDATE collector_state SET position = position + 1 WHERE id = 1 RETURNING position";
    let row = tx.query_one_raw(Statement::from_string(tx.backend(), next)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("collector_state".to_owned()))?;
    let position: i64 = row.try_get("", "position")?;
    let remember = "INSERT INTO seen_events (id, received_us) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    if execute(tx, remember, vec![event.id.clone().into(), event.received_us.into()]).await? == 0 {
        return Ok(false);
    }
    let sql = format!(
        "INSERT INTO staged_events ({COLUMNS}, position) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    );
    let mut values = values(event);
    values.push(position.into());
    execute(tx, &sql, values).await?;
    Ok(true)
}

/// Staged events in the order of their positions.
pub(crate) async fn staged(db: &Db, limit: usize) -> Result<Vec<WaitingEvent>, DbErr> {
    let sql = format!("SELECT position, {COLUMNS} FROM staged_events ORDER BY position LIMIT {limit}");
    let rows = db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await?;
    rows.iter()
        .map(|row| Ok(WaitingEvent { position: row.try_get("", "position")?, row: event_of(row)? }))
        .collect()
}

/// When the last event was read; 0 where none was.
pub(crate) async fn last_received_us(db: &Db) -> Result<i64, DbErr> {
    let sql = "SELECT max(received_us) AS at FROM seen_events";
    let row = db.read().query_one_raw(Statement::from_string(db.backend(), sql)).await?;
    let at: Option<i64> = row.map(|row| row.try_get("", "at")).transpose()?.flatten();
    Ok(at.unwrap_or(0))
}

/// Forgets staged events that are in the lake.
pub(crate) async fn unstage(tx: &WriteTx, position: i64) -> Result<u64, DbErr> {
    execute(tx, "DELETE FROM staged_events WHERE position <= $1", vec![position.into()]).await
}

/// Forgets ids that were seen before `before`.
pub(crate) async fn forget(tx: &WriteTx, before: Timestamp) -> Result<u64, DbErr> {
    execute(tx, "DELETE FROM seen_events WHERE received_us < $1", vec![before.into()]).await
}

/// A schema of the registry.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct StoredSchema {
    #[sea_orm(alias = "type")]
    pub(crate) event_type: String,
    pub(crate) version: i32,
    pub(crate) source: String,
    pub(crate) json: String,
}

/// The registry as it was last told.
pub(crate) async fn schemas(db: &Db) -> Result<Vec<StoredSchema>, DbErr> {
    let sql = "SELECT type, version, source, json FROM event_schemas";
    let rows = db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await?;
    rows.iter().map(|row| StoredSchema::from_query_result(row, "")).collect()
}

/// Writes a schema; a source may only change its own. False where it is another's.
pub(crate) async fn put_schema(tx: &WriteTx, schema: &StoredSchema, now: Timestamp) -> Result<bool, DbErr> {
    let sql = "INSERT INTO event_schemas (type, version, source, json, learned_us) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (type, version) DO UPDATE SET json = excluded.json, learned_us = excluded.learned_us
               WHERE event_schemas.source = excluded.source";
    let values = vec![
        schema.event_type.clone().into(),
        schema.version.into(),
        schema.source.clone().into(),
        schema.json.clone().into(),
        now.into(),
    ];
    Ok(execute(tx, sql, values).await? > 0)
}

/// Sets an event aside, whole. The same event again changes nothing.
pub(crate) async fn quarantine(tx: &WriteTx, event: &EventRow, refusal: &Refusal) -> Result<(), DbErr> {
    let sql = format!(
        "INSERT INTO quarantined_events ({COLUMNS}, reason, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING"
    );
    let mut values = values(event);
    values.push(refusal.reason.name().into());
    values.push(refusal.detail.clone().into());
    execute(tx, &sql, values).await?;
    Ok(())
}

/// Quarantined events with a number above `after`, oldest first; of one source where one is named.
pub(crate) async fn quarantined_after(
    tx: &WriteTx,
    after: i64,
    unknown_only: bool,
    limit: usize,
) -> Result<Vec<(i64, EventRow)>, DbErr> {
    let filter = if unknown_only { "AND reason IN ('unknown_type', 'unknown_version')" } else { "" };
    let sql = format!(
        "SELECT number, {COLUMNS} FROM quarantined_events WHERE number > $1 {filter} ORDER BY number LIMIT {limit}"
    );
    let statement = Statement::from_sql_and_values(tx.backend(), sql, [after.into()]);
    let rows = tx.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok((row.try_get("", "number")?, event_of(row)?))).collect()
}

/// Takes an event out of the quarantine.
pub(crate) async fn release(tx: &WriteTx, number: i64) -> Result<(), DbErr> {
    execute(tx, "DELETE FROM quarantined_events WHERE number = $1", vec![number.into()]).await?;
    Ok(())
}

/// Keeps an event in the quarantine, with today's reason.
pub(crate) async fn refuse_again(tx: &WriteTx, number: i64, refusal: &Refusal) -> Result<(), DbErr> {
    let sql = "UPDATE quarantined_events SET reason = $2, detail = $3 WHERE number = $1";
    let values = vec![number.into(), refusal.reason.name().into(), refusal.detail.clone().into()];
    execute(tx, sql, values).await?;
    Ok(())
}

/// Quarantined events with a number below `before`, newest first.
pub(crate) async fn quarantined(db: &Db, before: i64, limit: usize) -> Result<Vec<Quarantined>, DbErr> {
    let sql = format!(
        "SELECT number, {COLUMNS}, reason, detail FROM quarantined_events WHERE number < $1
         ORDER BY number DESC LIMIT {limit}"
    );
    let statement = Statement::from_sql_and_values(db.backend(), sql, [before.into()]);
    let rows = db.read().query_all_raw(statement).await?;
    let item = |row: &QueryResult| {
        let event = event_of(row)?;
        Ok(Quarantined {
            number: row.try_get("", "number")?,
            event_id: event.id,
            event_type: event.event_type,
            version: event.version,
            source: event.source,
            reason: row.try_get("", "reason")?,
            detail: row.try_get("", "detail")?,
            received_at: Timestamp::from_micros(event.received_us),
            data: event.data_json,
        })
    };
    rows.iter().map(item).collect()
}

/// How many events are in the quarantine.
pub(crate) async fn quarantine_size(db: &Db) -> Result<u64, DbErr> {
    let sql = "SELECT count(*) AS n FROM quarantined_events";
    let row = db.read().query_one_raw(Statement::from_string(db.backend(), sql)).await?;
    let count: i64 = row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}
