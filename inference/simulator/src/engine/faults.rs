//! What goes wrong, decided by the seed.

/// Faults of a run; the default has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Mean delay of a report, microseconds.
    pub report_delay_us: i64,
    /// Reports that arrive twice, in thousandths.
    pub duplicate_permille: u32,
    /// Loads that take [`SLOW_FACTOR`] times as long, in thousandths.
    pub slow_load_permille: u32,
    /// Attempts that fail with a retryable error, in thousandths.
    pub fail_permille: u32,
    /// Jobs that their caller cancels at a random moment, in thousandths.
    pub cancel_permille: u32,
    /// What happens to single GPUs and regions, by time.
    pub plan: Vec<Planned>,
}

/// A slow load against what was drawn.
pub const SLOW_FACTOR: i64 = 8;

/// One planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When.
    pub at_us: i64,
    /// To which GPU, by its number in the fleet.
    pub gpu: usize,
    /// What.
    pub fault: Fault,
}

/// What happens to a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its process dies: what ran and what was resident is lost. It joins again after `back_us`, if at all.
    Crash {
        /// Microseconds until it is back.
        back_us: Option<i64>,
    },
    /// Its stream breaks for `back_us`; it goes on with what it runs and keeps its reports.
    Cut {
        /// Microseconds until the stream is up again.
        back_us: i64,
    },
    /// It is told to drain, and leaves when it is done.
    Drain,
    /// A spot GPU is taken away: it says so and is gone.
    Preempt,
}
