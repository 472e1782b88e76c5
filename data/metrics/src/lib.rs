//! The metrics of data.
