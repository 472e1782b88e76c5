//! Events of storage.

use backlot_foundation_events::EventSchema;

/// The schemas of storage's events.
pub fn schemas() -> Vec<EventSchema> {
    vec![]
}
