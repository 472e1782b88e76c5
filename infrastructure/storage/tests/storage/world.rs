//! A storage of its own for each test, served on a port of its own.

use std::sync::Arc;

use backlot_foundation_rpc::Channel;
use backlot_foundation_testkit::{TestDb, TestS3, Trust, databases};
use backlot_foundation_time::{Clock, ManualClock, SystemClock};
use backlot_foundation_tokens::{Claims, audience};
use backlot_infrastructure_api::v1::storage_client::StorageClient;
use backlot_infrastructure_api::{OrganisationId, UserId};
use backlot_infrastructure_storage::{Actor, Config, Migrator, ProbeConfig, S3Config, Service, StoreConfig};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Small enough that a test fills it.
pub(crate) const QUOTA_BYTES: i64 = 4 << 20;

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) trust: Trust,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    pub(crate) alice: Person,
    pub(crate) config: Config,
    pub(crate) test_db: TestDb,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) name: String,
    server: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Somebody of an organisation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) organisation: OrganisationId,
}

impl Person {
    pub(crate) fn new() -> Self {
        Self { user: UserId::generate(), organisation: OrganisationId::generate() }
    }

    pub(crate) fn actor(&self) -> Actor {
        Actor { id: self.user.to_string(), organisation: self.organisation }
    }
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }

    /// The code of the problem document that it must be.
    #[track_caller]
    pub(crate) fn code(&self) -> &str {
        assert!(!self.status.is_success(), "{self:?}");
        self.body["code"].as_str().unwrap_or_else(|| panic!("no problem document: {self:?}"))
    }
}

pub(crate) fn probe_config() -> ProbeConfig {
    ProbeConfig {
        command: vec![env!("CARGO_BIN_EXE_backlot-probe-child").to_owned()],
        ..ProbeConfig::default()
    }
}

/// One world for each database, on the folder; and one on S3 where there is one.
pub(crate) async fn worlds() -> Vec<World> {
    worlds_with(|_| ()).await
}

pub(crate) async fn worlds_with(adjust: impl Fn(&mut Config)) -> Vec<World> {
    let mut worlds = Vec::new();
    for db in databases("infrastructure").await {
        worlds.push(World::start(db, StoreConfig::Folder, &adjust).await);
    }
    if let Some(store) = s3() {
        worlds.push(World::start(TestDb::sqlite("infrastructure").await, store, &adjust).await);
    }
    worlds
}

/// Only on the folder, for what the folder's own routes do.
pub(crate) async fn folder_world() -> World {
    World::start(TestDb::sqlite("infrastructure").await, StoreConfig::Folder, |_| ()).await
}

async fn serve(service: &Service, trust: &Trust) -> (String, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    service.set_public_base_url(&base);
    let (router, _) = service.http().split_for_parts();
    let verifier = trust.verifier.clone();
    let authenticate =
        axum::middleware::from_fn_with_state(verifier, backlot_foundation_rpc::http::authenticate);
    let router = router.layer(authenticate);
    (base, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

fn s3() -> Option<StoreConfig> {
    let place = TestS3::from_environment()?;
    Some(StoreConfig::S3(S3Config {
        endpoint: place.endpoint,
        bucket: place.bucket,
        prefix: place.prefix,
        access_key: place.access_key,
        secret_key: place.secret_key,
        ..S3Config::default()
    }))
}

impl World {
    async fn start(test_db: TestDb, store: StoreConfig, adjust: impl Fn(&mut Config)) -> Self {
        let db = &test_db.db;
        db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        db.migrate::<Migrator>().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let name = format!(
            "{:?} {}",
            db.backend(),
            if matches!(store, StoreConfig::Folder) { "folder" } else { "S3" }
        );
        let mut config = Config {
            folder: folder.path().to_owned(),
            store,
            quota_bytes: QUOTA_BYTES,
            signing_secret: "what all replicas share".to_owned(),
            probe: probe_config(),
            ..Config::default()
        };
        adjust(&mut config);
        let clock = ManualClock::at(SystemClock.now());
        let service = Service::new(db.clone(), clock.clone(), config.clone()).await.unwrap();
        let trust = Trust::new("edge", audience::INFRASTRUCTURE);
        let (base, server) = serve(&service, &trust).await;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let alice = Person::new();
        Self { service, clock, trust, base, http, alice, config, test_db, folder, name, server }
    }

    /// The process ends, and another one starts with other settings: on the same database and folder.
    pub(crate) async fn restart(&mut self, adjust: impl FnOnce(&mut Config)) {
        self.server.abort();
        adjust(&mut self.config);
        let db = self.test_db.db.clone();
        self.service = Service::new(db, self.clock.clone(), self.config.clone()).await.unwrap();
        (self.base, self.server) = serve(&self.service, &self.trust).await;
    }

    pub(crate) fn token(&self, person: &Person) -> String {
        let claims = Claims::person(
            audience::INFRASTRUCTURE,
            &person.user.to_string(),
            &person.organisation.to_string(),
            SystemClock.now(),
        );
        self.trust.signer.sign(&claims).unwrap()
    }

    pub(crate) async fn send(
        &self,
        person: &Person,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).bearer_auth(self.token(person));
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        read(self.send(&self.alice, method, path, body).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn begin(&self, name: &str, content_type: &str, size: usize) -> Answer {
        let body = json!({ "name": name, "content_type": content_type, "size_bytes": size });
        self.call(Method::POST, "/v1/assets", Some(body)).await
    }

    pub(crate) async fn complete(&self, id: &str) -> Answer {
        self.call(Method::POST, &format!("/v1/assets/{id}/complete"), None).await
    }

    /// Sends bytes as an upload or a ticket says.
    pub(crate) async fn put(&self, target: &Value, bytes: &[u8]) -> Answer {
        let mut request = self.http.put(target["url"].as_str().unwrap()).body(bytes.to_vec());
        for (name, value) in target["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        read(request.send().await.unwrap()).await
    }

    /// Begin, send, complete.
    pub(crate) async fn upload(&self, name: &str, content_type: &str, bytes: &[u8]) -> Answer {
        let begun = self.begin(name, content_type, bytes.len()).await;
        if !begun.status.is_success() {
            return begun;
        }
        let sent = self.put(&begun.body["upload"], bytes).await;
        if !sent.status.is_success() {
            return sent;
        }
        self.complete(begun.body["asset"]["id"].as_str().unwrap()).await
    }

    pub(crate) async fn usage(&self) -> (i64, i64) {
        let usage = self.service.usage(self.alice.organisation).await.unwrap();
        (usage.used_bytes, usage.reserved_bytes)
    }

    /// Nothing is kept for anybody: no space is taken, no object and no scratch file is left.
    pub(crate) async fn assert_nothing_kept(&self, what: &str) {
        assert_eq!(self.usage().await, (0, 0), "{}: {what}", self.name);
        assert_eq!(self.files(), Vec::<String>::new(), "{}: {what}", self.name);
    }

    /// All files of the folder, scratch included, without the signing key.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name != "signing.key") {
                    files.push(path.strip_prefix(self.folder.path()).unwrap().display().to_string());
                }
            }
        }
        files.sort();
        files
    }

    /// The contract's client, with a service token for any organisation.
    pub(crate) fn rpc(&self) -> StorageClient<Channel> {
        StorageClient::new(self.channel())
    }

    pub(crate) fn channel(&self) -> Channel {
        let mut routes = tonic::service::Routes::builder();
        routes.add_service(self.service.rpc());
        self.trust.channel(routes.routes(), audience::INFRASTRUCTURE)
    }

    /// Types of all events so far, and all their text.
    pub(crate) async fn events(&self) -> (Vec<String>, String) {
        use sea_orm::ConnectionTrait;
        let sql = "SELECT type, data FROM outbox ORDER BY seq";
        let statement = sea_orm::Statement::from_string(self.test_db.db.backend(), sql);
        let rows = self.test_db.db.read().query_all_raw(statement).await.unwrap();
        let column =
            |name: &str| rows.iter().map(|row| row.try_get::<String>("", name).unwrap()).collect::<Vec<_>>();
        (column("type"), column("data").join("\n"))
    }
}

pub(crate) async fn read(response: Response) -> Answer {
    let status = response.status();
    let bytes = response.bytes().await.unwrap();
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

// Media.

pub(crate) fn encoded(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x % 251) as u8, (y % 241) as u8, ((x * y) % 239) as u8])
    });
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, image::ImageFormat::Png)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}
