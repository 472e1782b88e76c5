//! What each tenant asks for steadily, and what that earns it.
//!
//! With equal shares alone, whoever asks for much all day long is always ahead of its share, as an abuser is: the others
//! may have their models loaded within theirs, at its cost, and the fleet loads where it should compute. A burst and a
//! habit differ in how long they last. So a tenant's weight grows to the part of the fleet that it has used for hours,
//! but never beyond what max-min fairness gives it of what all ask for: where that does not fit, the modest keep all
//! that they ask for and the greedy divide the rest.

use std::f64::consts::LN_2;

use crate::{limits, types::TimeUs};

/// Work that a tenant asked for, halved every [`STEADY_HALF_LIFE_MS`](limits::STEADY_HALF_LIFE_MS).
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    work_us: f64,
    at: TimeUs,
    /// When its weight was last looked at.
    weighed_at: Option<TimeUs>,
}

/// What tenants ask for, as parts of the fleet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steady {
    /// When the first of all jobs came.
    since: Option<TimeUs>,
    looked_at: TimeUs,
    /// The time that what was asked for is divided by, so that what is new looks small: microseconds.
    span_us: f64,
    /// The largest part of the fleet that a tenant can earn.
    level: f64,
    asked: Vec<Asked>,
}

fn decay(from: TimeUs, to: TimeUs) -> f64 {
    (-(to.since_ms(from) as f64) / limits::STEADY_HALF_LIFE_MS).exp2()
}

/// Microseconds of a constant demand that would be remembered after so long.
fn span_us(elapsed_ms: f64) -> f64 {
    limits::STEADY_HALF_LIFE_MS * 1_000.0 / LN_2 * (1.0 - (-elapsed_ms / limits::STEADY_HALF_LIFE_MS).exp2())
}

/// The level of water that fills `room`: what each gets at most, where nobody gets more than it asks for.
fn level(mut parts: Vec<f64>, mut room: f64) -> f64 {
    parts.sort_unstable_by(f64::total_cmp);
    let mut others = parts.len() as f64;
    for part in parts {
        if part * others > room {
            return room / others;
        }
        room -= part;
        others -= 1.0;
    }
    f64::MAX
}

impl Steady {
    /// Counts work that a tenant asks for, on a fleet of so many workers: by how much its weight counts from now on, 1 or
    /// more, where it is time to say so.
    pub(crate) fn asks(&mut self, now: TimeUs, tenant: u32, work_ms: i64, workers: f64) -> Option<f64> {
        let needed = tenant as usize + 1;
        if self.asked.len() < needed {
            self.asked.resize(needed, Asked::default());
        }
        let asked = &mut self.asked[tenant as usize];
        asked.work_us = asked.work_us * decay(asked.at, now) + work_ms as f64 * 1_000.0;
        asked.at = now;
        if asked.weighed_at.is_some_and(|at| now.since_ms(at) < limits::STEADY_LOOK_MS) {
            return None;
        }
        asked.weighed_at = Some(now);
        let work_us = asked.work_us;
        let since = *self.since.get_or_insert(now);
        if self.span_us == 0.0 || now.since_ms(self.looked_at) >= limits::STEADY_LOOK_MS {
            self.look(now, since, workers);
        }
        let part = (work_us / self.span_us / workers).min(self.level);
        Some((part / limits::STEADY_PART).max(1.0))
    }

    /// What can be earned follows from what all ask for as it looks so far: early on that is more than what is
    /// remembered over the full time, so nobody earns what is not there.
    fn look(&mut self, now: TimeUs, since: TimeUs, workers: f64) {
        let elapsed_ms = now.since_ms(since) as f64;
        let so_far_us = span_us(elapsed_ms.max(limits::STEADY_SEEN_MS));
        let parts = self.asked.iter().map(|one| one.work_us * decay(one.at, now) / so_far_us / workers);
        self.level = level(parts.filter(|part| *part > 0.0).collect(), limits::STEADY_ROOM);
        self.span_us = span_us(elapsed_ms.max(limits::STEADY_MS));
        self.looked_at = now;
    }

    pub(crate) fn forget(&mut self, tenant: u32) {
        if let Some(asked) = self.asked.get_mut(tenant as usize) {
            *asked = Asked::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for this part of eight workers every minute, for so many minutes; what it earns at the end.
    fn after(steady: &mut Steady, tenant: u32, minutes: std::ops::Range<i64>, part: f64) -> f64 {
        let work_ms = (part * 8.0 * 60_000.0) as i64;
        let asks = |minute: i64| steady.asks(TimeUs(minute * 60_000_000), tenant, work_ms, 8.0);
        minutes.filter_map(asks).last().unwrap_or(1.0)
    }

    #[test]
    fn a_habit_earns_what_it_uses_and_a_burst_does_not() {
        let mut steady = Steady::default();
        let habit = after(&mut steady, 0, 0..600, 0.3);
        assert!((0.28..0.32).contains(&(habit * limits::STEADY_PART)), "{habit}");
        // Ten minutes of six times the fleet.
        let burst = after(&mut steady, 1, 600..610, 6.0);
        assert!(burst < habit, "{burst} {habit}");
        assert_eq!(after(&mut Steady::default(), 2, 0..600, 0.01), 1.0, "everybody has the least part");
    }

    #[test]
    fn what_does_not_fit_is_divided_as_max_min_fairness_does() {
        assert_eq!(level(vec![0.1, 0.2, 0.3], 0.7), f64::MAX);
        assert_eq!(level(vec![0.9, 0.1, 0.9], 0.7), 0.3);
        let mut steady = Steady::default();
        for hour in 0..10 {
            after(&mut steady, 0, hour * 60..hour * 60 + 60, 0.8);
            after(&mut steady, 1, hour * 60..hour * 60 + 60, 0.2);
        }
        let (greedy, modest) = (after(&mut steady, 0, 600..601, 0.8), after(&mut steady, 1, 600..601, 0.2));
        assert!(greedy * limits::STEADY_PART < limits::STEADY_ROOM - 0.19, "{greedy}");
        assert!((0.19..0.21).contains(&(modest * limits::STEADY_PART)), "{modest}");
    }

    #[test]
    fn a_tenant_that_is_forgotten_begins_anew() {
        let mut steady = Steady::default();
        after(&mut steady, 0, 0..600, 0.3);
        steady.forget(0);
        assert_eq!(after(&mut steady, 0, 600..601, 0.3), 1.0);
    }
}
