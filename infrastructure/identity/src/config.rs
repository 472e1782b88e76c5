//! Identity's settings.

use serde::{Deserialize, Serialize};

use crate::limiter::Rate;
use crate::password::PasswordCost;

/// What an operator can set. Every field has a default.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// E-mails of the operator's own people. Accounts that have one become staff at the next start, and
    /// at sign-up where `staff_at_sign_up` allows it.
    pub staff: Vec<String>,
    /// Whether a listed e-mail makes its account staff at sign-up. E-mails are not verified yet: switch
    /// it off where strangers can reach the sign-up, and list an e-mail after its account exists.
    pub staff_at_sign_up: bool,
    /// Whether the first account of a fresh install is staff and its organisation the platform's.
    pub first_account_is_staff: bool,
    /// Whether strangers may sign up. Where not, only people with an invitation may.
    pub open_sign_up: bool,
    /// Whether the session cookie is sent over HTTPS only. On in any case where the public address is an HTTPS one.
    pub cookie_secure: bool,
    /// A session that is not used for this long ends, in seconds.
    pub session_idle_s: u32,
    /// A session ends after this long, used or not, in seconds.
    pub session_life_s: u32,
    /// What one password hash costs.
    pub password_cost: PasswordCost,
    /// Wrong passwords for one account from one address.
    pub sign_in_pair_rate: Rate,
    /// Wrong passwords for one account, from anywhere.
    pub sign_in_account_rate: Rate,
    /// Wrong passwords from one address, for any account.
    pub sign_in_address_rate: Rate,
    /// New accounts from one address.
    pub sign_up_address_rate: Rate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            staff: Vec::new(),
            staff_at_sign_up: true,
            first_account_is_staff: true,
            open_sign_up: true,
            cookie_secure: false,
            session_idle_s: 14 * 24 * 3600,
            session_life_s: 90 * 24 * 3600,
            password_cost: PasswordCost::default(),
            sign_in_pair_rate: Rate { burst: 10, per_hour: 30 },
            sign_in_account_rate: Rate { burst: 50, per_hour: 100 },
            sign_in_address_rate: Rate { burst: 100, per_hour: 300 },
            sign_up_address_rate: Rate { burst: 200, per_hour: 200 },
        }
    }
}
