//! Fair shares: generalised processor sharing as a fluid, followed in virtual time.
//!
//! The fluid serves every backlogged tenant at once, by weight, with the capacity of the fleet. Virtual time is the work
//! that one unit of weight has received; a tenant is backlogged while its finish tag lies ahead of it. A job's start tag
//! is the virtual time at which the fluid would begin it: that is its place in the order. So tenants within their share
//! stand in the order of arrival, and one that asks for more stands behind by just the work it asked for, loads included:
//! not at all within a slack, wholly from twice the slack on. Nobody is punished for capacity that nobody else wanted:
//! the fluid was empty and tags were caught up with. A tenant that has asked for much for hours has earned more weight
//! than its own: see [`Steady`].

use std::collections::BTreeSet;

use crate::{
    limits,
    steady::{Steady, Work},
    types::TimeUs,
};

#[derive(Clone, Copy, Debug)]
struct Share {
    /// As it counts: its own, times what it has earned.
    weight: f64,
    own: f64,
    earned: f64,
    /// Virtual time up to which the fluid is busy with what this tenant asked for.
    finish: i64,
    /// Loads that it caused, in virtual time: what waits of it moves back by as much.
    debt_us: i64,
    /// Under which it stands among those that are backlogged: its finish, or an earlier one.
    queued: Option<i64>,
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: 1.0, own: 1.0, earned: 1.0, finish: 0, debt_us: 0, queued: None }
    }
}

/// The fluid. Virtual times are microseconds of work a unit of weight.
#[derive(Clone, Debug)]
pub(crate) struct Fair {
    virtual_us: f64,
    at: TimeUs,
    capacity: f64,
    backlogged: f64,
    finishes: BTreeSet<(i64, u32)>,
    shares: Vec<Share>,
    steady: Steady,
    /// Virtual time does not pass this: see [`Fair::hold`].
    held_us: f64,
    first: Option<i64>,
}

impl Default for Fair {
    fn default() -> Self {
        let (virtual_us, at, capacity, backlogged) = (0.0, TimeUs(0), 0.0, 0.0);
        let held_us = f64::MAX;
        Self {
            virtual_us,
            at,
            capacity,
            backlogged,
            finishes: BTreeSet::new(),
            shares: Vec::new(),
            steady: Steady::default(),
            held_us,
            first: None,
        }
    }
}

/// How far behind its arrival a job stands whose fair start lies `ahead`, in virtual time: not at all within the slack,
/// at its fair start from twice the slack on.
fn behind(ahead: f64, slack: f64) -> f64 {
    ((ahead - slack) * limits::FAIR_RAMP).clamp(0.0, ahead.max(0.0))
}

impl Fair {
    fn share(&mut self, tenant: u32) -> Share {
        let needed = tenant as usize + 1;
        if self.shares.len() < needed {
            self.shares.resize(needed, Share::default());
        }
        self.shares[tenant as usize]
    }

    /// Whether the fluid still serves what the tenant asked for.
    pub(crate) fn owes(&self, tenant: u32) -> bool {
        self.shares.get(tenant as usize).is_some_and(|share| share.queued.is_some())
    }

    /// Forgets a tenant whom nothing is owed.
    pub(crate) fn forget(&mut self, tenant: u32) {
        if let Some(share) = self.shares.get_mut(tenant as usize) {
            *share = Share::default();
        }
        self.steady.forget(tenant);
    }

    /// What tenants ask for steadily.
    pub(crate) fn steady(&self) -> &Steady {
        &self.steady
    }

    pub(crate) fn steady_mut(&mut self) -> &mut Steady {
        &mut self.steady
    }

    /// Work per time that one unit of weight gets now.
    pub(crate) fn rate(&self) -> f64 {
        self.capacity.max(1.0) / self.backlogged.max(1.0)
    }

    /// Ties the fluid to what really happens: it may not run ahead of the first job that still waits by more than
    /// [`FAIR_LEAD_MS`](limits::FAIR_LEAD_MS). Loads and idle moments make the fleet slower than the fluid, and what the
    /// fluid has passed would stand before everybody who comes later.
    pub(crate) fn hold(&mut self, now: TimeUs, first: Option<i64>) {
        if first == self.first {
            return;
        }
        self.first = first;
        self.advance(now);
        let lead = limits::FAIR_LEAD_MS * 1_000.0 * self.rate();
        self.held_us = first.map_or(f64::MAX, |key| key as f64 + lead);
    }

    pub(crate) fn set_capacity(&mut self, now: TimeUs, capacity: f64) {
        self.advance(now);
        self.capacity = capacity;
    }

    pub(crate) fn set_weight(&mut self, now: TimeUs, tenant: u32, weight_milli: u32) {
        self.advance(now);
        let earned = self.share(tenant).earned;
        self.weigh(tenant, f64::from(weight_milli.max(1)) / 1_000.0, earned);
    }

    /// Sets what a tenant's weight is made of, for what it asks for from now on: places that were given stay. So the
    /// fluid owes somewhat more than it should while a weight grows, and runs slower; growth takes hours.
    fn weigh(&mut self, tenant: u32, own: f64, earned: f64) {
        let share = &mut self.shares[tenant as usize];
        let before = std::mem::replace(&mut share.weight, own * earned);
        (share.own, share.earned) = (own, earned);
        if share.queued.is_some() {
            self.backlogged += share.weight - before;
        }
    }

    /// Lets the fluid flow up to `now`.
    pub(crate) fn advance(&mut self, now: TimeUs) {
        let mut work = (now.0.saturating_sub(self.at.0)).max(0) as f64 * self.capacity.max(1.0);
        self.at = self.at.max(now);
        while work > 0.0 && self.virtual_us < self.held_us {
            let Some(&(finish, tenant)) = self.finishes.first() else {
                self.virtual_us = (self.virtual_us + work).min(self.held_us);
                return;
            };
            let until = (finish as f64).min(self.held_us);
            let needed = (until - self.virtual_us).max(0.0) * self.backlogged.max(f64::MIN_POSITIVE);
            if needed > work {
                self.virtual_us += work / self.backlogged;
                return;
            }
            work -= needed;
            self.virtual_us = self.virtual_us.max(until);
            if finish as f64 > self.virtual_us {
                return;
            }
            self.finishes.pop_first();
            let share = &mut self.shares[tenant as usize];
            share.queued = None;
            if share.finish > finish {
                // It has asked for more since: its entry moves only now, not with each job.
                share.queued = Some(share.finish);
                self.finishes.insert((share.finish, tenant));
                continue;
            }
            self.backlogged -= share.weight;
            if self.finishes.is_empty() {
                self.backlogged = 0.0;
            }
        }
    }

    /// Counts a job's work for its tenant; its place in the order, and the debt up to which it keeps that.
    pub(crate) fn enter(&mut self, now: TimeUs, tenant: u32, work: Work) -> (i64, i64) {
        self.advance(now);
        let share = self.share(tenant);
        let ahead = share.finish as f64 - self.virtual_us;
        if let Some(earned) = self.steady.asks(now, tenant, work, self.capacity.max(1.0)) {
            self.weigh(tenant, share.own, earned);
        }
        self.charge(tenant, work.ms);
        let slack = limits::FAIR_SLACK_MS * 1_000.0 * self.rate();
        let spare = (slack - ahead).max(0.0) as i64;
        ((self.virtual_us + behind(ahead, slack)) as i64, self.debt_us(tenant) + spare)
    }

    /// Counts a load for the tenant that caused it.
    pub(crate) fn charge_load(&mut self, tenant: u32, load_ms: i64) {
        self.charge(tenant, load_ms);
        let share = &mut self.shares[tenant as usize];
        share.debt_us += (load_ms as f64 * 1_000.0 / share.weight) as i64;
    }

    /// Loads that the tenant has caused.
    pub(crate) fn debt_us(&self, tenant: u32) -> i64 {
        self.shares.get(tenant as usize).map_or(0, |share| share.debt_us)
    }

    /// The place that a tenant's next job would get, as near as can be said without moving the fluid.
    pub(crate) fn peek(&self, now: TimeUs, tenant: Option<u32>) -> i64 {
        let since_us = (now.0.saturating_sub(self.at.0)).max(0) as f64;
        let virtual_us = (self.virtual_us + since_us * self.rate()).min(self.held_us.max(self.virtual_us));
        let finish =
            tenant.and_then(|tenant| self.shares.get(tenant as usize)).map_or(0, |share| share.finish);
        let slack = limits::FAIR_SLACK_MS * 1_000.0 * self.rate();
        (virtual_us + behind(finish as f64 - virtual_us, slack)) as i64
    }

    /// Counts more work, or less, for a tenant: loads, and what a prediction was wrong by.
    pub(crate) fn charge(&mut self, tenant: u32, work_ms: i64) {
        let share = self.share(tenant);
        let from = if work_ms > 0 { (share.finish as f64).max(self.virtual_us) } else { share.finish as f64 };
        let finish = (from + work_ms as f64 * 1_000.0 / share.weight) as i64;
        let stays = finish as f64 > self.virtual_us;
        let row = &mut self.shares[tenant as usize];
        row.finish = finish;
        match (share.queued, stays) {
            (Some(queued), true) if queued <= finish => {}
            (Some(queued), true) => {
                self.finishes.remove(&(queued, tenant));
                self.finishes.insert((finish, tenant));
                row.queued = Some(finish);
            }
            (Some(queued), false) => {
                self.finishes.remove(&(queued, tenant));
                row.queued = None;
                self.backlogged -= share.weight;
            }
            (None, true) => {
                self.finishes.insert((finish, tenant));
                row.queued = Some(finish);
                self.backlogged += share.weight;
            }
            (None, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(fair: &mut Fair, now: TimeUs, tenant: u32, ms: i64) -> (i64, i64) {
        fair.enter(now, tenant, Work { ms, created_at: now })
    }

    #[test]
    fn the_greedy_stand_behind_and_the_others_do_not_notice() {
        let mut fair = Fair::default();
        fair.set_capacity(TimeUs(0), 1.0);
        let greedy: Vec<i64> = (0..40).map(|_| enter(&mut fair, TimeUs(0), 0, 10_000).0).collect();
        let modest = enter(&mut fair, TimeUs(1_000_000), 1, 10_000).0;
        assert!(greedy[0] < modest, "the first of the greedy came first");
        assert!(greedy[20] > modest, "what is beyond its share stands behind");
        assert!(greedy.is_sorted());
        // 410 s of work later the fluid is empty and nothing is held against anybody.
        let later = enter(&mut fair, TimeUs(500_000_000), 0, 10_000).0;
        let other = enter(&mut fair, TimeUs(500_000_000), 1, 10_000).0;
        assert_eq!(later, other);
    }

    #[test]
    fn a_little_too_much_keeps_the_slack_and_far_too_much_loses_it() {
        let within = [-5.0, 0.0, 10.0].map(|ahead| behind(ahead, 10.0));
        assert_eq!(within, [0.0; 3]);
        assert_eq!(behind(15.0, 10.0), 10.0);
        let beyond = [20.0, 100.0].map(|ahead| behind(ahead, 10.0));
        assert_eq!(beyond, [20.0, 100.0]);
    }

    #[test]
    fn weights_divide_the_fluid() {
        let mut fair = Fair::default();
        fair.set_capacity(TimeUs(0), 1.0);
        fair.set_weight(TimeUs(0), 0, 3_000);
        let place = |fair: &mut Fair, tenant| (0..9).map(|_| enter(fair, TimeUs(0), tenant, 30_000).0).last();
        let (heavy, light) = (place(&mut fair, 0), place(&mut fair, 1));
        assert!(heavy < light, "three times the weight, a third of the distance");
    }

    #[test]
    fn who_asks_for_much_all_day_keeps_it_beside_the_loads_of_others() {
        let mut fair = Fair::default();
        fair.set_capacity(TimeUs(0), 8.0);
        let (minute_ms, mut behind_us) = (60_000, [0; 2]);
        for minute in 0..600 {
            let now = TimeUs(minute * minute_ms * 1_000);
            // A third of the fleet; and four others whose loads take more than what they compute.
            let start = enter(&mut fair, now, 0, minute_ms * 8 / 3).0;
            behind_us[0] = start - fair.virtual_us as i64;
            for other in 1..5 {
                let start = enter(&mut fair, now, other, minute_ms * 4 / 5).0;
                behind_us[1] = start - fair.virtual_us as i64;
                fair.charge_load(other, minute_ms);
            }
        }
        assert!(
            behind_us[0] <= 0 && behind_us[1] > 0,
            "{behind_us:?}: who loads is behind, who computes is not"
        );
    }
}
