//! The parent: starts a child, waits for its answer, ends it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::{ANSWER_BYTES_MAX, Answer, Facts, Refusal, Request};
use crate::config::ProbeConfig;
use crate::media::Media;

/// The hidden subcommand of the one binary.
const SUBCOMMAND: &str = "probe-child";

/// What went wrong with a probe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// The file is to blame.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The machine is: the child could not be started.
    #[error("the child that looks at media cannot be started")]
    Start(#[source] std::io::Error),
}

/// Starts children, a few at a time.
pub(crate) struct Prober {
    config: ProbeConfig,
    command: Vec<String>,
    slots: Semaphore,
    ffprobe: Option<String>,
    ffmpeg: Option<String>,
}

impl Prober {
    pub(crate) fn new(config: ProbeConfig) -> std::io::Result<Self> {
        let command = if config.command.is_empty() {
            let program = std::env::current_exe()?;
            vec![program.to_string_lossy().into_owned(), SUBCOMMAND.to_owned()]
        } else {
            config.command.clone()
        };
        let slots = Semaphore::new(config.concurrency.clamp(1, 64));
        Ok(Self { command, slots, ffprobe: program("ffprobe"), ffmpeg: program("ffmpeg"), config })
    }

    /// What the file at `path` holds.
    pub(crate) async fn probe(&self, path: &Path, media: Media) -> Result<Facts, ProbeError> {
        let request = Request {
            path: path.to_string_lossy().into_owned(),
            media,
            cpu_s: self.config.cpu_s,
            memory_bytes: self.config.memory_bytes,
            pixels_max: self.config.pixels_max,
            preview_px: self.config.preview_px,
            ffprobe: self.ffprobe.clone(),
            ffmpeg: self.ffmpeg.clone(),
        };
        // Closed never: the semaphore lives as long as this does.
        let _slot = self.slots.acquire().await.ok();
        let began = std::time::Instant::now();
        let mut running = Running(self.start()?);
        let deadline = Duration::from_secs(self.config.timeout_s);
        let answered = tokio::time::timeout(deadline, converse(&mut running.0, &request)).await;
        running.end().await;
        metrics::histogram!("backlot_storage_probe_seconds", "class" => media.class().as_str())
            .record(began.elapsed().as_secs_f64());
        match answered {
            Ok(Some(Answer::Facts(facts))) => Ok(facts),
            Ok(Some(Answer::Refused(refusal))) => Err(refusal.into()),
            Ok(None) => Err(Refusal::Unreadable("decoding it failed".to_owned()).into()),
            Err(_) => Err(Refusal::Unreadable("decoding it took too long".to_owned()).into()),
        }
    }

    fn start(&self) -> Result<Child, ProbeError> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| ProbeError::Start(std::io::Error::other("the command is empty")))?;
        Command::new(program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(ProbeError::Start)
    }
}

/// `None` where the child died, or answered nothing that can be read.
async fn converse(child: &mut Child, request: &Request) -> Option<Answer> {
    let mut input = child.stdin.take()?;
    let output = child.stdout.take()?;
    // A child that dies before it has read shows in its answer.
    let _ = input.write_all(&serde_json::to_vec(request).ok()?).await;
    drop(input);
    let mut line = Vec::new();
    output.take(ANSWER_BYTES_MAX).read_to_end(&mut line).await.ok()?;
    serde_json::from_slice(&line).ok()
}

/// A child that is ended with everything it started, however its probe ends.
struct Running(Child);

impl Running {
    /// Kills its session, where it made one, and itself. Not once it has been waited for: its number may
    /// be another's by then.
    fn kill(&self) {
        let number = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = number.map(Pid::from_raw) {
            let _ = killpg(pid, Signal::SIGKILL);
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    async fn end(mut self) {
        self.kill();
        let _ = self.0.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The absolute path of a program, by this process's PATH.
fn program(name: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let found: PathBuf =
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())?;
    found.is_absolute().then(|| found.to_string_lossy().into_owned())
}
