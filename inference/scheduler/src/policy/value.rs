//! What a resident model is worth: the demand that each of its replicas carries.

use crate::{limits, types::TimeUs};

/// Work and requests that arrive for a model, both decaying by half in
/// [`DEMAND_HALF_LIFE_MS`](limits::DEMAND_HALF_LIFE_MS).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    /// Erlangs: milliseconds of work a millisecond.
    erlangs: f64,
    /// Requests a millisecond.
    rate: f64,
    at: TimeUs,
}

impl Demand {
    fn decay(&self, now: TimeUs) -> f64 {
        (-(now.since_ms(self.at) as f64) / limits::DEMAND_HALF_LIFE_MS).exp2()
    }

    /// A request came. One that is far ahead of its tenant's share is less of a demand now: else whoever asks for too
    /// much would push everybody's models out before the order of the queue could protect them.
    pub(crate) fn arrived(&mut self, now: TimeUs, work_ms: i64, early_ms: f64) {
        let due = limits::DEMAND_EARLY_MS / early_ms.max(limits::DEMAND_EARLY_MS);
        let (decay, share) = (self.decay(now), due * std::f64::consts::LN_2 / limits::DEMAND_HALF_LIFE_MS);
        self.erlangs = self.erlangs * decay + share * work_ms as f64;
        self.rate = self.rate * decay + share;
        self.at = now;
    }

    /// Erlangs of demand now.
    pub(crate) fn erlangs(&self, now: TimeUs) -> f64 {
        self.erlangs.max(self.rate * limits::DEMAND_WORK_MS_MIN) * self.decay(now)
    }
}

/// Erlangs that one of `replicas` carries, what waits for it counted as demand too. One of many is missed less than the
/// only one: its work finds the others.
pub(crate) fn value(erlangs: f64, waiting: u32, replicas: usize) -> f64 {
    let replicas = replicas.max(1) as f64;
    let others = (replicas - 1.0).max(1.0).sqrt();
    (erlangs / others + limits::VICTIM_WAITING * f64::from(waiting)) / replicas
}
