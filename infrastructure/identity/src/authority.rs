//! What identity asks of, and tells to, the rest of infrastructure, inside its own transactions.
//!
//! Identity knows people and places; it knows neither credits nor mandates. Billing implements both
//! traits: a new organisation gets its root mandate and the free plan's credits in the transaction that
//! makes it, and nobody invites or promotes without the authority to.

use async_trait::async_trait;
use backlot_foundation_db::WriteTx;
use backlot_foundation_errors::Problem;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{OrganisationId, ProjectId, UserId};

use crate::roles::Role;

/// Actions that identity asks about.
pub mod actions {
    /// Invite somebody into the organisation.
    pub const MEMBERS_INVITE: &str = "members.invite";
    /// Change somebody's role.
    pub const MEMBERS_EDIT: &str = "members.edit";
    /// Remove somebody.
    pub const MEMBERS_REMOVE: &str = "members.remove";
    /// Begin a project.
    pub const PROJECTS_CREATE: &str = "projects.create";

    /// All of the above.
    pub const ALL: &[&str] = &[MEMBERS_INVITE, MEMBERS_EDIT, MEMBERS_REMOVE, PROJECTS_CREATE];
}

/// Somebody's place in an organisation changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MembershipChange {
    /// Where.
    pub organisation: OrganisationId,
    /// Whose place.
    pub user: UserId,
    /// Before; none: was no member.
    pub previous: Option<Role>,
    /// From now on; none: is no member.
    pub role: Option<Role>,
    /// Who changed it: the inviter for an accepted invitation, the person for leaving.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
}

/// Hears of organisations in the transaction that makes or changes them. An error undoes everything.
#[async_trait]
pub trait OrganisationObserver: Send + Sync + 'static {
    /// A new organisation with its owner.
    ///
    /// # Errors
    /// Any problem; the sign-up fails with it and leaves no trace.
    async fn created(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        owner: UserId,
        at: Timestamp,
    ) -> Result<(), Problem>;

    /// Somebody joined, left, or changed place. By default nothing follows from it.
    ///
    /// # Errors
    /// Any problem; the change fails with it and leaves no trace.
    async fn membership_changed(&self, tx: &WriteTx, change: &MembershipChange) -> Result<(), Problem> {
        let _ = (tx, change);
        Ok(())
    }

    /// The organisation closed with its only member's account: nobody can act in it any more. It takes the
    /// place of that member's `membership_changed`. By default nothing follows from it.
    ///
    /// # Errors
    /// Any problem; the deletion fails with it and leaves no trace.
    async fn closed(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        owner: UserId,
        at: Timestamp,
    ) -> Result<(), Problem> {
        let _ = (tx, organisation, owner, at);
        Ok(())
    }
}

/// "May this actor do this?"
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorityQuestion<'a> {
    /// Where.
    pub organisation: OrganisationId,
    /// Who wants to.
    pub actor: UserId,
    /// The actor's role there.
    pub role: Role,
    /// One of [`actions`].
    pub action: &'a str,
    /// In which project; none: in the organisation itself.
    pub project: Option<ProjectId>,
    /// When.
    pub at: Timestamp,
}

/// Answers the question from mandates. Identity asks it after its own rule about roles has agreed.
#[async_trait]
pub trait AuthorityCheck: Send + Sync + 'static {
    /// Agrees, or refuses with a problem.
    ///
    /// # Errors
    /// The refusal, as it is shown to the actor.
    async fn check(&self, tx: &WriteTx, question: &AuthorityQuestion<'_>) -> Result<(), Problem>;
}

/// Where there are no mandates: roles alone decide, and nothing follows from a new organisation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RolesAlone;

#[async_trait]
impl OrganisationObserver for RolesAlone {
    async fn created(&self, _: &WriteTx, _: OrganisationId, _: UserId, _: Timestamp) -> Result<(), Problem> {
        Ok(())
    }
}

#[async_trait]
impl AuthorityCheck for RolesAlone {
    async fn check(&self, _: &WriteTx, _: &AuthorityQuestion<'_>) -> Result<(), Problem> {
        Ok(())
    }
}
