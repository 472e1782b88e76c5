//! The tools of business.
