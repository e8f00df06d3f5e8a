//! Times in UTC, in the format of dead letters.

use crate::calendar::date_of_day;

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
        let (year, month, day) = date_of_day(unix_nano / 86_400_000_000_000);
        Self {
            unix_nano,
            year,
            month,
            day,
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
