//! The storage of infrastructure.
