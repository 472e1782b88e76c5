//! What the other systems say, as plain facts.

use backlot_foundation_time::Timestamp;

use crate::input::AssetView;
use crate::row::JobOutput;
use crate::view::Phase;
use crate::who_pays::FailureClass;

/// What storage knows about an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asset {
    /// As it was uploaded.
    pub name: String,
    /// The run that made it; empty: a person put it in.
    pub run_id: String,
    /// Whether it is complete.
    pub ready: bool,
    /// As sniffed.
    pub content_type: String,
    /// Bytes.
    pub size_bytes: i64,
    /// Pixels.
    pub width_px: i32,
    /// Pixels.
    pub height_px: i32,
    /// Milliseconds.
    pub duration_ms: i64,
}

impl Asset {
    /// As far as a tool's limits need it.
    #[must_use]
    pub(crate) fn view(&self) -> AssetView<'_> {
        AssetView {
            ready: self.ready,
            content_type: &self.content_type,
            size_bytes: self.size_bytes,
            width_px: self.width_px,
            height_px: self.height_px,
            duration_ms: self.duration_ms,
        }
    }
}

/// A hold, as billing keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    /// `held`, `settled` or `voided`.
    pub state: HoldState,
    /// Micro-credits.
    pub held_micro: i64,
    /// Micro-credits.
    pub settled_micro: i64,
    /// The mandate that pays.
    pub mandate_id: String,
    /// From it up to the root.
    pub chain: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// From how many grants it came.
    pub grants: usize,
}

/// State of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldState {
    /// Open.
    Held,
    /// Posted.
    Settled,
    /// Returned.
    Voided,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobState {
    /// Waits.
    Queued,
    /// An attempt is leased.
    Running,
    /// With outputs.
    Succeeded,
    /// Without.
    Failed,
    /// Stopped, and confirmed.
    Canceled,
    /// Never started in time.
    Expired,
}

/// A job, as inference reports it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    /// How it stands.
    pub state: JobState,
    /// What is being done.
    pub phase: Phase,
    /// 0 to 1.
    pub progress: f64,
    /// For people.
    pub progress_note: String,
    /// A data URL of a small picture, or empty.
    pub preview: String,
    /// In the queue.
    pub position: i32,
    /// From now.
    pub start_p50_ms: i64,
    /// From now.
    pub start_p90_ms: i64,
    /// Why it failed.
    pub failure: FailureClass,
    /// What the model said about that.
    pub message: String,
    /// Of the attempt that won.
    pub outputs: Vec<JobOutput>,
    /// Of the attempt that won.
    pub winning_fence: String,
    /// In order.
    pub attempts: Vec<Attempt>,
    /// Of all attempts.
    pub compute_ms: i64,
    /// Of all attempts.
    pub load_ms: i64,
    /// Parts per million.
    pub delivered_ppm: i64,
    /// First assignment.
    pub started_at: Option<Timestamp>,
    /// End.
    pub ended_at: Option<Timestamp>,
    /// Cancel was asked for.
    pub cancel_requested_at: Option<Timestamp>,
}

/// An attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Where it ran: worker, agent, region, as far as they are known.
    pub place: String,
    /// When.
    pub assigned_at: Timestamp,
    /// When compute began.
    pub started_at: Option<Timestamp>,
    /// When.
    pub ended_at: Option<Timestamp>,
    /// Empty while live.
    pub outcome: String,
    /// For people.
    pub message: String,
    /// Milliseconds.
    pub load_ms: i64,
    /// Milliseconds.
    pub compute_ms: i64,
    /// Milliseconds between two of its steps in which its worker ran something short.
    pub held_ms: i64,
}

/// What would happen to a job now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Whether any worker could run it.
    pub possible: bool,
    /// Why not.
    pub impossible_because: String,
    /// In the queue.
    pub position: i32,
    /// From now.
    pub start_p50_ms: i64,
    /// From now.
    pub start_p90_ms: i64,
    /// Of compute.
    pub run_ms: i64,
}

/// Whether a mandate would allow a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Whether.
    pub allowed: bool,
    /// Stable code where not.
    pub reason: String,
    /// For people.
    pub message: String,
}
