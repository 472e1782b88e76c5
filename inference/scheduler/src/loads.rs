//! How long loads take, against what was expected of each.
//!
//! Loads of one model spread widely: from the page cache they take seconds, from far away most of a minute. So one that
//! has lasted a while is most likely one of the long ones, and what is left of it is not what was expected at first.

use crate::limits;

/// Buckets: quarters of a power of two, from 2^-5 to 2^5 of what was expected.
const BUCKETS: usize = 41;
const PER_DOUBLING: f64 = 4.0;
const LOWEST: f64 = -5.0;

/// How measured loads compare with what they were expected to take: counts by ratio, of which old ones fade.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loads {
    counts: [f64; BUCKETS],
    /// The ratio that each bucket stands for: asked for too often to be computed each time.
    ratios: [f64; BUCKETS],
    /// Of each bucket and all longer ones: how many, and the sum of their ratios.
    longer: [(f64, f64); BUCKETS + 1],
}

impl Default for Loads {
    fn default() -> Self {
        Self { counts: [0.0; BUCKETS], ratios: std::array::from_fn(ratio), longer: [(0.0, 0.0); BUCKETS + 1] }
    }
}

fn ratio(bucket: usize) -> f64 {
    (bucket as f64 / PER_DOUBLING + LOWEST).exp2()
}

impl Loads {
    /// A load was measured.
    pub(crate) fn learn(&mut self, load_ms: i64, expected_ms: i64) {
        let measured = load_ms.max(1) as f64 / expected_ms.max(1) as f64;
        let bucket = ((measured.log2() - LOWEST) * PER_DOUBLING).round().clamp(0.0, BUCKETS as f64 - 1.0);
        for count in &mut self.counts {
            *count *= 1.0 - limits::LOADS_FADE;
        }
        self.counts[bucket as usize] += 1.0;
        self.sum_up();
    }

    /// How many of each bucket, for a snapshot.
    pub(crate) fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Takes a bucket from a snapshot; `None` where there is no such bucket.
    pub(crate) fn restore(&mut self, bucket: usize, count: f64) -> Option<()> {
        *self.counts.get_mut(bucket)? = count;
        self.sum_up();
        Some(())
    }

    fn sum_up(&mut self) {
        for bucket in (0..BUCKETS).rev() {
            let ((count, sum), own) = (self.longer[bucket + 1], self.counts[bucket]);
            self.longer[bucket] = (count + own, sum + own * self.ratios[bucket]);
        }
    }

    /// What a load takes on average, of what is expected; 1 where nothing was measured.
    pub(crate) fn mean(&self) -> f64 {
        let (measured, sum) = self.longer[0];
        (sum + limits::LOADS_DOUBT) / (measured + limits::LOADS_DOUBT)
    }

    /// Milliseconds that are left of a load which was expected to take `expected_ms` and has lasted `elapsed_ms`: the
    /// mean of what longer ones had left.
    pub(crate) fn left_ms(&self, elapsed_ms: i64, expected_ms: i64) -> i64 {
        // Ratios are of what models say; what is expected holds their mean already.
        let said = expected_ms.max(1) as f64 / self.mean();
        let elapsed = elapsed_ms.max(0) as f64 / said;
        let first = self.ratios.partition_point(|ratio| *ratio <= elapsed);
        let (count, sum) = self.longer[first];
        // One load more, as was expected; what overruns everything may take as long again as a half.
        let doubt = (1.0 - elapsed).max(0.5);
        let left = (sum - count * elapsed + doubt * limits::LOADS_DOUBT) / (count + limits::LOADS_DOUBT);
        (left * said + 0.5) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_lasted_is_one_of_the_long_ones() {
        let mut loads = Loads::default();
        assert_eq!(loads.left_ms(0, 20_000), 20_000, "nothing is known: as expected");
        for _ in 0..500 {
            loads.learn(2_000, 20_000);
            loads.learn(38_000, 20_000);
        }
        let (fresh, late) = (loads.left_ms(0, 20_000), loads.left_ms(5_000, 20_000));
        assert!((18_000..22_000).contains(&fresh), "{fresh}");
        assert!((30_000..36_000).contains(&late), "{late}");
        assert!((loads.mean() - 1.0).abs() < 0.1);
    }

    #[test]
    fn what_models_say_wrongly_is_put_right_once() {
        let mut loads = Loads::default();
        (0..500).for_each(|_| loads.learn(60_000, 20_000));
        let expected_ms = (20_000.0 * loads.mean()) as i64;
        assert!((55_000..65_000).contains(&expected_ms), "{expected_ms}");
        let left_ms = loads.left_ms(0, expected_ms);
        assert!((left_ms - expected_ms).abs() < 10, "{left_ms}");
    }
}
