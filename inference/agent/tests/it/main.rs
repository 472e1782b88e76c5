//! The agent against a scripted control, and with the real one.

mod agent;
mod batch;
mod bench;
mod extensions;
mod overlap;
mod pause;
mod residency;
mod shipped;
mod support;
mod with_control;
