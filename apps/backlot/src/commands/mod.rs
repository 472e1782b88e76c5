//! The command line: one module a command.

pub(crate) mod admin;
mod backup;
pub(crate) mod demo;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod tool;
