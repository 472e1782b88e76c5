//! Tests of the scheduler: cases, and invariants under random events.

mod cases;
mod invariants;
mod script;
