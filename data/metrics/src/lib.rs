//! The metrics of data: a number with its definition, its SQL, its exclusions and its rows.
//!
//! Definitions are YAML documents ([`definitions`]), compiled to SQL by a pure function ([`compile`]) and
//! run over the lake by the [`Service`]. It computes when it is asked and stores no number. It knows no
//! producer: which events count is written in the definitions.
//!
//! Start reading at [`compile`].

pub mod compile;
mod dates;
pub mod definitions;
mod error;
mod http;
mod rules;
mod service;

pub use dates::Day;
pub use definitions::{Catalogue, DefinitionError};
pub use error::Error;
pub use service::{Config, Service};
