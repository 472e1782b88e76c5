//! A driver that was replaced can write nothing.

use backlot_foundation_runtime::Tasks;
use backlot_inference_api::v1;
use backlot_inference_control::{Config, Service};
use tokio_stream::StreamExt as _;

use crate::lab::{computing, echo, hello, on_every_database, submission};

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
