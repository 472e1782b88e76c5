//! What is due when. An entry whose owner has moved on is dropped when it comes up, or when such entries outnumber
//! the others. Only what is due soon is kept in order; what is due later lies in buckets until their turn comes, so that
//! most entries, which are out of date by then, cost an append and nothing more.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use crate::{limits, types::TimeUs};

/// Whose clock it is. Each owner knows the one time at which its entry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A job: the end of its back-off, time to live, lease or time-out.
    Job(u32),
    /// A line whose swap was refused.
    Line(u32),
    /// An agent that is away.
    Agent(u32),
    /// A worker that loads without a job.
    Preparing(u32),
    /// The pools.
    Look,
    /// Third parties, while jobs wait.
    Overflow,
}

/// All timers, in the order in which they fire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    /// What lies in buckets up to `bucket`.
    near: BinaryHeap<Reverse<(TimeUs, Timer)>>,
    bucket: i64,
    far: BTreeMap<i64, Vec<(TimeUs, Timer)>>,
    len: usize,
}

fn bucket_of(at: TimeUs) -> i64 {
    at.0 >> limits::TIMER_BUCKET_BITS
}

impl Timers {
    pub(crate) fn set(&mut self, at: TimeUs, timer: Timer) {
        self.len += 1;
        let bucket = bucket_of(at);
        if self.near.is_empty() && self.far.first_key_value().is_none_or(|(first, _)| bucket <= *first) {
            self.bucket = bucket;
        }
        if bucket <= self.bucket {
            self.near.push(Reverse((at, timer)));
        } else {
            self.far.entry(bucket).or_default().push((at, timer));
        }
    }

    /// The next one. Asked after [`Timers::drop_next`] or [`Timers::keep`] have settled.
    pub(crate) fn next(&self) -> Option<(TimeUs, Timer)> {
        self.near.peek().map(|Reverse(entry)| *entry)
    }

    pub(crate) fn drop_next(&mut self) {
        self.len -= usize::from(self.near.pop().is_some());
        self.settle();
    }

    /// While anything is due, the near part has the first.
    fn settle(&mut self) {
        while self.near.is_empty() {
            let Some((bucket, entries)) = self.far.pop_first() else { return };
            self.bucket = bucket;
            self.near = entries.into_iter().map(Reverse).collect();
        }
    }

    /// Whether entries that no longer count may take most of the memory.
    pub(crate) fn is_loose(&self, owners: usize) -> bool {
        self.len > 2 * owners + limits::TIMERS_SPARE
    }

    pub(crate) fn keep(&mut self, counts: impl Fn(TimeUs, Timer) -> bool) {
        self.near.retain(|Reverse((at, timer))| counts(*at, *timer));
        for entries in self.far.values_mut() {
            entries.retain(|(at, timer)| counts(*at, *timer));
            entries.shrink_to_fit();
        }
        self.far.retain(|_, entries| !entries.is_empty());
        self.len = self.near.len() + self.far.values().map(Vec::len).sum::<usize>();
        self.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_fire_in_order_whenever_they_were_set() {
        let (mut timers, mut due) = (Timers::default(), Vec::new());
        let mut last = TimeUs(0);
        for n in 0..2_000_u32 {
            let at = TimeUs(last.0 + i64::from(n.wrapping_mul(2_654_435_761) % 90_000_000));
            timers.set(at, Timer::Job(n));
            due.push((at, Timer::Job(n)));
            if n % 3 == 0 {
                due.sort_unstable();
                assert_eq!(timers.next(), Some(due[0]));
                last = due.remove(0).0;
                timers.drop_next();
            }
        }
        timers.keep(|_, timer| matches!(timer, Timer::Job(n) if n % 2 == 0));
        due.retain(|(_, timer)| matches!(timer, Timer::Job(n) if n % 2 == 0));
        due.sort_unstable();
        for entry in due {
            assert_eq!(timers.next(), Some(entry));
            timers.drop_next();
        }
        assert_eq!(timers.next(), None);
    }
}
