//! Signing in and out, and the sessions between.

use std::time::Duration;

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::identity::{
    AccountKind, SessionEnd, SessionEnded, SessionStarted, SessionSwitched,
};
use backlot_infrastructure_api::{OrganisationId, SessionId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Actor, Change, Credential, Service};
use crate::entities::{session, user};
use crate::error::Error;
use crate::limiter::TryKeys;
use crate::password::{self, PASSWORD_CHARS_MAX};
use crate::{secrets, store};

/// Sessions of one person at once; the oldest ends where there would be more.
const SESSIONS_MAX: usize = 50;

/// A session that has just begun.
pub struct StartedSession {
    /// Its id.
    pub id: SessionId,
    /// What the browser keeps. Not stored here.
    pub token: String,
    /// When it ends if it is not used before.
    pub expires_at: Timestamp,
}

/// A session as its person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to within five minutes.
    pub last_seen_at: Timestamp,
    /// When it ends if it is not used before.
    pub expires_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl Service {
    /// Signs a person in. An unknown e-mail takes as long as a wrong password.
    ///
    /// # Errors
    /// Where e-mail or password is wrong, the account is suspended, or there were too many tries.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        address: Option<&str>,
    ) -> Result<(UserId, StartedSession), Error> {
        let email = email.trim().to_lowercase();
        if password.chars().count() > PASSWORD_CHARS_MAX {
            return Err(Error::InvalidCredentials);
        }
        let keys = TryKeys::new(&email, address);
        self.take_try(&keys)?;
        let row = store::accounts::user_by_email(self.db().read(), &email).await?;
        let stored = row.as_ref().and_then(|row| row.password_hash.as_deref());
        let matches = self.inner.hasher.verify(password, stored).await?;
        let Some(row) = row.filter(|_| matches) else {
            return Err(Error::InvalidCredentials);
        };
        self.give_try_back(&keys);
        if row.state != "active" {
            return Err(Error::Suspended);
        }
        let organisation = store::organisations::memberships_of_user(self.db().read(), row.id).await?;
        let organisation = organisation.first().map(|row| row.organisation_id);
        let tx = self.db().begin_write().await?;
        let now = self.now();
        let change = Change::new(&tx, row.id, organisation, now);
        let live = store::accounts::live_sessions(&*tx, row.id, now).await?;
        for oldest in live.iter().skip(SESSIONS_MAX - 1) {
            Self::end_session(&change, oldest, SessionEnd::EndedElsewhere).await?;
        }
        let session = self.start_session(&change, row.id, organisation, row.is_staff, false).await?;
        tx.commit().await?;
        Ok((row.id, session))
    }

    fn take_try(&self, keys: &TryKeys) -> Result<(), Error> {
        self.inner.limits.lock().sign_in.take(keys, self.now().micros()).map_err(Error::RateLimited)
    }

    fn give_try_back(&self, keys: &TryKeys) {
        self.inner.limits.lock().sign_in.give_back(keys);
    }

    /// Asks for the password again before something that cannot be undone.
    pub(super) async fn confirm_password(&self, row: &user::Model, password: &str) -> Result<(), Error> {
        let keys = TryKeys::new(row.email_normalised.as_deref().unwrap_or_default(), None);
        self.take_try(&keys)?;
        if password.chars().count() > PASSWORD_CHARS_MAX
            || !self.inner.hasher.verify(password, row.password_hash.as_deref()).await?
        {
            return Err(Error::InvalidCredentials);
        }
        self.give_try_back(&keys);
        Ok(())
    }

    pub(super) async fn start_session(
        &self,
        change: &Change<'_>,
        user: UserId,
        organisation: Option<OrganisationId>,
        is_staff: bool,
        first: bool,
    ) -> Result<StartedSession, Error> {
        let secret = secrets::generate_token()?;
        let id = SessionId::generate();
        let expires_at = self.session_expiry(change.at, change.at);
        let row = session::Model {
            id,
            user_id: user,
            token_sha256: secret.sha256,
            organisation_id: organisation,
            created_at: change.at,
            last_seen_at: change.at,
            expires_at,
            ended_at: None,
        };
        store::accounts::insert_session(&**change.tx, row).await?;
        let started =
            SessionStarted { session_id: id, user_id: user, kind: AccountKind::Person, is_staff, first };
        change.record(id, &started).await?;
        Ok(StartedSession { id, token: secret.text, expires_at })
    }

    /// When a session that was used at `used` ends: by idleness or by age, whichever is sooner.
    pub(super) fn session_expiry(&self, created: Timestamp, used: Timestamp) -> Timestamp {
        let idle = used.plus(Duration::from_secs(self.config().session_idle_s.into()));
        let age = created.plus(Duration::from_secs(self.config().session_life_s.into()));
        idle.min(age)
    }

    /// Ends the session that asks. A second time it does nothing.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sign_out(&self, actor: &Actor) -> Result<(), Error> {
        let Credential::Session(id) = actor.credential else { return Ok(()) };
        self.end_one(actor, id, SessionEnd::SignOut).await
    }

    /// Ends one session of the actor's.
    ///
    /// # Errors
    /// Where it is another person's or unknown.
    pub async fn end_session_by_id(&self, actor: &Actor, id: SessionId) -> Result<(), Error> {
        self.end_one(actor, id, SessionEnd::EndedElsewhere).await
    }

    async fn end_one(&self, actor: &Actor, id: SessionId, reason: SessionEnd) -> Result<(), Error> {
        let tx = self.db().begin_write().await?;
        let row = store::accounts::session(&*tx, id).await?.filter(|row| row.user_id == actor.user);
        let row = row.ok_or(Error::NotFound("session"))?;
        let change = Change::new(&tx, actor.user, row.organisation_id, self.now());
        Self::end_session(&change, &row, reason).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends every session of the actor's, the one that asks too. Returns how many.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_all_sessions(&self, actor: &Actor) -> Result<usize, Error> {
        let tx = self.db().begin_write().await?;
        let change = Change::new(&tx, actor.user, actor.organisation, self.now());
        let ended = Self::end_sessions(&change, actor.user, None, SessionEnd::EndedElsewhere).await?;
        tx.commit().await?;
        Ok(ended)
    }

    pub(super) async fn end_sessions(
        change: &Change<'_>,
        user: UserId,
        except: Option<SessionId>,
        reason: SessionEnd,
    ) -> Result<usize, Error> {
        let live = store::accounts::live_sessions(&**change.tx, user, change.at).await?;
        let mut ended = 0;
        for row in live.iter().filter(|row| Some(row.id) != except) {
            Self::end_session(change, row, reason).await?;
            ended += 1;
        }
        Ok(ended)
    }

    async fn end_session(change: &Change<'_>, row: &session::Model, reason: SessionEnd) -> Result<(), Error> {
        if store::accounts::end_session(&**change.tx, row.id, change.at).await? {
            let ended = SessionEnded { session_id: row.id, user_id: row.user_id, reason };
            change.record(row.id, &ended).await?;
        }
        Ok(())
    }

    /// The actor's sessions, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sessions(&self, actor: &Actor) -> Result<Vec<Session>, Error> {
        let rows = store::accounts::live_sessions(self.db().read(), actor.user, self.now()).await?;
        let current = |id| actor.credential == Credential::Session(id);
        let sessions = rows.into_iter().map(|row| Session {
            id: row.id,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            expires_at: row.expires_at,
            current: current(row.id),
        });
        Ok(sessions.collect())
    }

    /// Lets the session act in another organisation of its person.
    ///
    /// # Errors
    /// Where the person is no member there, or the credential is no session.
    pub async fn switch(&self, actor: &Actor, organisation: OrganisationId) -> Result<(), Error> {
        let Credential::Session(session_id) = actor.credential else {
            let message =
                "only a session can switch; an API key acts in the organisation that it was made in";
            return Err(Error::Field { pointer: "/organisation_id", message: message.to_owned() });
        };
        let tx = self.db().begin_write().await?;
        if store::organisations::membership(&*tx, organisation, actor.user).await?.is_none() {
            return Err(Error::NotFound("organisation"));
        }
        let change = Change::new(&tx, actor.user, Some(organisation), self.now());
        Self::point_session(&change, session_id, actor.user, Some(organisation)).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn point_session(
        change: &Change<'_>,
        session_id: SessionId,
        user_id: UserId,
        organisation: Option<OrganisationId>,
    ) -> Result<(), Error> {
        store::accounts::point_session(&**change.tx, session_id, organisation).await?;
        let Some(organisation_id) = organisation else { return Ok(()) };
        change.record(session_id, &SessionSwitched { session_id, user_id, organisation_id }).await
    }

    /// Changes the password and ends every other session.
    ///
    /// # Errors
    /// Where the old one is wrong or the new one too weak.
    pub async fn change_password(&self, actor: &Actor, old: &str, new: &str) -> Result<(), Error> {
        let row = self.user(actor.user).await?;
        self.confirm_password(&row, old).await?;
        password::check_new(new, row.email_normalised.as_deref().unwrap_or_default())?;
        let hash = self.inner.hasher.hash(new).await?;
        let tx = self.db().begin_write().await?;
        store::accounts::set_password(&*tx, row.id, &hash).await?;
        let change = Change::new(&tx, actor.user, actor.organisation, self.now());
        change.audit("user.password_changed", row.id, serde_json::json!({})).await?;
        let current = match actor.credential {
            Credential::Session(id) => Some(id),
            Credential::ApiKey(_) | Credential::Other => None,
        };
        Self::end_sessions(&change, row.id, current, SessionEnd::PasswordChanged).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Service {
    /// Gives an account a new password, made here, and ends its sessions; how many there were. For the operator's
    /// command line: who has forgotten the old one cannot change it. Its API keys stay.
    pub(crate) async fn reset_password(&self, email: &str, by: &str) -> Result<(String, usize), Error> {
        let row = self.user_by_email(email).await?;
        let password = secrets::generate_token()?.text;
        let hash = self.inner.hasher.hash(&password).await?;
        let tx = self.db().begin_write().await?;
        store::accounts::set_password(&*tx, row.id, &hash).await?;
        let change = Change::new(&tx, by, None, self.now());
        change.audit("user.password_reset", row.id, serde_json::json!({})).await?;
        let ended = Self::end_sessions(&change, row.id, None, SessionEnd::PasswordChanged).await?;
        tx.commit().await?;
        Ok((password, ended))
    }
}
