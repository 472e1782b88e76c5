//! Events of billing.

use backlot_foundation_events::EventSchema;

/// The schemas of billing's events.
pub fn schemas() -> Vec<EventSchema> {
    vec![]
}
