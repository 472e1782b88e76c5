//! The scheduler of inference.
