//! Asks an extension's own Python what the tool is. It runs in a process of its own, with a cleared environment and
//! a limit on time and words: what people write may do anything, and may never end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::ExtensionProblem;
use super::folder::problem;

/// Longest time that importing the file may take.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// Characters of a message that are kept.
const MESSAGE_CHARS_MAX: usize = 2_000;
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the library says about a file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Manifest { manifest: Described },
    Error { error: String, line: Option<u32> },
}

/// A tool, as its file describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    #[serde(rename = "name")]
    pub(super) _function: String,
    pub(super) label: String,
    pub(super) description: String,
    pub(super) category: String,
    pub(super) input: Value,
    pub(super) makes: Vec<String>,
    pub(super) price: Vec<crate::price::Term>,
    pub(super) seconds: f64,
    pub(super) timeout: u32,
    pub(super) memory_mib: u32,
    pub(super) gpus: u32,
    pub(super) max_outputs: u32,
}

/// Describes the tool in `file` of `folder`, which also holds the library.
pub(super) async fn describe(
    python: &Path,
    folder: &Path,
    file: &str,
) -> Result<Described, ExtensionProblem> {
    let mut command = Command::new(python);
    command
        .args(["-B", "-m", "backlot", "describe", file])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into()))
        .env("HOME", folder)
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|error| problem(format!("{} does not start: {error}", python.display())))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(problem("the Python process has no streams"));
    };
    let (mut answer, mut words) = (Vec::new(), Vec::new());
    let (mut stdout, mut stderr) = (stdout.take(ANSWER_BYTES_MAX), stderr.take(ANSWER_BYTES_MAX));
    let reading = async {
        let (_, _) = tokio::join!(stdout.read_to_end(&mut answer), stderr.read_to_end(&mut words));
        child.wait().await
    };
    let ended = tokio::time::timeout(TIME_MAX, reading).await;
    if ended.is_err() {
        let seconds = TIME_MAX.as_secs();
        return Err(in_file(file, format!("it took longer than {seconds} s to be imported"), None));
    }
    match serde_json::from_slice(&answer) {
        Ok(Answer::Manifest { manifest }) => Ok(manifest),
        Ok(Answer::Error { error, line }) => Err(in_file(file, error, line)),
        Err(error) => {
            let words = String::from_utf8_lossy(&words);
            let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(in_file(file, format!("its description cannot be read: {error}. {last}"), None))
        }
    }
}

fn in_file(file: &str, message: String, line: Option<u32>) -> ExtensionProblem {
    let message = message.trim().chars().take(MESSAGE_CHARS_MAX).collect();
    ExtensionProblem { message, file: Some(file.to_owned()), line }
}
