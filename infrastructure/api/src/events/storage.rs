//! Events of storage.

use backlot_foundation_events::{EventSchema, EventType, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AssetId;

/// Declares an event's name and version beside its struct.
macro_rules! event {
    ($name:ident, $kind:literal) => {
        impl EventType for $name {
            const TYPE: &'static str = $kind;
            const VERSION: u32 = 1;
        }
    };
}

/// Where an asset came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssetOrigin {
    /// A person sent it.
    Upload,
    /// A run made it.
    Output,
}

/// What a medium is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaClass {
    /// A picture.
    Image,
    /// Moving pictures.
    Video,
    /// Sound alone.
    Audio,
}

/// An asset has a row: an upload began, or an output was finalised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssetCreated {
    /// Which.
    pub asset_id: AssetId,
    /// Upload or output.
    pub origin: AssetOrigin,
    /// Bytes that were declared.
    pub size_bytes: i64,
    /// The run that made it; absent for an upload.
    pub run_id: Option<String>,
}
event!(AssetCreated, "storage.asset.created");

/// An asset was verified and can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssetReady {
    /// Which.
    pub asset_id: AssetId,
    /// Upload or output.
    pub origin: AssetOrigin,
    /// Picture, video or sound.
    pub media_class: MediaClass,
    /// By its bytes, for example `image/png`.
    pub content_type: String,
    /// Bytes.
    pub size_bytes: i64,
    /// Pixels; absent for sound.
    pub width_px: Option<i32>,
    /// Pixels; absent for sound.
    pub height_px: Option<i32>,
    /// Milliseconds; absent for pictures.
    pub duration_ms: Option<i64>,
    /// The run that made it; absent for an upload.
    pub run_id: Option<String>,
    /// The tool of that run.
    pub tool: Option<String>,
    /// The tool's version.
    pub tool_version: Option<String>,
}
event!(AssetReady, "storage.asset.ready");

/// What was sent is not taken, or never arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssetRejected {
    /// Which.
    pub asset_id: AssetId,
    /// The error code, for example `asset_type_mismatch` or `upload_expired`.
    pub code: String,
    /// Bytes that were declared.
    pub size_bytes: i64,
}
event!(AssetRejected, "storage.asset.rejected");

/// An asset, or an upload in progress, was deleted by somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssetDeleted {
    /// Which.
    pub asset_id: AssetId,
    /// Upload or output.
    pub origin: AssetOrigin,
    /// Bytes that are free again.
    pub size_bytes: i64,
    /// Whether it was an upload that had not been completed.
    pub upload_canceled: bool,
    /// The run that made it; absent for an upload.
    pub run_id: Option<String>,
}
event!(AssetDeleted, "storage.asset.deleted");

/// The schemas of storage's events.
pub fn schemas() -> Vec<EventSchema> {
    vec![
        schema_of::<AssetCreated>(),
        schema_of::<AssetReady>(),
        schema_of::<AssetRejected>(),
        schema_of::<AssetDeleted>(),
    ]
}
