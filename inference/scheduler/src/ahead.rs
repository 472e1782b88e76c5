//! Loads beside compute. Where a worker can load one model while it computes with another, its next job is chosen before
//! it has room: where a line would have a model loaded as soon as a worker is free, one that is about to be free begins
//! with the load.

use crate::{effect::Effect, limits, policy::swap, scheduler::Scheduler, state::State, types::TimeUs};

/// A worker that computes and could load a model meanwhile.
struct Ahead {
    /// Milliseconds until it should begin with that; 0 or less: now.
    due_ms: f64,
    worker: u32,
    /// What must leave.
    evict: Vec<u32>,
}

impl Scheduler {
    /// Gives the head of a line that was refused a worker for `wait_ms` to one that still computes, where that earns its
    /// load: `None`. Else when the line should ask again, in milliseconds.
    pub(crate) fn start_ahead(
        &mut self,
        now: TimeUs,
        line: u32,
        wait_ms: f64,
        effects: &mut Vec<Effect>,
    ) -> Option<f64> {
        let Some(ahead) = self.state.ahead_for(now, line) else { return Some(wait_ms) };
        let starts = ahead.due_ms <= 0.0 && self.start(now, line, ahead.worker, &ahead.evict, false, effects);
        (!starts).then_some(ahead.due_ms.min(wait_ms))
    }
}

impl State {
    /// The worker that first comes to load the model of a line beside what it computes.
    fn ahead_for(&self, now: TimeUs, line: u32) -> Option<Ahead> {
        if self.fleet.overlapping.is_empty() {
            return None;
        }
        let row = self.lines.line(line);
        let (model, place) = (row.model, row.place);
        let (_, slot) = self.lines.head(line)?;
        // Waiting for one's share is no reason to push anybody out.
        let job = self.jobs.get(slot).filter(|job| !job.early)?;
        if !self.models[model as usize].loads() {
            return None;
        }
        let ahead = u64::from(self.models[model as usize].due.saturating_sub(1));
        let age_ms = now.since_ms(job.created_at) as f64;
        let mut question = self.question(now, model, place, ahead, age_ms, 0.0);
        // By the time that the load ends the worker is free itself.
        question.free += 1;
        let mut best: Option<(f64, f64, Ahead)> = None;
        for id in self.fleet.overlapping.iter().take(limits::WORKERS_COMPARED) {
            let Some(worker) = self.fleet.workers.get(*id) else { continue };
            // Who has warm work when it has room is no worker to load, as among those with room.
            let busy = worker.resident.iter().any(|one| self.models[one.model as usize].waiting > 0);
            let fits = self.fits(model, place, &self.fleet.classes[worker.class as usize]);
            if busy || !fits || worker.resident(model).is_some() {
                continue;
            }
            let Some((victim, evict)) = self.room_for(now, worker, model) else { continue };
            // Sooner it would only keep others from what leaves.
            let early_ms =
                worker.room_in_ms(now, &self.predictor.loads) - worker.here_ms(question.load_ms as i64);
            let due_ms = swap::due_in_ms(&swap::Question { victim, ..question }).max(early_ms as f64);
            let rank = (due_ms.max(0.0), victim);
            if best.as_ref().is_none_or(|(due, worth, _)| rank < (*due, *worth)) {
                best = Some((rank.0, rank.1, Ahead { due_ms, worker: *id, evict }));
            }
        }
        best.map(|(_, _, ahead)| ahead)
    }
}
