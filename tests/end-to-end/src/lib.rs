//! Starts the real binary as a user would, on free ports and in its own folder, and kills it as nobody would.

mod api;
mod live;
mod photo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

pub use api::{Account, Answer, Api};
pub use live::{Socket, board, commands, connect, hears, update, yjs};
pub use photo::{PHOTO, put as photo_put, upload, upload_photo};

/// Longest wait for a process to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Everything but the agent, for tests that kill one and not the other.
pub const WITHOUT_AGENT: &[&str] = &["infrastructure", "inference", "business", "data", "edge"];

/// The built binary `name`, beside this test's own. `make test` builds it first.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    let folder = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps");
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository's root exists")
}

/// The Python of the shipped workers, which `make test` sets up. The system's own would run some of them and fail others
/// later, for reasons that say nothing of this.
#[must_use]
pub fn workers_python() -> String {
    std::env::var("BACKLOT_WORKERS_PYTHON").expect(
        "BACKLOT_WORKERS_PYTHON names the workers' Python: export \
         BACKLOT_WORKERS_PYTHON=\"$(scripts/setup-workers | tail -n1)/bin/python\"",
    )
}

/// One running process of the product.
pub struct Process {
    child: Child,
    /// Its public HTTP address.
    pub url: String,
    /// Where its contracts are served.
    pub rpc: String,
}

/// How a process is started.
#[derive(Clone, Default)]
pub struct Launch {
    /// `serve ROLE…` or `agent`.
    pub arguments: Vec<String>,
    /// Keys set by `--set`.
    pub set: BTreeMap<String, String>,
    /// The data folder.
    pub data: PathBuf,
    /// 0: any free port.
    pub port: u16,
}

impl Launch {
    /// `backlot serve ROLE…` on `data`, with the shipped workers.
    #[must_use]
    pub fn serve(data: &Path, roles: &[&str]) -> Self {
        let arguments = ["serve"].iter().chain(roles).map(|&text| text.to_owned()).collect();
        let launch = Self { arguments, data: data.to_owned(), ..Self::default() };
        launch
            .with("agent.python", &workers_python())
            .with("agent.workers_dir", &root().join("workers").display().to_string())
    }

    /// Sets one key.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.set.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Starts it and waits until it says that it is ready.
    pub async fn start(&self) -> Process {
        let mut command = Command::new(binary("backlot"));
        command
            .args(&self.arguments)
            .arg("--data")
            .arg(&self.data)
            .args(["--port", &self.port.to_string()])
            .env(
                "BACKLOT_TELEMETRY__LOG",
                std::env::var("BACKLOT_TEST_LOG").unwrap_or_else(|_| "warn".to_owned()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        for (key, value) in &self.set {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.expect("stdout can be read") {
                if let Some((_, rest)) = line.split_once(" ready at ") {
                    return rest.split(' ').next().expect("an address").to_owned();
                }
            }
            panic!("{:?} ended before it was ready", self.arguments)
        };
        let url = tokio::time::timeout(READY_TIMEOUT, ready).await.expect("it is ready in time");
        // What it says later is read and dropped, so that it never blocks on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = std::fs::read(self.data.join("address.json")).unwrap_or_default();
        let address: serde_json::Value = serde_json::from_slice(&address).unwrap_or_default();
        Process { child, url, rpc: address["rpc"].as_str().unwrap_or_default().to_owned() }
    }
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().expect("it runs").try_into().expect("a pid fits"))
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        kill(self.pid(), Signal::SIGKILL).expect("it can be killed");
        self.child.wait().await.expect("it can be waited for");
    }

    /// SIGTERM, and waits until it has ended in order.
    pub async fn terminate(mut self) {
        kill(self.pid(), Signal::SIGTERM).expect("it can be told");
        let ended = tokio::time::timeout(Duration::from_secs(45), self.child.wait()).await;
        assert!(ended.expect("it ends in its grace period").expect("it can be waited for").success());
    }
}

/// A whole studio in one process, in a folder of its own.
pub struct Studio {
    /// Its data folder; goes away with the studio.
    pub folder: TempDir,
    /// The process.
    pub process: Process,
    launch: Launch,
}

impl Studio {
    /// Starts one with everything inside.
    pub async fn start() -> Self {
        Self::start_with(|launch| launch).await
    }

    /// Starts one that `adjust` has changed.
    pub async fn start_with(adjust: impl FnOnce(Launch) -> Launch) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let launch = adjust(Launch::serve(folder.path(), &[]));
        let process = launch.start().await;
        Self { folder, process, launch }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.process.url
    }

    /// `kill -9`, then a new process on the same folder and port.
    pub async fn kill_and_restart(self) -> Self {
        let Self { folder, process, mut launch } = self;
        launch.port = url::Url::parse(&process.url).expect("an address").port().expect("a port");
        process.kill().await;
        let process = launch.start().await;
        Self { folder, process, launch }
    }
}

/// Runs `backlot demo --json` against `url` and returns its lines, the summary last.
pub async fn demo(url: &str, arguments: &[&str]) -> Vec<serde_json::Value> {
    let output = Command::new(binary("backlot"))
        .args(["demo", "--json", "--url", url])
        .args(arguments)
        .output()
        .await
        .expect("the demo starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "the demo failed:\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// Tries until `check` gives something, or fails after `limit` with what it waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "it did not happen within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
