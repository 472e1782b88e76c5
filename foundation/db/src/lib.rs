//! The db of foundation.
