//! A job's way through a healthy fleet.

use backlot_inference_api::v1;
use tokio_stream::StreamExt as _;

use crate::lab::{computing, echo, ended, hello, hello_of, on_every_database, submission, succeeded};

#[test]
fn a_job_is_leased_at_once_and_its_result_counts() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, welcome) = process.join(hello("a"));
        assert_eq!((welcome.epoch, welcome.keep.len(), welcome.kill.len()), (1, 0, 0));
        let job = process.submit("k");
        assert_eq!(job.state(), v1::JobState::Running);
        let assign = process.assigned(&mut agent);
        assert_eq!((assign.input_json.as_str(), assign.fence.as_str()), (r#"{"text":"hello"}"#, "1-1"));
        process.run(agent.say(computing(&assign, 0.5)));
        process.finish(&mut agent, succeeded(&assign));

        let job = process.job(&job.id);
        assert_eq!(job.state(), v1::JobState::Succeeded);
        assert_eq!((job.winning_fence.as_str(), job.outputs[0].inline.as_slice()), ("1-1", b"{}".as_slice()));
        assert_eq!(
            (job.attempts.len(), job.attempts[0].outcome.as_str(), job.compute_ms),
            (1, "succeeded", 3)
        );
        assert!(job.started_at_us > 0 && job.ended_at_us >= job.started_at_us);
        let expected = ["inference.job.submitted", "inference.job.started", "inference.job.succeeded"];
        assert_eq!(process.events(&job.id), expected);
    });
}

#[test]
fn what_many_ask_at_once_is_written_for_each() {
    // More than one statement takes, with a rest of every length; inputs that stay in memory and inputs that do not.
    const JOBS: usize = 64 + 16 + 4 + 3;
    on_every_database(|world| {
        let mut process = world.start();
        echo(&process);
        let input = |n: usize| {
            let text = format!("{n} {}", "x".repeat(if n.is_multiple_of(3) { 5_000 } else { 5 }));
            serde_json::json!({ "text": text }).to_string()
        };
        let one = |n: usize| v1::SubmitRequest { input_json: input(n), ..submission(&format!("k{n}")) };
        let submit = |process: &crate::lab::Process| {
            let control = process.control();
            let one = |n: usize| {
                let mut control = control.clone();
                async move { control.submit(one(n)).await.unwrap().into_inner().id }
            };
            process.run(futures::future::join_all((0..JOBS).map(one)))
        };
        let ids = submit(&process);
        assert_eq!(submit(&process), ids, "the same keys are the same jobs");
        drop(process);
        process = world.start();
        assert_eq!(submit(&process), ids, "also after a kill");

        let mut hello = hello("a");
        hello.workers[0].concurrency = i32::try_from(JOBS).unwrap();
        let (mut agent, _) = process.join(hello);
        let assigns: Vec<v1::Assign> = (0..JOBS).map(|_| process.assigned(&mut agent)).collect();
        for assign in &assigns {
            let n = ids.iter().position(|id| *id == assign.job_id).unwrap();
            assert_eq!(assign.input_json, input(n));
        }
        process.run(async {
            for assign in &assigns {
                agent.say(computing(assign, 0.5)).await;
            }
            for assign in &assigns {
                agent.say(v1::agent_message::Message::Finished(succeeded(assign))).await;
            }
        });
        for assign in &assigns {
            process.acknowledged(&mut agent, &assign.fence);
        }
        for sql in [
            "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND ended_at IS NOT NULL AND started_at IS NOT NULL",
            "SELECT count(*) FROM attempts WHERE outcome = 'succeeded' AND compute_ms = 3 AND started_at IS NOT NULL",
            "SELECT count(DISTINCT job_id) FROM idempotency_keys",
        ] {
            assert_eq!(process.count(sql), i64::try_from(JOBS).unwrap(), "{sql}");
        }
        let expected = ["inference.job.submitted", "inference.job.started", "inference.job.succeeded"];
        assert!(ids.iter().all(|id| process.events(id) == expected));
    });
}

#[test]
fn watching_shows_progress_and_ends_with_the_job() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        let request = v1::GetJobRequest { job_id: job.id.clone() };
        let mut states = process.run(process.control().watch_job(request)).unwrap().into_inner();
        assert_eq!(process.run(states.next()).unwrap().unwrap().state(), v1::JobState::Running);
        process.run(agent.say(computing(&assign, 0.5)));
        let shown = process.run(states.next()).unwrap().unwrap();
        assert_eq!((shown.progress, shown.progress_note.as_str()), (0.5, "half-way"));
        assert_eq!(shown.preview, "data:image/png;base64,AAAA");
        assert_eq!((shown.phase(), shown.log_tail.as_str()), (v1::Phase::Running, "a line\n"));
        process.finish(&mut agent, succeeded(&assign));
        assert_eq!(process.run(states.next()).unwrap().unwrap().state(), v1::JobState::Succeeded);
        assert!(process.run(states.next()).is_none());
    });
}

#[test]
fn a_model_error_fails_the_job_with_its_message() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        let failed = v1::AttemptFinished {
            failure: v1::FailureClass::ModelError.into(),
            message: "no faces found".to_owned(),
            log_tail: "Traceback".to_owned(),
            ..ended(&assign, "failed")
        };
        process.finish(&mut agent, failed);
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.failure()), (v1::JobState::Failed, v1::FailureClass::ModelError));
        assert_eq!((job.message.as_str(), job.log_tail.as_str()), ("no faces found", "Traceback"));
        assert_eq!(process.events(&job.id), ["inference.job.submitted", "inference.job.failed"]);
    });
}

#[test]
fn a_killed_model_is_tried_again() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        let killed = v1::AttemptFinished {
            failure: v1::FailureClass::ModelError.into(),
            retryable: true,
            ..ended(&assign, "failed")
        };
        process.finish(&mut agent, killed);
        assert_eq!(process.job(&job.id).state(), v1::JobState::Queued);
        process.wait_ms(500);
        let again = process.assigned(&mut agent);
        assert_ne!(again.fence, assign.fence);
        process.finish(&mut agent, succeeded(&again));
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.attempts.len()), (v1::JobState::Succeeded, 2));
    });
}

#[test]
fn an_inline_output_over_16_kib_is_refused() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        let mut large = succeeded(&assign);
        large.outputs[0].inline = vec![7; 16 * 1024 + 3];
        process.finish(&mut agent, large);
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.failure()), (v1::JobState::Failed, v1::FailureClass::OutputRefused));
    });
}

#[test]
fn a_waiting_job_has_a_place_and_expires() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let first = process.try_submit(v1::SubmitRequest { ttl_ms: 1_000, ..submission("1") }).unwrap();
        let second = process.submit("2");
        assert_eq!((first.state(), process.job(&first.id).position), (v1::JobState::Queued, 0));
        let (_agent, _) = process.join(hello_of("a", &[]));
        assert_eq!(process.job(&second.id).state(), v1::JobState::Queued);
        process.wait_ms(1_000);
        assert_eq!(process.job(&first.id).state(), v1::JobState::Expired);
        assert_eq!(process.job(&second.id).state(), v1::JobState::Queued);
        assert_eq!(process.events(&first.id), ["inference.job.submitted", "inference.job.expired"]);
    });
}

#[test]
fn many_jobs_at_once_each_end_once() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let mut greeting = hello("a");
        greeting.workers[0].concurrency = 4;
        let (mut agent, _) = process.join(greeting);
        let clients: Vec<_> = (0..100).map(|n| (process.control(), submission(&n.to_string()))).collect();
        let submits =
            clients.into_iter().map(|(mut client, request)| async move { client.submit(request).await });
        let all = futures::future::join_all(submits);
        let work = async {
            for _ in 0..100 {
                let assign = loop {
                    if let v1::control_message::Message::Assign(assign) = agent.hear().await {
                        break assign;
                    }
                };
                agent.say(v1::agent_message::Message::Finished(succeeded(&assign))).await;
            }
        };
        let (submitted, ()) = process.run(async { tokio::join!(all, work) });
        assert!(submitted.iter().all(Result::is_ok));
        process.run(async {
            loop {
                if unfinished(&process.db).await == 0 {
                    break;
                }
            }
        });
        assert_eq!(process.count("SELECT count(*) FROM jobs WHERE state = 'succeeded'"), 100);
        let doubled = "SELECT count(*) FROM (SELECT job_id FROM attempts WHERE outcome = 'succeeded'
                       GROUP BY job_id HAVING count(*) > 1) AS doubled";
        assert_eq!(process.count(doubled), 0);
    });
}

async fn unfinished(db: &backlot_foundation_db::Db) -> i64 {
    use sea_orm::ConnectionTrait as _;
    let query =
        sea_orm::Statement::from_string(db.backend(), "SELECT count(*) FROM jobs WHERE ended_at IS NULL");
    db.read().query_one_raw(query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[test]
fn what_a_model_prints_cannot_break_the_queue() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("k");
        let assign = process.assigned(&mut agent);
        let binary = v1::AttemptFinished {
            message: "bro\0ken".to_owned(),
            log_tail: format!("{}\0\u{fffd}", "ä".repeat(20_000)),
            load_ms: i64::MAX,
            compute_ms: i64::MAX,
            ..ended(&assign, "failed")
        };
        process.finish(&mut agent, binary);
        let job = process.job(&job.id);
        assert_eq!((job.state(), job.message.as_str()), (v1::JobState::Failed, "broken"));
        assert!(job.log_tail.len() <= 16 * 1024 && job.log_tail.ends_with('\u{fffd}'));
    });
}

#[test]
fn a_watched_job_sees_its_place_move() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        process.submit("running");
        let assign = process.assigned(&mut agent);
        let ahead = process.submit("ahead");
        let job = process.submit("watched");
        assert_eq!((job.state(), job.position), (v1::JobState::Queued, 1));
        let request = v1::GetJobRequest { job_id: job.id.clone() };
        let mut states = process.run(process.control().watch_job(request)).unwrap().into_inner();
        assert_eq!(process.run(states.next()).unwrap().unwrap().position, 1);
        process.cancel(&ahead.id);
        process.wait_ms(1_000);
        assert_eq!(process.run(states.next()).unwrap().unwrap().position, 0);
        process.finish(&mut agent, succeeded(&assign));
        let shown = process.run(states.next()).unwrap().unwrap();
        assert_eq!((shown.state(), shown.start_p90_ms), (v1::JobState::Running, 0));
    });
}
