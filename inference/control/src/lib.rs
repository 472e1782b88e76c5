//! The control of inference: durable jobs, agents, and the driver of the scheduler between them.
//!
//! One driver task owns all live state. It commits in groups, and acts only on what is durable: a caller hears
//! "accepted" and an agent hears "run this" after the commit that says so. Every commit verifies the epoch, so that a
//! driver that was replaced can write nothing.

mod agents_rpc;
mod config;
mod convert;
mod door;
mod driver;
mod error;
mod http;
mod input;
pub mod limits;
mod machine;
mod migrations;
pub mod model;
mod overflow;
mod pools;
mod relay;
mod retention;
mod rpc;
mod service;
mod shared;
mod store;
mod tasks;

pub use backlot_inference_api::events::schemas;
pub use config::{Config, ConfigError};
pub use error::Error;
pub use migrations::Migrator;
pub use overflow::OverflowConfig;
pub use pools::{Launch, PoolConfig, ProviderKind};
pub use retention::{Forgotten, Keep};
pub use service::{Question, Scope, Service, Submission};
