//! Turning a credential into a principal: what the edge asks.

use std::time::Duration;

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{OrganisationId, UserId};

use super::{Credential, Service};
use crate::entities::user;
use crate::error::Error;
use crate::secrets::{API_KEY_MARK, CREDENTIAL_CHARS_MAX, sha256_hex};
use crate::store;

/// How exact "last used" is. A write for every request would be one write too many.
const TOUCH_INTERVAL: Duration = Duration::from_secs(300);

/// Who a credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub user: UserId,
    /// Whether it is a service's account.
    pub is_service: bool,
    /// Where it acts; none: its person is in no organisation.
    pub organisation: Option<OrganisationId>,
    /// Session or key.
    pub credential: Credential,
    /// Of a key; empty: everything that the person may.
    pub scopes: Vec<String>,
    /// Version of the organisation's authority; 0 without organisation.
    pub authority_version: i64,
    /// The operator's own people.
    pub staff: bool,
    /// When the credential ends by itself; none: never.
    pub expires_at: Option<Timestamp>,
}

impl Service {
    /// Who has this session token.
    ///
    /// # Errors
    /// Where it is unknown or over, or its account may not act.
    pub async fn authenticate_session(&self, token: &str) -> Result<Principal, Error> {
        if token.len() > CREDENTIAL_CHARS_MAX {
            return Err(Error::UnknownCredential);
        }
        let (c, now) = (self.db().read(), self.now());
        let row = store::accounts::session_by_hash(c, &sha256_hex(token)).await?;
        let row = row.ok_or(Error::UnknownCredential)?;
        if row.ended_at.is_some() || row.expires_at <= now {
            return Err(Error::SessionEnded);
        }
        let user = self.acting_user(row.user_id, Error::SessionEnded).await?;
        let mut expires_at = row.expires_at;
        if now.since(row.last_seen_at) >= TOUCH_INTERVAL {
            expires_at = self.session_expiry(row.created_at, now);
            let tx = self.db().begin_write().await?;
            store::accounts::touch_session(&*tx, row.id, now, expires_at).await?;
            tx.commit().await?;
        }
        let (organisation, authority_version) = match row.organisation_id {
            Some(id) => self.acting_organisation(id, user.id).await?,
            None => (None, 0),
        };
        Ok(Principal {
            user: user.id,
            is_service: user.kind == "service",
            organisation,
            credential: Credential::Session(row.id),
            scopes: Vec::new(),
            authority_version,
            staff: user.is_staff,
            expires_at: Some(expires_at),
        })
    }

    /// Who has this API key.
    ///
    /// # Errors
    /// Where it is unknown, expired or revoked, or its account may not act.
    pub async fn authenticate_key(&self, key: &str) -> Result<Principal, Error> {
        if key.len() > CREDENTIAL_CHARS_MAX || !key.starts_with(API_KEY_MARK) {
            return Err(Error::UnknownCredential);
        }
        let (c, now) = (self.db().read(), self.now());
        let row = store::credentials::by_hash(c, &sha256_hex(key)).await?.ok_or(Error::UnknownCredential)?;
        if row.revoked_at.is_some() {
            return Err(Error::KeyRevoked);
        }
        if row.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::KeyExpired);
        }
        let user = self.acting_user(row.user_id, Error::KeyRevoked).await?;
        let (organisation, authority_version) =
            self.acting_organisation(row.organisation_id, user.id).await?;
        if organisation.is_none() {
            return Err(Error::KeyRevoked);
        }
        if row.last_used_at.is_none_or(|at| now.since(at) >= TOUCH_INTERVAL) {
            let tx = self.db().begin_write().await?;
            store::credentials::touch(&*tx, row.id, now).await?;
            tx.commit().await?;
        }
        let scopes = serde_json::from_str(&row.scopes)
            .map_err(|_| Error::Stored { what: "list of scopes", text: row.scopes })?;
        Ok(Principal {
            user: user.id,
            is_service: user.kind == "service",
            organisation,
            credential: Credential::ApiKey(row.id),
            scopes,
            authority_version,
            staff: user.is_staff,
            expires_at: row.expires_at,
        })
    }

    async fn acting_user(&self, id: UserId, gone: Error) -> Result<user::Model, Error> {
        let Some(row) = store::accounts::user(self.db().read(), id).await? else { return Err(gone) };
        match row.state.as_str() {
            "active" => Ok(row),
            "suspended" => Err(Error::Suspended),
            "deleted" => Err(gone),
            other => Err(Error::Stored { what: "account state", text: other.to_owned() }),
        }
    }

    /// The organisation with its version, where the person is still a member.
    async fn acting_organisation(
        &self,
        id: OrganisationId,
        user: UserId,
    ) -> Result<(Option<OrganisationId>, i64), Error> {
        let c = self.db().read();
        if store::organisations::membership(c, id, user).await?.is_none() {
            return Ok((None, 0));
        }
        let row = store::organisations::organisation(c, id).await?.filter(|row| row.closed_at.is_none());
        Ok(row.map_or((None, 0), |row| (Some(row.id), row.authority_version)))
    }
}
