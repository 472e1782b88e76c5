//! What the rest of infrastructure may ask about members and projects, inside a transaction of its own.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{OrganisationId, ProjectId, UserId};
use sea_orm::{ConnectionTrait, DbErr};

use crate::store;

/// Whether this person is a member of the organisation, as this connection sees it.
///
/// # Errors
/// The database's.
pub async fn is_member<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    user: UserId,
) -> Result<bool, DbErr> {
    Ok(store::organisations::membership(c, organisation, user).await?.is_some())
}

/// Whether the organisation has closed, as this connection sees it.
///
/// # Errors
/// The database's.
pub async fn is_closed<C: ConnectionTrait>(c: &C, organisation: OrganisationId) -> Result<bool, DbErr> {
    let row = store::organisations::organisation(c, organisation).await?;
    Ok(row.is_some_and(|row| row.closed_at.is_some()))
}

/// Organisations that have closed, and when, in the order of their ids after `after`.
///
/// # Errors
/// The database's.
pub async fn closed_organisations<C: ConnectionTrait>(
    c: &C,
    after: Option<OrganisationId>,
    limit: u64,
) -> Result<Vec<(OrganisationId, Timestamp)>, DbErr> {
    store::organisations::closed(c, after, limit).await
}

/// Whether this project is the organisation's, as this connection sees it.
///
/// # Errors
/// The database's.
pub async fn has_project<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    project: ProjectId,
) -> Result<bool, DbErr> {
    Ok(store::organisations::project(c, organisation, project).await?.is_some())
}
