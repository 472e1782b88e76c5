//! The events of foundation.
