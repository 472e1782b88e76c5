//! The lake of data: one Delta table of events, in a folder or on S3, read in process by DataFusion.
//!
//! This is the only crate that links DataFusion and Delta. Its interface is light: rows of [`EventRow`] go
//! in with [`Lake::append`], exactly once; [`Lake::read`] gives a [`View`] that answers SQL over everything
//! that is in the table *and* everything that still waits for it ([`Waiting`]), so that numbers are current.
//! It knows no metric, no schema and no producer. Nothing is opened before the first call.
//!
//! Start reading at [`lake`], then [`view`].

mod config;
mod error;
mod event;
mod json_functions;
mod lake;
mod view;

pub use config::{Config, S3};
pub use error::Error;
pub use event::{EventRow, MICROS_PER_DAY};
pub use lake::{Appended, Compacted, Lake};
pub use view::{View, Waiting, WaitingEvent, WaitingSource};
