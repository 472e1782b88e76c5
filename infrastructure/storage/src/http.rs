//! The HTTP API of storage: decode, call, encode.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Caller, Path, Query, ValidJson};
use backlot_foundation_time::Timestamp;
use backlot_foundation_tokens::Claims;
use backlot_infrastructure_api::codes::identity::SCOPE_MISSING;
use backlot_infrastructure_api::{AssetId, OrganisationId, ProjectId};
use garde::Validate;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::addresses::{SignedUrl, UploadTarget};
use crate::assets::PAGE_MAX;
use crate::authority;
use crate::http_objects;
use crate::keys::ObjectKey;
use crate::lineage::Lineage;
use crate::outputs::NewOutput;
use crate::service::{Actor, Asset, NewUpload, Service, Upload};
use crate::signing::Grant;

/// Assets of a page where nothing is said.
const PAGE_DEFAULT: u64 = 50;
/// Longest time for which a browser may reuse a redirection to a signed address.
const REDIRECT_REUSED_MAX: Duration = Duration::from_secs(300);
/// A redirection is not reused any more so long before its address ends: a download still has to begin with it.
const REDIRECT_MARGIN: Duration = Duration::from_secs(5);

impl Service {
    /// The routes of storage, with their descriptions.
    pub fn http(&self) -> OpenApiRouter {
        let described = OpenApiRouter::new()
            .routes(routes!(create_asset, list_assets))
            .routes(routes!(get_asset, delete_asset))
            .routes(routes!(complete_asset))
            .routes(routes!(get_content))
            .routes(routes!(get_preview))
            .routes(routes!(get_lineage))
            .routes(routes!(get_usage))
            .routes(routes!(announce_output))
            .with_state(self.clone());
        described.merge(OpenApiRouter::from(http_objects::routes(self.clone())))
    }
}

/// The address of an object at this server.
pub(crate) fn object_address(base: &str, key: &ObjectKey, grant: &Grant) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("expires", &grant.expires.to_string());
    if let Some(size) = grant.size {
        query.append_pair("size", &size.to_string());
    }
    let optional = [("sha256", &grant.sha256), ("type", &grant.media_type), ("name", &grant.name)];
    for (name, value) in optional {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.append_pair("signature", &grant.signature);
    format!("{base}/v1/objects/{key}?{}", query.finish())
}

/// What a limited key needs to look at assets. One that may change them may look, too.
const SCOPE_READ: &str = "assets:read";
/// What it needs to upload and delete.
const SCOPE_WRITE: &str = "assets:write";

/// The caller as storage sees it; a key that is limited needs one of `scopes`.
fn actor(claims: &Claims, scopes: &[&str]) -> Result<Actor, Problem> {
    if !scopes.iter().any(|scope| claims.allows_scope(scope)) {
        let scope = scopes.first().copied().unwrap_or_default();
        return Err(Problem::new(&SCOPE_MISSING, format!("Use a key that has the scope \"{scope}\"."))
            .with_extra("scope", scope));
    }
    let organisation = OrganisationId::parse(&claims.org).map_err(|_| {
        Problem::new(&backlot_foundation_errors::codes::FORBIDDEN, "The token names no organisation.")
    })?;
    Ok(Actor { id: claims.sub.clone(), organisation })
}

fn reader(claims: &Claims) -> Result<OrganisationId, Problem> {
    Ok(actor(claims, &[SCOPE_READ, SCOPE_WRITE])?.organisation)
}

/// Who changes an organisation's media needs a mandate for it; systems act for runs that were checked.
async fn may(
    service: &Service,
    claims: &Claims,
    action: &str,
    project: Option<ProjectId>,
) -> Result<Actor, Problem> {
    let actor = writer(claims)?;
    if !claims.is_service() {
        service.authority().check(actor.organisation, &actor.id, action, project).await?;
    }
    Ok(actor)
}

fn writer(claims: &Claims) -> Result<Actor, Problem> {
    actor(claims, &[SCOPE_WRITE])
}

/// A file to upload.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateAssetBody {
    /// File name.
    #[garde(length(chars, min = 1, max = 255))]
    name: String,
    /// Media type; absent or `application/octet-stream`: it is found out.
    #[serde(default)]
    #[garde(length(max = 255))]
    content_type: String,
    /// Exact size in bytes.
    #[garde(skip)]
    size_bytes: i64,
    /// Project that it belongs to.
    #[garde(skip)]
    project_id: Option<ProjectId>,
}

/// One piece of media.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AssetBody {
    /// Its id.
    pub id: AssetId,
    /// uploading, ready, rejected or deleted.
    pub state: String,
    /// File name.
    pub name: String,
    /// By its bytes where it is ready; as declared before.
    pub content_type: String,
    /// Bytes.
    pub size_bytes: i64,
    /// Hex; where it is ready.
    pub sha256: Option<String>,
    /// Pixels, as stored in the file.
    pub width: Option<i32>,
    /// Pixels, as stored in the file.
    pub height: Option<i32>,
    /// Milliseconds, of video and sound.
    pub duration_ms: Option<i64>,
    /// Route of a small picture of it: needs the same credential as this one.
    pub preview_url: Option<String>,
    /// Route of its content: needs the same credential as this one.
    pub download_url: Option<String>,
    /// Project that it belongs to.
    pub project_id: Option<String>,
    /// The run that made it.
    pub run_id: Option<String>,
    /// What that run was given, in order.
    pub inputs: Vec<AssetId>,
    /// Why it is not taken, where it is not.
    pub rejected: Option<RejectedBody>,
    /// When it began.
    pub created_at: Timestamp,
}

/// Why a file is not taken.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RejectedBody {
    /// Error code; its page is /docs/errors/CODE.
    pub code: String,
    /// What was found.
    pub detail: String,
}

impl From<Asset> for AssetBody {
    fn from(asset: Asset) -> Self {
        let rejected = asset
            .rejection()
            .map(|rejection| RejectedBody { code: rejection.code.name.to_owned(), detail: rejection.detail });
        let ready = asset.state() == crate::AssetState::Ready;
        let (inputs, row) = (asset.inputs, asset.row);
        Self {
            preview_url: row
                .preview_type
                .as_ref()
                .filter(|_| ready)
                .map(|_| format!("/v1/assets/{}/preview", row.id)),
            download_url: ready.then(|| format!("/v1/assets/{}/content", row.id)),
            id: row.id,
            state: row.state,
            name: row.name,
            content_type: row.content_type,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            width: row.width_px,
            height: row.height_px,
            duration_ms: row.duration_ms,
            project_id: row.project_id,
            run_id: row.run_id,
            inputs,
            rejected,
            created_at: row.created_at,
        }
    }
}

/// Where the bytes go.
#[derive(Debug, Serialize, ToSchema)]
struct TargetBody {
    /// PUT.
    method: &'static str,
    /// Absolute address; needs no credential.
    url: String,
    /// Headers to send.
    headers: BTreeMap<String, String>,
    /// When the address ends.
    expires_at: Timestamp,
}

impl From<UploadTarget> for TargetBody {
    fn from(target: UploadTarget) -> Self {
        Self {
            method: "PUT",
            url: target.url,
            headers: target.headers.into_iter().collect(),
            expires_at: target.expires_at,
        }
    }
}

/// An upload that has begun.
#[derive(Debug, Serialize, ToSchema)]
struct UploadBody {
    /// The asset to be.
    asset: AssetBody,
    /// Where its bytes go; then complete it.
    upload: TargetBody,
}

impl From<Upload> for UploadBody {
    fn from(upload: Upload) -> Self {
        Self { asset: upload.asset.into(), upload: upload.target.into() }
    }
}

/// A page of assets.
#[derive(Debug, Serialize, ToSchema)]
struct AssetPage {
    /// Newest first.
    items: Vec<AssetBody>,
    /// Pass as `before` for the next page; null: this is the last.
    next: Option<AssetId>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// 1 to 200; 50 where it is absent.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<AssetId>,
    /// Only of this project.
    project_id: Option<ProjectId>,
}

/// Begins an upload: reserves its space and says where its bytes go.
#[utoipa::path(post, path = "/v1/assets", tag = "assets", request_body = CreateAssetBody,
    responses((status = 201, body = UploadBody), (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, body = Problem)))]
async fn create_asset(
    State(service): State<Service>,
    Caller(claims): Caller,
    ValidJson(body): ValidJson<CreateAssetBody>,
) -> Result<(StatusCode, Json<UploadBody>), Problem> {
    let actor = may(&service, &claims, authority::WRITE, body.project_id).await?;
    let new = NewUpload {
        name: body.name,
        content_type: body.content_type,
        size_bytes: body.size_bytes,
        project: body.project_id,
    };
    let upload = service.begin_upload(&actor, new).await?;
    Ok((StatusCode::CREATED, Json(upload.into())))
}

/// Looks at what was uploaded and makes it an asset, or rejects it. Safe to repeat.
#[utoipa::path(post, path = "/v1/assets/{id}/complete", tag = "assets", params(("id" = AssetId, Path)),
    responses((status = 200, body = AssetBody), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 410, body = Problem), (status = 422, body = Problem)))]
async fn complete_asset(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<AssetId>,
) -> Result<Json<AssetBody>, Problem> {
    let actor = writer(&claims)?;
    Ok(Json(service.complete_upload(actor.organisation, id).await?.into()))
}

/// The organisation's assets, newest first.
#[utoipa::path(get, path = "/v1/assets", tag = "assets", params(ListQuery),
    responses((status = 200, body = AssetPage)))]
async fn list_assets(
    State(service): State<Service>,
    Caller(claims): Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<AssetPage>, Problem> {
    let organisation = reader(&claims)?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let assets = service.list(organisation, query.before, query.project_id, limit).await?;
    let full = assets.len() as u64 == limit;
    let next = assets.last().filter(|_| full).map(Asset::id);
    Ok(Json(AssetPage { items: assets.into_iter().map(AssetBody::from).collect(), next }))
}

/// One asset.
#[utoipa::path(get, path = "/v1/assets/{id}", tag = "assets", params(("id" = AssetId, Path)),
    responses((status = 200, body = AssetBody), (status = 404, body = Problem)))]
async fn get_asset(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<AssetId>,
) -> Result<Json<AssetBody>, Problem> {
    Ok(Json(service.get(reader(&claims)?, id).await?.into()))
}

/// Deletes an asset, or cancels an upload and returns its space. Safe to repeat.
#[utoipa::path(delete, path = "/v1/assets/{id}", tag = "assets", params(("id" = AssetId, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn delete_asset(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<AssetId>,
) -> Result<StatusCode, Problem> {
    service.delete(&may(&service, &claims, authority::DELETE, None).await?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Redirects to a signed address of the content.
#[utoipa::path(get, path = "/v1/assets/{id}/content", tag = "assets", params(("id" = AssetId, Path)),
    responses((status = 302), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 410, body = Problem)))]
async fn get_content(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<AssetId>,
) -> Result<Response, Problem> {
    let ttl_s = configured_ttl_s(&service);
    let signed = service.sign_download(reader(&claims)?, id, ttl_s).await?;
    redirect(&signed, service.inner.clock.now())
}

/// Redirects to a signed address of a small picture of it.
#[utoipa::path(get, path = "/v1/assets/{id}/preview", tag = "assets", params(("id" = AssetId, Path)),
    responses((status = 302), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 410, body = Problem)))]
async fn get_preview(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<AssetId>,
) -> Result<Response, Problem> {
    let ttl_s = configured_ttl_s(&service);
    let signed = service.sign_preview(reader(&claims)?, id, ttl_s).await?;
    redirect(&signed, service.inner.clock.now())
}

/// How long the addresses are good for, as storage is set.
fn configured_ttl_s(service: &Service) -> i64 {
    i64::try_from(service.inner.config.download_ttl_s).unwrap_or(1).max(1)
}

/// A redirection that is never reused after its address has ended.
fn redirect(to: &SignedUrl, now: Timestamp) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(&to.url).map_err(|error| Problem::internal(&error))?;
    let left = to.expires_at.since(now).saturating_sub(REDIRECT_MARGIN);
    let cache = format!("private, max-age={}", left.min(REDIRECT_REUSED_MAX).as_secs());
    let cache = HeaderValue::try_from(cache).map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location), (header::CACHE_CONTROL, cache)]).into_response())
}

/// Where an asset came from and what became of it.
#[utoipa::path(get, path = "/v1/assets/{id}/lineage", tag = "assets", params(("id" = AssetId, Path)),
    responses((status = 200, body = Lineage), (status = 404, body = Problem)))]
async fn get_lineage(
    State(service): State<Service>,
    Caller(claims): Caller,
    Path(id): Path<AssetId>,
) -> Result<Json<Lineage>, Problem> {
    Ok(Json(service.lineage(reader(&claims)?, id).await?))
}

/// The space that an organisation uses.
#[derive(Debug, Serialize, ToSchema)]
struct UsageBody {
    /// Bytes of its assets.
    used_bytes: i64,
    /// Bytes that uploads in progress have reserved.
    reserved_bytes: i64,
    /// Bytes that it may use.
    quota_bytes: i64,
}

/// The space that the organisation uses.
#[utoipa::path(get, path = "/v1/assets/usage", tag = "assets", responses((status = 200, body = UsageBody)))]
async fn get_usage(
    State(service): State<Service>,
    Caller(claims): Caller,
) -> Result<Json<UsageBody>, Problem> {
    let usage = service.usage(reader(&claims)?).await?;
    Ok(Json(UsageBody {
        used_bytes: usage.used_bytes,
        reserved_bytes: usage.reserved_bytes,
        quota_bytes: usage.quota_bytes,
    }))
}

/// An output that an attempt of a job wants to write.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct AnnounceOutputBody {
    /// What storage gave for this job.
    #[garde(length(max = 256))]
    capability: String,
    /// The attempt's fence.
    #[garde(length(max = 64))]
    fence: String,
    /// Its number, from 0.
    #[garde(skip)]
    n: i32,
    /// File name.
    #[garde(length(max = 255))]
    name: String,
    /// Media type, as the model says.
    #[serde(default)]
    #[garde(length(max = 255))]
    content_type: String,
    /// Exact size in bytes.
    #[garde(skip)]
    size_bytes: i64,
    /// Hex, lower case.
    #[garde(length(max = 64))]
    sha256: String,
}

/// Where an output goes.
#[derive(Debug, Serialize, ToSchema)]
struct OutputTicketBody {
    /// PUT.
    method: &'static str,
    /// Absolute address; needs no credential.
    url: String,
    /// Headers to send.
    headers: BTreeMap<String, String>,
    /// What the success names the output by.
    object_key: String,
    /// When the address ends.
    expires_at: Timestamp,
}

/// The issuer: says where an attempt of a job may write an output, once. The capability is the credential.
#[utoipa::path(post, path = "/v1/outputs", tag = "outputs", request_body = AnnounceOutputBody,
    responses((status = 200, body = OutputTicketBody), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem)))]
async fn announce_output(
    State(service): State<Service>,
    ValidJson(body): ValidJson<AnnounceOutputBody>,
) -> Result<Json<OutputTicketBody>, Problem> {
    let new = NewOutput {
        capability: body.capability,
        fence: body.fence,
        n: body.n,
        name: body.name,
        content_type: body.content_type,
        size_bytes: body.size_bytes,
        sha256: body.sha256.to_ascii_lowercase(),
    };
    let ticket = service.announce_output(&new).await?;
    let target = TargetBody::from(ticket.target);
    Ok(Json(OutputTicketBody {
        method: target.method,
        url: target.url,
        headers: target.headers,
        object_key: ticket.object_key,
        expires_at: target.expires_at,
    }))
}
