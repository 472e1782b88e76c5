//! All SQL about issuers and the outputs that attempts announce.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::AssetId;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use crate::entities::{issuer, output};

/// States of an issuer, as stored.
pub(crate) mod issuer_state {
    pub(crate) const OPEN: &str = "open";
    pub(crate) const FINALIZED: &str = "finalized";
    pub(crate) const DISCARDED: &str = "discarded";
}

/// Inserts unless the job has one; false where it has.
pub(crate) async fn insert_issuer(db: &impl ConnectionTrait, row: issuer::Model) -> Result<bool, DbErr> {
    let nothing = OnConflict::column(issuer::Column::JobId).do_nothing().to_owned();
    let row: issuer::ActiveModel = row.into();
    let inserted = issuer::Entity::insert(row).on_conflict(nothing).exec_without_returning(db).await?;
    Ok(inserted == 1)
}

pub(crate) async fn issuer(db: &impl ConnectionTrait, job_id: &str) -> Result<Option<issuer::Model>, DbErr> {
    issuer::Entity::find_by_id(job_id.to_owned()).one(db).await
}

/// The issuer, locked until the transaction ends, so that announcements are counted one after another.
pub(crate) async fn issuer_locked(
    db: &impl ConnectionTrait,
    job_id: &str,
) -> Result<Option<issuer::Model>, DbErr> {
    issuer::Entity::find_by_id(job_id.to_owned()).lock_exclusive().one(db).await
}

pub(crate) async fn issuer_by_capability(
    db: &impl ConnectionTrait,
    capability_hash: &str,
) -> Result<Option<issuer::Model>, DbErr> {
    issuer::Entity::find().filter(issuer::Column::CapabilityHash.eq(capability_hash)).one(db).await
}

/// From now on this capability is the job's, and no earlier one.
pub(crate) async fn renew_capability(
    db: &impl ConnectionTrait,
    job_id: &str,
    capability_hash: &str,
) -> Result<(), DbErr> {
    issuer::Entity::update_many()
        .col_expr(issuer::Column::CapabilityHash, Expr::value(capability_hash))
        .filter(issuer::Column::JobId.eq(job_id))
        .exec(db)
        .await?;
    Ok(())
}

/// Ends an open issuer; false where it has ended.
pub(crate) async fn end_issuer(
    db: &impl ConnectionTrait,
    job_id: &str,
    to: &str,
    fence: Option<&str>,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let ended = issuer::Entity::update_many()
        .set(issuer::ActiveModel {
            state: Set(to.to_owned()),
            fence: Set(fence.map(str::to_owned)),
            objects_pending: Set(true),
            ended_at: Set(Some(now)),
            ..issuer::ActiveModel::default()
        })
        .filter(issuer::Column::JobId.eq(job_id))
        .filter(issuer::Column::State.eq(issuer_state::OPEN))
        .exec(db)
        .await?;
    Ok(ended.rows_affected == 1)
}

pub(crate) async fn issuers_with_objects_pending(
    db: &impl ConnectionTrait,
    limit: u64,
) -> Result<Vec<issuer::Model>, DbErr> {
    issuer::Entity::find()
        .filter(issuer::Column::ObjectsPending.eq(true))
        .order_by_asc(issuer::Column::JobId)
        .limit(limit)
        .all(db)
        .await
}

pub(crate) async fn mark_issuer_objects_removed(
    db: &impl ConnectionTrait,
    job_id: &str,
) -> Result<(), DbErr> {
    issuer::Entity::update_many()
        .col_expr(issuer::Column::ObjectsPending, Expr::value(false))
        .filter(issuer::Column::JobId.eq(job_id))
        .exec(db)
        .await?;
    Ok(())
}

pub(crate) async fn insert_output(db: &impl ConnectionTrait, row: output::Model) -> Result<(), DbErr> {
    let row: output::ActiveModel = row.into();
    output::Entity::insert(row).exec_without_returning(db).await.map(|_| ())
}

/// Everything that a job's attempts announced, by attempt and number.
pub(crate) async fn outputs_of(db: &impl ConnectionTrait, job_id: &str) -> Result<Vec<output::Model>, DbErr> {
    output::Entity::find()
        .filter(output::Column::JobId.eq(job_id))
        .order_by_asc(output::Column::Fence)
        .order_by_asc(output::Column::N)
        .all(db)
        .await
}

pub(crate) async fn output(
    db: &impl ConnectionTrait,
    job_id: &str,
    fence: &str,
    n: i32,
) -> Result<Option<output::Model>, DbErr> {
    output::Entity::find_by_id((job_id.to_owned(), fence.to_owned(), n)).one(db).await
}

/// The job whose output has this asset id.
pub(crate) async fn job_of_asset(db: &impl ConnectionTrait, id: AssetId) -> Result<Option<String>, DbErr> {
    let found = output::Entity::find().filter(output::Column::AssetId.eq(id)).one(db).await?;
    Ok(found.map(|output| output.job_id))
}
