//! The price formula: lines of whole amounts times exact factors.
//!
//! A formula is data, not code: each line is an integer amount multiplied by factors that come from the
//! input (a number, a number squared, the megapixels or seconds of an asset, the characters of a text). All arithmetic is exact
//! integer arithmetic. **Rounding**: each line is rounded up to the next whole unit, once, at its end, so
//! the total is exactly the sum of the lines that people see. The same formula predicts compute time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most lines of one formula.
const LINES_MAX: usize = 16;
/// Most factors of one line.
const FACTORS_MAX: usize = 4;
/// Highest power of a factor.
const POWER_MAX: u32 = 4;
/// Largest amount of one line: 1,000,000 credits. Keeps every product far inside 128 bits.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;
/// Numbers of the input count in thousandths, rounded up: 2.5 seconds is exact, 0.0001 counts as 0.001.
const NUMBER_DENOMINATOR: i128 = 1_000;
/// Largest number of an input that a formula takes.
const NUMBER_MAX: f64 = 1_000_000.0;
/// Pixels of one megapixel.
const PIXELS_PER_MEGAPIXEL: i128 = 1_000_000;
/// Milliseconds of one second.
const MS_PER_SECOND: i128 = 1_000;

/// A formula of a manifest. Amounts are micro-credits for a price, milliseconds for a prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Formula {
    /// The least that the total may be; a line of its own makes up the difference.
    #[serde(default)]
    pub minimum: i64,
    /// The terms of the sum.
    pub lines: Vec<Term>,
}

/// One term: an amount times its factors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// What people read beside the amount.
    pub label: String,
    /// The amount for a product of factors of one.
    pub amount: i64,
    /// What it is multiplied with; none: it is fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Factor>,
}

/// What an amount is multiplied with. Each names a property of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Factor {
    /// A number of the input, to a power.
    Number {
        /// The property.
        number: String,
        /// 1 to 4.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        power: u32,
    },
    /// Width × height of an asset, in millions of pixels.
    Megapixels {
        /// The property that names the asset.
        megapixels: String,
    },
    /// How long an asset plays, in seconds.
    Seconds {
        /// The property that names the asset.
        seconds: String,
    },
    /// How many characters a text of the input has.
    Characters {
        /// The property.
        characters: String,
    },
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_one(power: &u32) -> bool {
    *power == 1
}

/// What storage knows about an asset of the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AssetFacts {
    /// Pixels.
    pub width_px: i32,
    /// Pixels.
    pub height_px: i32,
    /// Milliseconds, 0 for a still.
    pub duration_ms: i64,
}

/// One line of a quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuoteLine {
    /// What is paid for.
    pub label: String,
    /// Micro-credits.
    pub amount_micro: i64,
}

/// A formula that was worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worked {
    /// The sum of the lines.
    pub total: i64,
    /// In the order of the formula, then the minimum where it applies.
    pub lines: Vec<QuoteLine>,
}

/// Why a formula is not well formed, or cannot be worked out for this input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The formula has no line, or too many of something.
    #[error(
        "a formula has 1 to {LINES_MAX} lines, each with at most {FACTORS_MAX} factors of a power of 1 to {POWER_MAX}"
    )]
    Shape,
    /// An amount is negative or beyond the limit.
    #[error("the amount of \"{0}\" is not between 0 and {AMOUNT_MAX}")]
    Amount(String),
    /// A formula names a property that the input's schema does not declare.
    #[error("the formula names \"{0}\", which the input does not declare")]
    UnknownProperty(String),
    /// The property is not a number between 0 and a million.
    #[error("\"{0}\" is not a number between 0 and a million")]
    NotANumber(String),
    /// The property is no text.
    #[error("\"{0}\" is not a text")]
    NotAText(String),
    /// The property names no asset with the fact that is needed.
    #[error("\"{0}\" has no known size or length")]
    NoFacts(String),
    /// The result is beyond what a run may cost.
    #[error("the result is larger than {AMOUNT_MAX}")]
    TooLarge,
}

impl Formula {
    /// Checks the shape and that every named property is one that the input declares.
    pub fn check(&self, declares: impl Fn(&str) -> bool) -> Result<(), PriceError> {
        let shape_is_good = (1..=LINES_MAX).contains(&self.lines.len())
            && self.lines.iter().all(|line| {
                line.times.len() <= FACTORS_MAX
                    && line.times.iter().all(|factor| (1..=POWER_MAX).contains(&factor.power()))
            });
        if !shape_is_good {
            return Err(PriceError::Shape);
        }
        if !(0..=AMOUNT_MAX).contains(&self.minimum) {
            return Err(PriceError::Amount("minimum".to_owned()));
        }
        for line in &self.lines {
            if !(0..=AMOUNT_MAX).contains(&line.amount) {
                return Err(PriceError::Amount(line.label.clone()));
            }
            for factor in &line.times {
                if !declares(factor.property()) {
                    return Err(PriceError::UnknownProperty(factor.property().to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Works the formula out for an input that satisfies the schema, with its defaults filled in.
    pub fn work_out(
        &self,
        input: &Value,
        assets: &BTreeMap<String, AssetFacts>,
    ) -> Result<Worked, PriceError> {
        let mut lines = Vec::with_capacity(self.lines.len() + 1);
        let mut total = 0_i64;
        for term in &self.lines {
            let amount = term.work_out(input, assets)?;
            total = total.checked_add(amount).filter(|sum| *sum <= AMOUNT_MAX).ok_or(PriceError::TooLarge)?;
            lines.push(QuoteLine { label: term.label.clone(), amount_micro: amount });
        }
        if total < self.minimum {
            lines.push(QuoteLine {
                label: "Up to the minimum".to_owned(),
                amount_micro: self.minimum - total,
            });
            total = self.minimum;
        }
        Ok(Worked { total, lines })
    }
}

impl Term {
    fn work_out(&self, input: &Value, assets: &BTreeMap<String, AssetFacts>) -> Result<i64, PriceError> {
        let mut numerator = i128::from(self.amount);
        let mut denominator = 1_i128;
        for factor in &self.times {
            let (over, under) = factor.ratio(input, assets)?;
            for _ in 0..factor.power() {
                numerator = numerator.checked_mul(over).ok_or(PriceError::TooLarge)?;
                denominator = denominator.checked_mul(under).ok_or(PriceError::TooLarge)?;
            }
        }
        // Up, because a fraction of a micro-credit cannot be held.
        let rounded = numerator / denominator + i128::from(numerator % denominator != 0);
        i64::try_from(rounded).ok().filter(|amount| *amount <= AMOUNT_MAX).ok_or(PriceError::TooLarge)
    }
}

impl Factor {
    fn property(&self) -> &str {
        match self {
            Self::Number { number, .. } => number,
            Self::Megapixels { megapixels } => megapixels,
            Self::Seconds { seconds } => seconds,
            Self::Characters { characters } => characters,
        }
    }

    const fn power(&self) -> u32 {
        match self {
            Self::Number { power, .. } => *power,
            Self::Megapixels { .. } | Self::Seconds { .. } | Self::Characters { .. } => 1,
        }
    }

    /// The factor as an exact fraction, at least zero.
    fn ratio(
        &self,
        input: &Value,
        assets: &BTreeMap<String, AssetFacts>,
    ) -> Result<(i128, i128), PriceError> {
        let no_facts = || PriceError::NoFacts(self.property().to_owned());
        match self {
            Self::Number { number, .. } => {
                let value = input.get(number).and_then(Value::as_f64);
                let value = value.filter(|value| (0.0..=NUMBER_MAX).contains(value));
                let value = value.ok_or_else(|| PriceError::NotANumber(number.clone()))?;
                #[expect(clippy::cast_possible_truncation, reason = "at most a billion thousandths")]
                let thousandths = (value * 1_000.0).ceil() as i64;
                Ok((i128::from(thousandths), NUMBER_DENOMINATOR))
            }
            Self::Megapixels { megapixels } => {
                let facts = assets.get(megapixels).ok_or_else(no_facts)?;
                let pixels = i128::from(facts.width_px) * i128::from(facts.height_px);
                if facts.width_px <= 0 || facts.height_px <= 0 {
                    return Err(no_facts());
                }
                Ok((pixels, PIXELS_PER_MEGAPIXEL))
            }
            Self::Seconds { seconds } => {
                let facts = assets.get(seconds).filter(|facts| facts.duration_ms > 0).ok_or_else(no_facts)?;
                Ok((i128::from(facts.duration_ms), MS_PER_SECOND))
            }
            Self::Characters { characters } => {
                let text = input.get(characters).and_then(Value::as_str);
                let text = text.ok_or_else(|| PriceError::NotAText(characters.clone()))?;
                Ok((i128::try_from(text.chars().count()).unwrap_or(i128::MAX), 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const FORMULA: &str = "
minimum: 20000
lines:
  - { label: Start, amount: 10000 }
  - { label: Pixels, amount: 40000, times: [{ megapixels: image }, { number: scale, power: 2 }] }
";

    fn check(input: &Value, width_px: i32, height_px: i32, expected: &Expect) {
        let formula: Formula = serde_yaml_ng::from_str(FORMULA).unwrap();
        let assets =
            BTreeMap::from([("image".to_owned(), AssetFacts { width_px, height_px, duration_ms: 0 })]);
        let text = match formula.work_out(input, &assets) {
            Ok(worked) => {
                let lines: Vec<String> =
                    worked.lines.iter().map(|line| format!("{} {}", line.label, line.amount_micro)).collect();
                format!("{} = {}", worked.total, lines.join(" + "))
            }
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn a_quote_is_the_sum_of_its_lines() {
        check(&json!({"scale": 2}), 1000, 1000, &expect!["170000 = Start 10000 + Pixels 160000"]);
        check(&json!({"scale": 4}), 512, 512, &expect!["177773 = Start 10000 + Pixels 167773"]);
    }

    #[test]
    fn the_minimum_is_a_line_of_its_own() {
        check(
            &json!({"scale": 2}),
            8,
            8,
            &expect!["20000 = Start 10000 + Pixels 11 + Up to the minimum 9989"],
        );
    }

    #[test]
    fn a_text_is_paid_by_its_characters() {
        let formula: Formula = serde_yaml_ng::from_str(
            "lines: [{ label: Characters, amount: 50, times: [{ characters: text }] }]",
        )
        .unwrap();
        let total = |input: &Value| formula.work_out(input, &BTreeMap::new()).map(|worked| worked.total);
        assert_eq!(total(&json!({"text": "ä🚀x"})), Ok(150));
        assert_eq!(total(&json!({"text": 7})), Err(PriceError::NotAText("text".to_owned())));
    }

    #[test]
    fn what_cannot_be_worked_out_is_an_error() {
        check(&json!({"scale": -1}), 8, 8, &expect![[r#""scale" is not a number between 0 and a million"#]]);
        check(&json!({}), 8, 8, &expect![[r#""scale" is not a number between 0 and a million"#]]);
        check(&json!({"scale": 2}), 0, 8, &expect![[r#""image" has no known size or length"#]]);
        check(
            &json!({"scale": 1_000_000}),
            i32::MAX,
            i32::MAX,
            &expect!["the result is larger than 1000000000000"],
        );
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_the_lines_and_never_falls_with_the_input(
            scale in 0.0_f64..1000.0, width in 1_i32..10_000, height in 1_i32..10_000, more in 0.0_f64..10.0,
        ) {
            let formula: Formula = serde_yaml_ng::from_str(FORMULA).unwrap();
            let facts = AssetFacts { width_px: width, height_px: height, duration_ms: 0 };
            let assets = BTreeMap::from([("image".to_owned(), facts)]);
            let price = |scale: f64| formula.work_out(&json!({"scale": scale}), &assets);
            if let (Ok(small), Ok(large)) = (price(scale), price(scale + more)) {
                prop_assert_eq!(small.total, small.lines.iter().map(|line| line.amount_micro).sum::<i64>());
                prop_assert!(small.lines.iter().all(|line| line.amount_micro >= 0));
                prop_assert!(small.total >= formula.minimum);
                prop_assert!(small.total <= large.total);
            }
        }
    }
}
