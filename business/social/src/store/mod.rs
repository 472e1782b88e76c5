//! All SQL of the community.
//!
//! A counter is changed in the transaction of the row that it counts, so that after a crash at any line both
//! are there or neither. Rows that several transactions change are taken in one order: the row that names the
//! act, the post, its tags, words by their text, profiles by their id.

mod cases;
mod comments;
mod feeds;
mod likes;
mod notifications;
mod posts;
mod profiles;
mod relations;
mod remixes;
mod standing;

use backlot_foundation_db::{Db, DbError, WriteTx};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::UserId;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, Statement, Value};

pub(crate) use cases::{
    CasePosition, NewReport, Target, decide as decide_case, lock as lock_case, report as write_report,
};
pub(crate) use comments::{
    insert as insert_comment, remove as remove_comment, set_state as set_comment_state,
};
pub(crate) use feeds::{Order, Position, Source, Words};
pub(crate) use likes::{like, unlike};
pub(crate) use notifications::{Notice, forget as forget_notifications, forget_rates, mark_read, notify};
pub(crate) use posts::{
    Counter, Edit, Inserted, Key, bump, edit as edit_post, insert as insert_post, lock as lock_post, put_off,
    set_state as set_post_state, told,
};
pub(crate) use profiles::{NewProfile, Saved, of as profile_of, save as save_profile};
pub(crate) use relations::{Hiding, Standing, follow, hidden_count, hide, is_apart, unfollow, unhide};
pub(crate) use remixes::{
    done as remix_done, failed as remix_failed, insert as insert_remix, put_off as put_off_remix,
};
pub(crate) use standing::{
    Flag, Revocation, begin_closing, begin_erasure, clear_profile, close_step, erase_step, posts_of_asset,
    revoke_later, revoked, set_flag,
};

use crate::limits::Rate;

/// The community's tables. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    db: Db,
}

impl Store {
    pub(crate) const fn new(db: Db) -> Self {
        Self { db }
    }

    pub(crate) const fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) async fn begin(&self) -> Result<WriteTx, DbError> {
        self.db.begin_write().await
    }

    async fn all<T: FromQueryResult>(&self, sql: &str, values: Vec<Value>) -> Result<Vec<T>, DbError> {
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, values);
        Ok(T::find_by_statement(statement).all(self.db.read()).await?)
    }

    async fn one<T: FromQueryResult>(&self, sql: &str, values: Vec<Value>) -> Result<Option<T>, DbError> {
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, values);
        Ok(T::find_by_statement(statement).one(self.db.read()).await?)
    }

    async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbError> {
        let statement = Statement::from_sql_and_values(self.db.backend(), sql, values);
        Ok(self.db.read().query_all_raw(statement).await?)
    }
}

/// Counts one more act of this kind in the present window; false where that is one too many.
pub(crate) async fn take(tx: &WriteTx, user: UserId, rate: Rate, now: Timestamp) -> Result<bool, DbError> {
    let window = i64::try_from(rate.window.as_secs()).unwrap_or(i64::MAX).max(1);
    let start = now.seconds() - now.seconds().rem_euclid(window);
    let sql = "INSERT INTO social_rates (user_id, action, window_start, used) VALUES ($1, $2, $3, 1)
               ON CONFLICT (user_id, action, window_start) DO UPDATE SET used = social_rates.used + 1
               RETURNING used";
    let row = query(tx, sql, vec![user.into(), rate.action.into(), start.into()]).await?;
    let used: i64 = row.map(|row| row.try_get("", "used")).transpose()?.unwrap_or_default();
    Ok(used <= rate.max)
}

pub(crate) async fn execute(tx: &WriteTx, sql: &str, values: Vec<Value>) -> Result<u64, DbError> {
    let done = tx.execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?;
    Ok(done.rows_affected())
}

async fn query(tx: &WriteTx, sql: &str, values: Vec<Value>) -> Result<Option<QueryResult>, DbError> {
    Ok(tx.query_one_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?)
}

async fn find<T: FromQueryResult>(tx: &WriteTx, sql: &str, values: Vec<Value>) -> Result<Option<T>, DbError> {
    let statement = Statement::from_sql_and_values(tx.backend(), sql, values);
    Ok(T::find_by_statement(statement).one(&**tx).await?)
}

/// The places `$first, …` of a list, and its values. The last value is repeated until their number is a power of two:
/// so lists of all lengths make few different statements, and a statement that was seen before is not planned again.
fn list<T: Into<Value>>(first: usize, items: impl IntoIterator<Item = T>) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = items.into_iter().map(Into::into).collect();
    if let Some(last) = values.last().cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    let places = (first..first + values.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    (places, values)
}

fn column<T: sea_orm::TryGetable>(rows: &[QueryResult], name: &str) -> Result<Vec<T>, DbError> {
    Ok(rows.iter().map(|row| row.try_get("", name)).collect::<Result<_, DbErr>>()?)
}
