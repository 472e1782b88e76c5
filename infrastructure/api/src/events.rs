//! The events that infrastructure publishes, by area.

pub mod billing;
pub mod identity;
pub mod storage;
