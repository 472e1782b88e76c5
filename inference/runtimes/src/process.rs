//! Supervised child processes: a group of their own, a cleared environment, and no life without the agent.
//!
//! Three nets, each for what the one before lets through:
//! 1. the whole process group is killed when a [`Process`] ends or is dropped;
//! 2. the kernel kills the child when the thread that started it ends, also by `kill -9` of the agent. That
//!    thread must therefore live as long as the [`Supervisor`], which has one of its own;
//! 3. every descendant carries a mark in its environment, by which the next start of the agent finds and
//!    kills what is left.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::leftovers;

/// File in the agent's folder with the mark of its processes, the same at every start.
const MARK_FILE: &str = "processes";
/// Requests to start a process that may wait at once.
const STARTS_WAITING_MAX: usize = 64;
/// Models give way to whatever answers people on the same machine.
const NICENESS: &str = "5";
/// How long a killed process may take to vanish before it is left to the kernel.
const VANISH_MAX: Duration = Duration::from_secs(5);

struct Start {
    command: Command,
    runtime: tokio::runtime::Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// Starts processes and owns their lives: when it is dropped, they are killed.
#[derive(Debug)]
pub struct Supervisor {
    starts: std::sync::mpsc::SyncSender<Start>,
    mark: String,
    /// What is put before every program: helpers that become the program itself.
    prefix: Vec<OsString>,
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct ProcessSpec {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) folder: PathBuf,
    pub(crate) variables: BTreeMap<OsString, OsString>,
}

impl Supervisor {
    /// Kills what an earlier supervisor of the same `folder` left behind. Whoever calls this holds the
    /// folder alone. Blocks for some milliseconds.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let mark = read_or_make_mark(folder)?;
        let killed = leftovers::kill_marked(&mark);
        if killed > 0 {
            tracing::warn!(killed, "killed model processes that an earlier agent left behind");
        }
        let (starts, receiver) = std::sync::mpsc::sync_channel::<Start>(STARTS_WAITING_MAX);
        std::thread::Builder::new().name("model-processes".to_owned()).spawn(move || {
            for mut start in receiver {
                let _runtime = start.runtime.enter();
                // Nobody may wait for the answer any more: then the child is dropped, and so killed.
                let _ = start.answer.send(start.command.spawn());
            }
        })?;
        let prefix = prefix(&std::env::var_os("PATH").unwrap_or_default());
        Ok(Self { starts, mark, prefix })
    }

    /// Starts a process with pipes on all three standard streams.
    pub(crate) async fn start(&self, spec: &ProcessSpec) -> io::Result<Process> {
        let mark = format!("{}:{}", self.mark, Uuid::new_v4());
        let path = spec.variables.get(&OsString::from("PATH")).cloned().unwrap_or_default();
        let program = find_program(&spec.program, &path).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{} is not installed", spec.program.display()))
        })?;
        let mut words = self.prefix.iter().cloned().chain([program.into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
            .args(&spec.arguments)
            .current_dir(&spec.folder)
            .env_clear()
            .envs(&spec.variables)
            .env(leftovers::MARK, &mark)
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (answer, started) = oneshot::channel();
        let start = Start { command, runtime: tokio::runtime::Handle::current(), answer };
        self.starts.try_send(start).map_err(|_| io::Error::other("too many processes are being started"))?;
        let child =
            started.await.map_err(|_| io::Error::other("the thread that starts processes ended"))??;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let group = group.ok_or_else(|| io::Error::other("the process ended at once"))?;
        Ok(Process { child, group, mark, ended: None })
    }
}

/// A running process and everything that it started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Pid,
    mark: String,
    ended: Option<ExitStatus>,
}

impl Process {
    pub(crate) fn take_streams(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_some()
    }

    /// Waits for its end, then ends everything that it left running. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let status = self.wait_for_leader().await;
        self.sweep().await;
        status
    }

    /// Asks the whole group to end, and kills it after `grace`. Nothing of it runs any more afterwards.
    pub(crate) async fn stop(&mut self, grace: Duration) -> ExitStatus {
        if self.ended.is_none() {
            self.signal(Signal::SIGTERM);
            if tokio::time::timeout(grace, self.wait_for_leader()).await.is_err() {
                self.signal(Signal::SIGKILL);
                if tokio::time::timeout(VANISH_MAX, self.wait_for_leader()).await.is_err() {
                    tracing::error!(group = self.group.as_raw(), "a killed process does not vanish");
                }
            }
        }
        self.sweep().await;
        self.ended.unwrap_or_else(|| ExitStatus::from_raw(Signal::SIGKILL as i32))
    }

    async fn wait_for_leader(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        let status = match self.child.wait().await {
            Ok(status) => status,
            Err(error) => {
                tracing::error!(%error, "a process cannot be waited for");
                ExitStatus::from_raw(Signal::SIGKILL as i32)
            }
        };
        self.ended = Some(status);
        status
    }

    /// Kills what is left of the group, and what left the group.
    async fn sweep(&self) {
        self.signal(Signal::SIGKILL);
        let mark = self.mark.clone();
        let swept = tokio::task::spawn_blocking(move || leftovers::kill_marked(&mark)).await;
        if swept.is_ok_and(|killed| killed > 0) {
            tracing::debug!("killed processes that had left their group");
        }
    }

    fn signal(&self, signal: Signal) {
        // An error says that nobody is left.
        let _ = killpg(self.group, signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.signal(Signal::SIGKILL);
        }
    }
}

/// How a process ended, for people; and whether it was killed rather than ending by itself.
pub(crate) fn ended(status: ExitStatus) -> (String, bool) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (format!("the model process ended with status {code}"), false),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or("an unknown signal", Signal::as_str);
            let is_killed = matches!(
                Signal::try_from(signal),
                Ok(Signal::SIGKILL | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT)
            );
            (format!("the model process was ended by {name}"), is_killed)
        }
        (None, None) => ("the model process ended".to_owned(), false),
    }
}

/// The full path of a program: as it is where it has folders, else from PATH.
fn find_program(program: impl AsRef<Path>, path: &std::ffi::OsStr) -> Option<PathBuf> {
    let program = program.as_ref();
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Helpers of every Linux distribution's base: one asks the kernel for the second net, one for a lower priority.
fn prefix(path: &std::ffi::OsStr) -> Vec<OsString> {
    let mut prefix = Vec::new();
    match find_program("setpriv", path) {
        Some(setpriv) => {
            prefix.extend([setpriv.into_os_string(), "--pdeathsig".into(), "KILL".into(), "--".into()])
        }
        None => {
            tracing::warn!("\"setpriv\" of util-linux is missing: model processes may outlive a killed agent")
        }
    }
    if let Some(nice) = find_program("nice", path) {
        prefix.extend([nice.into_os_string(), "-n".into(), NICENESS.into()]);
    }
    prefix
}

fn read_or_make_mark(folder: &Path) -> io::Result<String> {
    let path = folder.join(MARK_FILE);
    if let Ok(text) = std::fs::read_to_string(&path)
        && let Ok(mark) = Uuid::parse_str(text.trim())
    {
        return Ok(mark.to_string());
    }
    let mark = Uuid::new_v4().to_string();
    std::fs::create_dir_all(folder)?;
    std::fs::write(&path, &mark)?;
    Ok(mark)
}
