//! The queue of jobs, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use backlot_business_api::RunId;
use backlot_foundation_errors::Problem;
use backlot_foundation_time::{Clock as _, SystemClock};
use backlot_inference_api::v1 as inference;
use backlot_inference_api::v1::control_server::Control;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{Answer, When, World};

#[derive(Clone)]
pub(super) struct Queue(pub(super) Arc<World>);

#[async_trait]
impl Control for Queue {
    async fn put_tenant(&self, request: Request<inference::PutTenantRequest>) -> Answer<inference::Tenant> {
        let tenant = request.into_inner().tenant;
        self.0.state.lock().tenants.push(tenant.clone());
        Ok(Response::new(inference::Tenant { tenant, ..Default::default() }))
    }

    async fn put_model(&self, request: Request<inference::PutModelRequest>) -> Answer<inference::Model> {
        let spec = request.into_inner().spec;
        self.0.state.lock().models.extend(spec.as_ref().map(|spec| spec.name.clone()));
        Ok(Response::new(inference::Model { spec, created_at_us: 0 }))
    }

    async fn list_models(
        &self,
        _: Request<inference::ListModelsRequest>,
    ) -> Answer<inference::ListModelsResponse> {
        Ok(Response::new(inference::ListModelsResponse::default()))
    }

    async fn estimate(&self, _: Request<inference::EstimateRequest>) -> Answer<inference::Estimate> {
        let estimate = inference::Estimate {
            possible: true,
            start_p50_ms: 10,
            start_p90_ms: 100,
            run_ms: 700,
            ..Default::default()
        };
        Ok(Response::new(estimate))
    }

    async fn submit(&self, request: Request<inference::SubmitRequest>) -> Answer<inference::Job> {
        self.0.door("submit", When::Before).await?;
        let request = request.into_inner();
        let job = {
            let mut state = self.0.state.lock();
            if let Some((job, body)) = state.jobs.get(&request.idempotency_key) {
                if *body != request.input_json {
                    return Err(Problem::new(
                        &backlot_foundation_errors::codes::IDEMPOTENCY_KEY_REUSED,
                        "Another body.",
                    )
                    .into());
                }
                job.borrow().clone()
            } else if let Some(problem) = state.refuse_submit.clone() {
                return Err(problem.into());
            } else {
                let is_look = request.tenant == "backlot-checks";
                let is_held = state.holds.contains_key(&request.idempotency_key);
                assert!(is_held || is_look, "work without a hold");
                if is_look {
                    state.looks.push(request.idempotency_key.clone());
                }
                let job = inference::Job {
                    id: request.idempotency_key.clone(),
                    state: inference::JobState::Queued.into(),
                    phase: inference::Phase::Queued.into(),
                    position: 3,
                    start_p50_ms: 10,
                    start_p90_ms: 100,
                    created_at_us: SystemClock.now().micros(),
                    ..Default::default()
                };
                let input = serde_json::from_str(&request.input_json).unwrap();
                state.inputs.insert(request.idempotency_key.clone(), input);
                let entry = (watch::Sender::new(job.clone()), request.input_json);
                state.jobs.insert(request.idempotency_key, entry);
                job
            }
        };
        self.0.door("submit", When::After).await?;
        Ok(Response::new(job))
    }

    async fn get_job(&self, request: Request<inference::GetJobRequest>) -> Answer<inference::Job> {
        self.0.door("get_job", When::Before).await?;
        let job =
            self.0.state.lock().jobs.get(&request.into_inner().job_id).map(|(job, _)| job.borrow().clone());
        job.map(Response::new).ok_or_else(|| Status::not_found("no job"))
    }

    async fn list_jobs(&self, _: Request<inference::ListJobsRequest>) -> Answer<inference::ListJobsResponse> {
        Ok(Response::new(inference::ListJobsResponse::default()))
    }

    async fn cancel_job(&self, request: Request<inference::CancelJobRequest>) -> Answer<inference::Job> {
        self.0.door("cancel", When::Before).await?;
        let id = request.into_inner().job_id;
        let run = RunId::parse(&id).unwrap();
        self.0.change_job(run, |job| {
            job.cancel_requested_at_us = SystemClock.now().micros();
            if job.state() == inference::JobState::Queued {
                job.set_state(inference::JobState::Canceled);
                job.ended_at_us = SystemClock.now().micros();
            }
        });
        let job = self.0.job(run);
        self.0.door("cancel", When::After).await?;
        job.map(Response::new).ok_or_else(|| Status::not_found("no job"))
    }

    type WatchJobStream = BoxStream<'static, Result<inference::Job, Status>>;

    async fn watch_job(&self, request: Request<inference::GetJobRequest>) -> Answer<Self::WatchJobStream> {
        let changes =
            self.0.state.lock().jobs.get(&request.into_inner().job_id).map(|(job, _)| job.subscribe());
        let mut changes = changes.ok_or_else(|| Status::not_found("no job"))?;
        let stream = async_stream::stream! {
            loop {
                let job = changes.borrow_and_update().clone();
                let live = matches!(job.state(), inference::JobState::Queued | inference::JobState::Running);
                yield Ok(job);
                if !live || changes.changed().await.is_err() {
                    break;
                }
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }

    async fn get_fleet(&self, _: Request<inference::GetFleetRequest>) -> Answer<inference::Fleet> {
        Ok(Response::new(inference::Fleet::default()))
    }
}
