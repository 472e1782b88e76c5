//! The rule: who gets a worker, and when a swap earns its cost. Pure functions over numbers; `dispatch.rs` gathers the
//! numbers and carries the answers out, `limits.rs` has every constant.
//!
//! In this order: a worker takes the job that stands first among the lines warm there (`pressure.rs` says when it
//! turns to a line that fares much worse instead); a worker without warm work may load another model where
//! `swap.rs` allows it, in the room of the model that is worth least by `value.rs`.

pub(crate) mod adapters;
pub(crate) mod pressure;
pub(crate) mod swap;
pub(crate) mod value;
