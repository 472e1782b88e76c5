//! The contract's Identity service: decode, call, encode.

use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::caller;
use backlot_infrastructure_api::UserId;
use backlot_infrastructure_api::v1;
use backlot_infrastructure_api::v1::authenticate_request::Credential;
use backlot_infrastructure_api::v1::identity_server::{Identity, IdentityServer};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::service::{Principal, Service};

/// The only issuer whose service tokens may make keys for others.
const ADMIN_SUBJECT: &str = "service:admin";

impl Service {
    /// The gRPC service to add to infrastructure's routes.
    pub fn rpc(&self) -> IdentityServer<Self> {
        IdentityServer::new(self.clone())
    }
}

#[tonic::async_trait]
impl Identity for Service {
    async fn authenticate(
        &self,
        request: Request<v1::AuthenticateRequest>,
    ) -> Result<Response<v1::Principal>, Status> {
        caller(&request)?.require_service()?;
        let principal = match request.into_inner().credential {
            Some(Credential::SessionToken(token)) => self.authenticate_session(&token).await?,
            Some(Credential::ApiKey(key)) => self.authenticate_key(&key).await?,
            None => return Err(Problem::new(&codes::BAD_REQUEST, "Name a credential.").into()),
        };
        Ok(Response::new(principal.into()))
    }

    async fn get_user(&self, request: Request<v1::GetUserRequest>) -> Result<Response<v1::User>, Status> {
        caller(&request)?.require_service()?;
        let id = UserId::parse(&request.into_inner().user_id).map_err(|_| Error::NotFound("account"))?;
        let row = self.user(id).await?;
        Ok(Response::new(v1::User {
            id: row.id.to_string(),
            kind: actor_kind(row.kind == "service").into(),
            display_name: row.name.unwrap_or_else(|| "deleted account".to_owned()),
            platform_staff: row.is_staff,
            created_at_us: row.created_at.micros(),
        }))
    }

    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        require_operator(&request)?;
        let request = request.into_inner();
        let made = self.create_key_for(&request.email, &request.name, ADMIN_SUBJECT).await?;
        Ok(Response::new(v1::CreateApiKeyResponse { id: made.listed.id.to_string(), key: made.key }))
    }

    async fn reset_password(
        &self,
        request: Request<v1::ResetPasswordRequest>,
    ) -> Result<Response<v1::ResetPasswordResponse>, Status> {
        require_operator(&request)?;
        let (password, ended) = self.reset_password(&request.into_inner().email, ADMIN_SUBJECT).await?;
        let sessions_ended = i64::try_from(ended).unwrap_or(i64::MAX);
        Ok(Response::new(v1::ResetPasswordResponse { password, sessions_ended }))
    }
}

/// Refuses everybody but the operator's command line.
fn require_operator<T>(request: &Request<T>) -> Result<(), Status> {
    let claims = caller(request)?;
    claims.require_service()?;
    if claims.sub == ADMIN_SUBJECT && claims.iss == "admin" {
        return Ok(());
    }
    Err(Problem::new(&codes::FORBIDDEN, "Only the operator's command line may call this.").into())
}

fn actor_kind(is_service: bool) -> v1::ActorKind {
    if is_service { v1::ActorKind::Service } else { v1::ActorKind::Person }
}

impl From<Principal> for v1::Principal {
    fn from(principal: Principal) -> Self {
        Self {
            user_id: principal.user.to_string(),
            kind: actor_kind(principal.is_service).into(),
            organisation_id: principal.organisation.map(|id| id.to_string()).unwrap_or_default(),
            credential_id: principal.credential.text(),
            scopes: principal.scopes,
            mandate_version: principal.authority_version,
            platform_staff: principal.staff,
            expires_at_us: principal.expires_at.map_or(0, |at| at.micros()),
        }
    }
}
