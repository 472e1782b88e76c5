//! The agent against a scripted control: what it reports, keeps, drops and hands over.

use crate::support::{Control, Place, Store, assign, command, echo, eventually, read, run};
use axum::http::StatusCode;
use backlot_inference_agent::{Agent, Config, Error, WorkerConfig};
use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::control_message::Message as FromControl;
use backlot_inference_api::v1::{FailureClass, Phase, RunningAttempt};
use serde_json::json;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn it_introduces_itself_and_runs_what_it_is_given() {
    let (mut control, place) = (Control::new(), Place::new());
    place.command("shout", "say(progress=0.5, note='half'); open(out+'/a.txt','w').write(i['text'].upper()); say(output=[{'path':'a.txt'}])");
    let agent = place.agent(&control);
    assert_eq!(
        agent.models().iter().map(|model| model.name.as_str()).collect::<Vec<_>>(),
        ["test/shout", "backlot/echo"]
    );
    let id = agent.id().to_owned();
    let running = run(agent);
    let (mut session, hello) = control.welcomed().await;
    assert_eq!(session.token, "Bearer let-me-in");
    assert_eq!((hello.agent_id, hello.name.as_str(), hello.region.as_str()), (id.clone(), "bench", "local"));
    assert_eq!(hello.workers[0].models, ["test/shout"]);
    assert_eq!(hello.workers[1].models, ["backlot/echo"]);

    session.say(FromControl::Assign(echo("j1", "1-1", json!({"a": 1})))).await;
    let report = session.finished().await;
    assert_eq!(
        (report.outcome.as_str(), report.fence.as_str(), report.worker_id.as_str()),
        ("succeeded", "1-1", "echo-0")
    );
    assert_eq!(text(&report.outputs[0].inline), r#"{"a":1}"#);
    session.acknowledge(&report).await;

    session.say(FromControl::Assign(command("j2", "1-2", "shout", json!({"text": "hi"})))).await;
    let mut phases = Vec::new();
    let report = session
        .until(|message| match message {
            FromAgent::Phase(phase) => {
                phases.push((phase.phase(), phase.note));
                None
            }
            FromAgent::Finished(report) => Some(report),
            _ => None,
        })
        .await;
    assert_eq!(text(&report.outputs[0].inline), "HI");
    assert_eq!(report.outputs[0].sha256.len(), 64);
    assert_eq!(phases[0], (Phase::Running, String::new()));
    assert!(report.compute_ms > 0 && !report.loaded);
    session.acknowledge(&report).await;
    eventually("private folders are removed", || place.private_folders() == 0).await;
    eventually("an acknowledged report is forgotten", || place.spooled() == 0).await;
    running.stop().await;
    assert_eq!(place.agent(&control).id(), id, "the same at the next start");
}

#[tokio::test]
async fn failures_have_their_class() {
    let (mut control, place) = (Control::new(), Place::new());
    place.command("dies", "os.kill(os.getpid(), 9)");
    place.command("wrong", "say(error='too small', **{'class': 'invalid_input'})");
    place.command("broken", "raise ValueError('no')");
    place.command("large", "open(out+'/a','wb').write(b'x'*20000); say(output=[{'path':'a'}])");
    let running = run(place.agent(&control));
    let (mut session, _) = control.welcomed().await;
    let mut other = command("j", "1-0", "wrong", json!({}));
    other.model.as_mut().expect("a model").version = "2".to_owned();
    let mut outside = command("j", "1-0", "wrong", json!({}));
    outside.model.as_mut().expect("a model").worker = "../workers/wrong".to_owned();
    let mut nonsense = echo("j", "1-0", json!({}));
    nonsense.input_json = "{".to_owned();
    let mut slow = echo("j", "1-0", json!({"sleep_ms": 60_000}));
    slow.timeout_ms = 300;
    let cases = [
        (command("j", "1-0", "dies", json!({})), FailureClass::LostWorker, true, "SIGKILL"),
        (command("j", "1-0", "wrong", json!({})), FailureClass::InvalidInput, false, "too small"),
        (command("j", "1-0", "broken", json!({})), FailureClass::ModelError, false, "ValueError"),
        (command("j", "1-0", "large", json!({})), FailureClass::OutputRefused, false, "16384"),
        (command("j", "1-0", "nothing", json!({})), FailureClass::LostWorker, true, "does not run"),
        (other, FailureClass::LostWorker, true, "test/wrong:1"),
        (outside, FailureClass::LostWorker, true, "no worker's folder"),
        (
            assign("j", "1-0", "gpu-7", backlot_inference_agent::echo_model(), json!({})),
            FailureClass::LostWorker,
            true,
            "gpu-7",
        ),
        (nonsense, FailureClass::InvalidInput, false, "JSON"),
        (slow, FailureClass::TimedOut, false, "0.3 s"),
        (
            echo("j", "1-0", json!({"a": {"$file": "file:///etc/passwd"}})),
            FailureClass::InvalidInput,
            false,
            "HTTP",
        ),
    ];
    for (n, (mut assign, class, is_retryable, words)) in cases.into_iter().enumerate() {
        assign.fence = format!("1-{n}");
        assign.job_id = format!("j{n}");
        session.say(FromControl::Assign(assign)).await;
        let report = session.finished().await;
        assert_eq!(report.outcome, "failed", "case {n}");
        assert_eq!(
            (report.failure(), report.retryable),
            (class, is_retryable),
            "case {n}: {}",
            report.message
        );
        assert!(report.message.contains(words), "case {n}: {}", report.message);
        session.acknowledge(&report).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_cancel_is_confirmed_only_when_the_work_has_stopped() {
    let (mut control, place) = (Control::new(), Place::new());
    place.command("sleep", "open(i['at'],'w').write(str(os.getpid())); time.sleep(60)");
    let running = run(place.agent(&control));
    let (mut session, _) = control.welcomed().await;
    let at = place.root.path().join("pid");
    session.say(FromControl::Assign(command("j", "1-1", "sleep", json!({"at": at})))).await;
    let pid = read(&at).await;
    session.cancel("j", "1-1").await;
    let report = session.finished().await;
    assert_eq!(report.outcome, "canceled");
    assert!(!std::path::Path::new("/proc").join(&pid).exists(), "it has stopped");
    session.acknowledge(&report).await;
    // A cancel of what does not run here is confirmed too: nothing of it runs.
    session.cancel("other", "1-9").await;
    let report = session.finished().await;
    assert_eq!((report.job_id.as_str(), report.outcome.as_str()), ("other", "canceled"));
    running.stop().await;
}

#[tokio::test]
async fn cut_off_it_finishes_and_hands_over_later() {
    let (mut control, place) = (Control::new(), Place::new());
    place.command("wait", "open(i['at'],'w').write('x')\nwhile not os.path.exists(i['go']): time.sleep(0.01)\nopen(out+'/a','w').write('done'); say(output=[{'path':'a'}])");
    let running = run(place.agent(&control));
    let (session, _) = control.welcomed().await;
    let (at, go) = (place.root.path().join("at"), place.root.path().join("go"));
    session.say(FromControl::Assign(command("j", "1-1", "wait", json!({"at": at, "go": go})))).await;
    read(&at).await;
    drop(session);

    // Again connected while it works: it says so, and is told to go on.
    let (session, hello) = control.welcomed().await;
    let (job_id, fence, worker_id) = ("j".into(), "1-1".into(), "cpu-0".into());
    let expected = RunningAttempt { job_id, fence, worker_id, ..RunningAttempt::default() };
    assert_eq!((hello.running, hello.spooled.len()), (vec![expected], 0));
    drop(session);

    // It ends while cut off: we do not answer the greeting until the report is on disk.
    let mut unanswered = control.session().await;
    let _ = unanswered.hello().await;
    std::fs::write(&go, "x").expect("written");
    eventually("the report is on disk", || place.spooled() == 1).await;
    drop(unanswered);
    let (mut session, hello) = control.welcomed().await;
    assert!(hello.running.is_empty());
    assert_eq!(
        (hello.spooled[0].job_id.as_str(), text(&hello.spooled[0].outputs[0].inline)),
        ("j", "done".to_owned())
    );
    session.acknowledge(&hello.spooled[0]).await;
    eventually("the report is forgotten", || place.spooled() == 0).await;
    // A job that comes again though its report is known is answered with the report.
    session.say(FromControl::Assign(echo("k", "1-2", json!({})))).await;
    let first = session.finished().await;
    session.say(FromControl::Assign(echo("k", "1-2", json!({})))).await;
    assert_eq!(session.finished().await, first);
    running.stop().await;
}

#[tokio::test]
async fn reports_survive_a_kill_of_the_agent() {
    let (mut control, place) = (Control::new(), Place::new());
    let running = run(place.agent(&control));
    let (mut session, first) = control.welcomed().await;
    for n in 0..3 {
        session.say(FromControl::Assign(echo(&format!("j{n}"), "1-1", json!({"n": n})))).await;
        session.finished().await;
    }
    eventually("unacknowledged reports are on disk", || place.spooled() == 3).await;
    running.kill().await;
    let running = run(place.agent(&control));
    let (session, second) = control.welcomed().await;
    assert_eq!(second.agent_id, first.agent_id);
    assert_ne!(second.boot_id, first.boot_id);
    assert_eq!(second.spooled.len(), 3);
    for report in &second.spooled {
        session.acknowledge(report).await;
    }
    eventually("all are forgotten", || place.spooled() == 0).await;
    running.stop().await;
}

#[tokio::test]
async fn what_control_has_given_to_others_is_stopped_and_not_reported() {
    let (mut control, place) = (Control::new(), Place::new());
    place.command("sleep", "open(i['at'],'w').write(str(os.getpid())); time.sleep(60)");
    let running = run(place.agent(&control));
    let (session, _) = control.welcomed().await;
    let at = place.root.path().join("pid");
    session.say(FromControl::Assign(command("j", "1-1", "sleep", json!({"at": at})))).await;
    let pid = read(&at).await;
    drop(session);
    let mut session = control.session().await;
    let hello = session.hello().await;
    session.welcome(Vec::new(), hello.running).await;
    eventually("it is stopped", || !std::path::Path::new("/proc").join(&pid).exists()).await;

    // A newer fence of a job stops the older one here.
    std::fs::remove_file(&at).expect("removed");
    session.say(FromControl::Assign(command("k", "1-2", "sleep", json!({"at": at})))).await;
    let pid = read(&at).await;
    session.say(FromControl::Assign(echo("k", "1-3", json!({})))).await;
    let report = session.finished().await;
    assert_eq!((report.job_id.as_str(), report.fence.as_str()), ("k", "1-3"));
    eventually("the older one is stopped", || !std::path::Path::new("/proc").join(&pid).exists()).await;
    running.stop.stop();
    let stale = session.rest().await.into_iter().any(|message| match message {
        FromAgent::Finished(report) => matches!(report.fence.as_str(), "1-1" | "1-2"),
        _ => false,
    });
    assert!(!stale, "no report for a fence that is not the current one");
}

#[tokio::test]
async fn inputs_are_fetched_and_outputs_are_in_the_store_before_the_report() {
    let (mut control, place, store) = (Control::new(), Place::new(), Store::new().await);
    place.command("copy", "open(out+'/a b.txt','w').write(open(i['file']).read()); say(output=[{'path':'a b.txt','content_type':'text/plain'}])");
    let running = run(place.agent(&control));
    let (mut session, _) = control.welcomed().await;
    let with_store = |job: &str, fence: &str, file: &str| {
        let mut assign = command(
            job,
            fence,
            "copy",
            json!({"file": {"$file": format!("{}/in/{file}", store.base), "name": "x.txt"}}),
        );
        assign.output = Some(store.target());
        assign
    };
    *store.state.troubles.lock().await = vec![StatusCode::BAD_GATEWAY];
    session.say(FromControl::Assign(with_store("j", "1-1", "photo"))).await;
    let mut phases = Vec::new();
    let report = session
        .until(|message| match message {
            FromAgent::Phase(phase) => {
                phases.push(phase.phase());
                None
            }
            FromAgent::Finished(report) => Some(report),
            _ => None,
        })
        .await;
    assert_eq!(report.outcome, "succeeded", "{}", report.message);
    phases.dedup();
    assert_eq!(phases, [Phase::Fetching, Phase::Running, Phase::Uploading]);
    let output = &report.outputs[0];
    assert_eq!(
        (output.object_key.as_str(), output.name.as_str(), output.size_bytes),
        ("job/1-1/0", "a b.txt", 14)
    );
    assert_eq!(store.state.objects.lock().await["job/1-1/0"], "bytes of photo");
    let asked = store.state.asked.lock().await[0].clone();
    assert_eq!(
        (asked["capability"].as_str(), asked["fence"].as_str(), asked["size_bytes"].as_i64()),
        (Some("cap"), Some("1-1"), Some(14))
    );
    session.acknowledge(&report).await;

    session.say(FromControl::Assign(with_store("k", "1-2", "missing"))).await;
    let report = session.finished().await;
    assert_eq!((report.failure(), report.retryable), (FailureClass::InvalidInput, false));
    assert!(report.message.contains("404") && !report.message.contains(&store.base), "{}", report.message);
    running.stop().await;
}

#[tokio::test]
async fn a_store_that_refuses_or_stumbles_is_handled() {
    let (mut control, place, store) = (Control::new(), Place::new(), Store::new().await);
    let running = run(place.agent(&control));
    let (mut session, _) = control.welcomed().await;
    let with_store = |fence: &str| {
        let mut assign = echo(&format!("j{fence}"), fence, json!({"a": 1}));
        assign.output = Some(store.target());
        assign
    };
    let (forbidden, unavailable) = (StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE);
    let cases = [
        (vec![forbidden], vec![], "not from you", FailureClass::OutputRefused),
        (vec![unavailable], vec![], "", FailureClass::Unspecified),
        (vec![], vec![unavailable], "", FailureClass::Unspecified),
        (vec![], vec![forbidden], "", FailureClass::Unspecified),
        (vec![], vec![forbidden; 3], "403", FailureClass::OutputRefused),
    ];
    for (n, (troubles, upload_troubles, words, class)) in cases.into_iter().enumerate() {
        *store.state.troubles.lock().await = troubles;
        *store.state.upload_troubles.lock().await = upload_troubles;
        session.say(FromControl::Assign(with_store(&format!("2-{n}")))).await;
        let report = session.finished().await;
        assert_eq!(report.failure(), class, "case {n}: {}", report.message);
        assert!(report.message.contains(words), "case {n}: {}", report.message);
        session.acknowledge(&report).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn cut_off_while_uploading_it_says_so_again_and_hands_over() {
    let (mut control, place, store) = (Control::new(), Place::new(), Store::new().await);
    let running = run(place.agent(&control));
    let (mut session, _) = control.welcomed().await;
    // More troubles than tries: the upload goes on until they are taken away.
    *store.state.troubles.lock().await = vec![StatusCode::SERVICE_UNAVAILABLE; 100];
    let mut assign = echo("j", "1-1", json!({"a": 1}));
    assign.output = Some(store.target());
    session.say(FromControl::Assign(assign)).await;
    let uploading = |message| match message {
        FromAgent::Phase(phase) if phase.phase() == Phase::Uploading => Some(phase.progress),
        _ => None,
    };
    assert!((session.until(uploading).await - 1.0).abs() < f64::EPSILON);
    drop(session);
    let (mut session, hello) = control.welcomed().await;
    assert_eq!(hello.running.len(), 1, "it is not done before its output is there");
    session.until(uploading).await;
    store.state.troubles.lock().await.clear();
    assert_eq!(session.finished().await.outcome, "succeeded");
    running.stop().await;
}

#[tokio::test]
async fn stopping_it_finishes_what_it_can_and_gives_the_rest_back() {
    let (mut control, place) = (Control::new(), Place::new());
    place.command("sleep", "open(i['at'],'w').write(str(os.getpid())); time.sleep(60)");
    let agent = place.agent_with(Config { drain_ms: 1_500, ..place.config() }, &control);
    let running = run(agent);
    let (mut session, _) = control.welcomed().await;
    let at = place.root.path().join("pid");
    session.say(FromControl::Assign(command("long", "1-1", "sleep", json!({"at": at})))).await;
    let pid = read(&at).await;
    session.say(FromControl::Assign(echo("short", "1-2", json!({"sleep_ms": 300})))).await;
    session
        .until(|message| matches!(message, FromAgent::Phase(phase) if phase.job_id == "short").then_some(()))
        .await;
    running.stop.stop();
    session.until(|message| matches!(message, FromAgent::Draining(_)).then_some(())).await;
    session.say(FromControl::Assign(echo("late", "1-3", json!({})))).await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        let report = session.finished().await;
        ends.push((report.job_id.clone(), report.outcome.clone(), report.failure(), report.retryable));
        session.acknowledge(&report).await;
    }
    let lost = |job: &str| (job.to_owned(), "failed".to_owned(), FailureClass::LostWorker, true);
    assert_eq!(ends[0], lost("late"));
    assert_eq!(ends[1].1, "succeeded");
    assert_eq!(ends[2], lost("long"));
    assert!(!std::path::Path::new("/proc").join(pid).exists());
    running.stop().await;
    assert_eq!(place.spooled(), 0);
}

#[tokio::test]
async fn heartbeats_name_what_runs() {
    let (mut control, place) = (Control::new(), Place::new());
    let running = run(place.agent(&control));
    let (mut session, _) = control.welcomed().await;
    session.say(FromControl::Assign(echo("j", "1-1", json!({"sleep_ms": 60_000})))).await;
    let beat = session
        .until(|message| match message {
            FromAgent::Heartbeat(beat) if !beat.running.is_empty() => Some(beat),
            _ => None,
        })
        .await;
    assert_eq!(beat.running[0].job_id, "j");
    running.stop().await;
}

#[tokio::test]
async fn many_reports_are_handed_over_in_portions() {
    let (mut control, place) = (Control::new(), Place::new());
    let running = run(place.agent(&control));
    let (session, _) = control.welcomed().await;
    for n in 0..300 {
        session.say(FromControl::Assign(echo(&format!("j{n}"), "1-1", json!({"n": n})))).await;
    }
    eventually("all are on disk", || place.spooled() == 300).await;
    drop(session);
    let (mut session, hello) = control.welcomed().await;
    let mut seen: std::collections::BTreeSet<String> =
        hello.spooled.iter().map(|report| report.job_id.clone()).collect();
    assert!(seen.len() < 300, "one message does not carry them all");
    // What is not in the greeting is named there: nobody computes it again.
    let named: std::collections::BTreeSet<String> =
        hello.running.iter().map(|running| running.job_id.clone()).collect();
    assert_eq!(named.len() + seen.len(), 300);
    assert!(named.is_disjoint(&seen) && hello.running.iter().all(|run| run.worker_id == "echo-0"));
    // And again until it is on its way, so that leases outlast a slow handing over.
    let beat = session
        .until(|message| match message {
            FromAgent::Heartbeat(beat) => Some(beat),
            _ => None,
        })
        .await;
    assert_eq!(beat.running.len(), 300 - seen.len());
    for report in &hello.spooled {
        session.acknowledge(report).await;
    }
    while seen.len() < 300 {
        let report = session.finished().await;
        session.acknowledge(&report).await;
        seen.insert(report.job_id);
    }
    eventually("all are forgotten", || place.spooled() == 0).await;
    running.stop().await;
}

#[tokio::test]
async fn two_agents_in_one_folder_are_refused() {
    let (control, place) = (Control::new(), Place::new());
    let _first = place.agent(&control);
    let channel = backlot_foundation_rpc::Channel::remote("http://127.0.0.1:1").expect("an address");
    let second = Agent::new(place.config(), &place.root.path().join("agent"), channel);
    assert!(matches!(second, Err(Error::Busy(_))));
    let twice = WorkerConfig { id: "echo-0".to_owned(), ..place.config().workers[0].clone() };
    let other = Place::new();
    let channel = backlot_foundation_rpc::Channel::remote("http://127.0.0.1:1").expect("an address");
    let config = Config { workers: vec![twice.clone(), twice], ..place.config() };
    assert!(matches!(Agent::new(config, other.root.path(), channel), Err(Error::SameWorker(_))));
}
