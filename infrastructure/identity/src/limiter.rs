//! Token buckets in memory: how often one account or one address may try a password.
//!
//! Pure: the time comes in as an argument. A restart forgives, which is no gift to an attacker who has
//! to make the server restart for every handful of guesses.

use std::collections::HashMap;
use std::time::Duration;

use crate::secrets::sha256_hex;

/// Keys that are remembered at once. Above it, full buckets are dropped first, then those from which least was taken:
/// whoever makes up keys must not make us forget the ones that are being guessed at.
const KEYS_MAX: usize = 100_000;
/// Keys that are left then.
const KEYS_KEPT: usize = KEYS_MAX / 2;

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
        let tokens = bucket.tokens;
        Err(self.pause(tokens))
    }

    /// Whether `key` could take a try now; remembers nothing.
    ///
    /// # Errors
    /// As [`Limiter::take`].
    pub(crate) fn check(&self, key: &str, now_us: i64) -> Result<(), Duration> {
        match self.buckets.get(key).map(|bucket| refilled(*bucket, self.rate, now_us)) {
            Some(tokens) if tokens < 1.0 => Err(self.pause(tokens)),
            Some(_) | None => Ok(()),
        }
    }

    fn pause(&self, tokens: f64) -> Duration {
        Duration::from_secs_f64((1.0 - tokens) / per_second(self.rate))
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
        if self.buckets.len() < KEYS_MAX {
            return;
        }
        let mut left: Vec<(f64, String)> =
            self.buckets.drain().map(|(key, bucket)| (refilled(bucket, rate, now_us), key)).collect();
        left.select_nth_unstable_by(KEYS_KEPT, |one, other| one.0.total_cmp(&other.0));
        left.truncate(KEYS_KEPT);
        self.buckets =
            left.into_iter().map(|(tokens, key)| (key, Bucket { tokens, updated_us: now_us })).collect();
    }
}

/// How often somebody may try to sign in.
#[derive(Debug)]
pub(crate) struct SignInLimits {
    /// For one account from one address.
    pub(crate) pair: Limiter,
    /// For one account from anywhere.
    pub(crate) account: Limiter,
    /// From one address for any account.
    pub(crate) address: Limiter,
}

/// The buckets that one try is taken from.
pub(crate) struct TryKeys {
    pair: String,
    account: String,
    address: Option<String>,
}

impl TryKeys {
    pub(crate) fn new(email: &str, address: Option<&str>) -> Self {
        // Hashed: whatever a stranger sends as an e-mail, the key stays short.
        let account = sha256_hex(email);
        Self {
            pair: format!("{account} {}", address.unwrap_or_default()),
            account,
            address: address.map(str::to_owned),
        }
    }
}

impl SignInLimits {
    /// Takes a try from each bucket.
    ///
    /// # Errors
    /// With the time until the next try where one of them is empty.
    pub(crate) fn take(&mut self, keys: &TryKeys, now_us: i64) -> Result<(), Duration> {
        // First, and only looked at: an address that may not try leaves no trace of the names that it makes up.
        if let Some(address) = &keys.address {
            self.address.check(address, now_us)?;
        }
        self.pair.take(&keys.pair, now_us)?;
        self.account.take(&keys.account, now_us)?;
        keys.address.as_ref().map_or(Ok(()), |address| self.address.take(address, now_us))
    }

    /// Gives it back.
    pub(crate) fn give_back(&mut self, keys: &TryKeys) {
        self.pair.give_back(&keys.pair);
        self.account.give_back(&keys.account);
        if let Some(address) = &keys.address {
            self.address.give_back(address);
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
    fn made_up_keys_do_not_make_it_forget_the_one_that_is_guessed_at() {
        let mut limiter = Limiter::new(RATE);
        for _ in 0..3 {
            assert!(limiter.take("ada", 0).is_ok());
        }
        for n in 0..3 * KEYS_MAX {
            let _ = limiter.take(&n.to_string(), 0);
            assert!(limiter.buckets.len() <= KEYS_MAX);
        }
        assert_eq!(limiter.take("ada", 0), Err(Duration::from_secs(60)));
    }

    #[test]
    fn an_address_that_may_not_try_leaves_nothing_behind() {
        let limiter = || Limiter::new(RATE);
        let mut limits = SignInLimits { pair: limiter(), account: limiter(), address: limiter() };
        for n in 0..1_000 {
            let _ = limits.take(&TryKeys::new(&format!("{n}@example.com"), Some("10.0.0.1")), 0);
        }
        assert_eq!((limits.pair.buckets.len(), limits.account.buckets.len()), (3, 3));
    }

    #[test]
    fn looking_takes_nothing_and_remembers_nothing() {
        let mut limiter = Limiter::new(RATE);
        assert_eq!(limiter.check("a", 0), Ok(()));
        assert!(limiter.buckets.is_empty());
        for _ in 0..3 {
            assert!(limiter.take("a", 0).is_ok());
        }
        assert_eq!(limiter.check("a", 0), Err(Duration::from_secs(60)));
        assert_eq!(limiter.check("a", MINUTE_US), Ok(()));
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
