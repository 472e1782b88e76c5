//! The contract of infrastructure: ids, protobuf services, error codes and events.
//!
//! Other systems depend on this crate and on nothing else of infrastructure. It holds no rule and no
//! I/O. `v1` is generated from `proto/`; `schemas/` is generated from `events` and checked in.

pub mod codes;
pub mod events;
mod ids;

pub use ids::{
    ApiKeyId, AssetId, GrantId, HoldId, InvitationId, MandateId, OrganisationId, ProjectId, SessionId, UserId,
};

/// The generated messages, clients and servers of `backlot.infrastructure.v1`.
pub mod v1 {
    #![expect(
        missing_docs,
        clippy::allow_attributes,
        reason = "generated; the comments are in the protobuf files"
    )]
    tonic::include_proto!("backlot.infrastructure.v1");
}
