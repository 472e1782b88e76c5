//! Infrastructure, as the community needs it: contract clients in, plain facts out.
//!
//! Protobuf types stop here.

use backlot_business_api::RunId;
use backlot_foundation_errors::{Kind, Problem};
use backlot_foundation_rpc::Channel;
use backlot_infrastructure_api::v1 as infrastructure;
use backlot_infrastructure_api::v1::identity_client::IdentityClient;
use backlot_infrastructure_api::v1::mandates_client::MandatesClient;
use backlot_infrastructure_api::v1::storage_client::StorageClient;
use backlot_infrastructure_api::{AssetId, OrganisationId, UserId};

use crate::limits::MEDIA_TTL_S;
use crate::rows::{Post, Remix};

/// What a mandate must allow for an organisation's media to become public.
pub(crate) const PUBLISH: &str = "assets.publish";

/// A picture or a clip, as storage knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) ready: bool,
    pub(crate) content_type: String,
    pub(crate) width_px: i32,
    pub(crate) height_px: i32,
    pub(crate) duration_ms: i64,
    pub(crate) run: Option<RunId>,
    pub(crate) tool: String,
    pub(crate) tool_version: String,
    pub(crate) project_id: String,
}

/// What storage is told about an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) asset: AssetId,
    pub(crate) organisation: OrganisationId,
    /// The post's id, or the account's of an avatar.
    pub(crate) name: String,
    pub(crate) version: i64,
    pub(crate) public: bool,
}

/// Clients of infrastructure. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Systems {
    infrastructure: Channel,
}

impl Systems {
    /// Over the channel that the composition root chose; it carries business's service token.
    pub(crate) const fn new(infrastructure: Channel) -> Self {
        Self { infrastructure }
    }

    fn storage(&self) -> StorageClient<Channel> {
        StorageClient::new(self.infrastructure.clone())
    }

    /// The organisation's asset; `None` where it has no such.
    pub(crate) async fn media(
        &self,
        organisation: OrganisationId,
        asset: AssetId,
    ) -> Result<Option<Media>, Problem> {
        let request = infrastructure::GetAssetRequest {
            asset_id: asset.to_string(),
            organisation_id: organisation.to_string(),
        };
        match self.storage().get_asset(request).await.map_err(Problem::from) {
            Ok(answer) => {
                let found = answer.into_inner();
                Ok(Some(Media {
                    ready: found.state() == infrastructure::AssetState::Ready,
                    run: RunId::parse(&found.run_id).ok(),
                    content_type: found.content_type,
                    width_px: found.width_px,
                    height_px: found.height_px,
                    duration_ms: found.duration_ms,
                    tool: found.tool,
                    tool_version: found.tool_version,
                    project_id: found.project_id,
                }))
            }
            Err(problem) if problem.kind == Kind::NotFound => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Tells storage whether an asset is public. A version that was overtaken changes nothing.
    pub(crate) async fn set_public(&self, grant: &Grant) -> Result<(), Problem> {
        let request = infrastructure::SetPublicRequest {
            asset_id: grant.asset.to_string(),
            organisation_id: grant.organisation.to_string(),
            grant_id: grant.name.clone(),
            version: grant.version,
            public: grant.public,
        };
        self.storage().set_public(request).await?;
        Ok(())
    }

    /// An address of a public asset, or of its preview, for a while.
    pub(crate) async fn sign(&self, asset: AssetId, grant: &str, preview: bool) -> Result<String, Problem> {
        let request = infrastructure::SignPublicRequest {
            asset_id: asset.to_string(),
            grant_id: grant.to_owned(),
            ttl_s: MEDIA_TTL_S,
            preview,
        };
        Ok(self.storage().sign_public(request).await?.into_inner().url)
    }

    /// Copies a post's medium to who remixes it. The copy's id is the remix's, so that doing it again is the same.
    pub(crate) async fn copy_public(&self, post: &Post, remix: &Remix) -> Result<String, Problem> {
        let request = infrastructure::CopyPublicRequest {
            asset_id: post.asset_id.to_string(),
            grant_id: post.id.to_string(),
            copy_id: remix.id.to_string(),
            organisation_id: remix.organisation_id.to_string(),
            project_id: String::new(),
            actor_id: remix.user_id.to_string(),
        };
        Ok(self.storage().copy_public(request).await?.into_inner().id)
    }

    /// Agrees that somebody publishes an organisation's media, or says why not.
    pub(crate) async fn may_publish(
        &self,
        organisation: OrganisationId,
        user: UserId,
        project_id: &str,
    ) -> Result<(), Problem> {
        let request = infrastructure::CheckRequest {
            organisation_id: organisation.to_string(),
            actor_id: user.to_string(),
            action: PUBLISH.to_owned(),
            project_id: project_id.to_owned(),
            mandate_id: String::new(),
            tool: String::new(),
            unit_price_micro: 0,
            amount_micro: 0,
        };
        let answer = MandatesClient::new(self.infrastructure.clone()).check(request).await?.into_inner();
        if answer.allowed {
            return Ok(());
        }
        let detail = format!("Publishing takes a mandate with the action \"{PUBLISH}\". {}", answer.message);
        Err(Problem::new(&backlot_foundation_errors::codes::FORBIDDEN, detail)
            .with_extra("reason", answer.reason))
    }

    /// How an account calls itself.
    pub(crate) async fn display_name(&self, user: UserId) -> Result<String, Problem> {
        let request = infrastructure::GetUserRequest { user_id: user.to_string() };
        let answer = IdentityClient::new(self.infrastructure.clone()).get_user(request).await?;
        Ok(answer.into_inner().display_name)
    }
}
