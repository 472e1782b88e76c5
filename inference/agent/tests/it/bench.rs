//! A control with the real scheduler, a place for an agent, and a tool in the Python that people write.

use std::path::Path;
use std::time::Duration;

use backlot_foundation_rpc::{Channel, Server, serve_rpc};
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::SystemClock;
use backlot_inference_agent::{Config, WorkerConfig};
use backlot_inference_api::v1::control_client::ControlClient;
use backlot_inference_api::v1::output_target::Target;
use backlot_inference_api::v1::{
    GetJobRequest, InlineTarget, Job, JobState, OutputTarget, PutModelRequest, SubmitRequest, Tier,
};
use backlot_inference_control::Service;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{Place, Running, run};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const SERVE: &str = "import os, sys, backlot\nhere = os.path.dirname(os.path.abspath(__file__))\n\
                     sys.exit(backlot.serve(os.path.join(here, 'tool.py')))\n";

/// A control in a runtime of its own, which ends as a killed process does: with every connection and every task.
struct Control {
    runtime: Option<Runtime>,
    port: u16,
}

impl Drop for Control {
    /// A runtime may not be waited for where others are at work.
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Control {
    async fn start(db: &TestDb, trust: &Trust, port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("built");
        let (db, verifier) = (db.db.clone(), trust.verifier.clone());
        let serving = async move {
            Service::migrate(&db).await.expect("migrated");
            let config = backlot_inference_control::Config {
                join_token: "let-me-in".to_owned(),
                ..backlot_inference_control::Config::default()
            };
            let service = Service::new(db, SystemClock::shared(), config);
            let tasks = Tasks::new();
            service.tasks(&tasks);
            service.ready().await.expect("ready");
            let router = Server::new(verifier).layer(service.rpc_routes());
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
            let port = listener.local_addr().expect("an address").port();
            tokio::spawn(async move {
                let _tasks = tasks;
                serve_rpc(listener, router, Stop::new()).await.expect("served");
            });
            port
        };
        let port = runtime.spawn(serving).await.expect("it starts");
        Self { runtime: Some(runtime), port }
    }

    async fn kill(mut self) {
        let runtime = self.runtime.take().expect("it runs");
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.expect("it ends");
    }
}

pub(crate) struct Bench {
    db: TestDb,
    trust: Trust,
    control: Option<Control>,
    channel: Channel,
    pub(crate) place: Place,
}

impl Bench {
    /// A control, and a place where an agent finds a tool in the Python that people write.
    pub(crate) async fn new(name: &str, code: &str, worker: &str) -> Self {
        let place = Place::new();
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python/backlot");
        let folder = place.root.path().join("workers").join(name);
        std::fs::create_dir_all(folder.join("backlot")).expect("made");
        for file in ["__init__.py", "fields.py"] {
            std::fs::copy(library.join(file), folder.join("backlot").join(file)).expect("copied");
        }
        for (file, text) in [("tool.py", code), ("serve.py", SERVE), ("worker.toml", worker)] {
            std::fs::write(folder.join(file), text).expect("written");
        }
        let (db, trust) = (TestDb::sqlite("inference").await, Trust::new("business", "inference"));
        let control = Control::start(&db, &trust, 0).await;
        let channel = Channel::remote(&format!("http://127.0.0.1:{}", control.port)).expect("an address");
        Self { db, trust, control: Some(control), channel, place }
    }

    pub(crate) fn client(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone().with_signer(self.trust.signer.clone(), "inference"))
    }

    pub(crate) async fn kill_control(&mut self) -> u16 {
        let control = self.control.take().expect("it runs");
        let port = control.port;
        control.kill().await;
        port
    }

    pub(crate) async fn start_control(&mut self, port: u16) {
        self.control = Some(Control::start(&self.db, &self.trust, port).await);
    }

    /// An agent with one worker that runs one thing at a time.
    pub(crate) async fn agent(&self) -> Running {
        self.agent_on(|_| ()).await
    }

    /// The same, with its configuration changed.
    pub(crate) async fn agent_on(&self, change: impl FnOnce(&mut Config)) -> Running {
        let mut config = self.place.config();
        config.workers.truncate(1);
        config.workers[0] = WorkerConfig { concurrency: 1, ..config.workers[0].clone() };
        change(&mut config);
        let agent = self.place.agent_on(config, self.channel.clone());
        for spec in agent.models() {
            self.client().put_model(PutModelRequest { spec: Some(spec) }).await.expect("registered");
        }
        run(agent)
    }

    pub(crate) async fn submit(&self, model: &str) -> Job {
        self.submit_with(model, json!({"folder": self.place.root.path()})).await
    }

    pub(crate) async fn submit_with(&self, model: &str, input: serde_json::Value) -> Job {
        let request = SubmitRequest {
            idempotency_key: uuid::Uuid::now_v7().to_string(),
            tenant: "t".to_owned(),
            model: model.to_owned(),
            model_version: "1".to_owned(),
            input_json: input.to_string(),
            tier: Tier::Interactive.into(),
            output: Some(OutputTarget { target: Some(Target::Inline(InlineTarget {})) }),
            ..SubmitRequest::default()
        };
        self.client().submit(request).await.expect("accepted").into_inner()
    }

    /// Watches a job until something holds of it, or to its end.
    pub(crate) async fn until(&self, job: &Job, holds: impl Fn(&Job) -> bool) -> Job {
        let request = GetJobRequest { job_id: job.id.clone() };
        let mut changes = self.client().watch_job(request).await.expect("watched").into_inner();
        let watch = async {
            let mut last = None;
            while let Some(job) = changes.message().await.expect("a change") {
                if holds(&job) {
                    return job;
                }
                last = Some(job);
            }
            last.expect("a job")
        };
        tokio::time::timeout(PATIENCE, watch).await.expect("it comes to that")
    }

    pub(crate) async fn succeeds(&self, job: &Job, with: &str) -> Job {
        let job = self.until(job, |_| false).await;
        assert_eq!(job.state(), JobState::Succeeded, "{} {}", job.message, job.log_tail);
        assert_eq!(job.outputs[0].inline, with.as_bytes());
        job
    }

    pub(crate) fn write(&self, name: &str) {
        std::fs::write(self.place.root.path().join(name), "x").expect("written");
    }
}
