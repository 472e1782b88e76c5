//! Machines of pools: what the scheduler wants becomes rows, what providers and agents say moves them on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use backlot_inference_scheduler::{AgentKey, Event, PoolKey, TenantKey, WorkerKey, limits as scheduling};
use tokio::sync::watch;

use super::{Driver, agents::Hello, batch::Batch, plus_ms};
use crate::{
    limits,
    machine::{Losses, Machine, MachineState as State, losses, reason},
    overflow::OverflowConfig,
    pools::{Errand, Errands, PoolConfig, ProviderKind},
    store::Spent,
};

/// All machines, and what is known of their pools beside the rows.
pub(super) struct Machines {
    pub(super) pools: BTreeMap<String, PoolConfig>,
    /// Those that are not gone, and those that went within a day.
    pub(super) rows: BTreeMap<String, Machine>,
    /// Third parties, and what tenants spent with them today and yesterday.
    pub(super) overflow: BTreeMap<String, OverflowConfig>,
    pub(super) spent: BTreeMap<(String, i64, String), i64>,
    /// Workers that the scheduler said last.
    pub(super) wanted: BTreeMap<String, u32>,
    /// Listed machines that nobody here ordered.
    pub(super) unknown: BTreeMap<String, usize>,
    /// Why a provider could not be asked, or could not do what it was told last.
    pub(super) troubles: BTreeMap<String, String>,
    /// Local machines that are gone and of which a folder is left, with their pools.
    pub(super) leftovers: BTreeMap<String, String>,
    /// How many lists in a row missed a machine.
    pub(super) missing: BTreeMap<String, u32>,
    /// Local machines that were there before this driver.
    pub(super) adopting: BTreeSet<String>,
    since: Timestamp,
    errands: watch::Sender<Errands>,
}

impl Machines {
    pub(super) fn new(pools: BTreeMap<String, PoolConfig>, rows: Vec<Machine>, now: Timestamp) -> Self {
        let local = |one: &Machine| pools.get(&one.pool).is_some_and(|p| p.provider == ProviderKind::Local);
        let there = |one: &Machine| matches!(one.state, State::Booting | State::Joined);
        let adopting =
            rows.iter().filter(|one| there(one) && local(one)).map(|machine| machine.id.clone()).collect();
        for machine in rows.iter().filter(|one| one.state != State::Gone && !pools.contains_key(&one.pool)) {
            tracing::error!(machine = machine.id, pool = machine.pool, "a machine's pool is not configured");
        }
        let machines = Self {
            pools,
            rows: rows.into_iter().map(|machine| (machine.id.clone(), machine)).collect(),
            overflow: BTreeMap::new(),
            spent: BTreeMap::new(),
            wanted: BTreeMap::new(),
            unknown: BTreeMap::new(),
            troubles: BTreeMap::new(),
            leftovers: BTreeMap::new(),
            missing: BTreeMap::new(),
            adopting,
            since: now,
            errands: watch::Sender::new(Arc::default()),
        };
        machines.send_errands();
        machines
    }

    pub(super) fn errands(&self) -> watch::Receiver<Errands> {
        self.errands.subscribe()
    }

    /// Tells the carrier what is to be done. Called once the rows are durable.
    pub(super) fn send_errands(&self) {
        let errand = |machine: &Machine| match machine.state {
            State::Ordered => Some(Errand::Create),
            State::Deleting => Some(Errand::Delete),
            State::Booting | State::Joined if self.adopting.contains(&machine.id) => Some(Errand::Adopt),
            State::Booting | State::Joined | State::Draining | State::Gone => None,
        };
        let todo = self.rows.values().filter_map(|one| Some((one, errand(one)?)));
        let todo = todo.map(|(one, errand)| (one.id.clone(), (one.pool.clone(), errand)));
        let left = self.leftovers.iter().map(|(id, pool)| (id.clone(), (pool.clone(), Errand::Delete)));
        self.errands.send_replace(Arc::new(left.chain(todo).collect()));
    }

    /// Machines that a pool has or has ordered.
    pub(super) fn count(&self, pool: &str) -> u32 {
        u32::try_from(self.of_pool(pool).filter(|one| one.state.counts()).count()).unwrap_or(u32::MAX)
    }

    /// Machines that never joined and that their provider may still have, although they are not wanted.
    fn not_returned(&self, pool: &str) -> u32 {
        let own = self.of_pool(pool).filter(|one| one.state == State::Deleting && one.joined_at.is_none());
        u32::try_from(own.count()).unwrap_or(u32::MAX)
    }

    fn of_pool(&self, pool: &str) -> impl Iterator<Item = &Machine> + Clone {
        self.rows.values().filter(move |one| one.pool == pool)
    }

    fn losses(&self, pool: &str) -> Option<Losses<'_>> {
        losses(self.of_pool(pool))
    }

    /// What is wrong with a pool: what its provider could not do, else why its machines do not join.
    pub(super) fn trouble(&self, now: Timestamp, pool: &str, config: &PoolConfig) -> Option<String> {
        let most_ms = config.boot_ms.saturating_mul(2);
        let waited_for = |one: &&Machine| {
            let overdue = plus_ms(one.ordered_at, most_ms) < now;
            overdue && matches!(one.state, State::Ordered | State::Booting)
        };
        let overdue = || self.of_pool(pool).filter(waited_for).min_by_key(|one| one.ordered_at);
        let late = |one: &Machine| one.has_not_joined("a machine that was ordered has not joined");
        let lost = |Losses { last, .. }: Losses<'_>| match last.reason.as_str() {
            reason::DID_NOT_COME => last.has_not_joined("a machine that was ordered did not join"),
            _ => last.has_not_joined("a machine was gone before its agent joined"),
        };
        let troubles = self.troubles.get(pool).cloned().or_else(|| overdue().map(late));
        troubles.or_else(|| self.losses(pool).map(lost))
    }

    fn of_agent(&self, agent: &AgentKey) -> Option<&str> {
        let own = |one: &&Machine| one.agent == agent.as_str() && one.state != State::Gone;
        self.rows.values().find(own).map(|one| one.id.as_str())
    }
}

impl Driver {
    /// What tells the carrier of this driver what to do.
    pub(crate) fn errands(&self) -> watch::Receiver<Errands> {
        self.machines.errands()
    }

    /// The number of this lead.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Announces all pools to the scheduler, with the machines that they have.
    pub(super) fn announce_pools(&mut self, now: Timestamp, batch: &mut Batch) {
        for (name, config) in self.machines.pools.clone() {
            let spec = config.spec(&name, self.machines.count(&name));
            self.apply(now, Event::PoolChanged(spec), None, batch);
        }
        let leaving: Vec<String> = self
            .machines
            .rows
            .values()
            .filter(|one| !one.agent.is_empty() && matches!(one.state, State::Draining | State::Deleting))
            .map(|one| one.agent.clone())
            .collect();
        for agent in leaving {
            self.apply(now, Event::AgentDraining { agent: AgentKey::from(agent.as_str()) }, None, batch);
        }
    }

    /// Announces third parties, with what was spent today.
    pub(super) fn announce_overflow(
        &mut self,
        now: Timestamp,
        overflow: BTreeMap<String, OverflowConfig>,
        spent: Vec<Spent>,
        batch: &mut Batch,
    ) {
        for (name, config) in &overflow {
            self.apply(now, Event::PaidChanged(config.spec(name)), None, batch);
        }
        self.machines.overflow = overflow;
        for Spent { pool, tenant, day, micro } in spent {
            self.machines.spent.insert((pool.clone(), day, tenant.clone()), micro);
            let (pool, tenant) = (PoolKey::from(pool.as_str()), TenantKey::from(tenant.as_str()));
            self.apply(now, Event::PaidSpent { pool, tenant, day, micro }, None, batch);
        }
    }

    /// What jobs cost at a third party since midnight (UTC), micro-dollars.
    pub(super) fn overflowed_today_micro(&self, now: Timestamp, name: &str) -> i64 {
        let today = now.micros().div_euclid(limits::DAY_US);
        let own = self.machines.spent.iter().filter(|((pool, day, _), _)| pool == name && *day == today);
        own.map(|(_, micro)| *micro).fold(0, i64::saturating_add)
    }

    /// The scheduler wants so many workers in a pool: what is missing is ordered, orders that are too many are cancelled.
    pub(super) fn scaled(&mut self, now: Timestamp, pool: &PoolKey, workers: u32, batch: &mut Batch) {
        let name = pool.as_str();
        self.machines.wanted.insert(name.to_owned(), workers);
        self.reconcile(now, name, workers, batch);
    }

    /// Orders what is missing and sends orders away that are too many. What a pool always has is the operator's word: where
    /// the scheduler has given its orders up and leaves the pool alone, the driver goes on for that much, after a pause.
    fn reconcile(&mut self, now: Timestamp, name: &str, workers: u32, batch: &mut Batch) {
        let Some(config) = self.machines.pools.get(name) else { return };
        let (per_machine, price) = (config.workers.max(1), config.price_micro_per_hour);
        let most_ms = config.boot_ms.saturating_mul(2);
        let asked = workers.div_ceil(per_machine).min(config.max);
        let wanted = asked.max(config.min);
        let held = self.machines.count(name);
        let pauses = self.machines.losses(name).is_some_and(|losses| now < losses.until);
        // What does not come and cannot be given back may be running all the same: never more than the pool may have.
        let room = config.max.saturating_sub(self.machines.not_returned(name));
        for _ in held..if pauses { held } else { wanted.min(room) } {
            self.order(now, name, per_machine, price, batch);
        }
        // What has joined goes by name only. Of the orders, those that are longest overdue go first, then the newest.
        let mut orders: Vec<(bool, i64, String)> = self
            .machines
            .of_pool(name)
            .filter(|one| matches!(one.state, State::Ordered | State::Booting))
            .map(|one| {
                let overdue = plus_ms(one.ordered_at, most_ms) < now;
                let age_us = now.micros().saturating_sub(one.ordered_at.micros());
                (!overdue, if overdue { -age_us } else { age_us }, one.id.clone())
            })
            .collect();
        orders.sort_unstable();
        for (nth, (in_time, _, id)) in orders.into_iter().enumerate() {
            let (keep, why) =
                if in_time { (wanted, reason::NOT_NEEDED) } else { (asked, reason::DID_NOT_COME) };
            if nth < held.saturating_sub(keep) as usize {
                self.send_off(now, &id, State::Deleting, why, batch);
            }
        }
    }

    fn order(
        &mut self,
        now: Timestamp,
        pool: &str,
        workers: u32,
        price_micro_per_hour: i64,
        batch: &mut Batch,
    ) {
        let id = format!("m{}", Uuid::now_v7().simple());
        tracing::info!(machine = id, pool, "a machine is ordered");
        let machine = Machine {
            id: id.clone(),
            pool: pool.to_owned(),
            agent: String::new(),
            state: State::Ordered,
            reason: String::new(),
            message: String::new(),
            epoch: self.epoch,
            workers,
            price_micro_per_hour,
            ordered_at: now,
            created_at: None,
            joined_at: None,
            leaving_at: None,
            gone_at: None,
        };
        self.machines.rows.insert(id.clone(), machine);
        batch.machine(&id);
    }

    /// The scheduler lets a machine go: it finishes what it runs.
    pub(super) fn retired(&mut self, now: Timestamp, agent: &AgentKey, batch: &mut Batch) {
        if let Some(id) = self.machines.of_agent(agent).map(str::to_owned) {
            self.send_off(now, &id, State::Draining, reason::NOT_NEEDED, batch);
        }
    }

    /// An agent goes by itself, or its market has announced it: its machine is not worth keeping.
    pub(super) fn noticed(&mut self, now: Timestamp, agent: &AgentKey, batch: &mut Batch) {
        let machines = &self.machines;
        let id = machines.of_agent(agent).filter(|id| machines.rows[*id].state.counts()).map(str::to_owned);
        if let Some(id) = id {
            self.send_off(now, &id, State::Draining, reason::TAKEN_AWAY, batch);
        }
    }

    pub(super) fn send_off(
        &mut self,
        now: Timestamp,
        id: &str,
        state: State,
        reason: &str,
        batch: &mut Batch,
    ) {
        let Some(machine) = self.machines.rows.get_mut(id) else { return };
        let forward =
            machine.state.counts() || (machine.state == State::Draining && state != State::Draining);
        if forward {
            tracing::info!(machine = id, pool = machine.pool, reason, to = state.as_str(), "a machine goes");
            machine.leave(now, state, reason);
            batch.machine(id);
        }
    }

    /// What an agent says of its machine is compared with the row. The pool that its workers belong to; where the machine
    /// is to go, the agent gets nothing.
    pub(super) fn greet_machine(
        &mut self,
        now: Timestamp,
        hello: &Hello,
        batch: &mut Batch,
    ) -> Option<PoolKey> {
        if self.machines.overflow.contains_key(&hello.pool) {
            return Some(PoolKey::from(hello.pool.as_str()));
        }
        if hello.machine.is_empty() {
            return None;
        }
        let drain = Event::AgentDraining { agent: hello.agent.clone() };
        let row = self.machines.rows.get_mut(&hello.machine).filter(|row| row.pool == hello.pool);
        let Some(machine) = row else {
            tracing::error!(machine = hello.machine, pool = hello.pool, "nobody here ordered this machine");
            self.apply(now, drain, None, batch);
            return None;
        };
        machine.agent = hello.agent.as_str().to_owned();
        if machine.state.counts() {
            if machine.state != State::Joined {
                machine.created_at = machine.created_at.or(Some(now));
                machine.joined_at = Some(now);
                machine.message.clear();
                machine.state = State::Joined;
                batch.machine(&hello.machine);
            }
            return Some(PoolKey::from(hello.pool.as_str()));
        }
        if machine.state == State::Gone {
            (machine.state, machine.gone_at) = (State::Deleting, None);
            batch.machine(&hello.machine);
        }
        self.apply(now, drain, None, batch);
        None
    }

    /// What the scheduler wanted last is compared with what there is; machines that have drained go; what was gone for a day leaves memory.
    pub(super) fn tend_machines(&mut self, now: Timestamp, batch: &mut Batch) {
        for (pool, workers) in self.machines.wanted.clone() {
            self.reconcile(now, &pool, workers, batch);
        }
        let drained = self.machines.rows.values().filter(|one| one.state == State::Draining);
        let drained: Vec<String> =
            drained.filter(|one| self.is_done(now, &one.agent)).map(|one| one.id.clone()).collect();
        for id in drained {
            self.send_off(now, &id, State::Deleting, "", batch);
        }
        let old = |one: &Machine| one.gone_at.is_some_and(|at| plus_ms(at, limits::GONE_KEPT_MS) < now);
        self.machines.rows.retain(|_, machine| !old(machine));
        let today = now.micros().div_euclid(limits::DAY_US);
        self.machines.spent.retain(|(_, day, _), _| *day + 1 >= today);
        self.measure_machines(now);
    }

    /// Whether nothing runs at an agent any more, or nobody has heard of it for longer than a lease.
    fn is_done(&self, now: Timestamp, agent: &str) -> bool {
        let key = AgentKey::from(agent);
        let Some(entry) = self.agents.get(&key) else {
            return agent.is_empty() || plus_ms(self.machines.since, scheduling::LEASE_MS) < now;
        };
        let mut workers = entry.workers.iter().map(|spec| WorkerKey::new(&key, &spec.worker));
        let idle = workers.all(|worker| self.scheduler.worker_load(&worker).jobs.is_empty());
        let silent = entry.stream.is_none() && plus_ms(entry.last_seen_at, scheduling::LEASE_MS) < now;
        (idle && entry.running == 0) || silent
    }

    fn measure_machines(&self, now: Timestamp) {
        for name in self.machines.overflow.keys() {
            metrics::gauge!("backlot_inference_overflow_spent_today_micro", "pool" => name.clone())
                .set(self.overflowed_today_micro(now, name) as f64);
        }
        for name in self.machines.pools.keys() {
            for state in State::ALL.into_iter().filter(|state| *state != State::Gone) {
                let count = self.machines.rows.values().filter(|one| one.pool == *name && one.state == state);
                metrics::gauge!("backlot_inference_machines", "pool" => name.clone(), "state" => state.as_str())
                    .set(count.count() as f64);
            }
            let unknown = self.machines.unknown.get(name).copied().unwrap_or_default();
            metrics::gauge!("backlot_inference_machines_unknown", "pool" => name.clone()).set(unknown as f64);
            metrics::gauge!("backlot_inference_pool_spent_today_micro", "pool" => name.clone())
                .set(self.spent_today_micro(now, name) as f64);
        }
    }

    /// What a pool's machines cost since midnight (UTC), micro-dollars.
    pub(super) fn spent_today_micro(&self, now: Timestamp, pool: &str) -> i64 {
        let midnight = Timestamp::from_micros(now.micros() - now.micros().rem_euclid(limits::DAY_US));
        let own = self.machines.rows.values().filter(|one| one.pool == pool);
        own.map(|one| one.cost_micro(midnight, now)).fold(0, i64::saturating_add)
    }
}
