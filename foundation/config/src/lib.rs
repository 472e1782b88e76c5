//! The config of foundation.
