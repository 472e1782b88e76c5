//! Runs of a board: one parent with ordinary runs of tools as its children.
//!
//! ```text
//! parent   running ─► succeeded | partial | failed | canceled
//! child    waiting ─► submitting ─► running ─► succeeded | failed | canceled
//!             ├► reused    an unchanged node: a take answers its input already, nothing is paid
//!             └► skipped   something that it needs did not succeed, or the run was canceled
//! ```
//!
//! **Money.** The parent has none. Each child is a run of tools, whose own machine holds, settles and voids;
//! two machines for one sum could disagree after a crash. The parent has a *budget*: the price that was
//! shown, or the caller's maximum. Before it is written, the whole price is checked against mandate and
//! credits; before each child, what is spent and held is checked against the budget, and the child carries
//! what is left as its own maximum. So a run never costs more than was agreed; where the credits are gone
//! meanwhile, the next child is refused, and what was delivered stays paid and delivered.
//!
//! **Crash.** A child's order is in its row before it is sent, under a key that follows from the row, so a
//! repetition is the same run. A take is written in the transaction that ends its child; the document is
//! told after that, and the parent ends only when it was.

use std::collections::HashMap;

use backlot_business_api::{BoardRunId, TakeId, codes};
use backlot_business_tools as tools;
use backlot_business_tools::machine::Stage;
use backlot_business_tools::row::{Model as ToolRun, OutputAsset};
use backlot_foundation_errors::{Kind, Problem};
use backlot_infrastructure_api::{MandateId, ProjectId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::command::Command;
use crate::error::Error;
use crate::graph::Step;
use crate::limits::TAKES_READ_MAX;
use crate::plan::{Takes, input_hash, resolve};
use crate::room::{Ask, Author};
use crate::service::Service;
use crate::store::{ChildRow, RunRow, TakeRow};

/// Transitions of one drive: each child has a handful.
const TRANSITIONS_MAX: usize = 2_000;
/// Who writes chosen takes into documents.
const SERVICE_ACTOR: &str = "service:canvas";

/// An order, as it is frozen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Frozen {
    pub(crate) tool: String,
    pub(crate) version: String,
    pub(crate) input: Value,
    pub(crate) project: Option<ProjectId>,
    pub(crate) mandate: Option<MandateId>,
    pub(crate) max_price_micro: i64,
}

impl Frozen {
    fn order(self) -> tools::Order {
        tools::Order {
            tool: self.tool,
            version: Some(self.version),
            input: self.input,
            project: self.project,
            mandate: self.mandate,
            max_price_micro: Some(self.max_price_micro),
            deadline: None,
        }
    }
}

/// One thing that happened to a child.
struct Moved {
    child: ChildRow,
    takes: Vec<TakeRow>,
}

impl Moved {
    fn to(child: &ChildRow, state: &str) -> Self {
        Self { child: ChildRow { state: state.to_owned(), ..child.clone() }, takes: Vec::new() }
    }

    fn failed(child: &ChildRow, state: &str, problem: &Problem) -> Self {
        let mut moved = Self::to(child, state);
        moved.child.problem = serde_json::to_string(problem).ok();
        moved.child.told = true;
        moved
    }
}

pub(crate) fn is_over(child: &ChildRow) -> bool {
    matches!(child.state.as_str(), "succeeded" | "reused" | "failed" | "canceled" | "skipped")
}

fn has_made(child: &ChildRow) -> bool {
    matches!(child.state.as_str(), "succeeded" | "reused")
}

impl Service {
    /// Brings a run as far as it can be brought now. Reads rows; whoever called it only woke it.
    pub(crate) async fn drive(&self, id: BoardRunId) -> Result<(), Error> {
        let Some(_alone) = self.busy(id) else { return Ok(()) };
        for _ in 0..TRANSITIONS_MAX {
            let Some(run) = self.store().run(id).await?.filter(|run| run.ended_at.is_none()) else {
                return Ok(());
            };
            let children = self.store().children(id).await?;
            let mut moved = None;
            for child in children.iter().filter(|child| !is_over(child) || !child.told) {
                moved = self.step(&run, &children, child).await?;
                if moved.is_some() {
                    break;
                }
            }
            let ended = children.iter().all(|child| is_over(child) && child.told);
            let Some(moved) = moved else {
                if ended {
                    self.finish(run, &children).await?;
                }
                return Ok(());
            };
            let mut run = run;
            run.settled_micro = children
                .iter()
                .map(|child| if child.ord == moved.child.ord { &moved.child } else { child })
                .map(|child| child.settled_micro)
                .sum();
            // Lost to another replica: the next look reads what it wrote.
            if self.store().advance(&run, Some(&moved.child), &moved.takes).await? {
                self.tell_run(&run, &moved);
            }
        }
        Ok(())
    }

    fn tell_run(&self, run: &RunRow, moved: &Moved) {
        let child = &moved.child;
        let news = json!({ "type": "run", "board_run_id": run.id, "state": run.state, "node": child.node,
            "child_state": child.state, "run_id": child.run_id, "settled_micro": run.settled_micro });
        self.rooms().tell(run.board_id, news);
        for take in &moved.takes {
            let news = json!({ "type": "take", "take_id": take.id, "node": take.node, "run_id": take.run_id,
                "asset": take.asset_id, "content_type": take.content_type });
            self.rooms().tell(run.board_id, news);
        }
    }

    /// What happens to this child next; `None`: nothing now.
    async fn step(&self, run: &RunRow, all: &[ChildRow], child: &ChildRow) -> Result<Option<Moved>, Error> {
        match child.state.as_str() {
            "waiting" => self.begin(run, all, child).await,
            "submitting" => self.submit(run, child).await,
            "running" => self.look(run, child).await,
            _ => self.choose(run, child).await,
        }
    }

    async fn begin(&self, run: &RunRow, all: &[ChildRow], child: &ChildRow) -> Result<Option<Moved>, Error> {
        if run.cancel_requested_at.is_some() {
            let mut moved = Moved::to(child, "canceled");
            moved.child.told = true;
            return Ok(Some(moved));
        }
        if run.kind == "film" {
            // Its order was frozen when it was accepted.
            return Ok(Some(Moved::to(child, "submitting")));
        }
        let step = step_of(child)?;
        let by_node: HashMap<&str, &ChildRow> =
            all.iter().map(|other| (other.node.as_str(), other)).collect();
        let needed: Vec<&ChildRow> = step.needs().filter_map(|node| by_node.get(node).copied()).collect();
        if needed.iter().any(|need| is_over(need) && !has_made(need)) {
            let mut moved = Moved::to(child, "skipped");
            moved.child.told = true;
            return Ok(Some(moved));
        }
        if !needed.iter().all(|need| has_made(need)) {
            return Ok(None);
        }
        let takes = Takes::of(self.store().takes(run.board_id, None, None, TAKES_READ_MAX).await?);
        let made = |node: &str| match by_node.get(node) {
            Some(need) => first_asset(need),
            // Fresh when the run was planned: its take is in the frozen step.
            None => None,
        };
        let Some(input) = resolve(&step, made) else {
            let detail = "What it needs made no file that could be used.";
            return Ok(Some(Moved::failed(
                child,
                "failed",
                &Problem::new(&codes::BOARD_ASSET_MISSING, detail),
            )));
        };
        let hash = input_hash(&step, &input);
        if let Some(take) = takes.answering(&step.node, &hash, None).filter(|_| !is_forced(child)) {
            let mut moved = Moved::to(child, "reused");
            moved.child.outputs = json!([{ "id": take.asset_id.clone().unwrap_or_default() }]).to_string();
            moved.child.take_id = Some(take.id);
            moved.child.input_hash = Some(hash);
            return Ok(Some(moved));
        }
        // Its price is not known before tools have answered: until then nobody spends beside it.
        if all.iter().any(|other| other.state == "submitting") {
            return Ok(None);
        }
        let spent: i64 = all.iter().map(spent_or_held).sum();
        let frozen = Frozen {
            tool: step.tool.clone(),
            version: step.version.clone(),
            input,
            project: run.project_id,
            mandate: run.mandate_id,
            max_price_micro: (run.budget_micro - spent).max(0),
        };
        let mut moved = Moved::to(child, "submitting");
        moved.child.order_json = serde_json::to_string(&frozen).ok();
        moved.child.input_hash = Some(hash);
        moved.child.told = false;
        Ok(Some(moved))
    }

    /// Gives the frozen order to tools. The key follows from the row: again is the same run.
    async fn submit(&self, run: &RunRow, child: &ChildRow) -> Result<Option<Moved>, Error> {
        let frozen: Option<Frozen> =
            child.order_json.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let frozen = frozen.ok_or_else(|| Error::Broken(format!("board run {}: no order", run.id)))?;
        let actor = tools::Actor { organisation: run.organisation_id, id: run.actor_id.clone() };
        let key = format!("board-run:{}:{}", run.id, child.ord);
        match self.tools().submit(&actor, &frozen.order(), Some(&key)).await {
            Ok(row) => {
                let mut moved = Moved::to(child, "running");
                moved.child.run_id = Some(row.id);
                moved.child.price_micro = row.price_micro;
                Ok(Some(moved))
            }
            Err(error) => {
                let problem = Problem::from(error);
                match problem.kind {
                    // It may pass: asked again at the next look.
                    Kind::Unavailable
                    | Kind::Timeout
                    | Kind::TooMany
                    | Kind::Internal
                    | Kind::Unauthenticated => {
                        tracing::info!(run = %run.id, node = child.node, %problem, "a child waits");
                        Ok(None)
                    }
                    _ => Ok(Some(Moved::failed(child, "failed", &problem))),
                }
            }
        }
    }

    async fn look(&self, run: &RunRow, child: &ChildRow) -> Result<Option<Moved>, Error> {
        let id = child.run_id.ok_or_else(|| Error::Broken(format!("board run {}: no run", run.id)))?;
        let actor = tools::Actor { organisation: run.organisation_id, id: run.actor_id.clone() };
        let mut row = self.tools().run(&actor, id).await.map_err(Problem::from)?;
        if run.cancel_requested_at.is_some() && row.cancel_requested_at.is_none() && row.closed_at.is_none() {
            row = self.tools().cancel(&actor, id).await.map_err(Problem::from)?;
        }
        let stage = row.stage().map_err(|error| Error::Broken(error.to_string()))?;
        if !stage.is_end() {
            return Ok(None);
        }
        let (state, takes) = match (stage, row.outcome.as_deref()) {
            (Stage::Settled | Stage::Voided, Some("succeeded")) => ("succeeded", takes_of(run, child, &row)),
            (_, Some("canceled")) => ("canceled", Vec::new()),
            _ => ("failed", Vec::new()),
        };
        let mut moved = Moved::to(child, state);
        moved.child.settled_micro = row.settled_micro;
        moved.child.outputs = row.outputs.clone();
        moved.child.take_id = takes.first().map(|take| take.id);
        // Nothing is told to the document where there is no take.
        moved.child.told = moved.child.take_id.is_none();
        if state != "succeeded" {
            moved.child.problem = serde_json::to_string(&problem_of(&row)).ok();
        }
        moved.takes = takes;
        Ok(Some(moved))
    }

    /// Names the take in the document. A node or board that is gone needs no telling.
    async fn choose(&self, run: &RunRow, child: &ChildRow) -> Result<Option<Moved>, Error> {
        if let Some(take) = child.take_id {
            let commands =
                vec![Command::ChooseTake { node: child.node.clone(), take: Some(take.to_string()) }];
            let author = Author { id: SERVICE_ACTOR.to_owned(), is_home: true };
            let told = match self.store().board(run.board_id).await? {
                Some(_) => {
                    let ask = |reply| Ask::Edit { commands, author, reply };
                    self.rooms().ask(run.board_id, ask).await.and_then(|done| done)
                }
                None => Err(Error::BoardUnknown(run.board_id.to_string())),
            };
            match told {
                Ok(_) | Err(Error::Command(_) | Error::BoardUnknown(_) | Error::TooLarge(_)) => (),
                Err(error) => return Err(error),
            }
        }
        let mut moved = Moved::to(child, &child.state);
        moved.child.told = true;
        Ok(Some(moved))
    }

    async fn finish(&self, mut run: RunRow, children: &[ChildRow]) -> Result<(), Error> {
        let made = children.iter().filter(|child| has_made(child)).count();
        let state = match (made, run.cancel_requested_at) {
            (made, _) if made == children.len() => "succeeded",
            (_, Some(_)) => "canceled",
            (0, None) => "failed",
            (_, None) => "partial",
        };
        state.clone_into(&mut run.state);
        run.ended_at = Some(self.now());
        if self.store().advance(&run, None, &[]).await? {
            let news = json!({ "type": "run", "board_run_id": run.id, "state": run.state,
                "settled_micro": run.settled_micro });
            self.rooms().tell(run.board_id, news);
        }
        Ok(())
    }

    /// Writes a new run and drives it as far as it goes at once.
    pub(crate) async fn start_run(&self, id: BoardRunId) {
        if let Err(error) = self.drive(id).await {
            tracing::warn!(run = %id, %error, "a board's run goes on at the next look");
        }
    }

    /// A lock within this process; other replicas are told apart by the row's version.
    fn busy(&self, id: BoardRunId) -> Option<Alone> {
        self.driven().lock().insert(id).then(|| Alone { service: self.clone(), id })
    }
}

/// Held while a run is driven.
struct Alone {
    service: Service,
    id: BoardRunId,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.service.driven().lock().remove(&self.id);
    }
}

fn step_of(child: &ChildRow) -> Result<Step, Error> {
    serde_json::from_str(&child.step)
        .map_err(|error| Error::Broken(format!("a step cannot be read: {error}")))
}

/// A child that waits has nothing to tell yet: there the mark says that it runs although nothing changed.
fn is_forced(child: &ChildRow) -> bool {
    child.state == "waiting" && child.told
}

fn spent_or_held(child: &ChildRow) -> i64 {
    match child.state.as_str() {
        "running" => child.price_micro,
        _ => child.settled_micro,
    }
}

/// The asset that a child's first output is.
fn first_asset(child: &ChildRow) -> Option<String> {
    let outputs: Vec<Value> = serde_json::from_str(&child.outputs).ok()?;
    let id = outputs.first()?.get("id")?.as_str()?;
    (!id.is_empty()).then(|| id.to_owned())
}

fn takes_of(run: &RunRow, child: &ChildRow, row: &ToolRun) -> Vec<TakeRow> {
    if run.kind == "film" {
        return Vec::new();
    }
    let seed = row.input().get("seed").and_then(Value::as_i64);
    let take = |(n, output): (usize, OutputAsset)| TakeRow {
        id: TakeId::generate(),
        node: child.node.clone(),
        run_id: row.id,
        tool: row.tool.clone(),
        tool_version: row.tool_version.clone(),
        input_hash: child.input_hash.clone().unwrap_or_default(),
        asset_id: (!output.id.is_empty()).then_some(output.id),
        content_type: output.content_type,
        width: output.width.into(),
        height: output.height.into(),
        duration_ms: output.duration_ms,
        value: output.value.map(|value| value.to_string()),
        // Outputs of one run share its cost: it stands at the first.
        cost_micro: if n == 0 { row.settled_micro } else { 0 },
        seed,
        created_at: row.closed_at.unwrap_or(row.created_at),
    };
    row.outputs().into_iter().enumerate().map(take).collect()
}

fn problem_of(row: &ToolRun) -> Problem {
    if let Some(problem) = row.refusal() {
        return problem;
    }
    let class = row.failure_class.clone().unwrap_or_else(|| "model_error".to_owned());
    Problem::new(
        &codes::BOARD_CHILD_FAILED,
        format!("The run of the tool ended as {class}. {}", row.failure_detail),
    )
    .with_extra("failure_class", class)
}
