//! Which grants burn first.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::GrantId;

/// Where the credits of a grant came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantKind {
    /// Given: at sign-up, by support.
    Promotional,
    /// Bought.
    Paid,
}

impl GrantKind {
    /// As text, in rows, events and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promotional => "promotional",
            Self::Paid => "paid",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "promotional" => Some(Self::Promotional),
            "paid" => Some(Self::Paid),
            _ => None,
        }
    }
}

/// What is available of one grant in one account: the organisation's own, or an envelope's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    /// The grant.
    pub grant: GrantId,
    /// Where it came from.
    pub kind: GrantKind,
    /// Smaller burns first.
    pub priority: i32,
    /// Not to be used before.
    pub effective_at: Timestamp,
    /// Not to be used from this moment on.
    pub expires_at: Option<Timestamp>,
    /// When it was given.
    pub created_at: Timestamp,
    /// What may be taken.
    pub available_micro: i64,
}

impl Lot {
    fn is_usable(&self, now: Timestamp) -> bool {
        self.available_micro > 0
            && self.effective_at <= now
            && self.expires_at.is_none_or(|expiry| now < expiry)
    }

    /// Priority → expiry (never comes last) → promotional before paid → effective → created → id.
    fn burn_order(&self) -> impl Ord + use<> {
        let never_last = (self.expires_at.is_none(), self.expires_at);
        (self.priority, never_last, self.kind, self.effective_at, self.created_at, self.grant)
    }
}

/// An amount taken from one grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The grant.
    pub grant: GrantId,
    /// Its kind.
    pub kind: GrantKind,
    /// How much, always above 0.
    pub amount_micro: i64,
}

/// There is less than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only {available_micro} micro-credits are available")]
pub struct Short {
    /// What there is.
    pub available_micro: i64,
}

/// Takes `amount_micro` from the usable lots in the order in which grants burn; all of it or nothing.
pub fn take(now: Timestamp, mut lots: Vec<Lot>, amount_micro: i64) -> Result<Vec<Taken>, Short> {
    lots.retain(|lot| lot.is_usable(now));
    lots.sort_by_key(Lot::burn_order);
    let mut left_micro = amount_micro.max(0);
    let mut taken = Vec::new();
    for lot in &lots {
        if left_micro == 0 {
            break;
        }
        let amount_micro = left_micro.min(lot.available_micro);
        left_micro -= amount_micro;
        taken.push(Taken { grant: lot.grant, kind: lot.kind, amount_micro });
    }
    if left_micro == 0 {
        return Ok(taken);
    }
    let available_micro = lots.iter().fold(0_i64, |sum, lot| sum.saturating_add(lot.available_micro));
    Err(Short { available_micro })
}

/// What could be taken now.
#[must_use]
pub fn usable_micro(now: Timestamp, lots: &[Lot]) -> i64 {
    let usable = lots.iter().filter(|lot| lot.is_usable(now));
    usable.fold(0_i64, |sum, lot| sum.saturating_add(lot.available_micro))
}

/// Sorts as [`take`] does: for pages that show what burns next.
pub fn sort_by_burn_order<T>(rows: &mut [T], lot: impl Fn(&T) -> Lot) {
    rows.sort_by_cached_key(|row| lot(row).burn_order());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(number: u8) -> GrantId {
        GrantId::parse(&format!("00000000-0000-7000-8000-0000000000{number:02x}")).unwrap()
    }

    fn lot(number: u8, available_micro: i64) -> Lot {
        Lot {
            grant: grant(number),
            kind: GrantKind::Paid,
            priority: 100,
            effective_at: Timestamp::from_micros(0),
            expires_at: None,
            created_at: Timestamp::from_micros(0),
            available_micro,
        }
    }

    fn check(lots: Vec<Lot>, amount_micro: i64, expected: &[(u8, i64)]) {
        let taken = take(Timestamp::from_micros(10), lots, amount_micro).unwrap();
        let expected: Vec<_> = expected.iter().map(|(number, amount)| (grant(*number), *amount)).collect();
        assert_eq!(taken.iter().map(|taken| (taken.grant, taken.amount_micro)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn grants_burn_by_priority_expiry_kind_effective_created_and_id() {
        let at = Timestamp::from_micros;
        let lots = vec![
            lot(8, 1),
            Lot { created_at: at(1), ..lot(9, 1) },
            Lot { effective_at: at(1), ..lot(10, 1) },
            lot(7, 1),
            Lot { kind: GrantKind::Promotional, ..lot(6, 1) },
            Lot { expires_at: Some(at(30)), ..lot(5, 1) },
            Lot { expires_at: Some(at(20)), ..lot(4, 1) },
            Lot { priority: 50, ..lot(3, 1) },
        ];
        check(lots, 8, &[(3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1), (10, 1)]);
    }

    #[test]
    fn what_is_expired_or_not_yet_effective_or_empty_is_left() {
        let at = Timestamp::from_micros;
        let lots = vec![
            Lot { expires_at: Some(at(10)), ..lot(1, 5) },
            Lot { effective_at: at(11), ..lot(2, 5) },
            lot(3, 0),
            lot(4, 5),
        ];
        assert_eq!(take(at(10), lots.clone(), 6), Err(Short { available_micro: 5 }));
        check(lots, 5, &[(4, 5)]);
    }

    #[test]
    fn nothing_is_taken_for_nothing() {
        check(vec![lot(1, 5)], 0, &[]);
    }
}
