//! The contract `backlot.infrastructure.v1.Storage`: decode, call, encode.

use backlot_foundation_rpc::caller;
use backlot_foundation_tokens::Claims;
use backlot_infrastructure_api::v1;
use backlot_infrastructure_api::v1::storage_server::{Storage, StorageServer};
use backlot_infrastructure_api::{AssetId, OrganisationId, ProjectId};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::outputs::{IssuerTerms, Winner, WinnerOutput};
use crate::public::{CopyOrder, PublicGrant};
use crate::service::{Actor, Asset, AssetState, NewUpload, Service};

/// Path of the issuer's route.
const ISSUER_PATH: &str = "/v1/outputs";

impl Service {
    /// The gRPC service, to be added to the system's routes.
    #[must_use]
    pub fn rpc(&self) -> StorageServer<Rpc> {
        StorageServer::new(Rpc { service: self.clone() })
    }
}

/// The contract's server.
#[derive(Clone)]
pub struct Rpc {
    service: Service,
}

/// Only systems call; and where the token names an organisation, it is the one that the call is about.
fn service_for(claims: &Claims, organisation: &str) -> Result<OrganisationId, Status> {
    claims.require_service()?;
    let organisation = organisation_id(organisation)?;
    if !claims.org.is_empty() && claims.org != organisation.to_string() {
        return Err(Error::ForeignOrganisation.into());
    }
    Ok(organisation)
}

/// The organisation of the token, for calls that name a job only; `None` where it acts in any.
fn service_in(claims: &Claims) -> Result<Option<OrganisationId>, Status> {
    claims.require_service()?;
    if claims.org.is_empty() { Ok(None) } else { organisation_id(&claims.org).map(Some) }
}

fn invalid(pointer: &'static str, message: impl std::fmt::Display) -> Status {
    Error::InvalidField { pointer, message: message.to_string() }.into()
}

fn organisation_id(text: &str) -> Result<OrganisationId, Status> {
    OrganisationId::parse(text).map_err(|error| invalid("/organisation_id", error))
}

/// An id that cannot be one is not found, as nothing can have it.
fn asset_id(text: &str) -> Result<AssetId, Status> {
    AssetId::parse(text).map_err(|_| Error::NotFound("asset").into())
}

fn project_id(text: &str) -> Result<Option<ProjectId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    ProjectId::parse(text).map(Some).map_err(|error| invalid("/project_id", error))
}

fn asset_message(asset: Asset) -> v1::Asset {
    let state = match asset.state() {
        AssetState::Uploading => v1::AssetState::Uploading,
        AssetState::Ready => v1::AssetState::Ready,
        AssetState::Rejected => v1::AssetState::Rejected,
        AssetState::Deleted => v1::AssetState::Deleted,
    };
    let (inputs, row) = (asset.inputs, asset.row);
    v1::Asset {
        id: row.id.to_string(),
        organisation_id: row.organisation_id.to_string(),
        project_id: row.project_id.unwrap_or_default(),
        state: state.into(),
        name: row.name,
        content_type: row.content_type,
        size_bytes: row.size_bytes,
        sha256: row.sha256.unwrap_or_default(),
        width_px: row.width_px.unwrap_or(0),
        height_px: row.height_px.unwrap_or(0),
        duration_ms: row.duration_ms.unwrap_or(0),
        run_id: row.run_id.unwrap_or_default(),
        input_asset_ids: inputs.iter().map(ToString::to_string).collect(),
        created_at_us: row.created_at.micros(),
        tool: row.tool.unwrap_or_default(),
        tool_version: row.tool_version.unwrap_or_default(),
        has_preview: row.preview_type.is_some(),
    }
}

#[tonic::async_trait]
impl Storage for Rpc {
    async fn get_asset(&self, request: Request<v1::GetAssetRequest>) -> Result<Response<v1::Asset>, Status> {
        let claims = caller(&request)?;
        let request = request.into_inner();
        let organisation = service_for(&claims, &request.organisation_id)?;
        let asset = self.service.get(organisation, asset_id(&request.asset_id)?).await?;
        Ok(Response::new(asset_message(asset)))
    }

    async fn sign_download(
        &self,
        request: Request<v1::SignDownloadRequest>,
    ) -> Result<Response<v1::SignedUrl>, Status> {
        let claims = caller(&request)?;
        let request = request.into_inner();
        let organisation = service_for(&claims, &request.organisation_id)?;
        let id = asset_id(&request.asset_id)?;
        let signed = match request.preview {
            true => self.service.sign_preview(organisation, id, request.ttl_s).await?,
            false => self.service.sign_download(organisation, id, request.ttl_s).await?,
        };
        Ok(Response::new(v1::SignedUrl { url: signed.url, expires_at_us: signed.expires_at.micros() }))
    }

    async fn create_issuer(
        &self,
        request: Request<v1::CreateIssuerRequest>,
    ) -> Result<Response<v1::Issuer>, Status> {
        let claims = caller(&request)?;
        let request = request.into_inner();
        let terms = IssuerTerms {
            organisation: service_for(&claims, &request.organisation_id)?,
            project: project_id(&request.project_id)?,
            job_id: request.job_id,
            actor_id: request.actor_id,
            ttl_s: request.ttl_s,
            max_bytes: request.max_bytes,
            max_outputs: request.max_outputs,
        };
        let capability = self.service.create_issuer(&terms).await?;
        Ok(Response::new(v1::Issuer { url: format!("{}{ISSUER_PATH}", self.service.base_url()), capability }))
    }

    async fn finalize_outputs(
        &self,
        request: Request<v1::FinalizeOutputsRequest>,
    ) -> Result<Response<v1::FinalizeOutputsResponse>, Status> {
        let claims = caller(&request)?;
        let organisation = service_in(&claims)?;
        let request = request.into_inner();
        let inputs = request.input_asset_ids.iter().map(|id| asset_id(id)).collect::<Result<_, _>>()?;
        let named = |output: v1::Output| WinnerOutput {
            object_key: output.object_key,
            name: output.name,
            size_bytes: output.size_bytes,
            sha256: output.sha256.to_ascii_lowercase(),
        };
        let winner = Winner {
            job_id: request.job_id,
            run_id: request.run_id,
            fence: request.fence,
            outputs: request.outputs.into_iter().map(named).collect(),
            inputs,
            tool: request.tool,
            tool_version: request.tool_version,
        };
        let assets = self.service.finalize_outputs(organisation, winner).await?;
        let assets = assets.into_iter().map(asset_message).collect();
        Ok(Response::new(v1::FinalizeOutputsResponse { assets }))
    }

    async fn sign_output(
        &self,
        request: Request<v1::SignOutputRequest>,
    ) -> Result<Response<v1::SignedUrl>, Status> {
        let claims = caller(&request)?;
        let organisation = service_in(&claims)?;
        let request = request.into_inner();
        let signed = self
            .service
            .sign_output(organisation, &request.job_id, &request.object_key, request.ttl_s)
            .await?;
        Ok(Response::new(v1::SignedUrl { url: signed.url, expires_at_us: signed.expires_at.micros() }))
    }

    async fn discard_outputs(
        &self,
        request: Request<v1::DiscardOutputsRequest>,
    ) -> Result<Response<v1::DiscardOutputsResponse>, Status> {
        let claims = caller(&request)?;
        let organisation = service_in(&claims)?;
        self.service.discard_outputs(organisation, &request.into_inner().job_id).await?;
        Ok(Response::new(v1::DiscardOutputsResponse {}))
    }

    async fn set_public(
        &self,
        request: Request<v1::SetPublicRequest>,
    ) -> Result<Response<v1::SetPublicResponse>, Status> {
        let claims = caller(&request)?;
        let request = request.into_inner();
        let organisation = service_for(&claims, &request.organisation_id)?;
        let id = asset_id(&request.asset_id)?;
        let grant = PublicGrant { id: request.grant_id, version: request.version, public: request.public };
        self.service.set_public(organisation, id, &grant).await?;
        Ok(Response::new(v1::SetPublicResponse {}))
    }

    async fn copy_public(
        &self,
        request: Request<v1::CopyPublicRequest>,
    ) -> Result<Response<v1::Asset>, Status> {
        let claims = caller(&request)?;
        let request = request.into_inner();
        let order = CopyOrder {
            asset: asset_id(&request.asset_id)?,
            grant: request.grant_id,
            copy: AssetId::parse(&request.copy_id).map_err(|error| invalid("/copy_id", error))?,
            organisation: service_for(&claims, &request.organisation_id)?,
            project: project_id(&request.project_id)?,
            actor_id: request.actor_id,
        };
        Ok(Response::new(asset_message(self.service.copy_public(&order).await?)))
    }

    async fn begin_upload(
        &self,
        request: Request<v1::BeginUploadRequest>,
    ) -> Result<Response<v1::Upload>, Status> {
        let claims = caller(&request)?;
        let request = request.into_inner();
        let id = AssetId::parse(&request.asset_id).map_err(|error| invalid("/asset_id", error))?;
        let organisation = service_for(&claims, &request.organisation_id)?;
        let new = NewUpload {
            name: request.name,
            content_type: request.content_type,
            size_bytes: request.size_bytes,
            project: project_id(&request.project_id)?,
        };
        let actor = Actor { id: request.actor_id, organisation };
        let target = self.service.begin_upload_as(id, &actor, new).await?.target;
        Ok(Response::new(v1::Upload {
            url: target.url,
            headers: target.headers.into_iter().collect(),
            expires_at_us: target.expires_at.micros(),
        }))
    }

    async fn complete_upload(
        &self,
        request: Request<v1::CompleteUploadRequest>,
    ) -> Result<Response<v1::Asset>, Status> {
        let claims = caller(&request)?;
        let request = request.into_inner();
        let organisation = service_for(&claims, &request.organisation_id)?;
        let asset = self.service.complete_upload(organisation, asset_id(&request.asset_id)?).await?;
        Ok(Response::new(asset_message(asset)))
    }

    async fn cancel_upload(
        &self,
        request: Request<v1::CancelUploadRequest>,
    ) -> Result<Response<v1::CancelUploadResponse>, Status> {
        let claims = caller(&request)?;
        let request = request.into_inner();
        let organisation = service_for(&claims, &request.organisation_id)?;
        let actor = Actor { id: request.actor_id, organisation };
        self.service.cancel_upload(&actor, asset_id(&request.asset_id)?).await?;
        Ok(Response::new(v1::CancelUploadResponse {}))
    }

    async fn sign_public(
        &self,
        request: Request<v1::SignPublicRequest>,
    ) -> Result<Response<v1::SignedUrl>, Status> {
        // Not bound to an organisation: that is what makes it public.
        service_in(&caller(&request)?)?;
        let request = request.into_inner();
        let id = asset_id(&request.asset_id)?;
        let signed = self.service.sign_public(id, &request.grant_id, request.ttl_s, request.preview).await?;
        Ok(Response::new(v1::SignedUrl { url: signed.url, expires_at_us: signed.expires_at.micros() }))
    }
}
