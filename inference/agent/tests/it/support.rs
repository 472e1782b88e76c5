//! A control that says what a test tells it to, a store, and an agent between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::Stop;
use backlot_foundation_testkit::Trust;
use backlot_inference_agent::{Agent, Config, WorkerConfig};
use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::agents_server::{Agents, AgentsServer};
use backlot_inference_api::v1::control_message::Message as FromControl;
use backlot_inference_api::v1::output_target::Target;
use backlot_inference_api::v1::{
    Acknowledged, AgentMessage, Assign, AttemptFinished, CancelAttempt, ControlMessage, Hello, InlineTarget,
    IssuerTarget, ModelSpec, OutputTarget, RunningAttempt, RuntimeKind, Welcome,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

/// Nothing that works takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an agent's stream is for the test.
pub(crate) struct Session {
    from: Streaming<AgentMessage>,
    to: mpsc::Sender<Result<ControlMessage, Status>>,
    pub(crate) token: String,
}

struct Scripted(mpsc::Sender<Session>);

#[tonic::async_trait]
impl Agents for Scripted {
    type ConnectStream = ReceiverStream<Result<ControlMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let token =
            request.metadata().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = token.to_owned();
        let (to, stream) = mpsc::channel(64);
        let session = Session { from: request.into_inner(), to, token };
        self.0.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl Session {
    pub(crate) async fn say(&self, message: FromControl) {
        self.to.send(Ok(ControlMessage { message: Some(message) })).await.expect("the agent listens");
    }

    pub(crate) async fn hear(&mut self) -> FromAgent {
        let message =
            tokio::time::timeout(PATIENCE, self.from.message()).await.expect("the agent says something");
        message.expect("a message").expect("the stream is open").message.expect("known")
    }

    /// The next message that `pick` takes; all others are passed over.
    pub(crate) async fn until<T>(&mut self, mut pick: impl FnMut(FromAgent) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.hear().await) {
                return picked;
            }
        }
    }

    pub(crate) async fn finished(&mut self) -> AttemptFinished {
        self.until(|message| match message {
            FromAgent::Finished(report) => Some(report),
            _ => None,
        })
        .await
    }

    /// Until the stream ends; what was said.
    pub(crate) async fn rest(&mut self) -> Vec<FromAgent> {
        let mut said = Vec::new();
        while let Ok(Ok(Some(message))) = tokio::time::timeout(PATIENCE, self.from.message()).await {
            said.extend(message.message);
        }
        said
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.hear().await {
            FromAgent::Hello(hello) => hello,
            other => panic!("expected a greeting, heard {other:?}"),
        }
    }

    pub(crate) async fn welcome(&self, keep: Vec<RunningAttempt>, kill: Vec<RunningAttempt>) {
        let welcome = Welcome { epoch: 1, lease_ms: 10_000, heartbeat_ms: 100, keep, kill };
        self.say(FromControl::Welcome(welcome)).await;
    }

    pub(crate) async fn acknowledge(&self, report: &AttemptFinished) {
        let one = Acknowledged { job_id: report.job_id.clone(), fence: report.fence.clone() };
        self.say(FromControl::Acknowledged(one)).await;
    }

    pub(crate) async fn cancel(&self, job: &str, fence: &str) {
        self.say(FromControl::Cancel(CancelAttempt { job_id: job.to_owned(), fence: fence.to_owned() }))
            .await;
    }
}

/// The scripted control's side.
pub(crate) struct Control {
    sessions: mpsc::Receiver<Session>,
    channel: Channel,
}

impl Control {
    pub(crate) fn new() -> Self {
        let (sender, sessions) = mpsc::channel(4);
        let routes = tonic::service::Routes::new(AgentsServer::new(Scripted(sender)));
        let channel = Trust::new("nobody", "inference").channel(routes, "inference");
        Self { sessions, channel }
    }

    pub(crate) async fn session(&mut self) -> Session {
        let session = tokio::time::timeout(PATIENCE, self.sessions.recv()).await;
        session.expect("the agent dials").expect("a session")
    }

    /// A session after its greeting and a plain welcome.
    pub(crate) async fn welcomed(&mut self) -> (Session, Hello) {
        let mut session = self.session().await;
        let hello = session.hello().await;
        session.welcome(hello.running.clone(), Vec::new()).await;
        (session, hello)
    }
}

/// A running agent.
pub(crate) struct Running {
    pub(crate) stop: Stop,
    task: AbortOnDropHandle<()>,
}

impl Running {
    /// As SIGTERM would.
    pub(crate) async fn stop(self) {
        self.stop.stop();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").expect("in good order");
    }

    /// As `kill -9` would.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The Python of the shipped workers. A test without it fails: one that passes without having run says nothing.
pub(crate) fn workers_python() -> PathBuf {
    std::env::var_os("BACKLOT_WORKERS_PYTHON").map(PathBuf::from).expect(
        "BACKLOT_WORKERS_PYTHON names the workers' Python: export \
         BACKLOT_WORKERS_PYTHON=\"$(scripts/setup-workers | tail -n1)/bin/python\"",
    )
}

/// Folders of one agent.
pub(crate) struct Place {
    pub(crate) root: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a folder") }
    }

    /// Writes a command worker "test/NAME".
    pub(crate) fn command(&self, name: &str, script: &str) {
        let folder = self.root.path().join("workers").join(name);
        std::fs::create_dir_all(&folder).expect("made");
        let worker = format!(
            "model = 'test/{name}'\nversion = '1'\nruntime = 'command'\ncommand = ['python', 'run.py']\n"
        );
        std::fs::write(folder.join("worker.toml"), worker).expect("written");
        let head = "import json, os, sys, time\nrequest = json.load(sys.stdin)\ni = request['input']\nout = request['output_dir']\ndef say(**m): print(json.dumps(m), flush=True)\n";
        std::fs::write(folder.join("run.py"), format!("{head}{script}")).expect("written");
    }

    /// Writes a Cog worker "test/NAME" that answers with its name.
    pub(crate) fn cog(&self, name: &str) {
        let predict = format!("    def predict(self) -> str:\n        return '{name}'\n");
        self.cog_that(name, &predict);
    }

    /// Writes a Cog worker "test/NAME" with these methods.
    pub(crate) fn cog_that(&self, name: &str, methods: &str) {
        let folder = self.root.path().join("workers").join(name);
        std::fs::create_dir_all(&folder).expect("made");
        let worker = format!(
            "model = 'test/{name}'\nversion = '1'\nruntime = 'cog'\npredictor = 'predict.py:Predictor'\nload_ms = 500\n"
        );
        std::fs::write(folder.join("worker.toml"), worker).expect("written");
        let predictor = format!(
            "import os, time\nfrom cog import BasePredictor\nclass Predictor(BasePredictor):\n{methods}"
        );
        std::fs::write(folder.join("predict.py"), predictor).expect("written");
    }

    pub(crate) fn config(&self) -> Config {
        std::fs::create_dir_all(self.root.path().join("workers")).expect("made");
        let mut config = Config {
            name: "bench".to_owned(),
            join_token: "let-me-in".to_owned(),
            workers_dir: self.root.path().join("workers"),
            python: PathBuf::from("/usr/bin/python3"),
            drain_ms: 300,
            ..Config::default()
        };
        config.workers[0] = WorkerConfig { concurrency: 4, ..config.workers[0].clone() };
        config
    }

    pub(crate) fn agent(&self, control: &Control) -> Agent {
        self.agent_with(self.config(), control)
    }

    pub(crate) fn agent_with(&self, config: Config, control: &Control) -> Agent {
        self.agent_on(config, control.channel.clone())
    }

    pub(crate) fn agent_on(&self, config: Config, channel: Channel) -> Agent {
        Agent::new(config, &self.root.path().join("agent"), channel).expect("an agent")
    }

    pub(crate) fn spooled(&self) -> usize {
        let entries = std::fs::read_dir(self.root.path().join("agent/spool")).expect("a spool");
        entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "report"))
            .count()
    }

    pub(crate) fn private_folders(&self) -> usize {
        std::fs::read_dir(self.root.path().join("agent/attempts")).expect("a folder").count()
    }
}

pub(crate) fn run(agent: Agent) -> Running {
    let stop = Stop::new();
    let signal = stop.clone();
    let task = tokio::spawn(async move { agent.run(signal).await });
    Running { stop, task: AbortOnDropHandle::new(task) }
}

/// Waits until a file has a text.
pub(crate) async fn read(path: &Path) -> String {
    let read = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if !text.is_empty() => return text,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the file is written")
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let check = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, check).await.is_ok(), "{what}");
}

pub(crate) fn echo(job: &str, fence: &str, input: Value) -> Assign {
    assign(job, fence, "echo-0", backlot_inference_agent::echo_model(), input)
}

pub(crate) fn command(job: &str, fence: &str, name: &str, input: Value) -> Assign {
    let model = ModelSpec {
        name: format!("test/{name}"),
        version: "1".to_owned(),
        runtime: RuntimeKind::Command.into(),
        worker: name.to_owned(),
        ..ModelSpec::default()
    };
    assign(job, fence, "cpu-0", model, input)
}

pub(crate) fn cog_model(name: &str) -> ModelSpec {
    ModelSpec {
        name: format!("test/{name}"),
        version: "1".to_owned(),
        runtime: RuntimeKind::Cog.into(),
        worker: name.to_owned(),
        ..ModelSpec::default()
    }
}

pub(crate) fn assign(job: &str, fence: &str, worker: &str, model: ModelSpec, input: Value) -> Assign {
    Assign {
        job_id: job.to_owned(),
        fence: fence.to_owned(),
        worker_id: worker.to_owned(),
        model: Some(model),
        input_json: input.to_string(),
        output: Some(OutputTarget { target: Some(Target::Inline(InlineTarget {})) }),
        lease_ms: 10_000,
        timeout_ms: 20_000,
        traceparent: String::new(),
    }
}

/// A store with an issuer; what happens to it is the test's.
pub(crate) struct Store {
    pub(crate) base: String,
    pub(crate) state: Arc<StoreState>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
pub(crate) struct StoreState {
    /// Inputs with bytes of their own; any other name has a text.
    pub(crate) inputs: Mutex<BTreeMap<String, Bytes>>,
    pub(crate) objects: Mutex<BTreeMap<String, Bytes>>,
    pub(crate) asked: Mutex<Vec<Value>>,
    /// Answers to the next calls, before it works again.
    pub(crate) troubles: Mutex<Vec<StatusCode>>,
    /// The same for uploads. One of 503 arrives all the same: only its answer is lost.
    pub(crate) upload_troubles: Mutex<Vec<StatusCode>>,
    base: std::sync::OnceLock<String>,
}

impl Store {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(StoreState::default());
        state.base.set(base.clone()).expect("once");
        let router = Router::new()
            .route("/in/{name}", get(give))
            .route("/outputs", post(issue))
            .route("/out/{job}/{fence}/{n}", put(take))
            .with_state(state.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { base, state, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn target(&self) -> OutputTarget {
        let issuer = IssuerTarget { url: format!("{}/outputs", self.base), capability: "cap".to_owned() };
        OutputTarget { target: Some(Target::Issuer(issuer)) }
    }
}

async fn trouble(state: &StoreState) -> Option<StatusCode> {
    state.troubles.lock().await.pop()
}

async fn give(
    State(state): State<Arc<StoreState>>,
    UrlPath(name): UrlPath<String>,
) -> axum::response::Response {
    match trouble(&state).await {
        Some(status) => status.into_response(),
        None if name == "missing" => StatusCode::NOT_FOUND.into_response(),
        None => match state.inputs.lock().await.get(&name) {
            Some(bytes) => bytes.clone().into_response(),
            None => format!("bytes of {name}").into_response(),
        },
    }
}

async fn issue(State(state): State<Arc<StoreState>>, body: Bytes) -> axum::response::Response {
    if let Some(status) = trouble(&state).await {
        return (status, json!({"title": "No.", "detail": "not from you"}).to_string()).into_response();
    }
    let ask: Value = serde_json::from_slice(&body).expect("JSON");
    let key = format!("job/{}/{}", ask["fence"].as_str().expect("a fence"), ask["n"]);
    let url = format!("{}/out/{key}", state.base.get().expect("set"));
    state.asked.lock().await.push(ask);
    json!({"method": "PUT", "url": url, "headers": {"x-sign": "s"}, "object_key": key})
        .to_string()
        .into_response()
}

async fn take(
    State(state): State<Arc<StoreState>>,
    UrlPath((job, fence, n)): UrlPath<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if headers.get("x-sign").is_none() || headers.get("content-length").is_none() {
        return StatusCode::FORBIDDEN;
    }
    let trouble = state.upload_troubles.lock().await.pop();
    let mut objects = state.objects.lock().await;
    let key = format!("{job}/{fence}/{n}");
    if objects.contains_key(&key) {
        return StatusCode::PRECONDITION_FAILED;
    }
    if trouble.is_none_or(|status| status == StatusCode::SERVICE_UNAVAILABLE) {
        objects.insert(key, body);
    }
    trouble.unwrap_or(StatusCode::OK)
}
