//! Events of billing.
