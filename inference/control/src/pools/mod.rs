//! Pools: machines that are ordered from a provider when they are needed and given back when they are not.
//!
//! The scheduler says how many workers a pool should have and which machine goes. The driver writes that into rows of
//! `machines` before anybody acts on it; the carrier, one task beside the driver, compares the rows with what the provider
//! lists and calls it. What it hears comes back to the driver as news, so that every row is written under the epoch.

mod carrier;
mod command;
mod local;
mod provider;
mod words;

use std::{collections::BTreeMap, path::PathBuf};

use backlot_inference_scheduler::{PoolKey, PoolSpec, RegionKey};
use serde::{Deserialize, Serialize};

pub(crate) use carrier::{Carrier, Errand, Errands, Found, News, pause_ms};
pub(crate) use provider::Provider;
pub(crate) use words::Secrets;

use crate::limits;

/// What carries a pool's orders out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Agents as processes of this machine.
    #[default]
    Local,
    /// The operator's program: how any cloud is attached.
    Command,
}

impl ProviderKind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Command => "command",
        }
    }
}

/// One kind of machine in one region, which is ordered and given back by need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// What carries its orders out.
    pub provider: ProviderKind,
    /// Of provider `command`: the program and its first arguments; `create`, `delete` or `list` follows.
    pub command: Vec<String>,
    /// Region of its machines; jobs may be bound to regions.
    pub region: String,
    /// What to order, in the provider's words; given to its program as it stands.
    pub kind: String,
    /// Workers of one machine.
    pub workers: u32,
    /// GPUs of a worker; 0: a CPU.
    pub gpus: u32,
    /// Memory of a worker for models, MiB; 0: not counted.
    pub memory_mib: i64,
    /// Models that may be resident on a worker at once.
    pub slots: u32,
    /// Attempts at once on a worker.
    pub concurrency: u32,
    /// Whether a worker can load one model while it computes with another.
    pub overlap: bool,
    /// What its computing is worth against other pools, in thousandths of the reference.
    pub speed_milli: u32,
    /// Names (`owner/name`) of what its workers run; empty: every model that is on the machine.
    pub models: Vec<String>,
    /// Whether a machine may be taken away at any time.
    pub spot: bool,
    /// What an hour of one machine costs, in millionths of a US dollar.
    pub price_micro_per_hour: i64,
    /// From an order to the agent's first message, milliseconds: the first guess; what is measured replaces it.
    pub boot_ms: i64,
    /// Machines that it always has.
    pub min: u32,
    /// Machines that it may have; 0 ends the pool in order.
    pub max: u32,
    /// Machines that stand warm beside those that are needed.
    pub spares: u32,
    /// How long one call of the provider may take, milliseconds.
    pub call_ms: u64,
    /// How often the provider is asked what there is, milliseconds.
    pub list_ms: u64,
    /// Whether listed machines that nobody here ordered are deleted. They are always shown. A local pool always deletes
    /// them: its folder is its own.
    pub delete_unknown: bool,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            provider: ProviderKind::Local,
            command: Vec::new(),
            region: "local".to_owned(),
            kind: String::new(),
            workers: 1,
            gpus: 0,
            memory_mib: 0,
            slots: 1,
            concurrency: 1,
            overlap: false,
            speed_milli: 1_000,
            models: Vec::new(),
            spot: false,
            price_micro_per_hour: 0,
            boot_ms: 60_000,
            min: 0,
            max: 0,
            spares: 0,
            call_ms: 120_000,
            list_ms: 15_000,
            delete_unknown: false,
        }
    }
}

impl PoolConfig {
    /// The first thing that cannot be.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let in_range = |value: i64, least: i64, most: i64| (least..=most).contains(&value);
        let rules = [
            (!self.region.is_empty() && self.region.len() <= limits::NAME_CHARS_MAX, "region must be named"),
            (in_range(i64::from(self.workers), 1, 64), "workers must be 1 to 64"),
            (
                in_range(i64::from(self.slots), 1, i64::from(limits::WORKER_ROOM_MAX)),
                "slots must be 1 to 1024",
            ),
            (
                in_range(i64::from(self.concurrency), 1, i64::from(limits::WORKER_ROOM_MAX)),
                "concurrency must be 1 to 1024",
            ),
            (self.gpus <= limits::WORKER_ROOM_MAX, "gpus must be 0 to 1024"),
            (in_range(self.memory_mib, 0, limits::MEMORY_MIB_MAX), "memory_mib must not be negative"),
            (in_range(i64::from(self.speed_milli), 1, 1_000_000), "speed_milli must be 1 to 1000000"),
            (
                in_range(self.price_micro_per_hour, 0, limits::PRICE_MICRO_PER_HOUR_MAX),
                "price_micro_per_hour must be 0 to 10000000000",
            ),
            (in_range(self.boot_ms, 1, limits::TIMEOUT_MS_MAX), "boot_ms must be 1 to 86400000"),
            (self.max as usize <= limits::POOL_MACHINES_MAX, "max must be at most 2000"),
            (self.min <= self.max, "min must not be more than max"),
            ((100..=3_600_000).contains(&self.call_ms), "call_ms must be 100 to 3600000"),
            ((100..=3_600_000).contains(&self.list_ms), "list_ms must be 100 to 3600000"),
            (
                (self.provider == ProviderKind::Command) != self.command.is_empty(),
                "command must be given for the provider \"command\", and only there",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(*rule))
    }

    /// What the scheduler must know; `machines` are there or ordered.
    pub(crate) fn spec(&self, name: &str, machines: u32) -> PoolSpec {
        PoolSpec {
            pool: PoolKey::from(name),
            region: RegionKey::from(self.region.as_str()),
            workers: machines.saturating_mul(self.workers),
            min: self.min.saturating_mul(self.workers),
            spares: self.spares.saturating_mul(self.workers),
            max: self.max.saturating_mul(self.workers),
            boot_ms: self.boot_ms,
            price_micro_per_hour: self.price_micro_per_hour / i64::from(self.workers.max(1)),
            spot: self.spot,
            concurrency: self.concurrency,
            speed_milli: self.speed_milli,
            kind: Some((self.gpus, self.memory_mib)),
        }
    }
}

/// How agents of a local pool are started: set by whoever builds the service, not by configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program that runs an agent; it reads its configuration from the environment.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Folder in which each machine has a folder of its own.
    pub folder: PathBuf,
    /// Further variables of its environment.
    pub environment: BTreeMap<String, String>,
}

/// What a machine's agent must be told to join: variables of its environment.
pub(crate) fn environment(
    pool: &str,
    config: &PoolConfig,
    machine: &str,
    join_url: &str,
    join_token: &str,
) -> BTreeMap<String, String> {
    // Quoted: a token of digits would otherwise be read as a number.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let models: Vec<String> = config.models.iter().map(|model| text(model)).collect();
    let worker = |n: u32| {
        format!(
            "{{id=\"{pool}-{n}\",gpus={},memory_mib={},slots={},concurrency={},overlap={},models=[{}]}}",
            config.gpus,
            config.memory_mib,
            config.slots,
            config.concurrency,
            config.overlap,
            models.join(",")
        )
    };
    let workers: Vec<String> = (0..config.workers).map(worker).collect();
    let rows = [
        ("AGENT__ID", text(machine)),
        ("AGENT__NAME", text(machine)),
        ("AGENT__REGION", text(&config.region)),
        ("AGENT__POOL", text(pool)),
        ("AGENT__MACHINE", text(machine)),
        ("AGENT__JOIN_TOKEN", text(join_token)),
        ("AGENT__WORKERS", format!("[{}]", workers.join(","))),
        ("RPC__INFERENCE", text(join_url)),
    ];
    rows.into_iter().map(|(key, value)| (format!("BACKLOT_{key}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_cannot_be_says_why() {
        assert_eq!(PoolConfig::default().check(), Ok(()));
        let config = PoolConfig { min: 2, max: 1, ..PoolConfig::default() };
        assert_eq!(config.check(), Err("min must not be more than max"));
        let config = PoolConfig { provider: ProviderKind::Command, ..PoolConfig::default() };
        assert!(config.check().is_err(), "a command without a program");
        let config = PoolConfig { price_micro_per_hour: -1, ..PoolConfig::default() };
        assert!(config.check().is_err());
    }

    #[test]
    fn a_machine_counts_as_many_workers_as_it_has() {
        let config =
            PoolConfig { workers: 4, max: 3, price_micro_per_hour: 4_000_000, ..PoolConfig::default() };
        let spec = config.spec("gpu", 2);
        assert_eq!((spec.workers, spec.max, spec.price_micro_per_hour), (8, 12, 1_000_000));
    }
}
