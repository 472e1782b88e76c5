//! All SQL of tools.
//!
//! A run's row is written by compare-and-set on its version, together with the step's line in the log
//! and its events, in one transaction. Two drivers of one run can both try; one writes.

use backlot_business_api::RunId;
use backlot_business_api::events::{
    RunCanceled, RunFailed, RunRefused, RunSettled, RunStarted, RunSubmitted, RunSucceeded, ToolPublished,
};
use backlot_foundation_db::{Db, DbError, WriteTx};
use backlot_foundation_events::{EventMeta, outbox};
use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::OrganisationId;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IntoActiveModel,
    Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Statement, Value,
};

use crate::moderation::{NewReview, insert_review};
use crate::row::{self, Model as Row};

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct StepLine {
    /// When.
    pub(crate) at: Timestamp,
    /// Which system did it.
    pub(crate) system: String,
    /// What happened, a few words.
    pub(crate) what: String,
    /// More, for people; may be empty.
    pub(crate) detail: String,
}

/// A line to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewLine {
    /// When.
    pub(crate) at: Timestamp,
    /// Which system did it.
    pub(crate) system: &'static str,
    /// What happened, a few words.
    pub(crate) what: &'static str,
    /// More, for people.
    pub(crate) detail: String,
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunEvent {
    /// Accepted.
    Submitted(RunSubmitted),
    /// Taken by a worker.
    Started(RunStarted),
    /// Ended with outputs.
    Succeeded(RunSucceeded),
    /// Ended without.
    Failed(RunFailed),
    /// Stopped.
    Canceled(RunCanceled),
    /// Refused by billing.
    Refused(RunRefused),
    /// Money is final.
    Settled(RunSettled),
}

/// What is written with a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Lines of the log.
    pub(crate) lines: Vec<NewLine>,
    /// Events, in order.
    pub(crate) events: Vec<RunEvent>,
    /// The chain that pays, where it has just become known.
    pub(crate) mandates: Vec<String>,
    /// Something that a person has to decide, or that its score has decided.
    pub(crate) review: Option<NewReview>,
}

/// A use of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Digest of the key.
    pub(crate) key_digest: String,
    /// Digest of the request.
    pub(crate) body_digest: String,
}

/// What became of a new run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is written.
    New,
    /// The key was used before, for this request.
    Replay(RunId),
    /// The key was used before, for another request.
    KeyReused(RunId),
}

/// A published version, as it was recorded when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct PublishedVersion {
    /// Of the manifest.
    pub(crate) hash: String,
    /// JSON.
    pub(crate) manifest: String,
}

/// Runs, their log, their idempotency keys and the published versions.
#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
}

impl Store {
    /// Over business's database.
    #[must_use]
    pub(crate) const fn new(db: Db) -> Self {
        Self { db }
    }

    /// The database.
    #[must_use]
    pub(crate) const fn db(&self) -> &Db {
        &self.db
    }

    /// The run, of whichever organisation: for the reconciler.
    pub(crate) async fn run(&self, id: RunId) -> Result<Option<Row>, DbError> {
        Ok(row::Entity::find_by_id(id).one(self.db.read()).await?)
    }

    /// The run, where it is this organisation's.
    pub(crate) async fn run_of(
        &self,
        organisation: OrganisationId,
        id: RunId,
    ) -> Result<Option<Row>, DbError> {
        let run = row::Entity::find_by_id(id).filter(row::Column::OrganisationId.eq(organisation));
        Ok(run.one(self.db.read()).await?)
    }

    /// The organisation's runs, newest first, older than `before`.
    pub(crate) async fn runs_of(
        &self,
        organisation: OrganisationId,
        before: Option<RunId>,
        limit: u64,
    ) -> Result<Vec<Row>, DbError> {
        let mut runs = row::Entity::find().filter(row::Column::OrganisationId.eq(organisation));
        if let Some(before) = before {
            runs = runs.filter(row::Column::Id.lt(before));
        }
        Ok(runs.order_by(row::Column::Id, Order::Desc).limit(limit).all(self.db.read()).await?)
    }

    /// How many of the organisation's runs have not ended.
    pub(crate) async fn open_runs(&self, organisation: OrganisationId) -> Result<u64, DbError> {
        let open = row::Entity::find()
            .filter(row::Column::OrganisationId.eq(organisation))
            .filter(row::Column::DueAt.is_not_null())
            // A refused run is over, and due once more all the same.
            .filter(row::Column::ClosedAt.is_null());
        Ok(open.count(self.db.read()).await?)
    }

    /// Takes runs that are due, those that waited longest first, and puts them off until `until`, so that
    /// another replica does not take them, too. A taker that dies loses them to whoever looks then.
    pub(crate) async fn take_due(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u64,
    ) -> Result<Vec<RunId>, DbError> {
        let any = row::Entity::find().filter(row::Column::DueAt.lte(now)).limit(1);
        if any.one(self.db.read()).await?.is_none() {
            return Ok(Vec::new());
        }
        let lock = match self.db.backend() {
            sea_orm::DatabaseBackend::Postgres => "FOR UPDATE SKIP LOCKED",
            _ => "",
        };
        let sql = format!(
            "UPDATE runs SET due_at = $1 WHERE id IN
             (SELECT id FROM runs WHERE due_at <= $2 ORDER BY due_at LIMIT $3 {lock}) RETURNING id"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let tx = self.db.begin_write().await?;
        let values = [until.into(), now.into(), limit.into()];
        let rows = tx.query_all_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?;
        let taken = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, DbErr>>()?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Makes every open run due now: after a start, nothing is believed.
    pub(crate) async fn make_all_due(&self, now: Timestamp) -> Result<(), DbError> {
        let tx = self.db.begin_write().await?;
        execute(&tx, "UPDATE runs SET due_at = $1 WHERE due_at IS NOT NULL", [now.into()]).await?;
        tx.commit().await
    }

    /// The run that a key was used for, if any.
    pub(crate) async fn replay(
        &self,
        organisation: OrganisationId,
        key: &Key,
    ) -> Result<Option<Inserted>, DbError> {
        replay(self.db.read(), self.db.backend(), organisation, key).await
    }

    /// Writes a new run in stage `intent`, with its key.
    pub(crate) async fn insert(
        &self,
        row: &Row,
        key: Option<&Key>,
        change: &Change,
    ) -> Result<Inserted, DbError> {
        let tx = self.db.begin_write().await?;
        if let Some(key) = key
            && let Some(before) = replay(&*tx, tx.backend(), row.organisation_id, key).await?
        {
            return Ok(before);
        }
        row.clone().into_active_model().reset_all().insert(&*tx).await?;
        if let Some(key) = key {
            let sql = "INSERT INTO run_keys (organisation_id, key_digest, body_digest, run_id)
                       VALUES ($1, $2, $3, $4) ON CONFLICT (organisation_id, key_digest) DO NOTHING";
            let values = [
                row.organisation_id.into(),
                key.key_digest.as_str().into(),
                key.body_digest.as_str().into(),
                row.id.into(),
            ];
            if execute(&tx, sql, values).await? == 0 {
                // On PostgreSQL another request with this key may have committed since the look above.
                tx.rollback().await?;
                let before = self.replay(row.organisation_id, key).await?;
                return before.ok_or_else(|| DbErr::RecordNotFound("idempotency key".to_owned()).into());
            }
        }
        write_change(&tx, row, change).await?;
        tx.commit().await?;
        Ok(Inserted::New)
    }

    /// Forgets keys of runs that were made before `before`, at most `limit` of them; how many there were.
    pub(crate) async fn delete_keys(&self, before: Timestamp, limit: u64) -> Result<u64, DbError> {
        let sql = format!(
            "DELETE FROM run_keys WHERE run_id IN (
                 SELECT run_id FROM run_keys WHERE run_id < $1 ORDER BY run_id LIMIT {limit})"
        );
        let tx = self.db.begin_write().await?;
        let deleted = execute(&tx, &sql, [first_id_at(before).into()]).await?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// Writes the row where it still has the version before `row.version`. False where it has not.
    pub(crate) async fn update(&self, row: &Row, change: &Change) -> Result<bool, DbError> {
        let tx = self.db.begin_write().await?;
        let written = row::Entity::update_many()
            .set(row.clone().into_active_model().reset_all())
            .filter(row::Column::Id.eq(row.id))
            .filter(row::Column::Version.eq(row.version - 1))
            .exec(&*tx)
            .await?;
        if written.rows_affected == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        write_change(&tx, row, change).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The run's log, oldest first.
    pub(crate) async fn lines(&self, id: RunId) -> Result<Vec<StepLine>, DbError> {
        let sql = "SELECT at, system, what, detail FROM run_steps WHERE run_id = $1 ORDER BY version, n";
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, [id.into()]);
        Ok(StepLine::find_by_statement(statement).all(self.db.read()).await?)
    }

    /// Makes a refused run due, because billing holds its price after all. False where it is no refused run.
    pub(crate) async fn make_refused_due(&self, id: RunId, now: Timestamp) -> Result<bool, DbError> {
        let tx = self.db.begin_write().await?;
        let made = Self::make_refused_due_in(&tx, id, now).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The same, inside a transaction.
    pub(crate) async fn make_refused_due_in(
        tx: &WriteTx,
        id: RunId,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        let sql = "UPDATE runs SET due_at = $2 WHERE id = $1 AND stage = 'refused'";
        Ok(execute(tx, sql, [id.into(), now.into()]).await? > 0)
    }

    /// Whether a mandate of the chain that pays for this run was revoked.
    pub(crate) async fn is_revoked(&self, id: RunId) -> Result<bool, DbError> {
        let sql =
            "SELECT r.mandate_id FROM revoked_mandates r JOIN run_mandates m ON m.mandate_id = r.mandate_id
                   WHERE m.run_id = $1 LIMIT 1";
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, [id.into()]);
        Ok(self.db.read().query_one_raw(statement).await?.is_some())
    }

    /// Notes a revocation and answers which open runs the mandate pays for.
    pub(crate) async fn revoke(tx: &WriteTx, mandate_id: &str, at: Timestamp) -> Result<Vec<RunId>, DbError> {
        let sql = "INSERT INTO revoked_mandates (mandate_id, at) VALUES ($1, $2)
                   ON CONFLICT (mandate_id) DO NOTHING";
        execute(tx, sql, [mandate_id.into(), at.into()]).await?;
        let sql = "SELECT r.id FROM runs r JOIN run_mandates m ON m.run_id = r.id
                   WHERE m.mandate_id = $1 AND r.due_at IS NOT NULL";
        let statement = Statement::from_sql_and_values(tx.backend(), sql, [mandate_id.into()]);
        let rows = tx.query_all_raw(statement).await?;
        Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, DbErr>>()?)
    }

    /// Every published manifest, as JSON.
    pub(crate) async fn published(&self) -> Result<Vec<String>, DbError> {
        let sql = "SELECT manifest FROM tool_versions ORDER BY name, version";
        let rows = self.db.read().query_all_raw(Statement::from_string(self.db.backend(), sql)).await?;
        Ok(rows.iter().map(|row| row.try_get("", "manifest")).collect::<Result<_, DbErr>>()?)
    }

    /// Records a version the first time that it is seen, and answers what is recorded.
    pub(crate) async fn publish(
        &self,
        name: &str,
        version: &str,
        offered: &PublishedVersion,
        event: &ToolPublished,
        now: Timestamp,
    ) -> Result<PublishedVersion, DbError> {
        let tx = self.db.begin_write().await?;
        let sql = "INSERT INTO tool_versions (name, version, hash, manifest, published_at)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name, version) DO NOTHING";
        let values = [
            name.into(),
            version.into(),
            offered.hash.as_str().into(),
            offered.manifest.as_str().into(),
            now.into(),
        ];
        if execute(&tx, sql, values).await? > 0 {
            let meta = EventMeta { subject: name.to_owned(), time: now, ..EventMeta::default() };
            outbox::publish(&tx, meta, event).await?;
        }
        let sql = "SELECT hash, manifest FROM tool_versions WHERE name = $1 AND version = $2";
        let statement = Statement::from_sql_and_values(tx.backend(), sql, [name.into(), version.into()]);
        let recorded = PublishedVersion::find_by_statement(statement).one(&*tx).await?;
        tx.commit().await?;
        recorded.ok_or_else(|| DbErr::RecordNotFound(format!("{name} {version}")).into())
    }
}

/// The smallest id that a run made at `at` could have: ids begin with their time.
fn first_id_at(at: Timestamp) -> RunId {
    let ms = u128::try_from(at.micros() / 1_000).unwrap_or_default();
    RunId::from_uuid(Uuid::from_u128(ms << 80))
}

async fn replay(
    connection: &impl ConnectionTrait,
    backend: sea_orm::DatabaseBackend,
    organisation: OrganisationId,
    key: &Key,
) -> Result<Option<Inserted>, DbError> {
    let sql = "SELECT body_digest, run_id FROM run_keys WHERE organisation_id = $1 AND key_digest = $2";
    let values = [organisation.into(), key.key_digest.as_str().into()];
    let row = connection.query_one_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let Some(row) = row else { return Ok(None) };
    let body: String = row.try_get("", "body_digest")?;
    let run: RunId = row.try_get("", "run_id")?;
    Ok(Some(if body == key.body_digest { Inserted::Replay(run) } else { Inserted::KeyReused(run) }))
}

async fn execute<const N: usize>(tx: &WriteTx, sql: &str, values: [Value; N]) -> Result<u64, DbError> {
    let done = tx.execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?;
    Ok(done.rows_affected())
}

async fn write_change(tx: &WriteTx, row: &Row, change: &Change) -> Result<(), DbError> {
    for (n, line) in (0_i32..).zip(&change.lines) {
        let sql = "INSERT INTO run_steps (run_id, version, n, at, system, what, detail)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = [
            row.id.into(),
            row.version.into(),
            n.into(),
            line.at.into(),
            line.system.into(),
            line.what.into(),
            line.detail.as_str().into(),
        ];
        execute(tx, sql, values).await?;
    }
    for mandate in &change.mandates {
        let sql = "INSERT INTO run_mandates (run_id, mandate_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        execute(tx, sql, [row.id.into(), mandate.as_str().into()]).await?;
    }
    if let Some(review) = &change.review {
        let now = change.lines.first().map_or(row.created_at, |line| line.at);
        insert_review(tx, row, review, now).await?;
    }
    for event in &change.events {
        publish(tx, row, event).await?;
    }
    Ok(())
}

async fn publish(tx: &WriteTx, row: &Row, event: &RunEvent) -> Result<(), DbError> {
    let meta = |time: Timestamp| EventMeta {
        subject: row.id.to_string(),
        organisation: row.organisation_id.to_string(),
        actor: row.actor_id.clone(),
        time,
    };
    let created = row.created_at;
    let ended = row.finalised_at.or(row.ended_at).unwrap_or(created);
    match event {
        RunEvent::Submitted(data) => outbox::publish(tx, meta(created), data).await,
        RunEvent::Started(data) => outbox::publish(tx, meta(row.started_at.unwrap_or(created)), data).await,
        RunEvent::Succeeded(data) => outbox::publish(tx, meta(ended), data).await,
        RunEvent::Failed(data) => outbox::publish(tx, meta(ended), data).await,
        RunEvent::Canceled(data) => outbox::publish(tx, meta(ended), data).await,
        RunEvent::Refused(data) => outbox::publish(tx, meta(row.closed_at.unwrap_or(created)), data).await,
        RunEvent::Settled(data) => outbox::publish(tx, meta(row.closed_at.unwrap_or(ended)), data).await,
    }
}
