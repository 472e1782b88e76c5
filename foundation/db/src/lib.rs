//! One database for each system: SQLite on one machine, PostgreSQL on many.
//!
//! All writes go through [`Db::begin_write`]. On SQLite it takes the process's write lock and begins
//! IMMEDIATE, so that no write fails half-way because another got there first; on PostgreSQL it is a
//! READ COMMITTED transaction and rows are locked where a rule spans them. Migrations run under a lock.
//! A SQLite file belongs to one process, held by an operating-system lock.

mod lock;
mod news;
mod standstill;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_errors::{Problem, codes};
use lock::FileLock;
use sea_orm::sqlx::{Connection as _, PgConnection};
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, DbErr, IsolationLevel, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use news::{Listener, NEWS_BYTES_MAX};
pub use standstill::Standstill;

/// Readers of a SQLite file at once.
const SQLITE_CONNECTIONS: u32 = 4;
/// Longest wait for a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Rest after which a connection to PostgreSQL is asked whether it still stands, before it is used.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);

/// Where a system keeps its state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DbConfig {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: String,
    /// Connections of the PostgreSQL pool, 2 to 1,000.
    pub connections_max: u32,
    /// PostgreSQL schema of this system; created where it is missing. Empty: the role's default.
    pub schema: String,
}

impl Default for DbConfig {
    fn default() -> Self {
        Self { url: String::new(), connections_max: 16, schema: String::new() }
    }
}

impl DbConfig {
    /// A SQLite file.
    #[must_use]
    pub fn sqlite(path: &Path) -> Self {
        Self { url: format!("sqlite:{}", path.display()), ..Self::default() }
    }
}

/// What can go wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The URL has a scheme that is neither SQLite's nor PostgreSQL's.
    #[error("database URL must begin with sqlite: or postgres:, not \"{0}\"")]
    UnknownScheme(String),
    /// The folder or lock file of a SQLite database cannot be made.
    #[error("cannot open {path}")]
    File {
        /// What could not be opened.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process holds the SQLite file.
    #[error("{0} is in use by another process: stop it, or give this one another data folder")]
    InUse(PathBuf),
    /// PostgreSQL cannot be used at all.
    #[error("the database of {system} cannot be used: {cause} (see {system}.db.url)")]
    Unusable {
        /// Whose it is.
        system: &'static str,
        /// What the server, or the way to it, said.
        cause: String,
    },
    /// A newer version has changed the schema.
    #[error(
        "the database of {system} was written by a newer version: it has the migration {migration}, which this one does \
         not know. Start that version again, or this one on a backup from before"
    )]
    Newer {
        /// Whose it is.
        system: &'static str,
        /// What this version does not know.
        migration: String,
    },
    /// The database answered an error.
    #[error("database error: {0}")]
    Database(#[from] DbErr),
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Database(DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) => Self::new(
                &codes::UNAVAILABLE,
                "The database cannot be reached. Nothing was changed; try again.",
            )
            .retry_after(1),
            DbError::UnknownScheme(_)
            | DbError::File { .. }
            | DbError::InUse(_)
            | DbError::Unusable { .. }
            | DbError::Newer { .. }
            | DbError::Database(_) => Self::internal(&error),
        }
    }
}

/// A system's database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    connection: DatabaseConnection,
    backend: DatabaseBackend,
    system: &'static str,
    /// One permit on SQLite: its single writer waits here, in order, and not in a busy loop.
    writer: Option<Arc<Semaphore>>,
    committed: watch::Sender<u64>,
    /// Given back when the last handle of this database is dropped.
    _file_lock: Option<FileLock>,
}

impl Db {
    /// Opens the database of `system`.
    pub async fn connect(config: &DbConfig, system: &'static str) -> Result<Self, DbError> {
        if let Some(path) = config.url.strip_prefix("sqlite:") {
            Self::connect_sqlite(Path::new(path.trim_start_matches("//")), system).await
        } else if config.url.starts_with("postgres:") || config.url.starts_with("postgresql:") {
            Self::connect_postgres(config, system).await
        } else {
            let scheme = config.url.split(':').next().unwrap_or_default();
            Err(DbError::UnknownScheme(scheme.to_owned()))
        }
    }

    async fn connect_sqlite(path: &Path, system: &'static str) -> Result<Self, DbError> {
        let file_error = |path: &Path| {
            let path = path.to_owned();
            move |source| DbError::File { path, source }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(file_error(folder))?;
        }
        let lock_path = path.with_extension("lock");
        let lock = FileLock::take(&lock_path).await.map_err(file_error(&lock_path))?;
        let lock = lock.ok_or_else(|| DbError::InUse(path.to_owned()))?;

        let mut options = ConnectOptions::new(format!("sqlite:{}?mode=rwc", path.display()));
        options
            .max_connections(SQLITE_CONNECTIONS)
            // None in advance: two that open a fresh file at once would both switch it to WAL, and one fails.
            .min_connections(0)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None::<Duration>)
            .max_lifetime(None::<Duration>)
            .test_before_acquire(false)
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .pragma("journal_mode", "WAL")
                    // FULL: a commit that was acknowledged survives a power cut, too.
                    .pragma("synchronous", "FULL")
                    .pragma("foreign_keys", "ON")
                    .pragma("temp_store", "MEMORY")
                    .pragma("cache_size", "-4096")
                    .busy_timeout(Duration::from_secs(10))
            });
        let connection = Database::connect(options).await?;
        Ok(Self::new(connection, DatabaseBackend::Sqlite, system, Some(lock)))
    }

    async fn connect_postgres(config: &DbConfig, system: &'static str) -> Result<Self, DbError> {
        let schema = config.schema.clone();
        let mut options = ConnectOptions::new(config.url.clone());
        options
            .max_connections(config.connections_max.clamp(2, 1_000))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Asking before every statement would be a second way to the server for each.
            .test_before_acquire_if_idle_for(TEST_AFTER_IDLE)
            .sqlx_logging(false)
            .set_application_name(format!("backlot-{system}"));
        if !schema.is_empty() {
            let mut first = ConnectOptions::new(config.url.clone());
            first.max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).sqlx_logging(false);
            let setup = open_postgres(first, config, system).await?;
            setup.execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")).await?;
            setup.close().await?;
            options.set_schema_search_path(schema);
        }
        let connection = open_postgres(options, config, system).await?;
        Ok(Self::new(connection, DatabaseBackend::Postgres, system, None))
    }

    fn new(
        connection: DatabaseConnection,
        backend: DatabaseBackend,
        system: &'static str,
        file_lock: Option<FileLock>,
    ) -> Self {
        let writer = (backend == DatabaseBackend::Sqlite).then(|| Arc::new(Semaphore::new(1)));
        let (committed, _) = watch::channel(0);
        Self {
            inner: Arc::new(Inner { connection, backend, system, writer, committed, _file_lock: file_lock }),
        }
    }

    /// The system that owns this database.
    #[must_use]
    pub fn system(&self) -> &'static str {
        self.inner.system
    }

    /// Which engine it is.
    #[must_use]
    pub fn backend(&self) -> DatabaseBackend {
        self.inner.backend
    }

    /// For reads outside of a transaction. Never write through it.
    #[must_use]
    pub fn read(&self) -> &DatabaseConnection {
        &self.inner.connection
    }

    /// Begins the only kind of transaction that writes. Dropped without [`WriteTx::commit`], it leaves no trace.
    pub async fn begin_write(&self) -> Result<WriteTx, DbError> {
        let permit = match &self.inner.writer {
            Some(writer) => {
                let waited = tokio::time::timeout(ACQUIRE_TIMEOUT, writer.clone().acquire_owned()).await;
                match waited {
                    Ok(Ok(permit)) => Some(permit),
                    Ok(Err(_)) | Err(_) => {
                        return Err(DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout).into());
                    }
                }
            }
            None => None,
        };
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.begin(options).await?;
        Ok(WriteTx { transaction, db: self.clone(), _permit: permit })
    }

    /// Begins a read of one point in time, for reads that must agree with each other. It blocks nobody.
    pub async fn begin_snapshot(&self) -> Result<DatabaseTransaction, DbError> {
        let options = match self.inner.backend {
            DatabaseBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
            // Any read transaction of SQLite sees one point in time.
            _ => TransactionOptions::default(),
        };
        self.begin(options).await
    }

    /// Begins in a task of its own: a caller that is dropped while BEGIN is on its way to PostgreSQL would
    /// leave the connection inside a transaction that the pool does not know of.
    async fn begin(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbError> {
        let connection = self.inner.connection.clone();
        let begun = tokio::spawn(async move { connection.begin_with_options(options).await }).await;
        Ok(begun.map_err(|error| DbErr::Custom(format!("a transaction could not begin: {error}")))??)
    }

    /// Rises with every write that this process commits: a hint that there may be news, never the news.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.committed.subscribe()
    }

    /// Brings the schema up to date. Several processes may call it at once.
    pub async fn migrate<M: MigratorTrait>(&self) -> Result<(), DbError> {
        if self.inner.backend == DatabaseBackend::Postgres {
            // Held on one connection for the length of the migration, released with its transaction.
            let guard = self.inner.connection.begin().await?;
            guard.execute_unprepared("SELECT pg_advisory_xact_lock(7166023319014)").await?;
            self.up::<M>().await?;
            guard.commit().await?;
        } else {
            self.up::<M>().await?;
        }
        Ok(())
    }

    async fn up<M: MigratorTrait>(&self) -> Result<(), DbError> {
        let applied = M::get_migration_models(&self.inner.connection).await;
        // Where the table of migrations is not there yet, nothing was applied.
        for one in applied.unwrap_or_default() {
            if !M::migrations().iter().any(|known| known.name() == one.version) {
                return Err(DbError::Newer { system: self.inner.system, migration: one.version });
            }
        }
        Ok(M::up(&self.inner.connection, None).await?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        Ok(self.inner.connection.ping().await?)
    }

    /// Closes all connections.
    pub async fn close(&self) -> Result<(), DbError> {
        Ok(self.inner.connection.close_by_ref().await?)
    }
}

/// Opens a pool. Where that fails, a connection without one says why: the pool only says that it waited.
async fn open_postgres(
    options: ConnectOptions,
    config: &DbConfig,
    system: &'static str,
) -> Result<DatabaseConnection, DbError> {
    let waited = match Database::connect(options).await {
        Ok(connection) => return Ok(connection),
        Err(error) => error.to_string(),
    };
    let direct = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect(&config.url)).await;
    let cause = match direct {
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(_)) | Err(_) => waited,
    };
    Err(DbError::Unusable { system, cause })
}

/// A write transaction. `&*tx` is a `ConnectionTrait` for queries.
pub struct WriteTx {
    transaction: DatabaseTransaction,
    db: Db,
    _permit: Option<OwnedSemaphorePermit>,
}

impl WriteTx {
    /// Makes everything durable and visible, at once.
    pub async fn commit(self) -> Result<(), DbError> {
        self.transaction.commit().await?;
        self.db.inner.committed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Undoes everything. Dropping does the same, a little later.
    pub async fn rollback(self) -> Result<(), DbError> {
        Ok(self.transaction.rollback().await?)
    }

    /// Which engine it runs on.
    #[must_use]
    pub fn backend(&self) -> DatabaseBackend {
        self.db.backend()
    }

    /// The system whose database it is.
    #[must_use]
    pub fn system(&self) -> &'static str {
        self.db.system()
    }
}

impl Deref for WriteTx {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.transaction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fresh() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::connect(&DbConfig::sqlite(&folder.path().join("t.db")), "test").await.unwrap();
        db.read().execute_unprepared("CREATE TABLE t (n BIGINT NOT NULL)").await.unwrap();
        (folder, db)
    }

    async fn count(db: &Db) -> i64 {
        let row = db
            .read()
            .query_one_raw(sea_orm::Statement::from_string(db.backend(), "SELECT count(*) AS n FROM t"));
        row.await.unwrap().unwrap().try_get("", "n").unwrap()
    }

    #[tokio::test]
    async fn a_dropped_transaction_leaves_no_trace_and_frees_the_writer() {
        let (_folder, db) = fresh().await;
        let tx = db.begin_write().await.unwrap();
        tx.execute_unprepared("INSERT INTO t VALUES (1)").await.unwrap();
        drop(tx);
        let tx = db.begin_write().await.unwrap();
        tx.execute_unprepared("INSERT INTO t VALUES (2)").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&db).await, 1);
    }

    #[tokio::test]
    async fn writers_wait_for_each_other_and_none_fails() {
        let (_folder, db) = fresh().await;
        let writers = (0..32).map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                let tx = db.begin_write().await.unwrap();
                tx.execute_unprepared(&format!("INSERT INTO t VALUES ({n})")).await.unwrap();
                tx.commit().await.unwrap();
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        assert_eq!(count(&db).await, 32);
        assert_eq!(*db.commits().borrow(), 32);
    }

    #[tokio::test]
    async fn a_second_process_is_refused_the_file() {
        let (folder, _db) = fresh().await;
        // Nothing here waits for a real clock: the wait for the lock is over at once.
        tokio::time::pause();
        let again = Db::connect(&DbConfig::sqlite(&folder.path().join("t.db")), "test").await;
        assert!(matches!(again, Err(DbError::InUse(_))));
    }

    struct Migrations<const N: usize>;

    struct Named(&'static str);

    impl sea_orm_migration::MigrationName for Named {
        fn name(&self) -> &str {
            self.0
        }
    }

    #[async_trait::async_trait]
    impl sea_orm_migration::MigrationTrait for Named {
        async fn up(&self, _: &sea_orm_migration::SchemaManager) -> Result<(), DbErr> {
            Ok(())
        }
    }

    impl<const N: usize> MigratorTrait for Migrations<N> {
        fn migrations() -> Vec<Box<dyn sea_orm_migration::MigrationTrait>> {
            ["m1", "m2"].into_iter().take(N).map(|name| Box::new(Named(name)) as _).collect()
        }
    }

    #[tokio::test]
    async fn an_older_version_leaves_a_newer_ones_database_alone_and_says_so() {
        let (_folder, db) = fresh().await;
        db.migrate::<Migrations<1>>().await.unwrap();
        db.migrate::<Migrations<2>>().await.unwrap();
        let older = db.migrate::<Migrations<1>>().await.unwrap_err();
        assert!(matches!(&older, DbError::Newer { migration, .. } if migration == "m2"), "{older}");
        db.migrate::<Migrations<2>>().await.unwrap();
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_reached_is_told_with_the_reason() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let config =
            DbConfig { url: format!("postgres://u:secret@127.0.0.1:{port}/x"), ..DbConfig::default() };
        let Err(error) = Db::connect(&config, "test").await else { panic!("nobody listens there") };
        let text = error.to_string();
        assert!(
            text.contains("refused") && text.contains("test.db.url") && !text.contains("secret"),
            "{text}"
        );
    }
}
