//! What a provider can do: make a machine, take it away, say what there is. All by the machine's id, which the row had
//! before: the same order twice is one machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Launch, PoolConfig, ProviderKind, command::Command, local::Local, words::Secrets};

/// A call that did not succeed. Whether it did anything is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("it cannot be started: {0}")]
    Start(#[source] std::io::Error),
    #[error("its folder cannot be used: {0}")]
    Folder(#[source] std::io::Error),
    #[error("{verb} did not end within {call_ms} ms, was stopped{said}")]
    Late { verb: &'static str, call_ms: u64, said: String },
    #[error("{verb} answered more than {bytes_max} bytes{said}")]
    Long { verb: &'static str, bytes_max: usize, said: String },
    #[error("{verb} failed ({status}){said}")]
    Failed { verb: &'static str, status: String, said: String },
    #[error("its agent ended at once; it wrote last: {0}")]
    Ended(String),
    #[error("list answered what cannot be read: {source}{said}")]
    Answer { source: serde_json::Error, said: String },
    #[error("the order cannot be written: {0}")]
    Order(#[source] serde_json::Error),
    #[error("it cannot be stopped: {0}")]
    Stop(#[source] std::io::Error),
    #[error("the machine did not end although it was killed")]
    Alive,
}

/// A machine to be made or taken away.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Order {
    /// Its id, and the key that makes the call idempotent.
    pub(crate) machine: String,
    /// Its pool.
    pub(crate) pool: String,
    pub(crate) region: String,
    pub(crate) kind: String,
    pub(crate) spot: bool,
    /// Epoch of the driver that asks: of two calls the one with the larger is right.
    pub(crate) epoch: u64,
    /// What its agent must find in its environment. Empty where a machine is taken away.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) environment: BTreeMap<String, String>,
}

/// A machine that a provider has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    pub(crate) machine: String,
    /// Whether the market has announced that it will be taken away.
    #[serde(default)]
    pub(crate) notice: bool,
    /// Whether its agent has ended. Only of local machines.
    #[serde(skip)]
    pub(crate) ended: bool,
    /// The end of what it wrote: its agent's log, or what a cloud shows of its console.
    #[serde(default, rename = "says")]
    pub(crate) words: String,
}

/// A pool's provider.
#[derive(Debug)]
pub(crate) enum Provider {
    Local(Local),
    Command(Command),
}

impl Provider {
    pub(crate) fn new(pool: &str, config: &PoolConfig, launch: &Launch, secrets: &Secrets) -> Self {
        match config.provider {
            ProviderKind::Local => Self::Local(Local::new(pool, launch.clone(), secrets.clone())),
            ProviderKind::Command => Self::Command(Command::new(pool, config, secrets.clone())),
        }
    }

    /// Makes the machine, or finds that it is there; what there is to know of that where its agent does not join.
    pub(crate) async fn create(&self, order: &Order) -> Result<String, ProviderError> {
        match self {
            Self::Local(local) => local.create(order).await.map(|()| String::new()),
            Self::Command(command) => command.create(order).await,
        }
    }

    /// Takes the machine away, or finds that it is gone.
    pub(crate) async fn delete(&self, order: &Order) -> Result<(), ProviderError> {
        match self {
            Self::Local(local) => local.delete(&order.machine).await,
            Self::Command(command) => command.delete(order).await,
        }
    }

    /// All machines that there are.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, ProviderError> {
        match self {
            Self::Local(local) => local.list().await,
            Self::Command(command) => command.list().await,
        }
    }

    /// The service stops: what cannot outlive it ends too.
    pub(crate) async fn stop(&self) {
        match self {
            Self::Local(local) => local.stop().await,
            Self::Command(_) => {}
        }
    }
}
