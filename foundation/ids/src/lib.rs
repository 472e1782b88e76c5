//! The ids of foundation.
