//! B5, `KubeAI`'s consistent hashing with bounded loads (`internal/loadbalancer/balance_chwbl.go`): by model, 256
//! virtual nodes a replica, load bound 1.25 · (total + 1) / n.

use backlot_inference_scheduler::{JobKey, TimeUs};

use super::{
    push::{Lines, Route, Router},
    view::Job,
};
use crate::rng::Rng;

const VIRTUAL_NODES: u64 = 256;
const LOAD_FACTOR: f64 = 1.25;

#[derive(Clone, Debug, Default)]
pub(super) struct Chwbl {
    /// (hash, worker), ascending; rebuilt when workers come.
    ring: Vec<(u64, usize)>,
    built_for: usize,
}

fn hash(text: &str, salt: u64) -> u64 {
    let bytes: Vec<u64> = text.bytes().map(u64::from).collect();
    Rng::keyed(salt, &bytes).bits()
}

impl Chwbl {
    fn build(&mut self, lines: &Lines) {
        let workers = lines.view.workers.iter().enumerate();
        self.ring = workers
            .flat_map(|(at, worker)| {
                let name = worker.key.agent.as_str().to_owned();
                (0..VIRTUAL_NODES).map(move |nth| (hash(&name, nth + 1), at))
            })
            .collect();
        self.ring.sort_unstable();
        self.built_for = lines.view.workers.len();
    }
}

impl Router for Chwbl {
    const NAME: &'static str = "b5-chwbl";

    fn route(&mut self, now: TimeUs, _key: JobKey, job: &Job, _tries: u32, lines: &Lines) -> Route {
        if self.built_for != lines.view.workers.len() {
            self.build(lines);
        }
        let (count, total) =
            lines.open().fold((0, 0), |(count, total), at| (count + 1, total + lines.in_flight(at)));
        let bound = LOAD_FACTOR * (total + 1) as f64 / f64::from(count.max(1));
        let start = self.ring.partition_point(|(at, _)| *at < hash(job.model.as_str(), 0));
        let around = self.ring[start..].iter().chain(&self.ring[..start]).map(|(_, at)| *at);
        let found = around
            .filter(|at| lines.view.workers[*at].open)
            .find(|at| (lines.in_flight(*at) + 1) as f64 <= bound.max(1.0));
        found.map_or(Route::Later(now.plus_ms(100)), Route::To)
    }
}
