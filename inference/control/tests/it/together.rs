//! Jobs that go to an agent in one message, and jobs that are of use for a while only.

use backlot_foundation_time::Clock as _;
use backlot_inference_api::v1;
use v1::control_message::Message as Told;

use crate::lab::{Agent, Process, World, ended, hello, on_every_database, running, submission, succeeded};

fn batching_echo(process: &Process) {
    let batching = v1::Batching { max: 4, more_permille: 200, memory_mib: 0, key: vec!["kind".to_owned()] };
    let spec = v1::ModelSpec {
        name: "backlot/echo".to_owned(),
        version: "1".to_owned(),
        runtime: v1::RuntimeKind::Echo.into(),
        run_ms: 5_000,
        batching: Some(batching),
        ..v1::ModelSpec::default()
    };
    let request = v1::PutModelRequest { spec: Some(spec) };
    process.run(process.control().put_model(request)).unwrap();
}

fn takes_batches() -> v1::Hello {
    let mut hello = hello("a");
    hello.workers[0].batches = true;
    hello
}

fn of_kind(process: &Process, key: &str, kind: &str) -> v1::Job {
    let input_json = format!(r#"{{"kind":"{kind}","n":"{key}"}}"#);
    process.try_submit(v1::SubmitRequest { input_json, ..submission(key) }).unwrap()
}

fn batch(process: &Process, agent: &mut Agent) -> Vec<v1::Assign> {
    match process.run(agent.hear()) {
        Told::Batch(batch) => batch.assigns,
        other => panic!("expected a batch, heard {other:?}"),
    }
}

/// Three of a kind behind one that has ended, as the agent hears of them.
fn gathered(process: &Process) -> (Agent, Vec<v1::Job>, Vec<v1::Assign>) {
    batching_echo(process);
    let (mut agent, _) = process.join(takes_batches());
    of_kind(process, "0", "a");
    let first = process.assigned(&mut agent);
    let jobs = vec![
        of_kind(process, "1", "a"),
        of_kind(process, "2", "b"),
        of_kind(process, "3", "a"),
        of_kind(process, "4", "a"),
    ];
    process.finish(&mut agent, succeeded(&first));
    let assigns = batch(process, &mut agent);
    (agent, jobs, assigns)
}

#[test]
fn what_is_alike_goes_in_one_message_and_each_is_reported_alone() {
    on_every_database(|world| {
        let process = world.start();
        let (mut agent, jobs, assigns) = gathered(&process);
        let ids: Vec<&str> = assigns.iter().map(|assign| assign.job_id.as_str()).collect();
        assert_eq!(ids, [&*jobs[0].id, &*jobs[2].id, &*jobs[3].id], "and what is of another kind waits");
        let done = |assign: &v1::Assign| v1::AttemptFinished { batched: 3, ..succeeded(assign) };
        process.finish(&mut agent, done(&assigns[0]));
        let failed = v1::AttemptFinished { retryable: true, batched: 3, ..ended(&assigns[1], "failed") };
        process.finish(&mut agent, failed);
        process.finish(&mut agent, done(&assigns[2]));
        assert_eq!(process.assigned(&mut agent).job_id, jobs[1].id);
        let job = process.job(&jobs[0].id);
        assert_eq!(job.state(), v1::JobState::Succeeded);
        assert_eq!((job.attempts[0].batch.as_str(), job.attempts[0].batched), (&*assigns[0].fence, 3));
        assert_eq!(process.job(&jobs[2].id).state(), v1::JobState::Queued, "it is tried again");
    });
}

#[test]
fn a_killed_control_finds_a_batch_as_it_was() {
    on_every_database(|world| {
        let (jobs, assigns) = {
            let process = world.start();
            let (_, jobs, assigns) = gathered(&process);
            (jobs, assigns)
        };
        let process = world.start();
        let batch = assigns[0].fence.clone();
        let running: Vec<v1::RunningAttempt> = assigns
            .iter()
            .map(|assign| v1::RunningAttempt { batch: batch.clone(), ..running(assign) })
            .collect();
        let (mut agent, welcome) = process.join(v1::Hello { running, ..takes_batches() });
        assert_eq!(welcome.keep.len(), 3);
        for assign in &assigns {
            process.finish(&mut agent, v1::AttemptFinished { batched: 3, ..succeeded(assign) });
        }
        assert_eq!(
            process.assigned(&mut agent).job_id,
            jobs[1].id,
            "the worker has room when all have ended"
        );
        for n in [0, 2, 3] {
            let job = process.job(&jobs[n].id);
            assert_eq!((job.state(), job.attempts.len()), (v1::JobState::Succeeded, 1));
            assert_eq!(job.attempts[0].batch, batch);
        }
    });
}

#[test]
fn a_batch_that_makes_no_sense_is_refused() {
    on_every_database(|world| {
        let process = world.start();
        for (max, key) in [(1, "kind"), (65, "kind"), (4, "")] {
            let batching = v1::Batching { max, key: vec![key.to_owned()], ..v1::Batching::default() };
            let spec = v1::ModelSpec {
                name: "backlot/echo".to_owned(),
                version: "1".to_owned(),
                runtime: v1::RuntimeKind::Echo.into(),
                batching: Some(batching),
                ..v1::ModelSpec::default()
            };
            let request = v1::PutModelRequest { spec: Some(spec) };
            assert!(process.run(process.control().put_model(request)).is_err(), "{max} {key}");
        }
    });
}

fn within(world: &World, key: &str, ms: i64) -> v1::SubmitRequest {
    let deadline_us = world.clock.now().micros() + ms * 1_000;
    v1::SubmitRequest { deadline_us, predicted_ms: 4_000, ..submission(key) }
}

#[test]
fn a_job_that_can_no_longer_end_in_time_expires_also_after_a_kill() {
    on_every_database(|world| {
        let job = {
            let process = world.start();
            crate::lab::echo(&process);
            process.try_submit(within(world, "k", 10_000)).unwrap()
        };
        let process = world.start();
        process.wait_ms(7_000);
        assert_eq!(process.job(&job.id).state(), v1::JobState::Queued);
        // Half of four seconds would be a quick run.
        process.wait_ms(1_001);
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.attempts.len(), job.compute_ms), (v1::JobState::Expired, 0, 0));
        assert!(job.message.contains("deadline") && job.deadline_us > 0, "{job:?}");
    });
}

#[test]
fn a_deadline_that_cannot_be_met_is_said_at_once_and_an_accepted_one_is_not_asked_again() {
    on_every_database(|world| {
        let process = world.start();
        crate::lab::echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        process.try_submit(v1::SubmitRequest { predicted_ms: 60_000, ..submission("busy") }).unwrap();
        process.assigned(&mut agent);
        let refused = process.try_submit(within(world, "k", 20_000)).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains("end"), "{refused:?}");
        let wanted = within(world, "k", 600_000);
        let accepted = process.try_submit(wanted.clone()).unwrap();
        process.wait_ms(2_000);
        assert_eq!(process.try_submit(wanted.clone()).unwrap().id, accepted.id);
        let other = v1::SubmitRequest { deadline_us: wanted.deadline_us + 1, ..wanted };
        assert!(process.try_submit(other).is_err(), "another request under the same key");
    });
}
