//! Which pools the machines come from: pure functions over numbers.
//!
//! A machine of a pool costs its price and, by the hazard learned there, what is lost when it is taken away. One that is
//! there already has its boot and its loads behind it; a new one pays them over the time that it will be held. The
//! cheapest are taken until everybody's need is covered. Where too many would be late because a market takes its machines
//! away at one blow, machines move to the next cheapest place until the promise bears the rest.

use crate::limits;

/// A pool, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Offer {
    /// What one machine computes against the reference.
    pub(crate) unit: f64,
    /// Machines that are there or boot.
    pub(crate) held: u32,
    /// Machines that it always has.
    pub(crate) min: u32,
    /// Machines that it may have.
    pub(crate) max: u32,
    /// Price of an hour.
    pub(crate) price: f64,
    /// Hours until a new machine is warm.
    pub(crate) warm_h: f64,
    /// Hours of work lost with a machine that is taken away, beside these.
    pub(crate) redo_h: f64,
    /// Blows an hour that take machines away, and the share of the pool's machines that one takes.
    pub(crate) blows_h: f64,
    pub(crate) blow_share: f64,
}

/// Machines that must be among some pools.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Need {
    /// Pools that will do, as bits.
    pub(crate) pools: u64,
    /// Machines of the reference.
    pub(crate) machines: f64,
}

impl Offer {
    /// What an hour of the reference's compute costs on a machine that is there.
    pub(crate) fn cost(&self) -> f64 {
        let loss = self.blows_h * self.blow_share * (self.warm_h + self.redo_h);
        self.price * (1.0 + loss) / self.unit.max(f64::MIN_POSITIVE)
    }

    /// The same on one more.
    pub(crate) fn cost_new(&self) -> f64 {
        let taken_h = self.blows_h * self.blow_share;
        let held_h =
            if taken_h > 0.0 { limits::PLACE_HOLD_H.min(1.0 / taken_h) } else { limits::PLACE_HOLD_H };
        self.cost() + self.price * self.warm_h / held_h / self.unit.max(f64::MIN_POSITIVE)
    }

    fn next_cost(&self, taken: u32) -> Option<f64> {
        (taken < self.max).then(|| if taken < self.held { self.cost() } else { self.cost_new() })
    }
}

fn within(pools: u64, at: usize) -> bool {
    pools >> at & 1 == 1
}

pub(crate) fn machines(offers: &[Offer], taken: &[u32], pools: u64) -> f64 {
    let rows = offers.iter().zip(taken).enumerate().filter(|(at, _)| within(pools, *at));
    rows.map(|(_, (offer, taken))| offer.unit * f64::from(*taken)).sum()
}

fn cheapest(offers: &[Offer], taken: &[u32], pools: u64, but: Option<usize>) -> Option<usize> {
    let rows = offers.iter().zip(taken).enumerate();
    let open = rows.filter(|(at, _)| within(pools, *at) && Some(*at) != but);
    let priced = open.filter_map(|(at, (offer, taken))| Some((offer.next_cost(*taken)?, at)));
    priced.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, at)| at)
}

/// Machines by pool. `needs` hold one by one, those with the fewest pools first; `mean` is the demand without headroom.
pub(crate) fn choose(offers: &[Offer], needs: &[Need], mean: f64) -> Vec<u32> {
    let mut taken: Vec<u32> = offers.iter().map(|offer| offer.min.min(offer.max)).collect();
    let mut order: Vec<&Need> = needs.iter().collect();
    order.sort_by(|a, b| a.pools.count_ones().cmp(&b.pools.count_ones()).then(a.pools.cmp(&b.pools)));
    for need in order {
        while machines(offers, &taken, need.pools) + 1e-9 < need.machines {
            let Some(at) = cheapest(offers, &taken, need.pools, None) else { break };
            taken[at] += 1;
        }
    }
    spread(offers, needs, mean, &mut taken);
    taken
}

/// The share of jobs that blows to this pool make late. A blow takes all of a pool or little of it: the share that it takes
/// on the whole is read as how often it takes all.
fn late(offer: &Offer, taken: u32, all: f64, mean: f64) -> f64 {
    let lost = offer.unit * f64::from(taken) - (all - mean).max(0.0);
    let short = (lost / mean.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    (offer.blows_h * offer.blow_share * late_h(short, offer.warm_h)).min(1.0)
}

/// Hours in which whoever comes is late, when a share of what is needed is missing for `short_h`: a queue in the order of
/// arrival. Who comes `t` after the blow waits `short · t ÷ (1 − short)`, so that soon everybody is late and not only the share
/// that has no machine; and what has piled up is done within the promise once machines are back, because they are ordered for it.
fn late_h(short: f64, short_h: f64) -> f64 {
    let wait_h = limits::PROMISE_MS / 2.0 / 3.6e6;
    let begins_h = wait_h * (1.0 - short) / short.max(f64::MIN_POSITIVE);
    let left_h = (short * short_h - wait_h).clamp(0.0, limits::PROMISE_MS / 3.6e6);
    if begins_h >= short_h { 0.0 } else { short_h - begins_h + left_h }
}

fn risk(offers: &[Offer], taken: &[u32], mean: f64) -> f64 {
    let all = machines(offers, taken, u64::MAX);
    offers.iter().zip(taken).map(|(offer, taken)| late(offer, *taken, all, mean)).sum()
}

pub(crate) fn holds(offers: &[Offer], taken: &[u32], needs: &[Need]) -> bool {
    needs.iter().all(|need| machines(offers, taken, need.pools) + 1e-9 >= need.machines)
}

/// Moves machines away from where one blow takes too many. What cannot be spread is bought where nobody takes it away.
fn spread(offers: &[Offer], needs: &[Need], mean: f64, taken: &mut [u32]) {
    let budget = (1.0 - limits::PROMISE_SHARE) * limits::RISK_SHARE;
    let mut left: u32 = taken.iter().sum();
    while risk(offers, taken, mean) > budget && left > 0 {
        left -= 1;
        let all = machines(offers, taken, u64::MAX);
        let rows = offers.iter().zip(taken.iter()).enumerate();
        let worst = rows
            .map(|(at, (offer, taken))| (late(offer, *taken, all, mean), at))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let Some((_, from)) = worst else { return };
        let before = risk(offers, taken, mean);
        let safer = (0..offers.len())
            .filter(|at| *at != from && taken[*at] < offers[*at].max && taken[from] > offers[from].min)
            .filter_map(|at| {
                let mut moved = taken.to_vec();
                moved[from] -= 1;
                moved[at] += 1;
                let gain = before - risk(offers, &moved, mean);
                let cost = offers[at].next_cost(taken[at])? - offers[from].cost();
                (gain > 0.0 && (holds(offers, &moved, needs) || !holds(offers, taken, needs)))
                    .then_some((cost.max(0.0) / gain, at))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let Some((_, to)) = safer else { return };
        taken[from] -= 1;
        taken[to] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOT: Offer = Offer {
        unit: 1.0,
        held: 0,
        min: 0,
        max: 16,
        price: 0.4,
        warm_h: 0.03,
        redo_h: 0.005,
        blows_h: 0.1,
        blow_share: 0.5,
    };
    const OWN: Offer = Offer { price: 1.0, blows_h: 0.0, ..SPOT };
    const ALL: u64 = u64::MAX;

    #[test]
    fn the_cheapest_first_and_what_the_market_lacks_on_demand() {
        let need = [Need { pools: ALL, machines: 10.0 }];
        assert_eq!(choose(&[OWN, SPOT], &need, 8.0), [0, 10]);
        assert_eq!(choose(&[OWN, Offer { max: 4, ..SPOT }], &need, 8.0), [6, 4]);
        assert_eq!(choose(&[OWN, SPOT], &[], 0.0), [0, 0], "nothing is needed, nothing stands");
    }

    #[test]
    fn a_bound_job_finds_its_machine_where_it_must_run() {
        let needs = [Need { pools: ALL, machines: 3.0 }, Need { pools: 0b01, machines: 1.0 }];
        assert_eq!(choose(&[OWN, SPOT], &needs, 2.0), [1, 2]);
    }

    #[test]
    fn a_machine_that_is_there_is_kept_unless_another_pays_its_boot() {
        let need = [Need { pools: ALL, machines: 2.0 }];
        let dearer = Offer { price: 0.404, held: 2, ..SPOT };
        assert_eq!(choose(&[SPOT, dearer], &need, 1.0), [0, 2]);
        assert_eq!(choose(&[SPOT, Offer { held: 2, ..OWN }], &need, 1.0), [2, 0]);
    }

    #[test]
    fn a_long_boot_makes_everybody_late_and_a_short_one_nobody() {
        let (short_boot, long_boot) = (60.0 / 3_600.0, 300.0 / 3_600.0);
        assert_eq!(late_h(0.0, long_boot), 0.0, "nothing is missing");
        assert_eq!(late_h(0.25, short_boot), 0.0, "the queue is not long before machines are back");
        let late = late_h(0.25, long_boot);
        assert!(late > 2.0 * 0.25 * long_boot && late < long_boot, "{late}: more than who has no machine");
        assert!(late_h(1.0, long_boot) > long_boot, "what has piled up is late, too");
    }

    #[test]
    fn a_market_that_takes_all_at_one_blow_is_not_trusted_with_all() {
        let need = [Need { pools: ALL, machines: 6.0 }];
        let wild = Offer { blows_h: 2.0, blow_share: 1.0, warm_h: 0.1, ..SPOT };
        let taken = choose(&[OWN, wild], &need, 4.0);
        assert!(taken[0] > 0 && taken[1] > 0, "{taken:?}");
        assert!(risk(&[OWN, wild], &taken, 4.0) <= (1.0 - limits::PROMISE_SHARE) * limits::RISK_SHARE);
    }
}
