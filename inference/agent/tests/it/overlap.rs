//! A worker that loads one model beside what it computes. Needs the workers' Python, as the shipped workers do.

use backlot_inference_agent::{Config, WorkerConfig};
use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::control_message::Message as FromControl;
use backlot_inference_api::v1::{AttemptFinished, JobState, LoadFinished};
use serde_json::json;

use crate::bench::Bench;
use crate::support::{Control, Place, Session, assign, cog_model, read, run, workers_python};

/// Computes until there is a file `go`, and writes `done` at its end.
const LONG: &str = r#"
    def predict(self, folder: str) -> str:
        open(folder + "/began", "w").write("x")
        while not os.path.exists(folder + "/go"):
            time.sleep(0.005)
        open(folder + "/done", "w").write("x")
        return "long"
"#;
/// Says whether the other one was done when it began.
const NEXT: &str = r#"
    def predict(self, folder: str) -> str:
        return "after" if os.path.exists(folder + "/done") else "beside"
"#;

async fn loaded(session: &mut Session) -> LoadFinished {
    let pick = |message| if let FromAgent::Loaded(loaded) = message { Some(loaded) } else { None };
    session.until(pick).await
}

fn made(report: &AttemptFinished) -> String {
    assert_eq!(report.outcome, "succeeded", "{}", report.message);
    String::from_utf8_lossy(&report.outputs[0].inline).trim_matches('"').to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_beside_compute_is_told_and_what_was_loaded_waits_for_its_turn() {
    let python = workers_python();
    let (mut control, place) = (Control::new(), Place::new());
    place.cog_that("long", LONG);
    place.cog_that("next", NEXT);
    let mut config = Config { python, ..place.config() };
    config.workers[0] = WorkerConfig { concurrency: 1, slots: 2, overlap: true, ..config.workers[0].clone() };
    let running = run(place.agent_with(config, &control));
    let (mut session, hello) = control.welcomed().await;
    assert!(hello.workers.iter().any(|worker| worker.id == "cpu-0" && worker.overlap));
    let folder = place.root.path();
    for (n, name) in [("1", "long"), ("2", "next")] {
        let input = json!({"folder": folder});
        let one = assign(n, &format!("1-{n}"), "cpu-0", cog_model(name), input);
        session.say(FromControl::Assign(one)).await;
        let told = loaded(&mut session).await;
        assert_eq!((told.model, told.loaded), (format!("test/{name}:1"), true));
        assert_eq!(told.worker_id, "cpu-0");
        read(&folder.join("began")).await;
    }
    std::fs::write(folder.join("go"), "x").expect("written");
    let (first, second) = (session.finished().await, session.finished().await);
    let (long, next) = if first.job_id == "1" { (first, second) } else { (second, first) };
    assert_eq!((made(&long).as_str(), made(&next).as_str()), ("long", "after"));
    assert!(next.loaded && next.load_ms > 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_next_job_loads_while_it_computes() {
    let python = workers_python();
    let worker =
        "model = 'test/none'\nversion = '1'\nruntime = 'command'\ncommand = ['python', '-B', 'serve.py']\n";
    let bench = Bench::new("none", "", worker).await;
    for (name, methods) in [("long", LONG), ("next", NEXT)] {
        bench.place.cog_that(name, methods);
        // It loads for longer than the other one computes, as far as anybody knows.
        let file = bench.place.root.path().join("workers").join(name).join("worker.toml");
        let text = std::fs::read_to_string(&file).expect("written before");
        std::fs::write(&file, text.replace("load_ms = 500", "load_ms = 60000")).expect("written");
    }
    let running = bench
        .agent_on(|config| {
            config.python = python;
            (config.workers[0].slots, config.workers[0].overlap) = (2, true);
        })
        .await;
    let long = bench.submit("test/long").await;
    read(&bench.place.root.path().join("began")).await;
    let next = bench.submit("test/next").await;
    bench.until(&next, |job| !job.attempts.is_empty()).await;
    let long_now = bench.until(&long, |job| job.state() == JobState::Running).await;
    assert_eq!(long_now.state(), JobState::Running, "it was given out while the other one computes");
    bench.write("go");
    for (job, says) in [(&long, "long"), (&next, "after")] {
        let job = bench.until(job, |_| false).await;
        assert_eq!(job.state(), JobState::Succeeded, "{}", job.message);
        assert_eq!(String::from_utf8_lossy(&job.outputs[0].inline).trim_matches('"'), says);
        assert_eq!(job.attempts.len(), 1);
    }
    running.stop().await;
}
