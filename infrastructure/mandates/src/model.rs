//! A mandate and its parts.

use std::collections::BTreeSet;

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{MandateId, OrganisationId, ProjectId, UserId};
use serde::{Deserialize, Serialize};

use crate::ActionPattern;

/// The largest `depth_max` of any mandate: how often authority may be given on.
pub const DEPTH_LIMIT: u32 = 8;
/// The whole of a benefit, in hundredths of a per cent.
pub const SHARE_BPS_WHOLE: u32 = 10_000;

const DAY_MICROS: i64 = 86_400_000_000;

/// Authority and budget, given by one person to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mandate {
    /// Its name.
    pub id: MandateId,
    /// The mandate it was given out of; none for the root, which the organisation's owner holds.
    pub parent: Option<MandateId>,
    /// Who gave it.
    pub grantor: UserId,
    /// Who holds it.
    pub grantee: UserId,
    /// Where it is valid.
    pub scope: Scope,
    /// What it allows, where every ancestor allows it too.
    pub actions: BTreeSet<ActionPattern>,
    /// Further limits on what is allowed.
    pub conditions: Conditions,
    /// How much may be spent.
    pub envelope: Envelope,
    /// How many times it may be given on below this one; falls strictly along the chain.
    pub depth_max: u32,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid from this moment on; the ancestors' expiries count too.
    pub expires_at: Option<Timestamp>,
    /// The grantee's part of the benefit, in hundredths of a per cent of the parent's.
    pub share_bps: u32,
    /// Whether it lives.
    pub state: State,
    /// What it was given for, in the grantor's words.
    pub purpose: String,
}

/// Where a mandate is valid: a whole organisation, or one project of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The organisation; never crossed.
    pub organisation: OrganisationId,
    /// The project, where it is no wider.
    pub project: Option<ProjectId>,
}

impl Scope {
    /// Whether `inner` lies inside this scope, or is it.
    #[must_use]
    pub fn contains(&self, inner: &Self) -> bool {
        self.organisation == inner.organisation && (self.project.is_none() || self.project == inner.project)
    }
}

/// Limits on single uses. An absent condition limits nothing of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The only tools that may be used.
    pub tools: Option<BTreeSet<String>>,
    /// The highest price of one use.
    pub max_unit_price_micro: Option<i64>,
}

/// How much may be spent under a mandate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// No limit of its own; the ancestors' still count.
    Unlimited,
    /// A counter: shared with the siblings' caps, may be over-committed, checked on every ancestor.
    Cap {
        /// Most that may be held and spent in one period.
        limit_micro: i64,
        /// How often the counter starts again.
        period: Period,
    },
    /// Credits set aside in an account of the mandate's own when it was given.
    Transfer {
        /// What was set aside.
        amount_micro: i64,
    },
}

impl Envelope {
    /// The most it can ever allow in one period; none where it has no limit.
    #[must_use]
    pub const fn limit_micro(&self) -> Option<i64> {
        match self {
            Self::Unlimited => None,
            Self::Cap { limit_micro, .. } => Some(*limit_micro),
            Self::Transfer { amount_micro } => Some(*amount_micro),
        }
    }
}

/// How often a cap's counter starts again. Days and months are UTC's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Never: the cap is for the mandate's whole life.
    Life,
    /// At 00:00 UTC.
    Day,
    /// On the first of the month, 00:00 UTC.
    Month,
}

impl Period {
    /// The beginning of the period that `now` lies in; the epoch for [`Period::Life`].
    #[must_use]
    pub fn start(self, now: Timestamp) -> Timestamp {
        let day = now.micros().div_euclid(DAY_MICROS);
        match self {
            Self::Life => Timestamp::from_micros(0),
            Self::Day => Timestamp::from_micros(day * DAY_MICROS),
            Self::Month => Timestamp::from_micros((day - i64::from(day_of_month(day)) + 1) * DAY_MICROS),
        }
    }
}

/// The day of the month (1 to 31) of a day counted from 1970-01-01, in the Gregorian calendar.
fn day_of_month(day: i64) -> u32 {
    // Hinnant's civil_from_days: years begin in March, so that the leap day comes last.
    let shifted = day + 719_468;
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    u32::try_from(day_of_year - (153 * month + 2) / 5 + 1).unwrap_or(1)
}

/// Whether a mandate lives. Expiry by time needs no state: [`Mandate::expires_at`] decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It may be used.
    Active,
    /// It was taken back, or an ancestor was.
    Revoked,
    /// It ran out, or an ancestor did, and what was unspent has returned.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(period: Period, now: &str, start: &str) {
        let now = Timestamp::parse(now).unwrap();
        assert_eq!(period.start(now).to_string(), start, "{period:?} of {now}");
    }

    #[test]
    fn periods_start_at_midnight_utc() {
        check(Period::Day, "2026-11-23T05:22:01.5Z", "2026-11-23T00:00:00Z");
        check(Period::Month, "2026-11-23T05:22:01.5Z", "2026-11-01T00:00:00Z");
        check(Period::Month, "2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z");
        check(Period::Month, "2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z");
        check(Period::Month, "2000-12-31T00:00:00Z", "2000-12-01T00:00:00Z");
        check(Period::Life, "2026-11-23T05:22:01Z", "1970-01-01T00:00:00Z");
    }
}
