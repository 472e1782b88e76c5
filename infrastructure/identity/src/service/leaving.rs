//! Leaving: an organisation, or for good.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::identity::{OrganisationClosed, SessionEnd, UserDeleted};
use backlot_infrastructure_api::{OrganisationId, UserId};
use serde_json::{Value, json};

use super::{Actor, Change, Service, stored_role};
use crate::authority::{MembershipChange, actions};
use crate::error::Error;
use crate::roles::Role;
use crate::store;

/// Rows of the audit log in an export, newest first.
const EXPORT_AUDIT_ROWS_MAX: u64 = 10_000;

impl Service {
    /// Removes a member, or lets the actor leave. Their keys there end, their sessions act elsewhere.
    ///
    /// # Errors
    /// Where the member is unknown, the actor does not hold what it takes, or no owner would be left.
    pub async fn remove_member(&self, actor: &Actor, user: UserId) -> Result<(), Error> {
        let organisation = actor.organisation()?;
        let now = self.now();
        let tx = self.db().begin_write().await?;
        let own = self.lock_for_change(&tx, organisation, actor.user).await?;
        let row = store::organisations::membership(&*tx, organisation, user).await?;
        let role = stored_role(&row.ok_or(Error::NotFound("member"))?.role)?;
        let change = Change::new(&tx, actor.user, Some(organisation), now);
        if user != actor.user {
            if !own.may_change(Some(role), None) {
                return Err(Error::NotHeld("Your role does not contain the role of this member."));
            }
            self.require_authority(&change, organisation, actor.user, own, actions::MEMBERS_REMOVE).await?;
        }
        if role == Role::Owner {
            Self::keep_an_owner(&change, organisation).await?;
        }
        Self::end_membership(&change, organisation, user).await?;
        self.membership_changed(&change, left(organisation, user, role, actor.user, now)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends a membership with the keys and sessions that hang on it.
    async fn end_membership(
        change: &Change<'_>,
        organisation: OrganisationId,
        user: UserId,
    ) -> Result<(), Error> {
        let c = &**change.tx;
        store::organisations::remove_membership(c, organisation, user).await?;
        for key in store::credentials::of_user(c, user, Some(organisation)).await? {
            Self::revoke_row(change, &key).await?;
        }
        let elsewhere = store::organisations::memberships_of_user(c, user).await?;
        let elsewhere = elsewhere.first().map(|row| row.organisation_id);
        let sessions = store::accounts::live_sessions(c, user, change.at).await?;
        for session in sessions.iter().filter(|row| row.organisation_id == Some(organisation)) {
            Self::point_session(change, session.id, user, elsewhere).await?;
        }
        Ok(())
    }

    /// Everything that identity holds about the actor, as JSON.
    ///
    /// # Errors
    /// Where the account is gone.
    pub async fn export(&self, actor: &Actor) -> Result<Value, Error> {
        let c = self.db().read();
        let user = self.user(actor.user).await?;
        let organisations = self.organisations_of(actor.user).await?;
        let sessions = self.sessions(actor).await?;
        let keys = store::credentials::of_user(c, actor.user, None).await?;
        let keys = keys.iter().map(|key| {
            json!({
                "id": key.id, "organisation_id": key.organisation_id, "name": key.name,
                "prefix": key.prefix, "created_at": key.created_at, "expires_at": key.expires_at,
                "last_used_at": key.last_used_at,
            })
        });
        let keys: Vec<Value> = keys.collect();
        let audit = store::audit::of_actor(c, &actor.user.to_string(), EXPORT_AUDIT_ROWS_MAX).await?;
        let audit: Vec<super::AuditRow> = audit.into_iter().map(Into::into).collect();
        Ok(json!({
            "exported_at": self.now(),
            "user": {
                "id": user.id, "email": user.email, "name": user.name, "kind": user.kind,
                "staff": user.is_staff, "state": user.state, "created_at": user.created_at,
            },
            "organisations": organisations,
            "sessions": sessions,
            "api_keys": keys,
            "audit": audit,
        }))
    }

    /// Deletes the actor's account: name, e-mail and password are erased, keys and sessions end. An
    /// organisation of which they were the only member closes. The id stays in what they did.
    ///
    /// # Errors
    /// Where the password is wrong, or an organisation with other members would be left without owner.
    pub async fn delete_account(&self, actor: &Actor, password: &str) -> Result<(), Error> {
        let row = self.user(actor.user).await?;
        self.confirm_password(&row, password).await?;
        let now = self.now();
        let tx = self.db().begin_write().await?;
        let memberships = store::organisations::memberships_of_user(&*tx, actor.user).await?;
        for membership in memberships {
            let organisation = membership.organisation_id;
            let role = self.lock_for_change(&tx, organisation, actor.user).await?;
            let change = Change::new(&tx, actor.user, Some(organisation), now);
            let alone = store::organisations::count_members(&*tx, organisation, None).await? == 1;
            if role == Role::Owner && !alone {
                Self::keep_an_owner(&change, organisation).await?;
            }
            Self::end_membership(&change, organisation, actor.user).await?;
            let told = left(organisation, actor.user, role, actor.user, now);
            if alone {
                Self::record_membership(&change, &told).await?;
                self.inner.deps.observer.closed(&tx, organisation, actor.user, now).await?;
                store::organisations::close_organisation(&*tx, organisation, now).await?;
                let closed = OrganisationClosed { organisation_id: organisation };
                change.record(organisation, &closed).await?;
            } else {
                self.membership_changed(&change, told).await?;
            }
        }
        let change = Change::new(&tx, actor.user, None, now);
        Self::end_sessions(&change, actor.user, None, SessionEnd::AccountClosed).await?;
        if let Some(email) = &row.email_normalised {
            store::organisations::erase_invitations_of(&*tx, email, now).await?;
        }
        store::accounts::erase_user(&*tx, actor.user, now).await?;
        change.record(actor.user, &UserDeleted { user_id: actor.user }).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn left(
    organisation: OrganisationId,
    user: UserId,
    role: Role,
    by: UserId,
    at: Timestamp,
) -> MembershipChange {
    MembershipChange { organisation, user, previous: Some(role), role: None, by, at }
}
