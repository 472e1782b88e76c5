//! From bytes that somebody sent to media that were looked at: sniff, hash, probe.
//!
//! Uploads and outputs go through the same door. Nothing here writes a row; doing it again after a crash
//! gives the same objects under the same keys.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use backlot_infrastructure_api::codes::storage as codes;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::error::{Error, Rejection};
use crate::keys::ObjectKey;
use crate::media::{Claim, HEAD_BYTES, Media, SniffError, Strictness, TAIL_BYTES, sniff};
use crate::objects::Objects;
use crate::probe::{Facts, ProbeError, Prober, Refusal};

/// Bytes that are hashed at once.
const CHUNK_BYTES: usize = 256 << 10;

/// What was sent, and what was said about it.
pub(crate) struct Sent<'a> {
    pub(crate) from: &'a ObjectKey,
    pub(crate) organisation: OrganisationId,
    pub(crate) asset: AssetId,
    pub(crate) claim: Claim,
    pub(crate) strictness: Strictness,
    pub(crate) size_bytes: i64,
    /// Hex, lower case; where it is known.
    pub(crate) sha256: Option<&'a str>,
}

/// What it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verified {
    pub(crate) media: Media,
    pub(crate) sha256: String,
    pub(crate) width_px: Option<i32>,
    pub(crate) height_px: Option<i32>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) preview_type: Option<String>,
}

/// Looks at what was sent and puts it, with its preview, where verified media stay.
pub(crate) async fn ingest(objects: &Objects, prober: &Prober, sent: &Sent<'_>) -> Result<Verified, Error> {
    let declared = u64::try_from(sent.size_bytes).unwrap_or(0);
    let size = objects.size(sent.from).await?.ok_or(Error::NotUploaded)?;
    check_size(size, declared)?;
    let local = objects.fetch(sent.from, declared).await?.ok_or(Error::NotUploaded)?;
    let path = local.path().to_owned();
    let read = tokio::task::spawn_blocking(move || read_through(&path));
    let contents = read.await.map_err(|error| Error::Internal(error.to_string()))??;
    // What was fetched, not what was listed: the sender may have changed it in between.
    check_size(contents.size, declared)?;
    if let Some(expected) = sent.sha256
        && expected != contents.sha256
    {
        return reject(
            &codes::ASSET_HASH_MISMATCH,
            format!("{expected} was declared and {} arrived.", contents.sha256),
        );
    }
    let media = sniff(&contents.head, &contents.tail, sent.claim, sent.strictness).map_err(sniff_error)?;
    let facts = prober.probe(local.path(), media).await.map_err(probe_error)?;
    if !facts.network_off {
        tracing::debug!("the kernel does not let the probe's child give up the network");
    }
    let target = ObjectKey::asset(sent.organisation, sent.asset);
    objects.promote(sent.from, &local, &target, media.as_str()).await?;
    let preview_type = put_preview(objects, sent, &facts).await?;
    Ok(Verified {
        media,
        sha256: contents.sha256,
        width_px: facts.width_px,
        height_px: facts.height_px,
        duration_ms: facts.duration_ms,
        preview_type,
    })
}

async fn put_preview(objects: &Objects, sent: &Sent<'_>, facts: &Facts) -> Result<Option<String>, Error> {
    let (Some(preview), Some(preview_type)) = (&facts.preview, &facts.preview_type) else { return Ok(None) };
    // The child may have been taken over by the file: believe only the two types that it is asked for.
    let preview_type = match preview_type.as_str() {
        "image/jpeg" => "image/jpeg",
        "image/webp" => "image/webp",
        other => return Err(Error::Internal(format!("the probe's child made a preview of type {other}"))),
    };
    let bytes = STANDARD.decode(preview).map_err(|error| Error::Internal(error.to_string()))?;
    let key = ObjectKey::preview(sent.organisation, sent.asset);
    objects.put(&key, bytes, preview_type).await?;
    Ok(Some(preview_type.to_owned()))
}

fn check_size(size: u64, declared: u64) -> Result<(), Error> {
    if size == 0 {
        return reject(
            &codes::ASSET_EMPTY,
            "The file has no bytes. Choose another one and begin a new upload.",
        );
    }
    if size != declared {
        return reject(
            &codes::ASSET_SIZE_MISMATCH,
            format!(
                "{declared} bytes were declared and {size} arrived. Begin a new upload with the right size."
            ),
        );
    }
    Ok(())
}

fn reject<T>(code: &'static backlot_foundation_errors::Code, detail: impl Into<String>) -> Result<T, Error> {
    Err(Error::Rejected(Rejection::new(code, detail)))
}

fn sniff_error(error: SniffError) -> Error {
    let code = match &error {
        SniffError::Mismatch { .. } | SniffError::Polyglot { .. } => &codes::ASSET_TYPE_MISMATCH,
        SniffError::Unsupported { .. } => &codes::ASSET_TYPE_UNSUPPORTED,
    };
    let detail = format!("By its bytes, {error}. These are taken: {}.", Media::taken());
    Error::Rejected(Rejection::new(code, detail))
}

fn probe_error(error: ProbeError) -> Error {
    match error {
        ProbeError::Refused(Refusal::Unreadable(why)) => Error::Rejected(Rejection::new(
            &codes::ASSET_UNREADABLE,
            format!("The file cannot be decoded ({}). It may be damaged or cut off.", shorten(&why)),
        )),
        ProbeError::Refused(refusal @ Refusal::TooManyPixels { .. }) => Error::Rejected(Rejection::new(
            &codes::ASSET_TOO_MANY_PIXELS,
            format!("{refusal}. Send a smaller one."),
        )),
        ProbeError::Start(error) => error.into(),
    }
}

/// A decoder's words, which the file may have chosen: one line, and not a long one.
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    text.chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect()
}

struct Contents {
    size: u64,
    sha256: String,
    head: Vec<u8>,
    tail: Vec<u8>,
}

fn read_through(path: &Path) -> std::io::Result<Contents> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut head = Vec::new();
    let mut size = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        let wanted = (HEAD_BYTES - head.len()).min(count);
        head.extend_from_slice(&chunk[..wanted]);
        hasher.update(&chunk[..count]);
        size += count as u64;
    }
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES as u64)))?;
    file.take(TAIL_BYTES as u64).read_to_end(&mut tail)?;
    Ok(Contents { size, sha256: hex::encode(hasher.finalize()), head, tail })
}
