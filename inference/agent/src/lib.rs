//! The agent of inference.
