//! The api of data.
