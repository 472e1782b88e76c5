//! Folding: a sample of many days becomes one day that loads a fleet.

use super::Workload;
use crate::rng::Rng;

/// Stamps of the trace are whole seconds: the jitter restores what they lost, and never more.
const JITTER_US: f64 = 1_000_000.0;
const JITTER_KEY: u64 = 0x4A17;

impl Workload {
    /// `arrival mod fold`, with a jitter below one second that the seed and the row decide. Without a fold only the
    /// jitter is added.
    #[must_use]
    pub fn folded(&self, fold_s: Option<u64>, seed: u64) -> Self {
        let fold_us = fold_s.map(|seconds| (seconds.max(1) as i64).saturating_mul(1_000_000));
        let requests = self.requests.iter().enumerate().map(|(row, request)| {
            let mut request = request.clone();
            if let Some(fold_us) = fold_us {
                request.arrival_us = request.arrival_us.rem_euclid(fold_us);
            }
            let jitter = Rng::keyed(seed, &[JITTER_KEY, row as u64]).unit() * JITTER_US;
            request.arrival_us += (jitter as i64).min(JITTER_US as i64 - 1);
            request
        });
        self.with_requests(requests.collect())
    }
}
