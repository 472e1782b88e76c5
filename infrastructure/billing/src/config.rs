//! What can be set.

use serde::{Deserialize, Serialize};

/// Configuration of billing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Credits that a new organisation is given, in micro-credits. 0: none.
    pub sign_up_credits_micro: i64,
    /// Pause between rounds of the sealer, in milliseconds.
    pub seal_every_ms: u64,
    /// Pause between rounds that look for overdue holds and for what has run out, in milliseconds.
    pub sweep_every_ms: u64,
    /// Pause between proofs of every ledger, in seconds: the whole journal is folded and compared with all that
    /// claims to follow from it. 0: never, only when somebody asks.
    pub prove_every_s: u64,
    /// Seconds after which an open hold is overdue, where its run does not say.
    pub hold_overdue_after_s: u64,
    /// Days before the end of a paid period at which the next one is asked for.
    pub renew_before_days: u32,
    /// Days after the end of a period at which a plan that was not paid for ends.
    pub lapse_after_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sign_up_credits_micro: 500_000_000,
            seal_every_ms: 1_000,
            sweep_every_ms: 5_000,
            prove_every_s: 86_400,
            hold_overdue_after_s: 86_400,
            renew_before_days: 7,
            lapse_after_days: 3,
        }
    }
}
