//! Loads that no job waits for. While nothing waits, workers that would idle are prepared for what is likely next: a
//! model that lost a set of adapters, because a job with another set took its replica, gets one replica more where there
//! is room, so that the next set that comes takes none away. Demand alone prepares nothing: the swap rule replicates what
//! is wanted in time, and loads ahead of it were not seen to help (docs/scheduling.md).

use std::sync::Arc;

use crate::{effect::Effect, limits, scheduler::Scheduler, state::State, timers::Timer, types::TimeUs};

/// A load without a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preparing {
    pub(crate) model: u32,
    pub(crate) since: TimeUs,
    pub(crate) expected_ms: i64,
    /// When nobody waits for its report any more.
    pub(crate) until: TimeUs,
}

impl Scheduler {
    /// Begins at most one load.
    pub(crate) fn prepare(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        let fleet = &self.state.fleet;
        let at_once = (fleet.live * limits::PREPARE_PERCENT).div_ceil(100);
        let lull = self.state.lines.waiting == 0 && fleet.free >= limits::PREPARE_FREE;
        if !lull || fleet.preparing >= at_once {
            return;
        }
        let Some(model) = self.state.crowded.pop_first() else { return };
        let Some(id) = self.state.place_for(now, model) else { return };
        let Some(key) = self.state.fleet.workers.get(id).map(|worker| worker.key.clone()) else { return };
        self.state.settle_in(now, id, model, &[], Arc::from([]));
        let until = now.plus_ms(limits::PREPARE_MS_MAX);
        let preparing = Preparing { model, since: now, expected_ms: self.state.load_ms(model), until };
        self.state.fleet.hide(id, &mut self.state.models);
        self.state.fleet.set_preparing(id, Some(preparing));
        self.state.timers.set(until, Timer::Preparing(id));
        effects.push(Effect::Prefetch { worker: key, model: self.state.model_names.key(model).clone() });
    }
}

impl State {
    /// An idle worker with room for the model that does not hold it.
    fn place_for(&self, now: TimeUs, model: u32) -> Option<u32> {
        let row = &self.models[model as usize];
        let place = self.lines.line(*row.lines.last()?).place;
        let classes = self.fleet.classes.iter().filter(|class| self.fits(model, place, class));
        let spare = classes.flat_map(|class| class.spare.iter().take(limits::WORKERS_COMPARED));
        let mut spare = spare.filter_map(|(_, id)| Some((*id, self.fleet.workers.get(*id)?)));
        let found = spare.find(|(_, worker)| {
            let room = self.room_for(now, worker, model).is_some_and(|(_, evict)| evict.is_empty());
            worker.running.is_empty() && worker.resident(model).is_none() && room
        });
        found.map(|(id, _)| id)
    }
}
