//! An agent: dials control, runs what it is given on this machine's workers, and hands the results over.
//!
//! One stream to control; nothing listens. While it is cut off it finishes what it runs, and keeps the
//! reports on disk until control has them. It knows no tenants, and decides nothing about the queue.

mod agent;
mod attempt;
mod backoff;
mod call;
mod config;
mod fetch;
mod gate;
mod link;
mod models;
mod reports;
mod run;
mod spool;
mod upload;
mod worker;

pub use agent::Agent;
pub use config::{Config, Error, WorkerConfig};
pub use models::{ECHO_MODEL, discover_models, echo_model};
