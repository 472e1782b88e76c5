//! Storage: media of every tenant, on a folder or on S3.
//!
//! Bytes travel straight between the sender and the store by signed addresses; they become an asset only
//! after they were looked at in a sandboxed child. Start reading in `service.rs` (a person's upload),
//! then `outputs.rs` (what a job writes) and `ingest.rs` (the door that both go through).

mod addresses;
mod assets;
mod authority;
mod closed;
mod config;
mod entities;
mod error;
mod events;
mod http;
mod http_objects;
mod ingest;
mod keys;
mod lineage;
mod media;
mod migrations;
mod names;
mod objects;
mod one_at_a_time;
mod output_rules;
mod outputs;
mod outputs_store;
mod presign;
mod probe;
mod public;
mod quota;
mod reconcile;
mod rpc;
mod secret;
mod service;
mod signing;
mod store;
mod tasks;

pub use addresses::{SignedUrl, UploadTarget};
pub use assets::Usage;
pub use authority::Authority;
pub use closed::organisation_closed;
pub use config::{Config, ProbeConfig, S3Config, StoreConfig};
pub use error::{Error, Rejection};
pub use http::AssetBody;
pub use lineage::{Lineage, LineageEdge, LineageNode};
pub use media::{Class, Media};
pub use migrations::Migrator;
pub use outputs::{IssuerTerms, NewOutput, OutputTicket, Winner, WinnerOutput};
pub use probe::probe_child_main;
pub use quota::set_quota;
pub use reconcile::Removed;
pub use service::{Actor, Asset, AssetState, NewUpload, Service, Upload};
