//! The community: profiles, posts with their provenance, feeds, likes, comments, follows.

mod error;
mod handle;
mod hot;
mod http;
mod limits;
mod migrations;
mod recipe;
mod rows;
mod service;
mod store;
mod systems;
mod tasks;
mod text;
mod view;

pub use error::Error;
pub use migrations::Migrator;
pub use service::{Config, Doors, Service, Viewer};
