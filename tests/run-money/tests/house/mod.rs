//! Billing, mandates, storage, control, an agent and tools in one process, over their contracts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backlot_business_api::RunId;
use backlot_business_tools::row::{Entity as Runs, Model as Row};
use backlot_business_tools::{Actor, Config, Migrator, Order, Service};
use backlot_foundation_db::Db;
use backlot_foundation_events::EventsService;
use backlot_foundation_rpc::http::authenticate;
use backlot_foundation_rpc::{Channel, Server};
use backlot_foundation_runtime::Tasks;
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::SystemClock;
use backlot_inference_agent::{Agent, Config as AgentConfig};
use backlot_inference_control as control;
use backlot_infrastructure_api::{AssetId, HoldId, MandateId, OrganisationId, UserId};
use backlot_infrastructure_billing as billing;
use backlot_infrastructure_storage as storage;
use sea_orm::EntityTrait as _;

const JOIN: &str = "join";
/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Enlarges a PNG by saying so: the file's own bytes come out. Scale 4 is the caller's mistake.
const COPY: &str = r#"
import json, shutil, sys
request = json.load(sys.stdin)
if request["input"]["scale"] == 4:
    print(json.dumps({"error": "too large", "class": "invalid_input"}))
    sys.exit(1)
print(json.dumps({"progress": 0.5, "note": "copying"}), flush=True)
path = request["output_dir"] + "/out.png"
shutil.copy(request["input"]["image"], path)
print(json.dumps({"output": [{"name": "out.png", "path": path, "content_type": "image/png"}]}))
"#;
const COPY_TOML: &str = r#"
model = "backlot/upscale"
version = "1"
runtime = "command"
command = ["python", "run.py"]
"#;

pub(crate) struct House {
    pub(crate) tools: Service,
    pub(crate) billing: billing::Service,
    pub(crate) owner: Actor,
    pub(crate) root: MandateId,
    storage: storage::Service,
    infrastructure: Channel,
    inference: Channel,
    agents: Channel,
    business_db: Db,
    infrastructure_db: Db,
    business_tasks: Tasks,
    tasks: Tasks,
    folder: tempfile::TempDir,
    _databases: Vec<TestDb>,
}

impl House {
    /// `None` where there is no PostgreSQL at hand.
    pub(crate) async fn build(postgres: bool) -> Option<Self> {
        let mut databases = Vec::new();
        for system in ["infrastructure", "inference", "business"] {
            databases.push(if postgres {
                TestDb::postgres(system).await?
            } else {
                TestDb::sqlite(system).await
            });
        }
        let [infrastructure_db, inference_db, business_db] =
            [0, 1, 2].map(|n: usize| databases[n].db.clone());
        let folder = tempfile::tempdir().unwrap();
        let tasks = Tasks::new();
        let (billing, storage, infrastructure) =
            infrastructure(&infrastructure_db, folder.path(), &tasks).await;
        let (inference, agents) = queue(&inference_db, &tasks).await;
        business_db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        business_db.migrate::<Migrator>().await.unwrap();
        let business_tasks = Tasks::new();
        let tools = start_tools(&business_db, &infrastructure, &inference, &business_tasks).await;
        let (organisation, user) = (OrganisationId::generate(), UserId::generate());
        let tx = infrastructure_db.begin_write().await.unwrap();
        billing.organisation_created(&tx, organisation, user, SystemClock::shared().now()).await.unwrap();
        tx.commit().await.unwrap();
        let root = billing.mandates(organisation).await.unwrap()[0].row.mandate.id;
        Some(Self {
            tools,
            billing,
            owner: Actor { organisation, id: user.to_string() },
            root,
            storage,
            infrastructure,
            inference,
            agents,
            business_db,
            infrastructure_db,
            business_tasks,
            tasks,
            folder,
            _databases: databases,
        })
    }

    /// One agent with the echo, a worker that copies, and one that ships.
    pub(crate) fn start_agent(&self) {
        let workers = self.folder.path().join("workers");
        std::fs::create_dir_all(workers.join("upscale")).unwrap();
        std::fs::write(workers.join("upscale/worker.toml"), COPY_TOML).unwrap();
        std::fs::write(workers.join("upscale/run.py"), COPY).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workers/animate");
        std::os::unix::fs::symlink(shipped.canonicalize().unwrap(), workers.join("animate")).unwrap();
        let config = AgentConfig {
            join_token: JOIN.to_owned(),
            workers_dir: workers,
            python: python(),
            ..AgentConfig::default()
        };
        let agent = Agent::new(config, &self.folder.path().join("agent"), self.agents.clone()).unwrap();
        Arc::new(agent).spawn(&self.tasks);
    }

    pub(crate) async fn submit(&self, order: &Order) -> Row {
        self.tools.submit(&self.owner, order, None).await.unwrap()
    }

    /// The run once its money is final. Nothing here drives it: the events and the reconciler do.
    pub(crate) async fn end(&self, id: RunId) -> Row {
        self.until(id, |run| run.closed_at.is_some()).await
    }

    pub(crate) async fn until(&self, id: RunId, holds: impl Fn(&Row) -> bool) -> Row {
        let mut commits = self.business_db.commits();
        let look = async {
            loop {
                commits.mark_unchanged();
                let run = self.row(id).await;
                if holds(&run) {
                    return run;
                }
                commits.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(WAIT_MAX, look).await {
            Ok(run) => run,
            Err(_) => panic!("it never came: {:#?}", self.row(id).await),
        }
    }

    /// Waits until a hold has ended, whoever ends it.
    pub(crate) async fn until_ended(&self, run: HoldId) {
        let mut commits = self.infrastructure_db.commits();
        let look = async {
            loop {
                commits.mark_unchanged();
                let hold = self.billing.find_hold(run).await.unwrap();
                if hold.state != billing::HoldState::Held {
                    return;
                }
                commits.changed().await.unwrap();
            }
        };
        tokio::time::timeout(WAIT_MAX, look).await.expect("the hold ends");
    }

    async fn row(&self, id: RunId) -> Row {
        Runs::find_by_id(id).one(self.business_db.read()).await.unwrap().unwrap()
    }

    /// The process of business ends without a word; another one starts on its database.
    pub(crate) async fn crash_business(&mut self) {
        self.business_tasks.shutdown(Duration::ZERO).await;
        self.business_tasks = Tasks::new();
        self.tools =
            start_tools(&self.business_db, &self.infrastructure, &self.inference, &self.business_tasks).await;
    }

    /// Uploads a PNG as a person would: reserve, PUT to the store, complete.
    pub(crate) async fn upload(&self, name: &str, bytes: Vec<u8>) -> AssetId {
        let actor = storage::Actor { id: self.owner.id.clone(), organisation: self.owner.organisation };
        let new = storage::NewUpload {
            name: name.to_owned(),
            content_type: "image/png".to_owned(),
            size_bytes: bytes.len().try_into().unwrap(),
            project: None,
        };
        let upload = self.storage.begin_upload(&actor, new).await.unwrap();
        let mut put = reqwest::Client::new().put(&upload.target.url).body(bytes);
        for (name, value) in &upload.target.headers {
            put = put.header(name, value);
        }
        let answer = put.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        let id = upload.asset.id();
        self.storage.complete_upload(self.owner.organisation, id).await.unwrap();
        id
    }

    /// Available and held.
    pub(crate) async fn balance(&self) -> (i64, i64) {
        let balance = self.billing.balance(self.owner.organisation).await.unwrap();
        (balance.available_micro, balance.held_micro)
    }

    pub(crate) async fn assert_books_balance(&self) {
        self.billing.seal().await.unwrap();
        let report = self.billing.check_ledger(self.owner.organisation).await.unwrap();
        assert!(report.balanced && report.chain_verified, "{:#?}", report.problems);
        assert_eq!(report.open_holds, 0);
    }

    pub(crate) async fn close(self) {
        self.business_tasks.shutdown(Duration::from_secs(5)).await;
        self.tasks.shutdown(Duration::from_secs(15)).await;
    }
}

/// The workers' own Python: the shipped ones need its libraries.
pub(crate) fn python() -> PathBuf {
    std::env::var_os("BACKLOT_WORKERS_PYTHON").map(PathBuf::from).expect(
        "BACKLOT_WORKERS_PYTHON names the workers' Python: export \
         BACKLOT_WORKERS_PYTHON=\"$(scripts/setup-workers | tail -n1)/bin/python\"",
    )
}

async fn infrastructure(
    db: &Db,
    folder: &Path,
    tasks: &Tasks,
) -> (billing::Service, storage::Service, Channel) {
    let clock = SystemClock::shared();
    db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
    // The audit log is identity's.
    db.migrate::<backlot_infrastructure_identity::Migrator>().await.unwrap();
    db.migrate::<billing::Migrator>().await.unwrap();
    db.migrate::<storage::Migrator>().await.unwrap();
    let deps = billing::Deps { directory: Arc::new(billing::Everybody), ..billing::Deps::default() };
    let billing = billing::Service::new(db.clone(), deps, billing::Config::default(), clock.clone());
    // This very program is the child that looks at media: see `main`.
    let program = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    let probe =
        storage::ProbeConfig { command: vec![program, "probe-child".to_owned()], ..Default::default() };
    let signing_secret = "one for all replicas".to_owned();
    let folder = folder.join("media");
    let config = storage::Config { folder, signing_secret, probe, ..storage::Config::default() };
    let storage = storage::Service::new(db.clone(), clock.clone(), config).await.unwrap();
    let trust = Trust::new("business", "infrastructure");
    serve_storage(&storage, &trust, tasks).await;
    let events = EventsService::new(db.clone(), clock, Vec::new());
    let routes = tonic::service::Routes::new(billing.billing_rpc())
        .add_service(billing.mandates_rpc())
        .add_service(storage.rpc())
        .add_service(events.server());
    (billing, storage, trust.channel(routes, "infrastructure"))
}

/// Control, with the channel of business and the channel of agents.
async fn queue(db: &Db, tasks: &Tasks) -> (Channel, Channel) {
    control::Service::migrate(db).await.unwrap();
    let config = control::Config { join_token: JOIN.to_owned(), ..control::Config::default() };
    let queue = control::Service::new(db.clone(), SystemClock::shared(), config);
    queue.tasks(tasks);
    let trust = Trust::new("business", "inference");
    let agents = Channel::local(Server::new(trust.verifier.clone()).layer(queue.rpc_routes()));
    (trust.channel(queue.rpc_routes(), "inference"), agents)
}

async fn serve_storage(storage: &storage::Service, trust: &Trust, tasks: &Tasks) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    storage.set_public_base_url(&format!("http://{}", listener.local_addr().unwrap()));
    let (router, _) = storage.http().split_for_parts();
    let router = router.layer(axum::middleware::from_fn_with_state(trust.verifier.clone(), authenticate));
    let stop = tasks.stop_signal();
    tasks.spawn_once(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { stop.stopped().await })
            .await
            .unwrap();
    });
}

async fn start_tools(db: &Db, infrastructure: &Channel, inference: &Channel, tasks: &Tasks) -> Service {
    let clock = SystemClock::shared();
    // This house has no model that looks at media.
    let mut config = Config::default();
    config.moderation.media = false;
    let tools =
        Service::new(db.clone(), infrastructure.clone(), inference.clone(), clock, config).await.unwrap();
    tools.tasks(tasks, infrastructure, inference);
    tools
}

/// 64 × 48 pixels of a colour ramp.
pub(crate) fn png() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(64, 48, |x, y| {
        let part = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
        image::Rgb([part(x * 4), part(y * 5), 128])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}
