//! The simulator of inference.
