//! One process a job, which speaks JSON lines (workers/README.md).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::process::{Process, ProcessSpec, Supervisor};
use crate::talk::{Member, Talk};
use crate::{
    CANCEL_GRACE, Environment, Failure, Hold, Manifest, Output, Program, Reporter, Runtime, Work, outputs,
};

/// How long a process may stay after it has given its result.
const LINGER_MAX: Duration = Duration::from_secs(5);
/// How long the last lines of an ended process may take to arrive.
const DRAIN_MAX: Duration = Duration::from_millis(500);

/// What a process is given.
struct Call<'a> {
    request: String,
    folder: &'a Path,
    timeout: Duration,
    hold: Hold,
}

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

    /// One process from its beginning to its end: each member's result, or why there is none of any.
    async fn call(
        &self,
        call: Call<'_>,
        members: Vec<Member<'_>>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Result<Vec<Output>, Failure>>, Failure> {
        let Call { request, folder, timeout, hold } = call;
        let mut process = self.supervisor.start(&self.spec(folder)).await.map_err(|source| {
            Failure::Start { what: format!("{} does not start", self.command.join(" ")), source }
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) = process.take_streams() else {
            return Err(Failure::Lost("the model process has no streams".to_owned()));
        };
        let talk = Talk::new(members, stdout, stderr);
        let is_pausable = self.manifest.pause_ms.is_some();
        let feed = feed(stdin, request, hold.clone(), is_pausable);
        let outcome = converse(&mut process, talk, feed, (timeout, hold), cancel).await;
        // Whatever the outcome, nothing may run on.
        process.stop(CANCEL_GRACE).await;
        outcome
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
        let hold = if self.manifest.pause_ms.is_some() { work.hold } else { Hold::default() };
        let call = Call { request, folder: &work.folder, timeout: work.timeout, hold };
        let mut results = self.call(call, vec![Member::new(report, output_dir)], cancel).await?;
        results.pop().unwrap_or_else(|| Err(Failure::Lost("the model process said nothing".to_owned())))
    }

    async fn run_together(
        &self,
        works: Vec<Work>,
        reports: &[Reporter],
        cancel: &CancellationToken,
    ) -> Vec<Result<Vec<Output>, Failure>> {
        let mut results: Vec<Option<Result<Vec<Output>, Failure>>> = Vec::new();
        let (mut members, mut inputs) = (Vec::new(), Vec::new());
        let (mut folder, mut timeout) = (PathBuf::new(), Duration::ZERO);
        for (work, report) in works.iter().zip(reports) {
            let checked = outputs::check_files(self.manifest.input_schema.as_ref(), work)
                .and_then(|()| outputs::make_folder(work));
            match checked {
                Ok(output_dir) => {
                    inputs.push(serde_json::json!({"input": work.input, "output_dir": output_dir}));
                    members.push(Member::new(report, output_dir));
                    (folder, timeout) = (work.folder.clone(), timeout.max(work.timeout));
                    results.push(None);
                }
                Err(failure) => results.push(Some(Err(failure))),
            }
        }
        let count = members.len();
        if count > 0 {
            let request = serde_json::json!({ "batch": inputs }).to_string();
            let call = Call { request, folder: &folder, timeout, hold: Hold::default() };
            let called = self.call(call, members, cancel).await;
            let mut called =
                called.unwrap_or_else(|failure| (0..count).map(|_| Err(failure.of_all(count))).collect());
            called.reverse();
            for result in results.iter_mut().filter(|result| result.is_none()) {
                *result = called.pop();
            }
        }
        let nothing = || Err(Failure::Lost("the model process said nothing".to_owned()));
        results.into_iter().map(|result| result.unwrap_or_else(nothing)).collect()
    }

    async fn unload(&self) {}

    fn takes_room(&self) -> bool {
        false
    }

    fn is_resident(&self) -> bool {
        false
    }
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
) -> Result<Vec<Result<Vec<Output>, Failure>>, Failure> {
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
                    talk.hold(false);
                }
            }
            () = tokio::time::sleep_until(deadline), if talk.held_since.is_none() => return Err(Failure::TimedOut { limit: timeout }),
            () = tokio::time::sleep_until(linger.unwrap_or(deadline)), if linger.is_some() => {
                talk.log("the process stayed after its result and was ended");
                is_stopped = true;
                break process.stop(CANCEL_GRACE).await;
            }
            status = process.wait() => break status,
            () = &mut feed, if !is_fed => is_fed = true,
            () = talk.hear() => {
                if talk.stands_still && talk.held_since.is_none() && hold.is_wanted() {
                    talk.held_since = Some(Instant::now());
                    talk.hold(true);
                }
                if talk.is_done() && linger.is_none() {
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
    Ok(talk.conclude(status, is_stopped))
}
