//! The billing of infrastructure.
