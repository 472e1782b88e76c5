//! How far a region is from where a job's data lies: learned from how long warm jobs took to begin.

use std::collections::BTreeMap;

use crate::{
    fleet::Class,
    limits,
    names::Names,
    scheduler::Scheduler,
    state::{Job, State},
    types::{RegionKey, TimeUs},
};

/// Milliseconds from assignment to compute, by where the data lies and where it was computed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Far {
    regions: Names<RegionKey>,
    /// The region of each class of workers.
    classes: Vec<u32>,
    ways: BTreeMap<(u32, u32), f64>,
    /// Regions that were known after the last sweep.
    kept: usize,
}

impl Far {
    /// The number of a job's home; `None`: its data is everywhere alike, or regions are too many to tell apart.
    pub(crate) fn home(&mut self, region: Option<&RegionKey>) -> Option<u16> {
        let region = region?;
        let id = match self.regions.find(region) {
            Some(id) => id,
            None if self.regions.len() < limits::FAR_REGIONS_MAX => self.regions.intern(region),
            None => return None,
        };
        u16::try_from(id).ok()
    }

    pub(super) fn note_classes(&mut self, classes: &[Class]) {
        for class in classes.iter().skip(self.classes.len()) {
            let id = self.regions.intern(&class.key.region);
            self.classes.push(id);
        }
    }

    /// Whether there may be more regions that nothing names than it costs to look.
    pub(crate) fn is_loose(&self) -> bool {
        self.regions.len() > 2 * self.kept + limits::FAR_REGIONS_MAX / 2
    }

    /// Classes have other numbers or none, as `numbers` says by the old ones. Ways to where nobody computes are forgotten,
    /// and regions that nothing names any more.
    pub(crate) fn keep_classes(&mut self, numbers: &[Option<u32>], homes: impl Iterator<Item = u16>) {
        let kept = self.classes.iter().zip(numbers).filter(|(_, number)| number.is_some());
        self.classes = kept.map(|(region, _)| *region).collect();
        let mut used = vec![false; self.regions.given()];
        self.classes.iter().for_each(|region| used[*region as usize] = true);
        self.ways.retain(|(_, to), _| used[*to as usize]);
        self.ways.keys().for_each(|(from, _)| used[*from as usize] = true);
        homes.for_each(|home| used[usize::from(home)] = true);
        self.regions.keep(&used);
        self.kept = self.regions.len();
    }

    #[cfg(test)]
    pub(crate) fn regions(&self) -> usize {
        self.regions.len()
    }

    fn region(&self, class: u32) -> Option<u32> {
        self.classes.get(class as usize).copied()
    }

    /// A warm job began so long after it was assigned.
    fn learn(&mut self, way: (u32, u32), ms: i64) {
        let ms = ms as f64;
        if let Some(mean) = self.ways.get_mut(&way) {
            *mean += (ms - *mean) * limits::FAR_NEW;
        } else if self.ways.len() < limits::FAR_WAYS_MAX {
            self.ways.insert(way, ms);
        }
    }

    /// What crossing costs beyond staying at home; a guess where it was never done, so that home comes first.
    fn ms(&self, from: u32, to: u32) -> f64 {
        if from == to {
            return 0.0;
        }
        let of = |to: u32| self.ways.get(&(from, to)).copied();
        of(to).map_or(limits::FAR_MS, |there| (there - of(from).unwrap_or(0.0)).max(0.0))
    }
}

impl State {
    /// How much worse a class is for the job because its data lies elsewhere, in erlangs of a victim's demand, as all
    /// costs of a choice.
    pub(crate) fn far_cost(&self, job: &Job, class: u32) -> f64 {
        let Some((home, region)) = job.home.and_then(|home| Some((home, self.far.region(class)?))) else {
            return 0.0;
        };
        self.far.ms(u32::from(home), region) / limits::SWAP_PATIENCE_MS
    }
}

impl Scheduler {
    /// A first attempt computes: where nothing was loaded for it, the way of its data is all that it waited for.
    pub(crate) fn learn_way(&mut self, now: TimeUs, slot: u32, holder: Option<u32>) {
        let Some(row) = self.state.jobs.get(slot) else { return };
        let own = |fence| !self.state.overflow.is_outside(fence);
        let Some(lease) = row.lease().filter(|lease| lease.charged_ms == 0 && own(lease.fence)) else {
            return;
        };
        let worker = holder.and_then(|id| self.state.fleet.workers.get(id));
        let region = worker.and_then(|worker| self.state.far.region(worker.class));
        let Some((home, region)) = row.home.zip(region) else { return };
        let assigned_us =
            lease.times_out_at.0 - (self.state.timeout_ms(row.model) + limits::TIMEOUT_GRACE_MS) * 1_000;
        let took_ms = now.since_ms(TimeUs(assigned_us));
        self.state.far.learn((u32::from(home), region), took_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_what_was_measured_beyond_home() {
        let mut far = Far::default();
        assert_eq!(far.ms(0, 0), 0.0);
        assert_eq!(far.ms(0, 1), limits::FAR_MS);
        for _ in 0..100 {
            far.learn((0, 0), 20);
            far.learn((0, 1), 110);
        }
        assert!((far.ms(0, 1) - 90.0).abs() < 1.0);
        assert!(far.ms(1, 0) > 0.0, "nobody has gone back yet");
    }
}
