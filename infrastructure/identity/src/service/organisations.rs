//! Projects, members and the audit log of an organisation.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::identity::{MemberRole, MembershipChanged};
use backlot_infrastructure_api::{OrganisationId, ProjectId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Actor, Change, Service, checked_name, stored_role};
use crate::authority::{AuthorityQuestion, MembershipChange, actions};
use crate::entities::{audit, project};
use crate::error::Error;
use crate::roles::Role;
use crate::store;
use crate::store::audit::Wanted;

/// Projects of one organisation.
const PROJECTS_MAX: u64 = 1_000;

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// When it was begun.
    pub created_at: Timestamp,
}

impl From<project::Model> for Project {
    fn from(row: project::Model) -> Self {
        Self { id: row.id, name: row.name, created_at: row.created_at }
    }
}

/// A member as the other members see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// How they are called.
    pub name: String,
    /// Their address.
    pub email: String,
    /// Their place.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

/// One change that was made.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditRow {
    /// Its id; the rows are ordered by it.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who: a user id, or `service:NAME`.
    pub actor: String,
    /// What, for example `api_key.revoked`.
    pub action: String,
    /// Which thing.
    pub subject: String,
    /// More facts.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

impl From<audit::Model> for AuditRow {
    fn from(row: audit::Model) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            detail: serde_json::from_str(&row.detail).unwrap_or(serde_json::Value::Null),
        }
    }
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
            Role::Viewer => Self::Viewer,
        }
    }
}

impl Service {
    /// Locks the organisation until the transaction ends and raises its version of authority; answers the
    /// actor's role in it.
    pub(super) async fn lock_for_change(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        actor: UserId,
    ) -> Result<Role, Error> {
        if !store::organisations::raise_authority_version(&**tx, organisation).await? {
            return Err(Error::NotFound("organisation"));
        }
        self.role(tx, organisation, actor).await
    }

    pub(super) async fn require_authority(
        &self,
        change: &Change<'_>,
        organisation: OrganisationId,
        actor: UserId,
        role: Role,
        action: &str,
    ) -> Result<(), Error> {
        let question = AuthorityQuestion { organisation, actor, role, action, project: None, at: change.at };
        Ok(self.inner.deps.authority.check(change.tx, &question).await?)
    }

    /// Begins a project.
    ///
    /// # Errors
    /// Where the actor's role is too weak, the name breaks the rule, or there are too many.
    pub async fn create_project(&self, actor: &Actor, name: &str) -> Result<Project, Error> {
        let organisation = actor.organisation()?;
        let name = checked_name("/name", name)?;
        let (id, now) = (ProjectId::generate(), self.now());
        let tx = self.db().begin_write().await?;
        let role = self.lock_for_change(&tx, organisation, actor.user).await?;
        if !role.creates_projects() {
            return Err(Error::NotHeld("Only owners and admins begin projects. Ask one of them."));
        }
        let change = Change::new(&tx, actor.user, Some(organisation), now);
        self.require_authority(&change, organisation, actor.user, role, actions::PROJECTS_CREATE).await?;
        if store::organisations::count_projects(&*tx, organisation).await? >= PROJECTS_MAX {
            return Err(Error::Limit { limit: PROJECTS_MAX, things: "projects" });
        }
        Self::insert_project(&change, organisation, id, &name).await?;
        tx.commit().await?;
        Ok(Project { id, name, created_at: now })
    }

    /// The organisation's projects, oldest first.
    ///
    /// # Errors
    /// Where the actor is in no organisation.
    pub async fn projects(&self, actor: &Actor) -> Result<Vec<Project>, Error> {
        let organisation = actor.organisation()?;
        let rows = store::organisations::projects(self.db().read(), organisation, PROJECTS_MAX).await?;
        Ok(rows.into_iter().map(Project::from).collect())
    }

    /// One project of the actor's organisation.
    ///
    /// # Errors
    /// Where it is unknown or another tenant's.
    pub async fn project(&self, actor: &Actor, id: ProjectId) -> Result<Project, Error> {
        let row = store::organisations::project(self.db().read(), actor.organisation()?, id).await?;
        row.map(Project::from).ok_or(Error::NotFound("project"))
    }

    /// Up to `limit` members after `after`, in the order of their ids.
    ///
    /// # Errors
    /// Where the actor is in no organisation.
    pub async fn members(
        &self,
        actor: &Actor,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<Member>, Error> {
        let (c, organisation) = (self.db().read(), actor.organisation()?);
        let rows = store::organisations::members(c, organisation, after, limit).await?;
        let users = store::accounts::users(c, rows.iter().map(|row| row.user_id).collect()).await?;
        let mut members = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(user) = users.iter().find(|user| user.id == row.user_id) else { continue };
            members.push(Member {
                user_id: user.id,
                name: user.name.clone().unwrap_or_default(),
                email: user.email.clone().unwrap_or_default(),
                role: stored_role(&row.role)?,
                joined_at: row.created_at,
            });
        }
        Ok(members)
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// Where the member is unknown, the actor does not hold what it gives or takes, or no owner would be left.
    pub async fn change_role(&self, actor: &Actor, user: UserId, role: Role) -> Result<(), Error> {
        let organisation = actor.organisation()?;
        let now = self.now();
        let tx = self.db().begin_write().await?;
        let own = self.lock_for_change(&tx, organisation, actor.user).await?;
        let row = store::organisations::membership(&*tx, organisation, user).await?;
        let previous = stored_role(&row.ok_or(Error::NotFound("member"))?.role)?;
        if !own.may_change(Some(previous), Some(role)) {
            return Err(Error::NotHeld("Your role does not contain both the old and the new one."));
        }
        let change = Change::new(&tx, actor.user, Some(organisation), now);
        self.require_authority(&change, organisation, actor.user, own, actions::MEMBERS_EDIT).await?;
        if previous == role {
            return Ok(());
        }
        if previous == Role::Owner {
            Self::keep_an_owner(&change, organisation).await?;
        }
        store::organisations::set_role(&*tx, organisation, user, role.as_str()).await?;
        let told = MembershipChange {
            organisation,
            user,
            previous: Some(previous),
            role: Some(role),
            by: actor.user,
            at: now,
        };
        self.membership_changed(&change, told).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Agrees where an owner can be taken away.
    pub(super) async fn keep_an_owner(
        change: &Change<'_>,
        organisation: OrganisationId,
    ) -> Result<(), Error> {
        let owners =
            store::organisations::count_members(&**change.tx, organisation, Some(Role::Owner.as_str()));
        if owners.await? <= 1 {
            return Err(Error::LastOwner);
        }
        Ok(())
    }

    /// Writes the event and lets the observer add what follows from it.
    pub(super) async fn membership_changed(
        &self,
        change: &Change<'_>,
        told: MembershipChange,
    ) -> Result<(), Error> {
        Self::record_membership(change, &told).await?;
        Ok(self.inner.deps.observer.membership_changed(change.tx, &told).await?)
    }

    pub(super) async fn record_membership(change: &Change<'_>, told: &MembershipChange) -> Result<(), Error> {
        let event = MembershipChanged {
            organisation_id: told.organisation,
            user_id: told.user,
            previous_role: told.previous.map(Into::into),
            role: told.role.map(Into::into),
        };
        change.record(told.user, &event).await
    }

    /// The wanted rows of the organisation's audit log, newest first. For those who manage people.
    ///
    /// # Errors
    /// Where the actor's role is too weak.
    pub async fn audit(&self, actor: &Actor, wanted: Wanted<'_>) -> Result<Vec<AuditRow>, Error> {
        let (c, organisation) = (self.db().read(), actor.organisation()?);
        let row = store::organisations::membership(c, organisation, actor.user).await?;
        let role = stored_role(&row.ok_or(Error::NotFound("organisation"))?.role)?;
        if !role.manages_people() {
            return Err(Error::NotHeld("Only owners and admins read the audit log."));
        }
        let rows = store::audit::of_organisation(c, organisation, wanted).await?;
        Ok(rows.into_iter().map(AuditRow::from).collect())
    }
}
