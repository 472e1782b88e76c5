//! When jobs really start, against what was forecast: the promise at submission is learned, not computed.

use crate::{limits, types::TimeUs};

/// What was thought of a job's start when it was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forecast {
    /// Milliseconds, before what was learned about such forecasts.
    pub(crate) ms: u32,
    /// The ninth decile that was told.
    pub(crate) told_p90_ms: u32,
    /// Whether a load is expected to come first.
    pub(crate) loads: bool,
}

/// How real starts compare with their forecasts, in regimes: whether a load comes first, and the forecast's length.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Starts {
    pub(crate) regimes: [Regime; 2 * LENGTHS],
}

/// Ratios of a real start to its forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Regime {
    pub(crate) count: u32,
    /// Half of the starts stay under this.
    pub(crate) p50: f64,
    /// The share `level` of the starts stays under this.
    pub(crate) p90: f64,
    /// Nine tenths, moved by the promises that were kept or broken. Starts are learned late, and in a burst all at once:
    /// a quantile that is right for what has started is wrong for what was told meanwhile.
    pub(crate) level: f64,
}

/// Forecasts of 2^n to 2^(n+1) milliseconds share a regime.
const LENGTHS: usize = 32;
/// Differences below this do not matter to anybody.
const FORGIVEN_MS: f64 = 250.0;
const RATIO_MIN: f64 = 1e-3;
const RATIO_MAX: f64 = 1e3;

impl Default for Starts {
    fn default() -> Self {
        let regime =
            Regime { count: 0, p50: 1.0, p90: limits::CALIBRATE_P90, level: limits::CALIBRATE_LEVEL };
        Self { regimes: [regime; 2 * LENGTHS] }
    }
}

impl Starts {
    fn regime(ms: i64, loads: bool) -> usize {
        let ms = u64::try_from(ms).unwrap_or_default();
        let length = (ms.checked_ilog2().map_or(0, |bits| bits as usize + 1)).min(LENGTHS - 1);
        length + if loads { LENGTHS } else { 0 }
    }

    /// What a forecast turned out to be. A step up and a step down balance where the wanted share stays below.
    pub(crate) fn learn(&mut self, forecast: Forecast, submitted: TimeUs, started: TimeUs) {
        let regime = &mut self.regimes[Self::regime(i64::from(forecast.ms), forecast.loads)];
        let waited_ms = started.since_ms(submitted);
        let ratio = (waited_ms as f64 + FORGIVEN_MS) / (f64::from(forecast.ms) + FORGIVEN_MS);
        regime.count = regime.count.saturating_add(1);
        let step = (1.0 / f64::from(regime.count)).clamp(limits::CALIBRATE_STEP, limits::CALIBRATE_STEP_MAX);
        let held = if waited_ms <= i64::from(forecast.told_p90_ms) { 1.0 } else { 0.0 };
        regime.level = (regime.level + limits::CALIBRATE_GAIN * (limits::CALIBRATE_LEVEL - held))
            .clamp(limits::CALIBRATE_LEVEL_MIN, limits::CALIBRATE_LEVEL_MAX);
        let level = regime.level;
        for (quantile, at) in [(&mut regime.p50, 0.5), (&mut regime.p90, level)] {
            let toward = if ratio > *quantile { at } else { at - 1.0 };
            *quantile = (*quantile * (step * toward).exp()).clamp(RATIO_MIN, RATIO_MAX);
        }
    }

    /// Median and ninth decile of the start for a forecast.
    pub(crate) fn spread(&self, ms: i64, loads: bool) -> (i64, i64) {
        let regime = &self.regimes[Self::regime(ms, loads)];
        let at =
            |ratio: f64| ((ms.max(0) as f64 + FORGIVEN_MS) * ratio - FORGIVEN_MS).max(0.0).round() as i64;
        (at(regime.p50), at(regime.p90.max(regime.p50)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(starts: &mut Starts, told_p90_ms: i64, wait_ms: i64) {
        let forecast = Forecast { ms: 30_000, told_p90_ms: told_p90_ms as u32, loads: false };
        starts.learn(forecast, TimeUs(0), TimeUs(wait_ms * 1_000));
    }

    /// Waits of 5 to 95 s against a forecast of 30 s, in a scattered order.
    fn wait_ms(n: i64) -> i64 {
        5_000 + (n * 7_919 % 1_000) * 90
    }

    #[test]
    fn nine_of_ten_starts_stay_under_the_p90() {
        let (mut starts, mut held) = (Starts::default(), 0);
        for n in 0..20_000_i64 {
            let told = starts.spread(30_000, false).1;
            held += i32::from(n >= 2_000 && wait_ms(n) <= told);
            learn(&mut starts, told, wait_ms(n));
        }
        let share = f64::from(held) / 18_000.0;
        assert!((0.88..=0.92).contains(&share), "{share}");
    }

    #[test]
    fn promises_hold_although_starts_are_learned_late_and_in_bursts() {
        let (mut starts, mut held, mut told) = (Starts::default(), 0, Vec::new());
        for n in 0..40_000_i64 {
            // Every other thousand waits half as long again, and is learned only when it is over.
            let wait_ms = if n / 1_000 % 2 == 0 { wait_ms(n) } else { wait_ms(n) * 3 / 2 };
            let p90_ms = starts.spread(30_000, false).1;
            told.push((p90_ms, wait_ms));
            held += i32::from(n >= 4_000 && wait_ms <= p90_ms);
            if n % 100 == 99 {
                told.drain(..).for_each(|(p90_ms, wait_ms)| learn(&mut starts, p90_ms, wait_ms));
            }
        }
        let share = f64::from(held) / 36_000.0;
        assert!((0.87..=0.93).contains(&share), "{share}");
    }
}
