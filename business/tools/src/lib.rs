//! Tools: the catalogue, and the run that owns its money.

mod busy;
pub mod catalogue;
mod convert;
mod driver;
mod error;
mod examples;
pub mod extensions;
mod facts;
mod http;
pub mod input;
pub mod machine;
pub mod manifest;
mod migrations;
pub mod moderation;
mod order;
mod origin;
pub mod price;
mod publish;
mod retention;
pub mod row;
mod service;
mod steps;
mod store;
mod systems;
mod tasks;
pub mod timeline;
pub mod view;
mod watch;
pub mod who_pays;

pub use error::Error;
pub use facts::{Estimate, Permission};
pub use migrations::Migrator;
pub use order::{Actor, Order, Quote, Refusal};
pub use service::{Config, Service};
