//! What is asked for: work that arrives, by who may run it, and how it usually goes on at this time of the day.

use std::collections::VecDeque;

use crate::{limits, types::TimeUs};

/// Work and jobs that arrive a millisecond, forgotten by half in a half-life.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    pub(super) work: f64,
    pub(super) jobs: f64,
    pub(super) at: TimeUs,
}

impl Rate {
    fn decay(&self, now: TimeUs, half_ms: f64) -> f64 {
        (-(now.since_ms(self.at) as f64) / half_ms).exp2()
    }

    fn arrived(&mut self, now: TimeUs, half_ms: f64, work_ms: f64, jobs: f64) {
        let (decay, share) = (self.decay(now, half_ms), std::f64::consts::LN_2 / half_ms);
        self.work = self.work * decay + share * work_ms;
        self.jobs = self.jobs * decay + share * jobs;
        self.at = now;
    }
}

/// The largest value within a window that slides.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Peak(VecDeque<(TimeUs, f64)>);

impl Peak {
    /// Takes the value of now; the largest of the last `window_ms`.
    pub(crate) fn push(&mut self, now: TimeUs, value: f64, window_ms: i64) -> f64 {
        while self.0.back().is_some_and(|(_, last)| *last <= value) {
            self.0.pop_back();
        }
        self.0.push_back((now, value));
        while self.0.front().is_some_and(|(at, _)| now.since_ms(*at) > window_ms) {
            self.0.pop_front();
        }
        self.0.front().map_or(value, |(_, most)| *most)
    }
}

impl Peak {
    /// The largest value that counts.
    pub(super) fn most(&self) -> Option<(TimeUs, f64)> {
        self.0.front().copied()
    }

    /// Goes on from a largest value that was known.
    pub(super) fn recall(&mut self, at: TimeUs, value: f64) {
        self.0 = VecDeque::from([(at, value)]);
    }
}

/// What a group of jobs that may run on the same machines asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Demand {
    /// Follows within the time that a machine needs to come.
    fast: Rate,
    /// Remembers bursts.
    slow: Rate,
    /// The same with everything that was asked for, ahead of its share or not.
    asked: Rate,
    /// Machines that were needed lately.
    pub(crate) peak: Peak,
}

impl Demand {
    /// A job came; `due` below 1 where its tenant is ahead of its share: nobody buys machines for himself by asking
    /// for too much.
    pub(crate) fn arrived(&mut self, now: TimeUs, horizon_ms: f64, work_ms: f64, due: f64) {
        self.fast.arrived(now, horizon_ms, work_ms * due, due);
        self.slow.arrived(now, limits::DEMAND_HALF_LIFE_MS, work_ms * due, due);
        self.asked.arrived(now, limits::DEMAND_HALF_LIFE_MS, work_ms, 1.0);
    }

    pub(super) fn rates(&self) -> [Rate; 3] {
        [self.fast, self.slow, self.asked]
    }

    pub(super) fn of([fast, slow, asked]: [Rate; 3]) -> Self {
        Self { fast, slow, asked, peak: Peak::default() }
    }

    /// How much of what waits was asked for within its tenant's share.
    pub(crate) fn due_share(&self) -> f64 {
        if self.asked.work <= 0.0 { 1.0 } else { (self.slow.work / self.asked.work).clamp(0.0, 1.0) }
    }

    /// Machines' worth of work a moment, as it comes now.
    pub(crate) fn erlangs(&self, now: TimeUs, horizon_ms: f64) -> f64 {
        let fast = self.fast.work * self.fast.decay(now, horizon_ms);
        let slow = self.slow.work * self.slow.decay(now, limits::DEMAND_HALF_LIFE_MS);
        fast.max(slow)
    }

    /// How likely a job comes within the horizon.
    pub(crate) fn comes(&self, now: TimeUs, horizon_ms: f64) -> f64 {
        let fast = self.fast.jobs * self.fast.decay(now, horizon_ms);
        let slow = self.slow.jobs * self.slow.decay(now, limits::DEMAND_HALF_LIFE_MS);
        1.0 - (-fast.max(slow) * horizon_ms).exp()
    }
}

/// Bins of a day.
const BINS: usize = 96;
const BIN_US: i64 = 86_400_000_000 / BINS as i64;

/// The day as far as it has been seen: work that arrives, by quarter of an hour.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Day {
    /// Erlangs; negative: not seen yet.
    pub(super) bins: [f64; BINS],
    /// Milliseconds of work in the bin that is being filled, and its number since the epoch.
    filling: (i64, f64),
    /// Whether the filling bin was seen from its begin.
    whole: bool,
}

impl Default for Day {
    fn default() -> Self {
        Self { bins: [-1.0; BINS], filling: (i64::MIN, 0.0), whole: false }
    }
}

impl Day {
    /// A day that was known before; `None` where it has another number of bins.
    pub(super) fn of(bins: Vec<f64>) -> Option<Self> {
        Some(Self { bins: bins.try_into().ok()?, ..Self::default() })
    }

    /// Closes the bins that have passed.
    pub(crate) fn advance(&mut self, now: TimeUs) {
        let (now_bin, (bin, work_ms)) = (now.0.div_euclid(BIN_US), self.filling);
        if bin == now_bin {
            return;
        }
        if self.whole {
            self.close(bin, work_ms * 1_000.0 / BIN_US as f64);
        }
        let quiet = (now_bin.saturating_sub(bin) - 1).clamp(0, if self.whole { BINS as i64 } else { 0 });
        for nth in 1..=quiet {
            self.close(bin + nth, 0.0);
        }
        self.whole = bin != i64::MIN;
        self.filling = (now_bin, 0.0);
    }

    fn close(&mut self, bin: i64, erlangs: f64) {
        let row = &mut self.bins[bin.rem_euclid(BINS as i64) as usize];
        *row = if *row < 0.0 { erlangs } else { *row + (erlangs - *row) * limits::DAY_NEW };
    }

    pub(crate) fn arrived(&mut self, now: TimeUs, work_ms: f64) {
        self.advance(now);
        self.filling.1 += work_ms;
    }

    /// What the demand of now becomes by the horizon on a usual day, against now; 1 where the day is not known.
    pub(crate) fn growth(&self, now: TimeUs, horizon_ms: i64) -> f64 {
        let of = |at: TimeUs| self.bins[at.0.div_euclid(BIN_US).rem_euclid(BINS as i64) as usize];
        let (here, there) = (of(now), of(now.plus_ms(horizon_ms)));
        if here <= 0.0 || there < 0.0 { 1.0 } else { (there / here).clamp(1.0, limits::DAY_GROWTH_MAX) }
    }
}

/// Machines beyond the mean demand, in roots of it, so that the promise is held: learned from who was late.
///
/// A fleet that serves random arrivals needs the demand and a multiple of its root; which multiple depends on how bursty
/// the arrivals are and how long things take, so it is not assumed: each job that starts too late for the promise moves it
/// up, each other one a little down, and it rests where the promised share is in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Headroom(pub(crate) f64);

impl Default for Headroom {
    fn default() -> Self {
        Self(limits::HEADROOM_FIRST)
    }
}

impl Headroom {
    /// A job is done, late or in time; it counts as much as it counted as demand.
    pub(crate) fn learn(&mut self, late: bool, due: f64) {
        let aim = limits::PROMISE_SHARE;
        let step = limits::HEADROOM_STEP * due * if late { aim } else { aim - 1.0 };
        self.0 = (self.0 + step).clamp(0.0, limits::HEADROOM_MAX);
    }

    /// Machines for so many erlangs.
    pub(crate) fn machines(self, erlangs: f64) -> f64 {
        erlangs + self.0 * erlangs.max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn steady_work_is_measured_and_silence_forgotten() {
        let mut demand = Demand::default();
        for second in 0..7_200 {
            demand.arrived(TimeUs(second * SECOND), 100_000.0, 3_000.0, 1.0);
        }
        let now = TimeUs(7_200 * SECOND);
        assert!((demand.erlangs(now, 100_000.0) - 3.0).abs() < 0.1);
        assert!(demand.comes(now, 100_000.0) > 0.99);
        let later = TimeUs(30_000 * SECOND);
        assert!(demand.comes(later, 100_000.0) < 0.05, "silence ends the expectation");
    }

    #[test]
    fn a_peak_lasts_as_long_as_its_window() {
        let mut peak = Peak::default();
        assert_eq!(peak.push(TimeUs(0), 5.0, 10_000), 5.0);
        assert_eq!(peak.push(TimeUs(9 * SECOND), 2.0, 10_000), 5.0);
        assert_eq!(peak.push(TimeUs(11 * SECOND), 1.0, 10_000), 2.0);
    }

    #[test]
    fn the_second_day_knows_the_first() {
        let mut day = Day::default();
        let hour = 3_600 * SECOND;
        for minute in 0..(26 * 60) {
            let busy = (9..17).contains(&((minute / 60) % 24));
            day.arrived(TimeUs(minute * 60 * SECOND), if busy { 240_000.0 } else { 60_000.0 });
        }
        assert!((day.growth(TimeUs(33 * hour - 60 * SECOND), 300_000) - 4.0).abs() < 0.1);
        assert_eq!(day.growth(TimeUs(35 * hour), 300_000), 1.0);
        assert_eq!(day.growth(TimeUs(41 * hour - 60 * SECOND), 300_000), 1.0, "what ends is not sold early");
    }

    #[test]
    fn headroom_rests_where_the_promised_share_is_in_time() {
        let mut headroom = Headroom::default();
        for _ in 0..1_000 {
            headroom.learn(false, 1.0);
        }
        assert!(headroom.0 < limits::HEADROOM_FIRST);
        for _ in 0..10_000 {
            headroom.learn(true, 1.0);
        }
        assert_eq!(headroom.0, limits::HEADROOM_MAX, "bounded whatever happens");
    }
}
