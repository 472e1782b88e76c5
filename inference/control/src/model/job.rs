//! Jobs, their attempts and what comes of them.

use std::{collections::BTreeSet, sync::Arc};

use backlot_foundation_time::Timestamp;
use backlot_inference_api::JobId;
use backlot_inference_scheduler::{Fence, JobKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AttemptOutcome, Failure, JobState, Phase, Tier};
use crate::overflow::Charge;

/// A job, without its input.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Namespace of the issuer that submitted it.
    #[serde(skip)]
    pub namespace: String,
    /// Who it counts for: opaque.
    pub tenant: String,
    /// `owner/name`.
    pub model: String,
    /// Version of the model.
    pub model_version: String,
    /// How soon.
    pub tier: Tier,
    /// Where it stands.
    pub state: JobState,
    /// What it is doing.
    pub phase: Phase,
    /// 0 to 1, as the model reports it.
    pub progress: f64,
    /// What the model says it is doing.
    pub progress_note: String,
    /// How the result looks so far: a data URL of a small picture, or empty. Shown and not written.
    pub preview: String,
    /// Jobs that should start before it.
    pub position: u32,
    /// Milliseconds until it starts, as likely earlier as later; 0 where it does not wait.
    pub start_p50_ms: i64,
    /// Milliseconds until it starts, with 9 chances in 10; 0 where it does not wait.
    pub start_p90_ms: i64,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why it failed, for people.
    pub message: String,
    /// Its outputs, once it has succeeded.
    pub outputs: Vec<Output>,
    /// Fence of the attempt whose result counts; empty before.
    pub winning_fence: String,
    /// What was tried.
    pub attempts: Vec<Attempt>,
    /// End of the log, at most 16 KiB.
    pub log_tail: String,
    /// Milliseconds of compute over all attempts.
    pub compute_ms: i64,
    /// Milliseconds of compute as predicted by the caller; 0: it did not say.
    pub predicted_ms: i64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it first computed.
    pub started_at: Option<Timestamp>,
    /// When its end was asked for.
    pub cancel_requested_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Its latest useful finish.
    pub deadline: Option<Timestamp>,
    /// How much of what was asked for is in the outputs, 0 to 1.
    pub delivered_fraction: f64,
    /// Fence of the live lease.
    #[serde(skip)]
    pub fence: Option<Fence>,
    /// Since when it waits.
    #[serde(skip)]
    pub queued_at: Timestamp,
    /// How long it may wait, milliseconds.
    #[serde(skip)]
    pub ttl_ms: i64,
    /// Where it may run; empty: anywhere.
    #[serde(skip)]
    pub regions: BTreeSet<String>,
    /// What must be equal so that it computes in one call with another.
    #[serde(skip)]
    pub batch_key: u64,
    /// Where its outputs go.
    #[serde(skip)]
    pub target: Target,
    /// W3C trace context of the submission; may be empty.
    #[serde(skip)]
    pub traceparent: String,
}

impl Job {
    /// Its key in the scheduler.
    #[must_use]
    pub fn key(&self) -> JobKey {
        job_key(self.id)
    }

    /// Attempts that ended without a result that counts.
    #[must_use]
    pub fn attempts_ended(&self) -> u32 {
        let ended = self.attempts.iter().filter(|attempt| attempt.ended_at.is_some()).count();
        u32::try_from(ended).unwrap_or(u32::MAX)
    }

    /// The attempt with this fence.
    pub fn attempt_mut(&mut self, fence: Fence) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.fence == fence)
    }
}

/// The scheduler's key of a job.
#[must_use]
pub fn job_key(id: JobId) -> JobKey {
    JobKey(id.uuid().as_u128())
}

/// One try at a job.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Attempt {
    /// `epoch-sequence`: what makes its result count.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    pub fence: Fence,
    /// The agent.
    pub agent: String,
    /// The worker, within the agent.
    pub worker: String,
    /// Where.
    pub region: String,
    /// When it was leased.
    pub assigned_at: Timestamp,
    /// When it began to compute.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended; nothing while it lives.
    pub outcome: Option<AttemptOutcome>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why it failed, for people.
    pub message: String,
    /// Milliseconds that loading took.
    pub load_ms: i64,
    /// Milliseconds of compute, without pauses.
    pub compute_ms: i64,
    /// Milliseconds that it was held between two of its steps.
    pub held_ms: i64,
    /// The batch that it was leased in: the fence of its first attempt; empty: alone.
    pub batch: String,
    /// How many computed in its call, whose part its compute is; 0: it has not ended.
    pub batched: u32,
    /// What it was charged, where it runs with a third party. Nobody's business but the queue's.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) charge: Option<Charge>,
}

fn as_text<S: serde::Serializer>(fence: &Fence, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(fence)
}

/// One output of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// Where it is in the issuer's store; empty where it is inline.
    pub object_key: String,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size.
    pub size_bytes: i64,
    /// SHA-256, hex.
    pub sha256: String,
    /// The content in base64, where it is inline.
    pub inline_base64: String,
}

/// Where outputs go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// They stay in the job: at most 16 KiB.
    Inline,
    /// An issuer gives a signed upload for each.
    Issuer {
        /// Its address.
        url: String,
        /// The right to ask it.
        capability: String,
    },
}

/// A job that was checked and is to be submitted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The job, as it will be.
    pub job: Job,
    /// Its input, JSON.
    pub input: Arc<str>,
    /// SHA-256 of the idempotency key and of the request; nothing where the caller gave no key.
    pub key: Option<(String, String)>,
}

/// What would happen to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstimateView {
    /// Empty: possible.
    pub impossible_because: String,
    /// Jobs that would start before it.
    pub position: u32,
    /// Milliseconds until it starts, as likely earlier as later.
    pub start_p50_ms: i64,
    /// Milliseconds until it starts, with 9 chances in 10.
    pub start_p90_ms: i64,
    /// Milliseconds of compute.
    pub run_ms: i64,
}
