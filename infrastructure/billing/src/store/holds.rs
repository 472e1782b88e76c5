//! Holds and their parts.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{HoldId, MandateId, OrganisationId, ProjectId, UserId};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::{all, execute, insert_many, one, unreadable};
use crate::ledger::{Account, Part};

/// Where a hold stands. It ends exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// The credits are taken, nothing is decided.
    Held,
    /// What was used is charged, the rest returned.
    Settled,
    /// Everything returned.
    Voided,
}

impl HoldState {
    /// As text, in rows and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled => "settled",
            Self::Voided => "voided",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Held, Self::Settled, Self::Voided].into_iter().find(|state| state.as_str() == text)
    }
}

/// Credits that a run has taken, and what became of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The run; also the name of the hold.
    pub run: HoldId,
    /// Whose credits.
    pub organisation: OrganisationId,
    /// For which project.
    pub project: Option<ProjectId>,
    /// Who runs.
    pub actor: UserId,
    /// Under which mandate.
    pub mandate: MandateId,
    /// That mandate and its ancestors, up to the root.
    pub chain: Vec<MandateId>,
    /// What is done, for example `tools.run`.
    pub action: String,
    /// With which tool; may be empty.
    pub tool: String,
    /// Where it stands.
    pub state: HoldState,
    /// What was taken.
    pub held_micro: i64,
    /// What of it was charged.
    pub settled_micro: i64,
    /// What of that was given back since.
    pub refunded_micro: i64,
    /// What we paid ourselves.
    pub absorbed_micro: i64,
    /// Why it ended.
    pub reason: String,
    /// What the hold was asked with, hashed.
    pub body_hash: String,
    /// When somebody should be told that it is still open.
    pub overdue_at: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What came from which grant, in the order taken.
    pub parts: Vec<Part>,
}

const COLUMNS: &str = "run_id, organisation_id, project_id, actor_id, mandate_id, mandate_chain, action, tool, \
                       state, held_micro, settled_micro, refunded_micro, absorbed_micro, reason, body_hash, \
                       overdue_at, created_at, ended_at";

fn decode(row: &QueryResult) -> Result<Hold, DbErr> {
    let state: String = row.try_get("", "state")?;
    let chain: String = row.try_get("", "mandate_chain")?;
    Ok(Hold {
        run: row.try_get("", "run_id")?,
        organisation: row.try_get("", "organisation_id")?,
        project: row.try_get("", "project_id")?,
        actor: row.try_get("", "actor_id")?,
        mandate: row.try_get("", "mandate_id")?,
        chain: chain.split_whitespace().filter_map(|id| MandateId::parse(id).ok()).collect(),
        action: row.try_get("", "action")?,
        tool: row.try_get("", "tool")?,
        state: HoldState::parse(&state).ok_or_else(|| unreadable("state", &state))?,
        held_micro: row.try_get("", "held_micro")?,
        settled_micro: row.try_get("", "settled_micro")?,
        refunded_micro: row.try_get("", "refunded_micro")?,
        absorbed_micro: row.try_get("", "absorbed_micro")?,
        reason: row.try_get("", "reason")?,
        body_hash: row.try_get("", "body_hash")?,
        overdue_at: row.try_get("", "overdue_at")?,
        created_at: row.try_get("", "created_at")?,
        ended_at: row.try_get("", "ended_at")?,
        parts: Vec::new(),
    })
}

fn decode_part(row: &QueryResult) -> Result<Part, DbErr> {
    let source: String = row.try_get("", "source")?;
    Ok(Part {
        source: Account::parse(&source).ok_or_else(|| unreadable("source", &source))?,
        grant: row.try_get("", "grant_id")?,
        kind: super::grants::decode_kind(row)?,
        held_micro: row.try_get("", "held_micro")?,
        settled_micro: row.try_get("", "settled_micro")?,
        refunded_micro: row.try_get("", "refunded_micro")?,
    })
}

/// The hold with its parts.
pub(crate) async fn find(connection: &impl ConnectionTrait, run: HoldId) -> Result<Option<Hold>, DbErr> {
    let sql = format!("SELECT {COLUMNS} FROM billing_holds WHERE run_id = $1");
    let Some(mut hold) = one(connection, &sql, [run.into()], decode).await? else { return Ok(None) };
    let sql = "SELECT source, grant_id, kind, held_micro, settled_micro, refunded_micro
               FROM billing_hold_parts WHERE run_id = $1 ORDER BY ordinal";
    hold.parts = all(connection, sql, [run.into()], decode_part).await?;
    Ok(Some(hold))
}

/// Whose hold it is, without reading it whole.
pub(crate) async fn organisation_of(
    connection: &impl ConnectionTrait,
    run: HoldId,
) -> Result<Option<OrganisationId>, DbErr> {
    let sql = "SELECT organisation_id FROM billing_holds WHERE run_id = $1";
    one(connection, sql, [run.into()], |row| row.try_get("", "organisation_id")).await
}

pub(crate) async fn insert(tx: &WriteTx, hold: &Hold) -> Result<(), DbErr> {
    let chain: Vec<String> = hold.chain.iter().map(ToString::to_string).collect();
    let sql = format!(
        "INSERT INTO billing_holds ({COLUMNS})
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
    );
    let values: [Value; 18] = [
        hold.run.into(),
        hold.organisation.into(),
        hold.project.into(),
        hold.actor.into(),
        hold.mandate.into(),
        chain.join(" ").into(),
        hold.action.clone().into(),
        hold.tool.clone().into(),
        hold.state.as_str().into(),
        hold.held_micro.into(),
        hold.settled_micro.into(),
        hold.refunded_micro.into(),
        hold.absorbed_micro.into(),
        hold.reason.clone().into(),
        hold.body_hash.clone().into(),
        hold.overdue_at.into(),
        hold.created_at.into(),
        hold.ended_at.into(),
    ];
    execute(&**tx, &sql, values).await?;
    let rows = (0_i64..).zip(&hold.parts).map(|(ordinal, part)| {
        vec![
            hold.run.into(),
            ordinal.into(),
            hold.organisation.into(),
            part.source.to_string().into(),
            part.grant.into(),
            part.kind.as_str().into(),
            part.held_micro.into(),
            part.settled_micro.into(),
            part.refunded_micro.into(),
        ]
    });
    let head = "INSERT INTO billing_hold_parts (run_id, ordinal, organisation_id, source, grant_id, kind, \
                held_micro, settled_micro, refunded_micro)";
    insert_many(&**tx, head, rows.collect(), "", |_| Ok(())).await?;
    Ok(())
}

/// Writes what became of the hold and of each part.
pub(crate) async fn update(tx: &WriteTx, hold: &Hold) -> Result<(), DbErr> {
    let sql = "UPDATE billing_holds SET state = $2, settled_micro = $3, refunded_micro = $4,
               absorbed_micro = $5, reason = $6, ended_at = $7 WHERE run_id = $1";
    let values: [Value; 7] = [
        hold.run.into(),
        hold.state.as_str().into(),
        hold.settled_micro.into(),
        hold.refunded_micro.into(),
        hold.absorbed_micro.into(),
        hold.reason.clone().into(),
        hold.ended_at.into(),
    ];
    execute(&**tx, sql, values).await?;
    for (ordinal, part) in (0_i64..).zip(&hold.parts) {
        let sql = "UPDATE billing_hold_parts SET settled_micro = $3, refunded_micro = $4
                   WHERE run_id = $1 AND ordinal = $2";
        let values: [Value; 4] =
            [hold.run.into(), ordinal.into(), part.settled_micro.into(), part.refunded_micro.into()];
        execute(&**tx, sql, values).await?;
    }
    Ok(())
}

/// Open holds that are overdue and that nobody was told of yet.
pub(crate) async fn overdue(
    connection: &impl ConnectionTrait,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<HoldId>, DbErr> {
    let sql = "SELECT run_id FROM billing_holds
               WHERE ended_at IS NULL AND alerted_at IS NULL AND overdue_at <= $1 ORDER BY overdue_at LIMIT $2";
    all(connection, sql, [now.into(), limit.into()], |row| row.try_get("", "run_id")).await
}

/// Open and overdue holds in all organisations: open, overdue.
pub(crate) async fn count_open(
    connection: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<(i64, i64), DbErr> {
    let sql =
        "SELECT COUNT(*) AS open, COALESCE(SUM(CASE WHEN overdue_at <= $1 THEN 1 ELSE 0 END), 0) AS overdue
               FROM billing_holds WHERE ended_at IS NULL";
    let counts =
        one(connection, sql, [now.into()], |row| Ok((row.try_get("", "open")?, row.try_get("", "overdue")?)))
            .await?;
    Ok(counts.unwrap_or_default())
}

/// Marks an overdue hold as told. False where it ended, or somebody else told.
pub(crate) async fn mark_alerted(tx: &WriteTx, run: HoldId, now: Timestamp) -> Result<bool, DbErr> {
    let sql = "UPDATE billing_holds SET alerted_at = $2
               WHERE run_id = $1 AND ended_at IS NULL AND alerted_at IS NULL";
    Ok(execute(&**tx, sql, [run.into(), now.into()]).await? == 1)
}
