//! Mandates, their counters and charges.

use std::collections::BTreeSet;

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, OrganisationId, UserId};
use backlot_infrastructure_mandates::{
    ActionPattern, CHAIN_LINKS_MAX, Chain, Conditions, Envelope, Link, Mandate, Period, Scope, State,
};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::{all, execute, one, unreadable};
use crate::error::Error;

/// A mandate with what only the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MandateRow {
    /// The mandate.
    pub mandate: Mandate,
    /// For a transfer: the mandate whose account it was taken from; none: the organisation's grants.
    pub funded_by: Option<MandateId>,
    /// The role that it came with; empty where somebody gave it by hand.
    pub role: String,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it was taken back or ran out.
    pub ended_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, organisation_id, parent_id, grantor_id, grantee_id, project_id, actions, tools, \
                       max_unit_price_micro, envelope_mode, envelope_micro, period, funded_by, depth_max, \
                       not_before, expires_at, share_bps, state, purpose, role, created_at, ended_at";

fn decode(row: &QueryResult) -> Result<MandateRow, DbErr> {
    let count = |column: &str| -> Result<u32, DbErr> {
        let number: i64 = row.try_get("", column)?;
        u32::try_from(number).map_err(|_| unreadable(column, &number.to_string()))
    };
    let mandate = Mandate {
        id: row.try_get("", "id")?,
        parent: row.try_get("", "parent_id")?,
        grantor: row.try_get("", "grantor_id")?,
        grantee: row.try_get("", "grantee_id")?,
        scope: Scope {
            organisation: row.try_get("", "organisation_id")?,
            project: row.try_get("", "project_id")?,
        },
        actions: decode_actions(row)?,
        conditions: Conditions {
            tools: row.try_get::<Option<String>>("", "tools")?.map(|tools| words(&tools)),
            max_unit_price_micro: row.try_get("", "max_unit_price_micro")?,
        },
        envelope: decode_envelope(row)?,
        depth_max: count("depth_max")?,
        not_before: row.try_get("", "not_before")?,
        expires_at: row.try_get("", "expires_at")?,
        share_bps: count("share_bps")?,
        state: decode_state(row)?,
        purpose: row.try_get("", "purpose")?,
    };
    Ok(MandateRow {
        mandate,
        funded_by: row.try_get("", "funded_by")?,
        role: row.try_get("", "role")?,
        created_at: row.try_get("", "created_at")?,
        ended_at: row.try_get("", "ended_at")?,
    })
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn decode_actions(row: &QueryResult) -> Result<BTreeSet<ActionPattern>, DbErr> {
    let text: String = row.try_get("", "actions")?;
    text.split_whitespace()
        .map(|pattern| ActionPattern::parse(pattern).map_err(|_| unreadable("actions", pattern)))
        .collect()
}

fn decode_envelope(row: &QueryResult) -> Result<Envelope, DbErr> {
    let mode: String = row.try_get("", "envelope_mode")?;
    let amount: Option<i64> = row.try_get("", "envelope_micro")?;
    let period: String = row.try_get("", "period")?;
    match (mode.as_str(), amount) {
        ("unlimited", None) => Ok(Envelope::Unlimited),
        ("transfer", Some(amount_micro)) => Ok(Envelope::Transfer { amount_micro }),
        ("cap", Some(limit_micro)) => {
            let period = parse_period(&period).ok_or_else(|| unreadable("period", &period))?;
            Ok(Envelope::Cap { limit_micro, period })
        }
        _ => Err(unreadable("envelope_mode", &mode)),
    }
}

/// Reads the name of a period.
pub(crate) fn parse_period(text: &str) -> Option<Period> {
    match text {
        "" | "life" => Some(Period::Life),
        "day" => Some(Period::Day),
        "month" => Some(Period::Month),
        _ => None,
    }
}

/// The name of a period.
pub(crate) const fn period_str(period: Period) -> &'static str {
    match period {
        Period::Life => "life",
        Period::Day => "day",
        Period::Month => "month",
    }
}

/// The name of a mandate's state.
pub(crate) const fn state_str(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Revoked => "revoked",
        State::Expired => "expired",
    }
}

fn decode_state(row: &QueryResult) -> Result<State, DbErr> {
    let text: String = row.try_get("", "state")?;
    [State::Active, State::Revoked, State::Expired]
        .into_iter()
        .find(|state| state_str(*state) == text)
        .ok_or_else(|| unreadable("state", &text))
}

/// Mode, amount and period as columns.
pub(crate) const fn envelope_parts(envelope: Envelope) -> (&'static str, Option<i64>, &'static str) {
    match envelope {
        Envelope::Unlimited => ("unlimited", None, "life"),
        Envelope::Cap { limit_micro, period } => ("cap", Some(limit_micro), period_str(period)),
        Envelope::Transfer { amount_micro } => ("transfer", Some(amount_micro), "life"),
    }
}

pub(crate) async fn insert(tx: &WriteTx, row: &MandateRow) -> Result<(), DbErr> {
    let mandate = &row.mandate;
    let (mode, amount, period) = envelope_parts(mandate.envelope);
    let actions: Vec<&str> = mandate.actions.iter().map(ActionPattern::as_str).collect();
    let tools = mandate.conditions.tools.as_ref().map(|tools| {
        let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
        tools.join(" ")
    });
    let sql = format!(
        "INSERT INTO mandates ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
         $15, $16, $17, $18, $19, $20, $21, $22)"
    );
    let values: [Value; 22] = [
        mandate.id.into(),
        mandate.scope.organisation.into(),
        mandate.parent.into(),
        mandate.grantor.into(),
        mandate.grantee.into(),
        mandate.scope.project.into(),
        actions.join(" ").into(),
        tools.into(),
        mandate.conditions.max_unit_price_micro.into(),
        mode.into(),
        amount.into(),
        period.into(),
        row.funded_by.into(),
        i64::from(mandate.depth_max).into(),
        mandate.not_before.into(),
        mandate.expires_at.into(),
        i64::from(mandate.share_bps).into(),
        state_str(mandate.state).into(),
        mandate.purpose.clone().into(),
        row.role.clone().into(),
        row.created_at.into(),
        row.ended_at.into(),
    ];
    execute(&**tx, &sql, values).await?;
    Ok(())
}

pub(crate) async fn find(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    id: MandateId,
) -> Result<Option<MandateRow>, DbErr> {
    let sql = format!("SELECT {COLUMNS} FROM mandates WHERE organisation_id = $1 AND id = $2");
    one(connection, &sql, [organisation.into(), id.into()], decode).await
}

/// The organisation's root.
pub(crate) async fn root(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Option<MandateRow>, DbErr> {
    let sql = format!("SELECT {COLUMNS} FROM mandates WHERE organisation_id = $1 AND parent_id IS NULL");
    one(connection, &sql, [organisation.into()], decode).await
}

/// Active mandates that this person holds.
pub(crate) async fn held_by(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    grantee: UserId,
) -> Result<Vec<MandateRow>, DbErr> {
    let sql = format!(
        "SELECT {COLUMNS} FROM mandates
         WHERE organisation_id = $1 AND grantee_id = $2 AND state = 'active' ORDER BY created_at, id"
    );
    all(connection, &sql, [organisation.into(), grantee.into()], decode).await
}

/// The mandates of an organisation, oldest first, so that a parent comes before its children; first those that live, of
/// which there are at most as many as `limit` should be: those that have ended only grow in number.
pub(crate) async fn of_organisation(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    limit: i64,
) -> Result<Vec<MandateRow>, DbErr> {
    let sql = format!(
        "SELECT {COLUMNS} FROM mandates WHERE organisation_id = $1
         ORDER BY CASE WHEN state = 'active' THEN 0 ELSE 1 END, created_at, id LIMIT $2"
    );
    all(connection, &sql, [organisation.into(), limit.into()], decode).await
}

/// Active mandates that were given out of this one.
pub(crate) async fn children(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    parent: MandateId,
) -> Result<Vec<MandateRow>, DbErr> {
    let sql = format!(
        "SELECT {COLUMNS} FROM mandates
         WHERE organisation_id = $1 AND parent_id = $2 AND state = 'active' ORDER BY created_at, id"
    );
    all(connection, &sql, [organisation.into(), parent.into()], decode).await
}

/// The parts of a mandate's benefit that active mandates below it have, added up.
pub(crate) async fn shared_bps(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    parent: MandateId,
) -> Result<u32, DbErr> {
    let sql = "SELECT CAST(COALESCE(SUM(share_bps), 0) AS BIGINT) AS total FROM mandates
               WHERE organisation_id = $1 AND parent_id = $2 AND state = 'active'";
    let total: Option<i64> =
        one(connection, sql, [organisation.into(), parent.into()], |row| row.try_get("", "total")).await?;
    Ok(u32::try_from(total.unwrap_or(0)).unwrap_or(u32::MAX))
}

/// How many live mandates an organisation has.
pub(crate) async fn count_active(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<i64, DbErr> {
    let sql = "SELECT COUNT(*) AS total FROM mandates WHERE organisation_id = $1 AND state = 'active'";
    let total = one(connection, sql, [organisation.into()], |row| row.try_get("", "total")).await?;
    Ok(total.unwrap_or(0))
}

/// How many live mandates this person has given that one by hand.
pub(crate) async fn count_given(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    grantor: UserId,
    grantee: UserId,
) -> Result<i64, DbErr> {
    let sql = "SELECT COUNT(*) AS total FROM mandates
               WHERE organisation_id = $1 AND grantee_id = $2 AND grantor_id = $3 AND state = 'active' AND role = ''";
    let values: [Value; 3] = [organisation.into(), grantee.into(), grantor.into()];
    Ok(one(connection, sql, values, |row| row.try_get("", "total")).await?.unwrap_or(0))
}

/// The mandate with its ancestors and what each envelope has seen, ready to decide over.
pub(crate) async fn chain(
    connection: &impl ConnectionTrait,
    leaf: Mandate,
    now: Timestamp,
) -> Result<Chain, Error> {
    let organisation = leaf.scope.organisation;
    let mut links = Vec::new();
    let mut next = Some(leaf);
    while let Some(mandate) = next {
        if links.len() > CHAIN_LINKS_MAX {
            break;
        }
        next = match mandate.parent {
            Some(parent) => find(connection, organisation, parent).await?.map(|row| row.mandate),
            None => None,
        };
        links.push(link(connection, mandate, now).await?);
    }
    Ok(Chain::new(links)?)
}

/// A mandate with what its envelope has seen.
pub(crate) async fn link(
    connection: &impl ConnectionTrait,
    mandate: Mandate,
    now: Timestamp,
) -> Result<Link, DbErr> {
    let (mut counted_micro, mut account_micro) = (0, 0);
    match mandate.envelope {
        Envelope::Unlimited => {}
        Envelope::Cap { period, .. } => {
            let sql = "SELECT used_micro FROM mandate_counters WHERE mandate_id = $1 AND period_start = $2";
            let values: [Value; 2] = [mandate.id.into(), period.start(now).into()];
            counted_micro =
                one(connection, sql, values, |row| row.try_get("", "used_micro")).await?.unwrap_or(0);
        }
        Envelope::Transfer { .. } => {
            let account = crate::ledger::Account::Envelope(mandate.id).to_string();
            let sql = "SELECT CAST(COALESCE(SUM(amount_micro), 0) AS BIGINT) AS total FROM billing_balances
                       WHERE organisation_id = $1 AND account = $2";
            let values: [Value; 2] = [mandate.scope.organisation.into(), account.into()];
            account_micro = one(connection, sql, values, |row| row.try_get("", "total")).await?.unwrap_or(0);
        }
    }
    Ok(Link { mandate, counted_micro, account_micro })
}

/// Ends a mandate. False where it had ended already.
pub(crate) async fn end(
    tx: &WriteTx,
    id: MandateId,
    state: State,
    now: Timestamp,
    by: Option<UserId>,
) -> Result<bool, DbErr> {
    let sql =
        "UPDATE mandates SET state = $2, ended_at = $3, ended_by = $4 WHERE id = $1 AND state = 'active'";
    let values: [Value; 4] = [id.into(), state_str(state).into(), now.into(), by.into()];
    Ok(execute(&**tx, sql, values).await? == 1)
}

/// Hands the root to another owner.
pub(crate) async fn hand_root_to(tx: &WriteTx, id: MandateId, owner: UserId) -> Result<(), DbErr> {
    let sql = "UPDATE mandates SET grantee_id = $2 WHERE id = $1 AND parent_id IS NULL";
    execute(&**tx, sql, [id.into(), owner.into()]).await?;
    Ok(())
}

/// Mandates whose time is over and that are still marked active.
pub(crate) async fn run_out(
    connection: &impl ConnectionTrait,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(OrganisationId, MandateId)>, DbErr> {
    let sql = "SELECT organisation_id, id FROM mandates
               WHERE expires_at IS NOT NULL AND ended_at IS NULL AND expires_at <= $1
               ORDER BY expires_at LIMIT $2";
    all(connection, sql, [now.into(), limit.into()], |row| {
        Ok((row.try_get("", "organisation_id")?, row.try_get("", "id")?))
    })
    .await
}

/// Counts `amount_micro` on a cap, because of a run or of a transfer to a child.
pub(crate) async fn count(
    tx: &WriteTx,
    cause: &str,
    cap: &Mandate,
    amount_micro: i64,
    now: Timestamp,
) -> Result<(), DbErr> {
    let Envelope::Cap { period, .. } = cap.envelope else { return Ok(()) };
    let (start, organisation) = (period.start(now), cap.scope.organisation);
    let sql = "INSERT INTO mandate_counters (mandate_id, period_start, organisation_id, used_micro)
               VALUES ($1, $2, $3, $4)
               ON CONFLICT (mandate_id, period_start)
               DO UPDATE SET used_micro = mandate_counters.used_micro + excluded.used_micro";
    let values: [Value; 4] = [cap.id.into(), start.into(), organisation.into(), amount_micro.into()];
    execute(&**tx, sql, values).await?;
    let sql =
        "INSERT INTO mandate_charges (cause_id, mandate_id, period_start, organisation_id, amount_micro)
               VALUES ($1, $2, $3, $4, $5)";
    let values: [Value; 5] =
        [cause.into(), cap.id.into(), start.into(), organisation.into(), amount_micro.into()];
    execute(&**tx, sql, values).await?;
    Ok(())
}

/// By the keys of the few counters that counted it: asked the other way round, SQLite reads every counter of every
/// organisation for it, at each end of a run.
const UNCOUNT: &str = "UPDATE mandate_counters SET used_micro = used_micro - $2
     WHERE (mandate_id, period_start) IN
         (SELECT mandate_id, period_start FROM mandate_charges WHERE cause_id = $1)";

/// Counts less on every cap that counted this cause, in the period in which it was counted.
pub(crate) async fn uncount(tx: &WriteTx, cause: &str, amount_micro: i64) -> Result<(), DbErr> {
    execute(&**tx, UNCOUNT, [cause.into(), amount_micro.into()]).await?;
    let sql = "UPDATE mandate_charges SET amount_micro = amount_micro - $2 WHERE cause_id = $1";
    execute(&**tx, sql, [cause.into(), amount_micro.into()]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use backlot_foundation_testkit::TestDb;

    use super::*;

    #[tokio::test]
    async fn those_that_live_are_listed_however_many_have_ended() {
        let test_db = TestDb::sqlite("infrastructure").await;
        test_db.db.migrate::<crate::Migrator>().await.unwrap();
        let (organisation, user) = (OrganisationId::generate(), UserId::generate());
        let mandate = |n: i64, state: State| MandateRow {
            mandate: Mandate {
                id: MandateId::generate(),
                parent: (n > 0).then(MandateId::generate),
                grantor: user,
                grantee: user,
                scope: Scope { organisation, project: None },
                actions: BTreeSet::from([ActionPattern::everything()]),
                conditions: Conditions::default(),
                envelope: Envelope::Unlimited,
                depth_max: 0,
                not_before: Timestamp::from_micros(0),
                expires_at: None,
                share_bps: 0,
                state,
                purpose: String::new(),
            },
            funded_by: None,
            role: String::new(),
            created_at: Timestamp::from_micros(n),
            ended_at: None,
        };
        let tx = test_db.db.begin_write().await.unwrap();
        for n in 0..6 {
            let lives = n == 0 || n == 5;
            insert(&tx, &mandate(n, if lives { State::Active } else { State::Revoked })).await.unwrap();
        }
        tx.commit().await.unwrap();
        let listed = of_organisation(test_db.db.read(), organisation, 3).await.unwrap();
        let times: Vec<i64> = listed.iter().map(|row| row.created_at.micros()).collect();
        assert_eq!(times, [0, 5, 1]);
    }

    #[tokio::test]
    async fn counting_less_reads_no_other_counters() {
        let test_db = TestDb::sqlite("infrastructure").await;
        test_db.db.migrate::<crate::Migrator>().await.unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {UNCOUNT}");
        let values: [Value; 2] = ["cause".into(), 1_i64.into()];
        let plan: Vec<String> =
            all(test_db.db.read(), &explain, values, |row| row.try_get("", "detail")).await.unwrap();
        assert!(plan.iter().any(|step| step.starts_with("SEARCH mandate_counters")), "{plan:?}");
        assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{plan:?}");
    }
}
