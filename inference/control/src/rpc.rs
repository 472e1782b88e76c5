//! `Control` over gRPC: decode, call, encode.

use std::pin::Pin;

use backlot_foundation_rpc::caller;
use backlot_inference_api::v1::{self, control_server::Control};
use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::{
    convert,
    error::Error,
    model::Tenant,
    service::{Question, Scope, Service, Submission},
};

/// Jobs over gRPC are for systems. People use HTTP, where their organisation is their tenant.
fn scope<T>(request: &Request<T>) -> Result<Scope, Status> {
    let claims = caller(request)?;
    claims.require_service()?;
    Ok(Scope::of(&claims)?)
}

#[tonic::async_trait]
impl Control for Service {
    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<v1::Job, Status>> + Send>>;

    async fn put_tenant(
        &self,
        request: Request<v1::PutTenantRequest>,
    ) -> Result<Response<v1::Tenant>, Status> {
        let scope = scope(&request)?;
        let message = request.into_inner();
        let tenant = self.put_tenant(tenant_of(scope, message)?).await?;
        Ok(Response::new(v1::Tenant {
            tenant: tenant.tenant,
            weight: f64::from(tenant.weight_milli) / 1000.0,
            max_queued: i32::try_from(tenant.queued_max).unwrap_or(i32::MAX),
            regions: tenant.regions.into_iter().collect(),
            version: tenant.version,
        }))
    }

    async fn put_model(&self, request: Request<v1::PutModelRequest>) -> Result<Response<v1::Model>, Status> {
        let scope = scope(&request)?;
        let spec = convert::read_spec(request.into_inner().spec)?;
        Ok(Response::new(convert::model(&self.put_model(&scope, spec).await?)))
    }

    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let scope = scope(&request)?;
        let models = self.models(&scope).iter().map(convert::model).collect();
        Ok(Response::new(v1::ListModelsResponse { models }))
    }

    async fn estimate(
        &self,
        request: Request<v1::EstimateRequest>,
    ) -> Result<Response<v1::Estimate>, Status> {
        let scope = scope(&request)?;
        let message = request.into_inner();
        let question = Question {
            tenant: message.tenant,
            model: message.model,
            model_version: message.model_version,
            tier: convert::tier(message.tier),
            predicted_ms: message.predicted_ms,
        };
        Ok(Response::new(convert::estimate(&self.estimate(&scope, question).await?)))
    }

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<v1::Job>, Status> {
        let scope = scope(&request)?;
        let message = request.into_inner();
        let traceparent = if message.traceparent.is_empty() {
            backlot_foundation_telemetry::traceparent()
        } else {
            message.traceparent
        };
        let submission = Submission {
            idempotency_key: message.idempotency_key,
            tenant: message.tenant,
            model: message.model,
            model_version: message.model_version,
            input_json: message.input_json,
            tier: convert::tier(message.tier),
            ttl_ms: message.ttl_ms,
            target: convert::target(message.output),
            predicted_ms: message.predicted_ms,
            regions: message.regions,
            traceparent,
            deadline: (message.deadline_us > 0)
                .then(|| backlot_foundation_time::Timestamp::from_micros(message.deadline_us)),
        };
        Ok(Response::new(convert::job(&*self.submit(&scope, submission).await?)))
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        let scope = scope(&request)?;
        let id = convert::parse_job_id(&request.into_inner().job_id)?;
        Ok(Response::new(convert::job(&*self.get(&scope, id).await?)))
    }

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let scope = scope(&request)?;
        let message = request.into_inner();
        let tenant = Some(message.tenant).filter(|tenant| !tenant.is_empty());
        let before = Some(message.before).filter(|id| !id.is_empty());
        let before = before.map(|id| convert::parse_job_id(&id)).transpose()?;
        let jobs = self.list(&scope, tenant, convert::state(message.state), message.limit, before).await?;
        Ok(Response::new(v1::ListJobsResponse { jobs: jobs.iter().map(convert::job).collect() }))
    }

    async fn cancel_job(&self, request: Request<v1::CancelJobRequest>) -> Result<Response<v1::Job>, Status> {
        let scope = scope(&request)?;
        let id = convert::parse_job_id(&request.into_inner().job_id)?;
        Ok(Response::new(convert::job(&*self.cancel(&scope, id).await?)))
    }

    async fn watch_job(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let scope = scope(&request)?;
        let id = convert::parse_job_id(&request.into_inner().job_id)?;
        let jobs = self.watch(&scope, id).await?;
        let messages = jobs.map(|job| job.map(|job| convert::job(&job)).map_err(Status::from));
        Ok(Response::new(Box::pin(messages)))
    }

    async fn get_fleet(&self, request: Request<v1::GetFleetRequest>) -> Result<Response<v1::Fleet>, Status> {
        let scope = scope(&request)?;
        Ok(Response::new(convert::fleet(&self.fleet(&scope).await?)))
    }
}

fn tenant_of(scope: Scope, message: v1::PutTenantRequest) -> Result<Tenant, Error> {
    let weight_fits = message.weight.is_finite() && message.weight > 0.0 && message.weight <= 1_000.0;
    if !weight_fits {
        let rule = "must be more than 0 and at most 1,000".to_owned();
        return Err(Error::Invalid { pointer: "/weight".to_owned(), rule });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above: 0 to 1,000")]
    let weight_milli = ((message.weight * 1000.0).round() as u32).max(1);
    let queued_max = match u32::try_from(message.max_queued) {
        Ok(0) | Err(_) => backlot_inference_scheduler::limits::QUEUED_MAX_PER_TENANT,
        Ok(queued_max) => queued_max,
    };
    Ok(Tenant {
        namespace: scope.namespace,
        tenant: message.tenant,
        weight_milli,
        queued_max,
        regions: message.regions.into_iter().collect(),
        version: message.version,
    })
}
