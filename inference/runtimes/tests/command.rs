//! The command runtime against real processes, well-behaved and not.

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_inference_runtimes::{
    Body, CommandRuntime, Environment, Failure, Output, Reporter, Runtime as _, Snapshot,
};
use serde_json::json;
use support::{Bench, is_gone, is_running};
use tokio_util::sync::CancellationToken;

const WORKER: &str =
    "model = 'test/command'\nversion = '1'\nruntime = 'command'\ncommand = ['python', 'run.py']\n";
const HEAD: &str = "import json, os, signal, subprocess, sys, time\nrequest = json.load(sys.stdin)\nout = request['output_dir']\ndef say(**m): print(json.dumps(m), flush=True)\n";

/// Needs nothing but Python itself: the system's will do where the workers' is not set up.
fn environment() -> Environment {
    let python = std::env::var_os("BACKLOT_WORKERS_PYTHON")
        .map_or_else(|| PathBuf::from("/usr/bin/python3"), PathBuf::from);
    Environment { python }
}

struct Ran {
    result: Result<Vec<Output>, Failure>,
    /// Of the first output, where there is one.
    text: String,
    said: Snapshot,
    took: Duration,
}

struct Case {
    bench: Bench,
    runtime: CommandRuntime,
}

impl Case {
    fn new(script: &str) -> Self {
        let bench = Bench::new();
        let manifest = bench.worker(&[("worker.toml", WORKER), ("run.py", &format!("{HEAD}{script}"))]);
        let runtime =
            CommandRuntime::new(manifest, environment(), bench.supervisor.clone()).expect("a command");
        Self { bench, runtime }
    }

    async fn run(&self, timeout: Duration, cancel: &CancellationToken) -> Ran {
        let (report, reader) = Reporter::new();
        let mut work = self.bench.work("job", json!({"text": "hello"}));
        work.timeout = timeout;
        let started = Instant::now();
        let result = self.runtime.run(work, &report, cancel).await;
        let said = reader.borrow().clone();
        let text = result.as_ref().map_or_else(|_| String::new(), |outputs| text(&outputs[0]));
        Ran { result, text, said, took: started.elapsed() }
    }
}

async fn run(script: &str) -> Ran {
    Case::new(script).run(Duration::from_secs(20), &CancellationToken::new()).await
}

fn text(output: &Output) -> String {
    match &output.body {
        Body::File(path) => std::fs::read_to_string(path).expect("readable"),
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Cancels as soon as the worker has written the named file into its private folder; returns its text.
async fn run_until(case: &Case, file: &str, cancel: bool) -> (Ran, String) {
    let token = CancellationToken::new();
    let path = case.bench.root.path().join("jobs/job").join(file);
    let watcher = async {
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&path)
                && !text.is_empty()
            {
                break text;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        if cancel {
            token.cancel();
        }
        text
    };
    tokio::join!(case.run(Duration::from_secs(20), &token), watcher)
}

#[tokio::test]
async fn a_result_comes_with_progress_and_log() {
    let ran = run("
say(progress=0.5, note='half'); say(preview='data:image/png;base64,AAAA'); say(preview='javascript:alert(1)'); say(log='a line'); print('not json'); print('{\"unknown\": 1}'); print('warned', file=sys.stderr)
open(out + '/a.txt', 'w').write(request['input']['text'])
say(output=[{'path': out + '/a.txt', 'content_type': 'text/plain'}])").await;
    let outputs = ran.result.expect("a result");
    assert_eq!(outputs.len(), 1);
    assert_eq!((outputs[0].name.as_str(), outputs[0].content_type.as_str()), ("a.txt", "text/plain"));
    assert_eq!((ran.said.progress, ran.said.note.as_str()), (0.5, "half"));
    assert_eq!(ran.said.preview, "data:image/png;base64,AAAA", "what is no picture is not shown");
    for line in ["a line", "not json", "{\"unknown\": 1}", "warned"] {
        assert!(ran.said.log_tail().contains(line), "{line} is in the log");
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    let ran = run("say(error='too small', **{'class': 'invalid_input'}); sys.exit(1)").await;
    assert!(matches!(ran.result, Err(Failure::InvalidInput(message)) if message == "too small"));
    let ran = run("say(error='no idea', **{'class': 'model_error'})").await;
    assert!(matches!(ran.result, Err(Failure::Model(message)) if message == "no idea"));
    let ran = run("raise ValueError('broken')").await;
    assert!(matches!(ran.result, Err(Failure::Model(message)) if message.contains("ValueError: broken")));
    let ran = run("sys.exit(0)").await;
    assert!(
        matches!(ran.result, Err(Failure::Model(message)) if message.contains("status 0 without a result"))
    );
    let ran = run("os.kill(os.getpid(), signal.SIGKILL)").await;
    assert!(matches!(ran.result, Err(Failure::Lost(message)) if message.contains("SIGKILL")));
    let ran = run("os.kill(os.getpid(), signal.SIGSEGV)").await;
    assert!(matches!(ran.result, Err(Failure::Model(message)) if message.contains("SIGSEGV")));
}

#[tokio::test]
async fn garbage_and_giant_lines_are_survived() {
    let ran = run("
sys.stdout.buffer.write(b'\\xff\\xfe\\x00garbage\\n' + b'x' * 5_000_000 + b'\\n' + b'[1]\\n\"text\"\\nnull\\n')
say(progress=float('inf')); print('{\"progress\": NaN}'); say(progress='half')
for n in range(20000): print('line', n)
open(out + '/a.txt', 'w').write('ok')
say(output=[{'path': 'a.txt'}])").await;
    assert_eq!(ran.text, "ok");
    assert!(ran.said.log_tail().len() <= 16 * 1024);
}

#[tokio::test]
async fn outputs_outside_the_folder_are_refused() {
    let ran = run("say(output=[{'path': '/etc/hostname', 'name': 'a'}])").await;
    assert!(matches!(ran.result, Err(Failure::Model(message)) if message.contains("outside")));
    let ran = run("os.symlink('/etc/hostname', out + '/a'); say(output=[{'path': out + '/a'}])").await;
    assert!(matches!(ran.result, Err(Failure::Model(message)) if message.contains("outside")));
    let ran = run("say(output=[{'path': out + '/nothing'}])").await;
    assert!(matches!(ran.result, Err(Failure::Model(message)) if message.contains("does not exist")));
    let ran = run("say(output=[{'path': out}])").await;
    assert!(matches!(ran.result, Err(Failure::Model(message)) if message.contains("no file")));
}

#[tokio::test]
async fn a_cancel_ends_the_process_before_it_is_confirmed() {
    let case = Case::new(
        "
def asked(*_):
    open('asked', 'w').write('x')
    sys.exit(0)
signal.signal(signal.SIGTERM, asked)
open('.pid', 'w').write(str(os.getpid())); os.rename('.pid', 'pid')
time.sleep(60)",
    );
    let (ran, pid) = run_until(&case, "pid", true).await;
    assert!(matches!(ran.result, Err(Failure::Canceled)));
    assert!(is_gone(&pid));
    assert!(case.bench.root.path().join("jobs/job/asked").exists(), "it was asked before it was killed");
}

#[tokio::test]
async fn a_cancel_that_is_ignored_kills_the_whole_group() {
    // The grandchild leaves the group and its session, and closes its streams; its mark finds it.
    let case = Case::new("
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(['sleep', '60'])
other = subprocess.Popen(['setsid', 'sleep', '60'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(0.2)
open('.pids', 'w').write(f'{os.getpid()} {child.pid} {other.pid}'); os.rename('.pids', 'pids')
time.sleep(60)");
    let (ran, pids) = run_until(&case, "pids", true).await;
    assert!(matches!(ran.result, Err(Failure::Canceled)));
    assert!(ran.took >= Duration::from_secs(2), "it had its grace");
    for pid in pids.split(' ') {
        assert!(is_gone(pid), "{pid} is gone");
    }
}

#[tokio::test]
async fn grandchildren_of_an_ended_process_are_gone() {
    let case = Case::new(
        "
child = subprocess.Popen(['sleep', '60'])
open('.pids', 'w').write(str(child.pid)); os.rename('.pids', 'pids')
open(out + '/a.txt', 'w').write('ok')
say(output=[{'path': 'a.txt'}])",
    );
    let (ran, pid) = run_until(&case, "pids", false).await;
    assert!(ran.result.is_ok());
    assert!(is_gone(&pid));
    assert!(ran.took < Duration::from_secs(5), "a grandchild that holds the pipe is not waited for");
}

#[tokio::test]
async fn a_process_that_takes_too_long_is_ended() {
    let case = Case::new("open('pid', 'w').write(str(os.getpid())); time.sleep(60)");
    let ran = case.run(Duration::from_millis(700), &CancellationToken::new()).await;
    assert!(matches!(ran.result, Err(Failure::TimedOut { .. })));
    let pid = std::fs::read_to_string(case.bench.root.path().join("jobs/job/pid")).expect("it ran");
    assert!(is_gone(&pid));
}

#[tokio::test]
async fn the_environment_has_no_secrets() {
    let ran = run("
open(out + '/a.txt', 'w').write(' '.join(sorted(os.environ)) + ' cwd=' + os.getcwd())
say(output=[{'path': 'a.txt'}])")
    .await;
    let seen = ran.text;
    assert!(!seen.contains("CARGO"), "{seen}");
    assert!(seen.contains("BACKLOT_PROCESS_MARK") && seen.contains("jobs/job"), "{seen}");
}

#[tokio::test]
async fn a_missing_program_is_this_machines_fault() {
    let bench = Bench::new();
    let worker =
        "model = 'test/none'\nversion = '1'\nruntime = 'command'\ncommand = ['no-such-program-here']\n";
    let manifest = bench.worker(&[("worker.toml", worker)]);
    let runtime = CommandRuntime::new(manifest, environment(), bench.supervisor.clone()).expect("a command");
    let (report, _) = Reporter::new();
    let result = runtime.run(bench.work("job", json!({})), &report, &CancellationToken::new()).await;
    assert!(matches!(result, Err(Failure::Start { .. })));
}

#[tokio::test]
async fn a_path_that_the_job_names_itself_is_refused() {
    let bench = Bench::new();
    let schema = r#"{"type":"object","properties":{"image":{"type":"string","format":"uri"}}}"#;
    let manifest = bench.worker(&[
        ("worker.toml", WORKER),
        ("run.py", "raise SystemExit"),
        ("input_schema.json", schema),
    ]);
    let runtime = CommandRuntime::new(manifest, environment(), bench.supervisor.clone()).expect("a command");
    for image in ["/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/"] {
        let (report, _) = Reporter::new();
        let work = bench.work("job", json!({"image": image}));
        let result = runtime.run(work, &report, &CancellationToken::new()).await;
        assert!(matches!(result, Err(Failure::InvalidInput(_))), "{image}");
    }
}

#[tokio::test]
async fn what_an_earlier_supervisor_left_is_killed_and_nothing_else() {
    let case = Arc::new(Case::new("
child = subprocess.Popen(['setsid', 'sleep', '60'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(0.2)
open('.pids', 'w').write(str(child.pid)); os.rename('.pids', 'pids')
time.sleep(60)"));
    let runner = case.clone();
    // Aborting drops the process as a killed agent would: the group dies, the one that left it does not.
    let running =
        tokio::spawn(async move { runner.run(Duration::from_secs(20), &CancellationToken::new()).await });
    let path = case.bench.root.path().join("jobs/job/pids");
    let pid = loop {
        if let Ok(text) = std::fs::read_to_string(&path) {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    running.abort();
    let _ = running.await;
    assert!(is_running(&pid), "it left the group");
    let other = tempfile::tempdir().expect("a folder");
    let _innocent = backlot_inference_runtimes::Supervisor::new(other.path()).expect("a supervisor");
    assert!(is_running(&pid), "another agent's start leaves it alone");
    let _next = backlot_inference_runtimes::Supervisor::new(case.bench.root.path()).expect("a supervisor");
    assert!(is_gone(&pid), "the next start of the same agent kills it");
}

/// Acts as an agent in a process of its own, for the test below.
#[tokio::test]
async fn an_agent_to_be_killed() {
    let Some(folder) = std::env::var_os("BACKLOT_TEST_AGENT_FOLDER") else { return };
    let case = Case::new(
        "
child = subprocess.Popen(['sleep', '60'])
path = request['input']['at']
open(path + '.new', 'w').write(f'{os.getpid()} {child.pid}'); os.rename(path + '.new', path)
time.sleep(60)",
    );
    let (report, _reader) = Reporter::new();
    let work = case.bench.work("job", json!({"at": std::path::Path::new(&folder).join("pids")}));
    let _ = case.runtime.run(work, &report, &CancellationToken::new()).await;
}

#[tokio::test]
async fn a_killed_agent_takes_its_models_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut agent = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "an_agent_to_be_killed"])
        .env("BACKLOT_TEST_AGENT_FOLDER", folder.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("an agent");
    let pids = loop {
        match std::fs::read_to_string(folder.path().join("pids")) {
            Ok(text) => break text,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    agent.kill().await.expect("killed with SIGKILL");
    let (leader, child) = pids.split_once(' ').expect("two");
    let until = Instant::now() + Duration::from_secs(5);
    while is_running(leader) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_gone(leader), "the kernel killed it with its agent");
    // What it had started itself lives until the agent starts again (the test of leftovers); end it here.
    let _ = std::process::Command::new("kill").args(["-9", child]).status();
}
