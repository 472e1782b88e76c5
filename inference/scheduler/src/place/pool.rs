//! A pool as it is known here: its offer, what was ordered, and how often its machines are taken away.

use std::collections::VecDeque;

use super::{boot::Boot, choose::Offer};
use crate::{event::PoolSpec, limits, types::TimeUs};

/// How often machines are taken away, learned from those that were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Hazard {
    /// Hours with at least one machine.
    pub(super) hours: f64,
    /// Times at which machines were taken away, those within a minute counted once.
    pub(super) blows: f64,
    /// Machines that these took, of how many.
    pub(super) taken: f64,
    pub(super) of: f64,
    pub(super) last: Option<TimeUs>,
}

impl Hazard {
    pub(crate) fn held(&mut self, ms: i64) {
        self.hours += ms as f64 / 3.6e6;
    }

    /// A machine left although nobody had asked it to; `of` were there before.
    pub(crate) fn left(&mut self, now: TimeUs, of: u32) {
        let same = self.last.is_some_and(|last| now.since_ms(last) < limits::BLOW_MS);
        if !same {
            self.blows += 1.0;
            self.of += f64::from(of.max(1));
        }
        self.taken += 1.0;
        self.last = Some(now);
    }

    /// Blows an hour of a spot pool. Before anything was measured anywhere, one in
    /// [`HAZARD_PRIOR_H`](limits::HAZARD_PRIOR_H) hours; what the other markets did counts as much as so many hours here (a
    /// Gamma prior whose mean is theirs): who flees from one market to the next knows something of the next.
    pub(crate) fn spot_blows_h(&self, others: &Self) -> f64 {
        let prior = (1.0 + others.blows) / (limits::HAZARD_PRIOR_H + others.hours);
        (prior * limits::HAZARD_PRIOR_H + self.blows) / (limits::HAZARD_PRIOR_H + self.hours)
    }

    /// The same of a pool that nobody takes machines from, unless it was seen.
    pub(crate) fn lasting_blows_h(&self) -> f64 {
        self.blows / (limits::HAZARD_PRIOR_H + self.hours)
    }

    /// Hours and blows of all but one.
    pub(crate) fn but(&self, one: &Self) -> Self {
        let (hours, blows) = ((self.hours - one.hours).max(0.0), (self.blows - one.blows).max(0.0));
        Self { hours, blows, ..Self::default() }
    }

    /// The share of a pool's machines that a blow takes; all, before anything was measured.
    pub(crate) fn blow_share(&self) -> f64 {
        ((1.0 + self.taken) / (1.0 + self.of)).min(1.0)
    }
}

/// A machine that was ordered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) at: TimeUs,
    /// Whether that is when it was ordered: orders of an earlier scheduler are only known to be there.
    pub(crate) measured: bool,
}

/// A pool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    pub(crate) spec: PoolSpec,
    /// Machines ordered that have not come, oldest first.
    pub(crate) booting: VecDeque<Order>,
    pub(crate) hazard: Hazard,
    pub(crate) boot: Boot,
    /// What was last said to its driver, and when.
    pub(crate) said: Option<(u32, TimeUs)>,
    /// GPUs and memory of its machines, once one was seen.
    pub(crate) kind: Option<(u32, i64)>,
    /// When it was last announced, as an earlier scheduler had it.
    pub(crate) seen_at: Option<TimeUs>,
    /// An order did not come: no new one before then.
    pub(crate) dry_until: TimeUs,
}

impl Pool {
    pub(crate) fn new(now: TimeUs, spec: PoolSpec, members: u32) -> Self {
        let booting = spec.workers.saturating_sub(members).min(limits::POOL_WORKERS_MAX);
        let booting = (0..booting).map(|_| Order { at: now, measured: false }).collect();
        Self {
            kind: spec.kind,
            spec,
            booting,
            hazard: Hazard::default(),
            boot: Boot::default(),
            said: None,
            seen_at: None,
            dry_until: TimeUs(i64::MIN),
        }
    }

    /// Blows an hour, where all spot pools together saw `all`.
    pub(crate) fn blows_h(&self, all: &Hazard) -> f64 {
        if self.spec.spot {
            self.hazard.spot_blows_h(&all.but(&self.hazard))
        } else {
            self.hazard.lasting_blows_h()
        }
    }

    /// From an order to the first message, milliseconds.
    pub(crate) fn boot_ms(&self) -> i64 {
        self.boot.ms(self.spec.boot_ms)
    }

    /// A machine that was ordered has come.
    pub(crate) fn came(&mut self, now: TimeUs) {
        if let Some(order) = self.booting.pop_front().filter(|order| order.measured) {
            self.boot.took(now.since_ms(order.at));
        }
    }

    /// What one of its machines computes against the reference.
    pub(crate) fn unit(&self) -> f64 {
        f64::from(self.spec.concurrency.max(1)) * f64::from(self.spec.speed_milli.max(1)) / 1_000.0
    }

    /// Whether its machines can run what needs so much, as far as is known.
    pub(crate) fn suits(&self, gpus: u32, memory_mib: i64) -> bool {
        self.kind.is_none_or(|(has, mib)| gpus <= has && (mib == 0 || memory_mib <= mib))
    }

    /// The market took back what it cannot give: orders first.
    pub(crate) fn bounded(&mut self, members: u32) {
        let room = self.spec.max.saturating_sub(members) as usize;
        self.booting.truncate(room);
    }

    /// Orders that are long overdue will not come: the pool is left alone for a while.
    pub(crate) fn give_up(&mut self, now: TimeUs) {
        let most_ms = self.boot_ms().saturating_mul(2).saturating_add(limits::BOOT_GRACE_MS);
        while self.booting.front().is_some_and(|order| now.since_ms(order.at) > most_ms) {
            self.booting.pop_front();
            self.dry_until = now.plus_ms(most_ms.max(limits::POOL_DRY_MS));
        }
    }

    pub(crate) fn offer(
        &self,
        now: TimeUs,
        members: u32,
        all: &Hazard,
        loads_ms: f64,
        redo_ms: f64,
    ) -> Offer {
        let held = members + self.booting.len() as u32;
        let most = self.spec.max.min(limits::POOL_WORKERS_MAX);
        Offer {
            unit: self.unit(),
            held,
            min: self.spec.min,
            max: if now < self.dry_until { most.min(held) } else { most },
            price: self.spec.price_micro_per_hour.max(0) as f64 / 1e6,
            warm_h: (self.boot_ms().max(0) as f64 + loads_ms) / 3.6e6,
            redo_h: redo_ms / 3.6e6,
            blows_h: self.blows_h(all),
            blow_share: self.hazard.blow_share(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn machines_that_go_together_are_one_blow() {
        let mut hazard = Hazard::default();
        hazard.held(24 * 3_600_000);
        let none = Hazard::default();
        let calm = hazard.spot_blows_h(&none);
        for nth in 0..4 {
            hazard.left(TimeUs(HOUR + nth), 8 - nth as u32);
        }
        assert!((hazard.spot_blows_h(&none) - 2.0 * calm).abs() < 1e-9);
        assert!((hazard.blow_share() - 5.0 / 9.0).abs() < 1e-9);
        hazard.left(TimeUs(3 * HOUR), 4);
        assert!((hazard.spot_blows_h(&none) - 3.0 * calm).abs() < 1e-9);
    }

    #[test]
    fn a_market_that_nobody_has_tried_is_as_bad_as_the_others() {
        let (new, mut others) = (Hazard::default(), Hazard::default());
        let first = new.spot_blows_h(&others);
        others.held(24 * 3_600_000);
        assert!(new.spot_blows_h(&others) < first, "a calm day elsewhere");
        others.blows = 12.0;
        assert!((new.spot_blows_h(&others) - 13.0 / 32.0).abs() < 1e-9, "a bad one");
        // What was seen here counts more the longer it was seen, and alone a pool counts as before.
        let here = Hazard { hours: 80.0, ..new };
        assert!(here.spot_blows_h(&others) < 0.1 * new.spot_blows_h(&others) + 1e-9);
        let all = Hazard { hours: 80.0, ..new };
        assert!((here.spot_blows_h(&all.but(&here)) - 1.0 / 88.0).abs() < 1e-9);
    }

    #[test]
    fn on_demand_is_trusted_until_it_fails() {
        let mut hazard = Hazard::default();
        assert_eq!(hazard.lasting_blows_h(), 0.0);
        hazard.left(TimeUs(HOUR), 3);
        assert!(hazard.lasting_blows_h() > 0.0);
    }
}
