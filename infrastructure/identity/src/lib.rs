//! Identity: who somebody is, where they belong, and which credential proves it.
//!
//! Accounts, sessions, API keys, organisations with projects, memberships and invitations, and an audit
//! row for every change. It knows no credits and no mandates; what must happen together with its changes
//! it hands to [`OrganisationObserver`] and [`AuthorityCheck`] inside its own transaction.

pub mod audit;
mod authority;
pub mod belonging;
mod config;
mod email;
mod entities;
mod error;
mod http;
mod limiter;
mod migrations;
mod password;
mod roles;
mod rpc;
mod secrets;
mod service;
mod store;
mod tasks;

pub use authority::{
    AuthorityCheck, AuthorityQuestion, MembershipChange, OrganisationObserver, RolesAlone, actions,
};
pub use config::Config;
pub use email::InvalidEmail;
pub use error::Error;
pub use http::{CLIENT_ADDRESS_HEADER, SESSION_COOKIE};
pub use limiter::Rate;
pub use migrations::Migrator;
pub use password::{HashError, PasswordCost, WeakPassword};
pub use roles::{Role, UnknownRole};
pub use secrets::{API_KEY_MARK, RandomError};
pub use service::*;
