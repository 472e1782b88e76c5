//! Who may do what, with how much: the decision over a chain of mandates.
//!
//! A *mandate* gives one person authority and a budget in one revocable object. Permission exists only
//! through a live chain from that mandate up to the organisation's root: actions are the intersection
//! along the chain, the scope lies inside every ancestor's, the earliest expiry counts, and every
//! envelope on the way is charged.
//!
//! This crate is pure: no I/O, no clock, no randomness. The caller loads the chain, passes the time, and
//! carries out what is decided. Start reading at [`decide()`], then [`give()`].

mod actions;
mod chain;
mod decide;
mod give;
mod model;
mod nearest;

pub use actions::{ActionPattern, PatternError};
pub use chain::{CHAIN_LINKS_MAX, Chain, ChainError, Link};
pub use decide::{Allowance, Charge, Decision, Reason, Refusal, Request, Source, charge, decide};
pub use give::{GiveRefusal, Given, Proposal, give, may_revoke};
pub use model::{Conditions, DEPTH_LIMIT, Envelope, Mandate, Period, SHARE_BPS_WHOLE, Scope, State};
pub use nearest::nearest;
