//! The contract's Billing and Mandates services: decode, call, encode.

use std::time::Duration;

use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::caller;
use backlot_foundation_tokens::Claims;
use backlot_infrastructure_api::v1;
use backlot_infrastructure_api::v1::billing_server::{Billing, BillingServer};
use backlot_infrastructure_api::v1::mandates_server::{Mandates, MandatesServer};
use backlot_infrastructure_api::{HoldId, MandateId, OrganisationId, ProjectId, UserId};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::service::{CheckOrder, CheckOutcome, HoldOrder, LedgerReport, Service, SettleOrder};
use crate::store::holds::{Hold, HoldState};

impl Service {
    /// The gRPC service of billing, to add to infrastructure's routes.
    #[must_use]
    pub fn billing_rpc(&self) -> BillingServer<Self> {
        BillingServer::new(self.clone())
    }

    /// The gRPC service of mandates, to add to infrastructure's routes.
    #[must_use]
    pub fn mandates_rpc(&self) -> MandatesServer<Self> {
        MandatesServer::new(self.clone())
    }
}

#[tonic::async_trait]
impl Billing for Service {
    async fn hold(&self, request: Request<v1::HoldRequest>) -> Result<Response<v1::Hold>, Status> {
        let claims = caller(&request)?;
        claims.require_service()?;
        let order = HoldOrder::try_from(request.into_inner())?;
        require_organisation(&claims, order.organisation)?;
        Ok(Response::new(self.hold(&order).await.map_err(problem)?.into()))
    }

    async fn settle(&self, request: Request<v1::SettleRequest>) -> Result<Response<v1::Hold>, Status> {
        let claims = caller(&request)?;
        claims.require_service()?;
        let order = SettleOrder::try_from(request.into_inner())?;
        self.require_own_hold(&claims, order.run).await?;
        Ok(Response::new(self.settle(&order).await.map_err(problem)?.into()))
    }

    async fn void(&self, request: Request<v1::VoidRequest>) -> Result<Response<v1::Hold>, Status> {
        let claims = caller(&request)?;
        claims.require_service()?;
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        self.require_own_hold(&claims, run).await?;
        let hold = self.void(run, &request.reason, request.absorbed_micro).await.map_err(problem)?;
        Ok(Response::new(hold.into()))
    }

    async fn get_hold(&self, request: Request<v1::GetHoldRequest>) -> Result<Response<v1::Hold>, Status> {
        let claims = caller(&request)?;
        claims.require_service()?;
        let hold = self.find_hold(run_id(&request.into_inner().run_id)?).await.map_err(problem)?;
        require_organisation(&claims, hold.organisation)?;
        Ok(Response::new(hold.into()))
    }

    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::Balance>, Status> {
        let claims = caller(&request)?;
        let organisation = organisation_id(&request.into_inner().organisation_id)?;
        require_organisation(&claims, organisation)?;
        let balance = self.balance(organisation).await.map_err(problem)?;
        Ok(Response::new(v1::Balance {
            available_micro: balance.available_micro,
            held_micro: balance.held_micro,
            spent_micro: balance.spent_micro,
            granted_micro: balance.granted_micro,
        }))
    }

    async fn check_ledger(
        &self,
        request: Request<v1::CheckLedgerRequest>,
    ) -> Result<Response<v1::LedgerReport>, Status> {
        let claims = caller(&request)?;
        let organisation = request.into_inner().organisation_id;
        if organisation.is_empty() {
            if !claims.is_service() {
                claims.require_staff()?;
            }
            return Ok(Response::new(self.check_all().await.map_err(problem)?.into()));
        }
        let organisation = organisation_id(&organisation)?;
        require_organisation(&claims, organisation)?;
        Ok(Response::new(self.prove_for(organisation).await.map_err(problem)?.into()))
    }
}

#[tonic::async_trait]
impl Mandates for Service {
    async fn check(&self, request: Request<v1::CheckRequest>) -> Result<Response<v1::CheckResponse>, Status> {
        let claims = caller(&request)?;
        let order = CheckOrder::try_from(request.into_inner())?;
        require_organisation(&claims, order.organisation)?;
        if !claims.is_service() && claims.sub != order.actor.to_string() {
            let detail = "You may ask only what you may do yourself.";
            return Err(Problem::new(&codes::FORBIDDEN, detail).into());
        }
        let asked = order.mandate.map(|id| id.to_string()).unwrap_or_default();
        let answer = match self.check(&order).await.map_err(problem)? {
            CheckOutcome::Allowed { chain } => v1::CheckResponse {
                allowed: true,
                mandate_id: chain.first().map(ToString::to_string).unwrap_or_default(),
                chain: chain.iter().map(ToString::to_string).collect(),
                reason: String::new(),
                message: String::new(),
            },
            CheckOutcome::Refused { problem } => v1::CheckResponse {
                allowed: false,
                mandate_id: asked,
                chain: Vec::new(),
                reason: problem.code,
                message: problem.detail,
            },
        };
        Ok(Response::new(answer))
    }
}

impl Service {
    /// Refuses a service that acts in another organisation than the hold's.
    async fn require_own_hold(&self, claims: &Claims, run: HoldId) -> Result<(), Status> {
        if claims.org.is_empty() {
            return Ok(());
        }
        let hold = self.find_hold(run).await.map_err(problem)?;
        if hold.organisation.to_string() == claims.org {
            return Ok(());
        }
        Err(problem(Error::UnknownHold(run)))
    }
}

fn problem(error: Error) -> Status {
    Problem::from(error).into()
}

/// A service without an organisation acts in any; everybody else in their own.
fn require_organisation(claims: &Claims, organisation: OrganisationId) -> Result<(), Status> {
    let acts_in_any = claims.is_service() && claims.org.is_empty();
    if acts_in_any || claims.org == organisation.to_string() {
        return Ok(());
    }
    Err(problem(Error::UnknownOrganisation(organisation)))
}

fn invalid(pointer: &'static str, error: impl ToString) -> Status {
    problem(Error::Invalid { pointer, message: error.to_string() })
}

fn run_id(text: &str) -> Result<HoldId, Status> {
    HoldId::parse(text).map_err(|error| invalid("/run_id", error))
}

fn organisation_id(text: &str) -> Result<OrganisationId, Status> {
    OrganisationId::parse(text).map_err(|error| invalid("/organisation_id", error))
}

fn optional<T, E: ToString>(
    text: &str,
    pointer: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some).map_err(|error| invalid(pointer, error))
}

impl TryFrom<v1::HoldRequest> for HoldOrder {
    type Error = Status;

    fn try_from(request: v1::HoldRequest) -> Result<Self, Status> {
        let overdue_after_s = u64::try_from(request.overdue_after_s)
            .map_err(|_| invalid("/overdue_after_s", "must not be negative"))?;
        Ok(Self {
            run: run_id(&request.run_id)?,
            organisation: organisation_id(&request.organisation_id)?,
            project: optional(&request.project_id, "/project_id", ProjectId::parse)?,
            actor: UserId::parse(&request.actor_id).map_err(|error| invalid("/actor_id", error))?,
            mandate: optional(&request.mandate_id, "/mandate_id", MandateId::parse)?,
            action: request.action,
            tool: request.tool,
            amount_micro: request.amount_micro,
            overdue_after: Duration::from_secs(overdue_after_s),
        })
    }
}

impl TryFrom<v1::SettleRequest> for SettleOrder {
    type Error = Status;

    fn try_from(request: v1::SettleRequest) -> Result<Self, Status> {
        Ok(Self {
            run: run_id(&request.run_id)?,
            amount_micro: request.amount_micro,
            absorbed_micro: request.absorbed_micro,
            reason: request.reason,
        })
    }
}

impl TryFrom<v1::CheckRequest> for CheckOrder {
    type Error = Status;

    fn try_from(request: v1::CheckRequest) -> Result<Self, Status> {
        Ok(Self {
            organisation: organisation_id(&request.organisation_id)?,
            actor: UserId::parse(&request.actor_id).map_err(|error| invalid("/actor_id", error))?,
            mandate: optional(&request.mandate_id, "/mandate_id", MandateId::parse)?,
            action: request.action,
            project: optional(&request.project_id, "/project_id", ProjectId::parse)?,
            tool: request.tool,
            unit_price_micro: request.unit_price_micro,
            amount_micro: request.amount_micro,
        })
    }
}

impl From<Hold> for v1::Hold {
    fn from(hold: Hold) -> Self {
        let state = match hold.state {
            HoldState::Held => v1::HoldState::Held,
            HoldState::Settled => v1::HoldState::Settled,
            HoldState::Voided => v1::HoldState::Voided,
        };
        let parts = hold.parts.iter().map(|part| v1::HoldPart {
            grant_id: part.grant.to_string(),
            held_micro: part.held_micro,
            settled_micro: part.settled_micro,
        });
        Self {
            run_id: hold.run.to_string(),
            state: state.into(),
            held_micro: hold.held_micro,
            settled_micro: hold.settled_micro,
            mandate_id: hold.mandate.to_string(),
            mandate_chain: hold.chain.iter().map(ToString::to_string).collect(),
            parts: parts.collect(),
            created_at_us: hold.created_at.micros(),
            ended_at_us: hold.ended_at.map_or(0, |at| at.micros()),
        }
    }
}

impl From<LedgerReport> for v1::LedgerReport {
    fn from(report: LedgerReport) -> Self {
        Self {
            balanced: report.balanced,
            transactions: report.transactions,
            sealed_transactions: report.sealed_transactions,
            chain_verified: report.chain_verified,
            open_holds: report.open_holds,
            problems: report.problems,
        }
    }
}
