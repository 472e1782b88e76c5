//! What each tenant asks for steadily, and what that earns it.
//!
//! With equal shares alone, whoever asks for much all day long is always ahead of its share, as an abuser is: the others
//! may have their models loaded within theirs, at its cost, and the fleet loads where it should compute. A burst and a
//! habit differ in how long they last. So a tenant's weight grows to the part of the fleet that it has used for hours,
//! but never beyond what max-min fairness gives it of what all ask for: where that does not fit, the modest keep all
//! that they ask for and the greedy divide the rest.

use std::{f64::consts::LN_2, fmt::Write as _};

use crate::{
    limits, remember,
    types::{TenantKey, TimeUs},
};

/// Work that a tenant asked for, halved every [`STEADY_HALF_LIFE_MS`](limits::STEADY_HALF_LIFE_MS).
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    work_us: f64,
    at: TimeUs,
    /// When its weight was last looked at.
    weighed_at: Option<TimeUs>,
    /// What it asked for until then is counted already: a restart brings its jobs again.
    recalled: Option<TimeUs>,
}

/// What a job asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) ms: i64,
    pub(crate) created_at: TimeUs,
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

/// The level of water that fills the fleet: what each gets at most, where nobody gets more than it asks for.
fn level(mut parts: Vec<f64>) -> f64 {
    let mut room = 1.0;
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
    fn row(&mut self, tenant: u32) -> &mut Asked {
        let needed = tenant as usize + 1;
        if self.asked.len() < needed {
            self.asked.resize(needed, Asked::default());
        }
        &mut self.asked[tenant as usize]
    }

    /// Counts work that a tenant asks for, on a fleet of so many workers: by how much its weight counts from now on, 1 or
    /// more, where it is time to say so.
    pub(crate) fn asks(&mut self, now: TimeUs, tenant: u32, work: Work, workers: f64) -> Option<f64> {
        let asked = self.row(tenant);
        if asked.recalled.is_none_or(|until| work.created_at > until) {
            asked.work_us = asked.work_us * decay(asked.at, now) + work.ms as f64 * 1_000.0;
            asked.at = now;
        }
        if asked.weighed_at.is_some_and(|at| now.since_ms(at) < limits::STEADY_LOOK_MS) {
            return None;
        }
        asked.weighed_at = Some(now);
        let work_us = asked.work_us * decay(asked.at, now);
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
        self.level = level(parts.filter(|part| *part > 0.0).collect());
        self.span_us = span_us(elapsed_ms.max(limits::STEADY_MS));
        self.looked_at = now;
    }

    /// Tenants that have asked for so much of all that is remembered that their weight may have grown.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u32> {
        let latest = self.asked.iter().map(|one| one.at).max().unwrap_or_default();
        let left = move |one: &Asked| one.work_us * decay(one.at, latest);
        let least = self.asked.iter().map(left).sum::<f64>() * limits::STEADY_KEPT;
        let much = move |one: &Asked| one.work_us > 0.0 && left(one) >= least;
        self.asked.iter().enumerate().filter(move |(_, one)| much(one)).map(|(tenant, _)| tenant as u32)
    }

    pub(crate) fn forget(&mut self, tenant: u32) {
        if let Some(asked) = self.asked.get_mut(tenant as usize) {
            *asked = Asked::default();
        }
    }

    /// Lines of the snapshot that [`Steady::recall`] reads: of those that count, because what all others asked for lets
    /// these earn a little less, and is soon asked for again.
    pub(crate) fn remember<'a>(&self, name: impl Fn(u32) -> &'a TenantKey) -> String {
        let mut text = String::new();
        if let Some(since) = self.since {
            let _ = writeln!(text, "steady-since {}", since.0);
        }
        for tenant in self.counts() {
            let Asked { work_us, at, .. } = self.asked[tenant as usize];
            let name = remember::hex(name(tenant).as_str());
            let _ = writeln!(text, "steady-asked {} {work_us} {name}", at.0);
        }
        text
    }

    /// Takes in what [`Steady::remember`] wrote.
    pub(crate) fn recall(&mut self, snapshot: &str, mut id_of: impl FnMut(&TenantKey) -> u32) {
        for line in snapshot.lines() {
            if let Some(since) = line.strip_prefix("steady-since ") {
                self.since = remember::time(since);
            } else if let Some((tenant, asked)) = line.strip_prefix("steady-asked ").and_then(read_asked) {
                *self.row(id_of(&tenant)) = asked;
            }
        }
    }
}

fn read_asked(line: &str) -> Option<(TenantKey, Asked)> {
    let mut parts = line.splitn(3, ' ');
    let at = remember::time(parts.next()?)?;
    let work_us = remember::positive(parts.next()?)?;
    let tenant = TenantKey::from(remember::unhex(parts.next()?)?.as_str());
    Some((tenant, Asked { work_us, at, weighed_at: None, recalled: Some(at) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for this part of eight workers every minute, for so many minutes; what it earns at the end.
    fn after(steady: &mut Steady, tenant: u32, minutes: std::ops::Range<i64>, part: f64) -> f64 {
        let work_ms = (part * 8.0 * 60_000.0) as i64;
        let asks = |minute: i64| {
            let now = TimeUs(minute * 60_000_000);
            steady.asks(now, tenant, Work { ms: work_ms, created_at: now }, 8.0)
        };
        minutes.filter_map(asks).last().unwrap_or(1.0)
    }

    #[test]
    fn a_habit_earns_what_it_uses_and_a_burst_does_not() {
        let mut steady = Steady::default();
        let habit = after(&mut steady, 0, 0..600, 0.3);
        assert!((0.28..0.32).contains(&(habit * limits::STEADY_PART)), "{habit}");
        // Ten minutes of the whole fleet; and of six times the fleet, which earns no more than the habit leaves.
        let burst = after(&mut steady.clone(), 1, 600..610, 1.0);
        assert!(burst < habit, "{burst} {habit}");
        let burst = after(&mut steady, 1, 600..610, 6.0);
        assert!(burst * limits::STEADY_PART < 0.72, "{burst}");
        assert_eq!(after(&mut Steady::default(), 2, 0..600, 0.01), 1.0, "everybody has the least part");
    }

    #[test]
    fn what_does_not_fit_is_divided_as_max_min_fairness_does() {
        assert_eq!(level(vec![0.1, 0.2, 0.3]), f64::MAX);
        assert_eq!(level(vec![0.9, 0.2, 0.9]), 0.4);
        let mut steady = Steady::default();
        for hour in 0..10 {
            after(&mut steady, 0, hour * 60..hour * 60 + 60, 1.1);
            after(&mut steady, 1, hour * 60..hour * 60 + 60, 0.2);
        }
        let (greedy, modest) = (after(&mut steady, 0, 600..601, 1.1), after(&mut steady, 1, 600..601, 0.2));
        assert!((0.78..0.81).contains(&(greedy * limits::STEADY_PART)), "{greedy}");
        assert!((0.19..0.21).contains(&(modest * limits::STEADY_PART)), "{modest}");
    }

    #[test]
    fn a_tenant_that_is_forgotten_begins_anew() {
        let mut steady = Steady::default();
        after(&mut steady, 0, 0..600, 0.3);
        steady.forget(0);
        assert_eq!(after(&mut steady, 0, 600..601, 0.3), 1.0);
    }

    #[test]
    fn a_restart_takes_nothing_of_what_was_earned() {
        let mut steady = Steady::default();
        after(&mut steady, 0, 0..600, 0.3);
        // Many who ask for little are not worth a line each.
        for tenant in 1..1_000 {
            after(&mut steady, tenant, 600..601, 0.001);
        }
        let names: Vec<TenantKey> =
            (0..1_000).map(|n| TenantKey::from(format!("t {n}\n").as_str())).collect();
        let written = steady.remember(|tenant| &names[tenant as usize]);
        assert_eq!(written.lines().count(), 2, "{written}");
        let recall = |text: &str| {
            let mut steady = Steady::default();
            steady.recall(text, |tenant| names.iter().position(|name| name == tenant).expect("known") as u32);
            steady
        };
        let mut next = recall(&written);
        // Its jobs that wait are restored: they are not asked for again.
        let waits = Work { ms: 8 * 3_600_000, created_at: TimeUs(599 * 60_000_000) };
        next.asks(TimeUs(601 * 60_000_000), 0, waits, 8.0);
        assert_eq!(next.remember(|tenant| &names[tenant as usize]), written);
        let (before, now) = (after(&mut steady, 0, 601..602, 0.3), after(&mut next, 0, 602..603, 0.3));
        assert!(
            before * limits::STEADY_PART > 0.25 && (before - now).abs() < 0.01 * before,
            "{before} {now}"
        );
        // Six hours later half of it is left, because nothing was asked for meanwhile.
        let later = after(&mut recall(&written), 0, 960..961, 0.3);
        assert!((0.4..0.6).contains(&(later / before)), "{later} {before}");
        for wrong in
            ["steady-since x", "steady-asked 1 1 zz", "steady-asked 1 -1 74", "steady-asked 1", "steady-"]
        {
            assert_eq!(recall(wrong).remember(|tenant| &names[tenant as usize]), "", "{wrong}");
        }
    }
}
