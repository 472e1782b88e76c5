//! Error codes of billing.

use backlot_foundation_errors::Code;

/// All codes of billing.
pub const ALL: &[&Code] = &[];
