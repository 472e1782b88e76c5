//! A long tool, in the Python that people write, stands aside between two of its steps: with the real scheduler, the real
//! agent and real processes.

use std::path::Path;
use std::time::Duration;

use backlot_foundation_rpc::{Channel, Server, serve_rpc};
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::SystemClock;
use backlot_inference_agent::WorkerConfig;
use backlot_inference_api::v1::control_client::ControlClient;
use backlot_inference_api::v1::output_target::Target;
use backlot_inference_api::v1::{
    CancelJobRequest, GetJobRequest, InlineTarget, Job, JobState, OutputTarget, Phase, PutModelRequest,
    SubmitRequest, Tier,
};
use backlot_inference_control::{Config, Service};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{Place, Running, eventually, read, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// Works in steps until a file says that it is done.
const LONG: &str = r#"
import os, time
from backlot import *

@tool(makes="text/plain", pausable=True, seconds=60)
def long(folder: Text()):
    steps = 0
    while not os.path.exists(folder + "/done"):
        steps += 1
        progress(0.5, f"step {steps}")
        time.sleep(0.005)
        with open(folder + "/steps", "w") as file:
            file.write(str(steps))
    with open("made.txt", "w") as file:
        file.write("long")
    return "made.txt"
"#;

const SERVE: &str = "import os, sys, backlot\nhere = os.path.dirname(os.path.abspath(__file__))\n\
                     sys.exit(backlot.serve(os.path.join(here, 'long.py')))\n";
const WORKER: &str = "model = 'test/long'\nversion = '1'\nruntime = 'command'\n\
                      command = ['python', '-B', 'serve.py']\nrun_ms = 60000\npausable = true\n";

/// Waits for a file, and gives a word.
const SHORT: &str = "open(i['folder']+'/short','a').write('x')\nwhile not os.path.exists(i['folder']+'/go'): time.sleep(0.005)\n\
     open(out+'/a.txt','w').write('short'); say(output=[{'path':'a.txt'}])";

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
            let config = Config { join_token: "let-me-in".to_owned(), ..Config::default() };
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

struct Bench {
    db: TestDb,
    trust: Trust,
    control: Option<Control>,
    channel: Channel,
    place: Place,
}

impl Bench {
    async fn new() -> Self {
        let place = Place::new();
        place.command("short", SHORT);
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python/backlot/__init__.py");
        let folder = place.root.path().join("workers/long");
        std::fs::create_dir_all(folder.join("backlot")).expect("made");
        std::fs::copy(library, folder.join("backlot/__init__.py")).expect("copied");
        for (name, text) in [("long.py", LONG), ("serve.py", SERVE), ("worker.toml", WORKER)] {
            std::fs::write(folder.join(name), text).expect("written");
        }
        let (db, trust) = (TestDb::sqlite("inference").await, Trust::new("business", "inference"));
        let control = Control::start(&db, &trust, 0).await;
        let channel = Channel::remote(&format!("http://127.0.0.1:{}", control.port)).expect("an address");
        Self { db, trust, control: Some(control), channel, place }
    }

    fn client(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone().with_signer(self.trust.signer.clone(), "inference"))
    }

    async fn kill_control(&mut self) -> u16 {
        let control = self.control.take().expect("it runs");
        let port = control.port;
        control.kill().await;
        port
    }

    async fn start_control(&mut self, port: u16) {
        self.control = Some(Control::start(&self.db, &self.trust, port).await);
    }

    /// An agent with one worker that runs one thing at a time.
    async fn agent(&self) -> Running {
        let mut config = self.place.config();
        config.workers.truncate(1);
        config.workers[0] = WorkerConfig { concurrency: 1, ..config.workers[0].clone() };
        let agent = self.place.agent_on(config, self.channel.clone());
        for spec in agent.models() {
            self.client().put_model(PutModelRequest { spec: Some(spec) }).await.expect("registered");
        }
        run(agent)
    }

    async fn submit(&self, model: &str) -> Job {
        let request = SubmitRequest {
            idempotency_key: uuid::Uuid::now_v7().to_string(),
            tenant: "t".to_owned(),
            model: model.to_owned(),
            model_version: "1".to_owned(),
            input_json: json!({"folder": self.place.root.path()}).to_string(),
            tier: Tier::Interactive.into(),
            output: Some(OutputTarget { target: Some(Target::Inline(InlineTarget {})) }),
            ..SubmitRequest::default()
        };
        self.client().submit(request).await.expect("accepted").into_inner()
    }

    /// Watches a job until something holds of it, or to its end.
    async fn until(&self, job: &Job, holds: impl Fn(&Job) -> bool) -> Job {
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

    async fn succeeds(&self, job: &Job, with: &str) -> Job {
        let job = self.until(job, |_| false).await;
        assert_eq!(job.state(), JobState::Succeeded, "{} {}", job.message, job.log_tail);
        assert_eq!(job.outputs[0].inline, with.as_bytes());
        job
    }

    /// A long job that stands aside, and the short one that computes in its place.
    async fn held(&self) -> (Job, Job) {
        let long = self.submit("test/long").await;
        read(&self.place.root.path().join("steps")).await;
        let short = self.submit("test/short").await;
        let seen = self.until(&long, |job| job.phase() == Phase::Paused).await;
        assert_eq!(seen.state(), JobState::Running, "it holds its lease");
        let steps = self.steps();
        read(&self.place.root.path().join("short")).await;
        assert_eq!(self.steps(), steps, "nothing of it computes");
        (long, short)
    }

    fn write(&self, name: &str) {
        std::fs::write(self.place.root.path().join(name), "x").expect("written");
    }

    fn steps(&self) -> String {
        std::fs::read_to_string(self.place.root.path().join("steps")).expect("steps")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_tool_stands_aside_for_a_short_job_and_goes_on() {
    let bench = Bench::new().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    let steps = bench.steps();
    bench.write("go");
    bench.succeeds(&short, "short").await;
    eventually("it goes on", || bench.steps() != steps).await;
    bench.until(&long, |job| job.phase() == Phase::Running).await;
    bench.write("done");
    let long = bench.succeeds(&long, "long").await;
    let [attempt] = &long.attempts[..] else { panic!("one attempt: {:?}", long.attempts) };
    assert!(attempt.held_ms > 0, "{attempt:?}");
    let lived_ms = (attempt.ended_at_us - attempt.assigned_at_us) / 1_000;
    assert!(attempt.compute_ms + attempt.held_ms <= lived_ms + 1, "a pause is no compute: {attempt:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_in_the_pause_loses_both_and_neither_counts_twice() {
    let bench = Bench::new().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    running.kill().await;
    bench.write("go");
    bench.write("done");
    let running = bench.agent().await;
    let (long, short) = (bench.succeeds(&long, "long").await, bench.succeeds(&short, "short").await);
    for job in [long, short] {
        let outcomes: Vec<&str> = job.attempts.iter().map(|one| one.outcome.as_str()).collect();
        assert_eq!(outcomes, ["lost", "succeeded"]);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_that_is_killed_in_the_pause_finds_it_again() {
    let mut bench = Bench::new().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    let steps = bench.steps();
    let port = bench.kill_control().await;
    bench.start_control(port).await;
    let seen = bench.until(&long, |job| job.phase() == Phase::Paused).await;
    assert_eq!(seen.state(), JobState::Running);
    assert_eq!(bench.steps(), steps, "it still stands aside");
    bench.write("go");
    let short = bench.succeeds(&short, "short").await;
    eventually("it goes on", || bench.steps() != steps).await;
    bench.write("done");
    let long = bench.succeeds(&long, "long").await;
    assert_eq!((long.attempts.len(), short.attempts.len()), (1, 1), "the leases outlived control");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_cut_off_in_the_pause_goes_on_by_itself() {
    let mut bench = Bench::new().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    let steps = bench.steps();
    let port = bench.kill_control().await;
    bench.write("go");
    eventually("it goes on although nobody tells it to", || bench.steps() != steps).await;
    bench.write("done");
    bench.start_control(port).await;
    bench.succeeds(&long, "long").await;
    bench.succeeds(&short, "short").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_what_stands_aside() {
    let bench = Bench::new().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    bench.client().cancel_job(CancelJobRequest { job_id: long.id.clone() }).await.expect("asked");
    assert_eq!(bench.until(&long, |_| false).await.state(), JobState::Canceled);
    bench.write("go");
    bench.succeeds(&short, "short").await;
    running.stop().await;
}
