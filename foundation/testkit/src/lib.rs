//! What tests of every system need: fresh databases and trusted channels.

use std::sync::Arc;

use backlot_foundation_db::{Db, DbConfig};
use backlot_foundation_rpc::{Channel, Server};
use backlot_foundation_time::{SharedClock, SystemClock};
use backlot_foundation_tokens::{CallerKind, IssuerKey, Signer, TrustedIssuer, Verifier};
use tempfile::TempDir;
use uuid::Uuid;

/// Names a private PostgreSQL, for example `postgres://backlot@127.0.0.1:5433/postgres`.
pub const POSTGRES_VARIABLE: &str = "BACKLOT_TEST_POSTGRES";

/// Names a private S3 store: `http://ACCESS:SECRET@HOST:PORT/BUCKET`.
pub const S3_VARIABLE: &str = "BACKLOT_TEST_S3";

/// A fresh database that goes away with its guard.
pub struct TestDb {
    /// The database.
    pub db: Db,
    /// How it was opened, to open it again after a simulated crash.
    pub config: DbConfig,
    _folder: Option<TempDir>,
}

impl TestDb {
    /// A fresh SQLite file.
    pub async fn sqlite(system: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = DbConfig::sqlite(&folder.path().join(format!("{system}.db")));
        let db = Db::connect(&config, system).await.expect("a SQLite database");
        Self { db, config, _folder: Some(folder) }
    }

    /// A fresh schema in the PostgreSQL that the environment names; `None` where it names none.
    pub async fn postgres(system: &'static str) -> Option<Self> {
        let url = std::env::var(POSTGRES_VARIABLE).ok()?;
        let schema = format!("test_{}", Uuid::now_v7().simple());
        let config = DbConfig { url, connections_max: 8, schema };
        let db = Db::connect(&config, system).await.expect("the test PostgreSQL answers");
        Some(Self { db, config, _folder: None })
    }
}

impl Drop for TestDb {
    /// Drops the schema. On a thread and a runtime of its own, because a drop cannot wait.
    fn drop(&mut self) {
        if self.config.schema.is_empty() {
            return;
        }
        let config = self.config.clone();
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(drop_schema(config))
        });
        // A schema that stays behind costs the server a little room and no test its result.
        let _ = dropped.join();
    }
}

async fn drop_schema(config: DbConfig) -> Option<()> {
    use sea_orm::ConnectionTrait;
    let schema = config.schema.clone();
    let db = Db::connect(&DbConfig { schema: String::new(), connections_max: 2, ..config }, "testkit")
        .await
        .ok()?;
    // Not for ever: a test that failed may have left a transaction open.
    let sql = format!("SET lock_timeout = '2s'; DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
    db.read().execute_unprepared(&sql).await.ok()?;
    db.close().await.ok()
}

/// A place of its own in a real S3 store.
#[derive(Debug, Clone)]
pub struct TestS3 {
    /// `http://HOST:PORT`.
    pub endpoint: String,
    /// The bucket, which exists.
    pub bucket: String,
    /// What the test's keys begin with; nobody else uses it.
    pub prefix: String,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
}

impl TestS3 {
    /// A fresh place in the store that the environment names; `None` where it names none.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let text = std::env::var(S3_VARIABLE).ok()?;
        let (scheme, rest) = text.split_once("://")?;
        let (keys, place) = rest.rsplit_once('@')?;
        let (access, secret) = keys.split_once(':')?;
        let (host, bucket) = place.split_once('/')?;
        Some(Self {
            endpoint: format!("{scheme}://{host}"),
            bucket: bucket.to_owned(),
            prefix: format!("test-{}", Uuid::now_v7().simple()),
            access_key: access.to_owned(),
            secret_key: secret.to_owned(),
        })
    }
}

/// A fresh database of every kind that is at hand: SQLite always, PostgreSQL where
/// `BACKLOT_TEST_POSTGRES` names one (`make test` starts it).
pub async fn databases(system: &'static str) -> Vec<TestDb> {
    let mut databases = vec![TestDb::sqlite(system).await];
    databases.extend(TestDb::postgres(system).await);
    databases
}

/// An issuer and the verifier that believes it for one audience, on the machine's clock.
pub struct Trust {
    /// Signs as the issuer.
    pub signer: Arc<Signer>,
    /// Believes it.
    pub verifier: Arc<Verifier>,
}

impl Trust {
    /// Trust between `issuer` and a system called `audience`, for persons and services, in namespace `studio`.
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self::with_clock(issuer, audience, SystemClock::shared())
    }

    /// The same, on a clock of the test's.
    #[must_use]
    pub fn with_clock(issuer: &str, audience: &str, clock: SharedClock) -> Self {
        let key = IssuerKey::generate();
        let trusted = TrustedIssuer {
            name: issuer.to_owned(),
            public_key: key.public(),
            kinds: vec![CallerKind::Person, CallerKind::Service],
            namespace: "studio".to_owned(),
        };
        Self {
            signer: Arc::new(Signer::new(issuer, &key, clock.clone())),
            verifier: Arc::new(Verifier::new(audience, vec![trusted], clock)),
        }
    }

    /// Serves `routes` in process; calls carry a service token for `audience`.
    #[must_use]
    pub fn channel(&self, routes: tonic::service::Routes, audience: &'static str) -> Channel {
        Channel::local(Server::new(self.verifier.clone()).layer(routes))
            .with_signer(self.signer.clone(), audience)
    }
}
