//! Where the bytes are: a folder or an S3 bucket behind one set of verbs.
//!
//! Objects are immutable. Whoever uploads writes under `uploads/` or `outputs/`; only what was verified is
//! put under `assets/`, by this process, so an address that was signed for an upload can never change what
//! was looked at.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_time::{Clock as _, SystemClock, Timestamp};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::Method;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::signer::Signer;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, WriteMultipart,
};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::{Config, S3Config, StoreConfig};
use crate::error::Error;
use crate::keys::{Area, ObjectKey};
use crate::presign::bounded_put;

/// Part of a multipart upload to S3.
const PART_BYTES: usize = 8 << 20;
/// Parts that travel at once.
const PARTS_IN_FLIGHT_MAX: usize = 4;
/// Bytes of a file that are read at once.
const READ_BYTES: usize = 1 << 20;

/// A store and the scratch folder beside it.
pub(crate) struct Objects {
    backend: Backend,
    scratch: PathBuf,
}

enum Backend {
    Folder { store: LocalFileSystem },
    S3 { store: Arc<AmazonS3>, signer: Arc<AmazonS3>, bucket: Box<S3Config>, prefix: String },
}

/// An object as a local file; the temporary copy, where one was made, goes with it.
pub(crate) struct LocalCopy {
    path: PathBuf,
    _copy: Option<NamedTempFile>,
}

impl LocalCopy {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// An object in a listing.
pub(crate) struct Listed {
    pub(crate) key: ObjectKey,
    pub(crate) modified_at: Timestamp,
}

/// A part of an object, or all of it.
pub(crate) struct Part {
    pub(crate) size_bytes: u64,
    pub(crate) range: std::ops::Range<u64>,
    pub(crate) body: futures::stream::BoxStream<'static, object_store::Result<Bytes>>,
}

impl Objects {
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let scratch = config.folder.join("tmp");
        std::fs::create_dir_all(&scratch)?;
        let backend = match &config.store {
            StoreConfig::Folder => {
                let root = config.folder.join("objects");
                std::fs::create_dir_all(&root)?;
                Backend::Folder { store: LocalFileSystem::new_with_prefix(root)? }
            }
            StoreConfig::S3(bucket) => {
                let store = Arc::new(connect(bucket, &bucket.endpoint)?);
                let signer = if bucket.public_endpoint.is_empty() {
                    store.clone()
                } else {
                    Arc::new(connect(bucket, &bucket.public_endpoint)?)
                };
                let prefix = bucket.prefix.trim_matches('/').to_owned();
                Backend::S3 { store, signer, bucket: Box::new(bucket.clone()), prefix }
            }
        };
        Ok(Self { backend, scratch: scratch.canonicalize()? })
    }

    /// Whether this server itself answers the signed addresses.
    pub(crate) fn serves_itself(&self) -> bool {
        matches!(self.backend, Backend::Folder { .. })
    }

    fn store(&self) -> &dyn ObjectStore {
        match &self.backend {
            Backend::Folder { store } => store,
            Backend::S3 { store, .. } => store.as_ref(),
        }
    }

    fn locate(&self, key: &ObjectKey) -> StorePath {
        match &self.backend {
            Backend::Folder { .. } => StorePath::from(key.as_str()),
            Backend::S3 { prefix, .. } if prefix.is_empty() => StorePath::from(key.as_str()),
            Backend::S3 { prefix, .. } => StorePath::from(format!("{prefix}/{key}")),
        }
    }

    /// The size of an object in bytes; `None` where there is none.
    pub(crate) async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, Error> {
        match self.store().head(&self.locate(key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The object as a local file, of at most `size_max` bytes; `None` where there is none.
    pub(crate) async fn fetch(&self, key: &ObjectKey, size_max: u64) -> Result<Option<LocalCopy>, Error> {
        if let Backend::Folder { store } = &self.backend {
            let path = store.path_to_filesystem(&self.locate(key))?;
            return Ok(path.is_file().then_some(LocalCopy { path, _copy: None }));
        }
        let object = match self.store().get(&self.locate(key)).await {
            Ok(object) => object,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let copy = NamedTempFile::new_in(&self.scratch)?;
        let mut file = tokio::fs::File::from_std(copy.reopen()?);
        let mut left = size_max;
        let mut stream = object.into_stream();
        while let Some(chunk) = stream.try_next().await? {
            left = left
                .checked_sub(chunk.len() as u64)
                .ok_or_else(|| Error::Internal(format!("{key} grew while it was read")))?;
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(Some(LocalCopy { path: copy.path().to_owned(), _copy: Some(copy) }))
    }

    /// Puts what was verified where it stays. Doing it again changes nothing.
    pub(crate) async fn promote(
        &self,
        from: &ObjectKey,
        local: &LocalCopy,
        to: &ObjectKey,
        content_type: &str,
    ) -> Result<(), Error> {
        let target = self.locate(to);
        match &self.backend {
            Backend::Folder { store } => {
                let (from, to) =
                    (store.path_to_filesystem(&self.locate(from))?, store.path_to_filesystem(&target)?);
                blocking(move || link_verified(&from, &to)).await
            }
            // Sent again rather than copied there: what is kept is what was looked at, with the type that
            // was found and not the one that the sender attached.
            Backend::S3 { store, .. } => send_file(store.as_ref(), local.path(), &target, content_type).await,
        }
    }

    /// Puts a small object.
    pub(crate) async fn put(&self, key: &ObjectKey, bytes: Vec<u8>, content_type: &str) -> Result<(), Error> {
        let target = self.locate(key);
        match &self.backend {
            Backend::Folder { store } => {
                let (path, scratch) = (store.path_to_filesystem(&target)?, self.scratch.clone());
                blocking(move || replace_small(&scratch, &path, &bytes)).await
            }
            Backend::S3 { store, .. } => {
                let options = PutOptions { attributes: typed(content_type), ..PutOptions::default() };
                store.put_opts(&target, PutPayload::from(bytes), options).await?;
                Ok(())
            }
        }
    }

    /// Removes an object; nothing there is fine.
    pub(crate) async fn delete(&self, key: &ObjectKey) -> Result<(), Error> {
        match self.store().delete(&self.locate(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Everything under an area, or under a folder of it.
    pub(crate) fn list(
        &self,
        area: Area,
        folder: Option<&str>,
    ) -> impl Stream<Item = Result<Listed, Error>> + '_ {
        let mut root = area.as_str().to_owned();
        if let Some(folder) = folder {
            root = format!("{root}/{folder}");
        }
        let prefix = match &self.backend {
            Backend::Folder { .. } => StorePath::from(root),
            Backend::S3 { prefix, .. } => StorePath::from(format!("{prefix}/{root}")),
        };
        let skipped = match &self.backend {
            Backend::Folder { .. } => 0,
            Backend::S3 { prefix, .. } if prefix.is_empty() => 0,
            Backend::S3 { prefix, .. } => prefix.len() + 1,
        };
        self.store().list(Some(&prefix)).filter_map(move |listed| async move {
            match listed {
                Ok(meta) => {
                    let key = ObjectKey::parse(meta.location.as_ref().get(skipped..)?)?;
                    let modified_at = Timestamp::from_micros(meta.last_modified.timestamp_micros());
                    Some(Ok(Listed { key, modified_at }))
                }
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => Some(Err(error.into())),
            }
        })
    }

    /// Reads an object, or a range of it.
    pub(crate) async fn read(
        &self,
        key: &ObjectKey,
        range: Option<object_store::GetRange>,
    ) -> Result<Option<Part>, Error> {
        let options = GetOptions { range, ..GetOptions::default() };
        match self.store().get_opts(&self.locate(key), options).await {
            Ok(object) => Ok(Some(Part {
                size_bytes: object.meta.size,
                range: object.range.clone(),
                body: object.into_stream(),
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// An address at the store, signed by its own protocol, to read or to write exactly `put_size` bytes; `None`
    /// where this server answers itself.
    pub(crate) async fn signed_url(
        &self,
        put_size: Option<u64>,
        key: &ObjectKey,
        ttl: Duration,
    ) -> Result<Option<String>, Error> {
        let Backend::S3 { signer, bucket, .. } = &self.backend else { return Ok(None) };
        let method = if put_size.is_some() { Method::PUT } else { Method::GET };
        let mut url = signer.signed_url(method, &self.locate(key), ttl).await?;
        if let Some(size) = put_size {
            url.set_query(None);
            // The store's clock is the real one, whatever this process is told for a test.
            url = bounded_put(&url, bucket, size, SystemClock.now(), ttl);
        }
        Ok(Some(url.to_string()))
    }

    /// Writes an object once from a stream: a temporary file, synchronised, then linked to its name, which
    /// fails where the name is taken. `fill` has checked all of it before it gets a name.
    pub(crate) async fn write_once(
        &self,
        key: &ObjectKey,
        fill: impl AsyncFnOnce(&mut tokio::fs::File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Backend::Folder { store } = &self.backend else {
            return Err(Error::Internal("only a folder is written through this server".to_owned()));
        };
        let path = store.path_to_filesystem(&self.locate(key))?;
        if path.exists() {
            return Err(Error::ObjectExists);
        }
        let copy = NamedTempFile::new_in(&self.scratch)?;
        let mut file = tokio::fs::File::from_std(copy.reopen()?);
        fill(&mut file).await?;
        file.flush().await?;
        file.sync_all().await?;
        drop(file);
        blocking(move || link_new(&copy, &path)).await
    }

    /// Removes scratch files that a crash left: those not touched for `age`.
    pub(crate) fn sweep_scratch(&self, age: Duration) -> std::io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.scratch)? {
            let entry = entry?;
            let touched = entry.metadata().and_then(|meta| meta.modified());
            let old = touched.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed >= age));
            if old && std::fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Runs what waits for a disk where waiting harms nobody.
async fn blocking(work: impl FnOnce() -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))?
}

fn make_folder(path: &Path) -> Result<&Path, Error> {
    let folder = path.parent().ok_or_else(|| Error::Internal("a key without a folder".to_owned()))?;
    std::fs::create_dir_all(folder)?;
    Ok(folder)
}

/// Gives a finished file its name and makes the name durable, too; an error where the name is taken.
fn link_new(copy: &NamedTempFile, path: &Path) -> Result<(), Error> {
    let folder = make_folder(path)?;
    match std::fs::hard_link(copy.path(), path) {
        Ok(()) => Ok(File::open(folder)?.sync_all()?),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Error::ObjectExists),
        Err(error) => Err(error.into()),
    }
}

/// Gives the bytes that were looked at a second name. The store's own copy would do the same and leave a
/// stray link where both names are one file already, as they are when a crash makes this run again.
fn link_verified(from: &Path, to: &Path) -> Result<(), Error> {
    let folder = make_folder(to)?;
    match std::fs::hard_link(from, to) {
        Ok(()) => (),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_same_file(from, to)? => (),
        Err(error) => return Err(error.into()),
    }
    let file = File::open(to)?;
    // A second name of an old file is as old as the first, and the sweep of orphans spares only what is young: the
    // row that wants this name has yet to commit.
    file.set_modified(std::time::SystemTime::now())?;
    // So that a row which says "ready" never outlives its bytes.
    file.sync_all()?;
    Ok(File::open(folder)?.sync_all()?)
}

fn is_same_file(one: &Path, other: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (one, other) = (std::fs::metadata(one)?, std::fs::metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Writes beside and renames, so that there is all of it or what was there before.
fn replace_small(scratch: &Path, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = make_folder(path)?;
    let mut copy = NamedTempFile::new_in(scratch)?;
    copy.write_all(bytes)?;
    copy.as_file().sync_all()?;
    copy.persist(path).map_err(|error| error.error)?;
    Ok(File::open(folder)?.sync_all()?)
}

fn connect(bucket: &S3Config, endpoint: &str) -> Result<AmazonS3, Error> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.bucket)
        .with_region(bucket.signing_region())
        .with_access_key_id(&bucket.access_key)
        .with_secret_access_key(&bucket.secret_key)
        .with_virtual_hosted_style_request(false);
    if !endpoint.is_empty() {
        builder = builder
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_allow_http(endpoint.starts_with("http://"));
    }
    Ok(builder.build()?)
}

fn typed(content_type: &str) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, content_type.to_owned().into());
    attributes.insert(Attribute::CacheControl, "private, max-age=3600, immutable".into());
    attributes
}

async fn send_file(store: &AmazonS3, from: &Path, to: &StorePath, content_type: &str) -> Result<(), Error> {
    let size = tokio::fs::metadata(from).await?.len();
    if size <= PART_BYTES as u64 {
        let options = PutOptions { attributes: typed(content_type), ..PutOptions::default() };
        store.put_opts(to, PutPayload::from(tokio::fs::read(from).await?), options).await?;
        return Ok(());
    }
    let options = PutMultipartOptions { attributes: typed(content_type), ..PutMultipartOptions::default() };
    let upload = store.put_multipart_opts(to, options).await?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    let mut file = tokio::fs::File::open(from).await?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = match file.read(&mut buffer).await {
            Ok(count) => count,
            Err(error) => {
                writer.abort().await?;
                return Err(error.into());
            }
        };
        if count == 0 {
            break;
        }
        writer.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await?;
        writer.write(&buffer[..count]);
    }
    writer.finish().await?;
    Ok(())
}
