//! Error codes of mandates.

use backlot_foundation_errors::Code;

/// All codes of mandates.
pub const ALL: &[&Code] = &[];
