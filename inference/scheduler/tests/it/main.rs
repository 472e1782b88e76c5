//! Tests of the scheduler: cases, and invariants under random events.

mod ahead;
mod batch;
mod cases;
mod deadline;
mod fairness;
mod invariants;
mod overflow;
mod pause;
mod pools;
mod prepare;
mod script;
