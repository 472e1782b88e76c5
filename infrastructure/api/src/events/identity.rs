//! Events of identity.
