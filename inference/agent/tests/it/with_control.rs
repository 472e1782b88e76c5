//! The agent and the real control, in process and over a socket.

use std::time::{Duration, Instant};

use backlot_foundation_rpc::{Channel, Server, serve_rpc};
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::SystemClock;
use backlot_inference_api::v1::control_client::ControlClient;
use backlot_inference_api::v1::output_target::Target;
use backlot_inference_api::v1::{
    CancelJobRequest, FailureClass, GetJobRequest, InlineTarget, Job, JobState, OutputTarget,
    PutModelRequest, SubmitRequest, Tier,
};
use backlot_inference_control::{Config, Service};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Place, Running, eventually, read, run};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq)]
enum Transport {
    Local,
    Socket,
}

/// A control on a fresh database, and doors to it.
struct House {
    control: ControlClient<Channel>,
    agents: Channel,
    _db: TestDb,
    _tasks: Tasks,
    _serving: Option<AbortOnDropHandle<()>>,
}

impl House {
    async fn new(transport: Transport) -> Self {
        let db = TestDb::sqlite("inference").await;
        Service::migrate(&db.db).await.expect("migrated");
        let config = Config { join_token: "let-me-in".to_owned(), ..Config::default() };
        let service = Service::new(db.db.clone(), SystemClock::shared(), config);
        let tasks = Tasks::new();
        service.tasks(&tasks);
        let trust = Trust::new("business", "inference");
        let router = Server::new(trust.verifier.clone()).layer(service.rpc_routes());
        let (agents, serving) = match transport {
            Transport::Local => (Channel::local(router), None),
            Transport::Socket => {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
                let address = format!("http://{}", listener.local_addr().expect("an address"));
                let serving = tokio::spawn(async move {
                    serve_rpc(listener, router, Stop::new()).await.expect("served");
                });
                (Channel::remote(&address).expect("an address"), Some(AbortOnDropHandle::new(serving)))
            }
        };
        let control = ControlClient::new(agents.clone().with_signer(trust.signer.clone(), "inference"));
        Self { control, agents, _db: db, _tasks: tasks, _serving: serving }
    }

    async fn start(&mut self, place: &Place) -> Running {
        let agent = place.agent_on(place.config(), self.agents.clone());
        for spec in agent.models() {
            self.control.put_model(PutModelRequest { spec: Some(spec) }).await.expect("registered");
        }
        run(agent)
    }

    async fn submit(&mut self, model: &str, input: Value) -> Job {
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
        self.control.submit(request).await.expect("accepted").into_inner()
    }

    /// Watches a job to its end.
    async fn end(&mut self, id: &str) -> Job {
        let request = GetJobRequest { job_id: id.to_owned() };
        let mut changes = self.control.watch_job(request).await.expect("watched").into_inner();
        let watch = async {
            let mut last = None;
            while let Some(job) = changes.message().await.expect("a change") {
                last = Some(job);
            }
            last.expect("a job")
        };
        tokio::time::timeout(PATIENCE, watch).await.expect("it ends")
    }
}

async fn on_both(test: impl AsyncFn(&mut House, &Place)) {
    for transport in [Transport::Local, Transport::Socket] {
        test(&mut House::new(transport).await, &Place::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_and_its_result_is_there() {
    on_both(async |house, place| {
        place.command(
            "shout",
            "open(out+'/a.txt','w').write(i['text'].upper()); say(output=[{'path':'a.txt'}])",
        );
        let running = house.start(place).await;
        let job = house.submit("test/shout", json!({"text": "hi"})).await;
        let job = house.end(&job.id).await;
        assert_eq!(job.state(), JobState::Succeeded, "{}", job.message);
        assert_eq!(job.outputs[0].inline, b"HI");
        assert_eq!(job.attempts.len(), 1);
        eventually("nothing is kept that control has", || place.spooled() == 0).await;
        running.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_is_quick() {
    on_both(async |house, place| {
        let running = house.start(place).await;
        let mut took = Vec::new();
        for n in 0..50 {
            let started = Instant::now();
            let job = house.submit("backlot/echo", json!({"n": n})).await;
            assert_eq!(house.end(&job.id).await.state(), JobState::Succeeded);
            took.push(started.elapsed());
        }
        took.sort_unstable();
        eprintln!("a no-op job from submit to success: p50 {:?}, p90 {:?}", took[25], took[45]);
        assert!(took[25] < Duration::from_secs(2), "p50 {:?}", took[25]);
        running.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_process() {
    on_both(async |house, place| {
        place.command("sleep", "open(i['at'],'w').write(str(os.getpid())); time.sleep(60)");
        let running = house.start(place).await;
        let at = place.root.path().join("pid");
        let job = house.submit("test/sleep", json!({"at": at})).await;
        let pid = read(&at).await;
        house.control.cancel_job(CancelJobRequest { job_id: job.id.clone() }).await.expect("asked");
        let job = house.end(&job.id).await;
        assert_eq!(job.state(), JobState::Canceled);
        assert!(job.cancel_requested_at_us > 0 && job.ended_at_us >= job.cancel_requested_at_us);
        assert!(!std::path::Path::new("/proc").join(pid).exists());
        running.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_or_model_costs_an_attempt_and_not_the_job() {
    on_both(async |house, place| {
        // Fails as killed the first time, waits for ever the second, and works the third.
        place.command("third", "n = len(os.listdir(i['at'])); open(i['at'] + f'/{n}', 'w').write('x')\nif n == 0: os.kill(os.getpid(), 9)\nif n == 1: time.sleep(60)\nopen(out+'/a','w').write('ok'); say(output=[{'path':'a'}])");
        let at = place.root.path().join("tries");
        std::fs::create_dir(&at).expect("made");
        let running = house.start(place).await;
        let job = house.submit("test/third", json!({"at": at})).await;
        read(&at.join("1")).await;
        running.kill().await;
        let running = house.start(place).await;
        let job = house.end(&job.id).await;
        assert_eq!(job.state(), JobState::Succeeded, "{}", job.message);
        assert_eq!((job.attempts.len(), job.outputs.len()), (3, 1));
        assert_eq!(job.attempts[0].failure(), FailureClass::LostWorker);
        let fences: std::collections::BTreeSet<&str> = job.attempts.iter().map(|one| one.fence.as_str()).collect();
        assert_eq!(fences.len(), 3);
        assert_eq!(job.winning_fence, job.attempts[2].fence);
        running.stop().await;
    })
    .await;
}
