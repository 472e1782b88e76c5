//! Plans, runs, takes and films of a board.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backlot_business_api::{BoardId, BoardRunId, RunId, TakeId};
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::http::{IdempotencyKey, Path, Query, ValidJson};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::MandateId;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::boards::media_url;
use super::{LIMIT_DEFAULT, LIMIT_MAX, Person, board_id};
use crate::error::Error;
use crate::graph::Fault;
use crate::limits::{ID_CHARS_MAX, NODES_MAX};
use crate::orders::RunOrder;
use crate::plan::{Plan, Wanted};
use crate::role::Role;
use crate::service::Service;
use crate::store::{ChildRow, RunRow, TakeRow};

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(plan_board))
        .routes(routes!(list_board_runs, create_board_run))
        .routes(routes!(get_board_run))
        .routes(routes!(cancel_board_run))
        .routes(routes!(list_takes))
}

/// What to plan.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct PlanBody {
    /// With what they need; empty: the whole board.
    #[garde(length(max = NODES_MAX), inner(length(chars, min = 1, max = ID_CHARS_MAX)))]
    nodes: Vec<String>,
    /// The named nodes run although nothing changed.
    #[garde(skip)]
    force: bool,
}

/// A node that would run.
#[derive(Debug, Serialize, ToSchema)]
struct StaleView {
    /// Its id.
    node: String,
    /// The tool.
    tool: String,
    /// In this version.
    version: String,
    /// What it costs.
    price_micro: i64,
    /// How long it computes, as expected.
    run_ms: i64,
    /// The price rests on an input that does not exist yet.
    estimated: bool,
}

/// What a run would do. It promises nothing and holds nothing.
#[derive(Debug, Serialize, ToSchema)]
struct PlanView {
    /// Of the document.
    revision: i64,
    /// In the order in which they would run.
    stale: Vec<StaleView>,
    /// All of it.
    price_micro: i64,
    /// All of it, one after another.
    run_ms: i64,
    /// What keeps the board from running.
    problems: Vec<Fault>,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        Self {
            revision: plan.revision,
            price_micro: plan.price_micro(),
            run_ms: plan.run_ms(),
            stale: plan
                .stale
                .into_iter()
                .map(|one| StaleView {
                    node: one.step.node,
                    tool: one.step.tool,
                    version: one.step.version,
                    price_micro: one.price_micro,
                    run_ms: one.run_ms,
                    estimated: one.estimated,
                })
                .collect(),
            problems: plan.faults,
        }
    }
}

/// Ask what a run would do: which nodes are stale, what they cost, and what is wrong. Nothing is held.
#[utoipa::path(post, path = "/v1/boards/{id}/plan", tag = "boards", params(("id" = BoardId, Path)),
    request_body = PlanBody,
    responses((status = 200, body = PlanView), (status = "default", body = Problem)))]
async fn plan_board(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<PlanBody>,
) -> Result<Json<PlanView>, Problem> {
    let wanted = Wanted { nodes: body.nodes, force: body.force };
    Ok(Json(service.plan(&person.actor, board_id(&id)?, &wanted).await?.into()))
}

/// What to run.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct BoardRunBody {
    /// With what they need; empty: the whole board.
    #[garde(length(max = NODES_MAX), inner(length(chars, min = 1, max = ID_CHARS_MAX)))]
    nodes: Vec<String>,
    /// The named nodes run although nothing changed.
    #[garde(skip)]
    force: bool,
    /// Never costs more than this; left out: than the price of the plan.
    #[garde(inner(range(min = 0)))]
    max_price_micro: Option<i64>,
    /// The mandate that is to pay; left out: the nearest of yours that allows it.
    #[garde(skip)]
    mandate_id: Option<MandateId>,
}

/// State of a run of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BoardRunState {
    /// No child has begun.
    Queued,
    /// Children run.
    Running,
    /// It was asked to stop; children still end.
    Canceling,
    /// Every child succeeded.
    Succeeded,
    /// Some children succeeded.
    Partial,
    /// No child succeeded.
    Failed,
    /// It was asked to stop, and has.
    Canceled,
}

/// A run of a tool for one node.
#[derive(Debug, Serialize, ToSchema)]
struct ChildView {
    /// For this node; `film` in an export.
    node: String,
    /// The tool.
    tool: String,
    /// `waiting`, `submitting`, `running`, `succeeded`, `reused`, `failed`, `canceled` or `skipped`.
    state: String,
    /// The run; null before there is one. Its progress is at `/v1/runs/{id}/events`.
    run_id: Option<RunId>,
    /// As quoted.
    price_micro: i64,
    /// What was charged.
    settled_micro: i64,
    /// The take that it made or found.
    take_id: Option<TakeId>,
    /// Why it did not succeed.
    failure: Option<ChildFailure>,
}

/// Why a child did not succeed.
#[derive(Debug, Serialize, ToSchema)]
struct ChildFailure {
    /// Stable.
    code: String,
    /// For people.
    message: String,
}

/// A run of a board.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BoardRunView {
    /// Names it.
    id: BoardRunId,
    /// Of this board.
    board_id: BoardId,
    /// `nodes` or `film`.
    kind: String,
    /// How it stands.
    state: BoardRunState,
    /// Of the document that it froze.
    revision: i64,
    /// As planned.
    price_micro: i64,
    /// It never costs more than this.
    budget_micro: i64,
    /// What was charged so far.
    settled_micro: i64,
    /// In the order in which they may run.
    children: Vec<ChildView>,
    /// Of a film that succeeded.
    asset_id: Option<String>,
    /// Of a film that succeeded.
    seconds: Option<f64>,
    /// Of a film: route of its cut as OpenTimelineIO JSON.
    otio_url: Option<String>,
    /// Who started it.
    actor_id: String,
    /// When it was accepted.
    created_at: Timestamp,
    /// When somebody asked it to stop.
    cancel_requested_at: Option<Timestamp>,
    /// When every child had ended.
    ended_at: Option<Timestamp>,
}

impl BoardRunView {
    pub(super) fn of(run: RunRow, children: Vec<ChildRow>) -> Self {
        let begun = children.iter().any(|child| child.state != "waiting");
        let state = match run.state.as_str() {
            "succeeded" => BoardRunState::Succeeded,
            "partial" => BoardRunState::Partial,
            "failed" => BoardRunState::Failed,
            "canceled" => BoardRunState::Canceled,
            _ if run.cancel_requested_at.is_some() => BoardRunState::Canceling,
            _ if begun => BoardRunState::Running,
            _ => BoardRunState::Queued,
        };
        let film: Vec<Value> = match (run.kind.as_str(), children.first()) {
            ("film", Some(child)) => serde_json::from_str(&child.outputs).unwrap_or_default(),
            _ => Vec::new(),
        };
        let film = film.first();
        let otio_url = (run.kind == "film").then(|| format!("/v1/board-runs/{}/otio", run.id));
        Self {
            id: run.id,
            board_id: run.board_id,
            kind: run.kind,
            state,
            revision: run.revision,
            price_micro: run.price_micro,
            budget_micro: run.budget_micro,
            settled_micro: run.settled_micro,
            asset_id: film.and_then(|output| output["id"].as_str()).map(str::to_owned),
            seconds: film.and_then(|output| output["duration_ms"].as_f64()).map(|ms| ms / 1_000.0),
            otio_url,
            children: children.into_iter().map(ChildView::of).collect(),
            actor_id: run.actor_id,
            created_at: run.created_at,
            cancel_requested_at: run.cancel_requested_at,
            ended_at: run.ended_at,
        }
    }
}

impl ChildView {
    fn of(child: ChildRow) -> Self {
        Self {
            node: child.node,
            tool: child.tool,
            state: child.state,
            run_id: child.run_id,
            price_micro: child.price_micro,
            settled_micro: child.settled_micro,
            take_id: child.take_id,
            failure: child
                .problem
                .and_then(|text| serde_json::from_str::<Problem>(&text).ok())
                .map(|problem| ChildFailure { code: problem.code, message: problem.detail }),
        }
    }
}

pub(super) async fn view(service: &Service, run: RunRow) -> Result<BoardRunView, Problem> {
    let children = service.store().children(run.id).await?;
    Ok(BoardRunView::of(run, children))
}

/// Run what is stale, as one priced run. Each node is an ordinary run of its tool; all together never cost
/// more than the plan, or than your maximum.
#[utoipa::path(post, path = "/v1/boards/{id}/runs", tag = "boards", params(("id" = BoardId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body: the same run")),
    request_body = BoardRunBody,
    responses((status = 202, body = BoardRunView), (status = "default", body = Problem)))]
async fn create_board_run(
    State(service): State<Service>,
    person: Person,
    IdempotencyKey(key): IdempotencyKey,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<BoardRunBody>,
) -> Result<(StatusCode, Json<BoardRunView>), Problem> {
    let order = RunOrder {
        wanted: Wanted { nodes: body.nodes, force: body.force },
        max_price_micro: body.max_price_micro,
        mandate: body.mandate_id,
    };
    let run = service.order_run(&person.actor, board_id(&id)?, &order, key.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(view(&service, run).await?)))
}

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
struct PageQuery {
    /// Most items, 1 to 200; 50 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// Runs of a board.
#[derive(Debug, Serialize, ToSchema)]
struct BoardRunList {
    /// Newest first.
    items: Vec<BoardRunView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// The runs of a board, newest first.
#[utoipa::path(get, path = "/v1/boards/{id}/runs", tag = "boards", params(("id" = BoardId, Path), PageQuery),
    responses((status = 200, body = BoardRunList), (status = "default", body = Problem)))]
async fn list_board_runs(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<BoardRunList>, Problem> {
    let id = board_id(&id)?;
    service.at_least(&person.actor, id, Role::Viewer).await?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let before = query.before.as_deref().map(BoardRunId::parse).transpose();
    let before = before.map_err(|error| Problem::new(&codes::BAD_REQUEST, format!("\"before\": {error}")))?;
    let mut rows = service.store().runs_of(id, before, limit + 1).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = more.then(|| rows.last().map(|row| row.id.to_string())).flatten();
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        items.push(view(&service, row).await?);
    }
    Ok(Json(BoardRunList { items, next }))
}

pub(super) fn run_id(text: &str) -> Result<BoardRunId, Problem> {
    BoardRunId::parse(text).map_err(|_| Error::RunUnknown(text.chars().take(64).collect()).into())
}

/// A run of a board as it is now.
#[utoipa::path(get, path = "/v1/board-runs/{id}", tag = "boards", params(("id" = BoardRunId, Path)),
    responses((status = 200, body = BoardRunView), (status = "default", body = Problem)))]
async fn get_board_run(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<BoardRunView>, Problem> {
    let run = service.board_run(&person.actor, run_id(&id)?).await?;
    Ok(Json(view(&service, run).await?))
}

/// Ask a run of a board to stop: what waits does not begin, what runs is canceled as any run of a tool.
#[utoipa::path(post, path = "/v1/board-runs/{id}/cancel", tag = "boards", params(("id" = BoardRunId, Path)),
    responses((status = 200, body = BoardRunView), (status = "default", body = Problem)))]
async fn cancel_board_run(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<BoardRunView>, Problem> {
    let run = service.cancel_run(&person.actor, run_id(&id)?).await?;
    Ok(Json(view(&service, run).await?))
}

/// Which takes.
#[derive(Debug, Deserialize, IntoParams)]
struct TakesQuery {
    /// Only of this node.
    node: Option<String>,
    /// Most items, 1 to 200; 50 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// What one run made for one node. It never changes.
#[derive(Debug, Serialize, ToSchema)]
struct TakeView {
    /// Names it.
    id: TakeId,
    /// For this node, which may be gone.
    node: String,
    /// The run that made it.
    run_id: RunId,
    /// The tool.
    tool: String,
    /// In this version.
    version: String,
    /// Of tool, version and input.
    input_hash: String,
    /// What it is; null: a value.
    asset: Option<String>,
    /// As sniffed.
    content_type: String,
    /// Pixels.
    width: i64,
    /// Pixels.
    height: i64,
    /// Milliseconds; 0 of a still.
    duration_ms: i64,
    /// Of a tool that makes no medium.
    #[schema(value_type = Option<Object>)]
    value: Option<Value>,
    /// Route of the file itself.
    media_url: Option<String>,
    /// Route of a small picture of it.
    preview_url: Option<String>,
    /// What it cost.
    cost_micro: i64,
    /// Of its input, where it had one.
    seed: Option<i64>,
    /// Always `ready`: what failed made no take.
    status: &'static str,
    /// It answers another input than the node has now, or than it will have when what it needs has run.
    stale: bool,
    /// When its money was final.
    created_at: Timestamp,
}

impl TakeView {
    fn of(board: BoardId, row: TakeRow, hashes: &HashMap<String, Option<String>>) -> Self {
        let now = hashes.get(&row.node).and_then(Option::as_ref);
        let stale = now != Some(&row.input_hash);
        Self {
            media_url: row.asset_id.as_ref().map(|asset| media_url(board, asset, false)),
            preview_url: row.asset_id.as_ref().map(|asset| media_url(board, asset, true)),
            id: row.id,
            node: row.node,
            run_id: row.run_id,
            tool: row.tool,
            version: row.tool_version,
            input_hash: row.input_hash,
            asset: row.asset_id,
            content_type: row.content_type,
            width: row.width,
            height: row.height,
            duration_ms: row.duration_ms,
            value: row.value.and_then(|text| serde_json::from_str(&text).ok()),
            cost_micro: row.cost_micro,
            seed: row.seed,
            status: "ready",
            stale,
            created_at: row.created_at,
        }
    }
}

/// Takes of a board.
#[derive(Debug, Serialize, ToSchema)]
struct TakeList {
    /// Newest first.
    items: Vec<TakeView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// The takes of a board or of one of its nodes, newest first.
#[utoipa::path(get, path = "/v1/boards/{id}/takes", tag = "boards", params(("id" = BoardId, Path), TakesQuery),
    responses((status = 200, body = TakeList), (status = "default", body = Problem)))]
async fn list_takes(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    Query(query): Query<TakesQuery>,
) -> Result<Json<TakeList>, Problem> {
    let id = board_id(&id)?;
    let hashes = service.hashes(&person.actor, id).await?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let before = query.before.as_deref().map(TakeId::parse).transpose();
    let before = before.map_err(|error| Problem::new(&codes::BAD_REQUEST, format!("\"before\": {error}")))?;
    let mut rows = service.store().takes(id, query.node.as_deref(), before, limit + 1).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = more.then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(Json(TakeList { items: rows.into_iter().map(|row| TakeView::of(id, row, &hashes)).collect(), next }))
}
