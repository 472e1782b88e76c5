//! Signing up, passwords, and what a person sees of themselves.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::identity::{
    AccountKind, AccountState, MembershipChanged, OrganisationCreated, OrganisationKind, ProjectCreated,
    SessionEnd, UserCreated, UserStateChanged,
};
use backlot_infrastructure_api::{OrganisationId, ProjectId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Actor, Change, Project, Service, StartedSession, checked_name, stored_role};
use crate::email::Email;
use crate::entities::{membership, organisation, project, user};
use crate::error::Error;
use crate::password;
use crate::roles::Role;
use crate::store;

/// Projects that `me` lists at most.
const ME_PROJECTS_MAX: u64 = 200;
/// Name of the project that comes with an organisation.
const DEFAULT_PROJECT: &str = "First project";

/// What a person sends to sign up.
pub struct SignUp {
    /// Unchecked address.
    pub email: String,
    /// In clear; never stored, never logged.
    pub password: String,
    /// How the person is called.
    pub name: String,
    /// How their organisation is called; none: after the person.
    pub organisation: Option<String>,
}

/// What a sign-up made.
pub struct SignedUp {
    /// The account.
    pub user: UserId,
    /// Its organisation, of which it is the owner.
    pub organisation: OrganisationId,
    /// The organisation's first project.
    pub project: ProjectId,
    /// Signed in already.
    pub session: StartedSession,
}

/// An organisation as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeOrganisation {
    /// Its id.
    pub id: OrganisationId,
    /// Its name.
    pub name: String,
    /// The person's role in it.
    pub role: Role,
}

/// A person as they see themselves.
pub struct Me {
    /// Their account.
    pub user: UserId,
    /// As they wrote it.
    pub email: String,
    /// How they are called.
    pub name: String,
    /// The operator's own people.
    pub staff: bool,
    /// Every organisation that they belong to.
    pub organisations: Vec<MeOrganisation>,
    /// The one that the credential acts in.
    pub organisation: Option<MeOrganisation>,
    /// Its projects, the first 200.
    pub projects: Vec<Project>,
}

/// Checked input of a sign-up.
struct Draft {
    email: Email,
    name: String,
    organisation_name: String,
    password_hash: String,
}

impl Service {
    /// Makes an account with its organisation and first project, and signs it in, in one transaction in
    /// which billing adds the root mandate and the free plan's credits. `address` is the client's.
    ///
    /// # Errors
    /// Where a field breaks a rule, the e-mail is taken, sign-up is closed, too many came from the
    /// address, or the observer refuses.
    pub async fn sign_up(&self, input: SignUp, address: Option<&str>) -> Result<SignedUp, Error> {
        let now = self.now();
        if let Some(address) = address {
            let mut limits = self.inner.limits.lock();
            limits.sign_up_address.take(address, now.micros()).map_err(Error::RateLimited)?;
        }
        let email = Email::parse(&input.email)?;
        let name = checked_name("/name", &input.name)?;
        let organisation_name = match input.organisation.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => checked_name("/organisation", text)?,
            Some(_) | None => name.clone(),
        };
        password::check_new(&input.password, email.normalised())?;
        if !self.config().open_sign_up
            && !store::organisations::is_invited(self.db().read(), email.normalised(), now).await?
        {
            return Err(Error::SignUpClosed);
        }
        // Known before the expensive hash; decided by the unique index inside the transaction.
        if store::accounts::user_by_email(self.db().read(), email.normalised()).await?.is_some() {
            return Err(Error::EmailTaken);
        }
        let password_hash = self.inner.hasher.hash(&input.password).await?;
        self.create_account(Draft { email, name, organisation_name, password_hash }, now).await
    }

    async fn create_account(&self, draft: Draft, at: Timestamp) -> Result<SignedUp, Error> {
        let (user, organisation, project) =
            (UserId::generate(), OrganisationId::generate(), ProjectId::generate());
        let listed = self.is_listed_staff(draft.email.normalised());
        let tx = self.db().begin_write().await?;
        let first = store::accounts::claim_first(&*tx, user, at).await?;
        let platform = first && self.config().first_account_is_staff;
        let is_staff = platform || (listed && self.config().staff_at_sign_up);
        let row = user::Model {
            id: user,
            email: Some(draft.email.written().to_owned()),
            email_normalised: Some(draft.email.normalised().to_owned()),
            name: Some(draft.name),
            password_hash: Some(draft.password_hash),
            kind: "person".to_owned(),
            is_staff,
            state: "active".to_owned(),
            created_at: at,
            deleted_at: None,
        };
        if !store::accounts::insert_user(&*tx, row).await? {
            return Err(Error::EmailTaken);
        }
        let change = Change::new(&tx, user, Some(organisation), at);
        change.record(user, &UserCreated { user_id: user, kind: AccountKind::Person, is_staff }).await?;
        let kind = if platform { OrganisationKind::Platform } else { OrganisationKind::Customer };
        self.found_organisation(&change, organisation, &draft.organisation_name, user, kind).await?;
        Self::insert_project(&change, organisation, project, DEFAULT_PROJECT).await?;
        let session = self.start_session(&change, user, Some(organisation), is_staff, true).await?;
        self.inner.deps.observer.created(&tx, organisation, user, at).await?;
        tx.commit().await?;
        Ok(SignedUp { user, organisation, project, session })
    }

    /// Writes an organisation and its owner.
    async fn found_organisation(
        &self,
        change: &Change<'_>,
        id: OrganisationId,
        name: &str,
        owner: UserId,
        kind: OrganisationKind,
    ) -> Result<(), Error> {
        let row = organisation::Model {
            id,
            name: name.to_owned(),
            kind: match kind {
                OrganisationKind::Customer => "customer",
                OrganisationKind::Platform => "platform",
            }
            .to_owned(),
            authority_version: 1,
            created_at: change.at,
            closed_at: None,
        };
        store::organisations::insert_organisation(&**change.tx, row).await?;
        let row = membership::Model {
            organisation_id: id,
            user_id: owner,
            role: Role::Owner.as_str().to_owned(),
            created_at: change.at,
        };
        store::organisations::insert_membership(&**change.tx, row).await?;
        change.record(id, &OrganisationCreated { organisation_id: id, owner_id: owner, kind }).await?;
        let joined = MembershipChanged {
            organisation_id: id,
            user_id: owner,
            previous_role: None,
            role: Some(Role::Owner.into()),
        };
        change.record(owner, &joined).await
    }

    pub(super) async fn insert_project(
        change: &Change<'_>,
        organisation: OrganisationId,
        id: ProjectId,
        name: &str,
    ) -> Result<(), Error> {
        let row = project::Model {
            id,
            organisation_id: organisation,
            name: name.to_owned(),
            created_at: change.at,
        };
        store::organisations::insert_project(&**change.tx, row).await?;
        change.record(id, &ProjectCreated { project_id: id, organisation_id: organisation }).await
    }

    fn is_listed_staff(&self, email_normalised: &str) -> bool {
        self.config().staff.iter().any(|listed| listed.trim().to_lowercase() == email_normalised)
    }

    /// Makes the accounts of listed e-mails staff. Called at start; returns how many changed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn apply_staff_list(&self) -> Result<usize, Error> {
        let mut changed = 0;
        for email in &self.config().staff {
            let email = email.trim().to_lowercase();
            let Some(row) = store::accounts::user_by_email(self.db().read(), &email).await? else { continue };
            if row.is_staff || row.state != "active" {
                continue;
            }
            let tx = self.db().begin_write().await?;
            store::accounts::set_state(&*tx, row.id, "active", true).await?;
            let change = Change::new(&tx, "service:configuration", None, self.now());
            let event = UserStateChanged { user_id: row.id, state: AccountState::Active, is_staff: true };
            change.record(row.id, &event).await?;
            tx.commit().await?;
            changed += 1;
        }
        Ok(changed)
    }

    /// Suspends or reinstates an account; for staff. A suspended account's sessions end.
    ///
    /// # Errors
    /// Where the actor is no staff, the account is unknown, or it is the actor's own.
    pub async fn set_suspended(&self, actor: &Actor, user: UserId, suspended: bool) -> Result<(), Error> {
        if !actor.staff {
            return Err(Error::NotHeld("Only the platform's staff may suspend accounts."));
        }
        if actor.user == user {
            return Err(Error::NotHeld("You cannot suspend or reinstate yourself."));
        }
        let now = self.now();
        let tx = self.db().begin_write().await?;
        let row = store::accounts::user(&*tx, user).await?.filter(|row| row.state != "deleted");
        let row = row.ok_or(Error::NotFound("account"))?;
        let (text, state) =
            if suspended { ("suspended", AccountState::Suspended) } else { ("active", AccountState::Active) };
        store::accounts::set_state(&*tx, user, text, row.is_staff).await?;
        let change = Change::new(&tx, actor.user, None, now);
        change.record(user, &UserStateChanged { user_id: user, state, is_staff: row.is_staff }).await?;
        if suspended {
            Self::end_sessions(&change, user, None, SessionEnd::AccountClosed).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// What the person sees of themselves.
    ///
    /// # Errors
    /// Where the account is gone.
    pub async fn me(&self, actor: &Actor) -> Result<Me, Error> {
        let c = self.db().read();
        let row = store::accounts::user(c, actor.user).await?.filter(|row| row.state != "deleted");
        let row = row.ok_or(Error::UnknownCredential)?;
        let organisations = self.organisations_of(actor.user).await?;
        let organisation = organisations.iter().find(|o| Some(o.id) == actor.organisation).cloned();
        let projects = match &organisation {
            Some(organisation) => store::organisations::projects(c, organisation.id, ME_PROJECTS_MAX).await?,
            None => Vec::new(),
        };
        Ok(Me {
            user: row.id,
            email: row.email.unwrap_or_default(),
            name: row.name.unwrap_or_default(),
            staff: row.is_staff,
            organisations,
            organisation,
            projects: projects.into_iter().map(Project::from).collect(),
        })
    }

    pub(super) async fn organisations_of(&self, user: UserId) -> Result<Vec<MeOrganisation>, Error> {
        let c = self.db().read();
        let memberships = store::organisations::memberships_of_user(c, user).await?;
        let ids = memberships.iter().map(|row| row.organisation_id).collect();
        let rows = store::organisations::organisations(c, ids).await?;
        let mut organisations = Vec::with_capacity(memberships.len());
        for membership in memberships {
            let Some(row) = rows.iter().find(|row| row.id == membership.organisation_id) else { continue };
            organisations.push(MeOrganisation {
                id: row.id,
                name: row.name.clone(),
                role: stored_role(&membership.role)?,
            });
        }
        Ok(organisations)
    }

    /// The account, for other systems: no e-mail.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) async fn user(&self, id: UserId) -> Result<user::Model, Error> {
        store::accounts::user(self.db().read(), id).await?.ok_or(Error::NotFound("account"))
    }

    pub(crate) async fn user_by_email(&self, email: &str) -> Result<user::Model, Error> {
        let email = Email::parse(email)?;
        let row = store::accounts::user_by_email(self.db().read(), email.normalised()).await?;
        row.ok_or(Error::NotFound("account"))
    }
}
