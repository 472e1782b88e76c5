//! The tokens of foundation.
