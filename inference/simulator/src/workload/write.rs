//! Writes the columns that the reader reads.

use std::{
    io::{self, Write},
    path::Path,
};

use super::Workload;
use crate::loads::Loads;

/// Points of a written quantile curve.
const POINTS: u32 = 1_000;

/// Writes requests as CSV.
pub fn write_requests(path: &Path, workload: &Workload) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "arrival_s,tenant,task,model,adapter,images,steps,warm_ms")?;
    for request in &workload.requests {
        let adapters: Vec<&str> =
            request.adapters.iter().map(|at| &*workload.adapters[*at as usize]).collect();
        writeln!(
            file,
            "{:.3},{},{},{},{},{},{},{:.3}",
            request.arrival_us as f64 / 1e6,
            workload.tenants[request.tenant as usize],
            request.task.name(),
            workload.models[request.model as usize],
            adapters.join("+"),
            request.images,
            request.steps,
            request.warm_us as f64 / 1e3,
        )?;
    }
    file.flush()
}

/// Writes load quantiles as CSV.
pub fn write_loads(path: &Path, loads: &Loads) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "component,quantile,ms")?;
    for (name, quantiles) in [("base_model", &loads.base), ("lora", &loads.lora)] {
        for point in 0..=POINTS {
            let u = f64::from(point) / f64::from(POINTS);
            writeln!(file, "{name},{u},{:.1}", quantiles.invert(u))?;
        }
    }
    file.flush()
}
