//! What the demo shows: progress for people, or one JSON object a line for programs.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

/// Shows steps as they happen and collects the summary.
pub(super) struct Report {
    json: bool,
    began: Instant,
    bar: ProgressBar,
    step_began: Instant,
    summary: Map<String, Value>,
}

impl Report {
    /// A report for programs (`json`) or for people.
    pub(super) fn new(json: bool) -> Self {
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner:.yellow} {wide_msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { json, began: Instant::now(), bar, step_began: Instant::now(), summary: Map::new() }
    }

    /// Says what is being done now.
    pub(super) fn doing(&mut self, what: &str) {
        self.step_began = Instant::now();
        self.bar.set_message(what.to_owned());
    }

    /// Shows a run's phase while it goes.
    pub(super) fn progress(&self, run: &Value) {
        let phase = run["phase"].as_str().or(run["state"].as_str()).unwrap_or("waiting");
        let percent = run["progress"].as_f64().unwrap_or(0.0) * 100.0;
        self.bar.set_message(format!("{} · {phase} · {percent:.0} %", run["tool"].as_str().unwrap_or("run")));
    }

    /// Ends a step: its name, a sentence, and facts for programs.
    pub(super) fn done(&self, step: &str, sentence: &str, facts: Value) {
        let millis = self.step_began.elapsed().as_millis();
        if self.json {
            let mut line = json!({ "step": step, "ok": true, "ms": millis });
            if let (Some(line), Value::Object(facts)) = (line.as_object_mut(), facts) {
                line.extend(facts);
            }
            println!("{line}");
        } else {
            self.bar.println(format!("✓ {step:<18} {sentence} ({millis} ms)"));
        }
    }

    /// Keeps a value for the summary.
    pub(super) fn keep(&mut self, key: &str, value: impl Into<Value>) {
        self.summary.insert(key.to_owned(), value.into());
    }

    /// Ends the report: a table for people, an object with `"step":"summary"` for programs.
    pub(super) fn finish(mut self) {
        self.bar.finish_and_clear();
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.keep("wall_ms", millis);
        if self.json {
            let mut line = Map::from_iter([("step".to_owned(), json!("summary"))]);
            line.extend(self.summary);
            println!("{}", Value::Object(line));
            return;
        }
        println!();
        for (key, value) in &self.summary {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            println!("  {key:<16} {shown}");
        }
    }
}
