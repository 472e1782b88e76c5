//! News between the processes that share a PostgreSQL database: `NOTIFY` and `LISTEN`.
//!
//! News may be lost: a process that was not listening, or whose connection broke, never hears them. So they carry what
//! is worth nothing a moment later, and what the database says anyway. SQLite belongs to one process, which has
//! nobody to tell.

use sea_orm::sqlx::postgres::PgListener;
use sea_orm::{ConnectionTrait as _, DatabaseBackend, DbErr, RuntimeErr, Statement, Value};

use crate::{Db, DbError};

/// Bytes of one piece of news; PostgreSQL takes less than 8,000.
pub const NEWS_BYTES_MAX: usize = 7_900;
/// Characters of a topic: with the schema's digest it is shorter than PostgreSQL's longest name.
const TOPIC_CHARS_MAX: usize = 24;

/// The name of a topic's channel. Schemas of one database are systems, or tests, of their own.
fn channel(topic: &str) -> String {
    debug_assert!(topic.len() <= TOPIC_CHARS_MAX, "a channel's name has a limit");
    format!("'{topic}_' || md5(current_schema())")
}

impl Db {
    /// Tells these to every process that listens, this one included. None may be empty or longer than
    /// [`NEWS_BYTES_MAX`].
    pub async fn tell(&self, topic: &'static str, news: Vec<String>) -> Result<(), DbError> {
        if self.backend() != DatabaseBackend::Postgres || news.is_empty() {
            return Ok(());
        }
        let calls: Vec<String> =
            (1..=news.len()).map(|n| format!("pg_notify({}, ${n})", channel(topic))).collect();
        let sql = format!("SELECT {}", calls.join(", "));
        let values = news.into_iter().map(Value::from);
        self.read().query_all_raw(Statement::from_sql_and_values(self.backend(), sql, values)).await?;
        Ok(())
    }

    /// Listens on a connection of its own; `None` on SQLite.
    pub async fn listen(&self, topic: &'static str) -> Result<Option<Listener>, DbError> {
        if self.backend() != DatabaseBackend::Postgres {
            return Ok(None);
        }
        let sql = format!("SELECT {} AS channel", channel(topic));
        let row = self.read().query_one_raw(Statement::from_string(self.backend(), sql)).await?;
        let name: String = row.map(|row| row.try_get("", "channel")).transpose()?.unwrap_or_default();
        let pool = self.read().get_postgres_connection_pool();
        let mut listener = PgListener::connect_with(pool).await.map_err(failed)?;
        listener.listen(&name).await.map_err(failed)?;
        Ok(Some(Listener(listener)))
    }
}

/// Hears what is told under a topic.
pub struct Listener(PgListener);

impl Listener {
    /// The next news; `None`: the connection broke and was opened again, and something may have been missed.
    pub async fn next(&mut self) -> Result<Option<String>, DbError> {
        let heard = self.0.try_recv().await.map_err(failed)?;
        Ok(heard.map(|news| news.payload().to_owned()))
    }
}

fn failed(error: sea_orm::sqlx::Error) -> DbError {
    DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()
}
