//! Who follows whom, and who does not want to see whom.

use std::collections::HashSet;

use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::UserId;

use super::{Store, column, execute, list};

/// Why a person does not see another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hiding {
    /// Neither sees the other, and neither can answer the other.
    Block,
    /// The one no longer meets the other by chance.
    Mute,
}

impl Hiding {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Mute => "mute",
        }
    }
}

/// How one person stands to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The one follows the other.
    pub(crate) follows: bool,
    /// The one blocks the other.
    pub(crate) blocks: bool,
    /// The one mutes the other.
    pub(crate) mutes: bool,
    /// The other blocks the one.
    pub(crate) is_blocked: bool,
}

impl Store {
    /// Those of `authors` whom the viewer does not meet in lists: blocked on either side, or muted.
    pub(crate) async fn hidden_among(
        &self,
        viewer: UserId,
        authors: &HashSet<UserId>,
    ) -> Result<HashSet<UserId>, DbError> {
        if authors.is_empty() {
            return Ok(HashSet::new());
        }
        let (places, mut values) = list(2, authors.iter().copied());
        let sql = format!(
            "SELECT DISTINCT author_id FROM social_hidden WHERE viewer_id = $1 AND author_id IN ({places})"
        );
        values.insert(0, viewer.into());
        let rows = self.rows(&sql, values).await?;
        Ok(column(&rows, "author_id")?.into_iter().collect())
    }

    /// How the viewer stands to somebody.
    pub(crate) async fn standing(&self, viewer: UserId, other: UserId) -> Result<Standing, DbError> {
        let sql = "SELECT reason FROM social_hidden WHERE viewer_id = $1 AND author_id = $2
                   UNION ALL
                   SELECT 'follow' AS reason FROM social_follows WHERE follower_id = $1 AND followee_id = $2";
        let rows = self.rows(sql, vec![viewer.into(), other.into()]).await?;
        let reasons: Vec<String> = column(&rows, "reason")?;
        let has = |reason: &str| reasons.iter().any(|one| one == reason);
        Ok(Standing {
            follows: has("follow"),
            blocks: has("block"),
            mutes: has("mute"),
            is_blocked: has("blocked"),
        })
    }
}

/// Whether one of two blocks the other.
pub(crate) async fn is_apart(tx: &WriteTx, one: UserId, other: UserId) -> Result<bool, DbError> {
    let sql = "SELECT reason FROM social_hidden
               WHERE viewer_id = $1 AND author_id = $2 AND reason IN ('block', 'blocked')";
    Ok(super::query(tx, sql, vec![one.into(), other.into()]).await?.is_some())
}

/// Changes two profiles' counters, in the order of their ids.
async fn count_follow(tx: &WriteTx, follower: UserId, followee: UserId, by: i64) -> Result<(), DbError> {
    let mut steps = [
        (follower, "UPDATE social_profiles SET following = following + $2 WHERE user_id = $1"),
        (followee, "UPDATE social_profiles SET followers = followers + $2 WHERE user_id = $1"),
    ];
    steps.sort_by_key(|(user, _)| *user);
    for (user, sql) in steps {
        execute(tx, sql, vec![user.into(), by.into()]).await?;
    }
    Ok(())
}

/// Follows; false where that was so already.
pub(crate) async fn follow(
    tx: &WriteTx,
    follower: UserId,
    followee: UserId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "INSERT INTO social_follows (follower_id, followee_id, created_at) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING";
    let new = execute(tx, sql, vec![follower.into(), followee.into(), now.into()]).await? > 0;
    if new {
        count_follow(tx, follower, followee, 1).await?;
    }
    Ok(new)
}

/// Follows no longer; false where that was so already.
pub(crate) async fn unfollow(tx: &WriteTx, follower: UserId, followee: UserId) -> Result<bool, DbError> {
    let sql = "DELETE FROM social_follows WHERE follower_id = $1 AND followee_id = $2";
    let gone = execute(tx, sql, vec![follower.into(), followee.into()]).await? > 0;
    if gone {
        count_follow(tx, follower, followee, -1).await?;
    }
    Ok(gone)
}

/// How many a person blocks, or mutes.
pub(crate) async fn hidden_count(tx: &WriteTx, viewer: UserId, hiding: Hiding) -> Result<i64, DbError> {
    let sql = "SELECT count(*) AS n FROM social_hidden WHERE viewer_id = $1 AND reason = $2";
    let row = super::query(tx, sql, vec![viewer.into(), hiding.as_str().into()]).await?;
    Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or_default())
}

/// Blocks or mutes. A block ends both follows.
pub(crate) async fn hide(
    tx: &WriteTx,
    viewer: UserId,
    other: UserId,
    hiding: Hiding,
    now: Timestamp,
) -> Result<(), DbError> {
    let sql = "INSERT INTO social_hidden (viewer_id, author_id, reason, created_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT DO NOTHING";
    execute(tx, sql, vec![viewer.into(), other.into(), hiding.as_str().into(), now.into()]).await?;
    if hiding == Hiding::Block {
        execute(tx, sql, vec![other.into(), viewer.into(), "blocked".into(), now.into()]).await?;
        unfollow(tx, viewer, other).await?;
        unfollow(tx, other, viewer).await?;
    }
    Ok(())
}

/// Blocks or mutes no longer.
pub(crate) async fn unhide(
    tx: &WriteTx,
    viewer: UserId,
    other: UserId,
    hiding: Hiding,
) -> Result<(), DbError> {
    let sql = "DELETE FROM social_hidden WHERE viewer_id = $1 AND author_id = $2 AND reason = $3";
    execute(tx, sql, vec![viewer.into(), other.into(), hiding.as_str().into()]).await?;
    if hiding == Hiding::Block {
        execute(tx, sql, vec![other.into(), viewer.into(), "blocked".into()]).await?;
    }
    Ok(())
}
