//! The mandates of infrastructure.
