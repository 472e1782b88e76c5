//! Rows of machines.

use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_time::Timestamp;
use sea_orm::{DbErr, QueryResult, Value};

use super::{broken, execute, places, rows};
use crate::{
    error::Error,
    machine::{Machine, MachineState},
};

const COLUMNS: &str = "id, pool, agent, state, reason, message, epoch, workers, price_micro_per_hour, ordered_at, \
    created_at, joined_at, leaving_at, gone_at";

fn decode(row: &QueryResult) -> Result<Machine, DbErr> {
    let state: String = row.try_get("", "state")?;
    Ok(Machine {
        id: row.try_get("", "id")?,
        pool: row.try_get("", "pool")?,
        agent: row.try_get("", "agent")?,
        state: MachineState::parse(&state).ok_or_else(|| broken(&state))?,
        reason: row.try_get("", "reason")?,
        message: row.try_get("", "message")?,
        epoch: u64::try_from(row.try_get::<i64>("", "epoch")?).unwrap_or_default(),
        workers: u32::try_from(row.try_get::<i64>("", "workers")?).unwrap_or(1),
        price_micro_per_hour: row.try_get("", "price_micro_per_hour")?,
        ordered_at: row.try_get("", "ordered_at")?,
        created_at: row.try_get("", "created_at")?,
        joined_at: row.try_get("", "joined_at")?,
        leaving_at: row.try_get("", "leaving_at")?,
        gone_at: row.try_get("", "gone_at")?,
    })
}

/// All machines that are not gone, and those that went after `since`.
pub(crate) async fn machines(db: &Db, since: Timestamp) -> Result<Vec<Machine>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM machines WHERE gone_at IS NULL OR gone_at > $1");
    let found = rows(db, &sql, vec![since.into()]).await?;
    Ok(found.iter().map(decode).collect::<Result<_, _>>()?)
}

/// Writes a machine as it is now.
pub(crate) async fn machine_write(tx: &WriteTx, machine: &Machine) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO machines ({COLUMNS}) VALUES ({})
         ON CONFLICT (id) DO UPDATE SET agent = excluded.agent, state = excluded.state, reason = excluded.reason,
             message = excluded.message, created_at = excluded.created_at, joined_at = excluded.joined_at,
             leaving_at = excluded.leaving_at, gone_at = excluded.gone_at",
        places(1, 14)
    );
    let values: Vec<Value> = vec![
        machine.id.as_str().into(),
        machine.pool.as_str().into(),
        machine.agent.as_str().into(),
        machine.state.as_str().into(),
        machine.reason.as_str().into(),
        machine.message.as_str().into(),
        i64::try_from(machine.epoch).unwrap_or(i64::MAX).into(),
        i64::from(machine.workers).into(),
        machine.price_micro_per_hour.into(),
        machine.ordered_at.into(),
        machine.created_at.into(),
        machine.joined_at.into(),
        machine.leaving_at.into(),
        machine.gone_at.into(),
    ];
    execute(tx, &sql, values).await?;
    Ok(())
}

/// Forgets machines that were gone before `before`, at most `limit` of them.
pub(crate) async fn delete_machines(tx: &WriteTx, before: Timestamp, limit: u32) -> Result<u64, Error> {
    let sql = format!(
        "DELETE FROM machines WHERE id IN (
             SELECT id FROM machines WHERE gone_at < $1 ORDER BY gone_at LIMIT {limit})"
    );
    Ok(execute(tx, &sql, vec![before.into()]).await?)
}
