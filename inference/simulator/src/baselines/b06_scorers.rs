//! B6, llm-d's endpoint picker: queue score (max − q) / (max − min) plus affinity (resident 1.0, room 0.8, waiting
//! 0.6, else 0); the highest sum, ties at random.

use backlot_inference_scheduler::{JobKey, TimeUs};

use super::{
    push::{Lines, Route, Router},
    view::Job,
};
use crate::rng::Rng;

const RESIDENT: f64 = 1.0;
const ROOM: f64 = 0.8;
const WAITING: f64 = 0.6;

#[derive(Clone, Debug)]
pub(super) struct Scorers(pub(super) Rng);

fn affinity(lines: &Lines, at: usize, job: &Job) -> f64 {
    let worker = &lines.view.workers[at];
    let mut waiting = lines.waiting[at].iter().filter_map(|key| lines.view.jobs.get(key));
    if worker.holds(&job.model) {
        RESIDENT
    } else if worker.has_room() {
        ROOM
    } else if waiting.any(|other| other.model == job.model) {
        WAITING
    } else {
        0.0
    }
}

impl Router for Scorers {
    const NAME: &'static str = "b6-scorers";

    fn route(&mut self, now: TimeUs, _key: JobKey, job: &Job, _tries: u32, lines: &Lines) -> Route {
        let open: Vec<usize> = lines.open().collect();
        // What computes counts as well: a replica here computes one at a time, and without that the warm ones drown.
        let queued = |at: usize| lines.in_flight(at) as f64;
        let most = open.iter().map(|at| queued(*at)).fold(0.0, f64::max);
        let least = open.iter().map(|at| queued(*at)).fold(f64::INFINITY, f64::min);
        let score = |at: usize| {
            let queue = if most > least { (most - queued(at)) / (most - least) } else { 1.0 };
            queue + affinity(lines, at, job)
        };
        let best = open.iter().map(|at| score(*at)).fold(0.0, f64::max);
        let equal: Vec<usize> = open.iter().copied().filter(|at| score(*at) >= best - 1e-9).collect();
        if equal.is_empty() {
            return Route::Later(now.plus_ms(100));
        }
        Route::To(equal[self.0.below(equal.len())])
    }
}
