//! Feeds: walks of an index from a position, whatever is written meanwhile.
//!
//! A position is the key of the last post that was read, so new posts, which come before it, move nothing.
//! No statement here sorts more than it answers, but for the few hundred candidates of "following" and of a
//! word's beginning.

use std::collections::BTreeSet;

use backlot_business_api::PostId;
use backlot_foundation_db::DbError;
use backlot_infrastructure_api::UserId;
use sea_orm::Value;

use super::{Store, column};
use crate::rows::Post;

/// Which posts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// All.
    All,
    /// Of one author.
    Author(UserId),
    /// With a tag.
    Tag(&'a str),
    /// With one of these words, newest first whatever the order.
    Words(&'a [String]),
    /// Of the authors that somebody follows, newest first whatever the order.
    Following(UserId),
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Newest first.
    New,
    /// Hottest first.
    Hot,
}

/// The key of a post in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Its place in "hot"; not looked at where the order is `New`.
    pub(crate) hot: i64,
    /// The post.
    pub(crate) id: PostId,
}

impl Position {
    pub(crate) const fn of(post: &Post) -> Self {
        Self { hot: post.hot, id: post.id }
    }
}

impl Store {
    /// Up to `limit` public posts after `after`.
    pub(crate) async fn feed(
        &self,
        source: Source<'_>,
        order: Order,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Post>, DbError> {
        match source {
            Source::All => self.walk("", None, order, after, limit).await,
            Source::Author(author) => {
                self.walk("p.author_id = $1 AND", Some(author.into()), order, after, limit).await
            }
            Source::Tag(tag) => self.tagged(tag, order, after, limit).await,
            Source::Words(words) => self.with_words(words, after, limit).await,
            Source::Following(viewer) => self.followed(viewer, after, limit).await,
        }
    }

    async fn walk(
        &self,
        filter: &str,
        value: Option<Value>,
        order: Order,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Post>, DbError> {
        let mut values: Vec<Value> = value.into_iter().collect();
        let (after, by) = keys(order, after, ("p.hot", "p.id"), &mut values);
        let sql = format!(
            "SELECT {} FROM social_posts p WHERE {filter} p.state = 'public' {after} ORDER BY {by} LIMIT {limit}",
            Post::COLUMNS
        );
        self.all(&sql, values).await
    }

    async fn tagged(
        &self,
        tag: &str,
        order: Order,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Post>, DbError> {
        let mut values: Vec<Value> = vec![tag.into()];
        let (after, by) = keys(order, after, ("t.hot", "t.post_id"), &mut values);
        let sql = format!(
            "SELECT {} FROM social_tags t JOIN social_posts p ON p.id = t.post_id
             WHERE t.tag = $1 AND p.state = 'public' {after} ORDER BY {by} LIMIT {limit}",
            Post::COLUMNS
        );
        self.all(&sql, values).await
    }

    async fn with_words(
        &self,
        words: &[String],
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Post>, DbError> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let mut values: Vec<Value> = words.iter().map(|word| word.as_str().into()).collect();
        let older = older("t.post_id", after, &mut values);
        let branches: Vec<String> = (1..=words.len())
            .map(|n| {
                format!(
                    "SELECT * FROM (SELECT t.post_id AS id FROM social_terms t WHERE t.word = ${n} {older}
                     ORDER BY t.post_id DESC LIMIT {limit}) AS w{n}"
                )
            })
            .collect();
        self.newest_of(&branches, values, limit).await
    }

    /// The newest `limit` posts of all followed are by the `limit` authors whose newest post before the
    /// position is newest: so only these authors are read further.
    async fn followed(
        &self,
        viewer: UserId,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Post>, DbError> {
        let mut values: Vec<Value> = vec![viewer.into()];
        let older_than = older("p.id", after, &mut values);
        let sql = format!(
            "SELECT author FROM (
                 SELECT f.followee_id AS author, (SELECT max(p.id) FROM social_posts p
                     WHERE p.author_id = f.followee_id AND p.state = 'public' {older_than}) AS newest
                 FROM social_follows f WHERE f.follower_id = $1) AS authors
             WHERE newest IS NOT NULL ORDER BY newest DESC LIMIT {limit}"
        );
        let authors: Vec<String> = column(&self.rows(&sql, values).await?, "author")?;
        if authors.is_empty() {
            return Ok(Vec::new());
        }
        let mut values: Vec<Value> = authors.iter().map(|author| author.as_str().into()).collect();
        let older_than = older("p.id", after, &mut values);
        let branches: Vec<String> = (1..=authors.len())
            .map(|n| {
                format!(
                    "SELECT * FROM (SELECT p.id AS id FROM social_posts p
                     WHERE p.author_id = ${n} AND p.state = 'public' {older_than}
                     ORDER BY p.id DESC LIMIT {limit}) AS a{n}"
                )
            })
            .collect();
        self.newest_of(&branches, values, limit).await
    }

    /// The newest posts of several lists of ids.
    async fn newest_of(
        &self,
        branches: &[String],
        values: Vec<Value>,
        limit: u64,
    ) -> Result<Vec<Post>, DbError> {
        let sql = format!(
            "SELECT DISTINCT id FROM ({}) AS branches ORDER BY id DESC LIMIT {limit}",
            branches.join(" UNION ALL ")
        );
        let ids: Vec<PostId> = column(&self.rows(&sql, values).await?, "id")?;
        let ids: BTreeSet<PostId> = ids.into_iter().collect();
        let ids: Vec<PostId> = ids.into_iter().rev().collect();
        let mut posts = self.posts(&ids).await?;
        Ok(ids.iter().filter_map(|id| posts.remove(id)).collect())
    }
}

fn older(id: &str, after: Option<Position>, values: &mut Vec<Value>) -> String {
    let Some(after) = after else { return String::new() };
    values.push(after.id.into());
    format!("AND {id} < ${}", values.len())
}

/// The condition and the order of a walk.
fn keys(
    order: Order,
    after: Option<Position>,
    (hot, id): (&str, &str),
    values: &mut Vec<Value>,
) -> (String, String) {
    match order {
        Order::New => (older(id, after, values), format!("{id} DESC")),
        Order::Hot => {
            let by = format!("{hot} DESC, {id} DESC");
            let Some(after) = after else { return (String::new(), by) };
            values.push(after.hot.into());
            values.push(after.id.into());
            let n = values.len();
            (format!("AND ({hot}, {id}) < (${}, ${n})", n - 1), by)
        }
    }
}
