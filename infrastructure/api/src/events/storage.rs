//! Events of storage.
