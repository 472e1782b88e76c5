//! B0, FIFO-random: one queue; the head goes to a random free worker. What a plain work queue does.

use backlot_inference_scheduler::{JobKey, TimeUs};

use super::{
    pull::Rule,
    view::{Queue, View},
};
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(super) struct FifoRandom(pub(super) Rng);

impl Rule for FifoRandom {
    const NAME: &'static str = "b0-fifo-random";

    fn next(&mut self, _now: TimeUs, view: &View, queue: &Queue) -> Option<(JobKey, usize)> {
        let free: Vec<usize> = view.free().collect();
        Some((*queue.all.first()?, free[self.0.below(free.len())]))
    }
}
