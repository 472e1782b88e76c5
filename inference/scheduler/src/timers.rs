//! What is due when. An entry whose owner has moved on is dropped when it comes up, or when such entries outnumber
//! the others.

use std::{cmp::Reverse, collections::BinaryHeap};

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
}

/// All timers, in the order in which they fire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(TimeUs, Timer)>>);

impl Timers {
    pub(crate) fn set(&mut self, at: TimeUs, timer: Timer) {
        self.0.push(Reverse((at, timer)));
    }

    pub(crate) fn next(&self) -> Option<(TimeUs, Timer)> {
        self.0.peek().map(|Reverse(entry)| *entry)
    }

    pub(crate) fn drop_next(&mut self) {
        self.0.pop();
    }

    /// Whether entries that no longer count may take most of the memory.
    pub(crate) fn is_loose(&self, owners: usize) -> bool {
        self.0.len() > 2 * owners + limits::TIMERS_SPARE
    }

    pub(crate) fn keep(&mut self, counts: impl Fn(TimeUs, Timer) -> bool) {
        self.0.retain(|Reverse((at, timer))| counts(*at, *timer));
    }
}
