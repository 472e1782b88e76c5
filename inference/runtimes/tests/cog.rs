//! The Cog runtime against real predictor servers. Needs the workers' Python (`scripts/setup-workers`), named by
//! `BACKLOT_WORKERS_PYTHON`; without it these tests fail and say how to get it.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use backlot_inference_runtimes::{Body, CogRuntime, Environment, Failure, Output, Reporter, Runtime as _};
use serde_json::{Value, json};
use support::{Bench, is_gone};
use tokio_util::sync::CancellationToken;

const WORKER: &str =
    "model = 'test/cog'\nversion = '1'\nruntime = 'cog'\npredictor = 'predict.py:Predictor'\n";
const PREDICTOR: &str = r#"
import ctypes, os, signal, subprocess, sys, tempfile, time
from typing import Any
from cog import BasePredictor, Input, Path

class Predictor(BasePredictor):
    def setup(self):
        print("set up")
    def predict(self, do: str = Input(), at: str = Input(default="")) -> Any:
        if at:
            open(at + ".new", "w").write(f"{os.getpid()} {os.getppid()}")
            os.rename(at + ".new", at)
        if do == "file":
            print("progress: 0.5 half", flush=True)
            time.sleep(0.7)
            path = tempfile.mkdtemp() + "/made here.txt"
            open(path, "w").write("made")
            return Path(path)
        if do == "text": return "hello"
        if do == "raise": raise ValueError("broken")
        if do == "invalid": raise ValueError("invalid_input: too small")
        if do == "sleep": time.sleep(60)
        if do == "hold": ctypes.PyDLL(None).sleep(60)
        if do == "die": os.kill(os.getpid(), signal.SIGKILL)
        if do == "die_all": os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)
        return os.getpid()
"#;
const SCHEMA: &str = r#"{"openapi":"3.0.2","info":{"title":"t","version":"1"},"paths":{},"components":{"schemas":{
"Input":{"type":"object","required":["do"],"properties":{"do":{"type":"string"},"at":{"type":"string"}}},"Output":{}}}}"#;

/// The Python with Cog. A test without it fails: one that passes without having run says nothing.
fn workers() -> Environment {
    let python = std::env::var_os("BACKLOT_WORKERS_PYTHON").expect(
        "BACKLOT_WORKERS_PYTHON names the workers' Python: export \
         BACKLOT_WORKERS_PYTHON=\"$(scripts/setup-workers | tail -n1)/bin/python\"",
    );
    Environment { python: python.into() }
}

struct Case {
    bench: Bench,
    runtime: CogRuntime,
}

impl Case {
    fn new(predictor: &str) -> Self {
        let bench = Bench::new();
        let manifest = bench.worker(&[
            ("worker.toml", WORKER),
            ("predict.py", predictor),
            (".cog/openapi_schema.json", SCHEMA),
        ]);
        let folder = bench.root.path().join("home");
        let runtime =
            CogRuntime::new(manifest, workers(), bench.supervisor.clone(), folder).expect("a predictor");
        Self { bench, runtime }
    }

    async fn run(
        &self,
        input: Value,
        cancel: &CancellationToken,
        timeout: Duration,
    ) -> Result<Vec<Output>, Failure> {
        let (report, _reader) = Reporter::new();
        let mut work = self.bench.work("job-1", input);
        work.timeout = timeout;
        self.runtime.run(work, &report, cancel).await
    }

    async fn work(&self, what: &str) -> Result<Vec<Output>, Failure> {
        self.run(json!({"do": what}), &CancellationToken::new(), Duration::from_secs(20)).await
    }

    /// Cancels once the predictor works; how it ended, how long the cancel took, and the ids of its processes.
    async fn cancel(&self, what: &str) -> (Result<Vec<Output>, Failure>, Duration, Vec<String>) {
        let token = CancellationToken::new();
        let at = self.bench.root.path().join(format!("at-{what}"));
        let watch = async {
            let text = read(&at).await;
            token.cancel();
            (Instant::now(), text)
        };
        let input = json!({"do": what, "at": at});
        let (result, (canceled_at, pids)) =
            tokio::join!(self.run(input, &token, Duration::from_secs(30)), watch);
        (result, canceled_at.elapsed(), pids.split(' ').map(str::to_owned).collect())
    }
}

#[tokio::test]
async fn a_cancel_reaches_a_job_that_waits_for_anothers_end() {
    let case = Case::new(PREDICTOR);
    let at = case.bench.root.path().join("at");
    let (first, second, loading) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let long = Duration::from_secs(60);
    let waiting = async {
        read(&at).await;
        let waits = case.run(json!({"do": "text"}), &second, long);
        let loads = case.runtime.load(&loading);
        let cancel = async {
            second.cancel();
            loading.cancel();
        };
        let (waited, loaded, ()) = tokio::join!(waits, loads, cancel);
        assert!(matches!(waited, Err(Failure::Canceled)), "{waited:?}");
        assert!(matches!(loaded, Err(Failure::Canceled)), "{loaded:?}");
        assert!(!first.is_cancelled(), "the other one computes on");
        first.cancel();
    };
    let (result, ()) = tokio::join!(case.run(json!({"do": "sleep", "at": at}), &first, long), waiting);
    assert!(matches!(result, Err(Failure::Canceled)), "{result:?}");
}

async fn read(path: &Path) -> String {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) => return text,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn text(output: &Output) -> String {
    match &output.body {
        Body::File(path) => std::fs::read_to_string(path).expect("readable"),
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predictor_stays_warm_and_gives_files_values_and_errors() {
    let case = Case::new(PREDICTOR);
    assert!(!case.runtime.is_resident());
    case.runtime.load(&CancellationToken::new()).await.expect("loaded");
    assert!(case.runtime.is_resident());
    let (report, reader) = Reporter::new();
    let work = case.bench.work("job-0", json!({"do": "file"}));
    let made = case.runtime.run(work, &report, &CancellationToken::new()).await.expect("made");
    assert_eq!((made[0].name.as_str(), text(&made[0]).as_str()), ("made here.txt", "made"));
    assert!(
        matches!(&made[0].body, Body::File(path) if path.starts_with(case.bench.root.path().join("jobs")))
    );
    assert_eq!((reader.borrow().progress, reader.borrow().note.as_str()), (0.5, "half"));

    assert_eq!(text(&case.work("text").await.expect("text")[0]), "\"hello\"");
    assert!(matches!(case.work("raise").await, Err(Failure::Model(words)) if words == "ValueError: broken"));
    assert!(matches!(case.work("invalid").await, Err(Failure::InvalidInput(words)) if words == "too small"));
    let wrong = case.run(json!({}), &CancellationToken::new(), Duration::from_secs(20)).await;
    assert!(matches!(wrong, Err(Failure::InvalidInput(words)) if words.contains("do")));

    let pids =
        [text(&case.work("pid").await.expect("a pid")[0]), text(&case.work("pid").await.expect("a pid")[0])];
    assert_eq!(pids[0], pids[1], "one process for all");
    case.runtime.unload().await;
    assert!(!case.runtime.is_resident());
    assert!(is_gone(&pids[0]));
    assert!(!case.bench.root.path().join("home").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_confirmed_and_the_server_stays() {
    let case = Case::new(PREDICTOR);
    let (result, took, pids) = case.cancel("sleep").await;
    assert!(matches!(result, Err(Failure::Canceled)), "{result:?}");
    // Python's own sleep ends only when it is interrupted; the server may have had to go.
    assert!(took < Duration::from_secs(20), "{took:?}");
    let next = text(&case.work("pid").await.expect("the next job")[0]);
    assert!(!next.is_empty() && !pids.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_is_not_heard_kills_the_server_and_the_next_job_gets_a_new_one() {
    let case = Case::new(PREDICTOR);
    let (result, took, pids) = case.cancel("hold").await;
    assert!(matches!(result, Err(Failure::Canceled)), "{result:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    for pid in &pids {
        assert!(is_gone(pid), "{pid} is gone");
    }
    assert!(!case.runtime.is_resident());
    assert!(case.work("text").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_model_is_lost_and_the_next_job_succeeds() {
    let case = Case::new(PREDICTOR);
    for what in ["die", "die_all"] {
        let result = case.work(what).await;
        assert!(matches!(result, Err(Failure::Lost(_))), "{what}: {result:?}");
        assert!(!case.runtime.is_resident());
        assert!(case.work("text").await.is_ok(), "after {what}");
    }
    // Killed while nobody used it: the next job does not notice.
    let pid = text(&case.work("pid").await.expect("a pid")[0]);
    let killed = std::process::Command::new("kill").args(["-9", &pid]).status().expect("kill");
    assert!(killed.success());
    assert!(case.work("text").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_takes_too_long_is_ended() {
    let case = Case::new(PREDICTOR);
    let result = case.run(json!({"do": "hold"}), &CancellationToken::new(), Duration::from_millis(500)).await;
    assert!(matches!(result, Err(Failure::TimedOut { .. })), "{result:?}");
    assert!(case.work("text").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_load_says_why() {
    let case = Case::new(
        "from cog import BasePredictor\nclass Predictor(BasePredictor):\n    def setup(self):\n        raise ValueError('no weights')\n    def predict(self) -> str:\n        return ''\n",
    );
    let result = case.runtime.load(&CancellationToken::new()).await;
    assert!(matches!(&result, Err(Failure::Model(words)) if words.contains("no weights")), "{result:?}");
    assert!(!case.runtime.is_resident());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_can_be_canceled() {
    let case = Case::new(
        "import time\nfrom cog import BasePredictor\nclass Predictor(BasePredictor):\n    def setup(self):\n        time.sleep(60)\n    def predict(self) -> str:\n        return ''\n",
    );
    let cancel = CancellationToken::new();
    let (result, ()) = tokio::join!(case.runtime.load(&cancel), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    });
    assert!(matches!(result, Err(Failure::Canceled)));
}
