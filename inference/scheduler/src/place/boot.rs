//! How long a pool's machines take to come: what the operator says, corrected by what was measured.

use crate::limits;

/// Measured boots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Boot {
    pub(crate) count: f64,
    pub(crate) mean_ms: f64,
}

impl Boot {
    /// A machine came so long after it was ordered.
    pub(crate) fn took(&mut self, ms: i64) {
        self.count = (self.count + 1.0).min(limits::BOOTS_COUNTED);
        self.mean_ms += (ms as f64 - self.mean_ms) / self.count;
    }

    /// What the next boot is expected to take; `said_ms` counts like [`BOOT_SAID`](limits::BOOT_SAID) measured ones.
    pub(crate) fn ms(&self, said_ms: i64) -> i64 {
        let all = said_ms as f64 * limits::BOOT_SAID + self.mean_ms * self.count;
        (all / (limits::BOOT_SAID + self.count)).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_outweighs_what_was_said_and_follows_a_change() {
        let mut boot = Boot::default();
        assert_eq!(boot.ms(60_000), 60_000);
        (0..100).for_each(|_| boot.took(60_000));
        assert_eq!(boot.ms(60_000), 60_000, "who says the truth is believed to the millisecond");
        (0..100).for_each(|_| boot.took(180_000));
        assert!(boot.ms(60_000) > 150_000, "{}", boot.ms(60_000));
    }
}
