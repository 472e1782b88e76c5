//! Looking at media without trusting them.
//!
//! Decoders of strangers' bytes run in a child process with an empty environment, limits on processor
//! time, memory and files, no network where the kernel allows, and a deadline. The parent never decodes.
//! A child that dies, however, is an unreadable file, never a fault of the server.

mod child;
mod decode;
mod parent;

use serde::{Deserialize, Serialize};

pub use child::probe_child_main;
pub(crate) use parent::{ProbeError, Prober};

use crate::media::Media;

/// Longest line that a child may answer: a preview of 640 pixels needs a tenth of it.
const ANSWER_BYTES_MAX: u64 = 6 << 20;

/// What the child is asked, as JSON on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) media: Media,
    pub(crate) cpu_s: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) pixels_max: u64,
    pub(crate) preview_px: u32,
    /// Absolute paths; absent where the machine has none.
    pub(crate) ffprobe: Option<String>,
    pub(crate) ffmpeg: Option<String>,
}

/// What it answers, as JSON on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Facts(Facts),
    Refused(Refusal),
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) width_px: Option<i32>,
    pub(crate) height_px: Option<i32>,
    pub(crate) duration_ms: Option<i64>,
    /// Base64; absent for sound, and for video where there is no ffmpeg.
    pub(crate) preview: Option<String>,
    pub(crate) preview_type: Option<String>,
    /// Whether the child had no network.
    pub(crate) network_off: bool,
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    /// Nothing can be made of it.
    #[error("{0}")]
    Unreadable(String),
    /// It would unpack to more pixels than are taken.
    #[error("the picture has {width} × {height} pixels, and at most {max} are taken")]
    TooManyPixels { width: u64, height: u64, max: u64 },
}
