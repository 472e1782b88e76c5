//! The other systems, as tools needs them: contract clients in, plain facts out.
//!
//! Protobuf types stop here.

use backlot_business_api::RunId;
use backlot_foundation_errors::{Kind, Problem};
use backlot_foundation_rpc::Channel;
use backlot_foundation_time::Timestamp;
use backlot_inference_api::v1 as inference;
use backlot_inference_api::v1::control_client::ControlClient;
use backlot_infrastructure_api::v1 as infrastructure;
use backlot_infrastructure_api::v1::billing_client::BillingClient;
use backlot_infrastructure_api::v1::mandates_client::MandatesClient;
use backlot_infrastructure_api::v1::storage_client::StorageClient;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use serde_json::Value;

use crate::convert::{hold_of, job_of};
use crate::facts::{Asset, Estimate, Hold, Job, Permission};
use crate::manifest::{ModelRef, Runtime};
use crate::row::{Model as Row, OutputAsset};

/// What a mandate must allow for a run.
pub(crate) const ACTION: &str = "tools.run";
/// Seconds by which a capability outlives everything that may still use it.
const MARGIN_S: i64 = 3_600;
/// Longest life that storage gives a signed URL.
const SIGNED_S_MAX: i64 = 604_800;
/// Attempts that may follow each other before inference gives up, for the life of a capability.
const ATTEMPTS_RECKONED: i64 = 4;
/// Time-out of an attempt where the manifest names none.
const TIMEOUT_MS_DEFAULT: i64 = 600_000;

/// Tenant of looks: the studio itself.
const CHECKS_TENANT: &str = "backlot-checks";
/// Share of looks, against 1 of an organisation: everybody waits for them.
const CHECKS_WEIGHT: f64 = 8.0;

/// The model that looks at media.
pub(crate) struct Checks<'a> {
    /// `owner/name`.
    pub(crate) model: &'a str,
    /// Its version.
    pub(crate) version: &'a str,
    /// Compute of one look.
    pub(crate) predicted_ms: i64,
}

/// Clients of the systems that a run needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Systems {
    infrastructure: Channel,
    inference: Channel,
}

impl Systems {
    /// Over the channels that the composition root chose; both carry business's service token.
    #[must_use]
    pub(crate) const fn new(infrastructure: Channel, inference: Channel) -> Self {
        Self { infrastructure, inference }
    }

    fn billing(&self) -> BillingClient<Channel> {
        BillingClient::new(self.infrastructure.clone())
    }

    fn storage(&self) -> StorageClient<Channel> {
        StorageClient::new(self.infrastructure.clone())
    }

    fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.inference.clone())
    }

    /// Asks whether a run of this price would be allowed. Spends nothing.
    pub(crate) async fn check(
        &self,
        organisation: OrganisationId,
        actor: &str,
        project: &str,
        mandate: &str,
        tool: &str,
        price_micro: i64,
    ) -> Result<Permission, Problem> {
        let request = infrastructure::CheckRequest {
            organisation_id: organisation.to_string(),
            actor_id: actor.to_owned(),
            action: ACTION.to_owned(),
            project_id: project.to_owned(),
            mandate_id: mandate.to_owned(),
            tool: tool.to_owned(),
            unit_price_micro: price_micro,
            amount_micro: price_micro,
        };
        let answer = MandatesClient::new(self.infrastructure.clone()).check(request).await?.into_inner();
        Ok(Permission { allowed: answer.allowed, reason: answer.reason, message: answer.message })
    }

    /// Credits that the organisation can spend now.
    pub(crate) async fn available_micro(&self, organisation: OrganisationId) -> Result<i64, Problem> {
        let request = infrastructure::GetBalanceRequest { organisation_id: organisation.to_string() };
        Ok(self.billing().get_balance(request).await?.into_inner().available_micro)
    }

    /// Holds the run's price. The request follows from the row alone, so that a repetition is one.
    pub(crate) async fn hold(&self, row: &Row, ttl_s: u32) -> Result<Hold, Problem> {
        let request = infrastructure::HoldRequest {
            run_id: row.id.to_string(),
            organisation_id: row.organisation_id.to_string(),
            project_id: row.project_id.map(|id| id.to_string()).unwrap_or_default(),
            actor_id: row.actor_id.clone(),
            mandate_id: row.mandate_id.map(|id| id.to_string()).unwrap_or_default(),
            action: ACTION.to_owned(),
            tool: row.tool.clone(),
            amount_micro: row.price_micro,
            overdue_after_s: i64::from(ttl_s) + MARGIN_S,
        };
        Ok(hold_of(self.billing().hold(request).await?.into_inner()))
    }

    /// Posts the amount and returns the rest.
    pub(crate) async fn settle(
        &self,
        id: RunId,
        amount: i64,
        absorbed: i64,
        reason: &str,
    ) -> Result<Hold, Problem> {
        let request = infrastructure::SettleRequest {
            run_id: id.to_string(),
            amount_micro: amount,
            absorbed_micro: absorbed,
            reason: reason.to_owned(),
        };
        Ok(hold_of(self.billing().settle(request).await?.into_inner()))
    }

    /// Returns everything.
    pub(crate) async fn void(&self, id: RunId, absorbed: i64, reason: &str) -> Result<Hold, Problem> {
        let request = infrastructure::VoidRequest {
            run_id: id.to_string(),
            reason: reason.to_owned(),
            absorbed_micro: absorbed,
        };
        Ok(hold_of(self.billing().void(request).await?.into_inner()))
    }

    /// The hold of a run.
    pub(crate) async fn get_hold(&self, id: RunId) -> Result<Hold, Problem> {
        let request = infrastructure::GetHoldRequest { run_id: id.to_string() };
        Ok(hold_of(self.billing().get_hold(request).await?.into_inner()))
    }

    /// The asset, where it is this organisation's; `None` where it is not.
    pub(crate) async fn asset(
        &self,
        organisation: OrganisationId,
        id: AssetId,
    ) -> Result<Option<Asset>, Problem> {
        let request = infrastructure::GetAssetRequest {
            asset_id: id.to_string(),
            organisation_id: organisation.to_string(),
        };
        let answer = found(self.storage().get_asset(request).await)?;
        // Storage still knows what was deleted; nobody can use it.
        let there = answer.filter(|asset| asset.state() != infrastructure::AssetState::Deleted);
        Ok(there.map(|asset| Asset {
            ready: asset.state() == infrastructure::AssetState::Ready,
            name: asset.name,
            run_id: asset.run_id,
            content_type: asset.content_type,
            size_bytes: asset.size_bytes,
            width_px: asset.width_px,
            height_px: asset.height_px,
            duration_ms: asset.duration_ms,
        }))
    }

    /// A URL that downloads the asset for as long as any attempt of the run may need it.
    pub(crate) async fn sign_download(
        &self,
        organisation: OrganisationId,
        id: AssetId,
        ttl_s: i64,
    ) -> Result<String, Problem> {
        let request = infrastructure::SignDownloadRequest {
            asset_id: id.to_string(),
            organisation_id: organisation.to_string(),
            ttl_s,
            preview: false,
        };
        Ok(self.storage().sign_download(request).await?.into_inner().url)
    }

    /// Where the run's job writes its outputs.
    pub(crate) async fn issuer(
        &self,
        row: &Row,
        ttl_s: i64,
        max_bytes: i64,
        max_outputs: u32,
    ) -> Result<inference::OutputTarget, Problem> {
        let request = infrastructure::CreateIssuerRequest {
            job_id: row.id.to_string(),
            organisation_id: row.organisation_id.to_string(),
            project_id: row.project_id.map(|id| id.to_string()).unwrap_or_default(),
            actor_id: row.actor_id.clone(),
            ttl_s,
            max_bytes,
            max_outputs: i32::try_from(max_outputs).unwrap_or(i32::MAX),
        };
        let issuer = self.storage().create_issuer(request).await?.into_inner();
        let target = inference::IssuerTarget { url: issuer.url, capability: issuer.capability };
        Ok(inference::OutputTarget { target: Some(inference::output_target::Target::Issuer(target)) })
    }

    /// Makes the winner's objects assets.
    pub(crate) async fn keep(&self, row: &Row) -> Result<Vec<OutputAsset>, Problem> {
        let outputs = row.job_outputs().into_iter().filter(|output| !output.object_key.is_empty());
        let request = infrastructure::FinalizeOutputsRequest {
            job_id: row.id.to_string(),
            run_id: row.id.to_string(),
            fence: row.winning_fence.clone(),
            outputs: outputs
                .map(|output| infrastructure::Output {
                    object_key: output.object_key,
                    name: output.name,
                    content_type: output.content_type,
                    size_bytes: output.size_bytes,
                    sha256: output.sha256,
                })
                .collect(),
            input_asset_ids: row.input_assets().into_iter().map(|(_, id)| id.to_string()).collect(),
            tool: row.tool.clone(),
            tool_version: row.tool_version.clone(),
        };
        let answer = self.storage().finalize_outputs(request).await?.into_inner();
        Ok(answer
            .assets
            .into_iter()
            .map(|asset| OutputAsset {
                id: asset.id,
                name: asset.name,
                content_type: asset.content_type,
                size_bytes: asset.size_bytes,
                width: asset.width_px,
                height: asset.height_px,
                duration_ms: asset.duration_ms,
                value: None,
            })
            .collect())
    }

    /// Nothing of the run's job is kept.
    pub(crate) async fn discard(&self, id: RunId) -> Result<(), Problem> {
        let request = infrastructure::DiscardOutputsRequest { job_id: id.to_string() };
        found(self.storage().discard_outputs(request).await).map(|_| ())
    }

    /// A URL that downloads an output of the run's job before it is kept.
    pub(crate) async fn sign_output(
        &self,
        id: RunId,
        object_key: &str,
        ttl_s: i64,
    ) -> Result<String, Problem> {
        let request = infrastructure::SignOutputRequest {
            job_id: id.to_string(),
            object_key: object_key.to_owned(),
            ttl_s,
        };
        Ok(self.storage().sign_output(request).await?.into_inner().url)
    }

    /// Gives a look to inference, as the studio's own tenant.
    pub(crate) async fn submit_look(
        &self,
        id: RunId,
        checks: &Checks<'_>,
        input: &Value,
        ttl_s: u32,
    ) -> Result<Job, Problem> {
        let request = inference::SubmitRequest {
            idempotency_key: id.to_string(),
            tenant: CHECKS_TENANT.to_owned(),
            model: checks.model.to_owned(),
            model_version: checks.version.to_owned(),
            input_json: input.to_string(),
            tier: inference::Tier::Interactive.into(),
            ttl_ms: i64::from(ttl_s) * 1_000,
            output: Some(inline_target()),
            predicted_ms: checks.predicted_ms,
            deadline_us: 0,
            regions: Vec::new(),
            traceparent: backlot_foundation_telemetry::traceparent(),
        };
        Ok(job_of(self.control().submit(request).await?.into_inner()))
    }

    /// Makes the studio's own checks a tenant of the queue.
    pub(crate) async fn put_checks_tenant(&self) -> Result<(), Problem> {
        self.put_tenant_weighted(CHECKS_TENANT.to_owned(), CHECKS_WEIGHT).await
    }

    /// Makes the organisation a tenant of the queue.
    pub(crate) async fn put_tenant(&self, organisation: OrganisationId) -> Result<(), Problem> {
        self.put_tenant_weighted(organisation.to_string(), 1.0).await
    }

    async fn put_tenant_weighted(&self, tenant: String, weight: f64) -> Result<(), Problem> {
        let request =
            inference::PutTenantRequest { tenant, weight, max_queued: 0, regions: Vec::new(), version: 1 };
        self.control().put_tenant(request).await?;
        Ok(())
    }

    /// Registers the model that a manifest names.
    pub(crate) async fn put_model(&self, model: &ModelRef) -> Result<(), Problem> {
        let runtime = match model.runtime {
            Runtime::Cog => inference::RuntimeKind::Cog,
            Runtime::Command => inference::RuntimeKind::Command,
            Runtime::Echo => inference::RuntimeKind::Echo,
        };
        let spec = inference::ModelSpec {
            name: model.name.clone(),
            version: model.version.clone(),
            runtime: runtime.into(),
            worker: model.worker.clone(),
            // The manifest's schema is checked at our own door; assets have become files by then.
            input_schema_json: String::new(),
            load_ms: model.load_ms,
            run_ms: model.run_ms,
            memory_mib: model.memory_mib,
            gpus: model.gpus,
            timeout_ms: model.timeout_ms,
            pausing: model.pausable.then(inference::Pausing::default),
            batching: model.batch.as_ref().map(|batch| inference::Batching {
                max: i32::try_from(batch.max).unwrap_or(i32::MAX),
                more_permille: i32::try_from(batch.more_permille).unwrap_or(i32::MAX),
                memory_mib: i64::from(batch.memory_mib),
                key: batch.key.clone(),
            }),
        };
        self.control().put_model(inference::PutModelRequest { spec: Some(spec) }).await?;
        Ok(())
    }

    /// What would happen to such a job now.
    pub(crate) async fn estimate(
        &self,
        organisation: OrganisationId,
        model: &ModelRef,
        predicted_ms: i64,
    ) -> Result<Estimate, Problem> {
        let request = inference::EstimateRequest {
            tenant: organisation.to_string(),
            model: model.name.clone(),
            model_version: model.version.clone(),
            tier: inference::Tier::Interactive.into(),
            predicted_ms,
        };
        let answer = self.control().estimate(request).await?.into_inner();
        Ok(Estimate {
            possible: answer.possible,
            impossible_because: answer.impossible_because,
            position: answer.position,
            start_p50_ms: answer.start_p50_ms,
            start_p90_ms: answer.start_p90_ms,
            run_ms: answer.run_ms,
        })
    }

    /// Gives the run's job to inference.
    pub(crate) async fn submit(
        &self,
        row: &Row,
        model: &ModelRef,
        ttl_s: u32,
        input: &Value,
        output: inference::OutputTarget,
    ) -> Result<Job, Problem> {
        let request = inference::SubmitRequest {
            idempotency_key: row.id.to_string(),
            tenant: row.organisation_id.to_string(),
            model: model.name.clone(),
            model_version: model.version.clone(),
            input_json: input.to_string(),
            tier: inference::Tier::Interactive.into(),
            ttl_ms: i64::from(ttl_s) * 1_000,
            output: Some(output),
            predicted_ms: row.predicted_ms,
            deadline_us: row.deadline_at.map_or(0, Timestamp::micros),
            regions: Vec::new(),
            traceparent: backlot_foundation_telemetry::traceparent(),
        };
        Ok(job_of(self.control().submit(request).await?.into_inner()))
    }

    /// The run's job; `None` where inference knows none.
    pub(crate) async fn job(&self, id: RunId) -> Result<Option<Job>, Problem> {
        let request = inference::GetJobRequest { job_id: id.to_string() };
        Ok(found(self.control().get_job(request).await)?.map(job_of))
    }

    /// Asks inference to stop the run's job; `None` where it knows none.
    pub(crate) async fn cancel(&self, id: RunId) -> Result<Option<Job>, Problem> {
        let request = inference::CancelJobRequest { job_id: id.to_string() };
        Ok(found(self.control().cancel_job(request).await)?.map(job_of))
    }

    /// The run's job now, then at every change, until it is terminal.
    pub(crate) async fn watch(
        &self,
        id: RunId,
    ) -> Result<impl futures::Stream<Item = Result<Job, Problem>> + Send + use<>, Problem> {
        use futures::StreamExt as _;
        let request = inference::GetJobRequest { job_id: id.to_string() };
        let stream = self.control().watch_job(request).await?.into_inner();
        Ok(stream.map(|job| job.map(job_of).map_err(Problem::from)))
    }
}

/// How long a run's capabilities live: its wait, its attempts, and a margin.
#[must_use]
pub(crate) fn capability_s(model: &ModelRef, ttl_s: u32) -> i64 {
    let timeout_ms = if model.timeout_ms > 0 { model.timeout_ms } else { TIMEOUT_MS_DEFAULT };
    (i64::from(ttl_s) + ATTEMPTS_RECKONED * timeout_ms / 1_000 + MARGIN_S).min(SIGNED_S_MAX)
}

/// The inline output target.
#[must_use]
pub(crate) const fn inline_target() -> inference::OutputTarget {
    let target = inference::output_target::Target::Inline(inference::InlineTarget {});
    inference::OutputTarget { target: Some(target) }
}

fn found<T>(answer: Result<tonic::Response<T>, tonic::Status>) -> Result<Option<T>, Problem> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) => {
            let problem = Problem::from(status);
            if problem.kind == Kind::NotFound { Ok(None) } else { Err(problem) }
        }
    }
}
