//! A discrete-event simulator that drives the scheduler through its own interface, beside the policies that it is
//! compared with.
//!
//! [`workload`] is what arrives, [`loads`] how long loads take, [`engine`] the machine, [`policy`] the interface of
//! what decides, [`baselines`] the published rules, [`measure`] the figures, [`search`] the smallest fleet. The model of
//! the machine is described in `docs/simulator.md`.

pub mod baselines;
pub mod bounds;
pub mod cli;
pub mod engine;
pub mod fairness;
pub mod flow;
pub mod loads;
pub mod measure;
pub mod outcome;
pub mod overflow;
pub mod policy;
pub mod regions;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod search;
pub mod stress;
pub mod workload;
