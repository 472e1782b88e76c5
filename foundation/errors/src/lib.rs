//! The errors of foundation.
