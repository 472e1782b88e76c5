//! What billing asks of identity: whether somebody and something belong to an organisation.

use async_trait::async_trait;
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::{OrganisationId, ProjectId, UserId};
use backlot_infrastructure_identity::belonging;

/// Knows members and projects.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Whether this person is a member of the organisation.
    ///
    /// # Errors
    /// Where it cannot be told; nothing is given then.
    async fn is_member(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        user: UserId,
    ) -> Result<bool, Problem>;

    /// Whether the organisation has closed: nobody spends in it any more.
    ///
    /// # Errors
    /// Where it cannot be told; nothing is held then.
    async fn is_closed(&self, tx: &WriteTx, organisation: OrganisationId) -> Result<bool, Problem>;

    /// Whether this project is the organisation's.
    ///
    /// # Errors
    /// Where it cannot be told; nothing is given then.
    async fn has_project(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        project: ProjectId,
    ) -> Result<bool, Problem>;
}

/// Asks identity's tables, which lie in the same database.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdentityDirectory;

#[async_trait]
impl Directory for IdentityDirectory {
    async fn is_member(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        user: UserId,
    ) -> Result<bool, Problem> {
        let found = belonging::is_member(&**tx, organisation, user).await;
        found.map_err(|error| DbError::from(error).into())
    }

    async fn is_closed(&self, tx: &WriteTx, organisation: OrganisationId) -> Result<bool, Problem> {
        let closed = belonging::is_closed(&**tx, organisation).await;
        closed.map_err(|error| DbError::from(error).into())
    }

    async fn has_project(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        project: ProjectId,
    ) -> Result<bool, Problem> {
        let found = belonging::has_project(&**tx, organisation, project).await;
        found.map_err(|error| DbError::from(error).into())
    }
}

/// Where identity is somebody else's: everybody belongs, and nothing has closed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everybody;

#[async_trait]
impl Directory for Everybody {
    async fn is_member(&self, _: &WriteTx, _: OrganisationId, _: UserId) -> Result<bool, Problem> {
        Ok(true)
    }

    async fn is_closed(&self, _: &WriteTx, _: OrganisationId) -> Result<bool, Problem> {
        Ok(false)
    }

    async fn has_project(&self, _: &WriteTx, _: OrganisationId, _: ProjectId) -> Result<bool, Problem> {
        Ok(true)
    }
}
