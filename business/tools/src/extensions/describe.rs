//! Asks an extension's own Python what the tool is. It runs in a process of its own, with a cleared environment and
//! a limit on time and words: what people write may do anything, and may never end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::ExtensionProblem;

/// Longest time that importing the file may take.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Characters of a message that are kept.
const MESSAGE_CHARS_MAX: usize = 2_000;
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the library says about a file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Manifest { manifest: Box<Described> },
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
    /// Older libraries say nothing of it.
    #[serde(default)]
    pub(super) pausable: bool,
    #[serde(default)]
    pub(super) batch: Option<crate::manifest::Batch>,
}

/// Describes the tool in `file` of `folder`, which also holds the library.
pub(super) async fn describe(
    python: &Path,
    folder: &Path,
    file: &str,
) -> Result<Described, ExtensionProblem> {
    let said = python_says(python, folder, &["backlot", "describe", file], None).await;
    let (answer, words) = said.map_err(|message| in_file(file, message, None))?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Manifest { manifest }) => Ok(*manifest),
        Ok(Answer::Error { error, line }) => Err(in_file(file, error, line)),
        Err(error) => {
            let words = String::from_utf8_lossy(&words);
            let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(in_file(file, format!("its description cannot be read: {error}. {last}"), None))
        }
    }
}

/// Runs a module of the library that `folder` holds; what it says on its two streams, or why it does not.
pub(super) async fn python_says(
    python: &Path,
    folder: &Path,
    module: &[&str],
    input: Option<Vec<u8>>,
) -> Result<(Vec<u8>, Vec<u8>), String> {
    let mut command = Command::new(python);
    command
        .args(["-B", "-m"])
        .args(module)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into()))
        .env("HOME", folder)
        .env("LANG", "C.UTF-8")
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|error| format!("{} does not start: {error}", python.display()))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("the Python process has no streams".to_owned());
    };
    let stdin = child.stdin.take();
    let (mut answer, mut words) = (Vec::new(), Vec::new());
    let (mut stdout, mut stderr) = (stdout.take(ANSWER_BYTES_MAX), stderr.take(ANSWER_BYTES_MAX));
    let feeding = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A process that does not read breaks the pipe; what it says counts all the same.
            let _ = stdin.write_all(&input).await;
        }
    };
    let reading = async {
        let ((), _, _) =
            tokio::join!(feeding, stdout.read_to_end(&mut answer), stderr.read_to_end(&mut words));
        child.wait().await
    };
    match tokio::time::timeout(TIME_MAX, reading).await {
        Ok(_) => Ok((answer, words)),
        Err(_) => Err(format!("it took longer than {} s", TIME_MAX.as_secs())),
    }
}

fn in_file(file: &str, message: String, line: Option<u32>) -> ExtensionProblem {
    let message = message.trim().chars().take(MESSAGE_CHARS_MAX).collect();
    ExtensionProblem { message, file: Some(file.to_owned()), line }
}
