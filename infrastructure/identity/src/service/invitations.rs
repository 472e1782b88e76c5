//! Invitations: a token that is shown once, for one e-mail, for seven days.

use std::time::Duration;

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::identity::{InvitationCreated, InvitationRevoked};
use backlot_infrastructure_api::{InvitationId, OrganisationId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Actor, Change, MeOrganisation, Service, stored_role};
use crate::authority::{MembershipChange, actions};
use crate::email::Email;
use crate::entities::{invitation, membership};
use crate::error::Error;
use crate::roles::Role;
use crate::{secrets, store};

/// How long an invitation can be accepted.
pub const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Open invitations of one organisation.
const INVITATIONS_MAX: u64 = 500;
/// Members of one organisation.
const MEMBERS_MAX: u64 = 10_000;

/// An invitation as it is listed. The token is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Whom it is for.
    pub email: String,
    /// As what.
    pub role: Role,
    /// Who invited.
    pub invited_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

/// An invitation that was just made.
pub struct NewInvitation {
    /// As it will be listed.
    pub listed: Invitation,
    /// What the inviter hands over, shown this once.
    pub token: String,
}

impl Service {
    /// Invites an e-mail into the actor's organisation. An open invitation of the same e-mail is replaced.
    ///
    /// # Errors
    /// Where the actor does not hold what it gives, the person is a member, or there are too many.
    pub async fn invite(&self, actor: &Actor, email: &str, role: Role) -> Result<NewInvitation, Error> {
        let organisation = actor.organisation()?;
        let email = Email::parse(email)?;
        let (now, secret) = (self.now(), secrets::generate_token()?);
        let tx = self.db().begin_write().await?;
        let own = self.lock_for_change(&tx, organisation, actor.user).await?;
        if !own.may_change(None, Some(role)) {
            return Err(Error::NotHeld(
                "Only owners and admins invite, and only into roles that theirs contains.",
            ));
        }
        let change = Change::new(&tx, actor.user, Some(organisation), now);
        self.require_authority(&change, organisation, actor.user, own, actions::MEMBERS_INVITE).await?;
        if let Some(user) = store::accounts::user_by_email(&*tx, email.normalised()).await?
            && store::organisations::membership(&*tx, organisation, user.id).await?.is_some()
        {
            return Err(Error::AlreadyMember);
        }
        let open = store::organisations::open_invitations(&*tx, organisation, now).await?;
        for earlier in open.iter().filter(|row| row.email_normalised.as_deref() == Some(email.normalised())) {
            Self::revoke_open(&change, organisation, earlier.id).await?;
        }
        if store::organisations::count_open_invitations(&*tx, organisation, now).await? >= INVITATIONS_MAX {
            return Err(Error::Limit { limit: INVITATIONS_MAX, things: "open invitations" });
        }
        let row = invitation::Model {
            id: InvitationId::generate(),
            organisation_id: organisation,
            email_normalised: Some(email.normalised().to_owned()),
            role: role.as_str().to_owned(),
            token_sha256: secret.sha256,
            invited_by: actor.user,
            created_at: now,
            expires_at: now.plus(INVITATION_LIFE),
            accepted_at: None,
            accepted_by: None,
            revoked_at: None,
        };
        store::organisations::insert_invitation(&*tx, row.clone()).await?;
        let created =
            InvitationCreated { invitation_id: row.id, organisation_id: organisation, role: role.into() };
        change.record(row.id, &created).await?;
        tx.commit().await?;
        Ok(NewInvitation { listed: listed(row)?, token: secret.text })
    }

    async fn revoke_open(
        change: &Change<'_>,
        organisation: OrganisationId,
        id: InvitationId,
    ) -> Result<bool, Error> {
        let revoked =
            store::organisations::revoke_invitation(&**change.tx, organisation, id, change.at).await?;
        if revoked {
            let event = InvitationRevoked { invitation_id: id, organisation_id: organisation };
            change.record(id, &event).await?;
        }
        Ok(revoked)
    }

    /// Invitations that can still be accepted, newest first. For those who manage people.
    ///
    /// # Errors
    /// Where the actor's role is too weak.
    pub async fn invitations(&self, actor: &Actor) -> Result<Vec<Invitation>, Error> {
        let (c, organisation) = (self.db().read(), actor.organisation()?);
        let row = store::organisations::membership(c, organisation, actor.user).await?;
        if !stored_role(&row.ok_or(Error::NotFound("organisation"))?.role)?.manages_people() {
            return Err(Error::NotHeld("Only owners and admins see invitations."));
        }
        let rows = store::organisations::open_invitations(c, organisation, self.now()).await?;
        rows.into_iter().map(listed).collect()
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// Where there is none that is open, or the actor's role is too weak.
    pub async fn revoke_invitation(&self, actor: &Actor, id: InvitationId) -> Result<(), Error> {
        let organisation = actor.organisation()?;
        let tx = self.db().begin_write().await?;
        let own = self.lock_for_change(&tx, organisation, actor.user).await?;
        if !own.manages_people() {
            return Err(Error::NotHeld("Only owners and admins take invitations back."));
        }
        let change = Change::new(&tx, actor.user, Some(organisation), self.now());
        if !Self::revoke_open(&change, organisation, id).await? {
            return Err(Error::NotFound("open invitation"));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Makes the actor a member of the organisation that invited them. The session goes on where it was;
    /// `switch` moves it.
    ///
    /// # Errors
    /// Where the invitation is unknown, over, for another e-mail, or its giver no longer holds what it gave.
    pub async fn accept_invitation(&self, actor: &Actor, token: &str) -> Result<MeOrganisation, Error> {
        if token.len() > secrets::CREDENTIAL_CHARS_MAX {
            return Err(Error::InvitationUnknown);
        }
        let now = self.now();
        let tx = self.db().begin_write().await?;
        let row = store::organisations::invitation_by_hash(&*tx, &secrets::sha256_hex(token)).await?;
        let row = row.ok_or(Error::InvitationUnknown)?;
        let (organisation, role) = (row.organisation_id, stored_role(&row.role)?);
        let user = store::accounts::user(&*tx, actor.user).await?.ok_or(Error::UnknownCredential)?;
        if user.email_normalised.is_none() || user.email_normalised != row.email_normalised {
            return Err(Error::InvitationForAnother);
        }
        if !store::organisations::raise_authority_version(&*tx, organisation).await? {
            return Err(Error::InvitationEnded);
        }
        if store::organisations::membership(&*tx, organisation, actor.user).await?.is_some() {
            return Err(Error::AlreadyMember);
        }
        // A chain of authority is live or it is nothing: who has left, or holds less now, gives nothing.
        let giver = store::organisations::membership(&*tx, organisation, row.invited_by).await?;
        let giver = giver.map(|giver| stored_role(&giver.role)).transpose()?;
        if !giver.is_some_and(|giver| giver.may_change(None, Some(role))) {
            return Err(Error::InvitationEnded);
        }
        if !store::organisations::accept_invitation(&*tx, row.id, actor.user, now).await? {
            return Err(Error::InvitationEnded);
        }
        if store::organisations::count_members(&*tx, organisation, None).await? >= MEMBERS_MAX {
            return Err(Error::Limit { limit: MEMBERS_MAX, things: "members" });
        }
        let joined = membership::Model {
            organisation_id: organisation,
            user_id: actor.user,
            role: row.role,
            created_at: now,
        };
        store::organisations::insert_membership(&*tx, joined).await?;
        let change = Change::new(&tx, actor.user, Some(organisation), now);
        change.audit("invitation.accepted", row.id, serde_json::json!({ "role": role })).await?;
        let told = MembershipChange {
            organisation,
            user: actor.user,
            previous: None,
            role: Some(role),
            by: row.invited_by,
            at: now,
        };
        self.membership_changed(&change, told).await?;
        let found = store::organisations::organisation(&*tx, organisation).await?;
        tx.commit().await?;
        let name = found.map(|found| found.name).unwrap_or_default();
        Ok(MeOrganisation { id: organisation, name, role })
    }
}

fn listed(row: invitation::Model) -> Result<Invitation, Error> {
    Ok(Invitation {
        id: row.id,
        email: row.email_normalised.unwrap_or_default(),
        role: stored_role(&row.role)?,
        invited_by: row.invited_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
    })
}
