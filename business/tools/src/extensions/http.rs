//! The list of extensions, for whoever writes them.

use axum::Json;
use axum::extract::State;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::Caller;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ExtensionView;
use crate::service::Service;

/// The routes of extensions.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list_extensions))
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
