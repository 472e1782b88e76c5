//! The HTTP API of tools: decode, call, encode.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use backlot_business_api::RunId;
use backlot_business_api::codes;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Caller, IdempotencyKey, Path, Query, ValidJson};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::codes::identity::SCOPE_MISSING;
use backlot_infrastructure_api::{MandateId, OrganisationId, ProjectId};
use futures::StreamExt as _;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::examples::example;
use crate::extensions::ExtensionProblem;
use crate::manifest::{Example, Source, Tool, Visibility};
use crate::order::{Actor, Order};
use crate::price::QuoteLine;
use crate::service::Service;
use crate::timeline::Timeline;
use crate::view::RunView;

/// Largest body: an input is at most 64 KiB.
const BODY_BYTES_MAX: usize = 128 * 1024;
/// Items of a list, unless the request names fewer.
const LIMIT_DEFAULT: u64 = 50;
/// Most items of a list.
const LIMIT_MAX: u64 = 200;
/// Silence after which a comment is sent, so that no proxy takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Longest name of a tool or a version in a request.
const NAME_CHARS_MAX: usize = 64;
/// Scope of an API key that may look.
const SCOPE_READ: &str = "tools:read";
/// Scope of an API key that may run and cancel.
const SCOPE_RUN: &str = "tools:write";

impl Service {
    /// The routes of tools, with their description.
    pub fn http(&self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list_tools))
            .routes(routes!(get_tool))
            .routes(routes!(get_tool_version))
            .routes(routes!(get_example))
            .routes(routes!(quote))
            .routes(routes!(list_runs, create_run))
            .routes(routes!(get_run))
            .routes(routes!(cancel_run))
            .routes(routes!(run_events))
            .routes(routes!(run_timeline))
            .merge(crate::moderation::routes())
            .merge(crate::extensions::routes())
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }
}

/// Who calls, with a credential that covers tools.
struct Person(Actor);

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Caller(claims) = Caller::from_request_parts(parts, state).await?;
        let quotes = parts.uri.path().ends_with("/quote");
        let looks = quotes || parts.method == Method::GET || parts.method == Method::HEAD;
        let scope = if looks { SCOPE_READ } else { SCOPE_RUN };
        let covered = claims.allows_scope(scope) || (looks && claims.allows_scope(SCOPE_RUN));
        if !covered {
            return Err(Problem::new(&SCOPE_MISSING, format!("Use a key that has the scope \"{scope}\"."))
                .with_extra("scope", scope));
        }
        let organisation = OrganisationId::parse(&claims.org).map_err(|_| {
            Problem::new(
                &backlot_foundation_errors::codes::FORBIDDEN,
                "Runs belong to an organisation: act in one.",
            )
        })?;
        Ok(Self(Actor { organisation, id: claims.sub }))
    }
}

/// A tool of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
struct ToolView {
    /// Unique in the catalogue.
    name: String,
    /// `major.minor.patch`.
    version: String,
    /// All published versions, oldest first.
    versions: Vec<String>,
    /// For people.
    label: String,
    /// For people.
    description: String,
    /// `image`, `video` …
    category: String,
    /// Who finds it.
    visibility: Visibility,
    /// Where it comes from.
    source: Source,
    /// What is wrong with an extension's files as they are now: this version is the last good one.
    problem: Option<ExtensionProblem>,
    /// `owner/name` of the model.
    model: String,
    /// Version of the model.
    model_version: String,
    /// JSON Schema (draft 2020-12), with `format: asset`, `x-asset` and `x-ui`.
    #[schema(value_type = Object)]
    input: Value,
    /// What comes out: media types and limits.
    #[schema(value_type = Object)]
    output: Value,
    /// The price formula: amounts in micro-credits.
    #[schema(value_type = Object)]
    price: Value,
    /// Seconds that a run may wait to start.
    ttl_s: u32,
    /// With pictures before and after.
    #[schema(value_type = Vec<Object>)]
    examples: Vec<Example>,
    /// Route of the first example's picture before; null where it has none.
    before: Option<String>,
    /// Route of what the tool made of it; null where there is none.
    after: Option<String>,
    /// SHA-256 of the manifest: the same version never changes.
    manifest_hash: String,
}

impl ToolView {
    fn of(service: &Service, tool: &Tool) -> Self {
        let manifest = &tool.manifest;
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            versions: service.catalogue().versions(&manifest.name),
            label: manifest.label.clone(),
            description: manifest.description.clone(),
            category: manifest.category.clone(),
            visibility: manifest.visibility,
            source: manifest.source,
            problem: service.extensions().get(&manifest.name).and_then(|extension| extension.problem),
            model: manifest.model.name.clone(),
            model_version: manifest.model.version.clone(),
            input: manifest.input.clone(),
            output: json!(manifest.output),
            price: json!(manifest.price),
            ttl_s: manifest.ttl_s,
            before: manifest.examples.iter().find_map(|example| example.before.clone()),
            after: manifest.examples.iter().find_map(|example| example.after.clone()),
            examples: manifest.examples.clone(),
            manifest_hash: tool.hash.clone(),
        }
    }
}

/// The catalogue.
#[derive(Debug, Serialize, ToSchema)]
struct ToolList {
    /// By name.
    items: Vec<ToolView>,
    /// Always null: the catalogue is one page.
    next: Option<String>,
}

/// The tools that can be run, each in its newest version.
#[utoipa::path(get, path = "/v1/tools", tag = "tools",
    responses((status = 200, body = ToolList), (status = "default", body = Problem)))]
async fn list_tools(State(service): State<Service>, _person: Person) -> Json<ToolList> {
    let items = service.listed().iter().map(|tool| ToolView::of(&service, tool)).collect();
    Json(ToolList { items, next: None })
}

/// A tool in its newest version.
#[utoipa::path(get, path = "/v1/tools/{name}", tag = "tools", params(("name" = String, Path)),
    responses((status = 200, body = ToolView), (status = "default", body = Problem)))]
async fn get_tool(
    State(service): State<Service>,
    _person: Person,
    Path(name): Path<String>,
) -> Result<Json<ToolView>, Problem> {
    Ok(Json(ToolView::of(&service, &*service.tool(&name, None)?)))
}

/// A tool in one version. It never changes.
#[utoipa::path(get, path = "/v1/tools/{name}/versions/{version}", tag = "tools",
    params(("name" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = ToolView), (status = "default", body = Problem)))]
async fn get_tool_version(
    State(service): State<Service>,
    _person: Person,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<ToolView>, Problem> {
    Ok(Json(ToolView::of(&service, &*service.tool(&name, Some(&version))?)))
}

/// A picture or clip of a tool's examples. Public.
#[utoipa::path(get, path = "/v1/tools/{name}/examples/{file}", tag = "tools",
    params(("name" = String, Path), ("file" = String, Path)), security(()),
    responses((status = 200, description = "The media", content_type = "application/octet-stream"),
        (status = "default", body = Problem)))]
async fn get_example(Path((name, file)): Path<(String, String)>) -> Result<impl IntoResponse, Problem> {
    let (media, bytes) = example(&name, &file).ok_or_else(|| {
        Problem::new(
            &codes::TOOL_UNKNOWN,
            "There is no such example. GET /v1/tools lists the tools with theirs.",
        )
    })?;
    Ok(([("content-type", media), ("cache-control", "public, max-age=86400")], bytes))
}

/// What to quote.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuoteBody {
    /// Left out: the newest.
    #[garde(inner(length(chars, max = NAME_CHARS_MAX)))]
    version: Option<String>,
    /// By the tool's JSON Schema.
    #[garde(skip)]
    #[schema(value_type = Object)]
    input: Value,
    /// Where the run would belong.
    #[garde(skip)]
    project_id: Option<ProjectId>,
    /// The mandate that would pay; left out: the nearest of yours that allows it.
    #[garde(skip)]
    mandate_id: Option<MandateId>,
    /// Say what a run with this maximum would be answered.
    #[serde(default)]
    #[garde(inner(range(min = 0)))]
    max_price_micro: Option<i64>,
}

/// What a run would cost and when it would start. It promises nothing and holds nothing.
#[derive(Debug, Serialize, ToSchema)]
struct QuoteView {
    /// Name of the tool.
    tool: String,
    /// Version that was quoted.
    version: String,
    /// The price.
    price_micro: i64,
    /// What it is made of; their sum is the price.
    lines: Vec<QuoteLine>,
    /// Compute as inference expects it.
    run_ms: i64,
    /// Compute as the tool predicts it from the input.
    predicted_ms: i64,
    /// Half of such runs start within this time.
    start_p50_ms: i64,
    /// Nine of ten such runs start within this time.
    start_p90_ms: i64,
    /// In the queue.
    position: i32,
    /// Whether any worker could run it.
    possible: bool,
    /// Why not.
    impossible_because: Option<String>,
    /// Whether a run would be accepted now: by your mandate, your credits, your maximum and your open runs.
    allowed: bool,
    /// Code of the refusal that a run would get.
    refused_code: Option<String>,
    /// Why, for people.
    refused_because: Option<String>,
    /// Credits that your organisation can spend now.
    available_micro: i64,
}

/// The dry run: what a run would cost, when it would start, and what it would be refused for. An input that a run
/// would not take is answered with the same problem. Nothing is held; pictures are looked at only by a run.
#[utoipa::path(post, path = "/v1/tools/{name}/quote", tag = "tools", params(("name" = String, Path)),
    request_body = QuoteBody,
    responses((status = 200, body = QuoteView), (status = "default", body = Problem)))]
async fn quote(
    State(service): State<Service>,
    Person(actor): Person,
    Path(name): Path<String>,
    ValidJson(body): ValidJson<QuoteBody>,
) -> Result<Json<QuoteView>, Problem> {
    let order = Order {
        tool: name,
        version: body.version,
        input: body.input,
        project: body.project_id,
        mandate: body.mandate_id,
        max_price_micro: body.max_price_micro,
        deadline: None,
    };
    let quote = service.quote(&actor, &order).await?;
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Json(QuoteView {
        tool: order.tool,
        version: quote.version,
        price_micro: quote.price_micro,
        lines: quote.lines,
        run_ms: quote.estimate.run_ms,
        predicted_ms: quote.predicted_ms,
        start_p50_ms: quote.estimate.start_p50_ms,
        start_p90_ms: quote.estimate.start_p90_ms,
        position: quote.estimate.position,
        possible: quote.estimate.possible,
        impossible_because: filled(quote.estimate.impossible_because),
        allowed: quote.refusal.is_none(),
        refused_code: quote.refusal.as_ref().map(|refusal| refusal.code.clone()),
        refused_because: quote.refusal.and_then(|refusal| filled(refusal.message)),
        available_micro: quote.available_micro,
    }))
}

/// What to run.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RunBody {
    /// Name of the tool.
    #[garde(length(chars, min = 1, max = NAME_CHARS_MAX))]
    tool: String,
    /// Left out: the newest.
    #[garde(inner(length(chars, max = NAME_CHARS_MAX)))]
    version: Option<String>,
    /// By the tool's JSON Schema.
    #[garde(skip)]
    #[schema(value_type = Object)]
    input: Value,
    /// Where it belongs.
    #[garde(skip)]
    project_id: Option<ProjectId>,
    /// The mandate that is to pay; left out: the nearest of yours that allows it.
    #[garde(skip)]
    mandate_id: Option<MandateId>,
    /// Refuse above this price.
    #[garde(inner(range(min = 0)))]
    max_price_micro: Option<i64>,
    /// The latest finish that is of use: a run that would most likely end later is refused at once (`deadline_impossible`),
    /// and one that can no longer end in time expires while it waits. Nothing is charged for either.
    #[garde(skip)]
    deadline: Option<Timestamp>,
}

/// Run a tool. Its price is held at once and settled by what is delivered.
#[utoipa::path(post, path = "/v1/runs", tag = "runs", request_body = RunBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body: the same run")),
    responses((status = 202, body = RunView), (status = "default", body = Problem)))]
async fn create_run(
    State(service): State<Service>,
    Person(actor): Person,
    IdempotencyKey(key): IdempotencyKey,
    ValidJson(body): ValidJson<RunBody>,
) -> Result<(StatusCode, Json<RunView>), Problem> {
    let order = Order {
        tool: body.tool,
        version: body.version,
        input: body.input,
        project: body.project_id,
        mandate: body.mandate_id,
        max_price_micro: body.max_price_micro,
        deadline: body.deadline,
    };
    let row = service.submit(&actor, &order, key.as_deref()).await?;
    let job = service.live_job(&row).await;
    Ok((StatusCode::ACCEPTED, Json(service.view(&row, job.as_ref())?)))
}

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
struct RunsQuery {
    /// Most items, 1 to 200; 50 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// Runs of your organisation.
#[derive(Debug, Serialize, ToSchema)]
struct RunList {
    /// Newest first, without live progress.
    items: Vec<RunView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// The runs of your organisation, newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(RunsQuery),
    responses((status = 200, body = RunList), (status = "default", body = Problem)))]
async fn list_runs(
    State(service): State<Service>,
    Person(actor): Person,
    Query(query): Query<RunsQuery>,
) -> Result<Json<RunList>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let before = query.before.as_deref().map(RunId::parse).transpose().map_err(|error| {
        Problem::new(&backlot_foundation_errors::codes::BAD_REQUEST, format!("\"before\": {error}"))
    })?;
    let mut rows = service.runs(&actor, before, limit + 1).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = more.then(|| rows.last().map(|row| row.id.to_string())).flatten();
    let items: Result<Vec<RunView>, Problem> = rows.iter().map(|row| service.view(row, None)).collect();
    Ok(Json(RunList { items: items?, next }))
}

/// A run as it is now.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, body = RunView), (status = "default", body = Problem)))]
async fn get_run(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let row = service.run(&actor, run_id(&id)?).await?;
    let job = service.live_job(&row).await;
    Ok(Json(service.view(&row, job.as_ref())?))
}

/// Ask a run to stop. It is `canceled` when the work has stopped; one that has ended stays as it is.
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, body = RunView), (status = "default", body = Problem)))]
async fn cancel_run(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let row = service.cancel(&actor, run_id(&id)?).await?;
    Ok(Json(service.view(&row, None)?))
}

/// A run at once, then at each change, as server-sent events named `run`; ends when its money is final.
#[utoipa::path(get, path = "/v1/runs/{id}/events", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, content_type = "text/event-stream", body = RunView),
        (status = "default", body = Problem)))]
async fn run_events(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let id = run_id(&id)?;
    service.run(&actor, id).await?;
    // Each event is the whole run, so to resume is to leave out what was seen last.
    let mut seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let events = service.watch(actor, id).filter_map(move |item| {
        let seen = seen.take();
        let event = match item {
            Ok(view) => {
                let fingerprint = view.fingerprint();
                let event = Event::default().event("run").id(&fingerprint).json_data(&view).ok();
                // The end is told even to who has seen it, so that nobody waits for ever.
                event.filter(|_| seen.as_ref() != Some(&fingerprint) || view.state.is_end())
            }
            Err(problem) => Event::default().event("problem").json_data(&problem).ok(),
        };
        std::future::ready(event.map(Ok::<Event, Infallible>))
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([("cache-control", "no-store"), ("x-accel-buffering", "no")], stream))
}

/// What happened to a run, in every system: what it cost, who paid, why it failed.
#[utoipa::path(get, path = "/v1/runs/{id}/timeline", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, body = Timeline), (status = "default", body = Problem)))]
async fn run_timeline(
    State(service): State<Service>,
    Person(actor): Person,
    Path(id): Path<String>,
) -> Result<Json<Timeline>, Problem> {
    Ok(Json(service.timeline(&actor, run_id(&id)?).await?))
}

/// A text that is no id names no run.
fn run_id(text: &str) -> Result<RunId, Problem> {
    RunId::parse(text).map_err(|_| {
        let text: String = text.chars().take(NAME_CHARS_MAX).collect();
        Problem::new(
            &codes::RUN_UNKNOWN,
            format!("Your organisation has no run {text}. GET /v1/runs lists yours."),
        )
    })
}
