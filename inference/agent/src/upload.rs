//! Hands outputs over: inline where they are small and the job wants it, else into the customer's store, whose
//! issuer signs each upload.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use backlot_inference_api::v1::output_target::Target;
use backlot_inference_api::v1::{IssuerTarget, JobOutput, OutputTarget};
use backlot_inference_runtimes::{Body, Output};
use bytes::Bytes;
use reqwest::header::CONTENT_LENGTH;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

use crate::backoff::Backoff;

/// Largest sum of inline outputs, bytes.
const INLINE_BYTES_MAX: usize = 16 * 1024;
/// How long an unreachable store is tried, for all outputs of an attempt together: the result is worth more than
/// the wait.
const UPLOAD_MAX: Duration = Duration::from_secs(600);
/// The longest handing over of one attempt, with bytes that move slowly. Phase `uploading` lasts no longer, and the
/// scheduler, whose time-out of the attempt does not count in that phase, may rely on it.
const DELIVERY_MAX: Duration = Duration::from_secs(30 * 60);
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LONGEST: Duration = Duration::from_secs(15);
/// A signature may expire while an upload waits for its turn; a store that refuses this often means it.
const REFUSALS_MAX: u32 = 3;
const DETAIL_CHARS_MAX: usize = 500;

/// Why an output is not handed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// The store does not want it.
    #[error("the output was refused: {0}")]
    Refused(String),
    /// Too much for an inline output.
    #[error("the output has {0} bytes, and at most {INLINE_BYTES_MAX} fit into the job itself")]
    TooLargeInline(usize),
    /// The store does not answer.
    #[error("the output could not be handed over")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file cannot be read back.
    #[error("an output file cannot be read")]
    Disk(#[source] std::io::Error),
}

/// What is asked of the issuer.
#[derive(Debug, Serialize)]
struct Ask<'a> {
    capability: &'a str,
    fence: &'a str,
    n: usize,
    name: &'a str,
    content_type: &'a str,
    size_bytes: u64,
    sha256: &'a str,
}

/// What it answers.
#[derive(Debug, Deserialize)]
struct Signed {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    object_key: String,
}

/// Hands all outputs over, in their order.
pub(crate) async fn deliver(
    client: &reqwest::Client,
    target: Option<&OutputTarget>,
    fence: &str,
    outputs: Vec<Output>,
) -> Result<Vec<JobOutput>, UploadError> {
    match target.and_then(|target| target.target.as_ref()) {
        Some(Target::Issuer(issuer)) => {
            let give_up_at = Instant::now() + UPLOAD_MAX;
            let upload = Upload { client, issuer, fence, give_up_at };
            let all = async {
                let mut delivered = Vec::with_capacity(outputs.len());
                for (n, output) in outputs.into_iter().enumerate() {
                    delivered.push(upload.deliver(n, output).await?);
                }
                Ok(delivered)
            };
            let too_slow = |_| {
                UploadError::Unreachable(format!("it took more than {} s", DELIVERY_MAX.as_secs()).into())
            };
            tokio::time::timeout(DELIVERY_MAX, all).await.map_err(too_slow)?
        }
        Some(Target::Inline(_)) | None => inline(outputs).await,
    }
}

async fn inline(outputs: Vec<Output>) -> Result<Vec<JobOutput>, UploadError> {
    let mut total = 0;
    let mut delivered = Vec::with_capacity(outputs.len());
    for output in outputs {
        let size = size(&output.body).await?;
        total += usize::try_from(size).unwrap_or(usize::MAX);
        if total > INLINE_BYTES_MAX {
            return Err(UploadError::TooLargeInline(total));
        }
        let bytes = match output.body {
            Body::Bytes(bytes) => bytes,
            Body::File(path) => tokio::fs::read(path).await.map_err(UploadError::Disk)?.into(),
        };
        delivered.push(JobOutput {
            object_key: String::new(),
            name: output.name,
            content_type: output.content_type,
            size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
            sha256: hex::encode(Sha256::digest(&bytes)),
            inline: bytes.to_vec(),
        });
    }
    Ok(delivered)
}

struct Upload<'a> {
    client: &'a reqwest::Client,
    issuer: &'a IssuerTarget,
    fence: &'a str,
    /// When a store that does not answer is tried no more.
    give_up_at: Instant,
}

impl Upload<'_> {
    async fn deliver(&self, n: usize, output: Output) -> Result<JobOutput, UploadError> {
        let size_bytes = size(&output.body).await?;
        let sha256 = sha256(&output.body).await?;
        let ask = Ask {
            capability: &self.issuer.capability,
            fence: self.fence,
            n,
            name: &output.name,
            content_type: &output.content_type,
            size_bytes,
            sha256: &sha256,
        };
        let object_key = self.put_until_done(&ask, &output.body).await?;
        Ok(JobOutput {
            object_key,
            name: output.name,
            content_type: output.content_type,
            size_bytes: i64::try_from(size_bytes).unwrap_or(i64::MAX),
            sha256,
            inline: Vec::new(),
        })
    }

    async fn put_until_done(&self, ask: &Ask<'_>, body: &Body) -> Result<String, UploadError> {
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        let mut refusals = 0;
        let mut tries = 0;
        loop {
            tries += 1;
            let failed = match self.put_once(ask, body, tries > 1).await {
                Ok(object_key) => return Ok(object_key),
                Err(Attempted::Final(error)) => return Err(error),
                Err(Attempted::RefusedByStore(why)) => {
                    refusals += 1;
                    if refusals == REFUSALS_MAX {
                        return Err(UploadError::Refused(why));
                    }
                    why.into()
                }
                Err(Attempted::Unreachable(error)) => error,
            };
            if Instant::now() >= self.give_up_at {
                return Err(UploadError::Unreachable(failed));
            }
            tracing::warn!(error = %failed, tries, "an output is handed over again");
            tokio::time::sleep(backoff.pause(rand::random())).await;
        }
    }

    async fn put_once(&self, ask: &Ask<'_>, body: &Body, is_again: bool) -> Result<String, Attempted> {
        let response = self.client.post(&self.issuer.url).json(ask).send().await.map_err(Attempted::of)?;
        let status = response.status();
        if is_worth_another_try(status) {
            return Err(Attempted::Unreachable(format!("the issuer answered {status}").into()));
        }
        let text = response.bytes().await.map_err(Attempted::of)?;
        if !status.is_success() {
            return Err(Attempted::Final(UploadError::Refused(detail(status, &text))));
        }
        let signed: Signed = serde_json::from_slice(&text).map_err(|error| {
            Attempted::Final(UploadError::Refused(format!("the issuer's answer cannot be read: {error}")))
        })?;
        let method = signed.method.parse().unwrap_or(reqwest::Method::PUT);
        let mut request = self.client.request(method, &signed.url);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let content = content(body).await.map_err(|error| Attempted::Final(UploadError::Disk(error)))?;
        // Stores by the S3 protocol take no upload of unknown length.
        request = request.header(CONTENT_LENGTH, ask.size_bytes).body(content);
        let response = request.send().await.map_err(Attempted::of)?;
        let status = response.status();
        // Objects are written once: ours is there when an earlier try arrived and its answer did not.
        let is_there = is_again && matches!(status.as_u16(), 409 | 412);
        if status.is_success() || is_there {
            return Ok(signed.object_key);
        }
        if is_worth_another_try(status) {
            return Err(Attempted::Unreachable(format!("the store answered {status}").into()));
        }
        let text = response.bytes().await.unwrap_or_default();
        Err(Attempted::RefusedByStore(detail(status, &text)))
    }
}

/// How one try ended.
enum Attempted {
    Final(UploadError),
    RefusedByStore(String),
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
}

impl Attempted {
    /// Without the address: it is signed, and messages are shown and kept.
    fn of(error: reqwest::Error) -> Self {
        Self::Unreachable(error.without_url().into())
    }
}

fn is_worth_another_try(status: reqwest::StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// What a refusal says, from a problem document where it is one.
fn detail(status: reqwest::StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(default)]
        title: String,
        #[serde(default)]
        detail: String,
    }
    let said = serde_json::from_slice::<Problem>(body).ok();
    let words = said.map(|problem| if problem.detail.is_empty() { problem.title } else { problem.detail });
    match words.filter(|words| !words.is_empty()) {
        Some(words) => words.chars().take(DETAIL_CHARS_MAX).collect(),
        None => format!("the store answered {status}"),
    }
}

async fn size(body: &Body) -> Result<u64, UploadError> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.len() as u64),
        Body::File(path) => Ok(tokio::fs::metadata(path).await.map_err(UploadError::Disk)?.len()),
    }
}

async fn sha256(body: &Body) -> Result<String, UploadError> {
    match body {
        Body::Bytes(bytes) => Ok(hex::encode(Sha256::digest(bytes))),
        Body::File(path) => {
            let path = path.clone();
            let hashed = tokio::task::spawn_blocking(move || sha256_of_file(&path)).await;
            hashed
                .map_err(|error| UploadError::Disk(std::io::Error::other(error)))?
                .map_err(UploadError::Disk)
        }
    }
}

fn sha256_of_file(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}

async fn content(body: &Body) -> std::io::Result<reqwest::Body> {
    Ok(match body {
        Body::Bytes(bytes) => Bytes::clone(bytes).into(),
        Body::File(path) => reqwest::Body::wrap_stream(ReaderStream::new(tokio::fs::File::open(path).await?)),
    })
}
