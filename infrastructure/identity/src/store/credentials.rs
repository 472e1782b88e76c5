//! API keys.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{ApiKeyId, OrganisationId, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::entities::api_key;

pub(crate) async fn insert<C: ConnectionTrait>(c: &C, row: api_key::Model) -> Result<(), DbErr> {
    let row: api_key::ActiveModel = row.into();
    api_key::Entity::insert(row).exec_without_returning(c).await?;
    Ok(())
}

pub(crate) async fn by_hash<C: ConnectionTrait>(
    c: &C,
    key_sha256: &str,
) -> Result<Option<api_key::Model>, DbErr> {
    api_key::Entity::find().filter(api_key::Column::KeySha256.eq(key_sha256)).one(c).await
}

pub(crate) async fn by_id<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    id: ApiKeyId,
) -> Result<Option<api_key::Model>, DbErr> {
    api_key::Entity::find_by_id(id).filter(api_key::Column::OrganisationId.eq(organisation)).one(c).await
}

/// Keys that were not taken back, newest first. `user` limits them to one person's.
pub(crate) async fn list<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    user: Option<UserId>,
    limit: u64,
) -> Result<Vec<api_key::Model>, DbErr> {
    let mut query = api_key::Entity::find()
        .filter(api_key::Column::OrganisationId.eq(organisation))
        .filter(api_key::Column::RevokedAt.is_null());
    if let Some(user) = user {
        query = query.filter(api_key::Column::UserId.eq(user));
    }
    query.order_by(api_key::Column::Id, Order::Desc).limit(limit).all(c).await
}

/// A person's keys in every organisation, or in one, that were not taken back.
pub(crate) async fn of_user<C: ConnectionTrait>(
    c: &C,
    user: UserId,
    organisation: Option<OrganisationId>,
) -> Result<Vec<api_key::Model>, DbErr> {
    let mut query = api_key::Entity::find()
        .filter(api_key::Column::UserId.eq(user))
        .filter(api_key::Column::RevokedAt.is_null());
    if let Some(organisation) = organisation {
        query = query.filter(api_key::Column::OrganisationId.eq(organisation));
    }
    query.order_by(api_key::Column::Id, Order::Asc).all(c).await
}

pub(crate) async fn count<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    user: UserId,
) -> Result<u64, DbErr> {
    api_key::Entity::find()
        .filter(api_key::Column::OrganisationId.eq(organisation))
        .filter(api_key::Column::UserId.eq(user))
        .filter(api_key::Column::RevokedAt.is_null())
        .count(c)
        .await
}

/// Takes a key back; false where it had been before.
pub(crate) async fn revoke<C: ConnectionTrait>(c: &C, id: ApiKeyId, now: Timestamp) -> Result<bool, DbErr> {
    let revoked = api_key::Entity::update_many()
        .col_expr(api_key::Column::RevokedAt, Expr::value(now))
        .filter(api_key::Column::Id.eq(id))
        .filter(api_key::Column::RevokedAt.is_null())
        .exec(c)
        .await?;
    Ok(revoked.rows_affected > 0)
}

pub(crate) async fn touch<C: ConnectionTrait>(c: &C, id: ApiKeyId, now: Timestamp) -> Result<(), DbErr> {
    api_key::Entity::update_many()
        .col_expr(api_key::Column::LastUsedAt, Expr::value(now))
        .filter(api_key::Column::Id.eq(id))
        .exec(c)
        .await?;
    Ok(())
}
