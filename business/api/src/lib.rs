//! The contract of business: ids, error codes and events.
//!
//! Nobody calls business; others learn from its events. Infrastructure and inference never depend on it.

pub mod codes;
pub mod events;

backlot_foundation_ids::typed_id!(
    /// Names a run of a tool. Its hold and its job have the same UUID.
    RunId
);

backlot_foundation_ids::typed_id!(
    /// Names a review: something that moderation withheld and a person decides about.
    ReviewId
);
