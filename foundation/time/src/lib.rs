//! The time of foundation.
