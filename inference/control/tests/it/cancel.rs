//! A cancel is confirmed: the job is canceled when nothing of it runs any more.

use backlot_inference_api::v1::{self, control_message::Message as Told};

use crate::lab::{echo, ended, hello, on_every_database, succeeded};

#[test]
fn a_waiting_job_is_canceled_at_once() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let job = process.submit("k");
        let job = process.cancel(&job.id);
        assert_eq!(job.state(), v1::JobState::Canceled);
        assert!(job.cancel_requested_at_us > 0 && job.ended_at_us >= job.cancel_requested_at_us);
        assert_eq!(process.events(&job.id), ["inference.job.submitted", "inference.job.canceled"]);
    });
}

#[test]
fn a_running_job_is_canceled_when_its_agent_says_so() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        let asked = process.cancel(&job.id);
        assert_eq!((asked.state(), asked.cancel_requested_at_us > 0), (v1::JobState::Running, true));
        match process.run(agent.hear()) {
            Told::Cancel(cancel) => assert_eq!(cancel.fence, assign.fence),
            other => panic!("expected a cancel, heard {other:?}"),
        }
        process.finish(&mut agent, v1::AttemptFinished { compute_ms: 40, ..ended(&assign, "canceled") });
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.compute_ms), (v1::JobState::Canceled, 40));
        assert_eq!(process.cancel(&job.id).state(), v1::JobState::Canceled);
    });
}

#[test]
fn a_result_that_was_faster_than_the_cancel_counts() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        process.cancel(&job.id);
        assert!(matches!(process.run(agent.hear()), Told::Cancel(_)));
        process.finish(&mut agent, succeeded(&assign));
        assert_eq!(process.job(&job.id).state(), v1::JobState::Succeeded);
    });
}

#[test]
fn the_end_of_a_lost_agents_lease_confirms_a_cancel() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        process.assigned(&mut agent);
        drop(agent);
        assert_eq!(process.cancel(&job.id).state(), v1::JobState::Running);
        process.wait_ms(30_000);
        assert_eq!(process.job(&job.id).state(), v1::JobState::Canceled);
    });
}

#[test]
fn a_job_that_backs_off_is_canceled_at_once() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        let lost = v1::AttemptFinished { retryable: true, ..ended(&assign, "failed") };
        process.finish(&mut agent, lost);
        assert_eq!(process.cancel(&job.id).state(), v1::JobState::Canceled);
    });
}

#[test]
fn a_list_of_one_state_has_all_of_it_and_nothing_else() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let submit = |n: usize| {
            process.wait_ms(1);
            process.submit(&format!("k{n}")).id
        };
        let ids: Vec<String> = (0..6).map(submit).collect();
        for id in ids.iter().step_by(2) {
            process.cancel(id);
        }
        let list = |state: v1::JobState, tenant: &str, limit: i32, before: &str| -> Vec<String> {
            let (tenant, before) = (tenant.to_owned(), before.to_owned());
            let request = v1::ListJobsRequest { tenant, state: state.into(), limit, before };
            let listed = process.run(process.control().list_jobs(request)).unwrap().into_inner();
            listed.jobs.into_iter().map(|job| job.id).collect()
        };
        let canceled = [4, 2, 0].map(|n| ids[n].clone());
        assert_eq!(list(v1::JobState::Canceled, "", 0, ""), canceled);
        assert_eq!(list(v1::JobState::Canceled, "t1", 1, &ids[4]), canceled[1..2]);
        assert!(list(v1::JobState::Canceled, "t2", 0, "").is_empty());
        assert_eq!(list(v1::JobState::Queued, "t1", 0, ""), [5, 3, 1].map(|n| ids[n].clone()));
        assert!(list(v1::JobState::Failed, "", 0, "").is_empty());
        assert_eq!(list(v1::JobState::Unspecified, "", 0, "").len(), 6);
    });
}
