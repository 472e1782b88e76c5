//! Who pays when a run does not succeed: a table, not code.
//!
//! `catalogue/who_pays.yaml` has a row for every failure class; a manifest may override a row for its
//! tool. [`charge`] is the only place that turns an outcome into an amount. Amounts are rounded down, in
//! favour of the person who pays, and never exceed the hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One whole, in the unit of delivered fractions.
pub const PPM: i64 = 1_000_000;
const MS_PER_SECOND: i64 = 1_000;
const TABLE: &str = include_str!("../catalogue/who_pays.yaml");

/// Why a run did not succeed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The model, or its door, refused the input.
    InvalidInput,
    /// A picture of the input was refused by moderation.
    ModeratedInput,
    /// What was made was refused by moderation.
    ModeratedOutput,
    /// The model failed.
    ModelError,
    /// The worker vanished, and so did all further attempts.
    LostWorker,
    /// An attempt took longer than it may.
    TimedOut,
    /// The outputs could not be stored whole.
    OutputRefused,
    /// Nothing had started within the time to live.
    Expired,
    /// A person canceled.
    UserCancel,
    /// A mandate of the chain that pays was revoked.
    MandateRevoked,
}

impl FailureClass {
    /// Every class, in the order of the table.
    pub const ALL: [Self; 10] = [
        Self::InvalidInput,
        Self::ModeratedInput,
        Self::ModeratedOutput,
        Self::ModelError,
        Self::LostWorker,
        Self::TimedOut,
        Self::OutputRefused,
        Self::Expired,
        Self::UserCancel,
        Self::MandateRevoked,
    ];

    /// The stable text of this class, as in the table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::ModeratedInput => "moderated_input",
            Self::ModeratedOutput => "moderated_output",
            Self::ModelError => "model_error",
            Self::LostWorker => "lost_worker",
            Self::TimedOut => "timed_out",
            Self::OutputRefused => "output_refused",
            Self::Expired => "expired",
            Self::UserCancel => "user_cancel",
            Self::MandateRevoked => "mandate_revoked",
        }
    }

    /// Reads the stable text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}

/// What the person pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserPays {
    /// The whole hold returns.
    Nothing,
    /// Price × delivered.
    Delivered,
    /// Price × max(delivered, compute ÷ predicted), at most the hold.
    Used,
}

/// What the company posts as a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeAbsorb {
    /// No loss.
    Nothing,
    /// What the work cost and nobody paid.
    Cost,
}

/// Who may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same input fails again.
    Never,
    /// The person, as a new run.
    ByUser,
    /// Inference already has, within its limits.
    BySystem,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What the person pays.
    pub user_pays: UserPays,
    /// What we post as a loss.
    pub we_absorb: WeAbsorb,
    /// Who may try again.
    pub retry: Retry,
    /// What the person reads.
    pub message: String,
    /// Why they were, or were not, charged.
    pub because: String,
}

/// Rows that a tool overrides.
pub type Overrides = BTreeMap<FailureClass, Row>;

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhoPays {
    /// Of the table; recorded nowhere but in its history.
    pub version: u32,
    rows: BTreeMap<FailureClass, Row>,
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is not YAML of the right shape.
    #[error("the who-pays table cannot be read")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A class has no row.
    #[error("the who-pays table has no row for {}", .0.as_str())]
    Missing(FailureClass),
}

/// The facts that an amount follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Why it failed; `None`: it succeeded.
    pub failure: Option<FailureClass>,
    /// The quoted price.
    pub price_micro: i64,
    /// What billing holds.
    pub held_micro: i64,
    /// Parts per million of the result that was delivered.
    pub delivered_ppm: i64,
    /// Compute of all attempts.
    pub compute_ms: i64,
    /// Compute that was predicted, at least 1.
    pub predicted_ms: i64,
    /// What a second of compute costs us.
    pub cost_micro_per_compute_second: i64,
}

/// Who pays what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The person; 0 ≤ this ≤ the hold.
    pub settle_micro: i64,
    /// The company, to `provider_loss`.
    pub absorbed_micro: i64,
    /// What the work cost us.
    pub cost_micro: i64,
}

impl WhoPays {
    /// The table that ships.
    pub fn shipped() -> Result<Self, TableError> {
        Self::parse(TABLE)
    }

    /// Reads a table and checks that no class lacks its row.
    pub fn parse(yaml: &str) -> Result<Self, TableError> {
        let table: Self = serde_yaml_ng::from_str(yaml)?;
        match FailureClass::ALL.into_iter().find(|class| !table.rows.contains_key(class)) {
            Some(missing) => Err(TableError::Missing(missing)),
            None => Ok(table),
        }
    }

    /// The row of a class for a tool with these overrides.
    #[must_use]
    pub fn row<'a>(&'a self, class: FailureClass, overrides: &'a Overrides) -> &'a Row {
        overrides.get(&class).unwrap_or_else(|| &self.rows[&class])
    }

    /// Turns what happened into amounts.
    #[must_use]
    pub fn charge(&self, facts: &Facts, overrides: &Overrides) -> Charge {
        let cost_micro = share(facts.cost_micro_per_compute_second, facts.compute_ms, MS_PER_SECOND);
        let ceiling = facts.price_micro.min(facts.held_micro).max(0);
        let Some(class) = facts.failure else {
            return Charge { settle_micro: ceiling, absorbed_micro: 0, cost_micro };
        };
        let row = self.row(class, overrides);
        let delivered = share(facts.price_micro, facts.delivered_ppm.min(PPM), PPM);
        let owed = match row.user_pays {
            UserPays::Nothing => 0,
            UserPays::Delivered => delivered,
            UserPays::Used => delivered.max(share(facts.price_micro, facts.compute_ms, facts.predicted_ms)),
        };
        let settle_micro = owed.min(ceiling);
        let absorbed_micro = match row.we_absorb {
            WeAbsorb::Nothing => 0,
            WeAbsorb::Cost => (cost_micro - settle_micro).max(0),
        };
        Charge { settle_micro, absorbed_micro, cost_micro }
    }
}

/// `amount × part ÷ whole`, rounded down, at least zero.
fn share(amount: i64, part: i64, whole: i64) -> i64 {
    let product = i128::from(amount.max(0)) * i128::from(part.max(0));
    i64::try_from(product / i128::from(whole.max(1))).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn charge(failure: Option<FailureClass>, delivered_ppm: i64, compute_ms: i64) -> (i64, i64) {
        let facts = Facts {
            failure,
            price_micro: 100_000,
            held_micro: 100_000,
            delivered_ppm,
            compute_ms,
            predicted_ms: 1_000,
            cost_micro_per_compute_second: 30_000,
        };
        let charge = WhoPays::shipped().unwrap().charge(&facts, &Overrides::new());
        (charge.settle_micro, charge.absorbed_micro)
    }

    #[test]
    fn success_is_paid_in_full() {
        assert_eq!(charge(None, PPM, 5_000), (100_000, 0));
    }

    #[test]
    fn a_system_failure_settles_what_was_delivered_and_we_bear_the_rest() {
        assert_eq!(charge(Some(FailureClass::ModelError), 0, 1_000), (0, 30_000));
        assert_eq!(charge(Some(FailureClass::LostWorker), 250_000, 1_000), (25_000, 5_000));
        assert_eq!(charge(Some(FailureClass::TimedOut), 500_000, 1_000), (50_000, 0));
    }

    #[test]
    fn a_cancel_settles_the_share_that_was_used_and_at_most_the_hold() {
        assert_eq!(charge(Some(FailureClass::UserCancel), 0, 0), (0, 0));
        assert_eq!(charge(Some(FailureClass::UserCancel), 0, 400), (40_000, 0));
        assert_eq!(charge(Some(FailureClass::UserCancel), 700_000, 400), (70_000, 0));
        assert_eq!(charge(Some(FailureClass::UserCancel), 0, 9_000), (100_000, 0));
    }

    #[test]
    fn a_tool_may_override_a_row() {
        let table = WhoPays::shipped().unwrap();
        let mut row = table.row(FailureClass::UserCancel, &Overrides::new()).clone();
        row.user_pays = UserPays::Nothing;
        let overrides = Overrides::from([(FailureClass::UserCancel, row)]);
        let facts = Facts {
            failure: Some(FailureClass::UserCancel),
            price_micro: 10,
            held_micro: 10,
            delivered_ppm: PPM,
            compute_ms: 1,
            predicted_ms: 1,
            cost_micro_per_compute_second: 0,
        };
        assert_eq!(table.charge(&facts, &overrides).settle_micro, 0);
    }

    #[test]
    fn a_table_without_a_row_is_refused() {
        let broken = TABLE.replace("  expired:\n", "  expired_never:\n");
        assert!(WhoPays::parse(&broken).is_err());
        let without: String = TABLE.split("  mandate_revoked:").next().unwrap().to_owned();
        assert!(matches!(WhoPays::parse(&without), Err(TableError::Missing(FailureClass::MandateRevoked))));
    }

    proptest! {
        #[test]
        fn nobody_pays_more_than_the_hold(
            class in 0_usize..11, price in 0_i64..1_000_000_000_000, held in 0_i64..1_000_000_000_000,
            delivered in -5_i64..2_000_000, compute in -5_i64..100_000_000, predicted in -5_i64..100_000_000,
            rate in 0_i64..10_000_000,
        ) {
            let facts = Facts {
                failure: FailureClass::ALL.get(class).copied(), price_micro: price, held_micro: held,
                delivered_ppm: delivered, compute_ms: compute, predicted_ms: predicted,
                cost_micro_per_compute_second: rate,
            };
            let charge = WhoPays::shipped().unwrap().charge(&facts, &Overrides::new());
            prop_assert!((0..=held.min(price)).contains(&charge.settle_micro));
            prop_assert!(charge.absorbed_micro >= 0 && charge.absorbed_micro <= charge.cost_micro);
        }
    }
}
