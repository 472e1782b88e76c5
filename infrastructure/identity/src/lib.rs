//! The identity of infrastructure.
