//! The ledger's rules as pure functions: no I/O, no clock.
//!
//! Amounts are micro-credits (1 credit = 1,000,000) as `i64`. The one currency is the credit; money that
//! an invoice names is no part of the journal.

pub mod burn;
pub mod parts;
pub mod posting;
pub mod returned;
pub mod seal;
pub mod split;

pub use burn::{GrantKind, Lot, Short, Taken, take};
pub use parts::{Part, PartsError, refund, settle};
pub use posting::{Account, Entry, EntryKind, Posting, Unbalanced};
pub use returned::{RETURNED_KEPT, ends_at, kept_until};
