//! The runtimes of inference.
