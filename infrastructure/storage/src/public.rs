//! Assets that everybody signed in may see.
//!
//! Another system says so, under a name of its own (a post, a profile), and takes it back. An asset is public
//! as long as one name stands. The rows of revoked names stay, with their version, so that a call that was
//! overtaken on its way cannot make public again what was taken back.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::addresses::SignedUrl;
use crate::assets::signed_ttl;
use crate::error::Error;
use crate::keys::ObjectKey;
use crate::names::download_name;
use crate::service::Service;

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

impl Service {
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
