//! The command `backlot simulate`.

use std::{
    io::Write,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use thiserror::Error;

use crate::{
    baselines,
    engine::setup::SLO,
    loads::Loads,
    measure::{self, Figures},
    outcome::Run,
    search::{Question, SearchError},
    workload::{ReadError, Workload, read_loads, read_requests},
};

/// Fleets that `--search` tries.
const GPUS_MAX: u32 = 60;
/// Seeds of one call.
const SEEDS_MAX: u64 = 1_000;
/// The largest fleet of one call.
const FLEET_MAX: u32 = 10_000;

/// Replays a workload under our scheduler and what it is compared with.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Requests (CSV: `arrival_s,tenant,task,model,adapter,images,steps,warm_ms`).
    #[arg(long, value_name = "FILE")]
    pub requests: Option<PathBuf>,
    /// Quantiles of loads (CSV: `component,quantile,ms`).
    #[arg(long, value_name = "FILE")]
    pub loads: Option<PathBuf>,
    /// Folds arrivals: time modulo so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub fold: Option<u64>,
    /// Base models that may be resident on a GPU.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub slots: u32,
    /// GPUs.
    #[arg(long, value_name = "N", conflicts_with = "search", value_parser = clap::value_parser!(u32).range(1..=i64::from(FLEET_MAX)))]
    pub gpus: Option<u32>,
    /// Finds the smallest fleet with a p99 wait of at most 30 s and 95 % of requests done within 60 s of arrival.
    #[arg(long)]
    pub search: bool,
    /// The policy; `list` prints their names.
    #[arg(long, value_name = "NAME", default_value = "backlot", conflicts_with = "all")]
    pub policy: String,
    /// All policies.
    #[arg(long)]
    pub all: bool,
    /// Seeds 1 to N.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
    /// Prints one JSON object a policy and seed.
    #[arg(long)]
    pub json: bool,
    /// Writes every assignment, load and eviction with its time (JSON lines; one policy and one seed).
    #[arg(long, value_name = "FILE")]
    pub decisions: Option<PathBuf>,
    /// Lets a GPU load one model while it computes with another. Figures are not comparable with those without.
    #[arg(long)]
    pub overlap: bool,
    /// Loads take this share of what is drawn.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub load_factor: f64,
}

/// Why the command failed.
#[derive(Debug, Error)]
pub enum SimulateError {
    /// An input file is not right.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Flags do not fit together.
    #[error("{0}")]
    Usage(String),
    /// There is no result.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Something could not be written.
    #[error("{what} cannot be written")]
    Write {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Runs the command; results go to `out`, progress to standard error.
pub fn simulate(args: &SimulateArgs, out: &mut dyn Write) -> Result<(), SimulateError> {
    let write = |source| SimulateError::Write { what: "the result".to_owned(), source };
    if args.policy == "list" {
        for name in baselines::NAMES {
            writeln!(out, "{name}").map_err(write)?;
        }
        return Ok(());
    }
    let (workload, loads) = inputs(args)?;
    let results = runs(args, &workload, &loads)?;
    if !args.json {
        writeln!(out, "{HEADER}").map_err(write)?;
    }
    for (run, figures) in &results {
        if args.json {
            let line = serde_json::to_string(figures).map_err(|error| write(error.into()))?;
            writeln!(out, "{line}").map_err(write)?;
        } else {
            writeln!(out, "{}", table_line(figures)).map_err(write)?;
        }
        if let Some(path) = &args.decisions {
            write_decisions(path, run)?;
        }
    }
    Ok(())
}

const HEADER: &str =
    "policy           seed gpus  wait p50     p99     max  ≤60 s  swaps  busy h  jain  holds";

fn table_line(figures: &Figures) -> String {
    format!(
        "{:16} {:4} {:4} {:8.2}s {:6.1}s {:6.1}s {:5.1}% {:6.3} {:7.1} {:5.3}  {}",
        figures.policy,
        figures.seed,
        figures.gpus,
        figures.wait_p50_s,
        figures.wait_p99_s,
        figures.wait_max_s,
        figures.slo60 * 100.0,
        figures.swaps_per_request,
        figures.busy_gpu_hours,
        figures.jain,
        if figures.holds { "yes" } else { "no" }
    )
}

fn inputs(args: &SimulateArgs) -> Result<(Workload, Loads), SimulateError> {
    let usage = |text: &str| SimulateError::Usage(text.to_owned());
    let requests = args.requests.as_deref().ok_or_else(|| usage("--requests is missing"))?;
    let loads = args.loads.as_deref().ok_or_else(|| usage("--loads is missing"))?;
    if !(0.001..=1000.0).contains(&args.load_factor) {
        return Err(usage("--load-factor must lie between 0.001 and 1000"));
    }
    if args.decisions.is_some() && (args.all || args.seeds > 1) {
        return Err(usage("--decisions takes one policy and one seed"));
    }
    Ok((read_requests(requests)?, read_loads(loads)?))
}

/// All runs that are asked for, several at once, in the order of policy and seed.
fn runs(
    args: &SimulateArgs,
    workload: &Workload,
    loads: &Loads,
) -> Result<Vec<(Run, Figures)>, SimulateError> {
    let policies: Vec<&str> = if args.all { baselines::NAMES.to_vec() } else { vec![&args.policy] };
    let tasks: Vec<(&str, u64)> = policies
        .iter()
        .flat_map(|policy| (0..args.seeds).map(move |nth| (*policy, args.seed.wrapping_add(nth))))
        .collect();
    let bar = progress(tasks.len() as u64);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<(Run, Figures), SearchError>>>> =
        Mutex::new(tasks.iter().map(|_| None).collect());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(tasks.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((policy, seed)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let at = tasks.iter().position(|task| task == &(*policy, *seed));
                    bar.set_message(format!("{policy}, seed {seed}"));
                    let result = one(args, policy, *seed, workload, loads);
                    bar.inc(1);
                    if let (Some(at), Ok(mut done)) = (at, done.lock()) {
                        done[at] = Some(result);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let done = done.into_inner().unwrap_or_default();
    Ok(done.into_iter().flatten().collect::<Result<Vec<_>, SearchError>>()?)
}

fn one(
    args: &SimulateArgs,
    policy: &str,
    seed: u64,
    workload: &Workload,
    loads: &Loads,
) -> Result<(Run, Figures), SearchError> {
    let question = Question {
        policy,
        seed,
        slots: args.slots,
        overlap: args.overlap,
        load_milli: (args.load_factor * 1000.0) as i64,
        record: args.decisions.is_some(),
    };
    let folded = workload.folded(args.fold, seed);
    let run = match args.gpus {
        Some(gpus) => question.run(gpus, &folded, loads, None)?,
        None => question.smallest(&folded, loads, SLO, GPUS_MAX)?,
    };
    let figures = measure::figures(&run, &folded, SLO);
    Ok((run, figures))
}

fn progress(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn write_decisions(path: &std::path::Path, run: &Run) -> Result<(), SimulateError> {
    let write = |source| SimulateError::Write { what: path.display().to_string(), source };
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(write)?);
    for decision in &run.decisions {
        serde_json::to_writer(&mut file, decision).map_err(|error| write(error.into()))?;
        file.write_all(b"\n").map_err(write)?;
    }
    file.flush().map_err(write)
}
