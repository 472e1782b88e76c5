//! What a run would do: which nodes are stale, what they cost, and what keeps them from running.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backlot_business_api::{BoardId, TakeId, codes};
use backlot_business_tools as tools;
use backlot_business_tools::manifest::{OutputTarget, Tool, canonical_json};
use backlot_business_tools::price::AssetFacts;
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::ProjectId;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::graph::{self, Fault, Kind, Source, Step, ToolShape};
use crate::limits::{RUN_NODES_MAX, TAKES_READ_MAX};
use crate::model::Node;
use crate::role::Role;
use crate::service::{Actor, Service};
use crate::store::TakeRow;

/// What is reckoned with where an input does not exist yet and nothing like it ever did: four megapixels,
/// eight seconds. The price is then an estimate, and the run stops where it would cost more.
const UNSEEN: AssetFacts = AssetFacts { width_px: 2_048, height_px: 2_048, duration_ms: 8_000 };

/// A node that would run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stale {
    pub(crate) step: Step,
    pub(crate) price_micro: i64,
    pub(crate) run_ms: i64,
    /// Whether the price rests on an input that does not exist yet.
    pub(crate) estimated: bool,
}

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) revision: i64,
    pub(crate) stale: Vec<Stale>,
    pub(crate) faults: Vec<Fault>,
}

impl Plan {
    pub(crate) fn price_micro(&self) -> i64 {
        self.stale.iter().map(|one| one.price_micro).sum()
    }

    /// One after another, which is what a single worker would need.
    pub(crate) fn run_ms(&self) -> i64 {
        self.stale.iter().map(|one| one.run_ms).sum()
    }
}

/// What to plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// None: all.
    pub(crate) nodes: Vec<String>,
    /// The named nodes run although nothing changed.
    pub(crate) force: bool,
}

/// Takes of a board by node, newest first.
pub(crate) struct Takes(HashMap<String, Vec<TakeRow>>);

impl Takes {
    pub(crate) fn of(rows: Vec<TakeRow>) -> Self {
        let mut by_node: HashMap<String, Vec<TakeRow>> = HashMap::new();
        for row in rows {
            by_node.entry(row.node.clone()).or_default().push(row);
        }
        Self(by_node)
    }

    /// The take that answers this input: the chosen one where it does, else the newest.
    pub(crate) fn answering(&self, node: &str, hash: &str, chosen: Option<&str>) -> Option<&TakeRow> {
        let mut fitting = self.0.get(node)?.iter().filter(|take| take.input_hash == hash);
        let first = fitting.next()?;
        let chosen = chosen.and_then(|id| TakeId::parse(id).ok());
        let is_chosen = |take: &&TakeRow| Some(take.id) == chosen;
        Some(if is_chosen(&first) { first } else { fitting.find(is_chosen).unwrap_or(first) })
    }

    /// What the board shows for this node: the chosen take, else the newest.
    pub(crate) fn shown(&self, node: &str, chosen: Option<&str>) -> Option<&TakeRow> {
        let takes = self.0.get(node)?;
        let chosen = chosen.and_then(|id| TakeId::parse(id).ok());
        takes.iter().find(|take| Some(take.id) == chosen).or_else(|| takes.first())
    }
}

/// The input of a step, where everything that it needs exists; `made` says what nodes have made.
pub(crate) fn resolve(step: &Step, made: impl Fn(&str) -> Option<String>) -> Option<Value> {
    let mut input = step.literal.clone();
    for (port, source) in &step.wired {
        let value = match source {
            Source::Asset(asset) => asset.clone(),
            Source::Text(text) => text.clone(),
            Source::Node(node) => made(node)?,
        };
        input.insert(port.clone(), Value::String(value));
    }
    Some(Value::Object(input))
}

/// The same tool, version and input always have the same hash.
pub(crate) fn input_hash(step: &Step, input: &Value) -> String {
    let text = canonical_json(&json!({ "tool": step.tool, "version": step.version, "input": input }));
    hex::encode(Sha256::digest(text))
}

impl Service {
    /// What a run of these nodes would do, with the board as it is now.
    pub(crate) async fn plan(&self, actor: &Actor, id: BoardId, wanted: &Wanted) -> Result<Plan, Error> {
        let (row, _) = self.at_least(actor, id, Role::Viewer).await?;
        if row.organisation_id != actor.organisation {
            return Err(Error::RunsElsewhere);
        }
        let seen = self.read(actor, id).await?;
        let (steps, faults) = graph::analyse(&seen.board, &wanted.nodes, |node| self.shape(node));
        let mut plan = Plan { revision: seen.revision, stale: Vec::new(), faults };
        if !plan.faults.is_empty() {
            return Ok(plan);
        }
        let takes = Takes::of(self.store().takes(id, None, None, TAKES_READ_MAX).await?);
        let mut made: HashMap<String, String> = HashMap::new();
        for mut step in steps {
            for source in step.wired.values_mut() {
                // What is fresh now is frozen: a take that comes later changes nothing for this run.
                if let Source::Node(node) = source
                    && let Some(asset) = made.get(node)
                {
                    *source = Source::Asset(asset.clone());
                }
            }
            let input = resolve(&step, |_| None);
            let forced = wanted.force && wanted.nodes.contains(&step.node);
            let chosen = seen.board.nodes.get(&step.node).and_then(|node| node.chosen_take.as_deref());
            let fresh = input
                .as_ref()
                .filter(|_| !forced)
                .and_then(|input| takes.answering(&step.node, &input_hash(&step, input), chosen));
            if let Some(take) = fresh {
                made.extend(take.asset_id.clone().map(|asset| (step.node.clone(), asset)));
                continue;
            }
            if plan.stale.len() >= RUN_NODES_MAX {
                return Err(Error::Full { what: "stale nodes in one run", max: RUN_NODES_MAX as u64 });
            }
            let priced = match input {
                Some(input) => self.quote(actor, &step, input, row.project_id).await?,
                None => self.estimate(&step, &takes),
            };
            match priced {
                Ok((price_micro, run_ms, estimated)) => {
                    plan.stale.push(Stale { step, price_micro, run_ms, estimated });
                }
                Err(fault) => plan.faults.push(fault),
            }
        }
        Ok(plan)
    }

    /// The hash of each tool node's input as it is now; none where what it needs must run first.
    pub(crate) async fn hashes(
        &self,
        actor: &Actor,
        id: BoardId,
    ) -> Result<HashMap<String, Option<String>>, Error> {
        let seen = self.read(actor, id).await?;
        let (steps, _) = graph::analyse(&seen.board, &[], |node| self.shape(node));
        let takes = Takes::of(self.store().takes(id, None, None, TAKES_READ_MAX).await?);
        let mut made: HashMap<String, String> = HashMap::new();
        let mut hashes = HashMap::new();
        for step in steps {
            let input = resolve(&step, |node| made.get(node).cloned());
            let hash = input.map(|input| input_hash(&step, &input));
            if let Some(hash) = &hash {
                let chosen = seen.board.nodes.get(&step.node).and_then(|node| node.chosen_take.as_deref());
                let asset = takes.answering(&step.node, hash, chosen).and_then(|take| take.asset_id.clone());
                made.extend(asset.map(|asset| (step.node.clone(), asset)));
            }
            hashes.insert(step.node, hash);
        }
        Ok(hashes)
    }

    /// What the graph must know of a node's tool.
    pub(crate) fn shape(&self, node: &Node) -> Option<ToolShape> {
        let version = node.text("version").filter(|version| !version.is_empty());
        let tool = self.tools().tool(node.tool.as_deref()?, version).ok()?;
        Some(shape_of(&tool))
    }

    async fn quote(
        &self,
        actor: &Actor,
        step: &Step,
        input: Value,
        project: Option<ProjectId>,
    ) -> Result<Result<(i64, i64, bool), Fault>, Error> {
        let order = tools::Order {
            tool: step.tool.clone(),
            version: Some(step.version.clone()),
            input,
            project,
            ..tools::Order::default()
        };
        match self.tools().quote(&tools_actor(actor), &order).await {
            Ok(quote) => Ok(Ok((quote.price_micro, quote.estimate.run_ms.max(quote.predicted_ms), false))),
            Err(error) => {
                let problem = Problem::from(error);
                if problem.is_transient() {
                    Err(problem.into())
                } else {
                    Ok(Err(fault_of(&step.node, &problem)))
                }
            }
        }
    }

    /// A price for an input that does not exist yet, from what its source made last.
    fn estimate(&self, step: &Step, takes: &Takes) -> Result<(i64, i64, bool), Fault> {
        let unknown =
            || Fault::of_node("tool_unknown", &step.node, format!("there is no tool {}", step.tool));
        let tool = self.tools().tool(&step.tool, Some(&step.version)).map_err(|_| unknown())?;
        let placeholder = backlot_infrastructure_api::AssetId::generate().to_string();
        let input = resolve(step, |_| Some(placeholder.clone())).unwrap_or_default();
        let wrong = |message: String| Fault::of_node("tool_input_invalid", &step.node, message);
        let input = tool.input.validate(&input).map_err(|faults| {
            wrong(
                faults
                    .iter()
                    .map(|fault| format!("{} {}", fault.pointer, fault.message))
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        })?;
        let mut facts = BTreeMap::new();
        for field in tool.input.assets() {
            let last = match step.wired.get(&field.property) {
                Some(Source::Node(node)) => takes.shown(node, None),
                _ => None,
            };
            let known = last.map_or(UNSEEN, |take| AssetFacts {
                width_px: i32::try_from(take.width).unwrap_or(UNSEEN.width_px),
                height_px: i32::try_from(take.height).unwrap_or(UNSEEN.height_px),
                duration_ms: take.duration_ms,
            });
            facts.insert(field.property.clone(), known);
        }
        let price = tool.manifest.price.work_out(&input, &facts).map_err(|error| wrong(error.to_string()))?;
        let time =
            tool.manifest.predicted_ms.work_out(&input, &facts).map_err(|error| wrong(error.to_string()))?;
        Ok((price.total, time.total, true))
    }
}

pub(crate) fn tools_actor(actor: &Actor) -> tools::Actor {
    tools::Actor { organisation: actor.organisation, id: actor.id.clone() }
}

fn fault_of(node: &str, problem: &Problem) -> Fault {
    let gone = problem.errors.iter().any(|field| field.message.contains("not an asset"));
    let code = if gone { codes::BOARD_ASSET_MISSING.name } else { problem.code.as_str() };
    let named: Vec<String> =
        problem.errors.iter().map(|field| format!("{} {}", field.pointer, field.message)).collect();
    let message = if named.is_empty() { problem.detail.clone() } else { named.join("; ") };
    Fault::of_node(code, node, message)
}

fn shape_of(tool: &Tool) -> ToolShape {
    let schema = &tool.manifest.input;
    let properties = schema.get("properties").and_then(Value::as_object);
    let media = [Kind::Image, Kind::Video, Kind::Audio];
    let mut ports = BTreeMap::new();
    let mut defaulted = BTreeSet::new();
    for (name, property) in properties.into_iter().flatten() {
        if property.get("default").is_some() {
            defaulted.insert(name.clone());
        }
        let asset = tool.input.assets().iter().find(|field| field.property == *name);
        let takes: BTreeSet<Kind> = match asset {
            // Nothing flows into a list: which of its places would it take?
            Some(field) if field.is_list => BTreeSet::new(),
            Some(field) if field.limits.content_types.is_empty() => media.into(),
            Some(field) => field.limits.content_types.iter().map(|media| Kind::of_media(media)).collect(),
            None if property.get("type").and_then(Value::as_str) == Some("string")
                && property.get("enum").is_none() =>
            {
                BTreeSet::from([Kind::Text])
            }
            None => BTreeSet::new(),
        };
        ports.insert(name.clone(), takes);
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let required =
        required.filter_map(Value::as_str).map(str::to_owned).filter(|name| !defaulted.contains(name));
    let output = &tool.manifest.output;
    let makes = match output.target {
        OutputTarget::Inline => Some(Kind::Data),
        OutputTarget::Storage => output.content_types.first().map(|media| Kind::of_media(media)),
    };
    ToolShape { version: tool.manifest.version.clone(), ports, required: required.collect(), makes }
}
