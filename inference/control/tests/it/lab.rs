//! A database, a process on it that can be killed, and an agent that does what the test says.

use std::{sync::Arc, time::Duration};

use backlot_foundation_db::{Db, DbConfig};
use backlot_foundation_rpc::{Channel, Server};
use backlot_foundation_runtime::Tasks;
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::{Clock as _, ManualClock, SystemClock, Timestamp};
use backlot_inference_api::v1::{
    self, agent_message::Message as Said, agents_client::AgentsClient, control_client::ControlClient,
    control_message::Message as Told,
};
use backlot_inference_control::{Config, Service};
use sea_orm::{ConnectionTrait as _, Statement};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

pub(crate) const JOIN_TOKEN: &str = "a fleet's secret";
/// Longest wait for anything in a test: nothing takes it, unless the machine has much else to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// A database that outlives the processes on it, and the time.
pub(crate) struct World {
    config: DbConfig,
    pub(crate) clock: Arc<ManualClock>,
    _kept: (Option<tempfile::TempDir>, Option<TestDb>),
}

/// Runs a test on every kind of database that is at hand.
pub(crate) fn on_every_database(test: impl Fn(&World)) {
    let now = || ManualClock::at(Timestamp::from_micros(SystemClock.now().micros()));
    let folder = tempfile::tempdir().unwrap();
    let config = DbConfig::sqlite(&folder.path().join("inference.db"));
    test(&World { config, clock: now(), _kept: (Some(folder), None) });

    let runtime = Runtime::new().unwrap();
    if let Some(postgres) = runtime.block_on(TestDb::postgres("inference")) {
        test(&World { config: postgres.config.clone(), clock: now(), _kept: (None, Some(postgres)) });
    }
}

/// One process: everything that it runs ends when it is killed.
pub(crate) struct Process {
    runtime: Option<Runtime>,
    pub(crate) db: Db,
    pub(crate) service: Service,
    pub(crate) trust: Trust,
    clock: Arc<ManualClock>,
    router: axum::Router,
    tasks: Tasks,
}

impl World {
    pub(crate) fn start(&self) -> Process {
        self.start_with(|_| ())
    }

    pub(crate) fn start_with(&self, change: impl FnOnce(&mut Config)) -> Process {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (db, service, tasks) = runtime.block_on(async {
            let db = Db::connect(&self.config, "inference").await.unwrap();
            Service::migrate(&db).await.unwrap();
            let mut config = Config { join_token: JOIN_TOKEN.to_owned(), ..Config::default() };
            change(&mut config);
            let service = Service::new(db.clone(), self.clock.clone(), config);
            let tasks = Tasks::new();
            service.tasks(&tasks);
            service.ready().await.unwrap();
            (db, service, tasks)
        });
        let trust = Trust::new("business", "inference");
        let router = Server::new(trust.verifier.clone()).layer(service.rpc_routes());
        let clock = self.clock.clone();
        Process { runtime: Some(runtime), db, service, trust, clock, router, tasks }
    }
}

impl Drop for Process {
    /// Kill: nothing is told, nothing is flushed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

impl Process {
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("not killed yet");
        runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("within patience") })
    }

    /// Stops in good order.
    pub(crate) fn stop(&self) {
        assert_eq!(self.run(self.tasks.shutdown(PATIENCE / 2)), 0, "every task stops by itself");
    }

    /// Runs for as long as the process lives.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.as_ref().expect("not killed yet").spawn(future);
    }

    pub(crate) fn control(&self) -> ControlClient<Channel> {
        let channel = Channel::local(self.router.clone()).with_signer(self.trust.signer.clone(), "inference");
        ControlClient::new(channel)
    }

    pub(crate) fn put_model(&self, name: &str, schema: &str) {
        let spec = v1::ModelSpec {
            name: name.to_owned(),
            version: "1".to_owned(),
            runtime: v1::RuntimeKind::Echo.into(),
            input_schema_json: schema.to_owned(),
            run_ms: 10,
            timeout_ms: 60_000,
            ..v1::ModelSpec::default()
        };
        self.run(self.control().put_model(v1::PutModelRequest { spec: Some(spec) })).unwrap();
    }

    pub(crate) fn try_submit(&self, request: v1::SubmitRequest) -> Result<v1::Job, tonic::Status> {
        self.run(self.control().submit(request)).map(tonic::Response::into_inner)
    }

    pub(crate) fn submit(&self, key: &str) -> v1::Job {
        self.try_submit(submission(key)).unwrap()
    }

    pub(crate) fn job(&self, id: &str) -> v1::Job {
        let request = v1::GetJobRequest { job_id: id.to_owned() };
        self.run(self.control().get_job(request)).unwrap().into_inner()
    }

    pub(crate) fn cancel(&self, id: &str) -> v1::Job {
        let request = v1::CancelJobRequest { job_id: id.to_owned() };
        self.run(self.control().cancel_job(request)).unwrap().into_inner()
    }

    /// Lets time pass, and the driver see it.
    pub(crate) fn wait_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
        self.run(self.service.nudge()).unwrap();
    }

    /// An agent says hello; what control answers is its welcome.
    pub(crate) fn join(&self, hello: v1::Hello) -> (Agent, v1::Welcome) {
        let mut agent = self.dial(hello, JOIN_TOKEN).unwrap();
        match self.run(agent.hear()) {
            Told::Welcome(welcome) => (agent, welcome),
            other => panic!("expected a welcome, heard {other:?}"),
        }
    }

    pub(crate) fn dial(&self, hello: v1::Hello, token: &str) -> Result<Agent, tonic::Status> {
        self.run(self.line(token).dial(hello))
    }

    /// The way to this process, for an agent that dials by itself.
    pub(crate) fn line(&self, token: &str) -> Line {
        Line { channel: Channel::local(self.router.clone()).with_bearer(token) }
    }

    /// The next assignment that an agent hears.
    pub(crate) fn assigned(&self, agent: &mut Agent) -> v1::Assign {
        match self.run(agent.hear()) {
            Told::Assign(assign) => assign,
            other => panic!("expected an assignment, heard {other:?}"),
        }
    }

    /// The agent reports an attempt's end and hears that control has it.
    pub(crate) fn finish(&self, agent: &mut Agent, finished: v1::AttemptFinished) {
        let fence = finished.fence.clone();
        self.run(agent.say(Said::Finished(finished)));
        self.acknowledged(agent, &fence);
    }

    pub(crate) fn acknowledged(&self, agent: &mut Agent, fence: &str) {
        match self.run(agent.hear()) {
            Told::Acknowledged(acknowledged) => assert_eq!(acknowledged.fence, fence),
            other => panic!("expected an acknowledgement, heard {other:?}"),
        }
    }

    /// Types of all events of a subject, in order.
    pub(crate) fn events(&self, subject: &str) -> Vec<String> {
        let sql = "SELECT type FROM outbox WHERE subject = $1 ORDER BY seq";
        let query = Statement::from_sql_and_values(self.db.backend(), sql, [subject.into()]);
        let rows = self.run(self.db.read().query_all_raw(query)).unwrap();
        rows.iter().map(|row| row.try_get::<String>("", "type").unwrap()).collect()
    }

    /// One number from the database.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        let query = Statement::from_string(self.db.backend(), sql);
        let row = self.run(self.db.read().query_one_raw(query)).unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }

    /// The first column of a query, as texts.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        let query = Statement::from_string(self.db.backend(), sql);
        let rows = self.run(self.db.read().query_all_raw(query)).unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.run(async {
            let tx = self.db.begin_write().await.unwrap();
            tx.execute_unprepared(sql).await.unwrap();
            tx.commit().await.unwrap();
        });
    }
}

/// The way to a process.
pub(crate) struct Line {
    channel: Channel,
}

impl Line {
    pub(crate) async fn dial(&self, hello: v1::Hello) -> Result<Agent, tonic::Status> {
        let (tell, told) = mpsc::channel(64);
        tell.try_send(v1::AgentMessage { message: Some(Said::Hello(hello)) }).unwrap();
        let mut client = AgentsClient::new(self.channel.clone());
        let stream = client.connect(ReceiverStream::new(told)).await?.into_inner();
        Ok(Agent { tell, stream })
    }
}

/// The agent's end of its stream.
pub(crate) struct Agent {
    tell: mpsc::Sender<v1::AgentMessage>,
    stream: tonic::Streaming<v1::ControlMessage>,
}

impl Agent {
    /// A stream that control has closed takes nothing more, and that is no fault of the agent.
    pub(crate) async fn say(&self, message: Said) {
        let _ = self.tell.send(v1::AgentMessage { message: Some(message) }).await;
    }

    /// The next message that is not about the lease.
    pub(crate) async fn hear(&mut self) -> Told {
        self.heard().await.expect("the stream goes on")
    }

    /// The same; nothing where the stream has ended.
    pub(crate) async fn heard(&mut self) -> Option<Told> {
        loop {
            match self.stream.message().await.ok()??.message {
                Some(Told::Lease(_)) | None => {}
                Some(message) => return Some(message),
            }
        }
    }

    /// The status with which control ended the stream.
    pub(crate) async fn refused(&mut self) -> Option<tonic::Status> {
        loop {
            match self.stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

pub(crate) fn submission(key: &str) -> v1::SubmitRequest {
    v1::SubmitRequest {
        idempotency_key: key.to_owned(),
        tenant: "t1".to_owned(),
        model: "backlot/echo".to_owned(),
        model_version: "1".to_owned(),
        input_json: r#"{"text":"hello"}"#.to_owned(),
        ..v1::SubmitRequest::default()
    }
}

/// An agent with one worker that takes one attempt at a time.
pub(crate) fn hello(id: &str) -> v1::Hello {
    hello_of(id, &["w"])
}

pub(crate) fn hello_of(id: &str, workers: &[&str]) -> v1::Hello {
    let worker = |id: &&str| v1::WorkerSpec { id: (*id).to_owned(), slots: 1, ..v1::WorkerSpec::default() };
    v1::Hello {
        agent_id: id.to_owned(),
        boot_id: "boot".to_owned(),
        name: id.to_owned(),
        region: "local".to_owned(),
        workers: workers.iter().map(worker).collect(),
        ..v1::Hello::default()
    }
}

pub(crate) fn running(assign: &v1::Assign) -> v1::RunningAttempt {
    v1::RunningAttempt {
        job_id: assign.job_id.clone(),
        fence: assign.fence.clone(),
        worker_id: assign.worker_id.clone(),
        ..v1::RunningAttempt::default()
    }
}

pub(crate) fn succeeded(assign: &v1::Assign) -> v1::AttemptFinished {
    let output = v1::JobOutput {
        name: "out.json".to_owned(),
        content_type: "application/json".to_owned(),
        inline: b"{}".to_vec(),
        size_bytes: 2,
        ..v1::JobOutput::default()
    };
    v1::AttemptFinished { outputs: vec![output], compute_ms: 3, ..ended(assign, "succeeded") }
}

pub(crate) fn ended(assign: &v1::Assign, outcome: &str) -> v1::AttemptFinished {
    v1::AttemptFinished {
        job_id: assign.job_id.clone(),
        fence: assign.fence.clone(),
        worker_id: assign.worker_id.clone(),
        outcome: outcome.to_owned(),
        ..v1::AttemptFinished::default()
    }
}

pub(crate) fn computing(assign: &v1::Assign, progress: f64) -> Said {
    Said::Phase(v1::AttemptPhase {
        job_id: assign.job_id.clone(),
        fence: assign.fence.clone(),
        phase: v1::Phase::Running.into(),
        progress,
        note: "half-way".to_owned(),
        log_tail: "a line\n".to_owned(),
        preview: "data:image/png;base64,AAAA".to_owned(),
    })
}

/// A model whose input is an object with a text.
pub(crate) fn echo(process: &Process) {
    process.put_model(
        "backlot/echo",
        r#"{"type":"object","required":["text"],"properties":{"text":{"type":"string"}}}"#,
    );
}
