//! What storage tells the world: written in the transaction of the change.

use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_events::{EventMeta, outbox};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::storage::{
    AssetCreated, AssetDeleted, AssetOrigin, AssetReady, AssetRejected, MediaClass,
};

use crate::entities::asset;
use crate::media::{Class, Media};
use crate::store::{origin, state};

fn meta(row: &asset::Model, actor: &str, now: Timestamp) -> EventMeta {
    EventMeta {
        subject: row.id.to_string(),
        organisation: row.organisation_id.to_string(),
        actor: actor.to_owned(),
        time: now,
    }
}

fn origin_of(row: &asset::Model) -> AssetOrigin {
    if row.origin == origin::OUTPUT { AssetOrigin::Output } else { AssetOrigin::Upload }
}

pub(crate) async fn created(tx: &WriteTx, row: &asset::Model, now: Timestamp) -> Result<(), DbError> {
    let data = AssetCreated {
        asset_id: row.id,
        origin: origin_of(row),
        size_bytes: row.size_bytes,
        run_id: row.run_id.clone(),
    };
    outbox::publish(tx, meta(row, &row.actor_id, now), &data).await
}

/// `row` as it is after the change.
pub(crate) async fn ready(
    tx: &WriteTx,
    row: &asset::Model,
    media: Media,
    now: Timestamp,
) -> Result<(), DbError> {
    let data = AssetReady {
        asset_id: row.id,
        origin: origin_of(row),
        media_class: match media.class() {
            Class::Image => MediaClass::Image,
            Class::Video => MediaClass::Video,
            Class::Audio => MediaClass::Audio,
        },
        content_type: media.as_str().to_owned(),
        size_bytes: row.size_bytes,
        width_px: row.width_px,
        height_px: row.height_px,
        duration_ms: row.duration_ms,
        run_id: row.run_id.clone(),
        tool: row.tool.clone(),
        tool_version: row.tool_version.clone(),
    };
    outbox::publish(tx, meta(row, &row.actor_id, now), &data).await
}

pub(crate) async fn rejected(
    tx: &WriteTx,
    row: &asset::Model,
    code: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let data = AssetRejected { asset_id: row.id, code: code.to_owned(), size_bytes: row.size_bytes };
    outbox::publish(tx, meta(row, &row.actor_id, now), &data).await
}

/// `row` as it was before the change.
pub(crate) async fn deleted(
    tx: &WriteTx,
    row: &asset::Model,
    actor: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let data = AssetDeleted {
        asset_id: row.id,
        origin: origin_of(row),
        size_bytes: row.size_bytes,
        upload_canceled: row.state == state::UPLOADING,
        run_id: row.run_id.clone(),
    };
    outbox::publish(tx, meta(row, actor, now), &data).await
}
