//! B4, Ray Serve's router for multiplexed models (`serve/_private/request_router`): for U(1, 2) s the candidates are
//! replicas that hold the model, then those with the fewest models, then all; power of two among them.

use std::collections::BTreeMap;

use backlot_inference_scheduler::{JobKey, TimeUs};

use super::{
    b03_power_of_two::{back_off, shorter_of_two},
    push::{Lines, Route, Router},
    view::Job,
};
use crate::rng::Rng;

#[derive(Clone, Debug)]
pub(super) struct Multiplexed {
    pub(super) rng: Rng,
    /// Until when a request insists on a replica that holds its model.
    pub(super) insists: BTreeMap<JobKey, TimeUs>,
}

impl Router for Multiplexed {
    const NAME: &'static str = "b4-multiplexed";

    fn route(&mut self, now: TimeUs, key: JobKey, job: &Job, tries: u32, lines: &Lines) -> Route {
        let open: Vec<usize> = lines.open().collect();
        let holding: Vec<usize> =
            open.iter().copied().filter(|at| lines.view.workers[*at].holds(&job.model)).collect();
        let rng = &mut self.rng;
        let until =
            *self.insists.entry(key).or_insert_with(|| now.plus_ms((1000.0 * (1.0 + rng.unit())) as i64));
        let found = if now < until {
            shorter_of_two(&mut self.rng, &holding, lines)
        } else {
            let models = |at: &usize| lines.view.workers[*at].resident.len();
            let fewest = open.iter().map(models).min().unwrap_or(0);
            let least: Vec<usize> = open.iter().copied().filter(|at| models(at) == fewest).collect();
            shorter_of_two(&mut self.rng, &least, lines)
                .or_else(|| shorter_of_two(&mut self.rng, &open, lines))
        };
        match found {
            Some(at) => {
                self.insists.remove(&key);
                Route::To(at)
            }
            // Nobody holds the model: there is nothing to insist on, but the router still waits out its time.
            None => Route::Later(back_off(now, tries)),
        }
    }
}
