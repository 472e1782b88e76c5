//! The rules at the door, and the handle by which callers reach the driver.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backlot_foundation_db::{Db, DbError};
use backlot_foundation_errors::Problem;
use backlot_foundation_events::EventsService;
use backlot_foundation_runtime::Tasks;
use backlot_foundation_time::SharedClock;
use backlot_foundation_tokens::Claims;
use backlot_inference_api::{
    JobId,
    v1::{agents_server::AgentsServer, control_server::ControlServer},
};
use backlot_inference_scheduler::Impossible;
use futures::Stream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tonic::service::Routes;

use crate::{
    config::Config,
    door::{blank, check_model, invalid, name, regions},
    driver::{Command, Found, Reply, job_spec},
    error::Error,
    input, limits,
    model::{EstimateView, Fleet, Job, JobState, Model, ModelSpec, Target, Tenant, Tier},
    pools::Launch,
    relay::{self, Relay},
    shared::{ModelEntry, Shared},
    store,
};

/// Longest wait for the driver's answer. After it the caller cannot know, and repeats with its key.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a watched job is looked for again after the driver has started anew.
const WATCH_PAUSE: Duration = Duration::from_millis(300);

/// Whose jobs a caller may see and touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The issuer's namespace.
    pub namespace: String,
    /// One tenant; nothing: all of the namespace.
    pub tenant: Option<String>,
}

impl Scope {
    /// A system sees its namespace, a person or a service account only its organisation's jobs, staff the namespace.
    pub fn of(claims: &Claims) -> Result<Self, Error> {
        if claims.namespace.is_empty() {
            return Err(Error::Forbidden("The issuer of this token has no namespace here."));
        }
        let system = claims.is_service() && claims.org.is_empty();
        let tenant = if system || claims.staff { None } else { Some(claims.org.clone()) };
        if tenant.as_deref() == Some("") {
            return Err(Error::Forbidden("The token names no organisation."));
        }
        Ok(Self { namespace: claims.namespace.clone(), tenant })
    }

    /// Whether a job of this owner is in scope.
    #[must_use]
    pub fn covers(&self, namespace: &str, tenant: &str) -> bool {
        self.namespace == namespace && self.tenant.as_deref().is_none_or(|own| own == tenant)
    }
}

/// A job as its caller asks for it.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Same key and request: same job. Empty: none.
    pub idempotency_key: String,
    /// Who it counts for.
    pub tenant: String,
    /// `owner/name`.
    pub model: String,
    /// Version of the model; empty: the newest.
    pub model_version: String,
    /// The input, JSON.
    pub input_json: String,
    /// How soon.
    pub tier: Tier,
    /// How long it may wait, milliseconds; 0: the default.
    pub ttl_ms: i64,
    /// Where its outputs go.
    pub target: Target,
    /// The caller's guess of the compute, milliseconds; 0: the model's.
    pub predicted_ms: i64,
    /// Where it may run; empty: anywhere.
    pub regions: Vec<String>,
    /// W3C trace context; may be empty.
    pub traceparent: String,
    /// The latest useful finish.
    pub deadline: Option<backlot_foundation_time::Timestamp>,
}

/// What a caller wants to know before submitting.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub tenant: String,
    /// `owner/name`.
    pub model: String,
    /// Version of the model; empty: the newest.
    pub model_version: String,
    /// How soon.
    pub tier: Tier,
    /// The caller's guess of the compute, milliseconds; 0: the model's.
    pub predicted_ms: i64,
}

/// Control. Cheap to clone; all clones speak to the same driver.
#[derive(Clone)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) config: Config,
    pub(crate) launch: Launch,
    pub(crate) shared: Arc<Shared>,
    pub(crate) relay: Relay,
    pub(crate) commands: mpsc::Sender<Command>,
    /// Held by the driver while it runs, so that a restarted one goes on where the last one stopped.
    pub(crate) receiver: Mutex<mpsc::Receiver<Command>>,
    sessions: AtomicU64,
}

impl Service {
    /// A service on a migrated database. Nothing runs before [`Service::tasks`].
    #[must_use]
    pub fn new(db: Db, clock: SharedClock, config: Config) -> Self {
        Self::with_machines(db, clock, config, Launch::default())
    }

    /// The same, with how agents of local pools are started here.
    #[must_use]
    pub fn with_machines(db: Db, clock: SharedClock, config: Config, launch: Launch) -> Self {
        let (commands, receiver) = mpsc::channel(limits::COMMANDS_WAITING_MAX);
        let (shared, sessions) = (Arc::default(), AtomicU64::new(1));
        let receiver = Mutex::new(receiver);
        let relay = Relay::default();
        let inner = Inner { db, clock, config, launch, shared, relay, commands, receiver, sessions };
        Self { inner: Arc::new(inner) }
    }

    /// Brings the database's tables up to date, those of the outbox included.
    pub async fn migrate(db: &Db) -> Result<(), DbError> {
        db.migrate::<backlot_foundation_events::Migrator>().await?;
        db.migrate::<crate::Migrator>().await
    }

    /// Starts the driver.
    pub fn tasks(&self, tasks: &Tasks) {
        crate::tasks::spawn(self, tasks);
    }

    /// The events of inference, to be served beside the contract.
    #[must_use]
    pub fn events(&self) -> EventsService {
        EventsService::new(self.inner.db.clone(), self.inner.clock.clone(), crate::schemas())
    }

    /// The contract's services, to be added to a system's routes: `Control`, `Agents` and `Events`.
    ///
    /// Where another replica leads, calls of `Control` and `Agents` go there. Events are in the rows that all share.
    #[must_use]
    pub fn rpc_routes(&self) -> Routes {
        let led = Routes::new(ControlServer::new(self.clone())).add_service(AgentsServer::new(self.clone()));
        let led = led.prepare().into_axum_router().reset_fallback();
        let pass_on = axum::middleware::from_fn_with_state(self.inner.clone(), relay::pass_on);
        Routes::from(led.layer(pass_on)).add_service(self.events().server())
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.inner.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the driver and waits for its answer.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.inner.commands.send(command(reply)).await.map_err(|_| Error::Unavailable)?;
            answer.await.map_err(|_| Error::Unavailable)?
        };
        tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| Error::Unavailable)?
    }

    /// Makes the driver look at the clock now. It wakes by itself when the machine's clock says so; a clock that is
    /// set by hand cannot wake it.
    pub async fn nudge(&self) -> Result<(), Error> {
        self.ask(Command::Nudge).await
    }

    /// Accepts a job: it is on disk when this returns.
    pub async fn submit(&self, scope: &Scope, submission: Submission) -> Result<Arc<Job>, Error> {
        let new = self.check(scope, submission)?;
        let found = self.ask(|reply| Command::Submit(Box::new(new), reply)).await?;
        match found {
            Found::Live(job) => self.in_scope(scope, job),
            Found::InRows(id) => {
                let row = store::job_by_id(&self.inner.db, &scope.namespace, id).await?;
                row.map(Arc::new).ok_or(Error::JobDeleted(id)).and_then(|job| self.in_scope(scope, job))
            }
        }
    }

    /// A job as it is now, with its place in the queue.
    pub async fn get(&self, scope: &Scope, id: JobId) -> Result<Arc<Job>, Error> {
        let live = self.inner.shared.job(id).filter(|job| job.state == JobState::Queued);
        if let Some(job) = live {
            let job = self.in_scope(scope, job)?;
            // The place moves with every other job; where the driver does not answer, the last one known will do.
            return match self.ask(|reply| Command::Look(id, reply)).await {
                Ok(Found::Live(job)) => Ok(job),
                Ok(Found::InRows(_)) => self.read_row(scope, id).await,
                Err(_) => Ok(job),
            };
        }
        match self.inner.shared.job(id) {
            Some(job) => self.in_scope(scope, job),
            None => self.read_row(scope, id).await,
        }
    }

    /// A page of jobs, newest first.
    pub async fn list(
        &self,
        scope: &Scope,
        tenant: Option<String>,
        state: Option<JobState>,
        limit: i32,
        before: Option<JobId>,
    ) -> Result<Vec<Job>, Error> {
        let filter = store::JobFilter {
            namespace: scope.namespace.clone(),
            tenant: scope.tenant.clone().or(tenant),
            state,
            before,
            limit: if limit <= 0 { limits::LIST_DEFAULT } else { limit.min(limits::LIST_MAX) },
        };
        let rows = store::jobs_by_filter(&self.inner.db, &filter).await?;
        let now = |job: Job| self.inner.shared.job(job.id).map_or(job, |live| (*live).clone());
        Ok(rows.into_iter().map(now).collect())
    }

    /// Asks for a job's end. It is canceled when its agent has confirmed that the work stopped.
    pub async fn cancel(&self, scope: &Scope, id: JobId) -> Result<Arc<Job>, Error> {
        match self.ask(|reply| Command::Cancel(id, scope.clone(), reply)).await? {
            Found::Live(job) => self.in_scope(scope, job),
            Found::InRows(id) => self.read_row(scope, id).await,
        }
    }

    /// The job now, then at every change, until it has ended.
    pub async fn watch(
        &self,
        scope: &Scope,
        id: JobId,
    ) -> Result<impl Stream<Item = Result<Arc<Job>, Error>> + Send + 'static, Error> {
        self.get(scope, id).await?;
        let (service, scope) = (self.clone(), scope.clone());
        Ok(async_stream::try_stream! {
            loop {
                if let Some(mut changes) = service.inner.shared.watch(id) {
                    loop {
                        let job = changes.borrow_and_update().clone();
                        let ended = job.state.is_terminal();
                        yield job;
                        if ended {
                            return;
                        }
                        if changes.changed().await.is_err() {
                            break;
                        }
                    }
                }
                if service.inner.shared.is_stopped() {
                    return;
                }
                // Not live: it ended before we looked, or the driver starts anew.
                let job = service.read_row(&scope, id).await?;
                if job.state.is_terminal() {
                    yield job;
                    return;
                }
                tokio::time::sleep(WATCH_PAUSE).await;
            }
        })
    }

    /// What would happen to such a job now. Promises nothing.
    pub async fn estimate(&self, scope: &Scope, question: Question) -> Result<EstimateView, Error> {
        let tenant = scope.tenant.clone().unwrap_or(question.tenant);
        let (shared, version) = (&self.inner.shared, &question.model_version);
        let entry = shared.find_model(&scope.namespace, &question.model, version);
        let entry = entry.ok_or_else(|| shared.not_found(&question.model, version))?;
        let mut job = blank(&scope.namespace, &tenant, &question.model, &entry.model.spec.version);
        (job.tier, job.predicted_ms) = (question.tier, question.predicted_ms.clamp(0, limits::TTL_MS_MAX));
        (job.created_at, job.queued_at) = (self.inner.clock.now(), self.inner.clock.now());
        let spec = job_spec(&job);
        let answer = self.ask(|reply| Command::Estimate(Box::new(spec), reply)).await?;
        Ok(match answer {
            Ok(estimate) => EstimateView {
                impossible_because: String::new(),
                position: estimate.position,
                start_p50_ms: estimate.start_p50_ms,
                start_p90_ms: estimate.start_p90_ms,
                run_ms: estimate.run_ms,
            },
            Err(why) => EstimateView {
                impossible_because: because(why).to_owned(),
                position: 0,
                start_p50_ms: 0,
                start_p90_ms: 0,
                run_ms: entry.model.spec.run_ms,
            },
        })
    }

    /// Sets a tenant's share and limits. An older version changes nothing.
    pub async fn put_tenant(&self, tenant: Tenant) -> Result<Tenant, Error> {
        name("/tenant", &tenant.tenant)?;
        regions(tenant.regions.iter())?;
        if tenant.weight_milli == 0 {
            return Err(invalid("/weight", "must be more than 0"));
        }
        self.ask(|reply| Command::PutTenant(tenant, reply)).await
    }

    /// Registers a model's version for good. It is its namespace's alone, as are all names of its owner from now on.
    pub async fn put_model(&self, scope: &Scope, spec: ModelSpec) -> Result<Model, Error> {
        check_model(&spec)?;
        let schema = input::Schema::compile(&spec.input_schema)?;
        let model = Model { namespace: scope.namespace.clone(), spec, created_at: self.inner.clock.now() };
        let entry = Arc::new(ModelEntry { model, schema });
        let held = self.ask(|reply| Command::PutModel(entry, reply)).await?;
        Ok(held.model.clone())
    }

    /// All models that the caller's namespace registered.
    #[must_use]
    pub fn models(&self, scope: &Scope) -> Vec<Model> {
        self.inner.shared.models(&scope.namespace)
    }

    /// Agents and queues. Whose jobs they are is told only to those in whose scope they are.
    pub async fn fleet(&self, scope: &Scope) -> Result<Fleet, Error> {
        let mut fleet = self.ask(Command::Fleet).await?;
        for worker in fleet.agents.iter_mut().flat_map(|agent| &mut agent.workers) {
            let own =
                worker.job_owner.as_ref().is_some_and(|(namespace, tenant)| scope.covers(namespace, tenant));
            if !own {
                worker.job_id = None;
            }
        }
        if scope.tenant.is_some() {
            let third_parties: BTreeSet<String> = fleet.overflow.drain(..).map(|third| third.name).collect();
            for agent in &mut fleet.agents {
                agent.pool.take_if(|pool| third_parties.contains(pool));
            }
            for pool in &mut fleet.pools {
                (pool.price_micro_per_hour, pool.spent_today_micro, pool.trouble) = (None, None, None);
            }
        }
        for queue in &mut fleet.queues {
            if !scope.covers(&queue.namespace, &queue.tenant) {
                queue.tenant.clear();
            }
        }
        Ok(fleet)
    }

    /// Whether the database answers and somebody leads here.
    pub async fn ready(&self) -> Result<(), Problem> {
        self.nudge().await.map_err(Problem::from)
    }

    fn in_scope(&self, scope: &Scope, job: Arc<Job>) -> Result<Arc<Job>, Error> {
        if scope.covers(&job.namespace, &job.tenant) { Ok(job) } else { Err(Error::JobUnknown) }
    }

    async fn read_row(&self, scope: &Scope, id: JobId) -> Result<Arc<Job>, Error> {
        let row = store::job_by_id(&self.inner.db, &scope.namespace, id).await?;
        self.in_scope(scope, Arc::new(row.ok_or(Error::JobUnknown)?))
    }
}

fn because(why: Impossible) -> &'static str {
    match why {
        Impossible::UnknownModel => "the model is not registered",
        Impossible::NoWorker => "no worker is connected",
        Impossible::NoRegion => "no worker is connected in a region where it may run",
        Impossible::NoCapacity => {
            "no connected worker serves this model with the memory and GPUs that it needs"
        }
    }
}
