//! Identity's rules. Every change is one transaction: rows, audit row, events, and what billing adds to it.

use std::sync::Arc;

use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_events::{EventMeta, EventType, outbox};
use backlot_foundation_time::{SharedClock, Timestamp};
use backlot_foundation_tokens::Claims;
use backlot_infrastructure_api::{ApiKeyId, OrganisationId, SessionId, UserId};
use parking_lot::Mutex;

use crate::authority::{AuthorityCheck, OrganisationObserver};
use crate::config::Config;
use crate::error::Error;
use crate::limiter::{Limiter, SignInLimits};
use crate::password::Hasher;
use crate::roles::Role;
use crate::store;

mod accounts;
mod authenticate;
mod invitations;
mod keys;
mod leaving;
mod organisations;
mod sessions;

pub use accounts::{Me, MeOrganisation, SignUp, SignedUp};
pub use authenticate::Principal;
pub use invitations::{INVITATION_LIFE, Invitation, NewInvitation};
pub use keys::{ApiKey, NewApiKey};
pub use organisations::{AuditRow, Member, Project};
pub use sessions::{Session, StartedSession};

/// Longest name of a person, organisation, project or key, in characters.
pub const NAME_CHARS_MAX: usize = 120;

/// Whom identity tells and asks inside its transactions.
#[derive(Clone)]
pub struct Deps {
    /// Hears of new organisations and changed memberships.
    pub observer: Arc<dyn OrganisationObserver>,
    /// Decides whether somebody has the authority to invite, promote and so on.
    pub authority: Arc<dyn AuthorityCheck>,
}

/// Identity. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    deps: Deps,
    config: Config,
    clock: SharedClock,
    hasher: Hasher,
    limits: Mutex<Limits>,
}

struct Limits {
    sign_in: SignInLimits,
    sign_up_address: Limiter,
}

/// Who acts, as the token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The person.
    pub user: UserId,
    /// Where the credential acts; none: the person is in no organisation.
    pub organisation: Option<OrganisationId>,
    /// What proved it.
    pub credential: Credential,
    /// Of an API key; empty: everything that the person may.
    pub scopes: Vec<String>,
    /// The operator's own people.
    pub staff: bool,
}

/// What proved who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A browser's session.
    Session(SessionId),
    /// A program's key.
    ApiKey(ApiKeyId),
    /// A token of another issuer than the edge.
    Other,
}

impl Credential {
    /// As it stands in a token: `session:ID` or `key:ID`.
    pub fn text(self) -> String {
        match self {
            Self::Session(id) => format!("session:{id}"),
            Self::ApiKey(id) => format!("key:{id}"),
            Self::Other => String::new(),
        }
    }

    fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some(("session", id)) => SessionId::parse(id).map_or(Self::Other, Self::Session),
            Some(("key", id)) => ApiKeyId::parse(id).map_or(Self::Other, Self::ApiKey),
            Some(_) | None => Self::Other,
        }
    }
}

impl Actor {
    /// Reads the token's claims.
    ///
    /// # Errors
    /// Where it is no person's.
    pub fn from_claims(claims: &Claims) -> Result<Self, Error> {
        let user = UserId::parse(&claims.sub).map_err(|_| Error::UnknownCredential)?;
        Ok(Self {
            user,
            organisation: OrganisationId::parse(&claims.org).ok(),
            credential: Credential::parse(&claims.credential),
            scopes: claims.scopes.clone(),
            staff: claims.staff,
        })
    }

    /// The organisation that the credential acts in.
    ///
    /// # Errors
    /// Where the person is in none.
    pub fn organisation(&self) -> Result<OrganisationId, Error> {
        self.organisation.ok_or(Error::NotFound("organisation: you are a member of none"))
    }

    /// Agrees where the credential covers `scope`.
    ///
    /// # Errors
    /// Where it is a key that does not.
    pub fn require_scope(&self, scope: &str) -> Result<(), Error> {
        if self.scopes.is_empty() || self.scopes.iter().any(|held| held == scope || held == "*") {
            return Ok(());
        }
        Err(Error::ScopeMissing(scope.to_owned()))
    }
}

impl Service {
    /// Identity over infrastructure's database.
    ///
    /// # Errors
    /// Where the cost of password hashing is out of range.
    pub fn new(db: Db, deps: Deps, config: Config, clock: SharedClock) -> Result<Self, Error> {
        let hasher = Hasher::new(config.password_cost)?;
        let limits = Mutex::new(Limits {
            sign_in: SignInLimits {
                pair: Limiter::new(config.sign_in_pair_rate),
                account: Limiter::new(config.sign_in_account_rate),
                address: Limiter::new(config.sign_in_address_rate),
            },
            sign_up_address: Limiter::new(config.sign_up_address_rate),
        });
        Ok(Self { inner: Arc::new(Inner { db, deps, config, clock, hasher, limits }) })
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The actor's role in its organisation, read inside the transaction that depends on it.
    async fn role(&self, tx: &WriteTx, organisation: OrganisationId, user: UserId) -> Result<Role, Error> {
        let row = store::organisations::membership(&**tx, organisation, user).await?;
        row.map(|row| stored_role(&row.role)).transpose()?.ok_or(Error::NotFound("organisation"))
    }
}

/// One change, about to be written down: who, where, when.
struct Change<'a> {
    tx: &'a WriteTx,
    actor: String,
    organisation: Option<OrganisationId>,
    at: Timestamp,
}

impl<'a> Change<'a> {
    fn new(
        tx: &'a WriteTx,
        actor: impl std::fmt::Display,
        organisation: Option<OrganisationId>,
        at: Timestamp,
    ) -> Self {
        Self { tx, actor: actor.to_string(), organisation, at }
    }

    /// Writes the audit row. `action` is the event's type without `identity.`.
    async fn audit(
        &self,
        action: &str,
        subject: impl std::fmt::Display,
        detail: serde_json::Value,
    ) -> Result<(), Error> {
        let entry = store::audit::Entry {
            organisation: self.organisation,
            actor: &self.actor,
            action,
            subject: subject.to_string(),
            detail,
            at: self.at,
        };
        Ok(store::audit::write(&**self.tx, entry).await?)
    }

    /// Writes the event, and the audit row that says the same.
    async fn record<E: EventType>(&self, subject: impl std::fmt::Display, data: &E) -> Result<(), Error> {
        let subject = subject.to_string();
        let meta = EventMeta {
            subject: subject.clone(),
            organisation: self.organisation.map(|id| id.to_string()).unwrap_or_default(),
            actor: self.actor.clone(),
            time: self.at,
        };
        outbox::publish(self.tx, meta, data).await?;
        let action = E::TYPE.strip_prefix("identity.").unwrap_or(E::TYPE);
        let detail = serde_json::to_value(data)
            .map_err(|error| Error::Stored { what: "event", text: error.to_string() })?;
        self.audit(action, subject, detail).await
    }
}

/// Checks a name that people see.
fn checked_name(pointer: &'static str, text: &str) -> Result<String, Error> {
    let text = text.trim();
    let chars = text.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX || text.chars().any(char::is_control) {
        let message = format!("must have 1 to {NAME_CHARS_MAX} characters, none of them control characters");
        return Err(Error::Field { pointer, message });
    }
    Ok(text.to_owned())
}

fn stored_role(text: &str) -> Result<Role, Error> {
    text.parse().map_err(|_| Error::Stored { what: "role", text: text.to_owned() })
}
