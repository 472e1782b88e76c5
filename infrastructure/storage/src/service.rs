//! The rules of a person's upload, from the reservation of its space to its deletion.
//!
//! Every step is written before the next begins, and each can be done again: a crash anywhere leaves a
//! row that says what is left to do, and `reconcile.rs` does it.

use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_db::Db;
use backlot_foundation_ids::Uuid;
use backlot_foundation_time::SharedClock;
use backlot_infrastructure_api::codes::storage as codes;
use backlot_infrastructure_api::{AssetId, OrganisationId, ProjectId};
use sea_orm::DatabaseBackend;

use crate::addresses::UploadTarget;
use crate::authority::{Authority, Everyone};
use crate::config::Config;
use crate::entities::asset;
use crate::error::{Error, Rejection};
use crate::events;
use crate::ingest::{Sent, Verified, ingest};
use crate::keys::ObjectKey;
use crate::media::{Claim, Media, Strictness};
use crate::names::{NAME_CHARS_MAX, clean_name};
use crate::objects::Objects;
use crate::one_at_a_time::OneAtATime;
use crate::probe::Prober;
use crate::secret::keyring;
use crate::signing::Keyring;
use crate::store::{self, origin, state};

/// Largest size that is a size at all: sums of such sizes stay far from overflow.
pub(crate) const SIZE_BYTES_MAX: i64 = 1 << 50;
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
    pub(crate) key: Keyring,
    /// Jobs whose outputs are being looked at by this process.
    pub(crate) finalizing: OneAtATime,
    pub(crate) base_url: parking_lot::RwLock<String>,
    authority: parking_lot::RwLock<Arc<dyn Authority>>,
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

/// An upload that has begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// The asset to be.
    pub asset: Asset,
    /// Where its bytes go.
    pub target: UploadTarget,
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
        let key = keyring(&config, db.backend())?;
        if db.backend() == DatabaseBackend::Sqlite {
            // One process owns the file, and the folder beside it: whoever held a lease or wrote a scratch
            // file is dead.
            objects.sweep_scratch(Duration::ZERO)?;
            let tx = db.begin_write().await?;
            store::free_leases(&*tx).await?;
            tx.commit().await?;
        }
        let base_url = parking_lot::RwLock::new(config.public_base_url.trim_end_matches('/').to_owned());
        let finalizing = OneAtATime::default();
        let authority = parking_lot::RwLock::new(Arc::new(Everyone) as Arc<dyn Authority>);
        let inner = Inner { db, clock, config, objects, prober, key, finalizing, base_url, authority };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Says whom to ask before a person changes media. Until then everyone in an organisation may.
    pub fn set_authority(&self, authority: Arc<dyn Authority>) {
        *self.inner.authority.write() = authority;
    }

    pub(crate) fn authority(&self) -> Arc<dyn Authority> {
        self.inner.authority.read().clone()
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
        self.begin_upload_as(AssetId::generate(), actor, new).await
    }

    /// The same under an id of the caller's: asked again while the upload is open, it answers the same one.
    pub async fn begin_upload_as(&self, id: AssetId, actor: &Actor, new: NewUpload) -> Result<Upload, Error> {
        let inner = &self.inner;
        check_upload(&inner.config, &new)?;
        let now = inner.clock.now();
        let ttl = Duration::from_secs(inner.config.upload_ttl_s);
        if let Some(row) = store::asset(inner.db.read(), id).await? {
            let is_same = row.organisation_id == actor.organisation
                && row.actor_id == actor.id
                && row.size_bytes == new.size_bytes
                && AssetState::parse(&row.state) == AssetState::Uploading;
            return if is_same { self.upload_of(row, ttl).await } else { Err(Error::NotFound("upload")) };
        }
        let row = asset::Model {
            id,
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
        self.upload_of(row, ttl).await
    }

    async fn upload_of(&self, row: asset::Model, ttl: Duration) -> Result<Upload, Error> {
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
            if AssetState::parse(&row.state) == AssetState::Ready {
                return self.with_inputs(row).await;
            }
            if let Some(ended) = ended_error(&row) {
                return Err(ended);
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
        if let Some(ended) = ended_error(&current) {
            return Err(ended);
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
        if kept { Ok(()) } else { Err(Error::Busy) }
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
            // It ended while it was looked at; what was put is removed with the row's other objects.
            drop(tx);
            let tx = inner.db.begin_write().await?;
            store::mark_objects_left(&*tx, row.id).await?;
            tx.commit().await?;
            let current = self.row_of(row.organisation_id, row.id).await?;
            return Err(ended_error(&current).unwrap_or(Error::Busy));
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

pub(crate) fn quota_exceeded(
    needed_bytes: i64,
    usage: Option<crate::entities::usage::Model>,
    default: i64,
) -> Error {
    let (taken, quota) = space(usage, default);
    Error::QuotaExceeded { needed_bytes, available_bytes: (quota - taken).max(0) }
}

/// Bytes that are taken, uploads in progress included, and that there are.
pub(crate) fn space(usage: Option<crate::entities::usage::Model>, default: i64) -> (i64, i64) {
    usage.map_or((0, default), |usage| {
        (usage.used_bytes.saturating_add(usage.reserved_bytes), usage.quota_bytes.unwrap_or(default))
    })
}

/// Why an upload cannot be completed any more; `None` while it can, or is.
fn ended_error(row: &asset::Model) -> Option<Error> {
    match AssetState::parse(&row.state) {
        AssetState::Uploading | AssetState::Ready => None,
        AssetState::Rejected => Some(rejected_error(row)),
        AssetState::Deleted => Some(Error::Deleted),
    }
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
