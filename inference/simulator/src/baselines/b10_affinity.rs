//! B10, an affinity queue: a free worker takes the oldest job whose model is resident there, unless the head has
//! waited over a bound; a job that no free worker holds goes by B1's rule.

use backlot_inference_scheduler::{JobKey, TimeUs};

use super::{
    pull::Rule,
    view::{Queue, View},
};

/// The head may be passed by for this long.
const BOUND_MS: i64 = 120_000;

#[derive(Clone, Debug)]
pub(super) struct Affinity;

impl Rule for Affinity {
    const NAME: &'static str = "b10-affinity";

    fn next(&mut self, now: TimeUs, view: &View, queue: &Queue) -> Option<(JobKey, usize)> {
        let head = *queue.all.first()?;
        let job = view.jobs.get(&head)?;
        if now.since_ms(job.since) <= BOUND_MS {
            let warm = view.free().filter_map(|at| {
                let resident = view.workers[at].resident.iter();
                let oldest = resident.filter_map(|(model, _)| queue.by_model.get(model)?.first()).min()?;
                Some((*oldest, at))
            });
            if let Some(found) = warm.min() {
                return Some(found);
            }
        }
        Some((head, view.warm_first(&job.model)?))
    }
}
