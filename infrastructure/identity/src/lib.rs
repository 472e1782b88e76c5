//! Identity: who somebody is, where they belong, and which credential proves it.
//!
//! Accounts, sessions, API keys, organisations with projects, memberships and invitations, and an audit
//! row for every change. It knows no credits and no mandates; what must happen together with its changes
//! it hands to [`OrganisationObserver`] and [`AuthorityCheck`] inside its own transaction.

mod authority;
mod roles;

pub use authority::{AuthorityCheck, AuthorityQuestion, MembershipChange, OrganisationObserver, RolesAlone, actions};
pub use roles::{Role, UnknownRole};
