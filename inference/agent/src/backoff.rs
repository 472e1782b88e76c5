//! How long to wait before another try.

use std::time::Duration;

/// Doubles from `first` to `longest`; a half of each pause is chance, so that a fleet does not come all at once.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next pause; `chance` is from 0 to 1.
    pub(crate) fn pause(&mut self, chance: f64) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        whole.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        let pauses: Vec<u128> = (0..4).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.pause(0.0).as_millis(), 50);
    }
}
