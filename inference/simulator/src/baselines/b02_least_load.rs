//! B2, `SkyServe`'s least-load balancer (`sky/serve/load_balancing_policies.py`): at arrival to the replica with the
//! fewest requests in flight, rotating ties. Its autoscaler is part of the regional scenario.

use backlot_inference_scheduler::{JobKey, TimeUs};

use super::{
    push::{Lines, Route, Router},
    view::Job,
};

#[derive(Clone, Debug, Default)]
pub(super) struct LeastLoad {
    turn: usize,
}

impl Router for LeastLoad {
    const NAME: &'static str = "b2-least-load";

    fn route(&mut self, now: TimeUs, _key: JobKey, _job: &Job, _tries: u32, lines: &Lines) -> Route {
        let count = lines.view.workers.len();
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let best = lines.open().min_by_key(|at| (lines.in_flight(*at), (at + count - turn % count) % count));
        best.map_or(Route::Later(now), Route::To)
    }
}
