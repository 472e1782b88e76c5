//! The api of infrastructure.
