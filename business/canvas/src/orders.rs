//! Accepting a run of a board: the plan, the checks, the rows.

use backlot_business_api::{BoardId, BoardRunId};
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::codes::billing::INSUFFICIENT_CREDITS;
use backlot_infrastructure_api::v1::billing_client::BillingClient;
use backlot_infrastructure_api::v1::mandates_client::MandatesClient;
use backlot_infrastructure_api::v1::{CheckRequest, GetBalanceRequest};
use backlot_infrastructure_api::{MandateId, OrganisationId};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::limits::OPEN_RUNS_MAX;
use crate::plan::{Plan, Wanted};
use crate::role::Role;
use crate::service::{Actor, Service};
use crate::store::{BoardRow, ChildRow, RunKey, RunRow};

/// What a mandate must allow for a run.
const ACTION: &str = "tools.run";

/// A run to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RunOrder {
    pub(crate) wanted: Wanted,
    /// Refuse above this price.
    pub(crate) max_price_micro: Option<i64>,
    /// Who is to pay; none: the nearest that allows it.
    pub(crate) mandate: Option<MandateId>,
}

impl Service {
    /// Accepts a run of what is stale.
    pub(crate) async fn order_run(
        &self,
        actor: &Actor,
        id: BoardId,
        order: &RunOrder,
        key: Option<&str>,
    ) -> Result<RunRow, Error> {
        let body = json!({ "board": id, "nodes": order.wanted.nodes, "force": order.wanted.force,
            "max_price_micro": order.max_price_micro, "mandate": order.mandate });
        let key = key.map(|key| key_of(key, &body));
        let (board, _) = self.at_least(actor, id, Role::Editor).await?;
        if let Some(before) = self.replayed(actor.organisation, key.as_ref()).await? {
            return Ok(before);
        }
        let plan = self.plan(actor, id, &order.wanted).await?;
        if !plan.faults.is_empty() {
            return Err(Error::Faults(plan.faults));
        }
        if plan.stale.is_empty() {
            return Err(Error::NothingToRun);
        }
        let price_micro = plan.price_micro();
        self.check_price(actor, &board, price_micro, order.max_price_micro, order.mandate).await?;
        let budget_micro = order.max_price_micro.unwrap_or(price_micro);
        let run =
            self.new_run(actor, &board, "nodes", plan.revision, (price_micro, budget_micro), order.mandate);
        self.accept(run, children_of(&plan, order)?, key.as_ref()).await
    }

    /// What this key did before, where it was used.
    pub(crate) async fn replayed(
        &self,
        organisation: OrganisationId,
        key: Option<&RunKey>,
    ) -> Result<Option<RunRow>, Error> {
        let Some(key) = key else { return Ok(None) };
        match self.store().run_of_key(organisation, key).await? {
            None => Ok(None),
            Some((run, false)) => Err(Error::KeyReused(run)),
            Some((run, true)) => Ok(self.store().run(run).await?),
        }
    }

    /// The whole price against the caller's maximum, the mandate and the credits. It holds nothing: each
    /// child holds its own.
    pub(crate) async fn check_price(
        &self,
        actor: &Actor,
        board: &BoardRow,
        price_micro: i64,
        max_micro: Option<i64>,
        mandate: Option<MandateId>,
    ) -> Result<(), Error> {
        if let Some(max_micro) = max_micro.filter(|max| price_micro > *max) {
            return Err(Error::PriceAboveMaximum { price_micro, max_micro });
        }
        let open = self.store().count_open_runs(actor.organisation).await?;
        if open >= OPEN_RUNS_MAX {
            return Err(Error::TooManyRuns(open));
        }
        let organisation_id = actor.organisation.to_string();
        let request = CheckRequest {
            organisation_id: organisation_id.clone(),
            actor_id: actor.id.clone(),
            action: ACTION.to_owned(),
            project_id: board.project_id.map(|id| id.to_string()).unwrap_or_default(),
            mandate_id: mandate.map(|id| id.to_string()).unwrap_or_default(),
            tool: String::new(),
            unit_price_micro: 0,
            amount_micro: price_micro,
        };
        let answer =
            MandatesClient::new(self.infrastructure()).check(request).await.map_err(Problem::from)?;
        let answer = answer.into_inner();
        if !answer.allowed {
            let code = match answer.reason.as_str() {
                "insufficient_credits" => &INSUFFICIENT_CREDITS,
                _ => &backlot_foundation_errors::codes::FORBIDDEN,
            };
            return Err(Problem::new(code, answer.message).with_extra("reason", answer.reason).into());
        }
        let request = GetBalanceRequest { organisation_id };
        let balance =
            BillingClient::new(self.infrastructure()).get_balance(request).await.map_err(Problem::from)?;
        let available_micro = balance.into_inner().available_micro;
        if available_micro < price_micro {
            return Err(Problem::new(
                &INSUFFICIENT_CREDITS,
                "The run costs more credits than there are. Nothing was held.",
            )
            .with_extra("price_micro", price_micro)
            .with_extra("available_micro", available_micro)
            .into());
        }
        Ok(())
    }

    pub(crate) fn new_run(
        &self,
        actor: &Actor,
        board: &BoardRow,
        kind: &str,
        revision: i64,
        (price_micro, budget_micro): (i64, i64),
        mandate: Option<MandateId>,
    ) -> RunRow {
        RunRow {
            id: BoardRunId::generate(),
            board_id: board.id,
            organisation_id: actor.organisation,
            project_id: board.project_id,
            actor_id: actor.id.clone(),
            mandate_id: mandate,
            kind: kind.to_owned(),
            revision,
            state: "running".to_owned(),
            price_micro,
            budget_micro,
            settled_micro: 0,
            version: 0,
            cancel_requested_at: None,
            created_at: self.now(),
            ended_at: None,
        }
    }

    /// Writes the run with its children; from then on the reconciler owns it.
    pub(crate) async fn accept(
        &self,
        run: RunRow,
        children: Vec<ChildRow>,
        key: Option<&RunKey>,
    ) -> Result<RunRow, Error> {
        if !self.store().insert_run(&run, &children, key).await? {
            let before = self.replayed(run.organisation_id, key).await?;
            return before.ok_or_else(|| Error::RunUnknown(run.id.to_string()));
        }
        self.rooms().tell(run.board_id, json!({ "type": "run", "board_run_id": run.id, "state": run.state }));
        self.wake();
        Ok(run)
    }

    /// A run of a board that the actor may see.
    pub(crate) async fn board_run(&self, actor: &Actor, id: BoardRunId) -> Result<RunRow, Error> {
        let unknown = || Error::RunUnknown(id.to_string());
        let run = self.store().run(id).await?.ok_or_else(unknown)?;
        match self.at_least(actor, run.board_id, Role::Viewer).await {
            Ok(_) => Ok(run),
            // The board may be gone; whose run it was still sees it.
            Err(Error::BoardUnknown(_))
                if run.organisation_id == actor.organisation && run.actor_id == actor.id =>
            {
                Ok(run)
            }
            Err(Error::BoardUnknown(_)) => Err(unknown()),
            Err(error) => Err(error),
        }
    }

    /// Asks a run to stop: what waits does not begin, what runs is canceled.
    pub(crate) async fn cancel_run(&self, actor: &Actor, id: BoardRunId) -> Result<RunRow, Error> {
        let run = self.board_run(actor, id).await?;
        if run.actor_id != actor.id {
            self.at_least(actor, run.board_id, Role::Editor).await?;
        }
        self.store().request_cancel(id, self.now()).await?;
        self.wake();
        self.board_run(actor, id).await
    }
}

fn children_of(plan: &Plan, order: &RunOrder) -> Result<Vec<ChildRow>, Error> {
    let child = |(ord, stale): (i64, &crate::plan::Stale)| {
        let step = serde_json::to_string(&stale.step).map_err(|error| Error::Broken(error.to_string()))?;
        Ok(ChildRow {
            ord,
            node: stale.step.node.clone(),
            tool: stale.step.tool.clone(),
            step,
            state: "waiting".to_owned(),
            order_json: None,
            input_hash: None,
            run_id: None,
            price_micro: stale.price_micro,
            settled_micro: 0,
            problem: None,
            outputs: "[]".to_owned(),
            take_id: None,
            told: order.wanted.force && order.wanted.nodes.contains(&stale.step.node),
        })
    };
    (0_i64..).zip(&plan.stale).map(child).collect()
}

pub(crate) fn key_of(key: &str, body: &serde_json::Value) -> RunKey {
    let digest = |text: &str| hex::encode(Sha256::digest(text));
    RunKey { key_digest: digest(key), body_digest: digest(&body.to_string()) }
}
