//! An order: what is asked for, what it would cost, and whether it may be run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backlot_business_api::RunId;
use backlot_foundation_errors::Problem;
use backlot_foundation_time::Timestamp;
use backlot_inference_api::codes::DEADLINE_IMPOSSIBLE;
use backlot_infrastructure_api::{AssetId, MandateId, OrganisationId, ProjectId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::facts::{Estimate, Permission};
use crate::input::Fault;
use crate::machine::Stage;
use crate::manifest::{OutputTarget, Tool, canonical_json};
use crate::moderation::is_seen;
use crate::price::{AssetFacts, QuoteLine};
use crate::row::Model as Row;
use crate::service::Service;

/// Characters of a digest that are kept.
const DIGEST_CHARS: usize = 32;

/// Who asks, and for whom.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The tenant.
    pub organisation: OrganisationId,
    /// A user, or `service:NAME`.
    pub id: String,
}

/// What is asked for: a quote, or a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Order {
    /// Name of the tool.
    pub tool: String,
    /// `None`: the newest.
    pub version: Option<String>,
    /// As sent.
    pub input: Value,
    /// Where it belongs.
    pub project: Option<ProjectId>,
    /// The mandate that is to pay; `None`: the nearest that allows it.
    pub mandate: Option<MandateId>,
    /// Refuse above this price.
    pub max_price_micro: Option<i64>,
    /// The latest useful finish.
    pub deadline: Option<Timestamp>,
}

/// What a run would cost, and what would happen to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Quote {
    /// Version that was quoted.
    pub version: String,
    /// Micro-credits.
    pub price_micro: i64,
    /// What it is made of.
    pub lines: Vec<QuoteLine>,
    /// Compute as predicted.
    pub predicted_ms: i64,
    /// From inference.
    pub estimate: Estimate,
    /// From mandates.
    pub permission: Permission,
    /// Credits that can be spent.
    pub available_micro: i64,
    /// What a run would be refused for, the first that applies.
    pub refusal: Option<Refusal>,
}

/// Why a run would be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Code of the problem that the run would be answered with.
    pub code: String,
    /// For people.
    pub message: String,
}

/// An order that was checked.
pub(crate) struct Prepared {
    /// Whether the input has pictures or clips that must be looked at.
    pub(crate) has_media: bool,
    pub(crate) tool: Arc<Tool>,
    pub(crate) input: Value,
    pub(crate) assets: Vec<(String, AssetId)>,
    pub(crate) price_micro: i64,
    pub(crate) lines: Vec<QuoteLine>,
    pub(crate) predicted_ms: i64,
}

impl Service {
    /// What a run would cost and when it would start. Holds nothing.
    pub async fn quote(&self, actor: &Actor, order: &Order) -> Result<Quote, Error> {
        let prepared = self.prepare(actor, order).await?;
        let manifest = &prepared.tool.manifest;
        let text = |id: Option<String>| id.unwrap_or_default();
        let project = text(order.project.map(|id| id.to_string()));
        let mandate = text(order.mandate.map(|id| id.to_string()));
        let systems = self.systems();
        let (estimate, permission, available_micro, open) = tokio::join!(
            systems.estimate(actor.organisation, &manifest.model, prepared.predicted_ms),
            systems.check(
                actor.organisation,
                &actor.id,
                &project,
                &mandate,
                &manifest.name,
                prepared.price_micro
            ),
            systems.available_micro(actor.organisation),
            self.store().open_runs(actor.organisation),
        );
        let (permission, available_micro) = (permission?, available_micro?);
        let refusal = self.refusal(order, prepared.price_micro, &permission, available_micro, open?);
        Ok(Quote {
            version: manifest.version.clone(),
            price_micro: prepared.price_micro,
            lines: prepared.lines,
            predicted_ms: prepared.predicted_ms,
            estimate: estimate?,
            permission,
            available_micro,
            refusal,
        })
    }

    /// Refuses a run that would most likely end after its deadline, before anything is held. Inference has the last word.
    pub(crate) async fn in_time(
        &self,
        actor: &Actor,
        prepared: &Prepared,
        deadline: Timestamp,
    ) -> Result<(), Error> {
        let model = &prepared.tool.manifest.model;
        let told = self.systems().estimate(actor.organisation, model, prepared.predicted_ms).await?;
        let ends_ms = if told.possible { told.start_p50_ms.saturating_add(told.run_ms).max(0) } else { 0 };
        if self.now().plus(Duration::from_millis(ends_ms.unsigned_abs())) < deadline {
            return Ok(());
        }
        let detail = format!("Half of such runs would end in {} s or later.", ends_ms / 1_000);
        Err(Problem::new(&DEADLINE_IMPOSSIBLE, detail).with_extra("ends_in_ms", ends_ms).into())
    }

    /// What a run would be refused for, in the order in which a run finds out.
    fn refusal(
        &self,
        order: &Order,
        price_micro: i64,
        permission: &Permission,
        available_micro: i64,
        open: u64,
    ) -> Option<Refusal> {
        let of = |problem: Problem| Some(Refusal { code: problem.code, message: problem.detail });
        if let Some(max_micro) = order.max_price_micro
            && price_micro > max_micro
        {
            return of(Error::PriceAboveMaximum { price_micro, max_micro }.into());
        }
        if open >= self.config().open_runs_max {
            return of(Error::TooManyRuns(open).into());
        }
        if !permission.allowed {
            return Some(Refusal { code: permission.reason.clone(), message: permission.message.clone() });
        }
        (price_micro > available_micro).then(|| Refusal {
            code: "insufficient_credits".to_owned(),
            message: "Your organisation has fewer credits than the run costs.".to_owned(),
        })
    }

    pub(crate) async fn prepare(&self, actor: &Actor, order: &Order) -> Result<Prepared, Error> {
        let tool = self.tool(&order.tool, order.version.as_deref())?;
        let input = tool.input.validate(&order.input).map_err(Error::Input)?;
        self.judge_texts(&tool, &input)?;
        let mut has_media = false;
        let mut facts = BTreeMap::new();
        let mut assets = Vec::new();
        let mut faults = Vec::new();
        for (n, place, id) in tool.input.named_assets(&input) {
            let field = &tool.input.assets()[n];
            let unknown = || Fault {
                pointer: format!("/{place}"),
                message: "is not an asset of your organisation".to_owned(),
            };
            let Ok(id) = AssetId::parse(&id) else {
                faults.push(unknown());
                continue;
            };
            let Some(asset) = self.systems().asset(actor.organisation, id).await? else {
                faults.push(unknown());
                continue;
            };
            faults.extend(
                field.fault(&asset.view()).map(|fault| Fault { pointer: format!("/{place}"), ..fault }),
            );
            has_media |= is_seen(&asset.content_type);
            let known = AssetFacts {
                width_px: asset.width_px,
                height_px: asset.height_px,
                duration_ms: asset.duration_ms,
            };
            facts.insert(place.clone(), known);
            assets.push((place, id));
        }
        if !faults.is_empty() {
            return Err(Error::Input(faults));
        }
        let worked = tool.manifest.price.work_out(&input, &facts)?;
        let predicted = tool.manifest.predicted_ms.work_out(&input, &facts)?;
        Ok(Prepared {
            has_media,
            input,
            assets,
            price_micro: worked.total,
            lines: worked.lines,
            predicted_ms: predicted.total,
            tool,
        })
    }

    /// Every text that a person wrote, by the word list.
    fn judge_texts(&self, tool: &Tool, input: &Value) -> Result<(), Error> {
        if !self.config().moderation.prompts || !tool.manifest.moderation.prompts {
            return Ok(());
        }
        for property in tool.input.texts() {
            let Some(text) = input.get(property).and_then(Value::as_str) else { continue };
            if let Some(found) = self.prompts().judge(text) {
                let pointer = format!("/{property}");
                return Err(Error::Prompt { pointer, category: found.category, message: found.message });
            }
        }
        Ok(())
    }

    pub(crate) fn new_row(&self, actor: &Actor, order: &Order, prepared: &Prepared) -> Row {
        let manifest = &prepared.tool.manifest;
        let now = self.now();
        let (rules, media) = (&manifest.moderation, self.config().moderation.media);
        let input = canonical_json(&prepared.input);
        let request = format!("{}\n{}\n{input}", actor.organisation, manifest.name);
        Row {
            id: RunId::generate(),
            version: 0,
            organisation_id: actor.organisation,
            project_id: order.project,
            actor_id: actor.id.clone(),
            mandate_id: order.mandate,
            tool: manifest.name.clone(),
            tool_version: manifest.version.clone(),
            category: manifest.category.clone(),
            input: prepared.input.to_string(),
            input_assets: serde_json::to_string(&prepared.assets).unwrap_or_default(),
            request_digest: digest(&request).chars().take(DIGEST_CHARS).collect(),
            price_micro: prepared.price_micro,
            quote_lines: serde_json::to_string(&prepared.lines).unwrap_or_default(),
            predicted_ms: prepared.predicted_ms,
            cost_micro_per_compute_second: manifest.cost.micro_per_compute_second,
            uses_storage: manifest.output.target == OutputTarget::Storage,
            stage: Stage::Intent.as_str().to_owned(),
            held_micro: 0,
            held_by_mandate: String::new(),
            cancel_reason: None,
            accepted: false,
            cancel_sent: false,
            outcome: None,
            failure_class: None,
            failure_detail: String::new(),
            delivered_ppm: 0,
            compute_ms: 0,
            load_ms: 0,
            queue_ms: 0,
            job_attempts: 0,
            has_outputs: false,
            job_outputs: "[]".to_owned(),
            winning_fence: String::new(),
            outputs: "[]".to_owned(),
            charge_micro: None,
            absorbed_micro: 0,
            cost_micro: 0,
            settled_micro: 0,
            refusal: None,
            tries: 0,
            due_at: Some(now.plus(self.config().lease())),
            last_error: String::new(),
            created_at: now,
            cancel_requested_at: None,
            started_at: None,
            ended_at: None,
            finalised_at: None,
            closed_at: None,
            deadline_at: order.deadline,
            looks_at_inputs: media && rules.inputs && prepared.has_media,
            looks_at_outputs: media && rules.outputs && manifest.output.is_seen(),
            inputs_passed: false,
            outputs_passed: false,
            in_review: false,
            traceparent: backlot_foundation_telemetry::traceparent(),
        }
    }
}

/// The same order always has the same text.
pub(crate) fn order_text(order: &Order) -> String {
    let mut text = json!({
        "tool": order.tool,
        "version": order.version,
        "input": order.input,
        "project": order.project,
        "mandate": order.mandate,
        "max_price_micro": order.max_price_micro,
    });
    // Orders without one have the text that they had before there were deadlines.
    if let Some(deadline) = order.deadline {
        text["deadline"] = json!(deadline);
    }
    canonical_json(&text)
}

pub(crate) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
