//! The contract of inference: ids, protobuf services, error codes and events.
//!
//! Other systems depend on this crate and on nothing else of inference.

pub mod codes;
pub mod events;

backlot_foundation_ids::typed_id!(
    /// Names a job. Where the caller's idempotency key is a UUID, the job has that UUID.
    JobId
);

/// The generated messages, clients and servers of `backlot.inference.v1`.
pub mod v1 {
    #![expect(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        reason = "generated from the documented proto files"
    )]
    tonic::include_proto!("backlot.inference.v1");
}
