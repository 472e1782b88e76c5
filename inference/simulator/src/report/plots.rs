//! The five plots.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Page, Shown,
    svg::{BOTTOM, HEIGHT, LEFT, Plot, RIGHT, Scale, TOP, WIDTH, colour},
    waits_of, waits_text,
};
use crate::engine::setup::What;

/// Points of a curve.
const POINTS: usize = 240;
/// Curves that can be told apart.
const CURVES: usize = 7;
/// The smallest share that is drawn.
const SHARE_MIN: f64 = 0.0005;
/// Models that get a colour of their own.
const NAMED_MODELS: usize = 8;
/// Tenants that are shown one by one.
const TENANTS: usize = 40;

/// Share of requests that wait longer than a time, by policy.
pub(super) fn waits(page: &Page<'_>) -> String {
    let says: Vec<String> = page.shown.iter().map(|shown| waits_text(shown.run)).collect();
    let mut plot = Plot::new(&says.join("; "));
    let x = Scale::across(0.1, 1_000.0, true);
    let y = Scale::up(SHARE_MIN, 1.0, true);
    let seconds = [0.1, 1.0, 10.0, 30.0, 100.0, 1_000.0];
    plot.x_ticks(&x, &seconds.map(|value| (value, format!("{value} s"))));
    plot.y_ticks(&y, &[1.0, 0.1, 0.01, 0.001].map(|share| (share, format!("{} %", share * 100.0))));
    for (nth, shown) in page.shown.iter().take(CURVES).enumerate().rev() {
        let waits = waits_of(shown.run);
        let points: Vec<(f64, f64)> = (0..=POINTS)
            .filter_map(|at| {
                let wait_s = 0.1 * 10_000_f64.powf(at as f64 / POINTS as f64);
                let longer = waits.len() - waits.partition_point(|wait| *wait as f64 <= wait_s * 1e6);
                let share = longer as f64 / waits.len().max(1) as f64;
                (share >= SHARE_MIN).then(|| (x.at(wait_s), y.at(share)))
            })
            .collect();
        plot.line(&points, &colour(nth), nth == 0);
        let longest = waits.last().copied().unwrap_or(0) as f64 / 1e6;
        let name = format!("{} ({longest:.0} s)", shown.run.policy);
        plot.label(TOP + nth as f64 * 18.0, colour(nth), &name);
    }
    plot.finish()
}

/// Share within 60 s, by fleet size and policy.
pub(super) fn fleet(page: &Page<'_>) -> String {
    let mut lines: BTreeMap<&str, Vec<(u32, f64, bool)>> = BTreeMap::new();
    for sized in &page.sized {
        let holds = sized.slo60 >= 0.95 && sized.wait_p99_s <= 30.0;
        lines.entry(&sized.policy).or_default().push((sized.gpus, sized.slo60, holds));
    }
    let fewest = page.sized.iter().map(|sized| sized.gpus).min().unwrap_or(0);
    let most = page.sized.iter().map(|sized| sized.gpus).max().unwrap_or(1);
    let worst = page.sized.iter().map(|sized| sized.slo60).fold(0.9, f64::min);
    let low = (worst * 10.0).floor() / 10.0;
    let mut plot = Plot::new("share of requests done within 60 s, by fleet size");
    let x = Scale::across(f64::from(fewest), f64::from(most), false);
    let y = Scale::up(low, 1.0, false);
    let step = ((most - fewest) / 12).max(1) as usize;
    let ticks: Vec<_> =
        (fewest..=most).step_by(step).map(|gpus| (f64::from(gpus), format!("{gpus}"))).collect();
    plot.x_ticks(&x, &ticks);
    let shares = [low, (low + 1.0) / 2.0, 0.95, 1.0];
    plot.y_ticks(&y, &shares.map(|share| (share, format!("{:.0} %", share * 100.0))));
    for (policy, line) in &lines {
        let nth = page.shown.iter().position(|shown| shown.run.policy == **policy).unwrap_or(7);
        let points: Vec<_> =
            line.iter().map(|(gpus, share, _)| (x.at(f64::from(*gpus)), y.at(*share))).collect();
        plot.line(&points, &colour(nth), nth == 0);
        for ((px, py), (_, _, holds)) in points.iter().zip(line) {
            plot.dot(*px, *py, &colour(nth), *holds);
        }
        if let Some((_, py)) = points.last() {
            plot.label(*py, colour(nth), policy);
        }
    }
    plot.finish()
}

/// Which bases are resident over time, as shares of all slots that are taken.
pub(super) fn residency(page: &Page<'_>) -> String {
    let Some(first) = page.shown.first() else { return String::new() };
    let (samples, held) = resident_over_time(first);
    let mut order: Vec<(&Arc<str>, u64)> =
        held.iter().map(|(model, counts)| (model, counts.iter().map(|n| u64::from(*n)).sum())).collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let mut plot = Plot::new("share of resident slots by base model over time");
    let end_s = first.run.end_us as f64 / 1e6;
    let x = Scale::across(0.0, end_s, false);
    let y = Scale::up(0.0, 1.0, false);
    let totals: Vec<f64> = (0..samples)
        .map(|at| held.values().map(|counts| f64::from(counts[at])).sum::<f64>().max(1.0))
        .collect();
    let mut below = vec![0.0; samples];
    let place = |at: usize| x.at(end_s * at as f64 / (samples - 1).max(1) as f64);
    for (nth, (model, _)) in order.iter().take(NAMED_MODELS).enumerate() {
        let lower: Vec<_> = (0..samples).map(|at| (place(at), y.at(below[at]))).collect();
        for at in 0..samples {
            below[at] += f64::from(held[*model][at]) / totals[at];
        }
        let upper: Vec<_> = (0..samples).map(|at| (place(at), y.at(below[at]))).collect();
        plot.area(&upper, &lower, &colour(nth));
        if let (Some(up), Some(down)) = (upper.last(), lower.last()) {
            plot.label(f64::midpoint(up.1, down.1), colour(nth), model);
        }
    }
    let lower: Vec<_> = (0..samples).map(|at| (place(at), y.at(below[at]))).collect();
    let upper: Vec<_> = (0..samples).map(|at| (place(at), y.at(1.0))).collect();
    plot.area(&upper, &lower, "var(--rest)");
    plot.label(TOP, "var(--soft)".to_owned(), "all others");
    let hours = (end_s / 3600.0).floor() as u32;
    let step = (hours / 8).max(1) as usize;
    let ticks: Vec<_> =
        (0..=hours).step_by(step).map(|hour| (f64::from(hour) * 3600.0, format!("{hour} h"))).collect();
    plot.x_ticks(&x, &ticks);
    plot.y_ticks(&y, &[0.0, 0.5, 1.0].map(|share| (share, format!("{:.0} %", share * 100.0))));
    plot.finish()
}

/// For each sample of time, on how many GPUs each model is resident.
fn resident_over_time(shown: &Shown<'_>) -> (usize, BTreeMap<Arc<str>, Vec<u32>>) {
    let samples = POINTS;
    let mut held: BTreeMap<Arc<str>, Vec<u32>> = BTreeMap::new();
    let mut now: BTreeMap<Arc<str>, u32> = BTreeMap::new();
    let mut on: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
    let end_us = shown.run.end_us.max(1);
    let mut lines = shown.run.decisions.iter().peekable();
    for at in 0..samples {
        let until_us = end_us * at as i64 / (samples as i64 - 1);
        while let Some(line) = lines.next_if(|line| line.t_us <= until_us) {
            match (line.what, &line.model) {
                (What::Load, Some(model)) => {
                    *now.entry(model.clone()).or_default() += 1;
                    on.entry(line.worker.clone()).or_default().push(model.clone());
                }
                (What::Evict, Some(model)) => {
                    *now.entry(model.clone()).or_default() -= 1;
                    on.entry(line.worker.clone()).or_default().retain(|one| one != model);
                }
                (What::Leave, _) => {
                    for model in on.remove(&line.worker).unwrap_or_default() {
                        *now.entry(model).or_default() -= 1;
                    }
                }
                _ => {}
            }
        }
        for (model, count) in &now {
            held.entry(model.clone()).or_insert_with(|| vec![0; samples])[at] = *count;
        }
    }
    (samples, held)
}

/// GPU time by tenant under the first policy, against what each asked for.
pub(super) fn tenants(page: &Page<'_>) -> String {
    let Some(first) = page.shown.first() else { return String::new() };
    let mut asked: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for (job, outcome) in first.run.ended() {
        let request = &first.workload.requests[job];
        let row = asked.entry(request.tenant).or_default();
        row.0 += request.warm_us as f64 / 3.6e9;
        row.1 += (outcome.ended_us - outcome.began_us) as f64 / 3.6e9;
    }
    let mut rows: Vec<_> = asked.into_iter().collect();
    rows.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(a.0.cmp(&b.0)));
    let others = rows.split_off(rows.len().min(TENANTS));
    let rest = others.iter().fold((0.0, 0.0), |sum, (_, row)| (sum.0 + row.0, sum.1 + row.1));
    let most = rows.iter().map(|(_, row)| row.1.max(row.0)).fold(0.1, f64::max);
    let mut plot = Plot::new("GPU-hours by tenant");
    let y = Scale::up(0.0, most * 1.05, false);
    let step = 10_f64.powf(most.log10().floor());
    let marks = (0..=(most / step) as usize).map(|at| at as f64 * step);
    plot.y_ticks(&y, &marks.map(|hours| (hours, format!("{hours} h"))).collect::<Vec<_>>());
    let width = (WIDTH - RIGHT - LEFT) / rows.len().max(1) as f64;
    let floor = HEIGHT - BOTTOM;
    let mut line = Vec::new();
    for (nth, (tenant, (wanted, got))) in rows.iter().enumerate() {
        let left = LEFT + nth as f64 * width;
        plot.bar(left + 1.0, y.at(*got), width - 2.0, floor - y.at(*got), "var(--c1)");
        line.extend([(left, y.at(*wanted)), (left + width, y.at(*wanted))]);
        if nth == 0 {
            let name = &first.workload.tenants[*tenant as usize];
            plot.text(left + width + 6.0, y.at(*got) + 12.0, "start", name);
        }
    }
    plot.line(&line, "var(--ours)", false);
    plot.label(TOP, "var(--c1)".to_owned(), "got, with loads");
    plot.label(TOP + 18.0, "var(--ours)".to_owned(), "asked for, warm");
    plot.text(
        WIDTH - RIGHT,
        floor + 20.0,
        "end",
        &format!("and {} more tenants with {:.1} h (asked for {:.1} h)", others.len(), rest.1, rest.0),
    );
    plot.finish()
}

/// Dollars by region and policy.
pub(super) fn costs(page: &Page<'_>) -> String {
    let most = page.costs.iter().map(|cost| cost.on_demand + cost.spot).fold(0.1, f64::max);
    let mut plot = Plot::new("dollars by region and policy");
    let count = page.costs.len().max(1) as f64;
    let height = ((HEIGHT - TOP - BOTTOM) / count).min(30.0);
    let left = LEFT + 190.0;
    let scale = |dollars: f64| dollars / most * (WIDTH - RIGHT - left);
    for (nth, cost) in page.costs.iter().enumerate() {
        let y = TOP + nth as f64 * height;
        plot.text(left - 8.0, y + height * 0.65, "end", &format!("{}, {}", cost.policy, cost.region));
        plot.bar(left, y + 2.0, scale(cost.on_demand), height - 4.0, "var(--c1)");
        plot.bar(left + scale(cost.on_demand), y + 2.0, scale(cost.spot), height - 4.0, "var(--c2)");
        let sum = cost.on_demand + cost.spot;
        plot.text(left + scale(sum) + 8.0, y + height * 0.65, "start", &format!("${sum:.0}"));
    }
    plot.label(TOP, "var(--c1)".to_owned(), "on demand");
    plot.label(TOP + 18.0, "var(--c2)".to_owned(), "spot");
    plot.finish()
}
