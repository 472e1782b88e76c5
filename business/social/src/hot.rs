//! The order of the feed "hot", which `docs/community.md` explains to people.
//!
//! A post's place is the moment of its publication, moved later by [`HOURS_PER_DOUBLING`] each time its
//! weight doubles. The place depends on nothing but the post's own row, so it is stored with the row, and the
//! feed is the walk of an index: no clock is read, nothing is computed again while posts grow old.

use backlot_foundation_time::Timestamp;

/// What a doubling of the weight is worth.
const HOURS_PER_DOUBLING: i64 = 4;
const MS_PER_DOUBLING: i64 = HOURS_PER_DOUBLING * 3_600_000;
/// A comment takes more than a like.
const COMMENT_WEIGHT: i64 = 2;
/// A remix takes most.
const REMIX_WEIGHT: i64 = 4;
/// Bits after the point of the logarithm.
const FRACTION_BITS: u32 = 16;
/// Beyond this weight nothing is gained: it bounds the arithmetic.
const WEIGHT_MAX: i64 = 1 << 40;

/// The place of a post in "hot", in milliseconds; later is hotter.
#[must_use]
pub(crate) fn hot(created_at: Timestamp, likes: i64, comments: i64, remixes: i64) -> i64 {
    let weight = likes
        .saturating_add(comments.saturating_mul(COMMENT_WEIGHT))
        .saturating_add(remixes.saturating_mul(REMIX_WEIGHT))
        .clamp(0, WEIGHT_MAX);
    let gained = (log2_fixed(1 + weight.unsigned_abs()) * MS_PER_DOUBLING) >> FRACTION_BITS;
    created_at.millis() + gained
}

/// The binary logarithm of `value` ≥ 1 with [`FRACTION_BITS`] bits after the point, in integers alone, so that
/// every machine computes the same place.
fn log2_fixed(value: u64) -> i64 {
    let whole = value.ilog2();
    // The mantissa in [1, 2), with 31 bits after the point.
    let mut mantissa = (u128::from(value) << 31 >> whole) as u64;
    let mut fraction = 0_i64;
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 31;
        fraction <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    (i64::from(whole) << FRACTION_BITS) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    const BORN: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn hours(likes: i64, comments: i64, remixes: i64) -> f64 {
        (hot(BORN, likes, comments, remixes) - BORN.millis()) as f64 / 3_600_000.0
    }

    #[test]
    fn a_doubling_of_the_weight_is_worth_four_hours() {
        assert!((hours(0, 0, 0)).abs() < 1e-9);
        assert!((hours(1, 0, 0) - 4.0).abs() < 1e-3);
        assert!((hours(3, 0, 0) - 8.0).abs() < 1e-3);
        assert!((hours(1_023, 0, 0) - 40.0).abs() < 1e-3);
        assert!((hours(2, 0, 0) - 4.0 * 3_f64.log2()).abs() < 1e-3);
    }

    #[test]
    fn a_comment_weighs_two_likes_and_a_remix_four() {
        assert_eq!(hot(BORN, 2, 0, 0), hot(BORN, 0, 1, 0));
        assert_eq!(hot(BORN, 4, 0, 0), hot(BORN, 0, 0, 1));
    }

    #[test]
    fn a_newer_post_overtakes_an_equal_older_one() {
        let later = BORN.plus(std::time::Duration::from_secs(1));
        assert!(hot(later, 5, 0, 0) > hot(BORN, 5, 0, 0));
    }

    proptest::proptest! {
        #[test]
        fn more_weight_is_never_colder(likes in 0_i64..1 << 45, more in 0_i64..1 << 45) {
            assert!(hot(BORN, likes.saturating_add(more), 0, 0) >= hot(BORN, likes, 0, 0));
        }

        #[test]
        fn the_logarithm_is_right(value in 1_u64..1 << 41) {
            let fixed = log2_fixed(value) as f64 / 65_536.0;
            assert!((fixed - (value as f64).log2()).abs() < 1e-4, "{value}");
        }
    }
}
