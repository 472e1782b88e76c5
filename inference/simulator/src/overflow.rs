//! What a third party is worth: dollars against the size of the fleet, with and without it, under the same promise.

use serde_json::{Value, json};

use crate::{
    engine::{outside::OutsideSetup, setup::SLO},
    loads::Loads,
    measure,
    search::{Question, SearchError},
    workload::Workload,
};

/// What a second with a third party costs against one of a machine of the fleet: as little as a reserved machine elsewhere
/// would, and as much as hosted models ask for.
pub const TIMES: [f64; 3] = [2.0, 4.0, 8.0];
/// Dollars an hour of a machine of the fleet, which is there all the time.
pub const GPU_DOLLARS_H: f64 = 1.0;
/// Fleets below the one that holds the promise alone.
const SMALLER: u32 = 5;
const GPUS_MAX: u32 = 60;
const HOUR_US: f64 = 3.6e9;

/// One row a fleet and price. `at` is the third party at so many dollars a second.
pub fn sweep(
    question: &Question<'_>,
    workload: &Workload,
    loads: &Loads,
    at: impl Fn(f64) -> OutsideSetup,
    mut row: impl FnMut(Value),
) -> Result<(), SearchError> {
    let alone = question.smallest(workload, loads, SLO, GPUS_MAX)?;
    let hours = workload.end_us() as f64 / HOUR_US;
    let mut tell = |gpus: u32, times: Option<f64>| -> Result<(), SearchError> {
        let second = times.map(|times| times * GPU_DOLLARS_H / 3_600.0);
        let question = Question { outside: second.map(&at), ..*question };
        let run = question.run(gpus, workload, loads, None)?;
        let figures = measure::figures(&run, workload, SLO);
        let (fleet, outside) =
            (f64::from(gpus) * hours * GPU_DOLLARS_H, figures.overflow_dollars.unwrap_or_default());
        row(json!({
            "scenario": "overflow", "gpus": gpus, "times": times, "fleet_dollars": fleet,
            "overflow_dollars": outside, "dollars": fleet + outside, "overflowed": figures.overflowed,
            "slo60": figures.slo60, "wait_p99_s": figures.wait_p99_s, "wait_max_s": figures.wait_max_s,
            "holds": figures.holds, "seed": run.seed,
        }));
        Ok(())
    };
    for gpus in (alone.gpus.saturating_sub(SMALLER).max(1)..=alone.gpus).rev() {
        tell(gpus, None)?;
        for times in TIMES {
            tell(gpus, Some(times))?;
        }
    }
    Ok(())
}
