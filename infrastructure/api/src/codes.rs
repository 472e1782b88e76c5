//! Every stable error code of infrastructure, by area. Each has a page `docs/errors/<code>.md`.

use backlot_foundation_errors::Code;

pub mod billing;
pub mod identity;
pub mod mandates;
pub mod storage;

/// The codes of every area.
pub const AREAS: &[&[&Code]] = &[identity::ALL, mandates::ALL, billing::ALL, storage::ALL];

/// All codes of infrastructure.
pub fn all() -> impl Iterator<Item = &'static Code> {
    AREAS.iter().flat_map(|area| area.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_code_is_declared_twice() {
        let mut seen = HashSet::new();
        for code in super::all().chain(backlot_foundation_errors::codes::ALL.iter().copied()) {
            assert!(seen.insert(code.name), "{} is declared twice", code.name);
        }
    }
}
