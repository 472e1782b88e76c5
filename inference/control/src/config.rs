//! What an operator sets.

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use crate::{
    limits,
    overflow::OverflowConfig,
    pools::{PoolConfig, ProviderKind},
    retention::Keep,
};

/// Configuration of control.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What an agent must send to join the fleet. Empty: no agent can join.
    pub join_token: String,
    /// Whether people may submit jobs over HTTP. Off by default: a job costs compute, and inference knows no credits;
    /// a product's own backend submits for its people. Where it is on, people's inputs may name no files and their
    /// outputs stay inline: an agent would otherwise read and write whatever address a person names.
    pub people_may_submit: bool,
    /// Where other replicas reach this one's contract while it leads, `http://HOST:PORT`; with `/inference` where the
    /// process serves other systems too. Empty: a replica that does not lead answers `queue_unavailable` itself.
    pub advertise: String,
    /// How long what is done with stays.
    pub keep: Keep,
    /// Machines that are ordered by need, by the pool's name.
    pub pools: BTreeMap<String, PoolConfig>,
    /// Third parties that take over under a cap, by the name that their agents give as `agent.pool`.
    pub overflow: BTreeMap<String, OverflowConfig>,
    /// Where agents of pools dial, `http://HOST:PORT`; with `/inference` where the process serves other systems too. Empty:
    /// this process's own contract, which only this machine reaches.
    pub join_url: String,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("inference.control.{key}: {rule}")]
pub struct ConfigError {
    /// The key that is wrong.
    pub key: String,
    /// What must hold.
    pub rule: &'static str,
}

impl Config {
    /// What cannot be seen from one key alone.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: String, rule| Err(ConfigError { key, rule });
        if self.pools.len() > backlot_inference_scheduler::limits::POOLS_MAX {
            return wrong("pools".to_owned(), "must be at most 48");
        }
        if self.overflow.len() > backlot_inference_scheduler::limits::POOLS_MAX {
            return wrong("overflow".to_owned(), "must be at most 48");
        }
        for (name, third) in &self.overflow {
            if name.is_empty() || name.len() > limits::POOL_NAME_BYTES_MAX || self.pools.contains_key(name) {
                return wrong(format!("overflow.{name}"), "needs a name of 1 to 63 bytes that no pool has");
            }
            if let Err(rule) = third.check() {
                return wrong(format!("overflow.{name}"), rule);
            }
        }
        for (name, pool) in &self.pools {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            if name.is_empty() || name.len() > limits::POOL_NAME_BYTES_MAX || !name.chars().all(plain) {
                return wrong(format!("pools.{name}"), "a pool's name has 1 to 63 of a-z, 0-9, - and _");
            }
            if let Err(rule) = pool.check() {
                return wrong(format!("pools.{name}"), rule);
            }
            if pool.provider == ProviderKind::Command && self.join_token.is_empty() {
                return wrong("join_token".to_owned(), "must be set where machines come from elsewhere");
            }
        }
        Ok(())
    }
}
