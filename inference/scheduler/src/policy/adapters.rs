//! Which of several replicas takes a job, by the adapters merged into them.
//!
//! A replica holds one set of adapters, and whoever comes next with another set, or with none, takes it away. A tenant
//! mostly returns with the set it had, so a set is worth keeping while its tenant may come back: jobs go where their
//! set is, else where none is lost, else where the one that is lost has been idle longest.

use crate::{fleet::Resident, limits, state::Job, types::TimeUs};

/// What it costs that the job takes this replica, in erlangs of a model that would have to go.
pub(crate) fn cost(now: TimeUs, held: &Resident, job: &Job) -> f64 {
    if held.adapters == job.adapters {
        return 0.0;
    }
    let merge = if job.adapters.is_empty() { 0.0 } else { limits::ADAPTERS_MERGE };
    if held.adapters.is_empty() {
        return merge;
    }
    let idle = now.since_ms(held.used_at) as f64 / limits::ADAPTERS_HALF_LIFE_MS;
    merge + limits::ADAPTERS_LOSE * (-idle).exp2()
}
