//! The rules of a person's upload, from the reservation of its space to its deletion.
//!
//! Every step is written before the next begins, and each can be done again: a crash anywhere leaves a
//! row that says what is left to do, and `reconcile.rs` does it.

use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_db::Db;
use backlot_foundation_ids::Uuid;
use backlot_foundation_time::{SharedClock, Timestamp};
use backlot_infrastructure_api::codes::storage as codes;
use backlot_infrastructure_api::{AssetId, OrganisationId, ProjectId};
use sea_orm::DatabaseBackend;

use crate::config::Config;
use crate::entities::asset;
use crate::error::{Error, Rejection};
use crate::ingest::{Sent, Verified, ingest};
use crate::keys::ObjectKey;
use crate::media::{Claim, Media, Strictness};
use crate::objects::Objects;
use crate::one_at_a_time::OneAtATime;
use crate::probe::Prober;
use crate::signing::{Grant, SECRET_BYTES, SigningKey, Verb, expiry};
use crate::store::{self, origin, state};
use crate::{events, http};

/// Most assets of one page.
pub(crate) const PAGE_MAX: u64 = 200;
/// Largest size that is a size at all: sums of such sizes stay far from overflow.
pub(crate) const SIZE_BYTES_MAX: i64 = 1 << 50;
/// Longest name of an asset, in characters.
const NAME_CHARS_MAX: usize = 255;
/// Longest life of a download address that a service may ask for: a week, as S3 allows.
const SIGNED_TTL_S_MAX: i64 = 604_800;
/// How long the right to work on an upload lasts without being renewed.
const LEASE: Duration = Duration::from_secs(20);
/// How often it is renewed.
const LEASE_RENEW_EVERY: Duration = Duration::from_secs(5);
/// How long a second caller waits for the first one's result.
const BUSY_WAIT: Duration = Duration::from_secs(30);
/// How often it looks.
const BUSY_POLL: Duration = Duration::from_millis(100);

/// Storage. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) config: Config,
    pub(crate) objects: Objects,
    pub(crate) prober: Prober,
    pub(crate) key: SigningKey,
    /// Jobs whose outputs are being looked at by this process.
    pub(crate) finalizing: OneAtATime,
    base_url: parking_lot::RwLock<String>,
}

/// Who acts, in which organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// A user id, or `service:NAME`.
    pub id: String,
    /// The tenant.
    pub organisation: OrganisationId,
}

/// What somebody wants to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// File name, 1 to 255 characters.
    pub name: String,
    /// What it is said to be; empty or `application/octet-stream`: find it out.
    pub content_type: String,
    /// Exact size in bytes.
    pub size_bytes: i64,
    /// Where it belongs, if anywhere.
    pub project: Option<ProjectId>,
}

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadTarget {
    /// Absolute address for one PUT.
    pub url: String,
    /// Headers to send with it.
    pub headers: Vec<(String, String)>,
    /// When the address ends.
    pub expires_at: Timestamp,
}

/// An upload that has begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// The asset to be.
    pub asset: Asset,
    /// Where its bytes go.
    pub target: UploadTarget,
}

/// An address that needs no further credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUrl {
    /// Absolute.
    pub url: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

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

/// State of an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetState {
    /// Its bytes are on their way, or being looked at.
    Uploading,
    /// Verified.
    Ready,
    /// Not taken.
    Rejected,
    /// Gone; its row stays, for lineage.
    Deleted,
}

impl AssetState {
    /// Snake case, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => state::UPLOADING,
            Self::Ready => state::READY,
            Self::Rejected => state::REJECTED,
            Self::Deleted => state::DELETED,
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        match text {
            state::READY => Self::Ready,
            state::REJECTED => Self::Rejected,
            state::DELETED => Self::Deleted,
            _ => Self::Uploading,
        }
    }
}

/// One piece of media.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    pub(crate) row: asset::Model,
    /// What it was made from, in order.
    pub inputs: Vec<AssetId>,
}

impl Asset {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> AssetId {
        self.row.id
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> AssetState {
        AssetState::parse(&self.row.state)
    }

    /// Why it is not taken, where it is not.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        let code = self.row.rejected_code.as_deref()?;
        Some(Rejection::remembered(code, self.row.rejected_detail.as_deref().unwrap_or_default()))
    }
}

impl Service {
    /// Opens the store. The tables exist: `Migrator` has run.
    pub async fn new(db: Db, clock: SharedClock, config: Config) -> Result<Self, Error> {
        let objects = Objects::open(&config)?;
        let prober = Prober::new(config.probe.clone())?;
        let key = signing_key(&config)?;
        if db.backend() == DatabaseBackend::Sqlite {
            // One process owns the file: whoever held a lease is dead.
            let tx = db.begin_write().await?;
            store::free_leases(&*tx).await?;
            tx.commit().await?;
        }
        let base_url = parking_lot::RwLock::new(config.public_base_url.trim_end_matches('/').to_owned());
        let finalizing = OneAtATime::default();
        Ok(Self { inner: Arc::new(Inner { db, clock, config, objects, prober, key, finalizing, base_url }) })
    }

    /// Says where this server is reached from outside, once its port is known. What the configuration
    /// says stays.
    pub fn set_public_base_url(&self, url: &str) {
        if self.inner.config.public_base_url.is_empty() {
            *self.inner.base_url.write() = url.trim_end_matches('/').to_owned();
        }
    }

    /// Begins an upload: checks what is said of it and reserves its space, before any byte moves.
    pub async fn begin_upload(&self, actor: &Actor, new: NewUpload) -> Result<Upload, Error> {
        let inner = &self.inner;
        check_upload(&inner.config, &new)?;
        let now = inner.clock.now();
        let ttl = Duration::from_secs(inner.config.upload_ttl_s);
        let row = asset::Model {
            id: AssetId::generate(),
            organisation_id: actor.organisation,
            project_id: new.project.map(|project| project.to_string()),
            actor_id: actor.id.clone(),
            state: state::UPLOADING.to_owned(),
            origin: origin::UPLOAD.to_owned(),
            name: clean_name(&new.name),
            content_type: new.content_type,
            size_bytes: new.size_bytes,
            sha256: None,
            width_px: None,
            height_px: None,
            duration_ms: None,
            preview_type: None,
            run_id: None,
            tool: None,
            tool_version: None,
            rejected_code: None,
            rejected_detail: None,
            objects_pending: false,
            upload_expires_at: Some(now.plus(ttl)),
            lease_token: None,
            lease_until: None,
            created_at: now,
            ended_at: None,
        };
        let tx = inner.db.begin_write().await?;
        if !store::reserve(&*tx, actor.organisation, row.size_bytes, inner.config.quota_bytes).await? {
            let usage = store::usage_of(&*tx, actor.organisation).await?;
            return Err(quota_exceeded(row.size_bytes, usage, inner.config.quota_bytes));
        }
        // Counted under the lock that the reservation took.
        if store::open_uploads(&*tx, actor.organisation).await? >= inner.config.uploads_open_max {
            return Err(Error::UploadsOpen { max: inner.config.uploads_open_max });
        }
        // Too large for anybody comes after too large for this organisation: the quota is what it can change.
        if row.size_bytes > inner.config.upload_bytes_max {
            return Err(too_large(inner.config.upload_bytes_max));
        }
        store::insert_asset(&*tx, row.clone()).await?;
        events::created(&tx, &row, now).await?;
        tx.commit().await?;
        let key = ObjectKey::upload(row.organisation_id, row.id);
        let size = u64::try_from(row.size_bytes).unwrap_or(0);
        let target = self.put_target(&key, size, None, &row.content_type, ttl).await?;
        Ok(Upload { asset: Asset { row, inputs: Vec::new() }, target })
    }

    /// Completes an upload: looks at what arrived and makes it an asset, or rejects it for good. Doing it
    /// again gives the same answer; two callers at once get the same one.
    pub async fn complete_upload(&self, organisation: OrganisationId, id: AssetId) -> Result<Asset, Error> {
        let service = self.clone();
        // In a task of its own: a caller who hangs up must not stop the work half-way.
        let work = tokio::spawn(async move { service.complete_or_wait(organisation, id).await });
        work.await.map_err(|error| Error::Internal(error.to_string()))?
    }

    async fn complete_or_wait(&self, organisation: OrganisationId, id: AssetId) -> Result<Asset, Error> {
        let inner = &self.inner;
        let began = tokio::time::Instant::now();
        loop {
            let row = self.row_of(organisation, id).await?;
            match AssetState::parse(&row.state) {
                AssetState::Ready => return self.with_inputs(row).await,
                AssetState::Rejected => return Err(rejected_error(&row)),
                AssetState::Deleted => return Err(Error::Deleted),
                AssetState::Uploading => (),
            }
            let now = inner.clock.now();
            let lease = Uuid::new_v4().to_string();
            let tx = inner.db.begin_write().await?;
            let taken = store::take_lease(&*tx, id, &lease, now, now.plus(LEASE)).await?;
            tx.commit().await?;
            if taken {
                let outcome = self.process_upload(&row, &lease).await;
                if outcome.is_err() {
                    let tx = inner.db.begin_write().await?;
                    store::release_lease(&*tx, id, &lease).await?;
                    tx.commit().await?;
                }
                return outcome;
            }
            if began.elapsed() >= BUSY_WAIT {
                return Err(Error::Busy);
            }
            tokio::time::sleep(BUSY_POLL).await;
        }
    }

    /// Looks at an upload while its lease is renewed, and writes down what it is.
    async fn process_upload(&self, row: &asset::Model, lease: &str) -> Result<Asset, Error> {
        let inner = &self.inner;
        let key = ObjectKey::upload(row.organisation_id, row.id);
        let sent = Sent {
            from: &key,
            organisation: row.organisation_id,
            asset: row.id,
            claim: Claim::parse(&row.content_type),
            strictness: Strictness::Exact,
            size_bytes: row.size_bytes,
            sha256: None,
        };
        let looked_at = tokio::select! {
            outcome = ingest(&inner.objects, &inner.prober, &sent) => outcome,
            error = self.keep_lease(row.id, lease) => Err(error),
        };
        let error = match looked_at {
            Ok(verified) => return self.finish_upload(row, lease, &verified).await,
            Err(error) => error,
        };
        // Canceled while it was looked at, its bytes may have gone half-way: then that is the answer, and
        // not what the loss of them looked like.
        let current = self.row_of(row.organisation_id, row.id).await?;
        if AssetState::parse(&current.state) == AssetState::Deleted {
            return Err(Error::Deleted);
        }
        match error {
            Error::Rejected(rejection) => {
                self.reject_upload(row, &rejection).await?;
                Err(Error::Rejected(rejection))
            }
            Error::NotUploaded if self.upload_is_over(row) => {
                self.expire_upload(row).await?;
                Err(Error::UploadExpired)
            }
            error => Err(error),
        }
    }

    fn upload_is_over(&self, row: &asset::Model) -> bool {
        row.upload_expires_at.is_some_and(|at| at <= self.inner.clock.now())
    }

    /// Ends only with an error: where the lease cannot be kept.
    async fn keep_lease(&self, id: AssetId, lease: &str) -> Error {
        loop {
            tokio::time::sleep(LEASE_RENEW_EVERY).await;
            if let Err(error) = self.renew_lease(id, lease).await {
                return error;
            }
        }
    }

    async fn renew_lease(&self, id: AssetId, lease: &str) -> Result<(), Error> {
        let now = self.inner.clock.now();
        let tx = self.inner.db.begin_write().await?;
        let kept = store::take_lease(&*tx, id, lease, now, now.plus(LEASE)).await?;
        tx.commit().await?;
        if kept { Ok(()) } else { Err(Error::Deleted) }
    }

    async fn finish_upload(
        &self,
        row: &asset::Model,
        lease: &str,
        verified: &Verified,
    ) -> Result<Asset, Error> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let tx = inner.db.begin_write().await?;
        if !store::mark_ready(&*tx, row.id, lease, verified, now).await? {
            // Canceled while it was looked at; what was put is removed with the row's other objects.
            drop(tx);
            let tx = inner.db.begin_write().await?;
            store::mark_objects_left(&*tx, row.id).await?;
            tx.commit().await?;
            return Err(Error::Deleted);
        }
        store::account(&*tx, row.organisation_id, row.size_bytes, -row.size_bytes).await?;
        let row = store::asset(&*tx, row.id).await?.ok_or(Error::NotFound("asset"))?;
        events::ready(&tx, &row, verified.media, now).await?;
        tx.commit().await?;
        metrics::counter!("backlot_storage_uploads", "outcome" => "ready").increment(1);
        self.remove_objects(&row).await;
        self.with_inputs(row).await
    }

    async fn reject_upload(&self, row: &asset::Model, rejection: &Rejection) -> Result<(), Error> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let reason = (rejection.code.name, rejection.detail.as_str());
        let tx = inner.db.begin_write().await?;
        if store::mark_ended(&*tx, row.id, state::UPLOADING, state::REJECTED, Some(reason), now).await? {
            store::account(&*tx, row.organisation_id, 0, -row.size_bytes).await?;
            events::rejected(&tx, row, rejection.code.name, now).await?;
            tx.commit().await?;
            metrics::counter!("backlot_storage_uploads", "outcome" => rejection.code.name).increment(1);
            let row = asset::Model { state: state::REJECTED.to_owned(), ..row.clone() };
            self.remove_objects(&row).await;
        }
        Ok(())
    }

    /// Ends an upload whose time is over.
    pub(crate) async fn expire_upload(&self, row: &asset::Model) -> Result<(), Error> {
        let rejection = Rejection::new(&codes::UPLOAD_EXPIRED, "The upload was not completed in time.");
        self.reject_upload(row, &rejection).await
    }

    /// Deletes an asset, or cancels an upload and returns its space. Doing it again changes nothing.
    pub async fn delete(&self, actor: &Actor, id: AssetId) -> Result<(), Error> {
        let inner = &self.inner;
        let tx = inner.db.begin_write().await?;
        let row = store::asset_of(&*tx, actor.organisation, id).await?.ok_or(Error::NotFound("asset"))?;
        let (used, reserved) = match AssetState::parse(&row.state) {
            AssetState::Uploading => (0, -row.size_bytes),
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
        if !(1..=SIGNED_TTL_S_MAX).contains(&ttl_s) {
            return Err(Error::InvalidField {
                pointer: "/ttl_s",
                message: format!("must be 1 to {SIGNED_TTL_S_MAX} seconds"),
            });
        }
        let row = self.ready_row(organisation, id).await?;
        let key = ObjectKey::asset(organisation, id);
        let name = download_name(&row.name, &row.content_type);
        self.get_target(&key, &row.content_type, &name, Duration::from_secs(ttl_s.unsigned_abs())).await
    }

    /// The same for its preview; not found where it has none.
    pub async fn sign_preview(&self, organisation: OrganisationId, id: AssetId) -> Result<SignedUrl, Error> {
        let row = self.ready_row(organisation, id).await?;
        let preview_type = row.preview_type.as_deref().ok_or(Error::NotFound("preview"))?;
        let key = ObjectKey::preview(organisation, id);
        let ttl = Duration::from_secs(self.inner.config.download_ttl_s);
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

    async fn ready_row(&self, organisation: OrganisationId, id: AssetId) -> Result<asset::Model, Error> {
        let row = self.row_of(organisation, id).await?;
        match AssetState::parse(&row.state) {
            AssetState::Ready => Ok(row),
            AssetState::Deleted => Err(Error::Deleted),
            AssetState::Uploading | AssetState::Rejected => Err(Error::NotReady),
        }
    }

    async fn row_of(&self, organisation: OrganisationId, id: AssetId) -> Result<asset::Model, Error> {
        let row = store::asset_of(self.inner.db.read(), organisation, id).await?;
        row.ok_or(Error::NotFound("asset"))
    }

    async fn with_inputs(&self, row: asset::Model) -> Result<Asset, Error> {
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

    /// Where to PUT an object of exactly this size, and hash where it is known.
    pub(crate) async fn put_target(
        &self,
        key: &ObjectKey,
        size: u64,
        sha256: Option<&str>,
        content_type: &str,
        ttl: Duration,
    ) -> Result<UploadTarget, Error> {
        let expires_at = self.inner.clock.now().plus(ttl);
        let grant = Grant { size: Some(size), sha256: sha256.map(str::to_owned), ..self.grant(ttl) };
        let url = self.address(Verb::Put, key, grant, ttl).await?;
        let content_type = if content_type.is_empty() { "application/octet-stream" } else { content_type };
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Ok(UploadTarget { url, headers, expires_at })
    }

    async fn get_target(
        &self,
        key: &ObjectKey,
        media_type: &str,
        name: &str,
        ttl: Duration,
    ) -> Result<SignedUrl, Error> {
        let expires_at = self.inner.clock.now().plus(ttl);
        let grant =
            Grant { media_type: Some(media_type.to_owned()), name: Some(name.to_owned()), ..self.grant(ttl) };
        Ok(SignedUrl { url: self.address(Verb::Get, key, grant, ttl).await?, expires_at })
    }

    fn grant(&self, ttl: Duration) -> Grant {
        Grant {
            expires: expiry(self.inner.clock.now(), ttl),
            size: None,
            sha256: None,
            media_type: None,
            name: None,
            signature: String::new(),
        }
    }

    async fn address(
        &self,
        verb: Verb,
        key: &ObjectKey,
        grant: Grant,
        ttl: Duration,
    ) -> Result<String, Error> {
        let method = match verb {
            Verb::Put => ::http::Method::PUT,
            Verb::Get => ::http::Method::GET,
        };
        if let Some(url) = self.inner.objects.signed_url(method, key, ttl).await? {
            return Ok(url);
        }
        let signed = self.inner.key.sign(verb, key, grant);
        Ok(http::object_address(&self.base_url(), key, &signed))
    }

    pub(crate) fn base_url(&self) -> String {
        self.inner.base_url.read().clone()
    }
}

/// The secret from the configuration, or one that is made once and kept beside the media.
fn signing_key(config: &Config) -> Result<SigningKey, Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if !config.signing_secret.is_empty() {
        return Ok(SigningKey::from_secret(config.signing_secret.as_bytes()));
    }
    let path = config.folder.join("signing.key");
    if !path.exists() {
        let mut secret = [0_u8; SECRET_BYTES];
        rand::Rng::fill(&mut rand::rng(), &mut secret[..]);
        let mut file = tempfile::Builder::new().make_in(&config.folder, |path| {
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
        })?;
        file.write_all(hex::encode(secret).as_bytes())?;
        file.as_file().sync_all()?;
        // Whoever is first wins; the other reads it.
        match file.persist_noclobber(&path) {
            Ok(_) => (),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => (),
            Err(error) => return Err(error.error.into()),
        }
    }
    let secret = std::fs::read(&path)?;
    Ok(SigningKey::from_secret(secret.trim_ascii()))
}

fn check_upload(config: &Config, new: &NewUpload) -> Result<(), Error> {
    let invalid = |pointer, message: String| Err(Error::InvalidField { pointer, message });
    let name_chars = new.name.chars().count();
    if name_chars == 0 || name_chars > NAME_CHARS_MAX {
        return invalid("/name", format!("must have 1 to {NAME_CHARS_MAX} characters"));
    }
    if !(0..=SIZE_BYTES_MAX).contains(&new.size_bytes) {
        return invalid("/size_bytes", format!("must be 0 to {SIZE_BYTES_MAX}"));
    }
    if new.content_type.len() > NAME_CHARS_MAX {
        return invalid("/content_type", format!("must have at most {NAME_CHARS_MAX} characters"));
    }
    if Claim::parse(&new.content_type) == Claim::Unsupported {
        return Err(Error::Rejected(Rejection::new(
            &codes::ASSET_TYPE_UNSUPPORTED,
            format!("These are taken: {}.", Media::taken()),
        )));
    }
    if new.size_bytes == 0 {
        return Err(Error::Rejected(Rejection::new(
            &codes::ASSET_EMPTY,
            "The file has no bytes. Choose another one.",
        )));
    }
    if config.upload_ttl_s == 0 {
        return Err(Error::Internal("upload_ttl_s is 0: no upload can be completed".to_owned()));
    }
    Ok(())
}

fn too_large(max: i64) -> Error {
    Error::Rejected(Rejection::new(
        &codes::ASSET_TOO_LARGE,
        format!("One file may have at most {max} bytes. Send a smaller one."),
    ))
}

fn quota_exceeded(needed_bytes: i64, usage: Option<crate::entities::usage::Model>, default: i64) -> Error {
    let (taken, quota) = usage.map_or((0, default), |usage| {
        (usage.used_bytes.saturating_add(usage.reserved_bytes), usage.quota_bytes.unwrap_or(default))
    });
    Error::QuotaExceeded { needed_bytes, available_bytes: (quota - taken).max(0) }
}

fn rejected_error(row: &asset::Model) -> Error {
    match row.rejected_code.as_deref() {
        Some(code) if code == codes::UPLOAD_EXPIRED.name => Error::UploadExpired,
        code => {
            let detail = row.rejected_detail.as_deref().unwrap_or_default();
            Error::Rejected(Rejection::remembered(code.unwrap_or_default(), detail))
        }
    }
}

/// A name to show: its last part, without what a terminal or a header could stumble over.
pub(crate) fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    if clean.trim().is_empty() { "untitled".to_owned() } else { clean }
}

/// The name to save a download as, with the ending of what it really is.
fn download_name(name: &str, content_type: &str) -> String {
    let Some(media) = Media::parse(content_type) else { return name.to_owned() };
    let extension = media.extension();
    let lower = name.to_ascii_lowercase();
    let fits =
        lower.ends_with(&format!(".{extension}")) || (media == Media::Jpeg && lower.ends_with(".jpeg"));
    if fits { name.to_owned() } else { format!("{name}.{extension}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_harmless() {
        for (given, kept) in [
            ("photo.png", "photo.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\y.jpg", "y.jpg"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
            ("..//", "untitled"),
            ("Größe 4.png", "Größe 4.png"),
        ] {
            assert_eq!(clean_name(given), kept);
        }
        assert_eq!(download_name("x.exe", "image/png"), "x.exe.png");
        assert_eq!(download_name("x.JPEG", "image/jpeg"), "x.JPEG");
    }
}
