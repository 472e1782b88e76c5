//! Copies of SQLite files as all of them are at one moment, also while a process uses them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::DbErr;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};

use crate::DbError;

/// Longest wait for whoever writes just now.
const WAIT: Duration = Duration::from_secs(30);

/// Several SQLite files in which nobody writes. Dropped, it lets everybody go on.
///
/// Readers are not disturbed. Writers of a running process wait, so it must not last.
pub struct Standstill {
    held: Vec<(PathBuf, SqliteConnection)>,
}

impl Standstill {
    /// Waits for the writers of all files, and keeps new ones out.
    ///
    /// # Errors
    /// A file that is missing or no database, or a writer that does not end within half a minute.
    pub async fn begin(files: &[PathBuf]) -> Result<Self, DbError> {
        let mut held = Vec::with_capacity(files.len());
        for file in files {
            let mut connection = open(file).await?;
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failed)?;
            held.push((file.clone(), connection));
        }
        Ok(Self { held })
    }

    /// Copies each file into a folder, under its own name, and makes the copies durable.
    ///
    /// # Errors
    /// A folder that cannot be written, or holds such a file already.
    pub async fn copy_into(&self, folder: &Path) -> Result<(), DbError> {
        for (file, _) in &self.held {
            let Some(name) = file.file_name() else { continue };
            let copy = folder.join(name);
            let mut reader = open(file).await?;
            let to = copy.display().to_string();
            sqlx::query("VACUUM INTO ?").bind(to).execute(&mut reader).await.map_err(failed)?;
            reader.close().await.map_err(failed)?;
            let synced = std::fs::File::open(&copy).and_then(|copy| copy.sync_all());
            synced.map_err(|source| DbError::File { path: copy, source })?;
        }
        Ok(())
    }
}

async fn open(file: &Path) -> Result<SqliteConnection, DbError> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(WAIT).disable_statement_logging();
    options.connect().await.map_err(failed)
}

fn failed(error: sqlx::Error) -> DbError {
    DbErr::Query(sea_orm::RuntimeErr::SqlxError(error.into())).into()
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait as _;

    use super::*;
    use crate::{Db, DbConfig};

    async fn with_rows(folder: &Path, name: &str, rows: i64) -> Db {
        let db = Db::connect(&DbConfig::sqlite(&folder.join(name)), "test").await.unwrap();
        let tx = db.begin_write().await.unwrap();
        tx.execute_unprepared("CREATE TABLE t (n BIGINT NOT NULL)").await.unwrap();
        for n in 0..rows {
            tx.execute_unprepared(&format!("INSERT INTO t VALUES ({n})")).await.unwrap();
        }
        tx.commit().await.unwrap();
        db
    }

    async fn count(db: &Db) -> i64 {
        let statement = sea_orm::Statement::from_string(db.backend(), "SELECT count(*) AS n FROM t");
        db.read().query_one_raw(statement).await.unwrap().unwrap().try_get("", "n").unwrap()
    }

    #[tokio::test]
    async fn copies_are_of_one_moment_and_writers_go_on_afterwards() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = (with_rows(from.path(), "a.db", 3).await, with_rows(from.path(), "b.db", 5).await);
        let files = [from.path().join("a.db"), from.path().join("b.db")];
        let standstill = Standstill::begin(&files).await.unwrap();
        let late = tokio::spawn(async move {
            let tx = one.begin_write().await.unwrap();
            tx.execute_unprepared("INSERT INTO t VALUES (99)").await.unwrap();
            tx.commit().await.unwrap();
            count(&one).await
        });
        assert_eq!(count(&other).await, 5, "readers go on");
        standstill.copy_into(to.path()).await.unwrap();
        assert!(standstill.copy_into(to.path()).await.is_err(), "a copy is never written over");
        assert!(!late.is_finished(), "a writer waits");
        drop(standstill);
        assert_eq!(late.await.unwrap(), 4);
        for (name, rows) in [("a.db", 3), ("b.db", 5)] {
            let copy = Db::connect(&DbConfig::sqlite(&to.path().join(name)), "test").await.unwrap();
            assert_eq!(count(&copy).await, rows, "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        assert!(Standstill::begin(std::slice::from_ref(&file)).await.is_err(), "missing");
        assert!(!file.exists(), "and not made");
        std::fs::write(&file, [7_u8; 4_096]).unwrap();
        assert!(Standstill::begin(&[file]).await.is_err());
    }
}
