//! Accounts and their sessions.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{OrganisationId, SessionId, UserId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect, SqlErr, TryInsertResult,
};

use crate::entities::{install, session, user};

/// Names the only row of the install table.
const INSTALL_ROW: i32 = 1;

/// Inserts an account; false where its e-mail is taken.
pub(crate) async fn insert_user<C: ConnectionTrait>(c: &C, row: user::Model) -> Result<bool, DbErr> {
    let row: user::ActiveModel = row.into();
    match user::Entity::insert(row).exec_without_returning(c).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether this account is the first of the install. Of two at once, one waits and learns that it is not.
pub(crate) async fn claim_first<C: ConnectionTrait>(
    c: &C,
    user: UserId,
    at: Timestamp,
) -> Result<bool, DbErr> {
    let row = install::ActiveModel { id: Set(INSTALL_ROW), first_user_id: Set(user), created_at: Set(at) };
    let inserted = install::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(c).await?;
    Ok(matches!(inserted, TryInsertResult::Inserted(count) if count > 0))
}

pub(crate) async fn user<C: ConnectionTrait>(c: &C, id: UserId) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(id).one(c).await
}

pub(crate) async fn user_by_email<C: ConnectionTrait>(
    c: &C,
    email_normalised: &str,
) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find().filter(user::Column::EmailNormalised.eq(email_normalised)).one(c).await
}

pub(crate) async fn users<C: ConnectionTrait>(c: &C, ids: Vec<UserId>) -> Result<Vec<user::Model>, DbErr> {
    user::Entity::find().filter(user::Column::Id.is_in(ids)).all(c).await
}

pub(crate) async fn set_password<C: ConnectionTrait>(c: &C, id: UserId, hash: &str) -> Result<(), DbErr> {
    user::Entity::update_many()
        .col_expr(user::Column::PasswordHash, Expr::value(hash))
        .filter(user::Column::Id.eq(id))
        .exec(c)
        .await?;
    Ok(())
}

pub(crate) async fn set_state<C: ConnectionTrait>(
    c: &C,
    id: UserId,
    state: &str,
    is_staff: bool,
) -> Result<(), DbErr> {
    user::Entity::update_many()
        .col_expr(user::Column::State, Expr::value(state))
        .col_expr(user::Column::IsStaff, Expr::value(is_staff))
        .filter(user::Column::Id.eq(id))
        .exec(c)
        .await?;
    Ok(())
}

/// Removes everything by which a person can be known. The id stays in what the account did.
pub(crate) async fn erase_user<C: ConnectionTrait>(c: &C, id: UserId, at: Timestamp) -> Result<(), DbErr> {
    let nothing = || Expr::value(Option::<String>::None);
    user::Entity::update_many()
        .col_expr(user::Column::Email, nothing())
        .col_expr(user::Column::EmailNormalised, nothing())
        .col_expr(user::Column::Name, nothing())
        .col_expr(user::Column::PasswordHash, nothing())
        .col_expr(user::Column::State, Expr::value("deleted"))
        .col_expr(user::Column::IsStaff, Expr::value(false))
        .col_expr(user::Column::DeletedAt, Expr::value(at))
        .filter(user::Column::Id.eq(id))
        .exec(c)
        .await?;
    Ok(())
}

pub(crate) async fn insert_session<C: ConnectionTrait>(c: &C, row: session::Model) -> Result<(), DbErr> {
    let row: session::ActiveModel = row.into();
    session::Entity::insert(row).exec_without_returning(c).await?;
    Ok(())
}

pub(crate) async fn session_by_hash<C: ConnectionTrait>(
    c: &C,
    token_sha256: &str,
) -> Result<Option<session::Model>, DbErr> {
    session::Entity::find().filter(session::Column::TokenSha256.eq(token_sha256)).one(c).await
}

pub(crate) async fn session<C: ConnectionTrait>(
    c: &C,
    id: SessionId,
) -> Result<Option<session::Model>, DbErr> {
    session::Entity::find_by_id(id).one(c).await
}

/// Sessions of a person that have neither ended nor expired, newest first.
pub(crate) async fn live_sessions<C: ConnectionTrait>(
    c: &C,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<session::Model>, DbErr> {
    session::Entity::find()
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::EndedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now))
        .order_by(session::Column::Id, Order::Desc)
        .all(c)
        .await
}

pub(crate) async fn touch_session<C: ConnectionTrait>(
    c: &C,
    id: SessionId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbErr> {
    session::Entity::update_many()
        .col_expr(session::Column::LastSeenAt, Expr::value(now))
        .col_expr(session::Column::ExpiresAt, Expr::value(expires_at))
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::EndedAt.is_null())
        .exec(c)
        .await?;
    Ok(())
}

pub(crate) async fn point_session<C: ConnectionTrait>(
    c: &C,
    id: SessionId,
    organisation: Option<OrganisationId>,
) -> Result<(), DbErr> {
    session::Entity::update_many()
        .col_expr(session::Column::OrganisationId, Expr::value(organisation))
        .filter(session::Column::Id.eq(id))
        .exec(c)
        .await?;
    Ok(())
}

/// Ends a session; false where it had ended before.
pub(crate) async fn end_session<C: ConnectionTrait>(
    c: &C,
    id: SessionId,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let ended = session::Entity::update_many()
        .col_expr(session::Column::EndedAt, Expr::value(now))
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::EndedAt.is_null())
        .exec(c)
        .await?;
    Ok(ended.rows_affected > 0)
}

/// Removes sessions that nobody could use any more before `before`; returns how many.
pub(crate) async fn remove_old_sessions<C: ConnectionTrait>(
    c: &C,
    before: Timestamp,
    limit: u64,
) -> Result<u64, DbErr> {
    let ids: Vec<SessionId> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::ExpiresAt.lt(before).or(session::Column::EndedAt.lt(before)))
        .limit(limit)
        .into_tuple()
        .all(c)
        .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let removed = session::Entity::delete_many().filter(session::Column::Id.is_in(ids)).exec(c).await?;
    Ok(removed.rows_affected)
}
