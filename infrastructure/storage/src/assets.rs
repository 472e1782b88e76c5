//! What becomes of an asset once it is there: read, listed, downloaded, deleted.

use std::time::Duration;

use backlot_infrastructure_api::{AssetId, OrganisationId, ProjectId};

use crate::addresses::SignedUrl;
use crate::entities::asset;
use crate::error::Error;
use crate::events;
use crate::keys::ObjectKey;
use crate::names::download_name;
use crate::service::{Actor, Asset, AssetState, SIZE_BYTES_MAX, Service};
use crate::store::{self, state};

/// Most assets of one page.
pub(crate) const PAGE_MAX: u64 = 200;
/// Longest life of a download address that a service may ask for: a week, as S3 allows.
const SIGNED_TTL_S_MAX: i64 = 604_800;

/// The space of an organisation, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of its assets.
    pub used_bytes: i64,
    /// Of uploads in progress.
    pub reserved_bytes: i64,
    /// What it may use.
    pub quota_bytes: i64,
}

/// What may be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// An asset, whatever it is.
    Any,
    /// What is not yet one.
    Upload,
}

impl Service {
    /// Deletes an asset, or cancels an upload and returns its space. Doing it again changes nothing.
    pub async fn delete(&self, actor: &Actor, id: AssetId) -> Result<(), Error> {
        self.end(actor, id, Ending::Any).await
    }

    /// Cancels an upload and returns its space; what is an asset already stays one. Doing it again changes nothing.
    pub async fn cancel_upload(&self, actor: &Actor, id: AssetId) -> Result<(), Error> {
        self.end(actor, id, Ending::Upload).await
    }

    async fn end(&self, actor: &Actor, id: AssetId, ending: Ending) -> Result<(), Error> {
        let inner = &self.inner;
        let tx = inner.db.begin_write().await?;
        let row = store::asset_of(&*tx, actor.organisation, id).await?.ok_or(Error::NotFound("asset"))?;
        let (used, reserved) = match AssetState::parse(&row.state) {
            AssetState::Uploading => (0, -row.size_bytes),
            AssetState::Rejected if ending == Ending::Upload => return Ok(()),
            AssetState::Ready if ending == Ending::Upload => return Err(Error::UploadClosed),
            AssetState::Ready => (-row.size_bytes, 0),
            AssetState::Rejected => (0, 0),
            AssetState::Deleted => return Ok(()),
        };
        let now = inner.clock.now();
        let kept = row.rejected_code.as_deref().zip(row.rejected_detail.as_deref());
        if !store::mark_ended(&*tx, id, &row.state, state::DELETED, kept, now).await? {
            // Another call changed it since it was read (possible on PostgreSQL only).
            return Err(Error::Busy);
        }
        store::account(&*tx, actor.organisation, used, reserved).await?;
        events::deleted(&tx, &row, &actor.id, now).await?;
        tx.commit().await?;
        self.remove_objects(&asset::Model { state: state::DELETED.to_owned(), ..row }).await;
        Ok(())
    }

    /// Removes what the row's state does not want. What fails is left to the reconciler.
    pub(crate) async fn remove_objects(&self, row: &asset::Model) {
        if let Err(error) = self.try_remove_objects(row).await {
            tracing::warn!(asset = %row.id, %error, "objects could not be removed and are removed later");
        }
    }

    pub(crate) async fn try_remove_objects(&self, row: &asset::Model) -> Result<(), Error> {
        let inner = &self.inner;
        inner.objects.delete(&ObjectKey::upload(row.organisation_id, row.id)).await?;
        if AssetState::parse(&row.state) != AssetState::Ready {
            inner.objects.delete(&ObjectKey::asset(row.organisation_id, row.id)).await?;
            inner.objects.delete(&ObjectKey::preview(row.organisation_id, row.id)).await?;
        }
        let tx = inner.db.begin_write().await?;
        store::mark_objects_removed(&*tx, row.id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// One asset of an organisation.
    pub async fn get(&self, organisation: OrganisationId, id: AssetId) -> Result<Asset, Error> {
        let row = self.row_of(organisation, id).await?;
        self.with_inputs(row).await
    }

    /// A page of an organisation's assets, newest first, without those rejected or deleted.
    pub async fn list(
        &self,
        organisation: OrganisationId,
        before: Option<AssetId>,
        project: Option<ProjectId>,
        limit: u64,
    ) -> Result<Vec<Asset>, Error> {
        let db = self.inner.db.read();
        let project = project.map(|project| project.to_string());
        let limit = limit.clamp(1, PAGE_MAX);
        let rows = store::assets_of(db, organisation, before, project.as_deref(), limit).await?;
        self.all_with_inputs(rows).await
    }

    /// An address that downloads a ready asset until it ends, after `ttl_s` seconds (1 to 604,800).
    pub async fn sign_download(
        &self,
        organisation: OrganisationId,
        id: AssetId,
        ttl_s: i64,
    ) -> Result<SignedUrl, Error> {
        let ttl = signed_ttl(ttl_s)?;
        let row = self.ready_row(organisation, id).await?;
        let key = ObjectKey::asset(organisation, id);
        let name = download_name(&row.name, &row.content_type);
        self.get_target(&key, &row.content_type, &name, ttl).await
    }

    /// The same for its preview; not found where it has none.
    pub async fn sign_preview(
        &self,
        organisation: OrganisationId,
        id: AssetId,
        ttl_s: i64,
    ) -> Result<SignedUrl, Error> {
        let ttl = signed_ttl(ttl_s)?;
        let row = self.ready_row(organisation, id).await?;
        let preview_type = row.preview_type.as_deref().ok_or(Error::NotFound("preview"))?;
        let key = ObjectKey::preview(organisation, id);
        self.get_target(&key, preview_type, &download_name("preview", preview_type), ttl).await
    }

    /// The space that an organisation uses.
    pub async fn usage(&self, organisation: OrganisationId) -> Result<Usage, Error> {
        let row = store::usage_of(self.inner.db.read(), organisation).await?;
        let default = self.inner.config.quota_bytes;
        Ok(row.map_or(Usage { used_bytes: 0, reserved_bytes: 0, quota_bytes: default }, |row| Usage {
            used_bytes: row.used_bytes,
            reserved_bytes: row.reserved_bytes,
            quota_bytes: row.quota_bytes.unwrap_or(default),
        }))
    }

    /// Sets what an organisation may use, by its plan; `None`: the default of the configuration. What it
    /// uses already stays, also where it is more.
    pub async fn set_quota(
        &self,
        organisation: OrganisationId,
        quota_bytes: Option<i64>,
    ) -> Result<(), Error> {
        let tx = self.inner.db.begin_write().await?;
        store::set_quota(&*tx, organisation, quota_bytes.map(|bytes| bytes.clamp(0, SIZE_BYTES_MAX))).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(crate) async fn ready_row(
        &self,
        organisation: OrganisationId,
        id: AssetId,
    ) -> Result<asset::Model, Error> {
        let row = self.row_of(organisation, id).await?;
        match AssetState::parse(&row.state) {
            AssetState::Ready => Ok(row),
            AssetState::Deleted => Err(Error::Deleted),
            AssetState::Uploading | AssetState::Rejected => Err(Error::NotReady),
        }
    }

    pub(crate) async fn row_of(
        &self,
        organisation: OrganisationId,
        id: AssetId,
    ) -> Result<asset::Model, Error> {
        let row = store::asset_of(self.inner.db.read(), organisation, id).await?;
        row.ok_or(Error::NotFound("asset"))
    }

    pub(crate) async fn with_inputs(&self, row: asset::Model) -> Result<Asset, Error> {
        let inputs = store::inputs_of(self.inner.db.read(), &[row.id]).await?;
        Ok(Asset { row, inputs: inputs.into_iter().map(|(_, input)| input).collect() })
    }

    pub(crate) async fn all_with_inputs(&self, rows: Vec<asset::Model>) -> Result<Vec<Asset>, Error> {
        let ids: Vec<AssetId> = rows.iter().map(|row| row.id).collect();
        let pairs = store::inputs_of(self.inner.db.read(), &ids).await?;
        let inputs_of =
            |id| pairs.iter().filter(|(asset, _)| *asset == id).map(|(_, input)| *input).collect();
        Ok(rows.into_iter().map(|row| Asset { inputs: inputs_of(row.id), row }).collect())
    }
}

/// How long a URL of another system's choice lives.
pub(crate) fn signed_ttl(ttl_s: i64) -> Result<Duration, Error> {
    if (1..=SIGNED_TTL_S_MAX).contains(&ttl_s) {
        return Ok(Duration::from_secs(ttl_s.unsigned_abs()));
    }
    Err(Error::InvalidField {
        pointer: "/ttl_s",
        message: format!("must be 1 to {SIGNED_TTL_S_MAX} seconds"),
    })
}
