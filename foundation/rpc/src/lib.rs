//! The transport between systems, and the doors of their HTTP APIs.
//!
//! A generated client runs over a [`Channel`]: in process or over the network, chosen once by whoever
//! composes the systems. Both carry the same bytes through the same [`Server`] layers (deadline, load
//! shedding, caller, tracing), so there is no second implementation to drift.

mod channel;
pub mod http;
mod server;
mod trace;

pub use channel::{Channel, ChannelError};
pub use server::{RpcServeError, Server, caller, serve_rpc};

/// Deadline of a call that names none. For a stream it bounds the wait for its beginning.
pub const DEADLINE_DEFAULT: std::time::Duration = std::time::Duration::from_secs(30);
