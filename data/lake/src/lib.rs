//! The lake of data.
