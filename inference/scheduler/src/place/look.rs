//! The look at all pools: what is needed becomes orders and farewells.

use std::collections::BTreeMap;

use super::{
    Group,
    choose::{self, Need, Offer},
    pool::Order,
};
use crate::{
    effect::Effect,
    fleet::{Class, Worker},
    limits,
    scheduler::Scheduler,
    state::State,
    types::{AgentKey, PoolKey, TimeUs},
};

/// A machine of a pool that stays.
#[derive(Clone, Debug)]
struct Member {
    agent: AgentKey,
    workers: u32,
    busy: bool,
    /// What its models are worth.
    value: f64,
}

/// A pool's machines.
#[derive(Clone, Debug, Default)]
struct Members {
    here: Vec<Member>,
    /// Workers of these, and of those whose stream is broken.
    count: u32,
    away: u32,
}

/// What is asked for now.
struct Wanted {
    needs: Vec<Need>,
    /// The demand without headroom.
    mean: f64,
}

impl Scheduler {
    pub(crate) fn look(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        self.state.pools.look_at = None;
        if self.state.pools.is_off() {
            return;
        }
        self.state.look_by(now.plus_ms(limits::LOOK_MS));
        let members = self.state.members(now);
        let state = &mut self.state;
        let since_ms = state.pools.looked_at.replace(now).map_or(0, |before| now.since_ms(before));
        for (key, pool) in &mut state.pools.rows {
            pool.give_up(now);
            if members.get(key).is_some_and(|members| members.count > 0) {
                pool.hazard.held(since_ms);
            }
        }
        let (offers, here) = state.offers(now, &members);
        let wanted = state.wanted(now, &offers);
        let mut taken = choose::choose(&offers, &wanted.needs, wanted.mean);
        for ((taken, pool), offer) in taken.iter_mut().zip(self.state.pools.rows.values()).zip(&offers) {
            *taken = taken.saturating_add(pool.spec.spares).min(offer.max.max(*taken));
        }
        self.order(now, &members, &taken, &wanted.needs, (&offers, here), effects);
    }

    /// Orders what is missing, cancels orders and takes leave of machines that are too many.
    fn order(
        &mut self,
        now: TimeUs,
        members: &BTreeMap<PoolKey, Members>,
        taken: &[u32],
        needs: &[Need],
        (offers, mut here): (&[Offer], Vec<u32>),
        effects: &mut Vec<Effect>,
    ) {
        let mut gone = Vec::new();
        let keys: Vec<PoolKey> = self.state.pools.rows.keys().cloned().collect();
        for (at, key) in keys.iter().enumerate() {
            let none = Members::default();
            let own = members.get(key).unwrap_or(&none);
            let Some(pool) = self.state.pools.rows.get_mut(key) else { continue };
            let mut surplus = i64::from(own.count) + pool.booting.len() as i64 - i64::from(taken[at]);
            while surplus < 0 {
                pool.booting.push_back(Order { at: now, measured: true });
                surplus += 1;
            }
            while surplus > 0 && pool.booting.pop_back().is_some() {
                surplus -= 1;
            }
            let mut left = own.count;
            for member in &own.here {
                let workers = i64::from(member.workers);
                here[at] -= member.workers;
                if workers > surplus || !choose::holds(offers, &here, needs) {
                    here[at] += member.workers;
                    continue;
                }
                surplus -= workers;
                left -= member.workers;
                gone.push(member.agent.clone());
                effects.push(Effect::Retire { pool: key.clone(), agent: member.agent.clone() });
            }
            let workers = left + own.away + pool.booting.len() as u32;
            let again = pool
                .said
                .is_none_or(|(said, at)| said != workers || now.since_ms(at) >= limits::SCALE_AGAIN_MS);
            if again && (workers > 0 || pool.said.is_none_or(|(said, _)| said != 0)) {
                pool.said = Some((workers, now));
                effects.push(Effect::Scale { pool: key.clone(), workers });
            }
        }
        for agent in gone {
            self.retire(now, &agent);
        }
    }

    /// From here on nothing new goes there.
    fn retire(&mut self, now: TimeUs, agent: &AgentKey) {
        self.state.pools.retired.insert(agent.clone());
        self.agent_draining(now, agent);
    }
}

impl State {
    /// The group of what stands in a line.
    pub(super) fn group_of(&self, line: u32) -> Group {
        let row = self.lines.line(line);
        let profile = self.models[row.model as usize].profile.as_ref();
        let (gpus, memory_mib) = profile.map_or((0, 0), |profile| (profile.gpus, profile.memory_mib));
        (row.place, gpus, memory_mib)
    }

    /// All machines of pools, those that are missed least first: idle, then by the worth of what they hold.
    fn members(&mut self, now: TimeUs) -> BTreeMap<PoolKey, Members> {
        let mut all: BTreeMap<PoolKey, Members> = BTreeMap::new();
        let agents = self.fleet.ids.iter().filter_map(|(key, id)| Some((key, self.fleet.agents.get(*id)?)));
        for (key, agent) in agents.filter(|(_, agent)| !agent.draining) {
            let workers: Vec<_> =
                agent.workers.values().filter_map(|id| self.fleet.workers.get(*id)).collect();
            let Some(first) = workers.iter().find(|worker| worker.spec.pool.is_some()) else { continue };
            let Some(row) = first.spec.pool.as_ref().and_then(|pool| self.pools.rows.get_mut(pool)) else {
                continue;
            };
            row.kind = Some((first.spec.gpus, first.spec.memory_mib));
            let own = all.entry(row.spec.pool.clone()).or_default();
            let count = workers.len() as u32;
            if !agent.connected {
                own.away += count;
                continue;
            }
            let worth = |model: u32| self.models[model as usize].value(now);
            let value =
                workers.iter().flat_map(|worker| &worker.resident).map(|resident| worth(resident.model));
            own.count += count;
            own.here.push(Member {
                agent: key.clone(),
                workers: count,
                busy: workers.iter().any(|worker| !worker.running.is_empty()),
                value: value.sum(),
            });
        }
        for own in all.values_mut() {
            own.here.sort_by(|a, b| a.busy.cmp(&b.busy).then(a.value.total_cmp(&b.value)));
        }
        all
    }

    /// The pools as numbers, then the workers that nobody scales, and how many are there now of each.
    fn offers(&self, now: TimeUs, members: &BTreeMap<PoolKey, Members>) -> (Vec<Offer>, Vec<u32>) {
        let (load_ms, redo_ms) = (self.predictor.mean_load_ms(), self.pools.overhead.work_ms / 2.0);
        let all = self.pools.spot_hazard();
        let pools = self.pools.rows.iter().map(|(key, pool)| {
            let here = members.get(key).map_or(0, |members| members.count);
            (pool.offer(now, here, &all, load_ms, redo_ms), here)
        });
        let fixed = self.fixed_classes().map(|class| {
            let workers = class.live.iter().filter_map(|id| self.fleet.workers.get(*id));
            let own = workers.filter(|worker| self.is_fixed(worker));
            let unit = f64::from(class.key.speed_milli) / 1_000.0;
            let (count, room) = own.fold((0, 0), |(n, room), worker| (n + 1, room + worker.spec.concurrency));
            let unit = unit * f64::from(room) / f64::from(count.max(1));
            (Offer { unit, held: count, min: count, max: count, ..Offer::default() }, count)
        });
        pools.chain(fixed).unzip()
    }

    /// Nobody scales it.
    fn is_fixed(&self, worker: &Worker) -> bool {
        worker.spec.pool.as_ref().is_none_or(|pool| !self.pools.rows.contains_key(pool))
    }

    /// Classes of workers that nobody scales, as many as count.
    fn fixed_classes(&self) -> impl Iterator<Item = &Class> {
        let fixed = |class: &&Class| {
            class.live.iter().filter_map(|id| self.fleet.workers.get(*id)).any(|worker| self.is_fixed(worker))
        };
        self.fleet.classes.iter().filter(fixed).take(limits::FIXED_CLASSES_MAX)
    }

    /// The offers that will do for a group, as bits.
    fn mask(&self, (place, gpus, memory_mib): Group) -> u64 {
        let place = self.places.key(place);
        let pools = self
            .pools
            .rows
            .values()
            .map(|pool| place.allows(&pool.spec.region) && pool.suits(gpus, memory_mib));
        let fixed = self.fixed_classes().map(|class| {
            let memory = class.key.memory_mib == 0 || memory_mib <= class.key.memory_mib;
            place.allows(&class.key.region) && memory && gpus <= class.key.gpus
        });
        let bits = pools.chain(fixed).enumerate();
        bits.fold(0, |mask, (at, fits)| mask | u64::from(fits) << at)
    }

    /// Work that waits, by group.
    fn backlog_ms(&self) -> BTreeMap<Group, f64> {
        let mut all = BTreeMap::new();
        for (id, line) in self.lines.rows.iter().enumerate().filter(|(_, line)| !line.jobs.is_empty()) {
            let model = &self.models[line.model as usize];
            // What waits needs a machine, however short it is.
            let mean_ms = (model.backlog_ms as f64 / f64::from(model.waiting.max(1))).max(1.0);
            *all.entry(self.group_of(id as u32)).or_default() += mean_ms * line.jobs.len() as f64;
        }
        all
    }

    /// What the demand of each group, and of all together, needs.
    fn wanted(&mut self, now: TimeUs, offers: &[Offer]) -> Wanted {
        self.pools.day.advance(now);
        let load_ms = self.predictor.mean_load_ms();
        let horizon_ms = self.pools.horizon_ms(load_ms);
        // A machine that goes must boot and load again before it is what it was.
        let keep_ms = self.pools.boot_ms + 2 * load_ms as i64;
        let factor = self.pools.overhead.factor();
        let growth = self.pools.day.growth(now, horizon_ms as i64);
        let backlog = self.backlog_ms();
        let masks: BTreeMap<Group, u64> =
            self.pools.groups.keys().map(|group| (*group, self.mask(*group))).collect();
        let all: u64 = masks.values().fold(0, |all, mask| all | mask);
        let (mut needs, mut mean, mut waits) = (Vec::new(), 0.0, 0.0);
        let mut groups = std::mem::take(&mut self.pools.groups);
        groups.retain(|group, demand| {
            let waiting = backlog.get(group).copied().unwrap_or(0.0) * demand.due_share();
            let quiet = waiting <= 0.0 && demand.comes(now, horizon_ms) < 1.0 - limits::PROMISE_SHARE;
            let erlangs = if quiet { 0.0 } else { demand.erlangs(now, horizon_ms) * factor * growth };
            let mask = masks.get(group).copied().unwrap_or(0);
            (mean, waits) = (mean + erlangs, waits + waiting * factor);
            let needed = self.need(erlangs, waiting * factor, mask, offers, horizon_ms);
            let machines = demand.peak.push(now, needed, keep_ms);
            if mask != all && machines > 0.0 {
                needs.push(Need { pools: mask, machines });
            }
            !quiet || machines > 0.0
        });
        self.pools.groups = groups;
        let needed = self.need(mean, waits, all, offers, horizon_ms);
        let machines = self.pools.peak.push(now, needed, keep_ms);
        needs.push(Need { pools: all, machines });
        Wanted { needs, mean }
    }

    /// Machines for a demand: with headroom, or more where what waits would still wait when they come.
    fn need(&self, erlangs: f64, waits_ms: f64, mask: u64, offers: &[Offer], horizon_ms: f64) -> f64 {
        if erlangs <= 0.0 && waits_ms <= 0.0 {
            return 0.0;
        }
        let held: Vec<u32> = offers.iter().map(|offer| offer.held).collect();
        let held = choose::machines(offers, &held, mask);
        let still_ms = waits_ms + (erlangs - held) * horizon_ms;
        let queue = erlangs + still_ms.max(0.0) / limits::PROMISE_MS;
        self.pools.headroom.machines(erlangs).max(if waits_ms > 0.0 { queue } else { 0.0 }).max(1.0)
    }
}
