//! The collector of data: reads the events of all systems and hands each on to the lake exactly once.
//!
//! A consumer for each source tails `Events.Tail`. In the transaction that moves its cursor, an event is
//! judged by the schema registry and becomes either a staged row or a quarantined one. The loader moves staged
//! rows into the lake; until they are there, [`Service`] lends them to whoever reads
//! (`WaitingSource`), so that numbers are current. Schemas are learned at run time from the sources: it links
//! no producer.
//!
//! Start reading at [`registry`] (what is accepted), then [`tasks`] (how it moves).

mod error;
mod http;
mod migrations;
mod registry;
mod segment;
mod service;
mod store;
mod tasks;

pub use error::Error;
pub use migrations::Migrator;
pub use service::{Config, Service, Source};
