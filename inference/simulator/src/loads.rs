//! How long loads take: measured quantiles, inverted.

use crate::rng::Rng;

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// A base model.
    BaseModel,
    /// One adapter, merged into a resident base.
    Lora,
}

/// Quantiles of one component, ascending, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantiles(Vec<(f64, f64)>);

impl Quantiles {
    /// From (quantile, milliseconds) pairs that ascend in both; `None` where they do not or there are none.
    #[must_use]
    pub fn new(pairs: Vec<(f64, f64)>) -> Option<Self> {
        let ascending = pairs.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
        (!pairs.is_empty() && ascending).then_some(Self(pairs))
    }

    /// The value below which a share `u` of all lies, between two points in proportion.
    #[must_use]
    pub fn invert(&self, u: f64) -> f64 {
        let above = self.0.partition_point(|(quantile, _)| *quantile < u);
        let Some((high, high_ms)) = self.0.get(above) else { return self.0[self.0.len() - 1].1 };
        let Some((low, low_ms)) = above.checked_sub(1).map(|at| self.0[at]) else { return *high_ms };
        low_ms + (high_ms - low_ms) * (u - low) / (high - low)
    }

    /// The mean, in milliseconds.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        const POINTS: u32 = 1_000;
        (0..POINTS).map(|at| self.invert((f64::from(at) + 0.5) / f64::from(POINTS))).sum::<f64>()
            / f64::from(POINTS)
    }
}

/// Loads of every component that the machine has.
#[derive(Clone, Debug, PartialEq)]
pub struct Loads {
    /// Base models.
    pub base: Quantiles,
    /// Adapters.
    pub lora: Quantiles,
}

/// Who causes a load, which decides its draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A job, and which of its loads: the same under every policy, so that runs are paired.
    Job(u64, u64),
    /// Nobody yet: the n-th speculative load of the run.
    Speculative(u64),
}

impl Loads {
    /// The microseconds that a load takes.
    #[must_use]
    pub fn draw_us(&self, seed: u64, component: Component, cause: Cause) -> i64 {
        let (quantiles, tag) = match component {
            Component::BaseModel => (&self.base, 1),
            Component::Lora => (&self.lora, 2),
        };
        let key = match cause {
            Cause::Job(job, nth) => [tag, 1, job, nth],
            Cause::Speculative(nth) => [tag, 2, nth, 0],
        };
        (quantiles.invert(Rng::keyed(seed, &key).unit()) * 1000.0) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_inverted_in_proportion() {
        let quantiles = Quantiles::new(vec![(0.0, 100.0), (0.5, 200.0), (1.0, 1000.0)]).expect("ascending");
        for (u, ms) in [(0.0, 100.0), (0.25, 150.0), (0.5, 200.0), (0.75, 600.0), (1.0, 1000.0)] {
            assert!((quantiles.invert(u) - ms).abs() < 1e-9, "{u}");
        }
        assert_eq!(Quantiles::new(vec![(0.5, 2.0), (0.1, 3.0)]), None);
    }
}
