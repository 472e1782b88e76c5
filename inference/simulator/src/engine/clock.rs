//! What will happen, in the order of its time.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use backlot_inference_scheduler::{Event, Fence};

use super::faults::Fault;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Arrival(usize),
    LoadEnds {
        gpu: usize,
        serial: u64,
    },
    ComputeEnds {
        gpu: usize,
        serial: u64,
    },
    /// An attempt's input has arrived.
    Ready {
        gpu: usize,
    },
    Heartbeat {
        gpu: usize,
    },
    /// An attempt that is to be paused has computed its step.
    StepEnds {
        gpu: usize,
        serial: u64,
    },
    Stopped {
        gpu: usize,
        fence: Fence,
    },
    /// A report arrives late.
    Report(Box<Event>),
    Fault(usize, Fault),
    /// A crashed or cut agent is back.
    Back {
        gpu: usize,
    },
    /// A pool's market changes.
    Capacity {
        pool: usize,
        available: u32,
    },
    /// An ordered machine is there.
    Booted {
        pool: usize,
        serial: u64,
    },
    Cancel(usize),
    /// The third party begins to compute.
    OutsideBegins(Fence),
    /// It has computed, or is stopped because it took too long.
    OutsideEnds {
        fence: Fence,
        done: bool,
    },
    OutsideBeats,
}

#[derive(Debug)]
struct Due {
    at_us: i64,
    serial: u64,
    happening: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_us, self.serial).cmp(&(other.at_us, other.serial))
    }
}

/// A queue of happenings. What is due at the same time happens in the order in which it was planned.
#[derive(Debug, Default)]
pub(super) struct Clock {
    due: BinaryHeap<Reverse<Due>>,
    serial: u64,
}

impl Clock {
    pub(super) fn at(&mut self, at_us: i64, happening: Happening) {
        self.serial += 1;
        self.due.push(Reverse(Due { at_us, serial: self.serial, happening }));
    }

    /// A number that was never given before.
    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn next_us(&self) -> Option<i64> {
        self.due.peek().map(|Reverse(due)| due.at_us)
    }

    pub(super) fn pop(&mut self) -> Option<(i64, Happening)> {
        self.due.pop().map(|Reverse(due)| (due.at_us, due.happening))
    }
}
