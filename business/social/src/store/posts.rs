//! Posts, their tags and words, and what storage is still to be told about their media.

use std::collections::{BTreeSet, HashMap};

use backlot_business_api::PostId;
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::UserId;
use sea_orm::{DatabaseBackend, DbErr, Value};

use super::{Store, execute, find, list, profiles, query};
use crate::hot::hot;
use crate::rows::{Post, Word, post_state};
use crate::text;

/// What is counted in a post's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Likes.
    Likes,
    /// Comments that are seen.
    Comments,
    /// Boards that were made from it.
    Remixes,
}

impl Counter {
    const fn column(self) -> &'static str {
        match self {
            Self::Likes => "likes",
            Self::Comments => "comments",
            Self::Remixes => "remixes",
        }
    }
}

/// A use of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Digest of the key.
    pub(crate) key_digest: String,
    /// Digest of the request.
    pub(crate) body_digest: String,
}

/// What became of a new post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is written.
    New,
    /// The key was used before, for this request.
    Replay(PostId),
    /// The key was used before, for another request.
    KeyReused(PostId),
}

/// What its author changes about a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) tags: Vec<String>,
    pub(crate) share_parameters: bool,
    pub(crate) remixable: bool,
}

/// Kinds of words, as stored.
const TAG: &str = "tag";
const WORD: &str = "word";

impl Store {
    /// The post, whatever its state.
    pub(crate) async fn post(&self, id: PostId) -> Result<Option<Post>, DbError> {
        let sql = format!("SELECT {} FROM social_posts p WHERE p.id = $1", Post::COLUMNS);
        self.one(&sql, vec![id.into()]).await
    }

    /// What was on the post's board when it was published; empty where there was none.
    pub(crate) async fn recipe(&self, id: PostId) -> Result<String, DbError> {
        let sql = "SELECT p.recipe FROM social_posts p WHERE p.id = $1";
        let recipe: Vec<String> = super::column(&self.rows(sql, vec![id.into()]).await?, "recipe")?;
        Ok(recipe.into_iter().next().unwrap_or_default())
    }

    /// These posts, whatever their state.
    pub(crate) async fn posts(&self, ids: &[PostId]) -> Result<HashMap<PostId, Post>, DbError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let (places, values) = list(1, ids.iter().copied());
        let sql = format!("SELECT {} FROM social_posts p WHERE p.id IN ({places})", Post::COLUMNS);
        let posts: Vec<Post> = self.all(&sql, values).await?;
        Ok(posts.into_iter().map(|post| (post.id, post)).collect())
    }

    /// The post that a key was used for, if any.
    pub(crate) async fn replay(&self, user: UserId, key: &Key) -> Result<Option<Inserted>, DbError> {
        let sql = "SELECT body_digest, post_id FROM social_keys WHERE user_id = $1 AND key_digest = $2";
        let rows = self.rows(sql, vec![user.into(), key.key_digest.as_str().into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let body: String = row.try_get("", "body_digest")?;
        let post: PostId = row.try_get("", "post_id")?;
        Ok(Some(if body == key.body_digest { Inserted::Replay(post) } else { Inserted::KeyReused(post) }))
    }

    /// Takes posts that are due and puts them off until `until`, so that another replica does not take them, too.
    pub(crate) async fn take_due(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u64,
    ) -> Result<Vec<PostId>, DbError> {
        let sql = "SELECT id FROM social_posts WHERE due_at IS NOT NULL AND due_at <= $1 LIMIT 1";
        if self.rows(sql, vec![now.into()]).await?.is_empty() {
            return Ok(Vec::new());
        }
        let tx = self.begin().await?;
        let lock = lock_words(&tx, "FOR UPDATE SKIP LOCKED");
        let sql = format!(
            "UPDATE social_posts SET due_at = $1 WHERE id IN
             (SELECT id FROM social_posts WHERE due_at IS NOT NULL AND due_at <= $2
              ORDER BY due_at LIMIT {limit} {lock}) RETURNING id"
        );
        let statement =
            sea_orm::Statement::from_sql_and_values(tx.backend(), sql, [until.into(), now.into()]);
        let rows = sea_orm::ConnectionTrait::query_all_raw(&*tx, statement).await?;
        let taken = super::column(&rows, "id")?;
        tx.commit().await?;
        Ok(taken)
    }

    /// The tags of most posts whose name begins so.
    pub(crate) async fn top_tags(&self, beginning: &str, limit: u64) -> Result<Vec<Word>, DbError> {
        self.words_beginning(TAG, beginning, limit).await
    }

    /// The words of most posts that begin so.
    pub(crate) async fn top_words(&self, beginning: &str, limit: u64) -> Result<Vec<Word>, DbError> {
        self.words_beginning(WORD, beginning, limit).await
    }

    async fn words_beginning(&self, kind: &str, beginning: &str, limit: u64) -> Result<Vec<Word>, DbError> {
        let end = end_of(beginning);
        let sql = format!(
            "SELECT word, posts FROM social_words WHERE kind = $1 AND word >= $2 AND word < $3 AND posts > 0
             ORDER BY posts DESC, word LIMIT {limit}"
        );
        self.all(&sql, vec![kind.into(), beginning.into(), end.into()]).await
    }

    /// How many posts have each of these words; a word that none has is missing.
    pub(crate) async fn word_counts(&self, words: &[String]) -> Result<Vec<Word>, DbError> {
        let (places, values) = list(1, words.iter().map(String::as_str));
        let sql = format!(
            "SELECT word, posts FROM social_words WHERE kind = 'word' AND posts > 0 AND word IN ({places})"
        );
        self.all(&sql, values).await
    }
}

/// The word under which an author's posts are listed; no text has it.
pub(super) fn author_key(author: UserId) -> String {
    format!("@{author}")
}

/// No text begins with U+10FFFF, so this is the end of the texts that begin so.
pub(super) fn end_of(beginning: &str) -> String {
    format!("{beginning}\u{10ffff}")
}

fn lock_words(tx: &WriteTx, words: &'static str) -> &'static str {
    match tx.backend() {
        DatabaseBackend::Postgres => words,
        // Its one writer is this transaction.
        _ => "",
    }
}

/// The post, held for the rest of the transaction.
pub(crate) async fn lock(tx: &WriteTx, id: PostId) -> Result<Option<Post>, DbError> {
    let lock = lock_words(tx, "FOR UPDATE");
    let sql = format!("SELECT {} FROM social_posts p WHERE p.id = $1 {lock}", Post::COLUMNS);
    find(tx, &sql, vec![id.into()]).await
}

/// Writes a new post with its key.
pub(crate) async fn insert(tx: &WriteTx, post: &Post, key: Option<&Key>) -> Result<bool, DbError> {
    if let Some(key) = key {
        let sql =
            "INSERT INTO social_keys (user_id, key_digest, body_digest, post_id) VALUES ($1, $2, $3, $4)
                   ON CONFLICT DO NOTHING";
        let values = vec![
            post.author_id.into(),
            key.key_digest.as_str().into(),
            key.body_digest.as_str().into(),
            post.id.into(),
        ];
        if execute(tx, sql, values).await? == 0 {
            return Ok(false);
        }
    }
    let sql = "INSERT INTO social_posts (id, author_id, organisation_id, state, asset_id, kind, width_px, height_px,
                   duration_ms, title, text, tags, board_id, parent_post_id, share_parameters, remixable, tool,
                   tool_version, model, model_version, parameters, likes, comments, remixes, hot, granted,
                   grant_version, removed_because, due_at, tries, last_error, created_at, updated_at, recipe)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                   $21, 0, 0, 0, $22, $23, $24, '', $25, 0, '', $26, $26, $27)";
    execute(tx, sql, insert_values(post)).await?;
    Ok(true)
}

fn insert_values(post: &Post) -> Vec<Value> {
    vec![
        post.id.into(),
        post.author_id.into(),
        post.organisation_id.into(),
        post.state.as_str().into(),
        post.asset_id.into(),
        post.kind.as_str().into(),
        post.width_px.into(),
        post.height_px.into(),
        post.duration_ms.into(),
        post.title.as_str().into(),
        post.text.as_str().into(),
        post.tags.as_str().into(),
        Value::String(post.board_id.clone()),
        Value::String(post.parent_post_id.map(|id| id.to_string())),
        post.share_parameters.into(),
        post.remixable.into(),
        post.tool.as_str().into(),
        post.tool_version.as_str().into(),
        post.model.as_str().into(),
        post.model_version.as_str().into(),
        post.parameters.as_str().into(),
        post.hot.into(),
        post.granted.into(),
        post.grant_version.into(),
        post.due_at.map_or(Value::BigInt(None), Into::into),
        post.created_at.into(),
        post.recipe.as_str().into(),
    ]
}

/// Storage knows what it has to know: the post is public where it was to be.
pub(crate) async fn told(tx: &WriteTx, post: &Post, public: bool, now: Timestamp) -> Result<bool, DbError> {
    let sql =
        "UPDATE social_posts SET granted = $3, due_at = NULL, tries = 0, last_error = '', updated_at = $4,
                   state = CASE WHEN state = 'publishing' THEN 'public' ELSE state END
               WHERE id = $1 AND grant_version = $2";
    let values = vec![post.id.into(), post.grant_version.into(), public.into(), now.into()];
    if execute(tx, sql, values).await? == 0 {
        return Ok(false);
    }
    if post.state == post_state::PUBLISHING && public {
        index(tx, post).await?;
        profiles::count_posts(tx, post.author_id, 1).await?;
    }
    Ok(true)
}

/// Storage could not be told: look again at `due_at`.
pub(crate) async fn put_off(tx: &WriteTx, id: PostId, due_at: Timestamp, error: &str) -> Result<(), DbError> {
    let error: String = error.chars().take(500).collect();
    let sql = "UPDATE social_posts SET due_at = $2, tries = tries + 1, last_error = $3
               WHERE id = $1 AND due_at IS NOT NULL";
    execute(tx, sql, vec![id.into(), due_at.into(), error.into()]).await?;
    Ok(())
}

/// Moves a post to another state and notes that storage is to be told. `post` is locked.
pub(crate) async fn set_state(
    tx: &WriteTx,
    post: &Post,
    state: &str,
    because: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let sql = "UPDATE social_posts SET state = $2, removed_because = $3, grant_version = grant_version + 1,
                   due_at = $4, tries = 0, updated_at = $4 WHERE id = $1";
    execute(tx, sql, vec![post.id.into(), state.into(), because.into(), now.into()]).await?;
    let counted = |state: &str| matches!(state, post_state::PUBLIC | post_state::HIDDEN);
    match (counted(&post.state), counted(state)) {
        (true, false) => {
            unindex(tx, post.id).await?;
            profiles::count_posts(tx, post.author_id, -1).await
        }
        (false, true) => {
            index(tx, post).await?;
            profiles::count_posts(tx, post.author_id, 1).await
        }
        (true, true) | (false, false) => Ok(()),
    }
}

/// Writes what its author changed. `post` is locked, and as it was.
pub(crate) async fn edit(tx: &WriteTx, post: &Post, edit: &Edit, now: Timestamp) -> Result<(), DbError> {
    let tags = serde_json::to_string(&edit.tags).map_err(|error| DbErr::Json(error.to_string()))?;
    let sql =
        "UPDATE social_posts SET title = $2, text = $3, tags = $4, share_parameters = $5, remixable = $6,
                   updated_at = $7 WHERE id = $1";
    let values = vec![
        post.id.into(),
        edit.title.as_str().into(),
        edit.text.as_str().into(),
        tags.as_str().into(),
        edit.share_parameters.into(),
        edit.remixable.into(),
        now.into(),
    ];
    execute(tx, sql, values).await?;
    let changed = Post { title: edit.title.clone(), text: edit.text.clone(), tags, ..post.clone() };
    if words_of(&changed) != words_of(post) || changed.tags != post.tags {
        unindex(tx, post.id).await?;
        index(tx, &changed).await?;
    }
    Ok(())
}

/// Changes a counter of a post, and its place in "hot" with it. Only a public post is counted up: `None` where it
/// is not.
pub(crate) async fn bump(
    tx: &WriteTx,
    id: PostId,
    counter: Counter,
    by: i64,
) -> Result<Option<UserId>, DbError> {
    let column = counter.column();
    let only = if by > 0 { "AND state = 'public'" } else { "" };
    let sql = format!(
        "UPDATE social_posts SET {column} = {column} + $2 WHERE id = $1 {only}
         RETURNING author_id, likes, comments, remixes, created_at"
    );
    let Some(row) = query(tx, &sql, vec![id.into(), by.into()]).await? else { return Ok(None) };
    let count = |name: &str| row.try_get::<i64>("", name);
    let created_at: Timestamp = row.try_get("", "created_at")?;
    let place = hot(created_at, count("likes")?, count("comments")?, count("remixes")?);
    execute(tx, "UPDATE social_posts SET hot = $2 WHERE id = $1", vec![id.into(), place.into()]).await?;
    execute(tx, "UPDATE social_tags SET hot = $2 WHERE post_id = $1", vec![id.into(), place.into()]).await?;
    Ok(Some(row.try_get("", "author_id")?))
}

/// The words by which a post is found.
fn words_of(post: &Post) -> BTreeSet<String> {
    text::words(&post.title, &post.tags(), &post.text)
}

async fn index(tx: &WriteTx, post: &Post) -> Result<(), DbError> {
    let tags: BTreeSet<String> = post.tags().into_iter().collect();
    for tag in &tags {
        let sql = "INSERT INTO social_tags (tag, post_id, hot) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        execute(tx, sql, vec![tag.as_str().into(), post.id.into(), post.hot.into()]).await?;
    }
    let words = words_of(post);
    let rows: Vec<String> = (0..=words.len()).map(|n| format!("(${}, $1)", n + 2)).collect();
    let sql =
        format!("INSERT INTO social_terms (word, post_id) VALUES {} ON CONFLICT DO NOTHING", rows.join(", "));
    let mut values: Vec<Value> = vec![post.id.into(), author_key(post.author_id).into()];
    values.extend(words.iter().map(|word| Value::from(word.as_str())));
    execute(tx, &sql, values).await?;
    count_words(tx, TAG, &tags).await?;
    count_words(tx, WORD, &words).await
}

/// One statement, in the order of the words, so that two posts never wait for each other.
async fn count_words(tx: &WriteTx, kind: &str, words: &BTreeSet<String>) -> Result<(), DbError> {
    if words.is_empty() {
        return Ok(());
    }
    let rows: Vec<String> = (0..words.len()).map(|n| format!("($1, ${}, 1)", n + 2)).collect();
    let sql = format!(
        "INSERT INTO social_words (kind, word, posts) VALUES {}
         ON CONFLICT (kind, word) DO UPDATE SET posts = social_words.posts + 1",
        rows.join(", ")
    );
    let values = std::iter::once(kind.into()).chain(words.iter().map(|word| word.as_str().into()));
    execute(tx, &sql, values.collect()).await?;
    Ok(())
}

async fn unindex(tx: &WriteTx, id: PostId) -> Result<(), DbError> {
    for (kind, sql) in [
        (TAG, "DELETE FROM social_tags WHERE post_id = $1 RETURNING tag AS word"),
        (WORD, "DELETE FROM social_terms WHERE post_id = $1 RETURNING word"),
    ] {
        let statement = sea_orm::Statement::from_sql_and_values(tx.backend(), sql, [id.into()]);
        let rows = sea_orm::ConnectionTrait::query_all_raw(&**tx, statement).await?;
        let mut words: Vec<String> = super::column(&rows, "word")?;
        words.sort_unstable();
        for word in words {
            let sql = "UPDATE social_words SET posts = posts - 1 WHERE kind = $1 AND word = $2";
            execute(tx, sql, vec![kind.into(), word.into()]).await?;
        }
    }
    Ok(())
}
