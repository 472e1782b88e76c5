//! Profiles.

use std::collections::HashMap;

use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId, UserId};
use sea_orm::Value;

use super::{Store, execute, find, list};
use crate::rows::Profile;

/// A profile as its person wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewProfile {
    pub(crate) user: UserId,
    pub(crate) handle: String,
    pub(crate) skeleton: String,
    pub(crate) name: String,
    pub(crate) bio: String,
    pub(crate) avatar: Option<(AssetId, OrganisationId)>,
    pub(crate) at: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saved {
    /// It is written.
    Yes,
    /// Another person has this handle, or one that looks like it.
    HandleTaken,
}

impl Store {
    /// The profile of an account.
    pub(crate) async fn profile(&self, user: UserId) -> Result<Option<Profile>, DbError> {
        let sql = format!("SELECT {} FROM social_profiles WHERE user_id = $1", Profile::COLUMNS);
        self.one(&sql, vec![user.into()]).await
    }

    /// The profile with a handle.
    pub(crate) async fn profile_by_handle(&self, handle: &str) -> Result<Option<Profile>, DbError> {
        let sql = format!("SELECT {} FROM social_profiles WHERE handle = $1", Profile::COLUMNS);
        self.one(&sql, vec![handle.into()]).await
    }

    /// The profiles of these accounts.
    pub(crate) async fn profiles(&self, users: &[UserId]) -> Result<HashMap<UserId, Profile>, DbError> {
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let (places, values) = list(1, users.iter().copied());
        let sql = format!("SELECT {} FROM social_profiles WHERE user_id IN ({places})", Profile::COLUMNS);
        let found: Vec<Profile> = self.all(&sql, values).await?;
        Ok(found.into_iter().map(|profile| (profile.user_id, profile)).collect())
    }

    /// Whether nobody else has this handle or one that looks like it.
    pub(crate) async fn is_free(&self, user: UserId, skeleton: &str) -> Result<bool, DbError> {
        let sql = "SELECT user_id FROM social_profiles WHERE skeleton = $1 AND user_id <> $2";
        Ok(self.rows(sql, vec![skeleton.into(), user.into()]).await?.is_empty())
    }
}

/// Writes a new profile, or what somebody changed about theirs.
pub(crate) async fn save(tx: &WriteTx, new: &NewProfile) -> Result<Saved, DbError> {
    let (asset, organisation) = match new.avatar {
        Some((asset, organisation)) => (Value::from(asset), Value::from(organisation)),
        None => (Value::String(None), Value::String(None)),
    };
    let values: Vec<Value> = vec![
        new.user.into(),
        new.handle.as_str().into(),
        new.skeleton.as_str().into(),
        new.name.as_str().into(),
        new.bio.as_str().into(),
        asset,
        organisation,
        new.at.into(),
    ];
    // Both first, so that a conflict is an answer and not an error that ends PostgreSQL's transaction.
    let taken = "SELECT user_id FROM social_profiles WHERE (skeleton = $1 OR handle = $2) AND user_id <> $3";
    let other = vec![new.skeleton.as_str().into(), new.handle.as_str().into(), new.user.into()];
    if super::query(tx, taken, other).await?.is_some() {
        return Ok(Saved::HandleTaken);
    }
    let sql = "UPDATE social_profiles SET handle = $2, skeleton = $3, name = $4, bio = $5, avatar_asset = $6,
                   avatar_organisation = $7, updated_at = $8 WHERE user_id = $1";
    if execute(tx, sql, values.clone()).await? > 0 {
        return Ok(Saved::Yes);
    }
    let sql = "INSERT INTO social_profiles (user_id, handle, skeleton, name, bio, avatar_asset, avatar_organisation,
                   state, posts, followers, following, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 'active', 0, 0, 0, $8, $8) ON CONFLICT DO NOTHING";
    // Nothing written: another request was faster, with this handle or with this account.
    let written = execute(tx, sql, values).await?;
    if written > 0 || of(tx, new.user).await?.is_some_and(|one| one.handle == new.handle) {
        return Ok(Saved::Yes);
    }
    Ok(Saved::HandleTaken)
}

/// The profile, inside of a transaction.
pub(crate) async fn of(tx: &WriteTx, user: UserId) -> Result<Option<Profile>, DbError> {
    let sql = format!("SELECT {} FROM social_profiles WHERE user_id = $1", Profile::COLUMNS);
    find(tx, &sql, vec![user.into()]).await
}

/// Counts posts of an author.
pub(crate) async fn count_posts(tx: &WriteTx, user: UserId, by: i64) -> Result<(), DbError> {
    let sql = "UPDATE social_profiles SET posts = posts + $2 WHERE user_id = $1";
    execute(tx, sql, vec![user.into(), by.into()]).await?;
    Ok(())
}
