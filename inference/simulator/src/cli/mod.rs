//! The command `backlot simulate`.

mod more;
mod overflow;

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
    engine::setup::{BatchingSetup, DeadlineSetup, SLO},
    loads::Loads,
    measure::{self, Figures},
    outcome::Run,
    search::{Question, SearchError},
    workload::{ReadError, Workload, generate, read_loads, read_requests, synthetic_loads},
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
    /// Requests (CSV: `arrival_s,tenant,task,model,adapter,images,steps,warm_ms`). Without it a synthetic workload runs.
    #[arg(long, value_name = "FILE")]
    pub requests: Option<PathBuf>,
    /// Quantiles of loads (CSV: `component,quantile,ms`). Without it synthetic ones are used.
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
    /// Writes an HTML page with plots into this folder.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Prints what no policy can beat, and with --all how far ours is from it.
    #[arg(long)]
    pub bounds: bool,
    /// Runs a scenario instead and prints one JSON object a row.
    #[arg(long, value_name = "NAME", value_parser = ["s1", "s2", "s3", "s4", "s5", "fair", "overflow"])]
    pub scenario: Option<String>,
    /// Hours that the scenario fair lasts: it takes some until what tenants ask for is known.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=168))]
    pub hours: u32,
    /// Prices, spot availability and distances for s2: a folder with gpu_prices.csv, spot_availability.csv and
    /// region_rtt_ms.csv. Without it the market is synthetic.
    #[arg(long, value_name = "DIR")]
    pub market: Option<PathBuf>,
    /// With --market: all nine traced spot zones, each with sixteen machines or none, in place of one zone a region.
    #[arg(long, requires = "market")]
    pub zones: bool,
    /// Writes the synthetic workload and ends. Its loads stand beside it: for day.csv in day.loads.csv.
    #[arg(long, value_name = "FILE")]
    pub generate: Option<PathBuf>,
    /// The synthetic workload's own seed, apart from the seed of runs.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub generate_seed: u64,
    /// Requests of the synthetic workload.
    #[arg(long, value_name = "N", default_value_t = 13_600, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub generate_requests: u32,
    /// Share of clips of 1 to 10 minutes in the synthetic workload.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub video: f64,
    /// Lets every model compute up to --batch-max jobs in one call, where each further one adds this share of what one takes:
    /// synthetic, because the trace has no such calls. The scheduler learns the share.
    #[arg(long, value_name = "SHARE")]
    pub batch: Option<f64>,
    /// This share of the jobs has a deadline: ten seconds and two to six times their compute after their arrival. Synthetic.
    #[arg(long, value_name = "SHARE")]
    pub deadlines: Option<f64>,
    /// The policy is not told of them.
    #[arg(long, requires = "deadlines")]
    pub deadlines_untold: bool,
    /// Jobs in one call.
    #[arg(long, value_name = "N", requires = "batch", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub batch_max: u32,
    /// A third party.
    #[command(flatten)]
    pub overflow: overflow::OverflowArgs,
    /// Converts an original GenTD26 request trace to the columns above, writes it to --to and ends.
    #[arg(long, value_name = "FILE", requires = "to")]
    pub convert: Option<PathBuf>,
    /// Converts original latencies of base models and adapters (BASE,LORA) to quantiles, writes them to --to and ends.
    #[arg(
        long,
        value_name = "FILES",
        requires = "to",
        value_delimiter = ',',
        num_args = 2,
        conflicts_with = "convert"
    )]
    pub convert_loads: Option<Vec<PathBuf>>,
    /// Where a conversion goes.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Runs so many small cases with faults, each of its own seed; a failure is made small and shown.
    #[arg(long, value_name = "N")]
    pub stress: Option<u64>,
    /// Runs one case that --stress has shown, and prints its events.
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
}

impl SimulateArgs {
    fn batching(&self) -> Option<BatchingSetup> {
        let more_permille = (self.batch? * 1000.0) as i64;
        Some(BatchingSetup { max: self.batch_max, more_permille })
    }

    /// What is asked of a policy on machines as they are named here, without what runs alone have.
    fn question<'a>(&self, policy: &'a str, seed: u64) -> Question<'a> {
        let load_milli = (self.load_factor * 1000.0) as i64;
        Question { slots: self.slots, overlap: self.overlap, load_milli, ..Question::new(policy, seed) }
    }
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
    /// A case with faults did not hold.
    #[error("{0}")]
    Case(String),
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
    if more::instead(args, out)? {
        return Ok(());
    }
    let (workload, loads) = inputs(args)?;
    if let Some(name) = &args.scenario {
        return more::scenario(args, name, &workload, &loads, out);
    }
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
    if args.bounds {
        more::bounds(args, &results, &workload, out)?;
    }
    if let Some(folder) = &args.report {
        more::report(args, folder, &results, &workload, &loads)?;
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
    if !(0.001..=1000.0).contains(&args.load_factor) {
        return Err(usage("--load-factor must lie between 0.001 and 1000"));
    }
    if args.decisions.is_some() && (args.all || args.seeds > 1) {
        return Err(usage("--decisions takes one policy and one seed"));
    }
    if !(0.0..=1.0).contains(&args.video) {
        return Err(usage("--video must lie between 0 and 1"));
    }
    if args.batch.is_some_and(|share| !(0.0..=10.0).contains(&share)) {
        return Err(usage("--batch must lie between 0 and 10"));
    }
    args.overflow.check(&args.policy, args.all).map_err(SimulateError::Usage)?;
    if args.deadlines.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return Err(usage("--deadlines must lie between 0 and 1"));
    }
    let workload = match &args.requests {
        Some(path) => read_requests(path)?,
        None => generate(&more::recipe(args)),
    };
    let loads = args.loads.as_deref().map_or_else(|| Ok(synthetic_loads()), read_loads)?;
    Ok((workload, loads))
}

/// A run with its figures, or why there is none.
type Outcome = Result<(Run, Figures), SearchError>;

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
    let done: Mutex<Vec<Option<Outcome>>> = Mutex::new(tasks.iter().map(|_| None).collect());
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
        record: args.decisions.is_some() || (args.report.is_some() && policy == more::first_policy(args)),
        batching: args.batching(),
        deadlines: args
            .deadlines
            .map(|share| DeadlineSetup { permille: (share * 1000.0) as u32, told: !args.deadlines_untold }),
        outside: args.overflow.setup(),
        ..args.question(policy, seed)
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
