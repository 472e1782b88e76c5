//! Keys, time and small enums. All are ordered, so that every collection can be.

use std::{fmt, str::FromStr, sync::Arc};

/// A point in time: microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeUs(pub i64);

impl TimeUs {
    /// This time and `ms` milliseconds, saturating.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Milliseconds since `earlier`, 0 where that lies in the future.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> i64 {
        (self.0.saturating_sub(earlier.0) / 1000).max(0)
    }
}

/// A job's id: its UUID as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(pub u128);

/// What makes an attempt's result count: the epoch of the driver that leased it and a number within the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// One more at each start of a driver.
    pub epoch: u64,
    /// One more at each lease of an epoch.
    pub sequence: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

/// A text that is not `epoch-sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceError;

impl fmt::Display for FenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fence is epoch-sequence, two whole numbers")
    }
}

impl std::error::Error for FenceError {}

impl FromStr for Fence {
    type Err = FenceError;

    fn from_str(text: &str) -> Result<Self, FenceError> {
        let (epoch, sequence) = text.split_once('-').ok_or(FenceError)?;
        let number = |part: &str| part.parse::<u64>().map_err(|_| FenceError);
        Ok(Self { epoch: number(epoch)?, sequence: number(sequence)? })
    }
}

macro_rules! text_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the key.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_key!(
    /// Who a job counts for: namespace and opaque id in one text; the driver says how.
    TenantKey
);
text_key!(
    /// A model's version: "owner/name:version".
    ModelKey
);
text_key!(
    /// An agent's id, stable across its restarts.
    AgentKey
);
text_key!(
    /// A pool of workers.
    PoolKey
);
text_key!(
    /// A region's name.
    RegionKey
);

/// A worker: unique within its agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerKey {
    /// The agent that owns it.
    pub agent: AgentKey,
    /// Its name there.
    pub worker: Arc<str>,
}

impl WorkerKey {
    /// The key of worker `worker` of `agent`.
    #[must_use]
    pub fn new(agent: &AgentKey, worker: &str) -> Self {
        Self { agent: agent.clone(), worker: Arc::from(worker) }
    }
}

impl fmt::Display for WorkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.agent, self.worker)
    }
}

/// How soon somebody needs the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// A person waits.
    Interactive,
    /// Soon.
    Standard,
    /// Whenever it is cheap.
    Batch,
}

/// What an attempt is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Assigned; the agent has not said more.
    Assigned,
    /// Input files are downloaded.
    Fetching,
    /// The model is loaded.
    Loading,
    /// The model computes.
    Running,
    /// The model is held between two steps, its memory kept, while its worker computes something shorter.
    Paused,
    /// Outputs are uploaded.
    Uploading,
}

/// Why an attempt, and in the end a job, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureClass {
    /// The input is not what the model takes.
    InvalidInput,
    /// The model failed.
    ModelError,
    /// The worker, its agent or the way to it was lost.
    LostWorker,
    /// The attempt took longer than it may.
    TimedOut,
    /// The output's target refused it.
    OutputRefused,
}
