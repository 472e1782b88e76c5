//! One process a job, which speaks JSON lines (workers/README.md).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lines::{Line, Lines};
use crate::process::{Process, ProcessSpec, Supervisor, ended};
use crate::{
    CANCEL_GRACE, Environment, Failure, Hold, Manifest, Output, Program, Reporter, Runtime, Work, message,
    outputs,
};

/// How long a process may stay after it has given its result.
const LINGER_MAX: Duration = Duration::from_secs(5);
/// How long the last lines of an ended process may take to arrive.
const DRAIN_MAX: Duration = Duration::from_millis(500);

/// Starts the worker's command for every piece of work.
#[derive(Debug)]
pub struct CommandRuntime {
    manifest: Manifest,
    command: Vec<String>,
    environment: Environment,
    supervisor: Arc<Supervisor>,
}

impl CommandRuntime {
    /// A runtime for a manifest of this kind; none for another kind.
    #[must_use]
    pub fn new(manifest: Manifest, environment: Environment, supervisor: Arc<Supervisor>) -> Option<Self> {
        let Program::Command(command) = manifest.program.clone() else {
            return None;
        };
        Some(Self { manifest, command, environment, supervisor })
    }

    fn spec(&self, folder: &Path) -> ProcessSpec {
        let program = match self.command.first().map(String::as_str) {
            Some("python") => self.environment.python.clone(),
            Some(program) => self.in_folder(program),
            None => PathBuf::new(),
        };
        let arguments = self.command.iter().skip(1).map(|argument| OsString::from(self.in_folder(argument)));
        ProcessSpec {
            program,
            arguments: arguments.collect(),
            folder: folder.to_owned(),
            variables: self.environment.variables(folder),
        }
    }

    /// A file of the worker's folder becomes its full path: the process starts elsewhere.
    fn in_folder(&self, argument: &str) -> PathBuf {
        let path = self.manifest.folder.join(argument);
        if path.is_file() { path.canonicalize().unwrap_or(path) } else { argument.into() }
    }
}

#[async_trait]
impl Runtime for CommandRuntime {
    async fn load(&self, _: &CancellationToken) -> Result<(), Failure> {
        Ok(())
    }

    async fn run(
        &self,
        work: Work,
        report: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Vec<Output>, Failure> {
        outputs::check_files(self.manifest.input_schema.as_ref(), &work)?;
        let output_dir = outputs::make_folder(&work)?;
        let request = serde_json::json!({"input": work.input, "output_dir": output_dir}).to_string();
        let mut process = self.supervisor.start(&self.spec(&work.folder)).await.map_err(|source| {
            Failure::Start { what: format!("{} does not start", self.command.join(" ")), source }
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) = process.take_streams() else {
            return Err(Failure::Lost("the model process has no streams".to_owned()));
        };
        let talk = Talk {
            report,
            output_dir: &output_dir,
            stdout: Lines::new(stdout),
            stderr: Lines::new(stderr),
            is_stdout_open: true,
            is_stderr_open: true,
            stands_still: false,
            held_since: None,
            result: None,
        };
        let hold = if self.manifest.pause_ms.is_some() { work.hold } else { Hold::default() };
        let is_pausable = self.manifest.pause_ms.is_some();
        let feed = feed(stdin, request, hold.clone(), is_pausable);
        let outcome = converse(&mut process, talk, feed, (work.timeout, hold), cancel).await;
        // Whatever the outcome, nothing may run on.
        process.stop(CANCEL_GRACE).await;
        outcome
    }

    async fn unload(&self) {}

    fn takes_room(&self) -> bool {
        false
    }

    fn is_resident(&self) -> bool {
        false
    }
}

/// What the process says.
struct Talk<'a> {
    report: &'a Reporter,
    output_dir: &'a Path,
    stdout: Lines<ChildStdout>,
    stderr: Lines<ChildStderr>,
    is_stdout_open: bool,
    is_stderr_open: bool,
    /// What it says of itself.
    stands_still: bool,
    /// Since when it stands still as it was told to.
    held_since: Option<Instant>,
    result: Option<Result<Vec<Output>, Failure>>,
}

/// Gives a process its work, and tells one that can be paused when to stand still: only its input stays open. A process
/// that does not read breaks the pipe; what it says counts all the same.
async fn feed(mut stdin: ChildStdin, request: String, mut hold: Hold, is_pausable: bool) {
    let mut written = stdin.write_all(request.as_bytes()).await;
    if is_pausable && written.is_ok() {
        written = stdin.write_all(b"\n").await;
    }
    while is_pausable && written.is_ok() {
        let line: &[u8] = if hold.changed().await { b"{\"pause\": true}\n" } else { b"{\"resume\": true}\n" };
        written = stdin.write_all(line).await;
    }
    let _ = stdin.shutdown().await;
}

async fn converse(
    process: &mut Process,
    mut talk: Talk<'_>,
    feed: impl Future<Output = ()>,
    (timeout, mut hold): (Duration, Hold),
    cancel: &CancellationToken,
) -> Result<Vec<Output>, Failure> {
    let mut deadline = Instant::now() + timeout;
    let mut linger = None;
    let mut feed = std::pin::pin!(feed);
    let mut is_fed = false;
    let mut is_stopped = false;
    let status = loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Failure::Canceled),
            wanted = hold.changed() => {
                // Its clock goes on when it is told to go on: what it says itself moves no deadline.
                if !wanted && let Some(since) = talk.held_since.take() {
                    deadline += since.elapsed();
                    talk.report.hold(false);
                }
            }
            () = tokio::time::sleep_until(deadline), if talk.held_since.is_none() => return Err(Failure::TimedOut { limit: timeout }),
            () = tokio::time::sleep_until(linger.unwrap_or(deadline)), if linger.is_some() => {
                talk.report.log("the process stayed after its result and was ended");
                is_stopped = true;
                break process.stop(CANCEL_GRACE).await;
            }
            status = process.wait() => break status,
            () = &mut feed, if !is_fed => is_fed = true,
            () = talk.hear() => {
                if talk.stands_still && talk.held_since.is_none() && hold.is_wanted() {
                    talk.held_since = Some(Instant::now());
                    talk.report.hold(true);
                }
                if talk.result.is_some() && linger.is_none() {
                    linger = Some(Instant::now() + LINGER_MAX);
                }
            }
        }
    };
    let rest = async {
        while talk.is_open() {
            talk.hear().await;
        }
    };
    // Only a stream that a process outside our reach holds open does not end.
    let _ = tokio::time::timeout(DRAIN_MAX, rest).await;
    talk.conclude(status, is_stopped)
}

impl Talk<'_> {
    fn is_open(&self) -> bool {
        self.is_stdout_open || self.is_stderr_open
    }

    /// One line of either stream; waits for ever where both have ended.
    async fn hear(&mut self) {
        tokio::select! {
            line = self.stdout.next(), if self.is_stdout_open => match line {
                Some(line) => self.said(line),
                None => self.is_stdout_open = false,
            },
            line = self.stderr.next(), if self.is_stderr_open => match line {
                Some(Line::Whole(text) | Line::Cut(text)) => self.report.log(&text),
                None => self.is_stderr_open = false,
            },
            else => std::future::pending().await,
        }
    }

    fn said(&mut self, line: Line) {
        let text = match line {
            Line::Whole(text) => text,
            Line::Cut(text) => {
                let shown: String = text.chars().take(200).collect();
                return self.report.log(&format!("{shown}… (a line too long to be read)"));
            }
        };
        let Ok(said) = serde_json::from_str::<Said>(&text) else {
            return self.report.log(&text);
        };
        if said.is_empty() {
            return self.report.log(&text);
        }
        if let Some(fraction) = said.progress {
            self.report.progress(fraction, said.note.as_deref().unwrap_or_default());
        }
        if let Some(paused) = said.paused {
            self.stands_still = paused;
        }
        if let Some(picture) = said.preview {
            self.report.preview(picture);
        }
        if let Some(log) = said.log {
            self.report.log(&log);
        }
        if let Some(error) = said.error {
            let error = message(&error);
            self.result = Some(Err(match said.class.as_deref() {
                Some("invalid_input") => Failure::InvalidInput(error),
                Some(_) | None => Failure::Model(error),
            }));
        } else if let Some(claims) = said.output {
            let files = claims.iter().map(|claim| claim.check(self.output_dir)).collect();
            self.result = Some(Result::<Vec<Output>, Failure>::and_then(files, outputs::count));
        }
    }

    fn conclude(self, status: ExitStatus, is_stopped: bool) -> Result<Vec<Output>, Failure> {
        let (how, is_killed) = ended(status);
        match self.result {
            Some(Err(failure)) => Err(failure),
            // The result is a process's last word: how it was ended afterwards takes nothing away.
            Some(Ok(files)) if status.success() || is_stopped || is_killed => Ok(files),
            Some(Ok(_)) => Err(Failure::Model(format!("{how} after it had given a result"))),
            None if is_killed => Err(Failure::Lost(how)),
            None => Err(Failure::Model(match self.report.last_log_line() {
                Some(line) => message(&format!("{how} without a result: {line}")),
                None => format!("{how} without a result"),
            })),
        }
    }
}

/// One line of standard output.
#[derive(Deserialize)]
struct Said {
    progress: Option<f64>,
    note: Option<String>,
    paused: Option<bool>,
    preview: Option<String>,
    log: Option<String>,
    output: Option<Vec<Claim>>,
    error: Option<String>,
    class: Option<String>,
}

impl Said {
    fn is_empty(&self) -> bool {
        let shows = self.progress.is_some() || self.preview.is_some() || self.paused.is_some();
        !shows && self.log.is_none() && self.output.is_none() && self.error.is_none()
    }
}

/// A file that the process claims to have made.
#[derive(Deserialize)]
struct Claim {
    path: PathBuf,
    name: Option<String>,
    #[serde(default)]
    content_type: String,
}

impl Claim {
    fn check(&self, folder: &Path) -> Result<Output, Failure> {
        let own_name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = self.name.clone().or(own_name).unwrap_or_default();
        outputs::file(folder, &self.path, &name, &self.content_type)
    }
}
