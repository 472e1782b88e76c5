//! Dividing an amount among several, to the last micro-credit.

/// Divides `total_micro` by shares in hundredths of a per cent. Each part is rounded down, and the last
/// takes the remainder, so that the parts always sum to the total. No shares: no parts.
#[must_use]
pub fn split(total_micro: i64, shares_bps: &[u32]) -> Vec<i64> {
    let Some(last) = shares_bps.len().checked_sub(1) else { return Vec::new() };
    let whole: i128 = shares_bps.iter().map(|share| i128::from(*share)).sum();
    let mut parts: Vec<i64> = shares_bps[..last]
        .iter()
        .map(|share| {
            let part = if whole == 0 { 0 } else { i128::from(total_micro) * i128::from(*share) / whole };
            i64::try_from(part).unwrap_or(0)
        })
        .collect();
    parts.push(total_micro - parts.iter().sum::<i64>());
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_part_takes_the_remainder() {
        assert_eq!(split(100, &[3_333, 3_333, 3_334]), [33, 33, 34]);
        assert_eq!(split(1, &[5_000, 5_000]), [0, 1]);
        assert_eq!(split(7, &[]), [0_i64; 0]);
        assert_eq!(split(7, &[0, 0]), [0, 7]);
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_total(total in 0_i64..=i64::MAX, shares in proptest::collection::vec(0_u32..=10_000, 1..9)) {
            let parts = split(total, &shares);
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(total));
            prop_assert!(parts.iter().all(|part| *part >= 0));
        }
    }
}
