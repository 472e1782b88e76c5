//! Canvas: boards that people edit together, their runs, their takes and their films.
//!
//! The document is intent, the database is facts. What people want is a Yjs document behind commands and
//! the y-sync protocol; what happened (runs, takes, prices) are rows that only the server writes.

mod access;
mod bring;
mod command;
mod crdt;
mod doors;
mod error;
mod film;
mod follow;
mod frames;
mod graph;
mod http;
mod limits;
mod media;
mod migrations;
mod model;
mod names;
mod orders;
mod people;
mod plan;
mod presence;
mod reconcile;
mod relay;
mod role;
mod room;
mod rooms;
mod runs;
mod service;
mod socket;
mod store;
#[cfg(test)]
mod testing;

pub use command::{Command, Invalid};
pub use error::Error;
pub use graph::Fault;
pub use migrations::Migrator;
pub use model::{Board, Clip, Edge, Node, NodeKind, Track, Transition};
pub use role::Role;
pub use service::{Actor, NewBoard, Service};
