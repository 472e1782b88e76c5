//! Who runs where. The simple policy: the job that should start first goes to a free worker where its model is
//! resident, else to one with room for it, else to the one that has been idle longest, where the least recently used
//! model makes room. Jobs that no free worker suits do not hold up those behind them.
//!
//! A better policy replaces this file. It sees the state and proposes; the state machine checks each proposal.

use crate::{
    state::State,
    types::{JobKey, ModelKey, TimeUs, WorkerKey},
};

/// A job on a worker, and what has to be unloaded there first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) job: JobKey,
    pub(crate) worker: WorkerKey,
    pub(crate) evict: Vec<ModelKey>,
}

/// How good a worker is for a job, best first: warm before room before eviction, then the longest idle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    cost: Cost,
    idle_since: TimeUs,
    worker: WorkerKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Warm,
    Load,
    Swap,
}

/// The next thing to start, if anything can start now.
pub(crate) fn next_placement(state: &State) -> Option<Placement> {
    let free: Vec<_> =
        state.fleet.connected().filter(|(_, agent, worker)| !agent.draining && !worker.is_full()).collect();
    if free.is_empty() {
        return None;
    }
    for (rank, line) in state.queue.heads() {
        let Some(profile) = state.models.get(&line.model) else { continue };
        let best = free
            .iter()
            .filter(|(_, agent, worker)| line.place.allows(&agent.region) && worker.suits(profile))
            .filter_map(|(key, _, worker)| {
                let evict = worker.room_for(profile, &state.models)?;
                let cost = match (worker.is_warm(profile), evict.is_empty()) {
                    (true, _) => Cost::Warm,
                    (false, true) => Cost::Load,
                    (false, false) => Cost::Swap,
                };
                Some((Fit { cost, idle_since: worker.idle_since, worker: key.clone() }, evict))
            })
            .min();
        if let Some((fit, evict)) = best {
            return Some(Placement { job: rank.job(), worker: fit.worker, evict });
        }
    }
    None
}
