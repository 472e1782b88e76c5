//! What a process says: JSON lines about one piece of work, or about several of one call by their numbers.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use serde::Deserialize;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::Instant;

use crate::lines::{Line, Lines};
use crate::process::ended;
use crate::{Failure, Output, Reporter, message, outputs};

/// One piece of work of a call.
pub(crate) struct Member<'a> {
    report: &'a Reporter,
    output_dir: PathBuf,
    result: Option<Result<Vec<Output>, Failure>>,
}

impl<'a> Member<'a> {
    pub(crate) fn new(report: &'a Reporter, output_dir: PathBuf) -> Self {
        Self { report, output_dir, result: None }
    }
}

/// A conversation.
pub(crate) struct Talk<'a> {
    members: Vec<Member<'a>>,
    stdout: Lines<ChildStdout>,
    stderr: Lines<ChildStderr>,
    is_stdout_open: bool,
    is_stderr_open: bool,
    /// What it says of itself.
    pub(crate) stands_still: bool,
    /// Since when it stands still as it was told to.
    pub(crate) held_since: Option<Instant>,
}

impl Failure {
    /// The same for each of several in one call, where nobody knows whose fault it was.
    pub(crate) fn of_all(&self, count: usize) -> Self {
        match self {
            Self::Canceled => Self::Canceled,
            Self::Lost(why) => Self::Lost(why.clone()),
            Self::Start { .. } => Self::Lost(self.to_string()),
            other if count > 1 => Self::Together { count, why: other.to_string() },
            Self::TimedOut { limit } => Self::TimedOut { limit: *limit },
            Self::InvalidInput(why) => Self::InvalidInput(why.clone()),
            other => Self::Model(other.to_string()),
        }
    }
}

impl<'a> Talk<'a> {
    pub(crate) fn new(members: Vec<Member<'a>>, stdout: ChildStdout, stderr: ChildStderr) -> Self {
        let (stdout, stderr) = (Lines::new(stdout), Lines::new(stderr));
        let (is_stdout_open, is_stderr_open) = (true, true);
        Self {
            members,
            stdout,
            stderr,
            is_stdout_open,
            is_stderr_open,
            stands_still: false,
            held_since: None,
        }
    }

    /// Whether each has its result.
    pub(crate) fn is_done(&self) -> bool {
        self.members.iter().all(|member| member.result.is_some())
    }

    pub(crate) fn hold(&self, held: bool) {
        self.members.iter().for_each(|member| member.report.hold(held));
    }

    /// A line of the log of all.
    pub(crate) fn log(&self, text: &str) {
        self.members.iter().for_each(|member| member.report.log(text));
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_stdout_open || self.is_stderr_open
    }

    /// One line of either stream; waits for ever where both have ended.
    pub(crate) async fn hear(&mut self) {
        tokio::select! {
            line = self.stdout.next(), if self.is_stdout_open => match line {
                Some(line) => self.said(line),
                None => self.is_stdout_open = false,
            },
            line = self.stderr.next(), if self.is_stderr_open => match line {
                Some(Line::Whole(text) | Line::Cut(text)) => self.log(&text),
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
                return self.log(&format!("{shown}… (a line too long to be read)"));
            }
        };
        let Ok(said) = serde_json::from_str::<Said>(&text) else {
            return self.log(&text);
        };
        if said.is_empty() {
            return self.log(&text);
        }
        if let Some(paused) = said.paused {
            self.stands_still = paused;
        }
        let count = self.members.len();
        match said.member {
            Some(number) => match self.members.get_mut(number) {
                Some(member) => member.hears(&said, 1),
                None => self.log(&text),
            },
            // Without a number it is about all of them, and outputs are somebody's.
            None if count > 1 && said.output.is_some() => self.log(&text),
            None => self.members.iter_mut().for_each(|member| member.hears(&said, count)),
        }
    }

    /// What came of each.
    pub(crate) fn conclude(self, status: ExitStatus, is_stopped: bool) -> Vec<Result<Vec<Output>, Failure>> {
        let (how, is_killed) = ended(status);
        let count = self.members.len();
        let conclude = |member: Member<'_>| match member.result {
            Some(Err(failure)) => Err(failure),
            // The result is a process's last word: how it was ended afterwards takes nothing away.
            Some(Ok(files)) if status.success() || is_stopped || is_killed => Ok(files),
            // What others of the call did to the process takes nothing away either.
            Some(Ok(files)) if count > 1 => Ok(files),
            Some(Ok(_)) => Err(Failure::Model(format!("{how} after it had given a result"))),
            None if is_killed => Err(Failure::Lost(how.clone())),
            None => {
                let why = match member.report.last_log_line() {
                    Some(line) => message(&format!("{how} without a result: {line}")),
                    None => format!("{how} without a result"),
                };
                Err(Failure::Model(why).of_all(count))
            }
        };
        self.members.into_iter().map(conclude).collect()
    }
}

impl Member<'_> {
    /// What the process says about this one, or about so many of its call.
    fn hears(&mut self, said: &Said, count: usize) {
        if let Some(fraction) = said.progress {
            self.report.progress(fraction, said.note.as_deref().unwrap_or_default());
        }
        if let Some(picture) = &said.preview {
            self.report.preview(picture.clone());
        }
        if let Some(log) = &said.log {
            self.report.log(log);
        }
        if let Some(error) = &said.error {
            let error = message(error);
            let failure = match said.class.as_deref() {
                Some("invalid_input") => Failure::InvalidInput(error),
                Some(_) | None => Failure::Model(error),
            };
            // One that has its result keeps it.
            if count == 1 {
                self.result = Some(Err(failure));
            } else if self.result.is_none() {
                self.result = Some(Err(failure.of_all(count)));
            }
        } else if let Some(claims) = &said.output {
            let files = claims.iter().map(|claim| claim.check(&self.output_dir)).collect();
            self.result = Some(Result::<Vec<Output>, Failure>::and_then(files, outputs::count));
        }
    }
}

/// One line of standard output.
#[derive(Deserialize)]
struct Said {
    /// Which one of the call.
    member: Option<usize>,
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
