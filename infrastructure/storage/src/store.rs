//! All SQL about assets, what they were made from, and the space they use.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};

use crate::closed;
use crate::entities::{asset, asset_input, usage};
use crate::ingest::Verified;

/// States of an asset, as stored.
pub(crate) mod state {
    pub(crate) const UPLOADING: &str = "uploading";
    pub(crate) const READY: &str = "ready";
    pub(crate) const REJECTED: &str = "rejected";
    pub(crate) const DELETED: &str = "deleted";
}

/// Where an asset came from, as stored.
pub(crate) mod origin {
    pub(crate) const UPLOAD: &str = "upload";
    pub(crate) const OUTPUT: &str = "output";
}

pub(crate) async fn insert_asset(db: &impl ConnectionTrait, row: asset::Model) -> Result<(), DbErr> {
    closed::asset_added(db, row.organisation_id).await?;
    let row: asset::ActiveModel = row.into();
    asset::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Assets and uploads of an organisation that are not deleted or rejected, by id, after `after`.
pub(crate) async fn live_assets(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
    after: Option<AssetId>,
    limit: u64,
) -> Result<Vec<AssetId>, DbErr> {
    let mut live = asset::Entity::find()
        .filter(asset::Column::OrganisationId.eq(organisation))
        .filter(asset::Column::State.is_in([state::UPLOADING, state::READY]));
    if let Some(after) = after {
        live = live.filter(asset::Column::Id.gt(after));
    }
    let rows = live.order_by_asc(asset::Column::Id).limit(limit).all(db).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The asset, whoever's it is.
pub(crate) async fn asset(db: &impl ConnectionTrait, id: AssetId) -> Result<Option<asset::Model>, DbErr> {
    asset::Entity::find_by_id(id).one(db).await
}

/// The asset, where it is this organisation's.
pub(crate) async fn asset_of(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
    id: AssetId,
) -> Result<Option<asset::Model>, DbErr> {
    asset::Entity::find_by_id(id).filter(asset::Column::OrganisationId.eq(organisation)).one(db).await
}

/// Newest first, those deleted left out.
pub(crate) async fn assets_of(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
    before: Option<AssetId>,
    project: Option<&str>,
    limit: u64,
) -> Result<Vec<asset::Model>, DbErr> {
    let mut query = asset::Entity::find()
        .filter(asset::Column::OrganisationId.eq(organisation))
        .filter(asset::Column::State.is_in([state::UPLOADING, state::READY]));
    if let Some(before) = before {
        query = query.filter(asset::Column::Id.lt(before));
    }
    if let Some(project) = project {
        query = query.filter(asset::Column::ProjectId.eq(project));
    }
    query.order_by_desc(asset::Column::Id).limit(limit).all(db).await
}

/// These assets of one organisation; those that are not its own are missing.
pub(crate) async fn assets_among(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
    ids: &[AssetId],
) -> Result<Vec<asset::Model>, DbErr> {
    asset::Entity::find()
        .filter(asset::Column::OrganisationId.eq(organisation))
        .filter(asset::Column::Id.is_in(ids.iter().copied()))
        .all(db)
        .await
}

/// Takes the right to work on an upload; false where it has ended or somebody else holds it.
pub(crate) async fn take_lease(
    db: &impl ConnectionTrait,
    id: AssetId,
    token: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, DbErr> {
    let free = Condition::any()
        .add(asset::Column::LeaseUntil.is_null())
        .add(asset::Column::LeaseUntil.lte(now))
        .add(asset::Column::LeaseToken.eq(token));
    let taken = asset::Entity::update_many()
        .col_expr(asset::Column::LeaseToken, Expr::value(token))
        .col_expr(asset::Column::LeaseUntil, Expr::value(until))
        .filter(asset::Column::Id.eq(id))
        .filter(asset::Column::State.eq(state::UPLOADING))
        .filter(free)
        .exec(db)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Gives the right back, where it is still held.
pub(crate) async fn release_lease(db: &impl ConnectionTrait, id: AssetId, token: &str) -> Result<(), DbErr> {
    asset::Entity::update_many()
        .col_expr(asset::Column::LeaseToken, Expr::value(Option::<String>::None))
        .col_expr(asset::Column::LeaseUntil, Expr::value(Option::<Timestamp>::None))
        .filter(asset::Column::Id.eq(id))
        .filter(asset::Column::LeaseToken.eq(token))
        .exec(db)
        .await?;
    Ok(())
}

/// Frees all leases: for a database of one process, which has just started and so holds none.
pub(crate) async fn free_leases(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    asset::Entity::update_many()
        .col_expr(asset::Column::LeaseToken, Expr::value(Option::<String>::None))
        .col_expr(asset::Column::LeaseUntil, Expr::value(Option::<Timestamp>::None))
        .filter(asset::Column::LeaseToken.is_not_null())
        .exec(db)
        .await?;
    Ok(())
}

/// How an upload ends. Only the holder of its lease can end it so; false where it no longer is.
pub(crate) async fn mark_ready(
    db: &impl ConnectionTrait,
    id: AssetId,
    lease: &str,
    verified: &Verified,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let marked = asset::Entity::update_many()
        .set(asset::ActiveModel {
            state: Set(state::READY.to_owned()),
            content_type: Set(verified.media.as_str().to_owned()),
            sha256: Set(Some(verified.sha256.clone())),
            width_px: Set(verified.width_px),
            height_px: Set(verified.height_px),
            duration_ms: Set(verified.duration_ms),
            preview_type: Set(verified.preview_type.clone()),
            objects_pending: Set(true),
            lease_token: Set(None),
            lease_until: Set(None),
            ended_at: Set(Some(now)),
            ..asset::ActiveModel::default()
        })
        .filter(asset::Column::Id.eq(id))
        .filter(asset::Column::State.eq(state::UPLOADING))
        .filter(asset::Column::LeaseToken.eq(lease))
        .exec(db)
        .await?;
    Ok(marked.rows_affected == 1)
}

/// Ends an asset as rejected or deleted, where it is still in state `from`; false where it is not.
/// Its objects are to be removed.
pub(crate) async fn mark_ended(
    db: &impl ConnectionTrait,
    id: AssetId,
    from: &str,
    to: &str,
    rejection: Option<(&str, &str)>,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let marked = asset::Entity::update_many()
        .set(asset::ActiveModel {
            state: Set(to.to_owned()),
            rejected_code: Set(rejection.map(|(code, _)| code.to_owned())),
            rejected_detail: Set(rejection.map(|(_, detail)| detail.to_owned())),
            objects_pending: Set(true),
            lease_token: Set(None),
            lease_until: Set(None),
            ended_at: Set(Some(now)),
            ..asset::ActiveModel::default()
        })
        .filter(asset::Column::Id.eq(id))
        .filter(asset::Column::State.eq(from))
        .exec(db)
        .await?;
    Ok(marked.rows_affected == 1)
}

/// Objects that the row's state no longer wants are gone.
pub(crate) async fn mark_objects_removed(db: &impl ConnectionTrait, id: AssetId) -> Result<(), DbErr> {
    asset::Entity::update_many()
        .col_expr(asset::Column::ObjectsPending, Expr::value(false))
        .filter(asset::Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}

/// Rows whose objects are still to be removed.
pub(crate) async fn with_objects_pending(
    db: &impl ConnectionTrait,
    limit: u64,
) -> Result<Vec<asset::Model>, DbErr> {
    asset::Entity::find()
        .filter(asset::Column::ObjectsPending.eq(true))
        .order_by_asc(asset::Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Uploads of an organisation that are in progress.
pub(crate) async fn open_uploads(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<u64, DbErr> {
    asset::Entity::find()
        .filter(asset::Column::OrganisationId.eq(organisation))
        .filter(asset::Column::State.eq(state::UPLOADING))
        .count(db)
        .await
}

/// Uploads whose time is over and that nobody works on.
pub(crate) async fn expired_uploads(
    db: &impl ConnectionTrait,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<asset::Model>, DbErr> {
    asset::Entity::find()
        .filter(asset::Column::State.eq(state::UPLOADING))
        .filter(asset::Column::UploadExpiresAt.lte(now))
        .filter(
            Condition::any().add(asset::Column::LeaseUntil.is_null()).add(asset::Column::LeaseUntil.lte(now)),
        )
        .limit(limit)
        .all(db)
        .await
}

// What an asset was made from.

pub(crate) async fn insert_inputs(
    db: &impl ConnectionTrait,
    id: AssetId,
    inputs: &[AssetId],
) -> Result<(), DbErr> {
    let rows = inputs.iter().zip(0..).map(|(input, position)| asset_input::ActiveModel {
        asset_id: Set(id),
        position: Set(position),
        input_asset_id: Set(*input),
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        asset_input::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// What these assets were made from, in order.
pub(crate) async fn inputs_of(
    db: &impl ConnectionTrait,
    ids: &[AssetId],
) -> Result<Vec<(AssetId, AssetId)>, DbErr> {
    let rows = asset_input::Entity::find()
        .filter(asset_input::Column::AssetId.is_in(ids.iter().copied()))
        .order_by_asc(asset_input::Column::AssetId)
        .order_by_asc(asset_input::Column::Position)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.asset_id, row.input_asset_id)).collect())
}

/// What was made from these assets.
pub(crate) async fn made_from(
    db: &impl ConnectionTrait,
    ids: &[AssetId],
    limit: u64,
) -> Result<Vec<(AssetId, AssetId)>, DbErr> {
    let rows = asset_input::Entity::find()
        .filter(asset_input::Column::InputAssetId.is_in(ids.iter().copied()))
        .order_by_asc(asset_input::Column::AssetId)
        .limit(limit)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.asset_id, row.input_asset_id)).collect())
}

// Space.

pub(crate) async fn usage_of(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Option<usage::Model>, DbErr> {
    usage::Entity::find_by_id(organisation).one(db).await
}

/// Reserves space where there is enough; false where there is not. The row is locked by its update, so
/// that two uploads cannot both take what is left.
pub(crate) async fn reserve(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
    bytes: i64,
    default_quota_bytes: i64,
) -> Result<bool, DbErr> {
    ensure_usage(db, organisation).await?;
    let taken = Expr::col(usage::Column::UsedBytes).add(Expr::col(usage::Column::ReservedBytes)).add(bytes);
    let quota = Expr::col(usage::Column::QuotaBytes).if_null(default_quota_bytes);
    let reserved = usage::Entity::update_many()
        .col_expr(usage::Column::ReservedBytes, Expr::col(usage::Column::ReservedBytes).add(bytes))
        .filter(usage::Column::OrganisationId.eq(organisation))
        .filter(taken.lte(quota))
        .exec(db)
        .await?;
    Ok(reserved.rows_affected == 1)
}

/// Moves space: an upload that became ready is (+, −), one that ended is (0, −), a deletion is (−, 0).
pub(crate) async fn account(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
    used_bytes: i64,
    reserved_bytes: i64,
) -> Result<(), DbErr> {
    ensure_usage(db, organisation).await?;
    usage::Entity::update_many()
        .col_expr(usage::Column::UsedBytes, Expr::col(usage::Column::UsedBytes).add(used_bytes))
        .col_expr(usage::Column::ReservedBytes, Expr::col(usage::Column::ReservedBytes).add(reserved_bytes))
        .filter(usage::Column::OrganisationId.eq(organisation))
        .exec(db)
        .await?;
    Ok(())
}

/// Sets what an organisation may use; `None`: the default.
pub(crate) async fn set_quota(
    db: &impl ConnectionTrait,
    organisation: OrganisationId,
    quota_bytes: Option<i64>,
) -> Result<(), DbErr> {
    ensure_usage(db, organisation).await?;
    usage::Entity::update_many()
        .col_expr(usage::Column::QuotaBytes, Expr::value(quota_bytes))
        .filter(usage::Column::OrganisationId.eq(organisation))
        .exec(db)
        .await?;
    Ok(())
}

async fn ensure_usage(db: &impl ConnectionTrait, organisation: OrganisationId) -> Result<(), DbErr> {
    let row = usage::ActiveModel {
        organisation_id: Set(organisation),
        used_bytes: Set(0),
        reserved_bytes: Set(0),
        quota_bytes: Set(None),
    };
    let nothing = OnConflict::column(usage::Column::OrganisationId).do_nothing().to_owned();
    usage::Entity::insert(row).on_conflict(nothing).exec_without_returning(db).await.map(|_| ())
}

/// Objects may have been put for a row that has ended: they are to be removed.
pub(crate) async fn mark_objects_left(db: &impl ConnectionTrait, id: AssetId) -> Result<(), DbErr> {
    asset::Entity::update_many()
        .col_expr(asset::Column::ObjectsPending, Expr::value(true))
        .filter(asset::Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}
