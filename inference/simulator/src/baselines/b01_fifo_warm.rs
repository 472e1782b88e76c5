//! B1, FIFO warm-first: the head goes to a free worker that holds its model, else to one with a free slot, else to
//! the longest idle.

use backlot_inference_scheduler::{JobKey, TimeUs};

use super::{
    pull::Rule,
    view::{Queue, View},
};

#[derive(Clone, Debug)]
pub(super) struct FifoWarm;

impl Rule for FifoWarm {
    const NAME: &'static str = "b1-fifo-warm";

    fn next(&mut self, _now: TimeUs, view: &View, queue: &Queue) -> Option<(JobKey, usize)> {
        let head = *queue.all.first()?;
        Some((head, view.warm_first(&view.jobs.get(&head)?.model)?))
    }
}
