//! The events that infrastructure publishes, by area.
//!
//! They carry pseudonymous ids only: no e-mail, name, prompt, URL or file name, so that an append-only
//! lake and the right to be forgotten agree. The JSON Schema of each is checked in under `schemas/`;
//! after a change run the tests once with `UPDATE=1`. Within a version fields are only added, and only
//! optional ones; anything else is a new version.

use backlot_foundation_events::EventSchema;

pub mod billing;
pub mod identity;
pub mod storage;

/// The schemas of every event of infrastructure: its part of the registry.
pub fn schemas() -> Vec<EventSchema> {
    [identity::schemas(), billing::schemas(), storage::schemas()].concat()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_schemas_say_what_the_types_say() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        backlot_foundation_events::check_schemas(&folder, &super::schemas());
    }
}
