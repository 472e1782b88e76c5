//! SQL of moderation: looks, reviews, and what people released.

use backlot_business_api::{ReviewId, RunId};
use backlot_foundation_db::{Db, DbError, WriteTx};
use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use sea_orm::{ConnectionTrait as _, FromQueryResult, Statement, Value};

use super::Side;
use super::reviews::ReviewState;

/// A look at one medium of a run: a job of its own.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct Look {
    /// The job.
    pub(crate) job_id: RunId,
    /// An asset's id, or an object's key.
    pub(crate) subject: String,
    /// From 0.
    pub(crate) r#try: i32,
    /// `asked`, `scored`, `unjudged` or `failed`.
    pub(crate) state: String,
    /// Parts per million, where it was scored.
    pub(crate) score_ppm: i64,
}

/// A review to write with a run's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewReview {
    pub(crate) side: Side,
    pub(crate) subjects: Vec<String>,
    pub(crate) score_ppm: Option<i64>,
    /// Open, or decided by the score alone.
    pub(crate) state: ReviewState,
}

/// A review, as stored.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct ReviewRow {
    pub(crate) id: ReviewId,
    pub(crate) run_id: RunId,
    pub(crate) organisation_id: OrganisationId,
    pub(crate) tool: String,
    pub(crate) side: String,
    pub(crate) subjects: String,
    pub(crate) score_ppm: Option<i64>,
    pub(crate) state: String,
    pub(crate) decided_by: String,
    pub(crate) note: String,
    pub(crate) created_at: Timestamp,
    pub(crate) decided_at: Option<Timestamp>,
}

const REVIEW_COLUMNS: &str =
    "id, run_id, organisation_id, tool, side, subjects, score_ppm, state, decided_by, note,
    created_at, decided_at";

fn statement<const N: usize>(db: &Db, sql: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(db.backend(), sql, values)
}

async fn execute<const N: usize>(tx: &WriteTx, sql: &str, values: [Value; N]) -> Result<u64, DbError> {
    let done = tx.execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?;
    Ok(done.rows_affected())
}

/// The looks of one side of a run, all tries.
pub(crate) async fn looks(db: &Db, run: RunId, side: Side) -> Result<Vec<Look>, DbError> {
    let sql = "SELECT job_id, subject, try, state, score_ppm FROM run_looks WHERE run_id = $1 AND side = $2
               ORDER BY subject, try";
    let rows = Look::find_by_statement(statement(db, sql, [run.into(), side.as_str().into()]));
    Ok(rows.all(db.read()).await?)
}

/// Writes looks that are about to be asked for; what another driver wrote first stays.
pub(crate) async fn ask(
    db: &Db,
    run: RunId,
    side: Side,
    subjects: &[(String, i32)],
    now: Timestamp,
) -> Result<(), DbError> {
    let tx = db.begin_write().await?;
    for (subject, at) in subjects {
        let sql = "INSERT INTO run_looks (job_id, run_id, side, subject, try, state, score_ppm, asked_at)
                   VALUES ($1, $2, $3, $4, $5, 'asked', 0, $6)
                   ON CONFLICT (run_id, side, subject, try) DO NOTHING";
        let values = [
            RunId::generate().into(),
            run.into(),
            side.as_str().into(),
            subject.as_str().into(),
            (*at).into(),
            now.into(),
        ];
        execute(&tx, sql, values).await?;
    }
    tx.commit().await
}

/// Writes what a look said.
pub(crate) async fn answer(
    db: &Db,
    job: RunId,
    state: &str,
    score_ppm: i64,
    now: Timestamp,
) -> Result<(), DbError> {
    let tx = db.begin_write().await?;
    let sql = "UPDATE run_looks SET state = $2, score_ppm = $3, answered_at = $4
               WHERE job_id = $1 AND state = 'asked'";
    execute(&tx, sql, [job.into(), state.into(), score_ppm.into(), now.into()]).await?;
    tx.commit().await
}

/// The run that a look belongs to.
pub(crate) async fn run_of_look(tx: &WriteTx, job: RunId) -> Result<Option<RunId>, DbError> {
    let sql = "SELECT run_id FROM run_looks WHERE job_id = $1";
    let found = tx.query_one_raw(Statement::from_sql_and_values(tx.backend(), sql, [job.into()])).await?;
    Ok(found.map(|row| row.try_get("", "run_id")).transpose()?)
}

/// Whether a person has released this picture for the organisation before.
pub(crate) async fn is_released(
    db: &Db,
    organisation: OrganisationId,
    asset: AssetId,
) -> Result<bool, DbError> {
    let sql = "SELECT asset_id FROM released_assets WHERE organisation_id = $1 AND asset_id = $2";
    Ok(db.read().query_one_raw(statement(db, sql, [organisation.into(), asset.into()])).await?.is_some())
}

/// Writes a review with its run's row.
pub(crate) async fn insert_review(
    tx: &WriteTx,
    run: &crate::row::Model,
    review: &NewReview,
    now: Timestamp,
) -> Result<(), DbError> {
    let sql = "INSERT INTO reviews (id, run_id, organisation_id, tool, side, subjects, score_ppm, state, decided_by,
                   note, created_at, decided_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, $11) ON CONFLICT (run_id, side) DO NOTHING";
    let is_open = review.state == ReviewState::Open;
    let values = [
        ReviewId::generate().into(),
        run.id.into(),
        run.organisation_id.into(),
        run.tool.as_str().into(),
        review.side.as_str().into(),
        serde_json::to_string(&review.subjects).unwrap_or_default().into(),
        review.score_ppm.into(),
        review.state.as_str().into(),
        (if is_open { "" } else { "score" }).into(),
        now.into(),
        (!is_open).then_some(now).into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// A review.
pub(crate) async fn review(db: &Db, id: ReviewId) -> Result<Option<ReviewRow>, DbError> {
    let sql = format!("SELECT {REVIEW_COLUMNS} FROM reviews WHERE id = $1");
    Ok(ReviewRow::find_by_statement(statement(db, &sql, [id.into()])).one(db.read()).await?)
}

/// The review of one side of a run.
pub(crate) async fn review_of(db: &Db, run: RunId, side: Side) -> Result<Option<ReviewRow>, DbError> {
    let sql = format!("SELECT {REVIEW_COLUMNS} FROM reviews WHERE run_id = $1 AND side = $2");
    let values = [run.into(), side.as_str().into()];
    Ok(ReviewRow::find_by_statement(statement(db, &sql, values)).one(db.read()).await?)
}

/// Reviews in this state that come after `after`: of what is open that which waits longest first, because its time
/// runs out first; of what is decided the newest.
pub(crate) async fn reviews(
    db: &Db,
    state: ReviewState,
    after: Option<ReviewId>,
    limit: u64,
) -> Result<Vec<ReviewRow>, DbError> {
    let (beyond, order, first) = match state {
        ReviewState::Open => (">", "ASC", Uuid::nil()),
        ReviewState::Released | ReviewState::Upheld | ReviewState::Expired => ("<", "DESC", Uuid::max()),
    };
    let sql = format!(
        "SELECT {REVIEW_COLUMNS} FROM reviews WHERE state = $1 AND id {beyond} $2 ORDER BY id {order} LIMIT $3"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [state.as_str().into(), after.unwrap_or(ReviewId::from_uuid(first)).into(), limit.into()];
    Ok(ReviewRow::find_by_statement(statement(db, &sql, values)).all(db.read()).await?)
}

/// Decides an open review; false where it is not open any more. A released input is remembered.
pub(crate) async fn decide(
    db: &Db,
    row: &ReviewRow,
    state: ReviewState,
    by: &str,
    note: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let tx = db.begin_write().await?;
    let sql = "UPDATE reviews SET state = $2, decided_by = $3, note = $4, decided_at = $5
               WHERE id = $1 AND state = 'open'";
    let values = [row.id.into(), state.as_str().into(), by.into(), note.into(), now.into()];
    if execute(&tx, sql, values).await? == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    if state == ReviewState::Released && row.side == Side::Input.as_str() {
        let subjects: Vec<String> = serde_json::from_str(&row.subjects).unwrap_or_default();
        for subject in subjects {
            let sql = "INSERT INTO released_assets (organisation_id, asset_id, review_id) VALUES ($1, $2, $3)
                       ON CONFLICT (organisation_id, asset_id) DO NOTHING";
            execute(&tx, sql, [row.organisation_id.into(), subject.into(), row.id.into()]).await?;
        }
    }
    let sql = "UPDATE runs SET due_at = $2 WHERE id = $1 AND due_at IS NOT NULL";
    execute(&tx, sql, [row.run_id.into(), now.into()]).await?;
    tx.commit().await?;
    Ok(true)
}
