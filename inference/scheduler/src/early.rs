//! Jobs that wait ahead of their tenant's share. They run where a worker would idle otherwise, but they are no reason to
//! load a model, to keep one, or to think that a line is long: who asks for too much takes nobody's room.

use std::collections::BTreeMap;

use crate::limits;

/// Jobs that are early, by the place in the order at which they are due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early {
    /// Slot and submission: a job that has left its line is recognised when its turn comes.
    buckets: BTreeMap<i64, Vec<(u32, u64)>>,
    /// What lies in earlier buckets is due. Never goes back.
    due_to: i64,
    len: usize,
}

fn bucket_of(key: i64) -> i64 {
    key >> limits::EARLY_BUCKET_BITS
}

impl Early {
    pub(crate) fn is_early(&self, key: i64) -> bool {
        bucket_of(key) >= self.due_to
    }

    pub(crate) fn insert(&mut self, key: i64, slot: u32, submission: u64) {
        self.buckets.entry(bucket_of(key)).or_default().push((slot, submission));
        self.len += 1;
    }

    /// The order has come to `key`: some that have become due.
    pub(crate) fn advance(&mut self, key: i64) -> Option<Vec<(u32, u64)>> {
        self.due_to = self.due_to.max(bucket_of(key));
        let entry = self.buckets.first_entry().filter(|entry| *entry.key() < self.due_to)?;
        let due = entry.remove();
        self.len -= due.len();
        Some(due)
    }

    /// Whether entries of jobs that have left may take most of the memory.
    pub(crate) fn is_loose(&self, waiting: usize) -> bool {
        self.len > 2 * waiting + limits::EARLY_SPARE
    }

    pub(crate) fn keep(&mut self, counts: impl Fn(u32, u64) -> bool) {
        for jobs in self.buckets.values_mut() {
            jobs.retain(|(slot, submission)| counts(*slot, *submission));
            jobs.shrink_to_fit();
        }
        self.buckets.retain(|_, jobs| !jobs.is_empty());
        self.len = self.buckets.values().map(Vec::len).sum();
    }
}
