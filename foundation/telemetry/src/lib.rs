//! The telemetry of foundation.
