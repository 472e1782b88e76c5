//! What a model says while it works.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How much of a log is kept, from its end.
pub const LOG_TAIL_BYTES_MAX: usize = 16 * 1024;
/// Largest preview, bytes.
const PREVIEW_BYTES_MAX: usize = 40 * 1024;
/// Longest note of a progress report, in characters.
const NOTE_CHARS_MAX: usize = 200;

/// The state of a piece of work as its model reports it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// From 0 to 1.
    pub progress: f64,
    /// What it does now, for people.
    pub note: String,
    /// How the result looks so far: a data URL of a small picture, or empty.
    pub preview: String,
    log: String,
    /// Since when it stands still.
    held_since: Option<Instant>,
    held_before: Duration,
}

impl Snapshot {
    /// Whether it stands still between two of its steps.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// How long it stood still in all, until now.
    #[must_use]
    pub fn held(&self) -> Duration {
        self.held_before + self.held_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The last [`LOG_TAIL_BYTES_MAX`] bytes of the log.
    #[must_use]
    pub fn log_tail(&self) -> &str {
        tail(&self.log)
    }
}

/// Where a runtime puts what the model says; whoever holds the receiver reads the newest state.
#[derive(Debug, Clone)]
pub struct Reporter(watch::Sender<Snapshot>);

impl Reporter {
    /// A reporter of nothing yet, and its reader.
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<Snapshot>) {
        let (sender, receiver) = watch::channel(Snapshot::default());
        (Self(sender), receiver)
    }

    /// Progress from 0 to 1; what is no number is not believed.
    pub fn progress(&self, fraction: f64, note: &str) {
        if fraction.is_nan() {
            return;
        }
        self.0.send_modify(|snapshot| {
            snapshot.progress = fraction.clamp(0.0, 1.0);
            snapshot.note = note.chars().take(NOTE_CHARS_MAX).collect();
        });
    }

    /// A data URL of a small picture; a larger one is not shown.
    pub fn preview(&self, picture: String) {
        if picture.len() <= PREVIEW_BYTES_MAX && picture.starts_with("data:image/") {
            self.0.send_modify(|snapshot| snapshot.preview = picture);
        }
    }

    /// It stands still from now on, or goes on.
    pub(crate) fn hold(&self, held: bool) {
        self.0.send_modify(|snapshot| {
            let before = snapshot.held();
            (snapshot.held_before, snapshot.held_since) = (before, held.then(Instant::now));
        });
    }

    /// One line of the log.
    pub fn log(&self, line: &str) {
        self.0.send_modify(|snapshot| {
            let log = &mut snapshot.log;
            log.push_str(tail(line));
            log.push('\n');
            // Cut rarely: each cut moves what is left.
            if log.len() > 2 * LOG_TAIL_BYTES_MAX {
                let start = log.len() - tail(log).len();
                log.drain(..start);
            }
        });
    }

    /// The log so far, for messages about what went wrong.
    pub(crate) fn last_log_line(&self) -> Option<String> {
        let snapshot = self.0.borrow();
        snapshot.log.lines().rev().find(|line| !line.trim().is_empty()).map(crate::message)
    }
}

fn tail(text: &str) -> &str {
    let mut start = text.len().saturating_sub(LOG_TAIL_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_end() {
        let (report, reader) = Reporter::new();
        for line in 0..20_000 {
            report.log(&format!("line {line} ünïcode"));
        }
        let snapshot = reader.borrow();
        assert!(snapshot.log_tail().len() <= LOG_TAIL_BYTES_MAX);
        assert!(snapshot.log.len() <= 2 * LOG_TAIL_BYTES_MAX);
        assert!(snapshot.log_tail().ends_with("line 19999 ünïcode\n"));
    }

    #[test]
    fn progress_that_makes_no_sense_is_bounded() {
        let (report, reader) = Reporter::new();
        report.progress(7.0, "");
        assert_eq!(reader.borrow().progress, 1.0);
        report.progress(f64::NAN, "");
        assert_eq!(reader.borrow().progress, 1.0);
        report.progress(-3.0, &"x".repeat(5_000));
        assert_eq!(reader.borrow().progress, 0.0);
        assert_eq!(reader.borrow().note.len(), NOTE_CHARS_MAX);
    }
}
