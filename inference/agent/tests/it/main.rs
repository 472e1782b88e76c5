//! The agent against a scripted control, in one program.

mod agent;
mod shipped;
mod support;
