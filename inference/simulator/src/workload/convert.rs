//! From the public originals to the columns that the simulator reads. Only for measuring: they state no licence for
//! redistribution.
//!
//! `GenTD26` (`cluster-trace-v2026-GenAI` of Alibaba's clusterdata): `lora_request_trace.csv` holds requests, the
//! `*_update_latency_anon.csv` files hold one load a row in `value`, milliseconds.

use std::{collections::BTreeMap, path::Path};

use super::{
    Names, Request, Workload,
    read::{ReadError, Table},
};
use crate::{loads::Loads, loads::Quantiles};

/// Compute alone is estimated as this quantile of the execution time of equal requests.
const WARM_QUANTILE: f64 = 0.1;
const SECONDS_A_DAY: i64 = 86_400;
/// The longest execution that is believed, seconds.
const EXEC_S_MAX: f64 = 86_400.0;
const QUANTILE_POINTS: usize = 1_000;

/// Seconds since the year 0 of "2024-11-15 16:57:50".
fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ')?;
    let number = |part: Option<&str>| part?.parse::<i64>().ok();
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next())?, number(date.next())?, number(date.next())?);
    let mut time = time.split(':');
    let (hour, minute, second) = (number(time.next())?, number(time.next())?, number(time.next())?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..24).contains(&hour) {
        return None;
    }
    // Days from civil (Hinnant): the year begins in March, so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some((days + (153 * month + 2) / 5 + day - 1) * SECONDS_A_DAY + hour * 3600 + minute * 60 + second)
}

/// Reads the original request trace. Requests that did not succeed are left out. The origin is noon of the first day;
/// adapters are named where the file names them (a column `lora`, ids joined by `+`), else by tenant and count.
pub fn convert_requests(path: &Path) -> Result<Workload, ReadError> {
    let needed = [
        "gmt_create",
        "predict_type",
        "predict_status",
        "exec_time_seconds",
        "groupId",
        "num_images_per_prompt",
        "num_inference_steps",
        "checkpoint_model_version_id",
        "num_lora",
    ];
    let mut table = Table::open(path, &needed)?;
    let (mut tenants, mut models, mut adapters) = (Names::default(), Names::default(), Names::default());
    let (mut requests, mut origin_s) = (Vec::new(), None);
    while let Some(line) = table.next_line()? {
        let row = table.row(&line)?;
        if row.text("predict_status") != "SUCCEED" {
            continue;
        }
        let created = row.name("gmt_create")?;
        let at_s = seconds(created)
            .ok_or_else(|| table.problem(format!("gmt_create is not a time: {created:?}")))?;
        let origin_s = *origin_s.get_or_insert(at_s - at_s.rem_euclid(SECONDS_A_DAY / 2));
        let task = row.name("predict_type")?;
        let tenant = row.name("groupId")?;
        let count = row.amount("num_lora", 64.0)? as usize;
        let named: Vec<String> = if row.text("lora").is_empty() {
            (0..count).map(|at| format!("{tenant}-{at}")).collect()
        } else {
            row.text("lora").split('+').map(str::to_owned).collect()
        };
        requests.push(Request {
            arrival_us: (at_s - origin_s).max(0) * 1_000_000,
            tenant: tenants.number(tenant),
            task: super::Task::parse(task)
                .ok_or_else(|| table.problem(format!("the task {task:?} is not known")))?,
            model: models.number(row.name("checkpoint_model_version_id")?),
            adapters: named.iter().map(|name| adapters.number(name)).collect(),
            images: row.amount("num_images_per_prompt", 1_000.0)? as u16,
            steps: row.amount("num_inference_steps", 10_000.0)? as u16,
            warm_us: (row.amount("exec_time_seconds", EXEC_S_MAX)? * 1e6) as i64,
            region: 0,
        });
    }
    estimate_warm(&mut requests);
    let (tenants, models, adapters) = (tenants.into_list(), models.into_list(), adapters.into_list());
    let mut workload = Workload { requests, tenants, models, adapters };
    workload.sort();
    Ok(workload)
}

/// Puts a low quantile of the execution time of equal requests where the execution time was.
fn estimate_warm(requests: &mut [Request]) {
    let mut groups: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    let key = |request: &Request| (request.task, request.images, request.steps, request.model);
    for request in requests.iter() {
        groups.entry(key(request)).or_default().push(request.warm_us);
    }
    for times in groups.values_mut() {
        times.sort_unstable();
    }
    for request in requests {
        let times = &groups[&key(request)];
        let at = ((times.len() - 1) as f64 * WARM_QUANTILE).floor() as usize;
        request.warm_us = times[at].max(1_000);
    }
}

/// Reads the original latencies of base models and of adapters.
pub fn convert_loads(base: &Path, lora: &Path) -> Result<Loads, ReadError> {
    Ok(Loads { base: latencies(base)?, lora: latencies(lora)? })
}

fn latencies(path: &Path) -> Result<Quantiles, ReadError> {
    let mut table = Table::open(path, &["value"])?;
    let mut values = Vec::new();
    while let Some(line) = table.next_line()? {
        let value = table.row(&line)?.amount("value", 86_400_000.0)?;
        values.push(value);
    }
    values.sort_by(f64::total_cmp);
    let points = (0..=QUANTILE_POINTS).filter_map(|point| {
        let share = point as f64 / QUANTILE_POINTS as f64;
        Some((share, *values.get(((values.len().max(1) - 1) as f64 * share) as usize)?))
    });
    Quantiles::new(points.collect()).ok_or_else(|| ReadError::Content {
        path: path.to_owned(),
        problem: "there are no latencies".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_original_are_read() {
        let since = |text: &str| seconds(text).expect("a time");
        assert_eq!(since("2024-11-16 00:00:00") - since("2024-11-15 16:57:50"), 25_330);
        assert_eq!(since("2024-03-01 00:00:00") - since("2024-02-28 00:00:00"), 2 * 86_400);
        assert_eq!(seconds("yesterday"), None);
    }
}
