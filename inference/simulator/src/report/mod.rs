//! One page with the plots that people ask for: self-contained, no scripts, light and dark.

mod plots;
mod svg;

use std::{fmt::Write as _, io, path::Path};

use crate::{
    measure::{Figures, percentile},
    outcome::Run,
    workload::Workload,
};

/// One policy's run, with what it ran on.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The run, with its decisions.
    pub run: &'a Run,
    /// Its figures.
    pub figures: &'a Figures,
    /// The workload of its seed.
    pub workload: &'a Workload,
}

/// A fleet size and what it gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Sized {
    /// The policy.
    pub policy: String,
    /// GPUs.
    pub gpus: u32,
    /// Share done within 60 s.
    pub slo60: f64,
    /// 99th percentile of the wait, seconds.
    pub wait_p99_s: f64,
}

/// What a region cost.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionCost {
    /// The policy.
    pub policy: String,
    /// The region.
    pub region: String,
    /// Dollars for on-demand GPUs.
    pub on_demand: f64,
    /// Dollars for spot GPUs.
    pub spot: f64,
}

/// Everything on the page.
#[derive(Debug)]
pub struct Page<'a> {
    /// What was replayed, one sentence.
    pub about: String,
    /// One run a policy, ours first.
    pub shown: Vec<Shown<'a>>,
    /// Fleet sizes.
    pub sized: Vec<Sized>,
    /// Costs by region; empty where there is one region.
    pub costs: Vec<RegionCost>,
}

const STYLE: &str = include_str!("page.css");
const WAITS: &[f64] = &[0.5, 0.9, 0.95, 0.99, 1.0];

/// Writes `index.html` into the folder, which is made.
pub fn write(folder: &Path, page: &Page<'_>) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("index.html"), html(page))
}

/// The page as text.
#[must_use]
pub fn html(page: &Page<'_>) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Backlot: scheduling under replay</title><style>{STYLE}</style></head>\
         <body><main><h1>Scheduling under replay</h1><p class=\"lead\">{}</p>",
        svg::escape(&page.about)
    );
    if !page.shown.is_empty() {
        runs(&mut out, page);
    }
    let costs = if page.costs.is_empty() {
        "<p class=\"note\">One region, one price: run scenario s2 for costs.</p>".to_owned()
    } else {
        plots::costs(page)
    };
    section(&mut out, "What each region cost", "Dollars of the whole run, on demand and spot.", &costs);
    out.push_str(
        "<footer><p>The trace, where one was read, is a sample, anonymised and folded; compute times are estimates, loads \
         are drawn independently of the model, and a load blocks compute unless overlap was asked for. The machine and its \
         limits are described in docs/simulator.md.</p></footer></main></body></html>\n",
    );
    out
}

fn runs(out: &mut String, page: &Page<'_>) {
    table(out, page);
    section(
        out,
        "How long requests wait",
        "Share of requests that still wait after a time, with the longest wait beside the name. Lower and further left is \
         better; both scales are logarithmic. The seven best policies.",
        &plots::waits(page),
    );
    section(
        out,
        "Fleet size against the promise",
        "Share of requests done within 60 s of arrival. Filled: the promise holds (p99 wait at most 30 s and 95 % within \
         60 s).",
        &plots::fleet(page),
    );
    section(
        out,
        "What lives on the GPUs",
        "Share of resident slots by base model, over time, under the first policy. The eight models that hold most are \
         named.",
        &plots::residency(page),
    );
    section(
        out,
        "Who got the fleet",
        "GPU time by tenant, from the one that asked for most; the line is what each asked for.",
        &plots::tenants(page),
    );
}

fn section(out: &mut String, title: &str, says: &str, body: &str) {
    let _ =
        write!(out, "<section><h2>{}</h2><p>{}</p>{body}</section>", svg::escape(title), svg::escape(says));
}

fn table(out: &mut String, page: &Page<'_>) {
    out.push_str(
        "<table><thead><tr><th>policy</th><th>GPUs</th><th>wait p50</th><th>p99</th><th>max</th><th>within 60 s</th>\
         <th>swaps a request</th><th>busy GPU-hours</th><th>Jain</th><th>holds</th></tr></thead><tbody>",
    );
    for shown in &page.shown {
        let figures = shown.figures;
        let _ = write!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{:.1} s</td><td>{:.1} s</td><td>{:.0} s</td><td>{:.1} %</td><td>{:.3}</td>\
             <td>{:.1}</td><td>{:.3}</td><td>{}</td></tr>",
            svg::escape(&figures.policy),
            figures.gpus,
            figures.wait_p50_s,
            figures.wait_p99_s,
            figures.wait_max_s,
            figures.slo60 * 100.0,
            figures.swaps_per_request,
            figures.busy_gpu_hours,
            figures.jain,
            if figures.holds { "yes" } else { "no" }
        );
    }
    out.push_str("</tbody></table>");
}

/// Waits of a run, ascending, in microseconds.
fn waits_of(run: &Run) -> Vec<i64> {
    let mut waits: Vec<i64> = run.ended().map(|(_, outcome)| outcome.wait_us()).collect();
    waits.sort_unstable();
    waits
}

/// A sentence for those who do not see the plot.
fn waits_text(run: &Run) -> String {
    let waits = waits_of(run);
    let parts: Vec<String> = WAITS
        .iter()
        .map(|share| format!("p{:.0} {:.1} s", share * 100.0, percentile(&waits, *share) as f64 / 1e6))
        .collect();
    format!("{}: {}", run.policy, parts.join(", "))
}
