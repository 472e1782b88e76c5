//! How long a job that does nothing takes, from submission to success, on a fresh database.
//!
//! `cargo run -p backlot-inference-control --example noop_latency -- [JOBS] [IN_FLIGHT] [KEPT] [WAITING]`: so many jobs, so
//! many of them at once, on a database that keeps so many that have ended, while so many of another model wait (`start_ms`: until
//! the driver has read those, `fleet_ms`: what is asked of it meanwhile). `BACKLOT_TEST_POSTGRES` names a PostgreSQL to measure
//! instead of SQLite. The agent answers at once over the in-process channel; it stands for
//! one that is near. Prints one JSON object.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backlot_foundation_db::Db;
use backlot_foundation_rpc::{Channel, Server};
use backlot_foundation_runtime::Tasks;
use backlot_foundation_testkit::{TestDb, Trust};
use backlot_foundation_time::{Clock as _, SystemClock};
use backlot_inference_api::v1::{
    self, agent_message::Message as Said, agents_client::AgentsClient, control_client::ControlClient,
    control_message::Message as Told,
};
use backlot_inference_control::{Config, Service};
use futures::StreamExt as _;
use sea_orm::ConnectionTrait as _;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

const TOKEN: &str = "benchmark";

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<usize>().ok());
    let jobs = arguments.next().unwrap_or(500);
    let in_flight = arguments.next().unwrap_or(1);
    let kept = arguments.next().unwrap_or(0);
    let waiting = arguments.next().unwrap_or(0);
    let test = match TestDb::postgres("inference").await {
        Some(postgres) => postgres,
        None => TestDb::sqlite("inference").await,
    };
    Service::migrate(&test.db).await.expect("migrations");
    keep(&test.db, kept).await;
    let trust = Trust::new("business", "inference");
    if waiting > 0 {
        let (_, tasks, mut client) = start(&test.db, &trust).await;
        put_model(&mut client, "backlot/other").await;
        tasks.shutdown(Duration::from_secs(10)).await;
        wait(&test.db, waiting).await;
    }
    let began = Instant::now();
    let (router, tasks, mut client) = start(&test.db, &trust).await;
    let start_ms = began.elapsed().as_millis();
    put_model(&mut client, "backlot/echo").await;
    tasks.spawn_once(agent(Channel::local(router).with_bearer(TOKEN), in_flight));

    let began = Instant::now();
    let room = Arc::new(Semaphore::new(in_flight));
    let mut running = Vec::with_capacity(jobs);
    for n in 0..jobs {
        let permit = room.clone().acquire_owned().await.expect("open");
        let client = client.clone();
        running.push(tokio::spawn(async move {
            let took = one(client, n).await;
            drop(permit);
            took
        }));
    }
    let asked = Instant::now();
    client.get_fleet(v1::GetFleetRequest {}).await.expect("a fleet");
    let fleet_ms = asked.elapsed().as_millis();
    let mut took_us = Vec::with_capacity(jobs);
    for task in running {
        took_us.push(task.await.expect("no panic"));
    }
    let seconds = began.elapsed().as_secs_f64();
    took_us.sort_unstable();
    let percentile = |p: usize| took_us[(took_us.len() - 1) * p / 100] as f64 / 1000.0;
    println!(
        "{{\"database\":\"{:?}\",\"jobs\":{jobs},\"in_flight\":{in_flight},\"kept\":{kept},\"waiting\":{waiting},\"start_ms\":{start_ms},\"fleet_ms\":{fleet_ms},\"p50_ms\":{:.2},\"p90_ms\":{:.2},\"p99_ms\":{:.2},\"jobs_per_s\":{:.0}}}",
        test.db.backend(),
        percentile(50),
        percentile(90),
        percentile(99),
        jobs as f64 / seconds
    );
    tasks.shutdown(Duration::from_secs(2)).await;
}

async fn start(db: &Db, trust: &Trust) -> (axum::Router, Tasks, ControlClient<Channel>) {
    let config = Config { join_token: TOKEN.to_owned(), ..Config::default() };
    let service = Service::new(db.clone(), SystemClock::shared(), config);
    let tasks = Tasks::new();
    service.tasks(&tasks);
    service.ready().await.expect("it leads");
    let router = Server::new(trust.verifier.clone()).layer(service.rpc_routes());
    let channel = Channel::local(router.clone()).with_signer(trust.signer.clone(), "inference");
    (router, tasks, ControlClient::new(channel))
}

async fn put_model(client: &mut ControlClient<Channel>, name: &str) {
    let spec = v1::ModelSpec {
        name: name.to_owned(),
        version: "1".to_owned(),
        runtime: v1::RuntimeKind::Echo.into(),
        ..v1::ModelSpec::default()
    };
    client.put_model(v1::PutModelRequest { spec: Some(spec) }).await.expect("model");
}

/// Jobs of a hundred tenants that nobody can run.
async fn wait(db: &Db, count: usize) {
    let now = SystemClock.now().micros();
    let sql = format!(
        "INSERT INTO jobs (id, namespace, tenant, model, model_version, tier, state, input, target, ttl_ms, predicted_ms,
            regions, traceparent, fence, failure, message, outputs, log_tail, compute_ms, created_at, queued_at)
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
        SELECT '00000000-0000-7000-8000-' || substr(CAST(1000000000000 + n AS TEXT), 2), 'studio', 't' || n % 100, 'backlot/other', '1',
            'standard', 'queued', '{{}}', '{{\"kind\":\"inline\"}}', 86400000, 1, '[]', '', '', '', '', '[]', '', 0, {now}, {now} FROM numbers"
    );
    let tx = db.begin_write().await.expect("begun");
    tx.execute_unprepared(&sql).await.expect("inserted");
    tx.commit().await.expect("committed");
}

/// Jobs that ended, with their attempts and keys.
async fn keep(db: &Db, count: usize) {
    let numbers = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
    );
    let jobs = "INSERT INTO jobs (id, namespace, tenant, model, model_version, tier, state, input, target, ttl_ms, predicted_ms,
            regions, traceparent, fence, failure, message, outputs, log_tail, compute_ms, created_at, queued_at, ended_at)
        SELECT 'old-' || n, 'studio', 't' || n % 100, 'backlot/echo', '1', 'standard', 'succeeded', '{}', '{\"kind\":\"inline\"}', 1, 1,
            '[]', '', '1-' || n, '', '', '[]', '', 3, n, n, n + 1 FROM numbers";
    let attempts = "INSERT INTO attempts (job_id, epoch, sequence, agent, worker, region, assigned_at, ended_at, outcome, failure,
            message, load_ms, compute_ms, late_outcome)
        SELECT 'old-' || n, 1, n, 'a', 'w', 'local', n, n, 'succeeded', '', '', 0, 3, '' FROM numbers";
    let keys = "INSERT INTO idempotency_keys (namespace, key_hash, body_hash, job_id, outcome, created_at)
        SELECT 'studio', 'hash-' || n, 'body', 'old-' || n, 'accepted', n FROM numbers";
    for insert in [jobs, attempts, keys].into_iter().filter(|_| count > 0) {
        let (head, select) = insert.split_once("SELECT").expect("a select");
        let tx = db.begin_write().await.expect("begun");
        tx.execute_unprepared(&format!("{head} {numbers} SELECT {select}")).await.expect("inserted");
        tx.commit().await.expect("committed");
    }
}

/// Submits a job and waits until it has succeeded; microseconds.
async fn one(mut client: ControlClient<Channel>, n: usize) -> u64 {
    let began = Instant::now();
    let request = v1::SubmitRequest {
        idempotency_key: format!("job-{n}"),
        tenant: "t".to_owned(),
        model: "backlot/echo".to_owned(),
        model_version: "1".to_owned(),
        input_json: "{\"n\":1}".to_owned(),
        ..v1::SubmitRequest::default()
    };
    let job = client.submit(request).await.expect("accepted").into_inner();
    let mut states =
        client.watch_job(v1::GetJobRequest { job_id: job.id }).await.expect("watched").into_inner();
    while let Some(state) = states.next().await {
        if state.expect("a state").state() == v1::JobState::Succeeded {
            break;
        }
    }
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Says that it computes, and that it is done.
async fn agent(channel: Channel, concurrency: usize) {
    let (tell, told) = mpsc::channel(1024);
    let worker = v1::WorkerSpec {
        id: "w".to_owned(),
        models: vec!["backlot/echo".to_owned()],
        slots: 1,
        concurrency: i32::try_from(concurrency).unwrap_or(1),
        ..v1::WorkerSpec::default()
    };
    let hello = v1::Hello {
        agent_id: "bench".to_owned(),
        boot_id: "1".to_owned(),
        region: "local".to_owned(),
        workers: vec![worker],
        ..v1::Hello::default()
    };
    let say = |message| v1::AgentMessage { message: Some(message) };
    tell.send(say(Said::Hello(hello))).await.expect("open");
    let stream = AgentsClient::new(channel).connect(ReceiverStream::new(told)).await.expect("joined");
    let mut stream = stream.into_inner();
    while let Some(Ok(message)) = stream.next().await {
        let Some(Told::Assign(assign)) = message.message else { continue };
        let phase = v1::AttemptPhase {
            job_id: assign.job_id.clone(),
            fence: assign.fence.clone(),
            phase: v1::Phase::Running.into(),
            ..v1::AttemptPhase::default()
        };
        let finished = v1::AttemptFinished {
            job_id: assign.job_id,
            fence: assign.fence,
            worker_id: assign.worker_id,
            outcome: "succeeded".to_owned(),
            ..v1::AttemptFinished::default()
        };
        if tell.send(say(Said::Phase(phase))).await.is_err()
            || tell.send(say(Said::Finished(finished))).await.is_err()
        {
            return;
        }
    }
}
