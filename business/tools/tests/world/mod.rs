//! The systems around tools, in memory, behind their real contracts and over the real transport.
//!
//! Each call has two doors: before its effect and after it. A test can close one, once: the caller then
//! gets no answer (and is dropped, as in a crash) or the answer "unavailable".

#![expect(dead_code, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
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
use backlot_inference_api::v1::control_server::{Control, ControlServer};
use backlot_infrastructure_api::v1 as infra;
use backlot_infrastructure_api::v1::billing_server::{Billing, BillingServer};
use backlot_infrastructure_api::v1::mandates_server::{Mandates, MandatesServer};
use backlot_infrastructure_api::v1::storage_server::{Storage, StorageServer};
use backlot_infrastructure_api::{AssetId, OrganisationId};
use futures::stream::BoxStream;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

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

#[derive(Clone)]
struct Infra(Arc<World>);

#[async_trait]
impl Billing for Infra {
    async fn hold(&self, request: Request<infra::HoldRequest>) -> Answer<infra::Hold> {
        self.0.door("hold", When::Before).await?;
        let request = request.into_inner();
        let hold = {
            let mut state = self.0.state.lock();
            state.hold_calls += 1;
            if let Some(hold) = state.holds.get(&request.run_id) {
                assert_eq!(hold.held_micro, request.amount_micro, "another body under the same run");
                hold.clone()
            } else if state.revoked {
                return Err(Problem::new(&REVOKED, "It was taken back.").into());
            } else if state.available < request.amount_micro {
                return Err(Problem::new(&INSUFFICIENT, "There are not enough credits.").into());
            } else {
                state.available -= request.amount_micro;
                let hold = infra::Hold {
                    run_id: request.run_id.clone(),
                    state: infra::HoldState::Held.into(),
                    held_micro: request.amount_micro,
                    mandate_id: "0198a000-0000-7000-8000-000000000002".to_owned(),
                    mandate_chain: vec![
                        "0198a000-0000-7000-8000-000000000002".to_owned(),
                        "0198a000-0000-7000-8000-000000000001".to_owned(),
                    ],
                    created_at_us: SystemClock.now().micros(),
                    ..Default::default()
                };
                state.holds.insert(request.run_id, hold.clone());
                hold
            }
        };
        self.0.door("hold", When::After).await?;
        Ok(Response::new(hold))
    }

    async fn settle(&self, request: Request<infra::SettleRequest>) -> Answer<infra::Hold> {
        self.0.door("settle", When::Before).await?;
        let request = request.into_inner();
        let hold = self.end(&request.run_id, infra::HoldState::Settled, request.amount_micro)?;
        self.0.door("settle", When::After).await?;
        Ok(Response::new(hold))
    }

    async fn void(&self, request: Request<infra::VoidRequest>) -> Answer<infra::Hold> {
        self.0.door("void", When::Before).await?;
        let request = request.into_inner();
        let hold = self.end(&request.run_id, infra::HoldState::Voided, 0)?;
        self.0.door("void", When::After).await?;
        Ok(Response::new(hold))
    }

    async fn get_hold(&self, request: Request<infra::GetHoldRequest>) -> Answer<infra::Hold> {
        let hold = self.0.state.lock().holds.get(&request.into_inner().run_id).cloned();
        hold.map(Response::new).ok_or_else(|| Status::not_found("no hold"))
    }

    async fn get_balance(&self, _: Request<infra::GetBalanceRequest>) -> Answer<infra::Balance> {
        let available_micro = self.0.state.lock().available;
        Ok(Response::new(infra::Balance { available_micro, ..Default::default() }))
    }

    async fn check_ledger(&self, _: Request<infra::CheckLedgerRequest>) -> Answer<infra::LedgerReport> {
        Ok(Response::new(infra::LedgerReport::default()))
    }
}

impl Infra {
    fn end(&self, run: &str, end: infra::HoldState, amount: i64) -> Result<infra::Hold, Status> {
        let mut state = self.0.state.lock();
        let Some(hold) = state.holds.get_mut(run) else { return Err(Status::not_found("no hold")) };
        if hold.state() == infra::HoldState::Held {
            assert!(amount <= hold.held_micro, "settled more than held");
            hold.set_state(end);
            hold.settled_micro = amount;
            hold.ended_at_us = SystemClock.now().micros();
            let (hold, returned) = (hold.clone(), hold.held_micro - amount);
            state.available += returned;
            return Ok(hold);
        }
        assert_eq!((hold.state(), hold.settled_micro), (end, amount), "ended twice, differently");
        Ok(hold.clone())
    }
}

#[async_trait]
impl Mandates for Infra {
    async fn check(&self, request: Request<infra::CheckRequest>) -> Answer<infra::CheckResponse> {
        assert_eq!(request.into_inner().action, "tools.run");
        Ok(Response::new(infra::CheckResponse { allowed: true, ..Default::default() }))
    }
}

#[async_trait]
impl Storage for Infra {
    async fn get_asset(&self, request: Request<infra::GetAssetRequest>) -> Answer<infra::Asset> {
        let request = request.into_inner();
        let asset = self.0.state.lock().assets.get(&request.asset_id).cloned();
        let asset = asset.filter(|asset| asset.organisation_id == request.organisation_id);
        asset.map(Response::new).ok_or_else(|| Status::not_found("no asset"))
    }

    async fn sign_download(&self, request: Request<infra::SignDownloadRequest>) -> Answer<infra::SignedUrl> {
        self.0.door("sign", When::Before).await?;
        let id = request.into_inner().asset_id;
        // Another signature at every call, as stores do.
        let url = format!("http://store.test/{id}?signature={}", uuid_like());
        Ok(Response::new(infra::SignedUrl { url, expires_at_us: 0 }))
    }

    async fn create_issuer(&self, request: Request<infra::CreateIssuerRequest>) -> Answer<infra::Issuer> {
        self.0.door("issuer", When::Before).await?;
        let capability = format!("capability of {}", request.into_inner().job_id);
        Ok(Response::new(infra::Issuer { url: "http://store.test/v1/outputs".to_owned(), capability }))
    }

    async fn finalize_outputs(
        &self,
        request: Request<infra::FinalizeOutputsRequest>,
    ) -> Answer<infra::FinalizeOutputsResponse> {
        self.0.door("finalise", When::Before).await?;
        let request = request.into_inner();
        if self.0.state.lock().refuse_outputs {
            return Err(Problem::new(&PRECONDITION, "An object is missing.").into());
        }
        let assets = {
            let mut state = self.0.state.lock();
            let made = state.finalised.entry(request.job_id).or_insert_with(|| {
                let asset = |output: &infra::Output| infra::Asset {
                    id: AssetId::generate().to_string(),
                    state: infra::AssetState::Ready.into(),
                    name: output.name.clone(),
                    content_type: output.content_type.clone(),
                    size_bytes: output.size_bytes,
                    ..Default::default()
                };
                request.outputs.iter().map(asset).collect()
            });
            made.clone()
        };
        self.0.door("finalise", When::After).await?;
        Ok(Response::new(infra::FinalizeOutputsResponse { assets }))
    }

    async fn sign_output(&self, request: Request<infra::SignOutputRequest>) -> Answer<infra::SignedUrl> {
        self.0.door("sign_output", When::Before).await?;
        let request = request.into_inner();
        let state = self.0.state.lock();
        let closed =
            state.finalised.contains_key(&request.job_id) || state.discarded.contains(&request.job_id);
        if closed {
            return Err(Problem::new(&PRECONDITION, "They were kept or discarded.").into());
        }
        let url = format!("http://store.test/{}?signature={}", request.object_key, uuid_like());
        Ok(Response::new(infra::SignedUrl { url, expires_at_us: 0 }))
    }

    async fn discard_outputs(
        &self,
        request: Request<infra::DiscardOutputsRequest>,
    ) -> Answer<infra::DiscardOutputsResponse> {
        self.0.door("discard", When::Before).await?;
        self.0.state.lock().discarded.push(request.into_inner().job_id);
        self.0.door("discard", When::After).await?;
        Ok(Response::new(infra::DiscardOutputsResponse {}))
    }

    async fn set_public(&self, _: Request<infra::SetPublicRequest>) -> Answer<infra::SetPublicResponse> {
        Err(Status::unimplemented("tools make nothing public"))
    }

    async fn copy_public(&self, _: Request<infra::CopyPublicRequest>) -> Answer<infra::Asset> {
        Err(Status::unimplemented("tools copy nothing"))
    }

    async fn sign_public(&self, _: Request<infra::SignPublicRequest>) -> Answer<infra::SignedUrl> {
        Err(Status::unimplemented("tools make nothing public"))
    }
}

fn uuid_like() -> String {
    RunId::generate().to_string()
}

#[derive(Clone)]
struct Queue(Arc<World>);

#[async_trait]
impl Control for Queue {
    async fn put_tenant(&self, request: Request<inference::PutTenantRequest>) -> Answer<inference::Tenant> {
        let tenant = request.into_inner().tenant;
        self.0.state.lock().tenants.push(tenant.clone());
        Ok(Response::new(inference::Tenant { tenant, ..Default::default() }))
    }

    async fn put_model(&self, request: Request<inference::PutModelRequest>) -> Answer<inference::Model> {
        let spec = request.into_inner().spec;
        self.0.state.lock().models.extend(spec.as_ref().map(|spec| spec.name.clone()));
        Ok(Response::new(inference::Model { spec, created_at_us: 0 }))
    }

    async fn list_models(
        &self,
        _: Request<inference::ListModelsRequest>,
    ) -> Answer<inference::ListModelsResponse> {
        Ok(Response::new(inference::ListModelsResponse::default()))
    }

    async fn estimate(&self, _: Request<inference::EstimateRequest>) -> Answer<inference::Estimate> {
        let estimate = inference::Estimate {
            possible: true,
            start_p50_ms: 10,
            start_p90_ms: 100,
            run_ms: 700,
            ..Default::default()
        };
        Ok(Response::new(estimate))
    }

    async fn submit(&self, request: Request<inference::SubmitRequest>) -> Answer<inference::Job> {
        self.0.door("submit", When::Before).await?;
        let request = request.into_inner();
        let job = {
            let mut state = self.0.state.lock();
            if let Some((job, body)) = state.jobs.get(&request.idempotency_key) {
                if *body != request.input_json {
                    return Err(Problem::new(
                        &backlot_foundation_errors::codes::IDEMPOTENCY_KEY_REUSED,
                        "Another body.",
                    )
                    .into());
                }
                job.borrow().clone()
            } else if let Some(problem) = state.refuse_submit.clone() {
                return Err(problem.into());
            } else {
                let is_look = request.tenant == "backlot-checks";
                let is_held = state.holds.contains_key(&request.idempotency_key);
                assert!(is_held || is_look, "work without a hold");
                if is_look {
                    state.looks.push(request.idempotency_key.clone());
                }
                let job = inference::Job {
                    id: request.idempotency_key.clone(),
                    state: inference::JobState::Queued.into(),
                    phase: inference::Phase::Queued.into(),
                    position: 3,
                    start_p50_ms: 10,
                    start_p90_ms: 100,
                    created_at_us: SystemClock.now().micros(),
                    ..Default::default()
                };
                let input = serde_json::from_str(&request.input_json).unwrap();
                state.inputs.insert(request.idempotency_key.clone(), input);
                let entry = (watch::Sender::new(job.clone()), request.input_json);
                state.jobs.insert(request.idempotency_key, entry);
                job
            }
        };
        self.0.door("submit", When::After).await?;
        Ok(Response::new(job))
    }

    async fn get_job(&self, request: Request<inference::GetJobRequest>) -> Answer<inference::Job> {
        self.0.door("get_job", When::Before).await?;
        let job =
            self.0.state.lock().jobs.get(&request.into_inner().job_id).map(|(job, _)| job.borrow().clone());
        job.map(Response::new).ok_or_else(|| Status::not_found("no job"))
    }

    async fn list_jobs(&self, _: Request<inference::ListJobsRequest>) -> Answer<inference::ListJobsResponse> {
        Ok(Response::new(inference::ListJobsResponse::default()))
    }

    async fn cancel_job(&self, request: Request<inference::CancelJobRequest>) -> Answer<inference::Job> {
        self.0.door("cancel", When::Before).await?;
        let id = request.into_inner().job_id;
        let run = RunId::parse(&id).unwrap();
        self.0.change_job(run, |job| {
            job.cancel_requested_at_us = SystemClock.now().micros();
            if job.state() == inference::JobState::Queued {
                job.set_state(inference::JobState::Canceled);
                job.ended_at_us = SystemClock.now().micros();
            }
        });
        let job = self.0.job(run);
        self.0.door("cancel", When::After).await?;
        job.map(Response::new).ok_or_else(|| Status::not_found("no job"))
    }

    type WatchJobStream = BoxStream<'static, Result<inference::Job, Status>>;

    async fn watch_job(&self, request: Request<inference::GetJobRequest>) -> Answer<Self::WatchJobStream> {
        let changes =
            self.0.state.lock().jobs.get(&request.into_inner().job_id).map(|(job, _)| job.subscribe());
        let mut changes = changes.ok_or_else(|| Status::not_found("no job"))?;
        let stream = async_stream::stream! {
            loop {
                let job = changes.borrow_and_update().clone();
                let live = matches!(job.state(), inference::JobState::Queued | inference::JobState::Running);
                yield Ok(job);
                if !live || changes.changed().await.is_err() {
                    break;
                }
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }

    async fn get_fleet(&self, _: Request<inference::GetFleetRequest>) -> Answer<inference::Fleet> {
        Ok(Response::new(inference::Fleet::default()))
    }
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
    config: Config,
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
