//! Assets that everybody signed in may see.
//!
//! Another system says so, under a name of its own (a post, a profile), and takes it back. An asset is public
//! as long as one name stands. The rows of revoked names stay, with their version, so that a call that was
//! overtaken on its way cannot make public again what was taken back.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId, ProjectId};
use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::addresses::SignedUrl;
use crate::assets::signed_ttl;
use crate::entities::asset;
use crate::error::Error;
use crate::events;
use crate::keys::ObjectKey;
use crate::names::download_name;
use crate::service::{Asset, Service, quota_exceeded};
use crate::store::{self, origin, state};

/// Longest name of a grant.
const GRANT_CHARS_MAX: usize = 64;

/// Whether an asset is public under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicGrant {
    /// The name: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub(crate) id: String,
    /// Of two calls with one name the higher version counts.
    pub(crate) version: i64,
    /// Whether.
    pub(crate) public: bool,
}

/// A public asset to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyOrder {
    /// Which.
    pub(crate) asset: AssetId,
    /// The name under which it is public.
    pub(crate) grant: String,
    /// The id of the copy.
    pub(crate) copy: AssetId,
    /// Who gets it.
    pub(crate) organisation: OrganisationId,
    /// Where it belongs there.
    pub(crate) project: Option<ProjectId>,
    /// Who asked for it.
    pub(crate) actor_id: String,
}

impl Service {
    /// Copies a public asset into another organisation. Doing it again answers the same copy.
    ///
    /// The bytes come first, under the copy's own keys: where a crash leaves them without a row, the sweep of
    /// orphans removes them.
    pub(crate) async fn copy_public(&self, order: &CopyOrder) -> Result<Asset, Error> {
        let inner = &self.inner;
        if let Some(row) = store::asset(inner.db.read(), order.copy).await? {
            if row.organisation_id != order.organisation || row.state != state::READY {
                return Err(Error::NotFound("asset"));
            }
            return self.with_inputs(row).await;
        }
        let owner = self.public_owner(order.asset, &order.grant).await?;
        let from = self.ready_row(owner, order.asset).await?;
        // Decided where the space is reserved; asked before, so that who has none cannot have bytes copied either.
        let usage = self.usage(order.organisation).await?;
        if usage.used_bytes.saturating_add(usage.reserved_bytes).saturating_add(from.size_bytes)
            > usage.quota_bytes
        {
            let usage = store::usage_of(inner.db.read(), order.organisation).await?;
            return Err(quota_exceeded(from.size_bytes, usage, inner.config.quota_bytes));
        }
        let now = inner.clock.now();
        let row = asset::Model {
            id: order.copy,
            organisation_id: order.organisation,
            project_id: order.project.map(|project| project.to_string()),
            actor_id: order.actor_id.clone(),
            origin: origin::OUTPUT.to_owned(),
            name: download_name("remix", &from.content_type),
            run_id: None,
            objects_pending: false,
            upload_expires_at: None,
            lease_token: None,
            lease_until: None,
            created_at: now,
            ended_at: Some(now),
            ..from.clone()
        };
        self.copy_object(
            &ObjectKey::asset(owner, from.id),
            &ObjectKey::asset(row.organisation_id, row.id),
            &row.content_type,
        )
        .await?;
        if let Some(preview_type) = &row.preview_type {
            let to = ObjectKey::preview(row.organisation_id, row.id);
            self.copy_object(&ObjectKey::preview(owner, from.id), &to, preview_type).await?;
        }
        let tx = inner.db.begin_write().await?;
        if !store::reserve(&*tx, row.organisation_id, row.size_bytes, inner.config.quota_bytes).await? {
            let usage = store::usage_of(&*tx, row.organisation_id).await?;
            return Err(quota_exceeded(row.size_bytes, usage, inner.config.quota_bytes));
        }
        // Another call with this id was faster, on PostgreSQL: the answer is its row.
        if store::asset(&*tx, row.id).await?.is_some() {
            tx.rollback().await?;
            return self.with_inputs(row).await;
        }
        store::insert_asset(&*tx, row.clone()).await?;
        store::account(&*tx, row.organisation_id, row.size_bytes, -row.size_bytes).await?;
        events::created(&tx, &row, now).await?;
        tx.commit().await?;
        self.with_inputs(row).await
    }

    async fn copy_object(&self, from: &ObjectKey, to: &ObjectKey, media_type: &str) -> Result<(), Error> {
        let objects = &self.inner.objects;
        let size = objects.size(from).await?.ok_or(Error::NotFound("object"))?;
        let local = objects.fetch(from, size).await?.ok_or(Error::NotFound("object"))?;
        objects.promote(from, &local, to, media_type).await
    }

    /// Makes an asset public under a name, or no longer. A version that was overtaken changes nothing.
    pub(crate) async fn set_public(
        &self,
        organisation: OrganisationId,
        id: AssetId,
        grant: &PublicGrant,
    ) -> Result<(), Error> {
        check_grant(&grant.id)?;
        if grant.public {
            self.ready_row(organisation, id).await?;
        } else {
            // What was deleted can still be taken back.
            self.row_of(organisation, id).await?;
        }
        let tx = self.inner.db.begin_write().await?;
        upsert(&*tx, tx.backend(), organisation, id, grant, self.inner.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// An address of a public asset or of its preview, good for `ttl_s` seconds.
    pub(crate) async fn sign_public(
        &self,
        id: AssetId,
        grant: &str,
        ttl_s: i64,
        preview: bool,
    ) -> Result<SignedUrl, Error> {
        let ttl = signed_ttl(ttl_s)?;
        let organisation = self.public_owner(id, grant).await?;
        let row = self.ready_row(organisation, id).await?;
        if preview {
            let preview_type = row.preview_type.as_deref().ok_or(Error::NotFound("preview"))?;
            let name = download_name("preview", preview_type);
            return self.get_target(&ObjectKey::preview(organisation, id), preview_type, &name, ttl).await;
        }
        // Its file name was its owner's business; strangers see what it is.
        let name = download_name("media", &row.content_type);
        self.get_target(&ObjectKey::asset(organisation, id), &row.content_type, &name, ttl).await
    }

    /// Whose asset it is; not found where it is not public under this name.
    pub(crate) async fn public_owner(&self, id: AssetId, grant: &str) -> Result<OrganisationId, Error> {
        let sql = "SELECT organisation_id FROM storage_public
                   WHERE asset_id = $1 AND grant_id = $2 AND is_public = $3";
        let db = &self.inner.db;
        let statement =
            Statement::from_sql_and_values(db.backend(), sql, [id.into(), grant.into(), true.into()]);
        let row = db.read().query_one_raw(statement).await?.ok_or(Error::NotFound("asset"))?;
        Ok(row.try_get("", "organisation_id")?)
    }
}

fn check_grant(id: &str) -> Result<(), Error> {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if plain && (1..=GRANT_CHARS_MAX).contains(&id.len()) {
        return Ok(());
    }
    let message = format!("must be 1 to {GRANT_CHARS_MAX} of A-Z a-z 0-9 . _ -");
    Err(Error::InvalidField { pointer: "/grant_id", message })
}

async fn upsert(
    db: &impl ConnectionTrait,
    backend: sea_orm::DatabaseBackend,
    organisation: OrganisationId,
    id: AssetId,
    grant: &PublicGrant,
    now: Timestamp,
) -> Result<(), DbErr> {
    let sql =
        "INSERT INTO storage_public (asset_id, grant_id, organisation_id, version, is_public, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (asset_id, grant_id) DO UPDATE SET version = excluded.version,
                   is_public = excluded.is_public, updated_at = excluded.updated_at
               WHERE storage_public.version < excluded.version";
    let values = [
        id.into(),
        grant.id.as_str().into(),
        organisation.into(),
        grant.version.into(),
        grant.public.into(),
        now.into(),
    ];
    db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}
