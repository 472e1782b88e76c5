//! API keys: shown once, stored as a hash, taken back at once.

use std::time::Duration;

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::identity::{ApiKeyCreated, ApiKeyRevoked};
use backlot_infrastructure_api::{ApiKeyId, OrganisationId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Actor, Change, Credential, Service, checked_name, stored_role};
use crate::entities::api_key;
use crate::error::Error;
use crate::{secrets, store};

/// Keys of one person in one organisation.
const KEYS_MAX: u64 = 100;
/// Scopes of one key.
const SCOPES_MAX: usize = 32;
/// Characters of one scope.
const SCOPE_CHARS_MAX: usize = 64;
/// Longest life that can be asked for: ten years.
const LIFE_S_MAX: u64 = 10 * 366 * 24 * 3600;

/// A key as it is shown in lists. The key itself is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What its person calls it.
    pub name: String,
    /// `blk_` and the first characters, by which it is recognised.
    pub prefix: String,
    /// On whose behalf it acts.
    pub user_id: UserId,
    /// What it is limited to; empty: everything that its person may.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to within five minutes.
    pub last_used_at: Option<Timestamp>,
}

/// A key that was just made.
pub struct NewApiKey {
    /// As it will be listed.
    pub listed: ApiKey,
    /// The key itself, shown this once.
    pub key: String,
}

impl Service {
    /// Makes a key for the actor in its organisation.
    ///
    /// # Errors
    /// Where a field breaks a rule, a limit is reached, or the actor's own key covers less or ends sooner.
    pub async fn create_key(
        &self,
        actor: &Actor,
        name: &str,
        scopes: Vec<String>,
        expires_in_s: Option<u64>,
    ) -> Result<NewApiKey, Error> {
        let organisation = actor.organisation()?;
        let name = checked_name("/name", name)?;
        let scopes = checked_scopes(actor, scopes)?;
        let expires_at = self.checked_expiry(expires_in_s)?;
        let key = NewKey { user: actor.user, organisation, name, scopes, expires_at };
        self.insert_key(key, Some(actor.credential), actor.user.to_string()).await
    }

    /// Makes a key without limits for an account, in the organisation that it joined first. For the
    /// operator's command line.
    ///
    /// # Errors
    /// Where there is no such account, or it is in no organisation.
    pub(crate) async fn create_key_for(&self, email: &str, name: &str, by: &str) -> Result<NewApiKey, Error> {
        let user = self.user_by_email(email).await?;
        let memberships = store::organisations::memberships_of_user(self.db().read(), user.id).await?;
        let first =
            memberships.first().ok_or(Error::NotFound("organisation: the account is a member of none"))?;
        let name = checked_name("/name", name)?;
        let organisation = first.organisation_id;
        let key = NewKey { user: user.id, organisation, name, scopes: Vec::new(), expires_at: None };
        self.insert_key(key, None, by.to_owned()).await
    }

    fn checked_expiry(&self, expires_in_s: Option<u64>) -> Result<Option<Timestamp>, Error> {
        let Some(seconds) = expires_in_s else { return Ok(None) };
        if seconds == 0 || seconds > LIFE_S_MAX {
            let message = format!("must be 1 to {LIFE_S_MAX} seconds, or be left out for a key without end");
            return Err(Error::Field { pointer: "/expires_in_s", message });
        }
        Ok(Some(self.now().plus(Duration::from_secs(seconds))))
    }

    async fn insert_key(
        &self,
        key: NewKey,
        credential: Option<Credential>,
        by: String,
    ) -> Result<NewApiKey, Error> {
        let NewKey { user, organisation, name, scopes, expires_at } = key;
        let made = secrets::generate_api_key()?;
        let (id, now) = (ApiKeyId::generate(), self.now());
        let tx = self.db().begin_write().await?;
        // Locks the organisation: the limit holds, and a key cannot slip in beside its person's removal.
        if !store::organisations::raise_authority_version(&*tx, organisation).await? {
            return Err(Error::NotFound("organisation"));
        }
        self.role(&tx, organisation, user).await?;
        if let Some(Credential::ApiKey(maker)) = credential {
            let maker = store::credentials::by_id(&*tx, organisation, maker).await?;
            check_maker(&maker.ok_or(Error::KeyRevoked)?, expires_at)?;
        }
        if store::credentials::count(&*tx, organisation, user).await? >= KEYS_MAX {
            return Err(Error::Limit { limit: KEYS_MAX, things: "API keys" });
        }
        let row = api_key::Model {
            id,
            organisation_id: organisation,
            user_id: user,
            name,
            prefix: made.prefix,
            key_sha256: made.secret.sha256,
            scopes: serde_json::Value::from(scopes.clone()).to_string(),
            created_at: now,
            expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        store::credentials::insert(&*tx, row.clone()).await?;
        let change = Change::new(&tx, by, Some(organisation), now);
        let created = ApiKeyCreated { api_key_id: id, user_id: user, organisation_id: organisation, scopes };
        change.record(id, &created).await?;
        tx.commit().await?;
        Ok(NewApiKey { listed: listed(row)?, key: made.secret.text })
    }

    /// The actor's keys in its organisation; for those who manage people, everybody's.
    ///
    /// # Errors
    /// Where the actor is no member.
    pub async fn keys(&self, actor: &Actor) -> Result<Vec<ApiKey>, Error> {
        let organisation = actor.organisation()?;
        let manages = self.manages_people(organisation, actor.user).await?;
        let owner = (!manages).then_some(actor.user);
        let limit = if manages { KEYS_MAX * 10 } else { KEYS_MAX };
        let rows = store::credentials::list(self.db().read(), organisation, owner, limit).await?;
        rows.into_iter().map(listed).collect()
    }

    async fn manages_people(&self, organisation: OrganisationId, user: UserId) -> Result<bool, Error> {
        let row = store::organisations::membership(self.db().read(), organisation, user).await?;
        let role = row.map(|row| stored_role(&row.role)).transpose()?;
        Ok(role.ok_or(Error::NotFound("organisation"))?.manages_people())
    }

    /// Takes a key back: the actor's own, or anybody's where the actor manages people.
    ///
    /// # Errors
    /// Where it is unknown, another tenant's, or not the actor's to take.
    pub async fn revoke_key(&self, actor: &Actor, id: ApiKeyId) -> Result<(), Error> {
        let organisation = actor.organisation()?;
        let tx = self.db().begin_write().await?;
        let row = store::credentials::by_id(&*tx, organisation, id).await?;
        let row = row.ok_or(Error::NotFound("API key"))?;
        let role = self.role(&tx, organisation, actor.user).await?;
        if row.user_id != actor.user && !role.manages_people() {
            return Err(Error::NotFound("API key"));
        }
        let change = Change::new(&tx, actor.user, Some(organisation), self.now());
        Self::revoke_row(&change, &row).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn revoke_row(change: &Change<'_>, row: &api_key::Model) -> Result<(), Error> {
        if store::credentials::revoke(&**change.tx, row.id, change.at).await? {
            let revoked = ApiKeyRevoked {
                api_key_id: row.id,
                user_id: row.user_id,
                organisation_id: row.organisation_id,
            };
            change.record(row.id, &revoked).await?;
        }
        Ok(())
    }
}

/// A key about to be made.
struct NewKey {
    user: UserId,
    organisation: OrganisationId,
    name: String,
    scopes: Vec<String>,
    expires_at: Option<Timestamp>,
}

/// Nobody gives what they do not hold: a key that ends makes none that lives longer, and one that was taken back none at
/// all, also in the moment in which its token is still good.
fn check_maker(maker: &api_key::Model, expires_at: Option<Timestamp>) -> Result<(), Error> {
    if maker.revoked_at.is_some() {
        return Err(Error::KeyRevoked);
    }
    if maker.expires_at.is_some_and(|latest| expires_at.is_none_or(|at| at > latest)) {
        return Err(Error::NotHeld(
            "A key that ends makes no key that lives longer: name an earlier end in \"expires_in_s\".",
        ));
    }
    Ok(())
}

/// A scope is `area:read`, `area:write` or `*`. Nobody gives what they do not hold: a key with scopes
/// makes only keys with the same or fewer.
fn checked_scopes(actor: &Actor, scopes: Vec<String>) -> Result<Vec<String>, Error> {
    let wrong = |message: &str| Error::Field { pointer: "/scopes", message: message.to_owned() };
    if scopes.len() > SCOPES_MAX {
        return Err(wrong("at most 32 scopes"));
    }
    for scope in &scopes {
        let well_formed = scope.len() <= SCOPE_CHARS_MAX
            && scope.split_once(':').is_some_and(|(area, verb)| {
                !area.is_empty()
                    && area.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                    && matches!(verb, "read" | "write")
            });
        if scope != "*" && !well_formed {
            return Err(wrong(
                "a scope is \"area:read\", \"area:write\" or \"*\", for example \"assets:read\"",
            ));
        }
        actor.require_scope(scope)?;
    }
    if scopes.is_empty() && !actor.scopes.is_empty() {
        return Err(Error::NotHeld("A key with scopes cannot make a key without any: name the scopes."));
    }
    Ok(scopes)
}

fn listed(row: api_key::Model) -> Result<ApiKey, Error> {
    let scopes = serde_json::from_str(&row.scopes)
        .map_err(|_| Error::Stored { what: "list of scopes", text: row.scopes })?;
    Ok(ApiKey {
        id: row.id,
        name: row.name,
        prefix: format!("{}{}", secrets::API_KEY_MARK, row.prefix),
        user_id: row.user_id,
        scopes,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    })
}
