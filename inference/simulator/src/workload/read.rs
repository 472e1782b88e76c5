//! Reads the columns of the traces. A broken row is an error with its line.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    str::FromStr,
};

use thiserror::Error;

use super::{Names, Request, Task, Workload};
use crate::loads::{Loads, Quantiles};

/// Rows that a file may have.
const ROWS_MAX: usize = 5_000_000;
/// The latest arrival, in seconds: ten years.
const ARRIVAL_S_MAX: f64 = 315_360_000.0;
/// The longest compute or load, in milliseconds: a day.
const DURATION_MS_MAX: f64 = 86_400_000.0;
/// Adapters that one request may name.
const ADAPTERS_MAX: usize = 64;

/// Why a file could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be opened or read.
    #[error("{path} cannot be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// One row is not what its columns say.
    #[error("{path}, line {line}: {problem}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, the first is 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Rows of a component are missing or not ascending.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// A CSV file with a header, without quotes: names are ids.
pub(crate) struct Table {
    path: PathBuf,
    lines: std::io::Lines<BufReader<File>>,
    columns: HashMap<String, usize>,
    line: usize,
}

/// One row and where it stands.
pub(crate) struct Row<'a> {
    table: &'a Table,
    fields: Vec<&'a str>,
}

impl Table {
    pub(crate) fn open(path: &Path, needed: &[&str]) -> Result<Self, ReadError> {
        let io = |source| ReadError::Io { path: path.to_owned(), source };
        let mut lines = BufReader::new(File::open(path).map_err(io)?).lines();
        let header = lines.next().transpose().map_err(io)?.unwrap_or_default();
        let names = header.trim_start_matches('\u{feff}').trim_end().split(',').enumerate();
        let columns: HashMap<String, usize> = names.map(|(at, name)| (name.trim().to_owned(), at)).collect();
        if let Some(missing) = needed.iter().find(|name| !columns.contains_key(**name)) {
            let problem = format!("the column {missing} is missing from the header");
            return Err(ReadError::Row { path: path.to_owned(), line: 1, problem });
        }
        Ok(Self { path: path.to_owned(), lines, columns, line: 1 })
    }

    /// The next line that is not empty.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>, ReadError> {
        loop {
            let Some(text) = self.lines.next() else { return Ok(None) };
            self.line += 1;
            let text = text.map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
            if self.line > ROWS_MAX + 1 {
                return Err(self.problem(format!("more than {ROWS_MAX} rows")));
            }
            if !text.trim().is_empty() {
                return Ok(Some(text));
            }
        }
    }

    pub(crate) fn row<'a>(&'a self, text: &'a str) -> Result<Row<'a>, ReadError> {
        let fields: Vec<&str> = text.trim_end_matches('\r').split(',').map(str::trim).collect();
        if fields.len() != self.columns.len() {
            return Err(self.problem(format!(
                "{} fields where the header has {}",
                fields.len(),
                self.columns.len()
            )));
        }
        Ok(Row { table: self, fields })
    }

    pub(crate) fn problem(&self, problem: String) -> ReadError {
        ReadError::Row { path: self.path.clone(), line: self.line, problem }
    }
}

impl Row<'_> {
    pub(crate) fn text(&self, column: &str) -> &str {
        self.table.columns.get(column).map_or("", |at| self.fields[*at])
    }

    pub(crate) fn name(&self, column: &str) -> Result<&str, ReadError> {
        let text = self.text(column);
        if text.is_empty() {
            return Err(self.table.problem(format!("{column} is empty")));
        }
        Ok(text)
    }

    pub(crate) fn number<T: FromStr>(&self, column: &str) -> Result<T, ReadError> {
        let text = self.text(column);
        text.parse().map_err(|_| self.table.problem(format!("{column} is not a number in range: {text:?}")))
    }

    /// A number that is finite, not negative and at most `max`.
    pub(crate) fn amount(&self, column: &str, max: f64) -> Result<f64, ReadError> {
        let value: f64 = self.number(column)?;
        if value.is_finite() && (0.0..=max).contains(&value) {
            return Ok(value);
        }
        Err(self.table.problem(format!("{column} must lie between 0 and {max}, it is {value}")))
    }
}

/// Reads requests: `arrival_s, tenant, task, model, adapter, images, steps, warm_ms`; further columns are ignored.
pub fn read_requests(path: &Path) -> Result<Workload, ReadError> {
    let needed = ["arrival_s", "tenant", "task", "model", "adapter", "images", "steps", "warm_ms"];
    let mut table = Table::open(path, &needed)?;
    let (mut tenants, mut models, mut adapters) = (Names::default(), Names::default(), Names::default());
    let mut requests = Vec::new();
    while let Some(line) = table.next_line()? {
        let row = table.row(&line)?;
        let task = row.name("task")?;
        let names: Vec<&str> = row.text("adapter").split('+').filter(|name| !name.is_empty()).collect();
        if names.len() > ADAPTERS_MAX {
            return Err(table.problem(format!("more than {ADAPTERS_MAX} adapters")));
        }
        let warm_ms = row.amount("warm_ms", DURATION_MS_MAX)?;
        if warm_ms <= 0.0 {
            return Err(table.problem("warm_ms must be above 0".to_owned()));
        }
        requests.push(Request {
            arrival_us: (row.amount("arrival_s", ARRIVAL_S_MAX)? * 1e6) as i64,
            tenant: tenants.number(row.name("tenant")?),
            task: Task::parse(task)
                .ok_or_else(|| table.problem(format!("the task {task:?} is not known")))?,
            model: models.number(row.name("model")?),
            adapters: names.into_iter().map(|name| adapters.number(name)).collect(),
            images: row.number("images")?,
            steps: row.number("steps")?,
            warm_us: (warm_ms * 1e3) as i64,
            region: 0,
        });
    }
    if requests.is_empty() {
        let problem = "there are no requests".to_owned();
        return Err(ReadError::Content { path: path.to_owned(), problem });
    }
    let (tenants, models, adapters) = (tenants.into_list(), models.into_list(), adapters.into_list());
    let mut workload = Workload { requests, tenants, models, adapters };
    workload.sort();
    Ok(workload)
}

/// Reads load quantiles: `component, quantile, ms`, with rows for `base_model` and `lora`.
pub fn read_loads(path: &Path) -> Result<Loads, ReadError> {
    let mut table = Table::open(path, &["component", "quantile", "ms"])?;
    let (mut base, mut lora) = (Vec::new(), Vec::new());
    while let Some(line) = table.next_line()? {
        let row = table.row(&line)?;
        let pair = (row.amount("quantile", 1.0)?, row.amount("ms", DURATION_MS_MAX)?);
        match row.name("component")? {
            "base_model" => base.push(pair),
            "lora" => lora.push(pair),
            _ => {}
        }
    }
    let quantiles = |name: &str, pairs| {
        Quantiles::new(pairs).ok_or_else(|| ReadError::Content {
            path: path.to_owned(),
            problem: format!("quantiles of {name} are missing or do not ascend"),
        })
    };
    Ok(Loads { base: quantiles("base_model", base)?, lora: quantiles("lora", lora)? })
}
