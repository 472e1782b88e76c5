//! Machines that are processes of this machine: agents with a folder of their own each.
//!
//! A machine is its folder. What runs there is known by process id and start time, so that it is found again after a
//! `kill -9` of the service, and by nobody else's process that got its id later. A machine whose agent was started by an
//! earlier service process is started again in its folder, because it knows neither the new address nor the new token; what
//! it had finished is in its spool and is told then.

use std::{
    collections::BTreeMap,
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{process::Child, sync::Mutex};

use super::{
    Launch,
    provider::{Listed, Order, ProviderError},
    words::Secrets,
};
use crate::limits;

/// What runs in a machine's folder.
const PROCESS_FILE: &str = "process.json";
/// Names an agent's folder to it.
const DATA_VARIABLE: &str = "BACKLOT_DATA";
/// What its agent writes.
const LOG_FILE: &str = "log";
/// How often a process that was told to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Agents of one pool on this machine.
#[derive(Debug)]
pub(crate) struct Local {
    launch: Launch,
    folder: PathBuf,
    /// Children of this process, which must be waited for when they end.
    children: Mutex<BTreeMap<String, Child>>,
    secrets: Secrets,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: i32,
    /// In the kernel's ticks since boot: no other process has both.
    started: u64,
    /// Of the environment that it was started with.
    digest: String,
}

impl Process {
    fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    fn signal(&self, signal: Signal) -> Result<(), ProviderError> {
        match killpg(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(ProviderError::Stop(error.into())),
        }
    }
}

/// When a process that has not ended was started; nothing where there is none.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, the fields after it are plain: the state is the first, the start the 20th.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

impl Local {
    pub(crate) fn new(pool: &str, launch: Launch, secrets: Secrets) -> Self {
        Self { folder: launch.folder.join(pool), launch, children: Mutex::default(), secrets }
    }

    /// Starts the agent, unless it runs as it should already.
    pub(crate) async fn create(&self, order: &Order) -> Result<(), ProviderError> {
        let mut environment = self.launch.environment.clone();
        environment.extend(order.environment.clone());
        let folder = self.folder.join(&order.machine);
        environment.insert(DATA_VARIABLE.to_owned(), folder.display().to_string());
        let digest = digest(&environment);
        if let Some(process) = running(&folder) {
            if process.digest == digest {
                return Ok(());
            }
            self.end(&order.machine, &process).await?;
        }
        let mut children = self.children.lock().await;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(ProviderError::Folder)?;
        // What was written of an earlier agent must not hide this one, should the next line be the last.
        forget(&folder.join(PROCESS_FILE)).map_err(ProviderError::Folder)?;
        let child = self.spawn(&folder, &environment)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let process = pid.and_then(|pid| Some(Process { pid, started: started(pid)?, digest }));
        children.insert(order.machine.clone(), child);
        let ended = || ProviderError::Ended(self.secrets.end_of(&tail(&folder)));
        write(&folder, &process.ok_or_else(ended)?).map_err(ProviderError::Folder)
    }

    fn spawn(&self, folder: &Path, environment: &BTreeMap<String, String>) -> Result<Child, ProviderError> {
        let log = std::fs::File::create(folder.join(LOG_FILE)).map_err(ProviderError::Folder)?;
        let errors = log.try_clone().map_err(ProviderError::Folder)?;
        let mut command = tokio::process::Command::new(&self.launch.program);
        command.args(&self.launch.arguments).process_group(0);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BACKLOT_"))
        {
            command.env_remove(name);
        }
        command.envs(environment).stdin(Stdio::null()).stdout(log).stderr(errors);
        command.spawn().map_err(ProviderError::Start)
    }

    /// Ends the agent, in good order where it can, and removes its folder.
    pub(crate) async fn delete(&self, machine: &str) -> Result<(), ProviderError> {
        let folder = self.folder.join(machine);
        if let Some(process) = running(&folder) {
            self.end(machine, &process).await?;
        }
        self.children.lock().await.remove(machine);
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ProviderError::Folder(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// All machines, with those whose agents have ended, and what their agents wrote last.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, ProviderError> {
        let mut children = self.children.lock().await;
        for child in children.values_mut() {
            let _ = child.try_wait();
        }
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ProviderError::Folder(error)),
        };
        let machines =
            entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
        let listed = |machine: String| {
            let folder = self.folder.join(&machine);
            let words = self.secrets.end_of(&tail(&folder));
            let words = if words.is_empty() { words } else { format!("it wrote last: {words}") };
            Listed { machine, notice: false, ended: running(&folder).is_none(), words }
        };
        Ok(machines.map(listed).collect())
    }

    /// The service stops, and its machines with it. Their folders stay: what they finished is told when they are back.
    pub(crate) async fn stop(&self) {
        let machines = self.list().await.unwrap_or_default();
        let all = machines.iter().map(|Listed { machine, .. }| async move {
            if let Some(process) = running(&self.folder.join(machine))
                && let Err(error) = self.end(machine, &process).await
            {
                tracing::warn!(machine, %error, "a machine's process could not be stopped");
            }
        });
        futures::future::join_all(all).await;
    }

    async fn end(&self, machine: &str, process: &Process) -> Result<(), ProviderError> {
        for (signal, grace_ms) in
            [(Signal::SIGTERM, limits::LOCAL_DRAIN_MS), (Signal::SIGKILL, limits::LOCAL_KILL_MS)]
        {
            process.signal(signal)?;
            let deadline = tokio::time::Instant::now() + Duration::from_millis(grace_ms);
            while tokio::time::Instant::now() < deadline {
                if let Some(child) = self.children.lock().await.get_mut(machine) {
                    let _ = child.try_wait();
                }
                if !process.is_alive() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Err(ProviderError::Alive)
    }
}

fn digest(environment: &BTreeMap<String, String>) -> String {
    let mut hasher = Sha256::new();
    for (name, value) in environment {
        hasher.update(format!("{}={}{name}{value}", name.len(), value.len()));
    }
    hex::encode(hasher.finalize())
}

/// The agent that runs in a folder. One that was started and not written down yet, because its service was killed between
/// the two, is found by its environment.
fn running(folder: &Path) -> Option<Process> {
    let process = match std::fs::read(folder.join(PROCESS_FILE)) {
        Ok(text) => serde_json::from_slice(&text).ok(),
        Err(_) if folder.is_dir() => find(folder),
        Err(_) => None,
    };
    process.filter(Process::is_alive)
}

fn find(folder: &Path) -> Option<Process> {
    let mark = format!("{DATA_VARIABLE}={}", folder.display());
    let pids = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let marked = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let leads = nix::unistd::getpgid(Some(Pid::from_raw(*pid))).is_ok_and(|group| group.as_raw() == *pid);
        leads && environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
    };
    let pid = pids.find(marked)?;
    Some(Process { pid, started: started(pid)?, digest: String::new() })
}

fn forget(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Beside and renamed: never half a file.
fn write(folder: &Path, process: &Process) -> std::io::Result<()> {
    let draft = folder.join("process.new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&serde_json::to_vec(process)?)?;
    std::fs::rename(draft, folder.join(PROCESS_FILE))
}

/// The end of an agent's log, however long that is.
fn tail(folder: &Path) -> Vec<u8> {
    let read = || {
        let mut log = std::fs::File::open(folder.join(LOG_FILE))?;
        let from = log.metadata()?.len().saturating_sub(limits::MACHINE_LOG_BYTES_MAX as u64);
        log.seek(std::io::SeekFrom::Start(from))?;
        let mut end = Vec::new();
        log.take(limits::MACHINE_LOG_BYTES_MAX as u64).read_to_end(&mut end)?;
        Ok::<_, std::io::Error>(end)
    };
    read().unwrap_or_default()
}
