//! The testkit of foundation.
