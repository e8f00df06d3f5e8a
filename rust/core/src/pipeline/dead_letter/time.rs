//! Times of the proleptic Gregorian calendar in UTC.

/// A time in parts, for names and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Utc {
    unix_nano: u64,
    year: u64,
    month: u64,
    day: u64,
}

impl Utc {
    /// A time in nanoseconds since the Unix epoch.
    pub(super) fn new(unix_nano: u64) -> Self {
        // Days are counted from March 1 of the year 0, so that a leap day ends its year; 400 years
        // are 146,097 days. After <https://howardhinnant.github.io/date_algorithms.html>.
        let days = unix_nano / 86_400_000_000_000 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Self {
            unix_nano,
            year: 400 * era + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
        }
    }

    /// The day: `2025-06-15`.
    pub(super) fn date(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// The time (RFC 3339): `2025-06-15T15:06:40.987654321Z`.
    pub(super) fn timestamp(self) -> String {
        let (seconds, nanoseconds) = (self.unix_nano / 1_000_000_000, self.unix_nano % 1_000_000_000);
        format!(
            "{}T{:02}:{:02}:{:02}.{nanoseconds:09}Z",
            self.date(),
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix_nano, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_750_000_000_987_654_321, "2025-06-15T15:06:40.987654321Z"),
            (1_735_689_599_000_000_001, "2024-12-31T23:59:59.000000001Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(Utc::new(unix_nano).timestamp(), text);
        }
    }
}
