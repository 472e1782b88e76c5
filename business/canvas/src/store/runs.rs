//! Runs of boards, their children, and takes. A parent's row is the lock of its children.

use backlot_business_api::{BoardId, BoardRunId, RunId, TakeId};
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, OrganisationId, ProjectId};
use sea_orm::{DbErr, FromQueryResult};

use super::{Store, execute};

/// A run of a board.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct RunRow {
    pub(crate) id: BoardRunId,
    pub(crate) board_id: BoardId,
    pub(crate) organisation_id: OrganisationId,
    pub(crate) project_id: Option<ProjectId>,
    pub(crate) actor_id: String,
    pub(crate) mandate_id: Option<MandateId>,
    /// `nodes` or `film`.
    pub(crate) kind: String,
    pub(crate) revision: i64,
    pub(crate) state: String,
    pub(crate) price_micro: i64,
    /// What all children together may cost.
    pub(crate) budget_micro: i64,
    pub(crate) settled_micro: i64,
    pub(crate) version: i64,
    pub(crate) cancel_requested_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

const RUN_COLUMNS: &str =
    "id, board_id, organisation_id, project_id, actor_id, mandate_id, kind, revision, state,
    price_micro, budget_micro, settled_micro, version, cancel_requested_at, created_at, ended_at";

/// A run of a tool for one node, in a run of a board.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct ChildRow {
    pub(crate) ord: i64,
    pub(crate) node: String,
    pub(crate) tool: String,
    /// JSON of the frozen step.
    pub(crate) step: String,
    pub(crate) state: String,
    /// JSON of the order, frozen before it is sent.
    pub(crate) order_json: Option<String>,
    pub(crate) input_hash: Option<String>,
    pub(crate) run_id: Option<RunId>,
    pub(crate) price_micro: i64,
    pub(crate) settled_micro: i64,
    /// JSON of why it did not succeed.
    pub(crate) problem: Option<String>,
    /// JSON list of what it made.
    pub(crate) outputs: String,
    pub(crate) take_id: Option<TakeId>,
    /// Whether the document names its take.
    pub(crate) told: bool,
}

const CHILD_COLUMNS: &str = "ord, node, tool, step, state, order_json, input_hash, run_id, price_micro,
    settled_micro, problem, outputs, take_id, told";

/// What one run made for one node. Never changed.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct TakeRow {
    pub(crate) id: TakeId,
    pub(crate) node: String,
    pub(crate) run_id: RunId,
    pub(crate) tool: String,
    pub(crate) tool_version: String,
    pub(crate) input_hash: String,
    pub(crate) asset_id: Option<String>,
    pub(crate) content_type: String,
    pub(crate) width: i64,
    pub(crate) height: i64,
    pub(crate) duration_ms: i64,
    /// JSON, of a tool that makes no medium.
    pub(crate) value: Option<String>,
    pub(crate) cost_micro: i64,
    pub(crate) seed: Option<i64>,
    pub(crate) created_at: Timestamp,
}

const TAKE_COLUMNS: &str =
    "id, node, run_id, tool, tool_version, input_hash, asset_id, content_type, width, height,
    duration_ms, value, cost_micro, seed, created_at";

/// A use of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunKey {
    pub(crate) key_digest: String,
    pub(crate) body_digest: String,
}

impl Store {
    /// What a key was used for: the run, and whether the request was the same.
    pub(crate) async fn run_of_key(
        &self,
        organisation: OrganisationId,
        key: &RunKey,
    ) -> Result<Option<(BoardRunId, bool)>, DbError> {
        let sql = "SELECT body_digest, board_run_id FROM board_run_keys WHERE organisation_id = $1 AND key_digest = $2";
        let row = self.row(sql, vec![organisation.into(), key.key_digest.as_str().into()]).await?;
        let Some(row) = row else { return Ok(None) };
        let body: String = row.try_get("", "body_digest")?;
        Ok(Some((row.try_get("", "board_run_id")?, body == key.body_digest)))
    }

    /// Writes a run with all its children. False where the key was used meanwhile.
    pub(crate) async fn insert_run(
        &self,
        run: &RunRow,
        children: &[ChildRow],
        key: Option<&RunKey>,
    ) -> Result<bool, DbError> {
        let tx = self.db().begin_write().await?;
        let sql =
            "INSERT INTO board_runs (id, board_id, organisation_id, project_id, actor_id, mandate_id, kind,
                   revision, state, price_micro, budget_micro, settled_micro, version, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, $12)";
        let values = vec![
            run.id.into(),
            run.board_id.into(),
            run.organisation_id.into(),
            run.project_id.map(|id| id.to_string()).into(),
            run.actor_id.as_str().into(),
            run.mandate_id.map(|id| id.to_string()).into(),
            run.kind.as_str().into(),
            run.revision.into(),
            run.state.as_str().into(),
            run.price_micro.into(),
            run.budget_micro.into(),
            run.created_at.into(),
        ];
        execute(&tx, sql, values).await?;
        for child in children {
            insert_child(&tx, run.id, child).await?;
        }
        if let Some(key) = key {
            let sql = "INSERT INTO board_run_keys (organisation_id, key_digest, body_digest, board_run_id)
                       VALUES ($1, $2, $3, $4) ON CONFLICT (organisation_id, key_digest) DO NOTHING";
            let values = vec![
                run.organisation_id.into(),
                key.key_digest.as_str().into(),
                key.body_digest.as_str().into(),
                run.id.into(),
            ];
            if execute(&tx, sql, values).await? == 0 {
                tx.rollback().await?;
                return Ok(false);
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The run.
    pub(crate) async fn run(&self, id: BoardRunId) -> Result<Option<RunRow>, DbError> {
        let sql = format!("SELECT {RUN_COLUMNS} FROM board_runs WHERE id = $1");
        let row = self.row(&sql, vec![id.into()]).await?;
        Ok(row.map(|row| RunRow::from_query_result(&row, "")).transpose()?)
    }

    /// Its children, in the order in which they may run.
    pub(crate) async fn children(&self, id: BoardRunId) -> Result<Vec<ChildRow>, DbError> {
        let sql =
            format!("SELECT {CHILD_COLUMNS} FROM board_run_children WHERE board_run_id = $1 ORDER BY ord");
        let rows = self.rows(&sql, vec![id.into()]).await?;
        Ok(rows.iter().map(|row| ChildRow::from_query_result(row, "")).collect::<Result<_, DbErr>>()?)
    }

    /// Runs of a board, newest first.
    pub(crate) async fn runs_of(
        &self,
        board: BoardId,
        before: Option<BoardRunId>,
        limit: u64,
    ) -> Result<Vec<RunRow>, DbError> {
        let sql = format!(
            "SELECT {RUN_COLUMNS} FROM board_runs WHERE board_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
        );
        // Behind every id there is.
        let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.rows(&sql, vec![board.into(), before.into(), limit.into()]).await?;
        Ok(rows.iter().map(|row| RunRow::from_query_result(row, "")).collect::<Result<_, DbErr>>()?)
    }

    /// Runs that have not ended, the oldest first.
    pub(crate) async fn open_runs(&self, limit: u64) -> Result<Vec<BoardRunId>, DbError> {
        let sql = "SELECT id FROM board_runs WHERE ended_at IS NULL ORDER BY id LIMIT $1";
        let rows = self.rows(sql, vec![i64::try_from(limit).unwrap_or(i64::MAX).into()]).await?;
        Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, DbErr>>()?)
    }

    /// How many runs of the organisation have not ended.
    pub(crate) async fn count_open_runs(&self, organisation: OrganisationId) -> Result<u64, DbError> {
        let sql = "SELECT count(*) AS n FROM board_runs WHERE organisation_id = $1 AND ended_at IS NULL";
        let row = self.row(sql, vec![organisation.into()]).await?;
        let count: i64 = row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Asks a run to stop. One that has ended stays.
    pub(crate) async fn request_cancel(&self, id: BoardRunId, now: Timestamp) -> Result<(), DbError> {
        let tx = self.db().begin_write().await?;
        let sql = "UPDATE board_runs SET cancel_requested_at = $1, version = version + 1
                   WHERE id = $2 AND ended_at IS NULL AND cancel_requested_at IS NULL";
        execute(&tx, sql, vec![now.into(), id.into()]).await?;
        tx.commit().await
    }

    /// Writes one child's next state with the parent's, and what it made, where the parent still has the
    /// version that was read. False where another driver was faster.
    pub(crate) async fn advance(
        &self,
        run: &RunRow,
        child: Option<&ChildRow>,
        takes: &[TakeRow],
    ) -> Result<bool, DbError> {
        let tx = self.db().begin_write().await?;
        let sql = "UPDATE board_runs SET state = $1, settled_micro = $2, ended_at = $3, version = version + 1
                   WHERE id = $4 AND version = $5";
        let values = vec![
            run.state.as_str().into(),
            run.settled_micro.into(),
            run.ended_at.map(Timestamp::micros).into(),
            run.id.into(),
            run.version.into(),
        ];
        if execute(&tx, sql, values).await? == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        if let Some(child) = child {
            update_child(&tx, run.id, child).await?;
        }
        for (n, take) in (0_i64..).zip(takes) {
            insert_take(&tx, run.board_id, n, take).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Takes of a board, or of one of its nodes, newest first.
    pub(crate) async fn takes(
        &self,
        board: BoardId,
        node: Option<&str>,
        before: Option<TakeId>,
        limit: u64,
    ) -> Result<Vec<TakeRow>, DbError> {
        let by_node = if node.is_some() { "AND node = $4" } else { "" };
        let sql = format!(
            "SELECT {TAKE_COLUMNS} FROM board_takes WHERE board_id = $1 AND id < $2 {by_node}
             ORDER BY id DESC LIMIT $3"
        );
        let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values = vec![board.into(), before.into(), limit.into()];
        values.extend(node.map(Into::into));
        let rows = self.rows(&sql, values).await?;
        Ok(rows.iter().map(|row| TakeRow::from_query_result(row, "")).collect::<Result<_, DbErr>>()?)
    }
}

async fn insert_child(tx: &WriteTx, run: BoardRunId, child: &ChildRow) -> Result<(), DbError> {
    let sql = "INSERT INTO board_run_children (board_run_id, ord, node, tool, step, state, order_json, input_hash,
               price_micro, settled_micro, outputs, told) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '[]', $10)";
    let values = vec![
        run.into(),
        child.ord.into(),
        child.node.as_str().into(),
        child.tool.as_str().into(),
        child.step.as_str().into(),
        child.state.as_str().into(),
        child.order_json.clone().into(),
        child.input_hash.clone().into(),
        child.price_micro.into(),
        child.told.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

async fn update_child(tx: &WriteTx, run: BoardRunId, child: &ChildRow) -> Result<(), DbError> {
    let sql = "UPDATE board_run_children SET state = $1, order_json = $2, input_hash = $3, run_id = $4,
               price_micro = $5, settled_micro = $6, problem = $7, outputs = $8, take_id = $9, told = $10
               WHERE board_run_id = $11 AND ord = $12";
    let values = vec![
        child.state.as_str().into(),
        child.order_json.clone().into(),
        child.input_hash.clone().into(),
        child.run_id.map(|id| id.to_string()).into(),
        child.price_micro.into(),
        child.settled_micro.into(),
        child.problem.clone().into(),
        child.outputs.as_str().into(),
        child.take_id.map(|id| id.to_string()).into(),
        child.told.into(),
        run.into(),
        child.ord.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

async fn insert_take(tx: &WriteTx, board: BoardId, n: i64, take: &TakeRow) -> Result<(), DbError> {
    let sql =
        "INSERT INTO board_takes (id, board_id, node, run_id, n, tool, tool_version, input_hash, asset_id,
               content_type, width, height, duration_ms, value, cost_micro, seed, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    let values = vec![
        take.id.into(),
        board.into(),
        take.node.as_str().into(),
        take.run_id.into(),
        n.into(),
        take.tool.as_str().into(),
        take.tool_version.as_str().into(),
        take.input_hash.as_str().into(),
        take.asset_id.clone().into(),
        take.content_type.as_str().into(),
        take.width.into(),
        take.height.into(),
        take.duration_ms.into(),
        take.value.clone().into(),
        take.cost_micro.into(),
        take.seed.into(),
        take.created_at.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}
