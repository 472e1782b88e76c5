//! How far a region is from where a job's data lies: learned from how long warm jobs took to begin.

use std::collections::BTreeMap;

use crate::{limits, types::RegionKey};

/// Milliseconds from assignment to compute, by where the data lies and where it was computed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Far {
    ways: BTreeMap<(RegionKey, RegionKey), f64>,
}

impl Far {
    /// A warm job began so long after it was assigned.
    pub(crate) fn learn(&mut self, from: &RegionKey, to: &RegionKey, ms: i64) {
        let (way, ms) = ((from.clone(), to.clone()), ms as f64);
        if let Some(mean) = self.ways.get_mut(&way) {
            *mean += (ms - *mean) * limits::FAR_NEW;
        } else if self.ways.len() < limits::FAR_WAYS_MAX {
            self.ways.insert(way, ms);
        }
    }

    /// What crossing costs beyond staying at home; a guess where it was never done, so that home comes first.
    pub(crate) fn ms(&self, from: &RegionKey, to: &RegionKey) -> f64 {
        if from == to {
            return 0.0;
        }
        let of = |to: &RegionKey| self.ways.get(&(from.clone(), to.clone())).copied();
        of(to).map_or(limits::FAR_MS, |there| (there - of(from).unwrap_or(0.0)).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_what_was_measured_beyond_home() {
        let (here, there) = (RegionKey::from("a"), RegionKey::from("b"));
        let mut far = Far::default();
        assert_eq!(far.ms(&here, &here), 0.0);
        assert_eq!(far.ms(&here, &there), limits::FAR_MS);
        for _ in 0..100 {
            far.learn(&here, &here, 20);
            far.learn(&here, &there, 110);
        }
        assert!((far.ms(&here, &there) - 90.0).abs() < 1.0);
        assert!(far.ms(&there, &here) > 0.0, "nobody has gone back yet");
    }
}
