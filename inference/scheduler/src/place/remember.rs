//! What was learned of places, as lines of the scheduler's snapshot.

use std::fmt::Write as _;

use super::{
    Pools,
    boot::Boot,
    demand::{Day, Demand, Headroom, Rate},
    pool::{Hazard, Pool},
};
use crate::{
    limits,
    remember::{hex, line, number, positive, time, unhex},
    state::{Place, State},
    types::{PoolKey, RegionKey, TimeUs},
};

/// What is known of a pool, whoever announces it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Learned {
    hazard: Hazard,
    boot: Boot,
    kind: Option<(u32, i64)>,
    /// When it was last announced, as far as is known.
    seen_at: Option<TimeUs>,
}

impl Learned {
    /// Nobody has announced it for so long that what was learned says little.
    fn is_old(&self, now: Option<TimeUs>) -> bool {
        now.zip(self.seen_at).is_some_and(|(now, seen_at)| now.since_ms(seen_at) > limits::POOL_KEPT_MS)
    }
}

impl Pool {
    fn learned(&self, seen_at: Option<TimeUs>) -> Learned {
        Learned { hazard: self.hazard, boot: self.boot, kind: self.kind, seen_at }
    }

    /// Goes on from what was known of it.
    pub(crate) fn recall(&mut self, learned: Learned) {
        self.hazard = learned.hazard;
        self.boot = learned.boot;
        self.kind = self.kind.or(learned.kind);
        self.seen_at = learned.seen_at;
    }
}

impl State {
    /// Lines that [`State::recall_places`] reads.
    pub(crate) fn remember_places(&self) -> String {
        let pools = &self.pools;
        let mut text = String::new();
        let now = pools.looked_at;
        let known = pools.rows.iter().map(|(key, pool)| (key, pool.learned(now.or(pool.seen_at))));
        // Pools that this driver has not announced yet are not forgotten by it, but nobody waits for ever for them.
        let kept = pools.learned.iter().filter(|(key, _)| !pools.rows.contains_key(*key));
        let kept = kept.map(|(key, learned)| (key, Learned { seen_at: learned.seen_at.or(now), ..*learned }));
        let kept = kept.filter(|(_, learned)| !learned.is_old(now));
        for (key, learned) in known.chain(kept).take(limits::POOLS_MAX) {
            let Learned { hazard, boot, kind, seen_at } = learned;
            let (gpus, memory_mib) = kind.map_or((-1, 0), |(gpus, memory_mib)| (i64::from(gpus), memory_mib));
            let Hazard { hours, blows, taken, of, .. } = hazard;
            let Boot { count, mean_ms } = boot;
            line(&mut text, "place-pool", &[hours, blows, taken, of, count, mean_ms]);
            let _ = writeln!(text, " {gpus} {memory_mib} {key}");
            if let Some(at) = seen_at {
                let _ = writeln!(text, "place-seen {} {key}", at.0);
            }
        }
        if pools.is_off() {
            return text;
        }
        line(&mut text, "place-headroom", &[pools.headroom.0]);
        text.push('\n');
        let overhead = &pools.overhead;
        line(&mut text, "place-overhead", &[overhead.work_ms, overhead.run_ms, f64::from(overhead.count)]);
        text.push('\n');
        line(&mut text, "place-day", &pools.day.bins);
        text.push('\n');
        if let Some((at, most)) = pools.peak.most() {
            let _ = writeln!(text, "place-peak {most} {}", at.0);
        }
        for ((place, gpus, memory_mib), demand) in &pools.groups {
            let rates = demand.rates();
            let numbers: Vec<f64> = rates.iter().flat_map(|rate| [rate.work, rate.jobs]).collect();
            line(&mut text, "place-group", &numbers);
            for rate in rates {
                let _ = write!(text, " {}", rate.at.0);
            }
            let (at, most) = demand.peak.most().unwrap_or_default();
            let place = place_text(self.places.key(*place));
            let _ = writeln!(text, " {most} {} {gpus} {memory_mib} {place}", at.0);
        }
        text
    }

    /// Takes in what [`State::remember_places`] wrote.
    pub(crate) fn recall_places(&mut self, snapshot: &str) {
        for line in snapshot.lines().filter(|line| line.starts_with("place-")) {
            let _: Option<()> = self.recall_line(line);
        }
    }

    fn recall_line(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        let pools = &mut self.pools;
        match kind {
            "place-pool" => pools.recall_pool(rest)?,
            "place-seen" => {
                let (at, key) = rest.split_once(' ')?;
                pools.learned.get_mut(&PoolKey::from(key))?.seen_at = Some(time(at)?);
            }
            "place-headroom" => {
                let headroom = positive(rest)?.min(limits::HEADROOM_MAX);
                pools.headroom = Headroom(headroom);
            }
            "place-overhead" => {
                let numbers: Vec<f64> = rest.split(' ').map(positive).collect::<Option<_>>()?;
                let [work_ms, run_ms, count] = numbers[..] else { return None };
                pools.overhead = super::Overhead { work_ms, run_ms, count: count as u32 };
            }
            "place-day" => pools.day = Day::of(rest.split(' ').map(number).collect::<Option<Vec<_>>>()?)?,
            "place-peak" => {
                let (most, at) = rest.split_once(' ')?;
                pools.peak.recall(time(at)?, positive(most)?);
            }
            "place-group" => self.recall_group(rest)?,
            _ => {}
        }
        Some(())
    }

    fn recall_group(&mut self, rest: &str) -> Option<()> {
        let mut parts = rest.splitn(14, ' ');
        let mut next = || parts.next();
        let mut rates = [Rate::default(); 3];
        for rate in &mut rates {
            (rate.work, rate.jobs) = (positive(next()?)?, positive(next()?)?);
        }
        for rate in &mut rates {
            rate.at = time(next()?)?;
        }
        let (most, at) = (positive(next()?)?, time(next()?)?);
        let (gpus, memory_mib) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let place = self.places.intern(&read_place(next()?)?);
        let mut demand = Demand::of(rates);
        demand.peak.recall(at, most);
        if self.pools.groups.len() < limits::GROUPS_MAX {
            self.pools.groups.insert((place, gpus, memory_mib), demand);
        }
        Some(())
    }
}

impl Pools {
    fn recall_pool(&mut self, rest: &str) -> Option<()> {
        let mut parts = rest.splitn(9, ' ');
        let mut next = || positive(parts.next()?);
        let hazard =
            Hazard { hours: next()?, blows: next()?, taken: next()?, of: next()?, ..Hazard::default() };
        let boot = Boot { count: next()?, mean_ms: next()? };
        let (gpus, memory_mib): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let kind = u32::try_from(gpus).ok().map(|gpus| (gpus, memory_mib));
        if self.learned.len() < limits::POOLS_MAX {
            self.learned.insert(PoolKey::from(parts.next()?), Learned { hazard, boot, kind, seen_at: None });
        }
        Some(())
    }
}

/// A place, whatever its regions are called.
fn place_text(place: &Place) -> String {
    match place {
        Place::Anywhere => "*".to_owned(),
        Place::Only(regions) => {
            let names: Vec<_> = regions.iter().map(|region| hex(region.as_str())).collect();
            format!("={}", names.join(","))
        }
    }
}

fn read_place(text: &str) -> Option<Place> {
    if text == "*" {
        return Some(Place::Anywhere);
    }
    let one = |name: &str| Some(RegionKey::from(unhex(name)?.as_str()));
    let regions = text.strip_prefix('=')?.split(',').map(one).collect::<Option<_>>()?;
    Some(Place::of(&regions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_whatever_its_regions_are_called() {
        for regions in [&[][..], &["eu"][..], &["a b,c", "ü\n*"][..]] {
            let place = Place::of(&regions.iter().map(|region| RegionKey::from(*region)).collect());
            assert_eq!(read_place(&place_text(&place)), Some(place));
        }
        for wrong in ["", "=0", "=zz", "eu"] {
            assert_eq!(read_place(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_pool_that_nobody_announces_for_a_month_is_forgotten_and_a_snapshot_is_bounded() {
        let after = |snapshot: &str, at: TimeUs| {
            let mut scheduler = crate::Scheduler::new(1).with_snapshot(snapshot);
            scheduler.state.pools.looked_at = Some(at);
            scheduler.state.remember_places()
        };
        let day = |day: i64| TimeUs(day * 86_400_000_000);
        // As another version wrote it: nothing is known of when it was announced.
        let old = "place-pool 3 1 1 4 2 60000 1 24000 l4 of eu\n";
        let first = after(old, day(1));
        assert!(first.contains("l4 of eu"), "{first}");
        let later = after(&first, day(30));
        assert_eq!(later, first, "what is seen again is not seen anew");
        assert_eq!(after(&first, day(32)), "");
        let many: String = (0..1_000).map(|n| format!("place-pool 3 1 1 4 2 60000 1 24000 p{n}\n")).collect();
        let written = after(&many, day(1));
        assert_eq!(written.lines().filter(|line| line.starts_with("place-pool ")).count(), limits::POOLS_MAX);
    }
}
