//! Rules over several regions: local only; `SkyLB` (2505.24095), which pushes to another region what finds nothing free at
//! home; `SpotHedge` (`SkyServe`, 2411.01438), spot with over-provision, on demand where spot falls short, zones that
//! preempted set aside. All three scale by `SkyServe`'s request-rate autoscaler.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backlot_inference_scheduler::{Effect, Event, JobKey, PoolKey, PoolSpec, RegionKey, TimeUs};

use super::view::{Change, View};
use crate::policy::Policy;

/// The autoscaler looks this often, over this window, and acts after a demand that has lasted so long.
const LOOK_MS: i64 = 20_000;
const WINDOW_MS: i64 = 60_000;
const UP_MS: i64 = 300_000;
const DOWN_MS: i64 = 1_200_000;
/// Spot machines more than needed, and the fewest zones that may be active before all are tried again.
const SPOT_MORE: u32 = 2;
const ZONES_MIN: usize = 2;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every region for itself, on demand.
    LocalOnly,
    /// On demand; what finds nothing free at home goes elsewhere.
    SkyLb,
    /// Spot first.
    SpotHedge,
}

/// How many workers a stream of requests is given.
#[derive(Clone, Debug, Default)]
struct Scaler {
    arrivals: VecDeque<TimeUs>,
    target: u32,
    up_ms: i64,
    down_ms: i64,
}

impl Scaler {
    fn look(&mut self, now: TimeUs, rate_per_worker: f64) {
        while self.arrivals.front().is_some_and(|at| now.since_ms(*at) > WINDOW_MS) {
            self.arrivals.pop_front();
        }
        let rate = self.arrivals.len() as f64 / (WINDOW_MS / 1000) as f64;
        let wanted = ((rate / rate_per_worker).ceil() as u32).max(1);
        self.up_ms = if wanted > self.target { self.up_ms + LOOK_MS } else { 0 };
        self.down_ms = if wanted < self.target { self.down_ms + LOOK_MS } else { 0 };
        if self.target == 0 || self.up_ms >= UP_MS || self.down_ms >= DOWN_MS {
            (self.target, self.up_ms, self.down_ms) = (wanted, 0, 0);
        }
    }
}

/// One of the three.
#[derive(Clone, Debug)]
pub(crate) struct Regional {
    mode: Mode,
    /// Requests a second that one worker is meant to take.
    rate_per_worker: f64,
    view: View,
    /// What waits, by its home.
    waiting: BTreeMap<Option<RegionKey>, BTreeSet<JobKey>>,
    scalers: BTreeMap<Option<RegionKey>, Scaler>,
    pools: BTreeMap<PoolKey, PoolSpec>,
    /// What was last asked of each pool.
    asked: BTreeMap<PoolKey, u32>,
    /// Zones that have preempted.
    set_aside: BTreeSet<PoolKey>,
    next_look: TimeUs,
}

impl Regional {
    pub(crate) fn new(mode: Mode, rate_per_worker: f64) -> Self {
        Self {
            mode,
            rate_per_worker,
            view: View::default(),
            waiting: BTreeMap::new(),
            scalers: BTreeMap::new(),
            pools: BTreeMap::new(),
            asked: BTreeMap::new(),
            set_aside: BTreeSet::new(),
            next_look: TimeUs(0),
        }
    }

    fn scale(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        self.next_look = now.plus_ms(LOOK_MS);
        for pool in self.pools.values() {
            let home = (self.mode != Mode::SpotHedge).then(|| pool.region.clone());
            self.scalers.entry(home).or_default();
        }
        for scaler in self.scalers.values_mut() {
            scaler.look(now, self.rate_per_worker);
        }
        let mut orders: BTreeMap<PoolKey, u32> = BTreeMap::new();
        if self.mode == Mode::SpotHedge {
            self.hedge(&mut orders);
        } else {
            for pool in self.pools.values().filter(|pool| !pool.spot) {
                let target = self.scalers.get(&Some(pool.region.clone())).map_or(1, |scaler| scaler.target);
                orders.insert(pool.pool.clone(), target.min(pool.max));
            }
        }
        self.asked.clone_from(&orders);
        effects.extend(orders.into_iter().map(|(pool, workers)| Effect::Scale { pool, workers }));
    }

    /// Spreads target and over-provision over the spot zones that are not set aside; what is not there yet is bought on
    /// demand where it is cheapest.
    fn hedge(&mut self, orders: &mut BTreeMap<PoolKey, u32>) {
        let target = self.scalers.get(&None).map_or(1, |scaler| scaler.target);
        let zones: Vec<&PoolSpec> = self.pools.values().filter(|pool| pool.spot).collect();
        if zones.iter().filter(|pool| !self.set_aside.contains(&pool.pool)).count() < ZONES_MIN {
            self.set_aside.clear();
        }
        let mut active: Vec<&&PoolSpec> =
            zones.iter().filter(|pool| !self.set_aside.contains(&pool.pool) && pool.max > 0).collect();
        active.sort_by_key(|pool| pool.price_micro_per_hour);
        let mut left = target + SPOT_MORE;
        for zone in &zones {
            orders.insert(zone.pool.clone(), 0);
        }
        while left > 0 {
            let mut placed = false;
            for zone in &active {
                let order = orders.entry(zone.pool.clone()).or_default();
                if left > 0 && *order < zone.max {
                    *order += 1;
                    left -= 1;
                    placed = true;
                }
            }
            if !placed {
                break;
            }
        }
        let ready = self.view.workers.iter().filter(|worker| {
            worker.open
                && worker.pool.as_ref().is_some_and(|pool| self.pools.get(pool).is_some_and(|pool| pool.spot))
        });
        let mut short = target.saturating_sub(ready.count() as u32);
        let mut on_demand: Vec<&PoolSpec> = self.pools.values().filter(|pool| !pool.spot).collect();
        on_demand.sort_by_key(|pool| pool.price_micro_per_hour);
        for pool in on_demand {
            let order = short.min(pool.max);
            orders.insert(pool.pool.clone(), order);
            short -= order;
        }
    }

    fn place(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        loop {
            let mut heads: Vec<(JobKey, Option<RegionKey>)> =
                self.waiting.iter().filter_map(|(home, jobs)| Some((*jobs.first()?, home.clone()))).collect();
            heads.sort_unstable();
            let found = heads.into_iter().find_map(|(key, home)| {
                let model = &self.view.jobs.get(&key)?.model;
                let local = self.view.warm_first_where(model, |worker| Some(&worker.region) == home.as_ref());
                let at = match self.mode {
                    Mode::LocalOnly => local,
                    Mode::SkyLb | Mode::SpotHedge => local.or_else(|| self.view.warm_first(model)),
                };
                Some((key, home, at.filter(|at| self.view.fits(key, *at))?))
            });
            let Some((key, home, at)) = found else { return };
            if let Some(jobs) = self.waiting.get_mut(&home) {
                jobs.remove(&key);
            }
            self.view.start(now, key, at, effects);
        }
    }
}

impl Policy for Regional {
    fn name(&self) -> &'static str {
        match self.mode {
            Mode::LocalOnly => "local-only",
            Mode::SkyLb => "sky-lb",
            Mode::SpotHedge => "spot-hedge",
        }
    }

    fn apply(&mut self, now: TimeUs, event: Event, effects: &mut Vec<Effect>) {
        match &event {
            Event::PoolChanged(pool) => {
                self.pools.insert(pool.pool.clone(), pool.clone());
                if pool.spot && self.asked.get(&pool.pool).is_some_and(|asked| *asked > pool.max) {
                    self.set_aside.insert(pool.pool.clone());
                }
            }
            Event::Submitted(spec) => {
                let home = spec.data_region.clone().filter(|_| self.mode != Mode::SpotHedge);
                self.scalers.entry(home).or_default().arrivals.push_back(now);
            }
            Event::CancelRequested { job } => {
                for jobs in self.waiting.values_mut() {
                    jobs.remove(job);
                }
            }
            _ => {}
        }
        let mut changes = Vec::new();
        self.view.note(now, event, &mut changes, effects);
        for change in &changes {
            if let Change::Waits(key) = change
                && let Some(job) = self.view.jobs.get(key)
            {
                self.waiting.entry(job.home.clone()).or_default().insert(*key);
            }
        }
        if now >= self.next_look && !self.pools.is_empty() {
            self.scale(now, effects);
        }
        if !changes.is_empty() {
            self.place(now, effects);
        }
    }

    fn next_wakeup(&self) -> Option<TimeUs> {
        Some(self.next_look)
    }
}
