//! Error codes of storage.

use backlot_foundation_errors::Code;

/// All codes of storage.
pub const ALL: &[&Code] = &[];
