//! Feeds: walks of an index from a position, whatever is written meanwhile.
//!
//! A position is the key of the last post that was read, so new posts, which come before it, move nothing.
//! No statement here sorts more than it answers, but for the few hundred candidates of "following" and of a
//! word's beginning. Ids are found first, in indexes alone, and then these posts are read: joined, PostgreSQL would
//! walk all posts beside the index. `social_terms` holds the lists: of each word, and of each author.

use backlot_business_api::PostId;
use backlot_foundation_db::DbError;
use backlot_infrastructure_api::UserId;
use sea_orm::{DatabaseBackend, Value};

use super::posts::{author_key, end_of};
use super::{Store, column, list};
use crate::limits::SEARCH_WINDOW;
use crate::rows::Post;

/// Ids are digits and `a` to `f`, so this comes after all of them.
const ID_END: &str = "g";

/// Which posts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// All.
    All,
    /// Of one author.
    Author(UserId),
    /// With a tag.
    Tag(&'a str),
    /// With words, newest first whatever the order.
    Words(&'a Words),
    /// Of the authors that somebody follows, newest first whatever the order.
    Following(UserId),
}

/// What a search asks of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    /// It has one of these: their lists are walked.
    pub(crate) any: Vec<String>,
    /// And each of these.
    pub(crate) also: Vec<String>,
    /// And one that begins so.
    pub(crate) beginning: Option<String>,
    /// And this tag.
    pub(crate) tag: Option<String>,
    /// And this author.
    pub(crate) author: Option<UserId>,
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

    const fn at(id: PostId) -> Self {
        Self { hot: 0, id }
    }
}

/// A part of a walk.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// In order. Some may be public no longer.
    pub(crate) posts: Vec<Post>,
    /// Where the next part begins; `None`: there is none.
    pub(crate) last: Option<Position>,
    /// Entries of the index that were looked at, at most.
    pub(crate) looked_at: u64,
}

impl Store {
    /// Up to `limit` posts after `after`.
    pub(crate) async fn feed(
        &self,
        source: Source<'_>,
        order: Order,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Chunk, DbError> {
        match source {
            Source::All => self.all_posts(order, after, limit).await,
            Source::Author(author) => self.by(author, order, after, limit).await,
            Source::Tag(tag) => self.tagged(tag, order, after, limit).await,
            Source::Words(words) => self.with_words(words, after, limit).await,
            Source::Following(viewer) => self.followed(viewer, after, limit).await,
        }
    }

    async fn all_posts(&self, order: Order, after: Option<Position>, limit: u64) -> Result<Chunk, DbError> {
        let mut values = Vec::new();
        let (after, by) = keys(order, after, ("p.hot", "p.id"), &mut values);
        self.walk(&format!("p.state = 'public' {after} ORDER BY {by} LIMIT {limit}"), values, limit).await
    }

    async fn by(
        &self,
        author: UserId,
        order: Order,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Chunk, DbError> {
        if order == Order::New {
            let mut values: Vec<Value> = vec![author_key(author).into()];
            let list = self.newest(("t.word", "t.post_id"), "$1", &place_of(after, &mut values), limit);
            let sql = format!("SELECT t.post_id AS id FROM social_terms t WHERE {list}");
            return self.chunk(&sql, values, limit).await;
        }
        let mut values: Vec<Value> = vec![author.into()];
        let (after, by) = keys(order, after, ("p.hot", "p.id"), &mut values);
        let list = format!("p.state = 'public' AND p.author_id = $1 {after} ORDER BY {by} LIMIT {limit}");
        self.walk(&list, values, limit).await
    }

    async fn walk(&self, list: &str, values: Vec<Value>, limit: u64) -> Result<Chunk, DbError> {
        let sql = format!("SELECT {} FROM social_posts p WHERE {list}", Post::COLUMNS);
        let posts: Vec<Post> = self.all(&sql, values).await?;
        let last = posts.last().filter(|_| posts.len() as u64 >= limit).map(Position::of);
        Ok(Chunk { posts, last, looked_at: limit })
    }

    async fn tagged(
        &self,
        tag: &str,
        order: Order,
        after: Option<Position>,
        limit: u64,
    ) -> Result<Chunk, DbError> {
        let mut values: Vec<Value> = vec![tag.into()];
        let list = match order {
            Order::New => self.newest(("t.tag", "t.post_id"), "$1", &place_of(after, &mut values), limit),
            Order::Hot => {
                let (after, by) = keys(order, after, ("t.hot", "t.post_id"), &mut values);
                format!("t.tag = $1 {after} ORDER BY {by} LIMIT {limit}")
            }
        };
        let sql = format!("SELECT t.post_id AS id, t.hot FROM social_tags t WHERE {list}");
        let rows = self.rows(&sql, values).await?;
        let (ids, hots): (Vec<PostId>, Vec<i64>) = (column(&rows, "id")?, column(&rows, "hot")?);
        let last = ids.last().zip(hots.last()).filter(|_| ids.len() as u64 >= limit);
        let last = last.map(|(&id, &hot)| Position { hot, id });
        Ok(Chunk { posts: self.in_order(&ids).await?, last, looked_at: limit })
    }

    async fn with_words(&self, words: &Words, after: Option<Position>, limit: u64) -> Result<Chunk, DbError> {
        if words.any.is_empty() {
            return Ok(Chunk { posts: Vec::new(), last: None, looked_at: 0 });
        }
        let mut values: Vec<Value> = words.any.iter().map(|word| word.as_str().into()).collect();
        let after = place_of(after, &mut values);
        let conditions = conditions(words, &mut values);
        let window = if conditions.is_empty() { limit } else { SEARCH_WINDOW };
        let candidates = self.newest_of_each(words.any.len(), window, |word| {
            let list = self.newest(("t.word", "t.post_id"), word, &after, window);
            format!("SELECT t.post_id AS id FROM social_terms t WHERE {list}")
        });
        if conditions.is_empty() {
            return self.chunk(&candidates, values, limit).await;
        }
        let sql = format!(
            "SELECT c.id AS id FROM ({candidates}) AS c WHERE {} ORDER BY c.id DESC LIMIT {limit}",
            conditions.join(" AND ")
        );
        let mut chunk = self.chunk(&sql, values.clone(), limit).await?;
        chunk.looked_at = window;
        if chunk.last.is_none() {
            // Few of the window fit: the next part begins where it ends.
            values.truncate(words.any.len() + 1);
            let sql =
                format!("SELECT id FROM ({candidates}) AS c ORDER BY id DESC LIMIT 1 OFFSET {}", window - 1);
            let ends: Vec<PostId> = column(&self.rows(&sql, values).await?, "id")?;
            chunk.last = ends.first().copied().map(Position::at);
        }
        Ok(chunk)
    }

    /// The newest `limit` posts of all followed are by the `limit` authors whose newest post before the
    /// position is newest: so only these authors are read further.
    async fn followed(&self, viewer: UserId, after: Option<Position>, limit: u64) -> Result<Chunk, DbError> {
        let mut values: Vec<Value> = vec![viewer.into()];
        let before = place_of(after, &mut values);
        // Who published nothing comes last, and is left out here: asked for there, it would be looked up twice.
        let sql = format!(
            "SELECT '@' || f.followee_id AS author, (SELECT max(t.post_id) FROM social_terms t
                 WHERE t.word = '@' || f.followee_id AND t.post_id < {before}) AS newest
             FROM social_follows f WHERE f.follower_id = $1 ORDER BY newest DESC NULLS LAST LIMIT {limit}"
        );
        let rows = self.rows(&sql, values).await?;
        let authors: Vec<String> = column(&rows, "author")?;
        let newest: Vec<Option<String>> = column(&rows, "newest")?;
        let authors = authors.iter().zip(newest).filter(|(_, newest)| newest.is_some());
        let (places, mut values) = list(1, authors.map(|(author, _)| author.as_str()));
        if places.is_empty() {
            return Ok(Chunk { posts: Vec::new(), last: None, looked_at: 0 });
        }
        let count = values.len();
        let before = place_of(after, &mut values);
        let newest = self.newest_of_each(count, limit, |author| {
            let list = self.newest(("t.word", "t.post_id"), author, &before, limit);
            format!("SELECT t.post_id AS id FROM social_terms t WHERE {list}")
        });
        self.chunk(&newest, values, limit).await
    }

    /// The newest of one key before a position, as a walk of the index (key, id).
    ///
    /// PostgreSQL takes an unknown key for a rare one, and would sort all posts of a common one. As a range of keys it
    /// expects many, and walks.
    fn newest(&self, (key, id): (&str, &str), value: &str, before: &str, limit: u64) -> String {
        match self.db.backend() {
            DatabaseBackend::Postgres => format!(
                "({key}, {id}) < ({value}, {before}) AND {key} >= {value} ORDER BY {key} DESC, {id} DESC LIMIT {limit}"
            ),
            _ => format!("{key} = {value} AND {id} < {before} ORDER BY {id} DESC LIMIT {limit}"),
        }
    }

    /// The newest `limit` ids of the lists that `list` writes for each of the first `count` values.
    ///
    /// PostgreSQL plans one list and runs it for each value; written out, planning them takes longer than reading them.
    fn newest_of_each(&self, count: usize, limit: u64, list: impl Fn(&str) -> String) -> String {
        let places = (1..=count).map(|n| format!("${n}"));
        if count == 1 {
            return list("$1");
        }
        let all = match self.db.backend() {
            DatabaseBackend::Postgres => {
                let values: Vec<String> = places.map(|place| format!("({place})")).collect();
                let list = list("of.value");
                format!("(VALUES {}) AS of (value) CROSS JOIN LATERAL ({list}) AS lists", values.join(", "))
            }
            _ => {
                let lists: Vec<String> =
                    places.map(|place| format!("SELECT id FROM ({})", list(&place))).collect();
                format!("({}) AS lists", lists.join(" UNION ALL "))
            }
        };
        format!("SELECT DISTINCT lists.id AS id FROM {all} ORDER BY id DESC LIMIT {limit}")
    }

    /// The posts whose ids this answers.
    async fn chunk(&self, sql: &str, values: Vec<Value>, limit: u64) -> Result<Chunk, DbError> {
        let ids: Vec<PostId> = column(&self.rows(sql, values).await?, "id")?;
        let last = ids.last().filter(|_| ids.len() as u64 >= limit).copied().map(Position::at);
        Ok(Chunk { posts: self.in_order(&ids).await?, last, looked_at: limit })
    }

    async fn in_order(&self, ids: &[PostId]) -> Result<Vec<Post>, DbError> {
        let mut posts = self.posts(ids).await?;
        Ok(ids.iter().filter_map(|id| posts.remove(id)).collect())
    }
}

/// What a candidate `c.id` of a search must fulfil beside its word.
fn conditions(words: &Words, values: &mut Vec<Value>) -> Vec<String> {
    let mut place = |value: Value| {
        values.push(value);
        values.len()
    };
    // No EXISTS: PostgreSQL would make a join of it, and read all posts of a common word instead of asking a few.
    let has = |condition: String| {
        format!("(SELECT 1 FROM social_terms o WHERE o.post_id = c.id AND {condition} LIMIT 1) = 1")
    };
    let mut all: Vec<String> =
        words.also.iter().map(|word| has(format!("o.word = ${}", place(word.as_str().into())))).collect();
    if let Some(beginning) = &words.beginning {
        let (from, to) = (place(beginning.as_str().into()), place(end_of(beginning).into()));
        all.push(has(format!("o.word >= ${from} AND o.word < ${to}")));
    }
    if let Some(tag) = &words.tag {
        let tag = place(tag.as_str().into());
        all.push(format!(
            "(SELECT 1 FROM social_tags g WHERE g.tag = ${tag} AND g.post_id = c.id LIMIT 1) = 1"
        ));
    }
    if let Some(author) = words.author {
        all.push(has(format!("o.word = ${}", place(author_key(author).into()))));
    }
    all
}

/// The place of a position's id among the values; of none, of what comes after all ids.
fn place_of(after: Option<Position>, values: &mut Vec<Value>) -> String {
    values.push(after.map_or_else(|| ID_END.into(), |after| after.id.into()));
    format!("${}", values.len())
}

/// The condition and the order of a walk.
fn keys(
    order: Order,
    after: Option<Position>,
    (hot, id): (&str, &str),
    values: &mut Vec<Value>,
) -> (String, String) {
    match order {
        Order::New => (format!("AND {id} < {}", place_of(after, values)), format!("{id} DESC")),
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

#[cfg(test)]
mod tests;
