//! Token buckets in memory: how often one account or one address may try a password.
//!
//! Pure: the time comes in as an argument. A restart forgives, which is no gift to an attacker who has
//! to make the server restart for every handful of guesses.

use std::collections::HashMap;
use std::time::Duration;

/// Keys that are remembered at once. Above it, full buckets are dropped first, then everything.
const KEYS_MAX: usize = 100_000;

/// How fast a bucket fills and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Tries at once.
    pub burst: u32,
    /// Tries that come back in an hour.
    pub per_hour: u32,
}

/// One bucket a key.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    buckets: HashMap<String, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    updated_us: i64,
}

impl Limiter {
    /// An empty limiter: every key may try.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: HashMap::new() }
    }

    /// Takes one try of `key` at `now_us` (Unix microseconds).
    ///
    /// # Errors
    /// With the time until the next try where the bucket is empty.
    pub(crate) fn take(&mut self, key: &str, now_us: i64) -> Result<(), Duration> {
        self.make_room(now_us);
        let rate = self.rate;
        let bucket = self
            .buckets
            .entry(key.to_owned())
            .or_insert(Bucket { tokens: f64::from(rate.burst), updated_us: now_us });
        bucket.tokens = refilled(*bucket, rate, now_us);
        bucket.updated_us = now_us;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_second(rate)))
    }

    /// Gives a try back: a right password is no guess.
    pub(crate) fn give_back(&mut self, key: &str) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.tokens = (bucket.tokens + 1.0).min(f64::from(self.rate.burst));
        }
    }

    fn make_room(&mut self, now_us: i64) {
        if self.buckets.len() < KEYS_MAX {
            return;
        }
        let rate = self.rate;
        self.buckets.retain(|_, bucket| refilled(*bucket, rate, now_us) < f64::from(rate.burst));
        if self.buckets.len() >= KEYS_MAX {
            self.buckets.clear();
        }
    }
}

fn per_second(rate: Rate) -> f64 {
    f64::from(rate.per_hour.max(1)) / 3600.0
}

fn refilled(bucket: Bucket, rate: Rate, now_us: i64) -> f64 {
    let elapsed_s = (now_us - bucket.updated_us).max(0) as f64 / 1e6;
    (bucket.tokens + elapsed_s * per_second(rate)).min(f64::from(rate.burst))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, per_hour: 60 };
    const MINUTE_US: i64 = 60_000_000;

    #[test]
    fn a_burst_then_one_a_minute() {
        let mut limiter = Limiter::new(RATE);
        for _ in 0..3 {
            assert!(limiter.take("a", 0).is_ok());
        }
        assert_eq!(limiter.take("a", 0), Err(Duration::from_secs(60)));
        assert!(limiter.take("b", 0).is_ok());
        assert!(limiter.take("a", MINUTE_US).is_ok());
        assert!(limiter.take("a", MINUTE_US).is_err());
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let mut limiter = Limiter::new(RATE);
        for _ in 0..10 {
            assert!(limiter.take("a", 0).is_ok());
            limiter.give_back("a");
        }
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut limiter = Limiter::new(RATE);
        for n in 0..=KEYS_MAX {
            let _ = limiter.take(&n.to_string(), 0);
        }
        assert!(limiter.buckets.len() <= KEYS_MAX);
    }
}
