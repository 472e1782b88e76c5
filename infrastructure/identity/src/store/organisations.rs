//! Organisations, projects, memberships and invitations.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{InvitationId, OrganisationId, ProjectId, UserId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::entities::{invitation, membership, organisation, project};

pub(crate) async fn insert_organisation<C: ConnectionTrait>(
    c: &C,
    row: organisation::Model,
) -> Result<(), DbErr> {
    let row: organisation::ActiveModel = row.into();
    organisation::Entity::insert(row).exec_without_returning(c).await?;
    Ok(())
}

pub(crate) async fn organisation<C: ConnectionTrait>(
    c: &C,
    id: OrganisationId,
) -> Result<Option<organisation::Model>, DbErr> {
    organisation::Entity::find_by_id(id).one(c).await
}

pub(crate) async fn organisations<C: ConnectionTrait>(
    c: &C,
    ids: Vec<OrganisationId>,
) -> Result<Vec<organisation::Model>, DbErr> {
    organisation::Entity::find().filter(organisation::Column::Id.is_in(ids)).all(c).await
}

/// Raises the organisation's version of authority. It also locks the row until the transaction ends, so
/// that rules over several memberships hold against changes at the same time. False: no such organisation.
pub(crate) async fn raise_authority_version<C: ConnectionTrait>(
    c: &C,
    id: OrganisationId,
) -> Result<bool, DbErr> {
    let version = organisation::Column::AuthorityVersion;
    let raised = organisation::Entity::update_many()
        .col_expr(version, Expr::col(version).add(1_i64))
        .filter(organisation::Column::Id.eq(id))
        .filter(organisation::Column::ClosedAt.is_null())
        .exec(c)
        .await?;
    Ok(raised.rows_affected > 0)
}

/// Organisations that have closed, in the order of their ids after `after`.
pub(crate) async fn closed<C: ConnectionTrait>(
    c: &C,
    after: Option<OrganisationId>,
    limit: u64,
) -> Result<Vec<(OrganisationId, Timestamp)>, DbErr> {
    let mut closed = organisation::Entity::find().filter(organisation::Column::ClosedAt.is_not_null());
    if let Some(after) = after {
        closed = closed.filter(organisation::Column::Id.gt(after));
    }
    let rows = closed.order_by(organisation::Column::Id, Order::Asc).limit(limit).all(c).await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.id, row.closed_at?))).collect())
}

pub(crate) async fn close_organisation<C: ConnectionTrait>(
    c: &C,
    id: OrganisationId,
    at: Timestamp,
) -> Result<(), DbErr> {
    organisation::Entity::update_many()
        .col_expr(organisation::Column::ClosedAt, Expr::value(at))
        .col_expr(organisation::Column::Name, Expr::value("closed"))
        .filter(organisation::Column::Id.eq(id))
        .exec(c)
        .await?;
    Ok(())
}

pub(crate) async fn insert_project<C: ConnectionTrait>(c: &C, row: project::Model) -> Result<(), DbErr> {
    let row: project::ActiveModel = row.into();
    project::Entity::insert(row).exec_without_returning(c).await?;
    Ok(())
}

/// Oldest first, so that the default project leads.
pub(crate) async fn projects<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    limit: u64,
) -> Result<Vec<project::Model>, DbErr> {
    project::Entity::find()
        .filter(project::Column::OrganisationId.eq(organisation))
        .order_by(project::Column::Id, Order::Asc)
        .limit(limit)
        .all(c)
        .await
}

pub(crate) async fn count_projects<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
) -> Result<u64, DbErr> {
    project::Entity::find().filter(project::Column::OrganisationId.eq(organisation)).count(c).await
}

pub(crate) async fn project<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    id: ProjectId,
) -> Result<Option<project::Model>, DbErr> {
    project::Entity::find_by_id(id).filter(project::Column::OrganisationId.eq(organisation)).one(c).await
}

pub(crate) async fn insert_membership<C: ConnectionTrait>(
    c: &C,
    row: membership::Model,
) -> Result<(), DbErr> {
    let row: membership::ActiveModel = row.into();
    membership::Entity::insert(row).exec_without_returning(c).await?;
    Ok(())
}

pub(crate) async fn membership<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    user: UserId,
) -> Result<Option<membership::Model>, DbErr> {
    membership::Entity::find_by_id((organisation, user)).one(c).await
}

/// Where a person belongs, first joined first.
pub(crate) async fn memberships_of_user<C: ConnectionTrait>(
    c: &C,
    user: UserId,
) -> Result<Vec<membership::Model>, DbErr> {
    membership::Entity::find()
        .filter(membership::Column::UserId.eq(user))
        .order_by(membership::Column::CreatedAt, Order::Asc)
        .order_by(membership::Column::OrganisationId, Order::Asc)
        .all(c)
        .await
}

pub(crate) async fn members<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<membership::Model>, DbErr> {
    let mut query = membership::Entity::find().filter(membership::Column::OrganisationId.eq(organisation));
    if let Some(after) = after {
        query = query.filter(membership::Column::UserId.gt(after));
    }
    query.order_by(membership::Column::UserId, Order::Asc).limit(limit).all(c).await
}

pub(crate) async fn count_members<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    role: Option<&str>,
) -> Result<u64, DbErr> {
    let mut query = membership::Entity::find().filter(membership::Column::OrganisationId.eq(organisation));
    if let Some(role) = role {
        query = query.filter(membership::Column::Role.eq(role));
    }
    query.count(c).await
}

pub(crate) async fn set_role<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    user: UserId,
    role: &str,
) -> Result<(), DbErr> {
    membership::Entity::update_many()
        .col_expr(membership::Column::Role, Expr::value(role))
        .filter(membership::Column::OrganisationId.eq(organisation))
        .filter(membership::Column::UserId.eq(user))
        .exec(c)
        .await?;
    Ok(())
}

pub(crate) async fn remove_membership<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    user: UserId,
) -> Result<(), DbErr> {
    membership::Entity::delete_by_id((organisation, user)).exec(c).await?;
    Ok(())
}

pub(crate) async fn insert_invitation<C: ConnectionTrait>(
    c: &C,
    row: invitation::Model,
) -> Result<(), DbErr> {
    let row: invitation::ActiveModel = row.into();
    invitation::Entity::insert(row).exec_without_returning(c).await?;
    Ok(())
}

pub(crate) async fn invitation_by_hash<C: ConnectionTrait>(
    c: &C,
    token_sha256: &str,
) -> Result<Option<invitation::Model>, DbErr> {
    invitation::Entity::find().filter(invitation::Column::TokenSha256.eq(token_sha256)).one(c).await
}

fn open_at(now: Timestamp) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(invitation::Column::AcceptedAt.is_null())
        .add(invitation::Column::RevokedAt.is_null())
        .add(invitation::Column::ExpiresAt.gt(now))
}

/// Invitations that somebody could still accept, newest first.
pub(crate) async fn open_invitations<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    now: Timestamp,
) -> Result<Vec<invitation::Model>, DbErr> {
    invitation::Entity::find()
        .filter(invitation::Column::OrganisationId.eq(organisation))
        .filter(open_at(now))
        .order_by(invitation::Column::Id, Order::Desc)
        .all(c)
        .await
}

pub(crate) async fn count_open_invitations<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    now: Timestamp,
) -> Result<u64, DbErr> {
    invitation::Entity::find()
        .filter(invitation::Column::OrganisationId.eq(organisation))
        .filter(open_at(now))
        .count(c)
        .await
}

/// Whether an invitation that is still open names this e-mail, anywhere.
pub(crate) async fn is_invited<C: ConnectionTrait>(
    c: &C,
    email_normalised: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let count = invitation::Entity::find()
        .filter(invitation::Column::EmailNormalised.eq(email_normalised))
        .filter(open_at(now))
        .count(c)
        .await?;
    Ok(count > 0)
}

/// Uses an invitation up; false where somebody did, or took it back, before.
pub(crate) async fn accept_invitation<C: ConnectionTrait>(
    c: &C,
    id: InvitationId,
    by: UserId,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let accepted = invitation::Entity::update_many()
        .col_expr(invitation::Column::AcceptedAt, Expr::value(now))
        .col_expr(invitation::Column::AcceptedBy, Expr::value(by))
        .filter(invitation::Column::Id.eq(id))
        .filter(open_at(now))
        .exec(c)
        .await?;
    Ok(accepted.rows_affected > 0)
}

/// Takes an invitation back; false where there is none that is open.
pub(crate) async fn revoke_invitation<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    id: InvitationId,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let revoked = invitation::Entity::update_many()
        .col_expr(invitation::Column::RevokedAt, Expr::value(now))
        .filter(invitation::Column::OrganisationId.eq(organisation))
        .filter(invitation::Column::Id.eq(id))
        .filter(open_at(now))
        .exec(c)
        .await?;
    Ok(revoked.rows_affected > 0)
}

/// Takes back, and forgets the e-mail of, every invitation that names it.
pub(crate) async fn erase_invitations_of<C: ConnectionTrait>(
    c: &C,
    email_normalised: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    invitation::Entity::update_many()
        .col_expr(invitation::Column::RevokedAt, Expr::value(now))
        .filter(invitation::Column::EmailNormalised.eq(email_normalised))
        .filter(open_at(now))
        .exec(c)
        .await?;
    invitation::Entity::update_many()
        .col_expr(invitation::Column::EmailNormalised, Expr::value(Option::<String>::None))
        .filter(invitation::Column::EmailNormalised.eq(email_normalised))
        .exec(c)
        .await?;
    Ok(())
}
