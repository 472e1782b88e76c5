//! B3, Ray Serve's power-of-two router (`serve/_private/request_router/pow_2_router.py`): sample two replicas, take
//! the shorter queue that accepts, else back off 25 ms, doubled up to 500 ms. A replica has at most 5 ongoing.

use backlot_inference_scheduler::{JobKey, TimeUs};

use super::{
    push::{Lines, Route, Router},
    view::Job,
};
use crate::rng::Rng;

/// `max_ongoing_requests` of Ray Serve.
pub(super) const ONGOING_MAX: usize = 5;
const BACKOFF_MS: i64 = 25;
const BACKOFF_MS_MAX: i64 = 500;

#[derive(Clone, Debug)]
pub(super) struct PowerOfTwo(pub(super) Rng);

impl Router for PowerOfTwo {
    const NAME: &'static str = "b3-power-of-two";

    fn route(&mut self, now: TimeUs, _key: JobKey, _job: &Job, tries: u32, lines: &Lines) -> Route {
        let open: Vec<usize> = lines.open().collect();
        match shorter_of_two(&mut self.0, &open, lines) {
            Some(at) => Route::To(at),
            None => Route::Later(back_off(now, tries)),
        }
    }
}

/// The shorter queue of two random candidates, where it accepts.
pub(super) fn shorter_of_two(rng: &mut Rng, candidates: &[usize], lines: &Lines) -> Option<usize> {
    if candidates.is_empty() {
        return None;
    }
    let first = rng.below(candidates.len());
    let second = if candidates.len() == 1 {
        first
    } else {
        (first + 1 + rng.below(candidates.len() - 1)) % candidates.len()
    };
    let pair = [candidates[first], candidates[second]];
    pair.into_iter().filter(|at| lines.in_flight(*at) < ONGOING_MAX).min_by_key(|at| lines.in_flight(*at))
}

pub(super) fn back_off(now: TimeUs, tries: u32) -> TimeUs {
    now.plus_ms((BACKOFF_MS << tries.min(10)).min(BACKOFF_MS_MAX))
}
