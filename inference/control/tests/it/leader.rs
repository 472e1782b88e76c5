//! A driver that was replaced can write nothing.

use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::{Server, serve_rpc};
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_time::SharedClock;
use backlot_inference_api::v1::{self, agent_message::Message as Said};
use backlot_inference_control::{Config, Service};
use tokio_stream::StreamExt as _;

use crate::lab::{JOIN_TOKEN, Process, computing, echo, hello, on_every_database, submission, succeeded};

#[test]
fn a_deposed_driver_accepts_nothing() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        process.submit("before");
        let successor = Service::new(process.db.clone(), world.clock.clone(), Config::default());
        let tasks = Tasks::new();
        process.run(async {
            successor.tasks(&tasks);
            successor.ready().await.unwrap();
        });
        let refused = process.try_submit(submission("after")).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        // What it does not know somebody else may know by now.
        let unheard = v1::SubmitRequest { model: "backlot/unheard".to_owned(), ..submission("after") };
        let problem = Problem::from(process.try_submit(unheard).unwrap_err());
        assert_eq!((problem.code.as_str(), problem.retry_after_s), ("queue_unavailable", Some(1)));
        assert_eq!(process.count("SELECT count(*) FROM jobs"), 1);
        assert_eq!(process.count("SELECT epoch FROM leader"), 2);
        // What was accepted before is the successor's now.
        let scope = backlot_inference_control::Scope { namespace: "studio".to_owned(), tenant: None };
        let jobs = process.run(successor.list(&scope, None, None, 10, None)).unwrap();
        assert_eq!(jobs.len(), 1);
        let state: v1::JobState = process
            .run(process.control().list_jobs(v1::ListJobsRequest::default()))
            .unwrap()
            .into_inner()
            .jobs[0]
            .state();
        assert_eq!(state, v1::JobState::Queued);
    });
}

#[test]
fn a_stop_in_good_order_keeps_nobody_waiting() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        process.run(agent.say(computing(&assign, 0.1)));
        let request = v1::GetJobRequest { job_id: job.id.clone() };
        let mut states = process.run(process.control().watch_job(request)).unwrap().into_inner();
        process.stop();
        assert!(process.run(agent.refused()).is_none(), "the agent's stream ends");
        process.run(async { while states.next().await.is_some() {} });
        let refused = process.try_submit(submission("late")).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        assert_eq!(process.job(&job.id).state(), v1::JobState::Running, "rows can still be read");
    });
}

/// A successor of a process on the same database, which says where it is.
struct Successor {
    tasks: Tasks,
    service: Service,
    stop: Stop,
}

impl Successor {
    fn start(process: &Process, clock: &SharedClock) -> Self {
        let (tasks, stop) = (Tasks::new(), Stop::new());
        let (listener, address) = process.run(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            (listener, address)
        });
        let config = Config { join_token: JOIN_TOKEN.to_owned(), advertise: address, ..Config::default() };
        let service = Service::new(process.db.clone(), clock.clone(), config);
        let router = Server::new(process.trust.verifier.clone()).layer(service.rpc_routes());
        let signal = stop.clone();
        process.spawn(async move { serve_rpc(listener, router, signal).await.unwrap() });
        process.run(async {
            service.tasks(&tasks);
            service.ready().await.unwrap();
        });
        Self { tasks, service, stop }
    }
}

#[test]
fn who_does_not_lead_passes_jobs_and_agents_on_to_the_leader() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let clock: SharedClock = world.clock.clone();
        let successor = Successor::start(&process, &clock);
        // It hears that it was deposed at its next commit, and then where the leader is.
        let job = process.run(async {
            loop {
                match process.control().submit(submission("k")).await {
                    Ok(job) => return job.into_inner(),
                    Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status}"),
                }
            }
        });
        let scope = backlot_inference_control::Scope { namespace: "studio".to_owned(), tenant: None };
        let known = process.run(successor.service.list(&scope, None, None, 10, None)).unwrap();
        assert_eq!(known[0].id.to_string(), job.id);
        assert_eq!(process.submit("k").id, job.id);
        // A model that the leader learned is known at this door, too.
        process.put_model("backlot/new", "");
        let new = v1::SubmitRequest { model: "backlot/new".to_owned(), ..submission("n") };
        assert_eq!(process.try_submit(new).unwrap().state(), v1::JobState::Queued);
        let (mut agent, welcome) = process.join(hello("a"));
        assert_eq!(welcome.epoch, 2, "the leader's own welcome");
        let assign = process.assigned(&mut agent);
        assert_eq!(assign.job_id, job.id);
        process.run(agent.say(Said::Finished(succeeded(&assign))));
        let request = v1::GetJobRequest { job_id: job.id.clone() };
        let mut states = process.run(process.control().watch_job(request)).unwrap().into_inner();
        let last = process.run(async {
            let mut last = None;
            while let Some(state) = states.next().await {
                last = Some(state.unwrap().state());
            }
            last
        });
        assert_eq!(last, Some(v1::JobState::Succeeded));
        // Where the leader is gone, the answer says when to come again.
        successor.stop.stop();
        process.run(successor.tasks.shutdown(std::time::Duration::from_secs(5)));
        drop(agent);
        let problem = Problem::from(process.try_submit(submission("late")).unwrap_err());
        assert_eq!((problem.code.as_str(), problem.retry_after_s), ("queue_unavailable", Some(1)));
    });
}

/// Where several processes may lead, one that was deposed takes over again when its successor is silent.
#[test]
fn a_silent_leader_is_replaced() {
    on_every_database(|world| {
        let process = world.start();
        if process.db.backend() != sea_orm::DatabaseBackend::Postgres {
            return;
        }
        echo(&process);
        let job = process.submit("before");
        let successor = Service::new(process.db.clone(), world.clock.clone(), Config::default());
        let tasks = Tasks::new();
        process.run(async {
            successor.tasks(&tasks);
            successor.ready().await.unwrap();
        });
        assert!(process.try_submit(submission("during")).is_err());
        process.run(tasks.shutdown(std::time::Duration::from_secs(5)));
        assert!(process.run(process.service.ready()).is_err(), "the successor may only be slow");
        process.execute("UPDATE leader SET renewed_at = renewed_at - 60000000");
        process.run(async { while process.service.ready().await.is_err() {} });
        assert_eq!(process.count("SELECT epoch FROM leader"), 3);
        assert_ne!(process.submit("during").id, job.id);
        assert_eq!(process.job(&job.id).position, 0);
    });
}
