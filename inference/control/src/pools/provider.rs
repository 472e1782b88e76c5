//! What a provider can do: make a machine, take it away, say what there is. All by the machine's id, which the row had
//! before: the same order twice is one machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Launch, PoolConfig, ProviderKind, command::Command, local::Local};

/// A call that did not succeed. Whether it did anything is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("it cannot be started: {0}")]
    Start(#[source] std::io::Error),
    #[error("its folder cannot be used: {0}")]
    Folder(#[source] std::io::Error),
    #[error("it did not answer within {0} ms and was stopped")]
    Late(u64),
    #[error("it answered more than {0} bytes")]
    Long(usize),
    #[error("it failed ({status}): {said}")]
    Failed { status: String, said: String },
    #[error("its answer cannot be read: {0}")]
    Answer(#[source] serde_json::Error),
    #[error("it cannot be stopped: {0}")]
    Stop(#[source] std::io::Error),
    #[error("the machine did not end although it was killed")]
    Alive,
}

/// A machine to be made or taken away.
#[derive(Clone, Debug, Serialize)]
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
    /// Whether its agent has ended. Only of local machines, as the next.
    #[serde(skip)]
    pub(crate) ended: bool,
    /// The end of what its agent wrote.
    #[serde(skip)]
    pub(crate) words: String,
}

/// A pool's provider.
#[derive(Debug)]
pub(crate) enum Provider {
    Local(Local),
    Command(Command),
}

impl Provider {
    pub(crate) fn new(pool: &str, config: &PoolConfig, launch: &Launch) -> Self {
        match config.provider {
            ProviderKind::Local => Self::Local(Local::new(pool, launch.clone())),
            ProviderKind::Command => Self::Command(Command::new(pool, config)),
        }
    }

    /// Makes the machine, or finds that it is there.
    pub(crate) async fn create(&self, order: &Order) -> Result<(), ProviderError> {
        match self {
            Self::Local(local) => local.create(order).await,
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
