//! Extensions, for whoever writes them: what is there, and workflows that become tools.

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Caller, ValidJson};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ExtensionView, FieldChoice, Import, Proposal};
use crate::service::Service;

/// Largest workflow.
const WORKFLOW_BYTES_MAX: usize = 1024 * 1024;
const NAME_CHARS_MAX: usize = 64;
const DESCRIPTION_CHARS_MAX: usize = 500;
/// Most fields of a form.
const FIELDS_MAX: usize = 40;

/// The routes of extensions.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    let imports = OpenApiRouter::new()
        .routes(routes!(propose_workflow))
        .routes(routes!(import_workflow))
        .layer(DefaultBodyLimit::max(WORKFLOW_BYTES_MAX));
    OpenApiRouter::new().routes(routes!(list_extensions)).merge(imports)
}

/// Extensions.
#[derive(Debug, Serialize, ToSchema)]
struct ExtensionList {
    /// By name.
    items: Vec<ExtensionView>,
    /// Always null: the list is one page.
    next: Option<String>,
}

/// The extensions that this studio watches, each with the version that runs and what is wrong with its files.
#[utoipa::path(get, path = "/v1/extensions", tag = "tools",
    responses((status = 200, body = ExtensionList), (status = "default", body = Problem)))]
async fn list_extensions(State(service): State<Service>, _caller: Caller) -> Json<ExtensionList> {
    Json(ExtensionList { items: service.extension_views(), next: None })
}

/// A workflow to look at, or to import.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    /// Of the tool: lower-case letters, digits and hyphens.
    #[garde(length(chars, min = 1, max = NAME_CHARS_MAX))]
    name: String,
    /// As ComfyUI exports it in API format.
    #[garde(skip)]
    #[schema(value_type = Object)]
    workflow: Value,
    /// What people read.
    #[serde(default)]
    #[garde(inner(length(chars, max = NAME_CHARS_MAX)))]
    label: Option<String>,
    /// A sentence.
    #[serde(default)]
    #[garde(inner(length(chars, max = DESCRIPTION_CHARS_MAX)))]
    description: Option<String>,
    /// The form, in this order; left out: what is proposed as chosen.
    #[serde(default)]
    #[garde(inner(length(max = FIELDS_MAX)))]
    fields: Option<Vec<FieldChoice>>,
    /// Of a run; left out: 50,000.
    #[serde(default)]
    #[garde(inner(range(min = 1, max = crate::price::AMOUNT_MAX)))]
    price_micro: Option<i64>,
}

impl ImportBody {
    fn import(self) -> Import {
        let Self { name, workflow, label, description, fields, price_micro } = self;
        Import { name, workflow, label, description, fields, price_micro }
    }
}

/// Look at a ComfyUI workflow: what its form may be, and which nodes and models the server lacks. Publishes nothing.
/// For the platform's staff.
#[utoipa::path(post, path = "/v1/tools/import/comfyui", tag = "tools", request_body = ImportBody,
    responses((status = 200, body = Proposal), (status = "default", body = Problem)))]
async fn propose_workflow(
    State(service): State<Service>,
    Caller(claims): Caller,
    ValidJson(body): ValidJson<ImportBody>,
) -> Result<Json<Proposal>, Problem> {
    claims.require_staff()?;
    Ok(Json(service.propose_workflow(&body.import()).await?))
}

/// What an import published.
#[derive(Debug, Serialize, ToSchema)]
struct Imported {
    /// Of the tool.
    name: String,
    /// That was published.
    version: String,
    /// JSON Schema of its input.
    #[schema(value_type = Object)]
    input: Value,
}

/// Publish a ComfyUI workflow as a tool that everyone may run, or as its next version. For the platform's staff.
#[utoipa::path(post, path = "/v1/tools/import/comfyui/confirm", tag = "tools", request_body = ImportBody,
    responses((status = 201, body = Imported), (status = "default", body = Problem)))]
async fn import_workflow(
    State(service): State<Service>,
    Caller(claims): Caller,
    ValidJson(body): ValidJson<ImportBody>,
) -> Result<(StatusCode, Json<Imported>), Problem> {
    claims.require_staff()?;
    let tool = service.import_workflow(&body.import()).await?;
    let manifest = &tool.manifest;
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    Ok((StatusCode::CREATED, Json(Imported { name, version, input: manifest.input.clone() })))
}
