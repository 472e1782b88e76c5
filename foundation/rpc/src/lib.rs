//! The rpc of foundation.
