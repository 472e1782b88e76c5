//! Until when credits may be used that come back after their grant ran out.

use std::time::Duration;

use backlot_foundation_time::Timestamp;

/// How long credits may be used that a run took before their grant ran out, and that come back after it.
pub const RETURNED_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// When the last credits of a grant run out: those of the grant, or those that came back later; none: never.
#[must_use]
pub fn ends_at(expires_at: Option<Timestamp>, returned_until: Option<Timestamp>) -> Option<Timestamp> {
    expires_at.map(|expiry| returned_until.map_or(expiry, |until| expiry.max(until)))
}

/// Until when credits may be used that come back `now`, which a run took at `held_at`; none: as long as the grant's
/// others, because those have not run out.
///
/// The first return after the grant ran out begins [`RETURNED_KEPT`], and what comes back within those days shares what
/// is left of them: no return makes earlier ones last longer. After them everything has lapsed, and what was taken
/// before the grant ran out begins such days anew, for itself alone. What was taken within such days and comes back after
/// them gets what was left of them then: their time stood still while the run held them, and no run makes it longer.
#[must_use]
pub fn kept_until(
    expires_at: Option<Timestamp>,
    returned_until: Option<Timestamp>,
    held_at: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let expiry = expires_at.filter(|expiry| *expiry <= now)?;
    let end = ends_at(expires_at, returned_until).unwrap_or(expiry);
    if now < end {
        return None;
    }
    let kept = if held_at < expiry { RETURNED_KEPT } else { end.since(held_at).min(RETURNED_KEPT) };
    Some(now.plus(kept))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_micros(number * DAY_US)
    }

    /// Expiry, end of what came back, taken, back: the end, in days.
    fn check(expiry: Option<i64>, returned: Option<i64>, held: i64, now: i64, until: Option<i64>) {
        let found = kept_until(expiry.map(day), returned.map(day), day(held), day(now));
        assert_eq!(found, until.map(day), "{expiry:?} {returned:?} {held} {now}");
    }

    #[test]
    fn the_first_return_of_what_was_taken_in_time_begins_seven_days() {
        check(None, None, 1, 50, None);
        check(Some(10), None, 1, 9, None);
        check(Some(10), None, 1, 10, Some(17));
        check(Some(10), None, 9, 40, Some(47));
        check(Some(10), Some(17), 9, 12, None);
        check(Some(10), Some(17), 9, 16, None);
        check(Some(10), Some(17), 9, 17, Some(24));
    }

    #[test]
    fn what_was_taken_within_those_days_gets_what_was_left_of_them() {
        check(Some(10), Some(17), 15, 16, None);
        check(Some(10), Some(17), 15, 17, Some(19));
        check(Some(10), Some(17), 15, 30, Some(32));
        check(Some(10), Some(17), 10, 30, Some(37));
    }

    proptest! {
        #[test]
        fn an_end_that_lies_ahead_never_moves_and_a_new_one_lies_at_most_seven_days_ahead(
            expiry in 0_i64..40, longer in 0_i64..30, held in 0_i64..90, run in 0_i64..40,
        ) {
            let (expires_at, returned) = (Some(day(expiry)), Some(day(expiry + longer)));
            let now = day(held + run);
            if let Some(until) = kept_until(expires_at, returned, day(held), now) {
                let end = ends_at(expires_at, returned).unwrap();
                prop_assert!(end <= now && now <= until);
                prop_assert!(until <= now.plus(RETURNED_KEPT));
            }
        }
    }
}
