//! Rows of jobs and their attempts.

use std::collections::{BTreeMap, BTreeSet};

use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_inference_api::JobId;
use backlot_inference_scheduler::Fence;
use sea_orm::{ConnectionTrait as _, DatabaseBackend, DbErr, QueryResult, Statement, Value};

use super::{
    broken, execute, from_json,
    many::{execute_many, padded},
    places, rows, to_json,
};
use crate::{
    error::Error,
    model::{Attempt, AttemptOutcome, Failure, Job, JobState, Output, Phase, Target, Tier},
};

const JOB_COLUMNS: &str = "id, namespace, tenant, model, model_version, tier, state, target, ttl_ms, predicted_ms, \
    regions, batch_key, deadline_at, traceparent, fence, failure, message, outputs, log_tail, compute_ms, created_at, queued_at, started_at, \
    cancel_requested_at, ended_at";

fn text_of(failure: Option<Failure>) -> &'static str {
    failure.map_or("", Failure::as_str)
}

fn fence_text(fence: Option<Fence>) -> String {
    fence.map(|fence| fence.to_string()).unwrap_or_default()
}

/// While a job lives its fence is that of the lease; afterwards the winner's.
fn kept_fence(job: &Job) -> String {
    if job.state == JobState::Succeeded { job.winning_fence.clone() } else { fence_text(job.fence) }
}

/// Writes jobs that were accepted, as they stand at the end of the commit's commands, with their inputs.
pub(crate) async fn jobs_insert<'a>(
    tx: &WriteTx,
    jobs: impl Iterator<Item = (&'a Job, &'a str)>,
) -> Result<(), Error> {
    let rows = jobs.map(|(job, input)| insert_row(job, input)).collect::<Result<Vec<_>, _>>()?;
    let sql = |tuples: &str| format!("INSERT INTO jobs ({JOB_COLUMNS}, input) VALUES {tuples}");
    Ok(execute_many(tx, rows, sql).await?)
}

fn insert_row(job: &Job, input: &str) -> Result<Vec<Value>, DbErr> {
    Ok(vec![
        job.id.into(),
        job.namespace.as_str().into(),
        job.tenant.as_str().into(),
        job.model.as_str().into(),
        job.model_version.as_str().into(),
        job.tier.as_str().into(),
        job.state.as_str().into(),
        to_json(&job.target)?.into(),
        job.ttl_ms.into(),
        job.predicted_ms.into(),
        to_json(&job.regions)?.into(),
        // A digest: only that it is the same counts, and both engines know signed numbers.
        i64::from_ne_bytes(job.batch_key.to_ne_bytes()).into(),
        job.deadline.into(),
        job.traceparent.as_str().into(),
        kept_fence(job).into(),
        text_of(job.failure).into(),
        job.message.as_str().into(),
        to_json(&job.outputs)?.into(),
        job.log_tail.as_str().into(),
        job.compute_ms.into(),
        job.created_at.into(),
        job.queued_at.into(),
        job.started_at.into(),
        job.cancel_requested_at.into(),
        job.ended_at.into(),
        input.into(),
    ])
}

/// Writes what changes in jobs' lives. Both engines name the columns of VALUES alike.
pub(crate) async fn jobs_update<'a>(tx: &WriteTx, jobs: impl Iterator<Item = &'a Job>) -> Result<(), Error> {
    let row = |job: &Job| -> Result<Vec<Value>, DbErr> {
        Ok(vec![
            job.id.into(),
            job.state.as_str().into(),
            kept_fence(job).into(),
            text_of(job.failure).into(),
            job.message.as_str().into(),
            to_json(&job.outputs)?.into(),
            job.log_tail.as_str().into(),
            job.compute_ms.into(),
            job.queued_at.into(),
            job.started_at.into(),
            job.cancel_requested_at.into(),
            job.ended_at.into(),
        ])
    };
    let rows = jobs.map(row).collect::<Result<Vec<_>, _>>()?;
    let sql = |tuples: &str| {
        format!(
            "UPDATE jobs SET state = v.column2, fence = v.column3, failure = v.column4, message = v.column5,
                 outputs = v.column6, log_tail = v.column7, compute_ms = v.column8, queued_at = v.column9,
                 started_at = v.column10, cancel_requested_at = v.column11, ended_at = v.column12
             FROM (VALUES {tuples}) AS v WHERE jobs.id = v.column1"
        )
    };
    Ok(execute_many(tx, rows, sql).await?)
}

fn number(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

/// What changes of an attempt, after what names it.
fn changing(job: JobId, attempt: &Attempt) -> Vec<Value> {
    vec![
        job.into(),
        number(attempt.fence.epoch),
        number(attempt.fence.sequence),
        attempt.started_at.into(),
        attempt.ended_at.into(),
        attempt.outcome.map_or("", AttemptOutcome::as_str).into(),
        text_of(attempt.failure).into(),
        attempt.message.as_str().into(),
        attempt.load_ms.into(),
        attempt.compute_ms.into(),
        attempt.held_ms.into(),
        i64::from(attempt.batched).into(),
    ]
}

/// Writes new attempts.
pub(crate) async fn attempts_insert(tx: &WriteTx, attempts: &[(JobId, &Attempt)]) -> Result<(), Error> {
    let row = |(job, attempt): &(JobId, &Attempt)| -> Result<Vec<Value>, DbErr> {
        let charge = attempt.charge.as_ref().map(to_json).transpose()?.unwrap_or_default();
        let fixed: [Value; 7] = [
            attempt.agent.as_str().into(),
            attempt.worker.as_str().into(),
            attempt.region.as_str().into(),
            attempt.assigned_at.into(),
            charge.into(),
            attempt.batch.as_str().into(),
            "".into(),
        ];
        Ok(changing(*job, attempt).into_iter().chain(fixed).collect())
    };
    let rows = attempts.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let sql = |tuples: &str| {
        format!(
            "INSERT INTO attempts (job_id, epoch, sequence, started_at, ended_at, outcome, failure, message, load_ms,
                 compute_ms, held_ms, batched, agent, worker, region, assigned_at, charge, batch, late_outcome)
             VALUES {tuples}"
        )
    };
    Ok(execute_many(tx, rows, sql).await?)
}

/// Writes what changed of attempts.
pub(crate) async fn attempts_update(tx: &WriteTx, attempts: &[(JobId, &Attempt)]) -> Result<(), Error> {
    let rows = attempts.iter().map(|(job, attempt)| changing(*job, attempt)).collect();
    let sql = |tuples: &str| {
        format!(
            "UPDATE attempts SET started_at = v.column4, ended_at = v.column5, outcome = v.column6, failure = v.column7,
                 message = v.column8, load_ms = v.column9, compute_ms = v.column10, held_ms = v.column11,
                 batched = v.column12
             FROM (VALUES {tuples}) AS v
             WHERE attempts.job_id = v.column1 AND attempts.epoch = v.column2 AND attempts.sequence = v.column3"
        )
    };
    Ok(execute_many(tx, rows, sql).await?)
}

/// Records that an attempt reported after its lease was gone. The first such report stays.
pub(crate) async fn late_report(
    tx: &WriteTx,
    job: JobId,
    fence: Fence,
    outcome: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let sql = "UPDATE attempts SET late_outcome = $4, late_at = $5
               WHERE job_id = $1 AND epoch = $2 AND sequence = $3 AND late_at IS NULL AND outcome <> $4";
    execute(
        tx,
        sql,
        vec![job.into(), number(fence.epoch), number(fence.sequence), outcome.into(), now.into()],
    )
    .await?;
    Ok(())
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobFilter {
    pub(crate) namespace: String,
    pub(crate) tenant: Option<String>,
    pub(crate) state: Option<JobState>,
    pub(crate) before: Option<JobId>,
    pub(crate) limit: i32,
}

/// A page of jobs, newest first.
pub(crate) async fn jobs_by_filter(db: &Db, filter: &JobFilter) -> Result<Vec<Job>, Error> {
    let (sql, values) = page_of(filter, db.backend());
    let jobs = rows(db, &sql, values).await?.iter().map(decode_job).collect::<Result<Vec<_>, _>>()?;
    Ok(with_attempts(db, jobs).await?)
}

fn page_of(filter: &JobFilter, backend: DatabaseBackend) -> (String, Vec<Value>) {
    // Nearly all that are kept have succeeded. What ended otherwise has an index of its own, which is used only where the query
    // says what it says. SQLite, which counts no rows by itself, takes another one for as good, and has to be told.
    let badly = filter.state.is_some_and(|state| state.is_terminal() && state != JobState::Succeeded);
    let by = if badly && backend == DatabaseBackend::Sqlite { " INDEXED BY jobs_ended_badly" } else { "" };
    let mut sql = format!("SELECT {JOB_COLUMNS} FROM jobs{by} WHERE namespace = $1");
    if badly {
        sql += " AND state <> 'succeeded' AND ended_at IS NOT NULL";
    }
    let mut values: Vec<Value> = vec![filter.namespace.as_str().into()];
    if let Some(tenant) = &filter.tenant {
        values.push(tenant.as_str().into());
        sql += &format!(" AND tenant = ${}", values.len());
    }
    if let Some(state) = filter.state {
        values.push(state.as_str().into());
        sql += &format!(" AND state = ${}", values.len());
    }
    if let Some(before) = filter.before {
        values.push(before.into());
        sql += &format!(
            " AND (created_at, id) < (SELECT created_at, id FROM jobs WHERE namespace = $1 AND id = ${})",
            values.len()
        );
    }
    sql += &format!(" ORDER BY created_at DESC, id DESC LIMIT {}", filter.limit);
    (sql, values)
}

/// One job of a namespace.
pub(crate) async fn job_by_id(db: &Db, namespace: &str, id: JobId) -> Result<Option<Job>, Error> {
    let sql = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE id = $1 AND namespace = $2");
    let found = rows(db, &sql, vec![id.into(), namespace.into()]).await?;
    let jobs = found.iter().map(decode_job).collect::<Result<Vec<_>, _>>()?;
    Ok(with_attempts(db, jobs).await?.pop())
}

/// All jobs that have not ended, oldest first. One that this version cannot read is left as it is, and told of: it must not
/// keep all others from going on.
pub(crate) async fn live_jobs(db: &Db) -> Result<Vec<Job>, Error> {
    let sql = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE ended_at IS NULL ORDER BY created_at, id");
    let mut broken: BTreeSet<String> = BTreeSet::new();
    let mut leave_out = |id: String, error: DbErr| {
        tracing::error!(job = id, %error, "a job's rows cannot be read; it is left out until they can be");
        metrics::counter!("backlot_inference_jobs_unreadable").increment(1);
        broken.insert(id);
    };
    let mut jobs = Vec::new();
    for row in rows(db, &sql, Vec::new()).await? {
        match decode_job(&row) {
            Ok(job) => jobs.push(job),
            Err(error) => leave_out(row.try_get("", "id")?, error),
        }
    }
    let sql = "SELECT a.* FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE j.ended_at IS NULL
               ORDER BY a.epoch, a.sequence";
    let mut attempts: BTreeMap<JobId, Vec<Attempt>> = BTreeMap::new();
    for row in rows(db, sql, Vec::new()).await? {
        match decode_attempt(&row) {
            Ok((id, attempt)) => attempts.entry(id).or_default().push(attempt),
            // Without it nobody knows who runs the job.
            Err(error) => leave_out(row.try_get("", "job_id")?, error),
        }
    }
    jobs.retain(|job| !broken.contains(&job.id.to_string()));
    for job in &mut jobs {
        job.attempts = attempts.remove(&job.id).unwrap_or_default();
    }
    Ok(jobs)
}

/// Inputs of jobs.
pub(crate) async fn inputs_of(db: &Db, jobs: &[JobId]) -> Result<BTreeMap<JobId, String>, Error> {
    let asked = jobs.iter().map(|job| vec![Value::from(*job)]).collect();
    let Some((tuples, values)) = padded(asked) else { return Ok(BTreeMap::new()) };
    let sql = format!("SELECT id, input FROM jobs WHERE id IN (VALUES {tuples})");
    let decode = |row: &QueryResult| Ok::<_, DbErr>((row.try_get("", "id")?, row.try_get("", "input")?));
    Ok(rows(db, &sql, values).await?.iter().map(decode).collect::<Result<_, _>>()?)
}

/// Empties the inputs of jobs that ended before `before`, at most `limit` of them.
pub(crate) async fn clear_inputs(tx: &WriteTx, before: Timestamp, limit: u32) -> Result<u64, Error> {
    let sql = format!(
        "UPDATE jobs SET input = '' WHERE id IN (
             SELECT id FROM jobs WHERE ended_at IS NOT NULL AND input <> '' AND ended_at < $1 ORDER BY ended_at LIMIT {limit})"
    );
    Ok(execute(tx, &sql, vec![before.into()]).await?)
}

/// Deletes jobs that ended before `before`, with their attempts, at most `limit` of them.
pub(crate) async fn delete_jobs(tx: &WriteTx, before: Timestamp, limit: u32) -> Result<u64, Error> {
    let sql = format!(
        "SELECT id FROM jobs WHERE ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at, id LIMIT {limit}"
    );
    let found = tx.query_all_raw(Statement::from_sql_and_values(tx.backend(), sql, [before.into()])).await?;
    let ids = found.iter().map(|row| row.try_get::<JobId>("", "id")).collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() {
        return Ok(0);
    }
    // By their ids: another process may do the same, and both statements must mean the same jobs.
    let ids: Vec<Value> = ids.into_iter().map(Value::from).collect();
    let these = places(1, ids.len());
    execute(tx, &format!("DELETE FROM attempts WHERE job_id IN ({these})"), ids.clone()).await?;
    execute(tx, &format!("DELETE FROM jobs WHERE id IN ({these})"), ids.clone()).await?;
    Ok(ids.len() as u64)
}

async fn with_attempts(db: &Db, mut jobs: Vec<Job>) -> Result<Vec<Job>, DbErr> {
    if jobs.is_empty() {
        return Ok(jobs);
    }
    let sql = format!(
        "SELECT * FROM attempts WHERE job_id IN ({}) ORDER BY epoch, sequence",
        places(1, jobs.len())
    );
    let mut by_id: BTreeMap<JobId, Vec<Attempt>> = BTreeMap::new();
    for row in rows(db, &sql, jobs.iter().map(|job| job.id.into()).collect()).await? {
        let (id, attempt) = decode_attempt(&row)?;
        by_id.entry(id).or_default().push(attempt);
    }
    for job in &mut jobs {
        job.attempts = by_id.remove(&job.id).unwrap_or_default();
    }
    Ok(jobs)
}

fn read_enum<T>(row: &QueryResult, column: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, DbErr> {
    let text: String = row.try_get("", column)?;
    if text.is_empty() { Ok(None) } else { parse(&text).map(Some).ok_or_else(|| broken(&text)) }
}

fn decode_job(row: &QueryResult) -> Result<Job, DbErr> {
    let state = read_enum(row, "state", JobState::parse)?.ok_or_else(|| broken("state"))?;
    let fence: String = row.try_get("", "fence")?;
    let succeeded = state == JobState::Succeeded;
    Ok(Job {
        id: row.try_get("", "id")?,
        namespace: row.try_get("", "namespace")?,
        tenant: row.try_get("", "tenant")?,
        model: row.try_get("", "model")?,
        model_version: row.try_get("", "model_version")?,
        tier: read_enum(row, "tier", Tier::parse)?.ok_or_else(|| broken("tier"))?,
        state,
        phase: if state == JobState::Running { Phase::Fetching } else { Phase::Queued },
        progress: if succeeded { 1.0 } else { 0.0 },
        progress_note: String::new(),
        preview: String::new(),
        position: 0,
        start_p50_ms: 0,
        start_p90_ms: 0,
        failure: read_enum(row, "failure", Failure::parse)?,
        message: row.try_get("", "message")?,
        outputs: from_json::<Vec<Output>>(&row.try_get::<String>("", "outputs")?)?,
        winning_fence: if succeeded { fence.clone() } else { String::new() },
        attempts: Vec::new(),
        log_tail: row.try_get("", "log_tail")?,
        compute_ms: row.try_get("", "compute_ms")?,
        predicted_ms: row.try_get("", "predicted_ms")?,
        created_at: row.try_get("", "created_at")?,
        started_at: row.try_get("", "started_at")?,
        cancel_requested_at: row.try_get("", "cancel_requested_at")?,
        ended_at: row.try_get("", "ended_at")?,
        delivered_fraction: if succeeded { 1.0 } else { 0.0 },
        fence: if state == JobState::Running { fence.parse().ok() } else { None },
        queued_at: row.try_get("", "queued_at")?,
        ttl_ms: row.try_get("", "ttl_ms")?,
        regions: from_json::<BTreeSet<String>>(&row.try_get::<String>("", "regions")?)?,
        target: from_json::<Target>(&row.try_get::<String>("", "target")?)?,
        batch_key: u64::from_ne_bytes(row.try_get::<i64>("", "batch_key")?.to_ne_bytes()),
        deadline: row.try_get("", "deadline_at")?,
        traceparent: row.try_get("", "traceparent")?,
    })
}

fn decode_attempt(row: &QueryResult) -> Result<(JobId, Attempt), DbErr> {
    let number = |column: &str| -> Result<u64, DbErr> {
        Ok(u64::try_from(row.try_get::<i64>("", column)?).unwrap_or_default())
    };
    let charge: String = row.try_get("", "charge")?;
    let attempt = Attempt {
        fence: Fence { epoch: number("epoch")?, sequence: number("sequence")? },
        agent: row.try_get("", "agent")?,
        worker: row.try_get("", "worker")?,
        region: row.try_get("", "region")?,
        assigned_at: row.try_get("", "assigned_at")?,
        started_at: row.try_get("", "started_at")?,
        ended_at: row.try_get("", "ended_at")?,
        outcome: read_enum(row, "outcome", AttemptOutcome::parse)?,
        failure: read_enum(row, "failure", Failure::parse)?,
        message: row.try_get("", "message")?,
        load_ms: row.try_get("", "load_ms")?,
        compute_ms: row.try_get("", "compute_ms")?,
        held_ms: row.try_get("", "held_ms")?,
        batch: row.try_get("", "batch")?,
        batched: u32::try_from(row.try_get::<i64>("", "batched")?).unwrap_or_default(),
        charge: if charge.is_empty() { None } else { Some(from_json(&charge)?) },
    };
    Ok((row.try_get("", "job_id")?, attempt))
}

#[cfg(test)]
mod tests {
    use backlot_foundation_testkit::TestDb;

    use super::*;

    #[tokio::test]
    async fn jobs_that_ended_badly_are_listed_without_reading_those_that_succeeded() {
        let test = TestDb::sqlite("inference").await;
        crate::Service::migrate(&test.db).await.unwrap();
        let tenants = [None, Some("t".to_owned())];
        let befores = [None, Some(JobId::generate())];
        for state in [JobState::Failed, JobState::Canceled, JobState::Expired] {
            for (tenant, before) in tenants.iter().zip(befores) {
                let (namespace, state) = ("studio".to_owned(), Some(state));
                let filter = JobFilter { namespace, tenant: tenant.clone(), state, before, limit: 50 };
                let (sql, values) = page_of(&filter, test.db.backend());
                let found = rows(&test.db, &format!("EXPLAIN QUERY PLAN {sql}"), values).await.unwrap();
                let plan: Vec<String> = found.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
                assert!(plan.iter().any(|step| step.contains("INDEX jobs_ended_badly")), "{plan:?}");
            }
        }
    }
}
