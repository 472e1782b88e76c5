//! Place: how many machines each pool should have, and which of them goes first.
//!
//! Every few seconds the demand that was learned (`demand.rs`) becomes a number of machines: the work that arrives, with
//! the loads it causes, plus the headroom that keeps the promise. `choose.rs` says from which pools they come. What is
//! missing is ordered at once; what is too much goes only after it was not needed for as long as getting it back would
//! take, idle machines first and of these the one whose models are wanted least, and never before others have taken over.

mod boot;
mod choose;
mod demand;
mod far;
mod look;
mod overflow;
mod pool;
mod remember;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    demand::{Day, Demand, Headroom, Peak},
    pool::{Hazard, Pool},
    remember::Learned,
};
pub(crate) use self::{far::Far, overflow::Overflow};
use crate::{
    event::{AttemptOutcome, ModelProfile, PoolSpec},
    limits,
    scheduler::Scheduler,
    state::{Place, State},
    timers::Timer,
    types::{AgentKey, PoolKey, TimeUs},
};

/// Jobs that the same machines can run: where they may run, and the GPUs and memory that they need.
type Group = (u32, u32, i64);

/// Everything that is known of pools and of what is asked of them. Nothing is counted while there is no pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pools {
    rows: BTreeMap<PoolKey, Pool>,
    /// What an earlier scheduler learned of pools.
    learned: BTreeMap<PoolKey, Learned>,
    groups: BTreeMap<Group, Demand>,
    /// Machines that all groups together needed lately.
    peak: Peak,
    day: Day,
    headroom: Headroom,
    overhead: Overhead,
    /// Agents that were told to go.
    retired: BTreeSet<AgentKey>,
    /// When pools are looked at next.
    look_at: Option<TimeUs>,
    looked_at: Option<TimeUs>,
    /// Until then jobs are late because machines were taken away.
    short_until: TimeUs,
    /// The longest boot of a pool that may have machines.
    boot_ms: i64,
}

/// What jobs cost beyond their compute, learned as they are assigned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Overhead {
    /// Means by assignment: all the work, and the compute of those that run for the first time.
    work_ms: f64,
    run_ms: f64,
    count: u32,
}

impl Overhead {
    fn learn(&mut self, run_ms: f64, load_ms: f64, again: bool) {
        self.count = self.count.saturating_add(1);
        let weight = (1.0 / f64::from(self.count)).max(limits::OVERHEAD_NEW);
        self.work_ms += (run_ms + load_ms - self.work_ms) * weight;
        self.run_ms += (if again { 0.0 } else { run_ms } - self.run_ms) * weight;
    }

    /// Work for each millisecond of compute that arrives.
    fn factor(&self) -> f64 {
        if self.run_ms <= 0.0 { 1.0 } else { (self.work_ms / self.run_ms).clamp(1.0, limits::OVERHEAD_MAX) }
    }
}

impl Pools {
    fn is_off(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn look_at(&self) -> Option<TimeUs> {
        self.look_at
    }

    /// A job begins: what it takes.
    pub(crate) fn assigned(&mut self, run_ms: i64, load_ms: i64, again: bool) {
        if !self.is_off() {
            self.overhead.learn(run_ms as f64, load_ms as f64, again);
        }
    }

    /// The time in which a decision of now cannot be changed: a machine's boot, and a load on it.
    fn horizon_ms(&self, load_ms: f64) -> f64 {
        self.boot_ms as f64 + load_ms
    }

    /// Whether a pool could run the model there, and how long its first machine takes to come.
    pub(crate) fn could_in_ms(&self, place: &Place, profile: &ModelProfile) -> Option<i64> {
        let rows = self.rows.values().filter(|pool| pool.spec.max > 0 && place.allows(&pool.spec.region));
        rows.filter(|pool| pool.suits(profile.gpus, profile.memory_mib)).map(Pool::boot_ms).min()
    }

    /// Places of which a demand is known.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> + '_ {
        self.groups.keys().map(|(place, _, _)| *place)
    }

    /// Hours and blows of all spot pools together.
    fn spot_hazard(&self) -> Hazard {
        let spot = self.rows.values().filter(|pool| pool.spec.spot);
        spot.fold(Hazard::default(), |all, pool| Hazard {
            hours: all.hours + pool.hazard.hours,
            blows: all.blows + pool.hazard.blows,
            ..all
        })
    }

    fn measure_boots(&mut self) {
        let open = self.rows.values().filter(|pool| pool.spec.max > 0);
        self.boot_ms = open.map(Pool::boot_ms).max().unwrap_or(self.boot_ms).max(0);
    }

    pub(crate) fn is_retired(&self, agent: &AgentKey) -> bool {
        self.retired.contains(agent)
    }
}

impl State {
    /// An agent that is to go and has not come back yet: it gets nothing when it does. Where too many never came back, those
    /// are forgotten.
    pub(crate) fn expect_retired(&mut self, agent: &AgentKey) {
        if self.pools.retired.len() >= limits::RETIRED_MAX {
            let known = &self.fleet.ids;
            self.pools.retired.retain(|agent| known.contains_key(agent));
        }
        self.pools.retired.insert(agent.clone());
    }

    /// Looks at the pools at `at`, unless that is done earlier.
    fn look_by(&mut self, at: TimeUs) {
        if self.pools.look_at.is_none_or(|before| at < before) {
            self.pools.look_at = Some(at);
            self.timers.set(at, Timer::Look);
        }
    }

    /// Machines of a pool that nobody has asked to go, the present one counted.
    fn stays(&self, pool: &PoolKey) -> u32 {
        let agents = self.fleet.ids.iter().filter_map(|(key, id)| Some((key, self.fleet.agents.get(*id)?)));
        let staying = agents.filter(|(key, agent)| !agent.draining && !self.pools.is_retired(key));
        let workers = staying.flat_map(|(_, agent)| agent.workers.values());
        let own = workers.filter_map(|id| self.fleet.workers.get(*id));
        u32::try_from(own.filter(|worker| worker.spec.pool.as_ref() == Some(pool)).count())
            .unwrap_or(u32::MAX)
    }

    /// An agent goes although nobody asked it to: what its pools are learns from it.
    pub(crate) fn note_left(&mut self, now: TimeUs, key: &AgentKey) {
        if self.pools.is_off() || self.pools.is_retired(key) {
            return;
        }
        let Some((_, agent)) = self.fleet.agent(key).filter(|(_, agent)| !agent.draining) else { return };
        let workers = agent.workers.values().filter_map(|id| self.fleet.workers.get(*id));
        let pools: Vec<PoolKey> = workers.filter_map(|worker| worker.spec.pool.clone()).collect();
        for key in pools {
            let of = self.stays(&key);
            let load_ms = self.predictor.mean_load_ms();
            let pools = &mut self.pools;
            if let Some(pool) = pools.rows.get_mut(&key) {
                pool.hazard.left(now, of);
                let back_ms = pool.boot_ms() as f64 + load_ms;
                pools.short_until = pools.short_until.max(now.plus_ms(back_ms as i64));
            }
        }
        self.look_by(now.plus_ms(limits::LOOK_SOON_MS));
    }

    /// Machines that were ordered have come. Whether the agent was told to go before.
    pub(crate) fn note_joined(&mut self, now: TimeUs, key: &AgentKey, known: bool) -> bool {
        self.far.note_classes(&self.fleet.classes);
        if self.pools.is_off() {
            return self.pools.is_retired(key);
        }
        let workers = self.fleet.agent(key).into_iter().flat_map(|(_, agent)| agent.workers.values());
        let rows = workers.filter_map(|id| self.fleet.workers.get(*id));
        let pools: Vec<PoolKey> = rows.filter_map(|worker| worker.spec.pool.clone()).collect();
        for pool in pools.iter().filter(|_| !known) {
            if let Some(pool) = self.pools.rows.get_mut(pool) {
                pool.came(now);
            }
        }
        self.pools.measure_boots();
        self.pools.is_retired(key)
    }

    /// An agent is no longer part of the fleet: the pool that its machine must be taken out of.
    pub(crate) fn note_forgotten(&mut self, now: TimeUs, key: &AgentKey) -> Option<PoolKey> {
        self.note_left(now, key);
        let (_, agent) = self.fleet.agent(key)?;
        let told = self.pools.retired.remove(key) || agent.draining;
        let mut workers = agent.workers.values().filter_map(|id| self.fleet.workers.get(*id));
        let pool = workers.find_map(|worker| worker.spec.pool.clone());
        pool.filter(|pool| !told && self.pools.rows.contains_key(pool))
    }
}

/// What was learned of a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolOutlook {
    /// From an order to the agent's first message, milliseconds.
    pub boot_ms: i64,
    /// How often a machine is taken away, by the hour.
    pub taken_per_hour: f64,
}

impl Scheduler {
    /// What was learned of a pool; nothing where it was never announced.
    #[must_use]
    pub fn pool_outlook(&self, pool: &PoolKey) -> Option<PoolOutlook> {
        let pool = self.state.pools.rows.get(pool)?;
        Some(PoolOutlook {
            boot_ms: pool.boot_ms(),
            taken_per_hour: pool.blows_h(&self.state.pools.spot_hazard()) * pool.hazard.blow_share(),
        })
    }

    pub(crate) fn pool_changed(&mut self, now: TimeUs, spec: PoolSpec) {
        let members = self.state.stays(&spec.pool);
        let pools = &mut self.state.pools;
        let (key, workers) = (spec.pool.clone(), spec.workers);
        if !pools.rows.contains_key(&key) && pools.rows.len() >= limits::POOLS_MAX {
            return;
        }
        let learned = pools.learned.remove(&key);
        let pool = pools.rows.entry(key).or_insert_with(|| Pool::new(now, spec.clone(), members));
        learned.into_iter().for_each(|learned| pool.recall(learned));
        pool.kind = spec.kind.or(pool.kind);
        pool.spec = spec;
        pool.bounded(members);
        pool.said = Some((workers, now));
        pools.measure_boots();
        self.state.look_by(now.plus_ms(limits::LOOK_SOON_MS));
    }

    /// Counts a job that has just begun to wait for the first time.
    pub(crate) fn note_demand(&mut self, now: TimeUs, slot: u32) {
        if self.state.pools.is_off() {
            return;
        }
        let Some(row) = self.state.jobs.get(slot) else { return };
        let (run_ms, early_ms) = (row.run_ms as f64, -self.state.late_ms(now, row.rank.key));
        let due = limits::DEMAND_EARLY_MS / early_ms.max(limits::DEMAND_EARLY_MS);
        let group = self.state.group_of(row.line);
        let horizon_ms = self.state.pools.horizon_ms(self.state.predictor.mean_load_ms());
        if let Some(row) = self.state.jobs.get_mut(slot) {
            row.due = due as f32;
        }
        let pools = &mut self.state.pools;
        pools.day.arrived(now, run_ms * due);
        if pools.groups.contains_key(&group) || pools.groups.len() < limits::GROUPS_MAX {
            pools.groups.entry(group).or_default().arrived(now, horizon_ms, run_ms, due);
        }
        if self.state.fleet.live == 0 {
            self.state.look_by(now.plus_ms(limits::LOOK_SOON_MS));
        }
    }

    /// A job is done: whether it kept the promise. One that could not have kept it anywhere says nothing about the fleet.
    pub(crate) fn note_served(&mut self, now: TimeUs, slot: u32, outcome: AttemptOutcome, compute_ms: i64) {
        let succeeded = outcome == AttemptOutcome::Succeeded && (compute_ms as f64) < limits::PROMISE_MS;
        let Some(row) = self.state.jobs.get(slot).filter(|_| succeeded && !self.state.pools.is_off()) else {
            return;
        };
        // More headroom in a market that takes all does not help: that is what `choose.rs` spreads the fleet for.
        if row.created_at < self.state.pools.short_until {
            return;
        }
        let late = now.since_ms(row.created_at) as f64 > limits::PROMISE_MS;
        self.state.pools.headroom.learn(late, f64::from(row.due));
    }
}
