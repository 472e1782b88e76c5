//! The systems around tools, in memory, behind their real contracts and over the real transport.
//!
//! Each call has two doors: before its effect and after it. A test can close one, once: the caller then
//! gets no answer (and is dropped, as in a crash) or the answer "unavailable".

#![expect(dead_code, reason = "each test file uses a part of it")]

mod queue;
mod systems;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backlot_business_api::RunId;
use backlot_business_tools::row::Model as Row;
use backlot_business_tools::{Actor, Config, Migrator, Order, Service};
use backlot_foundation_db::Db;
use backlot_foundation_errors::{Code, Kind, Problem};
use backlot_foundation_events::EventsService;
use backlot_foundation_rpc::Channel;
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::{Clock as _, ManualClock, SystemClock, Timestamp};
use backlot_inference_api::v1 as inference;
use backlot_inference_api::v1::control_server::ControlServer;
use backlot_infrastructure_api::v1 as infra;
use backlot_infrastructure_api::v1::billing_server::BillingServer;
use backlot_infrastructure_api::v1::mandates_server::MandatesServer;
use backlot_infrastructure_api::v1::storage_server::StorageServer;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tonic::{Response, Status};

use queue::Queue;
use systems::Infra;

/// Credits that the organisation has: 10.
pub(crate) const CREDITS: i64 = 10_000_000;
const INSUFFICIENT: Code = Code::new("insufficient_credits", Kind::PaymentRequired, "Not enough credits");
const REVOKED: Code = Code::new("mandate_revoked", Kind::Forbidden, "The mandate was revoked");
const PRECONDITION: Code = Code::new("output_missing", Kind::FailedPrecondition, "An output is missing");
const QUEUE_FULL: Code = Code::new("queue_full", Kind::TooMany, "Too many jobs are waiting");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum When {
    Before,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Hang,
    Unavailable,
    /// For good.
    Refused,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) available: i64,
    pub(crate) holds: HashMap<String, infra::Hold>,
    pub(crate) hold_calls: usize,
    pub(crate) assets: HashMap<String, infra::Asset>,
    pub(crate) finalised: HashMap<String, Vec<infra::Asset>>,
    pub(crate) discarded: Vec<String>,
    pub(crate) refuse_outputs: bool,
    pub(crate) refuse_submit: Option<Problem>,
    pub(crate) revoked: bool,
    pub(crate) tenants: Vec<String>,
    pub(crate) models: Vec<String>,
    pub(crate) jobs: HashMap<String, (watch::Sender<inference::Job>, String)>,
    pub(crate) inputs: HashMap<String, serde_json::Value>,
    pub(crate) calls: Vec<&'static str>,
    /// Jobs of moderation, in the order in which they were asked for.
    pub(crate) looks: Vec<String>,
}

pub(crate) struct World {
    pub(crate) state: Mutex<State>,
    fault: Mutex<Option<(&'static str, When, Fault)>>,
    pub(crate) reached: tokio::sync::Notify,
}

impl World {
    async fn door(&self, call: &'static str, when: When) -> Result<(), Status> {
        if when == When::Before {
            self.state.lock().calls.push(call);
        }
        let fault = {
            let mut fault = self.fault.lock();
            match *fault {
                Some((name, at, kind)) if name == call && at == when => {
                    *fault = None;
                    Some(kind)
                }
                _ => None,
            }
        };
        match fault {
            None => Ok(()),
            Some(Fault::Unavailable) => Err(Status::unavailable("the line is down")),
            Some(Fault::Refused) => Err(Problem::new(
                &backlot_infrastructure_api::codes::storage::QUOTA_EXCEEDED,
                "No space is left.",
            )
            .into()),
            Some(Fault::Hang) => {
                self.reached.notify_one();
                std::future::pending().await
            }
        }
    }

    pub(crate) fn break_once(&self, call: &'static str, when: When, fault: Fault) {
        *self.fault.lock() = Some((call, when, fault));
    }

    pub(crate) fn job(&self, id: RunId) -> Option<inference::Job> {
        self.state.lock().jobs.get(&id.to_string()).map(|(sender, _)| sender.borrow().clone())
    }

    /// Changes a job that has not ended.
    pub(crate) fn change_job(&self, id: RunId, change: impl FnOnce(&mut inference::Job)) {
        let state = self.state.lock();
        let Some((sender, _)) = state.jobs.get(&id.to_string()) else { return };
        sender.send_if_modified(|job| {
            let live = matches!(job.state(), inference::JobState::Queued | inference::JobState::Running);
            if live {
                change(job);
            }
            live
        });
    }

    pub(crate) fn start_job(&self, id: RunId) {
        self.change_job(id, |job| {
            job.set_state(inference::JobState::Running);
            job.set_phase(inference::Phase::Running);
            job.started_at_us = SystemClock.now().micros();
            job.attempts = vec![inference::Attempt {
                fence: "1-1".to_owned(),
                worker: "w1".to_owned(),
                assigned_at_us: job.started_at_us,
                started_at_us: job.started_at_us,
                load_ms: 12,
                ..Default::default()
            }];
        });
    }

    pub(crate) fn succeed_job(&self, id: RunId) {
        self.start_job(id);
        self.change_job(id, |job| {
            job.set_state(inference::JobState::Succeeded);
            job.compute_ms = 500;
            job.delivered_fraction = 1.0;
            job.winning_fence = "1-1".to_owned();
            job.ended_at_us = SystemClock.now().micros();
            job.outputs = vec![inference::JobOutput {
                object_key: format!("{id}/1-1/0"),
                name: "upscaled.png".to_owned(),
                content_type: "image/png".to_owned(),
                size_bytes: 4_096,
                sha256: "00".repeat(32),
                inline: Vec::new(),
            }];
        });
    }

    /// The model that looks says how bad every medium is that it was asked about.
    pub(crate) fn score_looks(&self, score_ppm: i64) {
        let looks = self.state.lock().looks.clone();
        for look in looks {
            self.change_job(RunId::parse(&look).unwrap(), |job| {
                job.set_state(inference::JobState::Succeeded);
                job.outputs = vec![inference::JobOutput {
                    name: "output.json".to_owned(),
                    content_type: "application/json".to_owned(),
                    inline: json!({ "score_ppm": score_ppm, "frames": 1 }).to_string().into_bytes(),
                    ..Default::default()
                }];
            });
        }
    }

    /// The model that looks cannot read any medium that it was asked about, or was lost on the way.
    pub(crate) fn fail_looks(&self, class: inference::FailureClass) {
        let looks = self.state.lock().looks.clone();
        looks.iter().for_each(|look| self.fail_job(RunId::parse(look).unwrap(), class, 0));
    }

    pub(crate) fn fail_job(&self, id: RunId, class: inference::FailureClass, compute_ms: i64) {
        self.start_job(id);
        self.change_job(id, |job| {
            job.set_state(inference::JobState::Failed);
            job.set_failure(class);
            job.message = "the model says no".to_owned();
            job.compute_ms = compute_ms;
            job.ended_at_us = SystemClock.now().micros();
        });
    }

    pub(crate) fn confirm_cancel(&self, id: RunId, compute_ms: i64) {
        self.change_job(id, |job| {
            assert!(job.cancel_requested_at_us > 0, "nobody asked for a cancel");
            job.set_state(inference::JobState::Canceled);
            job.compute_ms = compute_ms;
            job.ended_at_us = SystemClock.now().micros();
        });
    }

    pub(crate) fn hold(&self, id: RunId) -> Option<infra::Hold> {
        self.state.lock().holds.get(&id.to_string()).cloned()
    }

    /// Nothing is open, and the credits are where the holds say.
    pub(crate) fn assert_books_balance(&self) {
        let state = self.state.lock();
        let settled: i64 = state.holds.values().map(|hold| hold.settled_micro).sum();
        for (run, hold) in &state.holds {
            assert_ne!(hold.state(), infra::HoldState::Held, "the hold of {run} is open");
            assert!(hold.settled_micro <= hold.held_micro, "{run} settled more than was held");
        }
        assert_eq!(state.available, CREDITS - settled);
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn uuid_like() -> String {
    RunId::generate().to_string()
}

/// Tools in its world, on one database.
pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) db: Db,
    pub(crate) service: Service,
    pub(crate) actor: Actor,
    pub(crate) image: AssetId,
    pub(crate) infrastructure: Channel,
    pub(crate) inference: Channel,
    pub(crate) infrastructure_db: Db,
    pub(crate) inference_db: Db,
    pub(crate) config: Config,
    _databases: Vec<TestDb>,
}

impl Stage {
    /// Without a look at media: the tests of moderation ask for it.
    pub(crate) async fn over(database: TestDb) -> Self {
        let mut config = Config::default();
        config.moderation.media = false;
        Self::configured(database, config).await
    }

    pub(crate) async fn configured(database: TestDb, config: Config) -> Self {
        let db = database.db.clone();
        db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        db.migrate::<Migrator>().await.unwrap();
        let (infrastructure_db, inference_db) =
            (TestDb::sqlite("infra").await, TestDb::sqlite("inference").await);
        for test_db in [&infrastructure_db, &inference_db] {
            test_db.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        }
        let world = Arc::new(World {
            state: Mutex::new(State { available: CREDITS, ..State::default() }),
            fault: Mutex::new(None),
            reached: tokio::sync::Notify::new(),
        });
        let events = |db: &Db| EventsService::new(db.clone(), SystemClock::shared(), Vec::new()).server();
        let routes = tonic::service::Routes::new(BillingServer::new(Infra(world.clone())))
            .add_service(MandatesServer::new(Infra(world.clone())))
            .add_service(StorageServer::new(Infra(world.clone())))
            .add_service(events(&infrastructure_db.db));
        let infrastructure = Trust::new("business", "infrastructure").channel(routes, "infrastructure");
        let routes = tonic::service::Routes::new(ControlServer::new(Queue(world.clone())))
            .add_service(events(&inference_db.db));
        let inference = Trust::new("business", "inference").channel(routes, "inference");
        let clock = ManualClock::at(SystemClock.now());
        let service = start(&db, &infrastructure, &inference, &clock, config.clone()).await;
        let actor = Actor { organisation: OrganisationId::generate(), id: uuid_like() };
        let image = AssetId::generate();
        let asset = infra::Asset {
            id: image.to_string(),
            organisation_id: actor.organisation.to_string(),
            state: infra::AssetState::Ready.into(),
            name: "portrait.jpg".to_owned(),
            content_type: "image/jpeg".to_owned(),
            size_bytes: 100_000,
            width_px: 1_000,
            height_px: 1_000,
            ..Default::default()
        };
        world.state.lock().assets.insert(image.to_string(), asset);
        Self {
            world,
            clock,
            db,
            service,
            actor,
            image,
            infrastructure,
            inference,
            infrastructure_db: infrastructure_db.db.clone(),
            inference_db: inference_db.db.clone(),
            config,
            _databases: vec![database, infrastructure_db, inference_db],
        }
    }

    /// The process ends without a word and another one starts on the same database.
    pub(crate) async fn crash(&mut self) {
        let config = self.config.clone();
        self.service = start(&self.db, &self.infrastructure, &self.inference, &self.clock, config).await;
    }

    pub(crate) fn order(&self) -> Order {
        let input = json!({ "image": self.image.to_string(), "scale": 2 });
        Order { tool: "upscale".to_owned(), input, ..Order::default() }
    }

    pub(crate) async fn submit(&self) -> Row {
        self.service.submit(&self.actor, &self.order(), None).await.unwrap()
    }

    pub(crate) async fn row(&self, id: RunId) -> Row {
        self.service.run(&self.actor, id).await.unwrap()
    }

    /// Time passes and the reconciler sweeps, once.
    pub(crate) async fn sweep(&self) {
        self.clock.advance(Duration::from_secs(61));
        self.service.sweep().await.unwrap();
    }

    /// Sweeps until the run's money is final.
    pub(crate) async fn end(&self, id: RunId) -> Row {
        for _ in 0..20 {
            let row = self.row(id).await;
            if row.closed_at.is_some() {
                return row;
            }
            self.sweep().await;
        }
        panic!("no end: {:?}", self.row(id).await);
    }

    /// Types of the events in business's outbox, in order.
    pub(crate) async fn events(&self) -> Vec<String> {
        use sea_orm::{ConnectionTrait as _, Statement};
        let sql = "SELECT type FROM outbox WHERE type LIKE 'business.run.%' ORDER BY seq";
        let rows =
            self.db.read().query_all_raw(Statement::from_string(self.db.backend(), sql)).await.unwrap();
        rows.iter()
            .map(|row| row.try_get::<String>("", "type").unwrap().replace("business.run.", ""))
            .collect()
    }

    pub(crate) fn queue_full() -> Problem {
        Problem::new(&QUEUE_FULL, "Too many jobs are waiting.")
    }
}

async fn start(
    db: &Db,
    infrastructure: &Channel,
    inference: &Channel,
    clock: &Arc<ManualClock>,
    config: Config,
) -> Service {
    let (infrastructure, inference) = (infrastructure.clone(), inference.clone());
    Service::new(db.clone(), infrastructure, inference, clock.clone(), config).await.unwrap()
}

/// When a run was made, for those who compare.
pub(crate) fn created(row: &Row) -> Timestamp {
    row.created_at
}
