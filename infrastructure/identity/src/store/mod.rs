//! All SQL of identity. Functions take any connection: the pool for reads, a write transaction for the rest.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod credentials;
pub(crate) mod organisations;
