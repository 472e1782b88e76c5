//! The api of inference.
