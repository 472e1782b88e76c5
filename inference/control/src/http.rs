//! The HTTP API of inference: decode, call, encode.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use backlot_foundation_errors::Problem;
use backlot_foundation_ids::Uuid;
use backlot_foundation_rpc::http::{Caller, IdempotencyKey, Path, Query, ValidJson};
use backlot_inference_api::JobId;
use futures::StreamExt as _;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    error::Error,
    limits,
    model::{Fleet, Job, JobState, Model, Target, Tier},
    service::{Scope, Service, Submission},
};

/// How often a silent stream says that it lives.
const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);

impl Service {
    /// The routes `/v1/jobs`, `/v1/fleet` and `/v1/models`.
    #[must_use]
    pub fn http(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list_jobs, submit_job))
            .routes(routes!(get_job))
            .routes(routes!(cancel_job))
            .routes(routes!(watch_job))
            .routes(routes!(get_fleet))
            .routes(routes!(list_models))
            .with_state(self.clone())
    }
}

/// A page of jobs.
#[derive(Debug, Serialize, ToSchema)]
struct JobPage {
    /// The jobs, newest first.
    items: Vec<Job>,
    /// Pass it as `before` for the next page; nothing: this is the last.
    next: Option<JobId>,
}

/// All models.
#[derive(Debug, Serialize, ToSchema)]
struct ModelPage {
    /// The versions that can be run.
    items: Vec<Model>,
    /// Always nothing: the list is whole.
    next: Option<String>,
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Jobs in the page, 1 to 500; 50 where it is left out.
    limit: Option<i32>,
    /// The last job of the page before.
    before: Option<Uuid>,
    /// Only jobs in this state.
    state: Option<JobState>,
}

/// A job to be done.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct SubmitJob {
    /// Who it counts for. A person's jobs always count for their organisation.
    #[serde(default)]
    tenant: String,
    /// `owner/name` of the model.
    #[garde(length(chars, min = 1, max = 255))]
    model: String,
    /// Version of the model; the newest where it is left out.
    #[serde(default)]
    #[garde(length(chars, max = 255))]
    model_version: String,
    /// What the model takes; files as `{"$file": "https://…", "name": "…"}`.
    #[schema(value_type = Object)]
    input: serde_json::Value,
    /// How soon; `standard` where it is left out.
    tier: Option<Tier>,
    /// How long it may wait, milliseconds; a day where it is left out.
    #[serde(default)]
    #[garde(range(min = 0, max = limits::TTL_MS_MAX))]
    ttl_ms: i64,
    /// Where its outputs go; inline where it is left out.
    output: Option<Target>,
    /// The caller's guess of the compute, milliseconds.
    #[serde(default)]
    #[garde(range(min = 0))]
    predicted_ms: i64,
    /// Where it may run; anywhere where it is left out.
    #[serde(default)]
    regions: Vec<String>,
    /// Its latest useful finish: refused where it would end later, expired where it no longer can end in time.
    #[garde(skip)]
    deadline: Option<backlot_foundation_time::Timestamp>,
}

/// Jobs, newest first: a person's organisation's, a system's namespace's.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, body = JobPage), (status = 401, body = Problem)))]
async fn list_jobs(
    State(service): State<Service>,
    Caller(claims): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<JobPage>, Problem> {
    let scope = Scope::of(&claims)?;
    let limit = query.limit.unwrap_or(limits::LIST_DEFAULT).clamp(1, limits::LIST_MAX);
    let before = query.before.map(JobId::from_uuid);
    let items = service.list(&scope, None, query.state, limit, before).await?;
    let full = i32::try_from(items.len()).is_ok_and(|count| count >= limit);
    let next = items.last().filter(|_| full).map(|job| job.id);
    Ok(Json(JobPage { items, next }))
}

/// Submits a job. For systems; people start runs of tools, which are priced.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = SubmitJob,
    params(("Idempotency-Key" = Option<String>, Header, description = "Same key and request: same job")),
    responses((status = 202, body = Job), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem)))]
async fn submit_job(
    State(service): State<Service>,
    Caller(claims): Caller,
    IdempotencyKey(key): IdempotencyKey,
    ValidJson(body): ValidJson<SubmitJob>,
) -> Result<Response, Problem> {
    let scope = Scope::of(&claims)?;
    if !claims.is_service() || !claims.org.is_empty() {
        people_may(&service, &body)?;
    }
    let tenant =
        if scope.tenant.is_none() && body.tenant.is_empty() { claims.org.clone() } else { body.tenant };
    let submission = Submission {
        idempotency_key: key.unwrap_or_default(),
        tenant,
        model: body.model,
        model_version: body.model_version,
        input_json: body.input.to_string(),
        tier: body.tier.unwrap_or(Tier::Standard),
        ttl_ms: body.ttl_ms,
        target: body.output.unwrap_or(Target::Inline),
        predicted_ms: body.predicted_ms,
        regions: body.regions,
        traceparent: backlot_foundation_telemetry::traceparent(),
        deadline: body.deadline,
    };
    let job = service.submit(&scope, submission).await?;
    let location = [(header::LOCATION, format!("/v1/jobs/{}", job.id))];
    Ok((StatusCode::ACCEPTED, location, Json(&*job)).into_response())
}

/// What a person may submit, where they may at all.
fn people_may(service: &Service, body: &SubmitJob) -> Result<(), Error> {
    if !service.inner.config.people_may_submit {
        return Err(Error::Forbidden(
            "Start a run of a tool with POST /v1/runs: it is priced before it runs.",
        ));
    }
    let inline = matches!(body.output, None | Some(Target::Inline));
    if !inline || crate::input::has_files(&body.input) {
        return Err(Error::Forbidden(
            "Only systems may name addresses that an agent reads from or writes to.",
        ));
    }
    Ok(())
}

/// A job as it is now.
#[utoipa::path(get, path = "/v1/jobs/{job_id}", tag = "jobs", params(("job_id" = JobId, Path)),
    responses((status = 200, body = Job), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn get_job(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<JobId>,
) -> Result<Json<Job>, Problem> {
    let job = service.get(&Scope::of(&claims)?, id).await?;
    Ok(Json((*job).clone()))
}

/// Asks for a job's end. It is `canceled` once its worker has confirmed that the work stopped.
#[utoipa::path(post, path = "/v1/jobs/{job_id}/cancel", tag = "jobs", params(("job_id" = JobId, Path)),
    responses((status = 202, body = Job), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn cancel_job(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<JobId>,
) -> Result<(StatusCode, Json<Job>), Problem> {
    let job = service.cancel(&Scope::of(&claims)?, id).await?;
    Ok((StatusCode::ACCEPTED, Json((*job).clone())))
}

/// The job at every change, as server-sent events named `job`, until it has ended.
#[utoipa::path(get, path = "/v1/jobs/{job_id}/events", tag = "jobs", params(("job_id" = JobId, Path)),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn watch_job(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<JobId>,
) -> Result<Response, Problem> {
    let jobs = service.watch(&Scope::of(&claims)?, id).await?;
    let events = jobs.map(|job| {
        let event = match job {
            Ok(job) => Event::default().event("job").json_data(&*job),
            Err(error) => Event::default().event("problem").json_data(Problem::from(error)),
        };
        Ok::<_, Infallible>(event.unwrap_or_default())
    });
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    Ok((headers, Sse::new(events).keep_alive(KeepAlive::new().interval(STREAM_KEEP_ALIVE))).into_response())
}

/// Agents, their workers, and what waits. Other tenants' jobs are counted, not named.
#[utoipa::path(get, path = "/v1/fleet", tag = "fleet",
    responses((status = 200, body = Fleet), (status = 401, body = Problem)))]
async fn get_fleet(State(service): State<Service>, Caller(claims): Caller) -> Result<Json<Fleet>, Problem> {
    Ok(Json(service.fleet(&Scope::of(&claims)?).await?))
}

/// All model versions that can be run.
#[utoipa::path(get, path = "/v1/models", tag = "fleet",
    responses((status = 200, body = ModelPage), (status = 401, body = Problem)))]
async fn list_models(
    State(service): State<Service>,
    Caller(claims): Caller,
) -> Result<Json<ModelPage>, Problem> {
    let scope = Scope::of(&claims)?;
    Ok(Json(ModelPage { items: service.models(&scope), next: None }))
}
