//! The collector of data.
