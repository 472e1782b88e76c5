//! The control of inference.
