//! What is due when.

use std::collections::BTreeSet;

use crate::types::{AgentKey, Fence, JobKey, TimeUs};

/// Something that happens by time alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A job that backed off may run again.
    Ready(JobKey),
    /// A waiting job reaches the end of its time to live.
    TimeToLive(JobKey),
    /// A lease ends unless it was extended.
    Lease(JobKey, Fence),
    /// An attempt has run for too long.
    Timeout(JobKey, Fence),
    /// An agent has been away for too long.
    Forget(AgentKey),
}

/// All timers, in the order in which they fire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(BTreeSet<(TimeUs, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: TimeUs, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: TimeUs, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<TimeUs> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn take_due(&mut self, now: TimeUs) -> Option<Timer> {
        match self.0.first() {
            Some((at, _)) if *at <= now => self.0.pop_first().map(|(_, timer)| timer),
            _ => None,
        }
    }
}
