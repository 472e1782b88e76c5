//! The process is killed at every step of a job. Whatever happened, the job ends once, and its result counts once.

use std::{collections::BTreeSet, sync::Arc};

use backlot_inference_api::v1::{self, agent_message::Message as Said, control_message::Message as Told};

use parking_lot::Mutex;

use crate::lab::{
    Agent, Line, Process, World, computing, echo, ended, hello, on_every_database, running, submission,
    succeeded,
};

/// How far a job has come when the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Accepted,
    Assigned,
    Computing,
    CancelAsked,
    /// The report was sent; whether control has it is not known.
    Reported,
    Acknowledged,
}

const STEPS: [Step; 6] =
    [Step::Accepted, Step::Assigned, Step::Computing, Step::CancelAsked, Step::Reported, Step::Acknowledged];

/// Drives a job to a step and kills the process.
fn drive_and_kill(world: &World, step: Step) -> (String, Option<v1::Assign>) {
    let process = world.start();
    echo(&process);
    if step == Step::Accepted {
        return (process.submit("k").id, None);
    }
    let (mut agent, _) = process.join(hello("a"));
    let job = process.submit("k");
    let assign = process.assigned(&mut agent);
    if step >= Step::Computing {
        process.run(agent.say(computing(&assign, 0.2)));
    }
    if step == Step::CancelAsked {
        process.cancel(&job.id);
    }
    if step >= Step::Reported {
        process.run(agent.say(Said::Finished(succeeded(&assign))));
    }
    if step == Step::Acknowledged {
        process.acknowledged(&mut agent, &assign.fence);
    }
    (job.id, Some(assign))
}

/// What the agent says when it reaches the new process: it lived on, with what it ran or finished.
fn hello_after(step: Step, assign: Option<&v1::Assign>) -> v1::Hello {
    let mut greeting = hello("a");
    match (step, assign) {
        (Step::Assigned | Step::Computing | Step::CancelAsked, Some(assign)) => {
            greeting.running = vec![running(assign)]
        }
        (Step::Reported, Some(assign)) => greeting.spooled = vec![succeeded(assign)],
        _ => {}
    }
    greeting
}

/// Does whatever control tells the agent until the job has ended.
fn work(process: &Process, agent: &mut Agent, kept: Vec<v1::RunningAttempt>, id: &str) {
    for attempt in kept {
        let assign = v1::Assign {
            job_id: attempt.job_id,
            fence: attempt.fence,
            worker_id: attempt.worker_id,
            ..v1::Assign::default()
        };
        let outcome = if process.job(id).cancel_requested_at_us > 0 { "canceled" } else { "succeeded" };
        process.run(agent.say(Said::Finished(ended(&assign, outcome))));
    }
    while process.job(id).ended_at_us == 0 {
        process.wait_ms(1_000);
        match process.run(agent.hear()) {
            Told::Assign(assign) => process.run(agent.say(Said::Finished(succeeded(&assign)))),
            Told::Acknowledged(_) | Told::Cancel(_) | Told::Welcome(_) => {}
            other => panic!("heard {other:?}"),
        }
    }
}

#[test]
fn a_job_survives_a_kill_at_every_step() {
    for step in STEPS {
        on_every_database(|world| {
            let (id, assign) = drive_and_kill(world, step);
            let process = world.start();
            let (mut agent, welcome) = process.join(hello_after(step, assign.as_ref()));
            assert_eq!(welcome.epoch, 2, "{step:?}");
            work(&process, &mut agent, welcome.keep, &id);
            let job = process.job(&id);
            let expected =
                if step == Step::CancelAsked { v1::JobState::Canceled } else { v1::JobState::Succeeded };
            assert_eq!(job.state(), expected, "{step:?}");
            let won = job.attempts.iter().filter(|attempt| attempt.outcome == "succeeded").count();
            assert_eq!(won, usize::from(expected == v1::JobState::Succeeded), "{step:?}");
            let ends = process.events(&id).iter().filter(|name| is_end(name)).count();
            assert_eq!(ends, 1, "{step:?}: {:?}", process.events(&id));
            // The key still answers with the job.
            assert_eq!(process.try_submit(submission("k")).unwrap().id, id, "{step:?}");
        });
    }
}

fn is_end(event: &str) -> bool {
    ["succeeded", "failed", "canceled", "expired"].iter().any(|end| event.ends_with(end))
}

#[test]
fn an_agent_that_does_not_come_back_loses_its_lease() {
    on_every_database(|world| {
        let (id, _) = drive_and_kill(world, Step::Computing);
        let process = world.start();
        process.wait_ms(29_999);
        assert_eq!(process.job(&id).state(), v1::JobState::Running);
        process.wait_ms(1);
        assert_eq!(process.job(&id).state(), v1::JobState::Queued);
        let (mut other, _) = process.join(hello("b"));
        process.wait_ms(500);
        let assign = process.assigned(&mut other);
        assert_eq!(assign.fence, "2-1");
        process.finish(&mut other, succeeded(&assign));
        assert_eq!(process.job(&id).state(), v1::JobState::Succeeded);
    });
}

#[test]
fn an_agent_that_died_with_the_process_loses_its_lease_at_once() {
    on_every_database(|world| {
        let (id, stale) = drive_and_kill(world, Step::Computing);
        let process = world.start();
        let (mut agent, welcome) = process.join(v1::Hello { boot_id: "new".to_owned(), ..hello("a") });
        assert!(welcome.keep.is_empty());
        process.wait_ms(500);
        let assign = process.assigned(&mut agent);
        assert_ne!(assign.fence, stale.unwrap().fence);
        process.finish(&mut agent, succeeded(&assign));
        assert_eq!(process.job(&id).attempts.len(), 2);
    });
}

#[test]
fn time_to_live_goes_on_while_nobody_leads() {
    on_every_database(|world| {
        let id = {
            let process = world.start();
            echo(&process);
            process.try_submit(v1::SubmitRequest { ttl_ms: 5_000, ..submission("k") }).unwrap().id
        };
        world.clock.advance(std::time::Duration::from_secs(6));
        let process = world.start();
        assert_eq!(process.job(&id).state(), v1::JobState::Expired);
    });
}

#[test]
fn a_large_input_survives_a_kill() {
    on_every_database(|world| {
        let text = "x".repeat(100_000);
        let input_json = format!(r#"{{"text":"{text}"}}"#);
        {
            let process = world.start();
            echo(&process);
            process
                .try_submit(v1::SubmitRequest { input_json: input_json.clone(), ..submission("k") })
                .unwrap();
        }
        let process = world.start();
        let (mut agent, _) = process.join(hello("a"));
        assert_eq!(process.assigned(&mut agent).input_json, input_json);
    });
}

/// What an agent remembers across the processes that it works for.
#[derive(Default)]
struct Memory {
    running: Vec<v1::Assign>,
    spooled: Vec<v1::AttemptFinished>,
}

impl Memory {
    /// What the agent says first: what it runs, and what was not acknowledged.
    fn greeting(&self) -> v1::Hello {
        let mut greeting = hello("a");
        greeting.workers[0].concurrency = 4;
        greeting.running = self.running.iter().map(running).collect();
        greeting.spooled.clone_from(&self.spooled);
        greeting
    }
}

/// Works for as long as the process lives, on one stream after another: finishes what it runs, and repeats what was not
/// acknowledged.
async fn tireless(line: Line, memory: Arc<Mutex<Memory>>) {
    loop {
        let greeting = memory.lock().greeting();
        match line.dial(greeting).await {
            Ok(agent) => work_on(agent, &memory).await,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Until the stream ends.
async fn work_on(mut agent: Agent, memory: &Mutex<Memory>) {
    loop {
        let report = memory.lock().running.pop();
        if let Some(assign) = report {
            let finished = succeeded(&assign);
            memory.lock().spooled.push(finished.clone());
            agent.say(Said::Finished(finished)).await;
            continue;
        }
        match agent.heard().await {
            None => return,
            Some(Told::Assign(assign)) => memory.lock().running.push(assign),
            Some(Told::Acknowledged(told)) => {
                memory.lock().spooled.retain(|report| report.fence != told.fence);
            }
            Some(Told::Welcome(welcome)) => {
                let killed = |assign: &v1::Assign| welcome.kill.iter().any(|kill| kill.fence == assign.fence);
                memory.lock().running.retain(|assign| !killed(assign));
            }
            Some(_) => {}
        }
    }
}

/// Whatever the moment of the kill, in the middle of a commit too: what was accepted ends once, with one result.
#[test]
fn a_flood_of_jobs_survives_kills_at_any_moment() {
    on_every_database(|world| {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let accepted = Arc::new(Mutex::new(BTreeSet::new()));
        for round in 0..5usize {
            let process = world.start();
            echo(&process);
            process.spawn(tireless(process.line(crate::lab::JOIN_TOKEN), memory.clone()));
            for client in 0..4usize {
                let (mut control, accepted) = (process.control(), accepted.clone());
                process.spawn(async move {
                    for n in 0..1_000usize {
                        let request = submission(&format!("{round}-{client}-{n}"));
                        // Who is not answered asks again with the same key.
                        loop {
                            match control.submit(request.clone()).await {
                                Ok(job) => {
                                    accepted.lock().insert(job.into_inner().id);
                                    break;
                                }
                                Err(_) => tokio::task::yield_now().await,
                            }
                        }
                    }
                });
            }
            let target = accepted.lock().len() + 7 + round * 5;
            process.run(async {
                while accepted.lock().len() < target {
                    tokio::task::yield_now().await;
                }
            });
        }
        let process = world.start();
        memory.lock().running.clear();
        process.spawn(tireless(process.line(crate::lab::JOIN_TOKEN), memory.clone()));
        while process.count("SELECT count(*) FROM jobs WHERE ended_at IS NULL") > 0 {
            // Time passes only while nothing is leased: a slow machine must not cost a lease.
            let leased = process.count("SELECT count(*) FROM jobs WHERE state = 'running'");
            process.wait_ms(if leased > 0 { 0 } else { 1_000 });
        }
        for id in accepted.lock().iter() {
            let job = process.job(id);
            assert_eq!(job.state(), v1::JobState::Succeeded, "{job:?}");
            let won = job.attempts.iter().filter(|attempt| attempt.outcome == "succeeded").count();
            let ends = process.events(id).iter().filter(|name| is_end(name)).count();
            assert_eq!((won, ends), (1, 1), "{job:?}");
        }
    });
}

#[test]
fn a_database_that_fails_loses_nothing() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let job = process.submit("before");
        let assign = process.assigned(&mut agent);
        process.execute("ALTER TABLE attempts RENAME TO attempts_away");
        let refused = process.try_submit(submission("during"));
        process.run(agent.say(Said::Finished(succeeded(&assign))));
        assert!(process.run(agent.refused()).is_none(), "the stream ends: the agent shall come back");
        process.execute("ALTER TABLE attempts_away RENAME TO attempts");
        process.run(async { while process.service.ready().await.is_err() {} });
        let spooled = vec![succeeded(&assign)];
        let (mut agent, _) = process.join(v1::Hello { spooled, ..hello("a") });
        process.acknowledged(&mut agent, &assign.fence);
        assert_eq!(process.job(&job.id).state(), v1::JobState::Succeeded);
        // Queued behind a busy worker it touched no attempt: it may have been accepted. The key knows.
        let again = process.submit("during");
        assert!(refused.map_or(true, |first| first.id == again.id));
    });
}

#[test]
fn a_row_that_cannot_be_read_does_not_keep_the_others_from_going_on() {
    on_every_database(|world| {
        let mut process = world.start();
        echo(&process);
        let [broken, lost, good] = ["broken", "lost", "good"].map(|key| process.submit(key).id);
        let (mut agent, _) = process.join(hello("a"));
        let first = process.assigned(&mut agent);
        assert_eq!(first.job_id, broken);
        process.finish(&mut agent, ended(&first, "failed"));
        let second = process.assigned(&mut agent);
        assert_eq!(second.job_id, lost);
        // As a newer version might write, or a hand: one job, an attempt of another, and the model's schema.
        process.execute(&format!("UPDATE jobs SET target = 'x', ended_at = NULL WHERE id = '{broken}'"));
        process.execute(&format!("UPDATE attempts SET outcome = 'unheard of' WHERE job_id = '{lost}'"));
        process.execute(r#"UPDATE models SET spec = replace(spec, '"required":["text"]', '"required":5')"#);
        drop(process);

        process = world.start();
        let (mut agent, _) = process.join(hello("a"));
        let assign = process.assigned(&mut agent);
        assert_eq!(assign.job_id, good, "what is whole goes on");
        process.finish(&mut agent, succeeded(&assign));
        assert_eq!(process.job(&good).state(), v1::JobState::Succeeded);
        let refused = process.try_submit(submission("new")).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
        assert_eq!(process.count("SELECT count(*) FROM jobs WHERE ended_at IS NULL"), 2, "nothing is lost");
    });
}
