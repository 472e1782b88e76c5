//! Accounts that are banned, suspended or gone, and what that does to what they made.

use backlot_business_api::{CommentId, PostId};
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId, UserId};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};

use super::{Counter, Store, column, comments, execute, likes, posts, profiles, query, relations};
use crate::rows::{Post, comment_state, post_state, profile_state, removed_because};

/// What storage is still to be told about a profile's picture.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct Revocation {
    pub(crate) asset_id: AssetId,
    pub(crate) grant_id: String,
    pub(crate) organisation_id: OrganisationId,
    pub(crate) version: i64,
}

/// What is known of an account beside what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Staff banned it.
    Banned,
    /// Identity suspended it.
    Suspended,
}

impl Store {
    /// Pictures that are to be public no longer, now.
    pub(crate) async fn due_revocations(
        &self,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<Revocation>, DbError> {
        let sql = format!(
            "SELECT asset_id, grant_id, organisation_id, version FROM social_revocations WHERE due_at <= $1
             ORDER BY due_at LIMIT {limit}"
        );
        self.all(&sql, vec![now.into()]).await
    }

    /// Accounts whose traces are being removed.
    pub(crate) async fn erasing(&self, limit: u64) -> Result<Vec<UserId>, DbError> {
        let sql = format!("SELECT user_id FROM social_profiles WHERE erasing LIMIT {limit}");
        column(&self.rows(&sql, vec![]).await?, "user_id")
    }

    /// Organisations whose posts are being removed.
    pub(crate) async fn closing(&self, limit: u64) -> Result<Vec<OrganisationId>, DbError> {
        let sql = format!("SELECT organisation_id FROM social_closing LIMIT {limit}");
        column(&self.rows(&sql, vec![]).await?, "organisation_id")
    }
}

async fn ids<T: sea_orm::TryGetable>(
    tx: &WriteTx,
    sql: &str,
    name: &str,
    values: Vec<Value>,
) -> Result<Vec<T>, DbError> {
    let statement = Statement::from_sql_and_values(tx.backend(), sql, values);
    column(&tx.query_all_raw(statement).await?, name)
}

/// Remembers that storage is to be told, at `due_at`, that a profile's picture is public no longer.
pub(crate) async fn revoke_later(tx: &WriteTx, one: &Revocation, due_at: Timestamp) -> Result<(), DbError> {
    let sql = "INSERT INTO social_revocations (asset_id, grant_id, organisation_id, version, due_at)
               VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (asset_id, grant_id) DO UPDATE SET version = excluded.version, due_at = excluded.due_at";
    let values = vec![
        one.asset_id.into(),
        one.grant_id.as_str().into(),
        one.organisation_id.into(),
        one.version.into(),
        due_at.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// Storage was told, or need not be.
pub(crate) async fn revoked(tx: &WriteTx, asset: AssetId, grant: &str, version: i64) -> Result<(), DbError> {
    let sql = "DELETE FROM social_revocations WHERE asset_id = $1 AND grant_id = $2 AND version = $3";
    execute(tx, sql, vec![asset.into(), grant.into(), version.into()]).await?;
    Ok(())
}

/// Sets or takes back a flag of an account, and hides or shows what it published; false where it has no profile.
pub(crate) async fn set_flag(
    tx: &WriteTx,
    user: UserId,
    flag: Flag,
    on: bool,
    now: Timestamp,
) -> Result<bool, DbError> {
    let column = match flag {
        Flag::Banned => "banned",
        Flag::Suspended => "suspended",
    };
    let sql = format!("UPDATE social_profiles SET {column} = $2, updated_at = $3 WHERE user_id = $1");
    if execute(tx, &sql, vec![user.into(), on.into(), now.into()]).await? == 0 {
        return Ok(false);
    }
    let sql = "UPDATE social_profiles SET state = CASE WHEN state = 'erased' THEN 'erased' WHEN banned THEN 'banned'
                   WHEN suspended THEN 'suspended' ELSE 'active' END WHERE user_id = $1 RETURNING state";
    let row = query(tx, sql, vec![user.into()]).await?;
    let state: Option<String> = row.map(|row| row.try_get("", "state")).transpose()?;
    let active = state.as_deref() == Some(profile_state::ACTIVE);
    let (from, to) = if active {
        (post_state::HIDDEN, post_state::PUBLIC)
    } else {
        (post_state::PUBLIC, post_state::HIDDEN)
    };
    // All at once: nobody sees half of what is hidden. Places, tags and words stay; lists ask for the state.
    let sql = "UPDATE social_posts SET state = $3, grant_version = grant_version + 1, due_at = $4, tries = 0
               WHERE author_id = $1 AND state = $2";
    execute(tx, sql, vec![user.into(), from.into(), to.into(), now.into()]).await?;
    Ok(true)
}

/// The account is gone: its name at once, and what it made is hidden at once. The rest is removed step by step.
pub(crate) async fn begin_erasure(tx: &WriteTx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    let Some(profile) = profiles::of(tx, user).await? else { return Ok(()) };
    if let (Some(asset_id), Some(organisation_id)) = (profile.avatar_asset, profile.avatar_organisation) {
        let (grant_id, version) = (user.to_string(), now.micros());
        revoke_later(tx, &Revocation { asset_id, grant_id, organisation_id, version }, now).await?;
    }
    let gone = format!("deleted_{}", user.uuid().simple());
    let sql = "UPDATE social_profiles SET handle = $2, skeleton = $2, name = 'Deleted account', bio = '',
                   avatar_asset = NULL, avatar_organisation = NULL, state = 'erased', erasing = $3, updated_at = $4
               WHERE user_id = $1";
    execute(tx, sql, vec![user.into(), gone.as_str().into(), true.into(), now.into()]).await?;
    let sql = "UPDATE social_posts SET state = 'hidden', grant_version = grant_version + 1, due_at = $2
               WHERE author_id = $1 AND state = 'public'";
    execute(tx, sql, vec![user.into(), now.into()]).await?;
    Ok(())
}

/// Posts of an organisation that closed are removed, step by step.
pub(crate) async fn begin_closing(
    tx: &WriteTx,
    organisation: OrganisationId,
    now: Timestamp,
) -> Result<(), DbError> {
    let sql = "INSERT INTO social_closing (organisation_id, at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    execute(tx, sql, vec![organisation.into(), now.into()]).await?;
    Ok(())
}

/// One step of removing an organisation's posts; the posts that it removed.
pub(crate) async fn close_step(
    tx: &WriteTx,
    organisation: OrganisationId,
    limit: u64,
    now: Timestamp,
) -> Result<Vec<Post>, DbError> {
    let sql = format!(
        "SELECT id FROM social_posts WHERE organisation_id = $1 AND state <> 'removed' ORDER BY id LIMIT {limit}"
    );
    let removed = remove_posts(tx, ids(tx, &sql, "id", vec![organisation.into()]).await?, now).await?;
    if removed.is_empty() {
        execute(tx, "DELETE FROM social_closing WHERE organisation_id = $1", vec![organisation.into()])
            .await?;
    }
    Ok(removed)
}

/// One step of removing a deleted account's traces; the posts that it removed, and whether more is left.
pub(crate) async fn erase_step(
    tx: &WriteTx,
    user: UserId,
    limit: u64,
    now: Timestamp,
) -> Result<(Vec<Post>, bool), DbError> {
    let sql = format!(
        "SELECT id FROM social_posts WHERE author_id = $1 AND state <> 'removed' ORDER BY id LIMIT {limit}"
    );
    let removed = remove_posts(tx, ids(tx, &sql, "id", vec![user.into()]).await?, now).await?;
    let mut left = !removed.is_empty();
    let sql = format!("SELECT post_id FROM social_likes WHERE user_id = $1 ORDER BY post_id LIMIT {limit}");
    for post in ids::<PostId>(tx, &sql, "post_id", vec![user.into()]).await? {
        likes::unlike(tx, post, user).await?;
        posts::bump(tx, post, Counter::Likes, -1).await?;
        left = true;
    }
    left |= erase_comments(tx, user, limit).await?;
    for (sql, name, out) in [
        ("SELECT followee_id AS other FROM social_follows WHERE follower_id = $1", "other", true),
        ("SELECT follower_id AS other FROM social_follows WHERE followee_id = $1", "other", false),
    ] {
        for other in ids::<UserId>(tx, &format!("{sql} LIMIT {limit}"), name, vec![user.into()]).await? {
            let (follower, followee) = if out { (user, other) } else { (other, user) };
            relations::unfollow(tx, follower, followee).await?;
            left = true;
        }
    }
    if !left {
        for sql in [
            "DELETE FROM social_notifications WHERE user_id = $1",
            "DELETE FROM social_notifications WHERE actor_id = $1",
            "DELETE FROM social_hidden WHERE viewer_id = $1",
            "DELETE FROM social_hidden WHERE author_id = $1",
            "DELETE FROM social_keys WHERE user_id = $1",
            "UPDATE social_reports SET text = '' WHERE reporter_id = $1",
            "UPDATE social_posts SET title = '', text = '', tags = '[]', parameters = '', recipe = ''
             WHERE author_id = $1",
            "UPDATE social_profiles SET erasing = FALSE WHERE user_id = $1",
        ] {
            execute(tx, sql, vec![user.into()]).await?;
        }
    }
    Ok((removed, left))
}

async fn erase_comments(tx: &WriteTx, user: UserId, limit: u64) -> Result<bool, DbError> {
    let sql = format!(
        "SELECT id, post_id, state FROM social_comments WHERE author_id = $1 AND text <> '' ORDER BY id LIMIT {limit}"
    );
    let statement = Statement::from_sql_and_values(tx.backend(), sql, [user.into()]);
    let rows = tx.query_all_raw(statement).await?;
    for row in &rows {
        let (id, post): (CommentId, PostId) = (row.try_get("", "id")?, row.try_get("", "post_id")?);
        if comments::set_state(tx, id, comment_state::PUBLIC, comment_state::REMOVED).await? {
            posts::bump(tx, post, Counter::Comments, -1).await?;
        }
        execute(tx, "UPDATE social_comments SET text = '' WHERE id = $1", vec![id.into()]).await?;
    }
    Ok(!rows.is_empty())
}

async fn remove_posts(tx: &WriteTx, ids: Vec<PostId>, now: Timestamp) -> Result<Vec<Post>, DbError> {
    let mut removed = Vec::new();
    for id in ids {
        let Some(post) = posts::lock(tx, id).await? else { continue };
        posts::set_state(tx, &post, post_state::REMOVED, removed_because::ACCOUNT_DELETED, now).await?;
        removed.push(post);
    }
    Ok(removed)
}

/// The posts that show an asset, locked.
pub(crate) async fn posts_of_asset(tx: &WriteTx, asset: &str) -> Result<Vec<Post>, DbError> {
    let sql = "SELECT id FROM social_posts WHERE asset_id = $1 AND state <> 'removed' ORDER BY id";
    let mut found = Vec::new();
    for id in ids::<PostId>(tx, sql, "id", vec![asset.into()]).await? {
        found.extend(posts::lock(tx, id).await?);
    }
    Ok(found)
}

/// What a profile says about itself is taken down by staff; its picture, where it has one, is answered.
pub(crate) async fn clear_profile(tx: &WriteTx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    let Some(profile) = profiles::of(tx, user).await? else { return Ok(()) };
    if let (Some(asset_id), Some(organisation_id)) = (profile.avatar_asset, profile.avatar_organisation) {
        let (grant_id, version) = (user.to_string(), now.micros());
        revoke_later(tx, &Revocation { asset_id, grant_id, organisation_id, version }, now).await?;
    }
    let sql =
        "UPDATE social_profiles SET name = handle, bio = '', avatar_asset = NULL, avatar_organisation = NULL,
                   updated_at = $2 WHERE user_id = $1";
    execute(tx, sql, vec![user.into(), now.into()]).await?;
    Ok(())
}
