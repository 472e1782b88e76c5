//! The api of business.
