//! The parts of a hold: what came from which grant, in the order in which it was taken.

use backlot_infrastructure_api::GrantId;

use super::burn::GrantKind;
use super::posting::Account;

/// What one grant, in one account, gave to a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The account that it came from: the grant's own, or an envelope.
    pub source: Account,
    /// The grant.
    pub grant: GrantId,
    /// Its kind.
    pub kind: GrantKind,
    /// What was held.
    pub held_micro: i64,
    /// What of it was spent when the hold was settled.
    pub settled_micro: i64,
    /// What of that was given back since.
    pub refunded_micro: i64,
}

/// An amount that the parts cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// Below zero.
    #[error("an amount is never negative")]
    Negative,
    /// More than was held, or than is left to refund.
    #[error("at most {most_micro} micro-credits are possible")]
    Exceeds {
        /// The most that is possible.
        most_micro: i64,
    },
}

/// Spends `amount_micro` of what is held, in the recorded order. The rest of each part is to be returned.
/// The answer is what each part spends, in the same order.
pub fn settle(parts: &[Part], amount_micro: i64) -> Result<Vec<i64>, PartsError> {
    let most_micro = parts.iter().map(|part| part.held_micro).sum();
    spread(parts.iter().map(|part| part.held_micro), amount_micro, most_micro)
}

/// Gives `amount_micro` of what was spent back, unwinding the recorded order: what burned last returns
/// first. The answer is what each part gets back, in the recorded order.
pub fn refund(parts: &[Part], amount_micro: i64) -> Result<Vec<i64>, PartsError> {
    let left = |part: &Part| part.settled_micro - part.refunded_micro;
    let most_micro = parts.iter().map(left).sum();
    let mut amounts = spread(parts.iter().rev().map(left), amount_micro, most_micro)?;
    amounts.reverse();
    Ok(amounts)
}

fn spread(
    room: impl Iterator<Item = i64>,
    amount_micro: i64,
    most_micro: i64,
) -> Result<Vec<i64>, PartsError> {
    if amount_micro < 0 {
        return Err(PartsError::Negative);
    }
    if amount_micro > most_micro {
        return Err(PartsError::Exceeds { most_micro });
    }
    let mut left_micro = amount_micro;
    Ok(room
        .map(|room_micro| {
            let used_micro = left_micro.min(room_micro);
            left_micro -= used_micro;
            used_micro
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(held_micro: i64) -> Part {
        let grant = GrantId::generate();
        Part {
            source: Account::Grant(grant),
            grant,
            kind: GrantKind::Paid,
            held_micro,
            settled_micro: 0,
            refunded_micro: 0,
        }
    }

    #[test]
    fn settling_spends_in_order_and_refunding_unwinds_it() {
        let mut parts = vec![part(5), part(3), part(9)];
        let spent = settle(&parts, 7).unwrap();
        assert_eq!(spent, [5, 2, 0]);
        for (part, spent) in parts.iter_mut().zip(spent) {
            part.settled_micro = spent;
        }
        assert_eq!(refund(&parts, 3).unwrap(), [1, 2, 0]);
        assert_eq!(refund(&parts, 8), Err(PartsError::Exceeds { most_micro: 7 }));
    }

    proptest! {
        /// Nothing is made or lost, and no part gives more than it has.
        #[test]
        fn amounts_are_kept(held in proptest::collection::vec(1_i64..1_000, 0..8), settled in 0_i64..9_000, refunded in 0_i64..9_000) {
            let mut parts: Vec<Part> = held.iter().map(|held| part(*held)).collect();
            let total: i64 = held.iter().sum();
            match settle(&parts, settled) {
                Err(error) => {
                    prop_assert!(settled > total);
                    prop_assert_eq!(error, PartsError::Exceeds { most_micro: total });
                }
                Ok(spent) => {
                    prop_assert_eq!(spent.iter().sum::<i64>(), settled);
                    for (part, spent) in parts.iter_mut().zip(spent) {
                        prop_assert!((0..=part.held_micro).contains(&spent));
                        part.settled_micro = spent;
                    }
                    match refund(&parts, refunded) {
                        Err(_) => prop_assert!(refunded > settled),
                        Ok(back) => {
                            prop_assert_eq!(back.iter().sum::<i64>(), refunded);
                            for (part, back) in parts.iter().zip(back) {
                                prop_assert!((0..=part.settled_micro).contains(&back));
                            }
                        }
                    }
                }
            }
        }
    }
}
