//! Calendar days in UTC.

use std::fmt;

use backlot_data_lake::MICROS_PER_DAY;
use backlot_foundation_time::Timestamp;

/// A day as the number of days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

/// Days between 0000-03-01 and 1970-01-01.
const EPOCH_SHIFT_DAYS: i64 = 719_468;
/// Days of 400 Gregorian years.
const ERA_DAYS: i64 = 146_097;

impl Day {
    /// From the number of days since 1970-01-01.
    #[must_use]
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// The day of an instant, in UTC.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(i32::try_from(at.micros().div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX))
    }

    /// So many days later, or earlier where negative.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// How many days after `earlier` it is.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Its first instant, Unix microseconds.
    #[must_use]
    pub const fn start_us(self) -> i64 {
        self.0 as i64 * MICROS_PER_DAY
    }

    /// Reads `YYYY-MM-DD`; `None` where no calendar has such a day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let number =
            |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
        let (year, month, day): (i64, i64, i64) =
            (number(text.get(0..4)?)?, number(text.get(5..7)?)?, number(text.get(8..10)?)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let parsed = Self::from_civil(year, month, day);
        (parsed.civil() == (year, month, day)).then_some(parsed)
    }

    /// The algorithm of Howard Hinnant's `days_from_civil`.
    fn from_civil(year: i64, month: i64, day: i64) -> Self {
        let shifted_year = if month <= 2 { year - 1 } else { year };
        let era = shifted_year.div_euclid(400);
        let year_of_era = shifted_year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self(i32::try_from(era * ERA_DAYS + day_of_era - EPOCH_SHIFT_DAYS).unwrap_or(i32::MAX))
    }

    fn civil(self) -> (i64, i64, i64) {
        let shifted = i64::from(self.0) + EPOCH_SHIFT_DAYS;
        let era = shifted.div_euclid(ERA_DAYS);
        let day_of_era = shifted.rem_euclid(ERA_DAYS);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_index + 2) / 5 + 1;
        let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_texts_agree() {
        for (days, text) in
            [(0, "1970-01-01"), (20_000, "2024-10-04"), (19_782, "2024-02-29"), (-1, "1969-12-31")]
        {
            assert_eq!(Day::from_days(days).to_string(), text);
            assert_eq!(Day::parse(text), Some(Day::from_days(days)));
        }
        for days in -40_000..60_000 {
            assert_eq!(Day::parse(&Day::from_days(days).to_string()), Some(Day::from_days(days)));
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-1-01",
            "24-01-01",
            "2024-01-0x",
            "２024-1-1",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }

    #[test]
    fn midnight_belongs_to_the_day_that_begins() {
        let midnight = Day::from_days(20_000).start_us();
        assert_eq!(Day::of(Timestamp::from_micros(midnight)), Day::from_days(20_000));
        assert_eq!(Day::of(Timestamp::from_micros(midnight - 1)), Day::from_days(19_999));
    }
}
