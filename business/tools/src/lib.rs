//! Tools: the catalogue, and the run that owns its money.

pub mod catalogue;
mod convert;
mod driver;
mod facts;
mod http;
pub mod input;
pub mod machine;
pub mod manifest;
mod migrations;
pub mod price;
pub mod row;
mod service;
mod store;
mod systems;
mod tasks;
pub mod timeline;
pub mod view;
mod watch;
pub mod who_pays;

pub use facts::{Estimate, Permission};
pub use migrations::Migrator;
pub use service::{Actor, Config, Error, Order, Quote, Service};
