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
    #![expect(missing_docs, reason = "generated; the protobuf files are the documentation")]
    #![expect(clippy::allow_attributes, reason = "generated")]
    tonic::include_proto!("backlot.inference.v1");
}
