//! Agents that vanish, come back, repeat themselves and lie.

use backlot_inference_api::v1::{self, agent_message::Message as Said, control_message::Message as Told};

use crate::lab::{echo, ended, hello, hello_of, on_every_database, running, succeeded};

#[test]
fn a_lease_that_nobody_extends_is_lost_and_its_late_result_ignored() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut silent, _) = process.join(hello("silent"));
        let job = process.submit("k");
        let stale = process.assigned(&mut silent);
        process.wait_ms(29_999);
        assert_eq!(process.job(&job.id).state(), v1::JobState::Running);
        process.wait_ms(1);
        assert_eq!(process.job(&job.id).state(), v1::JobState::Queued);
        // Its room stays taken, so another agent gets the next attempt.
        let (mut other, _) = process.join(hello("other"));
        process.wait_ms(500);
        let fresh = process.assigned(&mut other);
        process.finish(&mut silent, succeeded(&stale));
        assert_eq!(process.job(&job.id).state(), v1::JobState::Running);
        process.finish(&mut other, succeeded(&fresh));
        let job = process.job(&job.id);
        assert_eq!(
            (job.state(), job.winning_fence.as_str()),
            (v1::JobState::Succeeded, fresh.fence.as_str())
        );
        assert_eq!(job.attempts[0].outcome, "lost");
        assert_eq!(process.count("SELECT count(*) FROM attempts WHERE late_outcome = 'succeeded'"), 1);
    });
}

#[test]
fn heartbeats_keep_a_lease_alive() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        for _ in 0..3 {
            process.wait_ms(20_000);
            let heartbeat = v1::Heartbeat { running: vec![running(&assign)] };
            process.run(agent.say(Said::Heartbeat(heartbeat)));
            // The heartbeat is in the driver's queue before the nudge that follows it.
            process.finish(
                &mut agent,
                v1::AttemptFinished { fence: "9-9".to_owned(), ..ended(&assign, "failed") },
            );
        }
        assert_eq!(process.job(&job.id).state(), v1::JobState::Running);
        process.finish(&mut agent, succeeded(&assign));
        assert_eq!(process.job(&job.id).attempts.len(), 1);
    });
}

#[test]
fn lost_workers_use_up_the_budget() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let job = process.submit("k");
        for attempt in 1..=3 {
            let (mut agent, _) = process.join(hello("a"));
            process.assigned(&mut agent);
            assert_eq!(process.job(&job.id).attempts.len(), attempt);
            drop(agent);
            // A new boot runs nothing: the attempt is lost at once.
            let (_restarted, welcome) =
                process.join(v1::Hello { boot_id: "next".to_owned(), ..hello_of("a", &[]) });
            assert!(welcome.keep.is_empty());
            process.wait_ms(10_000);
        }
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.failure()), (v1::JobState::Failed, v1::FailureClass::LostWorker));
        assert!(job.attempts.iter().all(|attempt| attempt.outcome == "lost"));
    });
}

#[test]
fn a_duplicate_finish_is_acknowledged_and_changes_nothing() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        process.finish(&mut agent, succeeded(&assign));
        process.finish(&mut agent, succeeded(&assign));
        process.finish(&mut agent, ended(&assign, "failed"));
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.outputs.len()), (v1::JobState::Succeeded, 1));
        assert_eq!(process.events(&job.id).len(), 3);
    });
}

#[test]
fn a_returning_agent_hears_what_to_keep_and_what_to_kill() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello_of("a", &["w", "x"]));
        let (kept, lost) = (process.submit("1"), process.submit("2"));
        let (first, second) = (process.assigned(&mut agent), process.assigned(&mut agent));
        drop(agent);
        let strange = v1::RunningAttempt { fence: "7-7".to_owned(), ..running(&second) };
        let named = vec![running(&first), strange.clone()];
        let (mut agent, welcome) = process.join(v1::Hello { running: named, ..hello_of("a", &["w", "x"]) });
        assert_eq!((welcome.keep, welcome.kill), (vec![running(&first)], vec![strange]));
        assert_eq!(process.job(&kept.id).state(), v1::JobState::Running);
        assert_eq!(process.job(&lost.id).state(), v1::JobState::Queued);
        process.finish(&mut agent, succeeded(&first));
        assert_eq!(process.job(&kept.id).state(), v1::JobState::Succeeded);
    });
}

#[test]
fn a_spooled_result_counts_once() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        drop(agent);
        for _ in 0..2 {
            let spooled = vec![succeeded(&assign)];
            let (mut agent, welcome) = process.join(v1::Hello { spooled, ..hello("a") });
            assert!(welcome.keep.is_empty() && welcome.kill.is_empty());
            process.acknowledged(&mut agent, &assign.fence);
        }
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.attempts.len()), (v1::JobState::Succeeded, 1));
        assert_eq!(process.events(&job.id).len(), 3);
    });
}

#[test]
fn an_agent_cannot_report_anothers_attempt() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let (mut stranger, _) = process.join(hello("b"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        process.finish(&mut stranger, succeeded(&assign));
        assert_eq!(process.job(&job.id).state(), v1::JobState::Running);
    });
}

#[test]
fn a_draining_agent_gets_nothing_new() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (agent, _) = process.join(hello("a"));
        process.run(agent.say(Said::Draining(v1::Draining {})));
        process.run(async {
            let scope = backlot_inference_control::Scope { namespace: "studio".to_owned(), tenant: None };
            while !process.service.fleet(&scope).await.unwrap().agents[0].draining {
                tokio::task::yield_now().await;
            }
        });
        let job = process.submit("k");
        assert_eq!(job.state(), v1::JobState::Queued);
    });
}

#[test]
fn a_stream_begins_with_the_token_and_a_hello() {
    on_every_database(|world| {
        let process = world.start();
        let refused = process.dial(hello("a"), "guess").err().expect("refused");
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        let nameless = v1::Hello { agent_id: String::new(), ..hello("a") };
        let mut agent = process.dial(nameless, crate::lab::JOIN_TOKEN).unwrap();
        let status = process.run(agent.refused()).expect("a status");
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    });
}

#[test]
fn the_newest_stream_of_an_agent_is_the_one_that_counts() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut old, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut old);
        let (mut new, welcome) = process.join(v1::Hello { running: vec![running(&assign)], ..hello("a") });
        assert_eq!(welcome.keep.len(), 1);
        assert!(process.run(old.refused()).is_none(), "the older stream just ends");
        process.cancel(&job.id);
        assert!(matches!(process.run(new.hear()), Told::Cancel(_)));
    });
}
