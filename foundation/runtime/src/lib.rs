//! The runtime of foundation.
