//! Random numbers that a seed and a key decide: a draw does not depend on how many came before it.

/// A stream of random numbers (`SplitMix64`, Steele and others 2014). Fast, and good enough to invert quantiles.
#[derive(Clone, Debug)]
pub struct Rng(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN)))
    }

    /// The stream that belongs to a key under a seed. Two policies that ask for the same key see the same numbers.
    #[must_use]
    pub fn keyed(seed: u64, key: &[u64]) -> Self {
        let state = key.iter().fold(mix(seed.wrapping_add(GOLDEN)), |state, part| {
            mix(state ^ part.wrapping_mul(GOLDEN).wrapping_add(GOLDEN))
        });
        Self(state)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Exponential with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyed_draw_depends_on_seed_and_key_only() {
        assert_eq!(Rng::keyed(1, &[2, 3]).bits(), Rng::keyed(1, &[2, 3]).bits());
        assert_ne!(Rng::keyed(1, &[2, 3]).bits(), Rng::keyed(1, &[3, 2]).bits());
        assert_ne!(Rng::keyed(1, &[2, 3]).bits(), Rng::keyed(2, &[2, 3]).bits());
    }

    #[test]
    fn units_are_spread_evenly() {
        let mut rng = Rng::new(7);
        let mean = (0..10_000).map(|_| rng.unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "mean {mean}");
    }
}
