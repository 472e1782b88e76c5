//! What the command does beside running policies: generating, converting, scenarios, bounds, stress, the report.

use std::{
    io::Write,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};

use super::{SimulateArgs, SimulateError, progress};
use crate::{
    baselines, bounds as reference,
    engine::setup::SLO,
    fairness,
    loads::Loads,
    measure::{self, Figures},
    outcome::Run,
    overflow,
    regions::{Market, Regions},
    report::{self, Page, Shown, Sized},
    scenario::Stage,
    stress::{self, Case, Failure},
    workload::{
        RECIPE, Recipe, Workload, convert_loads, convert_requests, generate, synthetic_loads, write_loads,
        write_requests,
    },
};

/// Fleets that the report shows on both sides of ours.
const REPORT_GPUS: u32 = 5;
/// Policies whose fleets the report sweeps.
const REPORT_POLICIES: usize = 4;
/// What scenarios compare where not all are asked for.
const SCENARIO_POLICIES: &[&str] = &["backlot", "b1-fifo-warm", "b7-invoke", "b8-vtc", "b10-affinity"];
/// Seconds of the fold in s2 where none is given: a whole day, so that the regions' days differ.
const REGIONS_FOLD_S: u64 = 86_400;
/// Clips in scenario s5, where nothing else is said, and its fleets: from one that is overloaded at the peak to one that
/// hardly waits.
const VIDEO_SHARE: f64 = 0.3;
const VIDEO_GPUS: [u32; 4] = [24, 28, 32, 36];

fn write_error(path: &Path) -> impl Fn(std::io::Error) -> SimulateError {
    move |source| SimulateError::Write { what: path.display().to_string(), source }
}

fn result_error(source: std::io::Error) -> SimulateError {
    SimulateError::Write { what: "the result".to_owned(), source }
}

/// The policy whose decisions the report shows.
pub(super) fn first_policy(args: &SimulateArgs) -> &str {
    if args.all { baselines::NAMES[0] } else { &args.policy }
}

/// The synthetic workload that is asked for.
pub(super) fn recipe(args: &SimulateArgs) -> Recipe {
    let video_share =
        if args.scenario.as_deref() == Some("s5") && args.video == 0.0 { VIDEO_SHARE } else { args.video };
    Recipe { seed: args.generate_seed, requests: args.generate_requests as usize, video_share, ..RECIPE }
}

/// What is done instead of runs, if anything.
pub(super) fn instead(args: &SimulateArgs, out: &mut dyn Write) -> Result<bool, SimulateError> {
    if let Some(path) = &args.generate {
        write_requests(path, &generate(&recipe(args))).map_err(write_error(path))?;
        let loads = path.with_extension("loads.csv");
        write_loads(&loads, &synthetic_loads()).map_err(write_error(&loads))?;
        return Ok(true);
    }
    if let (Some(from), Some(to)) = (&args.convert, &args.to) {
        write_requests(to, &convert_requests(from)?).map_err(write_error(to))?;
        return Ok(true);
    }
    if let (Some([base, lora]), Some(to)) = (args.convert_loads.as_deref(), &args.to) {
        write_loads(to, &convert_loads(base, lora)?).map_err(write_error(to))?;
        return Ok(true);
    }
    if let Some(count) = args.stress {
        run_stress(args, count, out)?;
        return Ok(true);
    }
    if let Some(path) = &args.replay {
        replay(path, out)?;
        return Ok(true);
    }
    Ok(false)
}

fn run_stress(args: &SimulateArgs, count: u64, out: &mut dyn Write) -> Result<(), SimulateError> {
    let bar = progress(count);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let part = count.div_ceil(threads);
    let held = AtomicU64::new(0);
    let failures: Vec<Failure> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|nth| {
                let (from, until) = ((nth * part).min(count), ((nth + 1) * part).min(count));
                let (bar, held) = (&bar, &held);
                scope.spawn(move || {
                    stress::stress(&args.policy, args.seed + from..args.seed + until, || {
                        held.fetch_add(1, Ordering::Relaxed);
                        bar.inc(1);
                    })
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok().flatten()).collect()
    });
    bar.finish_and_clear();
    if let Some(failure) = failures.first() {
        return Err(SimulateError::Case(failure.text()));
    }
    writeln!(out, "{} cases hold, seeds {} to {}", held.into_inner(), args.seed, args.seed + count - 1)
        .map_err(result_error)
}

fn replay(path: &Path, out: &mut dyn Write) -> Result<(), SimulateError> {
    let text = std::fs::read_to_string(path).map_err(write_error(path))?;
    let case: Case = serde_json::from_str(text.trim())
        .map_err(|error| SimulateError::Usage(format!("{}: {error}", path.display())))?;
    let (log, result) = case.replay();
    write!(out, "{log}").map_err(result_error)?;
    result.map_err(SimulateError::Case)
}

/// Runs a scenario; one JSON object a row.
pub(super) fn scenario(
    args: &SimulateArgs,
    name: &str,
    workload: &Workload,
    loads: &Loads,
    out: &mut dyn Write,
) -> Result<(), SimulateError> {
    if name == "s2" {
        return regions(args, workload, loads, out);
    }
    if name == "overflow" {
        return overflow_sweep(args, workload, loads, out);
    }
    let policies = if args.all { baselines::NAMES } else { SCENARIO_POLICIES };
    let mut written = Ok(());
    let bar = progress(args.seeds);
    for nth in 0..args.seeds {
        let stage = Stage { workload, loads, policies, seed: args.seed + nth };
        let mut row = |value: Value| {
            if written.is_ok() {
                written = writeln!(out, "{value}").and_then(|()| out.flush());
            }
        };
        match name {
            "s1" => stage.burst(row)?,
            "s3" => stage.adapters(row)?,
            "s4" => stage.abuse(row)?,
            "fair" => fairness::sweep(&args.policy, args.hours, stage.seed, loads, |one| {
                row(serde_json::to_value(one).unwrap_or_default());
            })?,
            _ => {
                let fleets = args.gpus.map_or(VIDEO_GPUS.to_vec(), |gpus| vec![gpus]);
                fleets.into_iter().try_for_each(|gpus| stage.video(gpus, &mut row))?;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    written.map_err(result_error)
}

/// Dollars against the size of the fleet, with a third party and without.
fn overflow_sweep(
    args: &SimulateArgs,
    workload: &Workload,
    loads: &Loads,
    out: &mut dyn Write,
) -> Result<(), SimulateError> {
    let mut written = Ok(());
    for nth in 0..args.seeds {
        let seed = args.seed + nth;
        let question = args.question("backlot", seed);
        let folded = workload.folded(args.fold, seed);
        let at = |second: f64| args.overflow.at(0.0, second);
        overflow::sweep(&question, &folded, loads, at, |value| {
            if written.is_ok() {
                written = writeln!(out, "{value}").and_then(|()| out.flush());
            }
        })?;
    }
    written.map_err(result_error)
}

/// Runs S2; its costs become the report's plot.
fn regions(
    args: &SimulateArgs,
    workload: &Workload,
    loads: &Loads,
    out: &mut dyn Write,
) -> Result<(), SimulateError> {
    let (mut written, mut costs) = (Ok(()), Vec::new());
    let bar = progress(args.seeds);
    for nth in 0..args.seeds {
        let seed = args.seed + nth;
        let market = match args.market.as_deref() {
            Some(folder) => Market::read(folder, args.zones)?,
            None => Market::synthetic(seed),
        };
        let (fold_s, slots) = (args.fold.unwrap_or(REGIONS_FOLD_S), args.slots);
        let regions = Regions { workload, loads, market: &market, fold_s, slots, seed };
        let spent = regions.run(|value| {
            if written.is_ok() {
                written = writeln!(out, "{value}").and_then(|()| out.flush());
            }
        });
        if nth == 0 {
            costs = spent;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    written.map_err(result_error)?;
    let Some(folder) = &args.report else { return Ok(()) };
    let about = format!(
        "{} requests in three regions, eight hours apart; machines boot in 60 s; the cheapest setting of each policy that \
         finishes 95 % within 60 s; seed {}.",
        workload.requests.len(),
        args.seed
    );
    let page = Page { about, shown: Vec::new(), sized: Vec::new(), costs };
    report::write(folder, &page).map_err(write_error(folder))
}

/// References of each seed, and the gap where all policies ran.
pub(super) fn bounds(
    args: &SimulateArgs,
    results: &[(Run, Figures)],
    workload: &Workload,
    out: &mut dyn Write,
) -> Result<(), SimulateError> {
    let ours: Vec<&Figures> =
        results.iter().map(|(_, figures)| figures).filter(|figures| figures.policy == "backlot").collect();
    let mut references = Vec::new();
    for figures in &ours {
        let folded = workload.folded(args.fold, figures.seed);
        let one = reference::bounds(&folded, SLO, figures.gpus, args.slots, figures.seed);
        writeln!(out, "{}", json!({"bounds": one})).map_err(result_error)?;
        references.push(one);
    }
    if !args.all || ours.is_empty() {
        return Ok(());
    }
    let gpus = |figures: &Figures| f64::from(figures.gpus);
    let (best_name, best) = best_baseline(results, gpus);
    let bound: Vec<f64> = references.iter().map(|one| f64::from(one.pooled_gpus)).collect();
    let ours: Vec<f64> = ours.iter().map(|figures| gpus(figures)).collect();
    let gap = reference::gap(&ours, &best, &bound);
    let line = json!({"gap": "gpus", "against": best_name, "bound": "pooled first come, first served", "value": gap});
    writeln!(out, "{line}").map_err(result_error)
}

/// The baseline with the smallest sum over all seeds that holds the promise in each, and its values by seed.
fn best_baseline(results: &[(Run, Figures)], of: impl Fn(&Figures) -> f64) -> (String, Vec<f64>) {
    let candidates = baselines::NAMES.iter().skip(1).filter_map(|name| {
        let own: Vec<&Figures> =
            results.iter().map(|(_, figures)| figures).filter(|figures| figures.policy == **name).collect();
        let holds = !own.is_empty() && own.iter().all(|figures| figures.holds);
        holds.then(|| ((*name).to_owned(), own.into_iter().map(&of).collect::<Vec<f64>>()))
    });
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    candidates.min_by(|a, b| sum(&a.1).total_cmp(&sum(&b.1))).unwrap_or_default()
}

/// Writes the page: the first seed of each policy, and a sweep of fleets for the best of them.
pub(super) fn report(
    args: &SimulateArgs,
    folder: &Path,
    results: &[(Run, Figures)],
    workload: &Workload,
    loads: &Loads,
) -> Result<(), SimulateError> {
    let folded = workload.folded(args.fold, args.seed);
    let mut first: Vec<&(Run, Figures)> =
        results.iter().filter(|(_, figures)| figures.seed == args.seed).collect();
    // Ours stays first; the others follow by how well they do.
    if let Some((_, others)) = first.split_first_mut() {
        others.sort_by_key(|(_, figures)| (!figures.holds, figures.gpus));
    }
    let middle = first.first().map_or(1, |(_, figures)| figures.gpus);
    let mut sized = Vec::new();
    let bar = progress(REPORT_POLICIES as u64);
    for (run, _) in first.iter().take(REPORT_POLICIES) {
        bar.set_message(run.policy.clone());
        for gpus in middle.saturating_sub(REPORT_GPUS).max(1)..=middle + 2 * REPORT_GPUS {
            let question = args.question(&run.policy, args.seed);
            let figures = measure::figures(&question.run(gpus, &folded, loads, None)?, &folded, SLO);
            let (slo60, wait_p99_s) = (figures.slo60, figures.wait_p99_s);
            sized.push(Sized { policy: figures.policy, gpus, slo60, wait_p99_s });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let fold = args.fold.map_or_else(String::new, |fold| format!(", folded at {fold} s"));
    let source = if args.requests.is_some() { "from a trace" } else { "of the synthetic workload" };
    let about = format!(
        "{} requests {source}{fold}, {} resident bases a GPU, {}, seed {}.",
        folded.requests.len(),
        args.slots,
        if args.overlap { "loads beside compute" } else { "a load blocks compute" },
        args.seed
    );
    let shown = first.iter().map(|(run, figures)| Shown { run, figures, workload: &folded }).collect();
    report::write(folder, &Page { about, shown, sized, costs: Vec::new() }).map_err(write_error(folder))
}
