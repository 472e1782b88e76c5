//! Events: a change and its event commit together, and everybody reads them in commit order.
//!
//! A system writes to its [`outbox`] in the transaction of the change. [`EventsService`] serves the
//! outbox as `Events.Tail`; a [`Consumer`] in another system tails it and stores its cursor in the
//! transaction of the effect, so that each event takes effect exactly once.

mod consumer;
mod event_type;
mod migrations;
pub mod outbox;
mod retention;
mod service;

/// The contract, generated from `proto/backlot/events/v1/events.proto`.
pub mod v1 {
    #![expect(missing_docs, reason = "generated; the protobuf file is the documentation")]
    #![expect(clippy::allow_attributes, reason = "generated")]
    tonic::include_proto!("backlot.events.v1");
}

pub use consumer::{Consumer, Handler, HandlerError};
pub use event_type::{EventSchema, EventType, check_schemas, schema_of};
pub use migrations::Migrator;
pub use outbox::EventMeta;
pub use retention::{Retention, prune};
pub use service::EventsService;
