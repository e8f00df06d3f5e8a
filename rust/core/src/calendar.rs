//! Days and dates of the proleptic Gregorian calendar in UTC.
//!
//! Years start on March 1 of the year 0, so that a leap day ends its year; 400 years have 146,097 days. The
//! algorithms follow <https://howardhinnant.github.io/date_algorithms.html>.

/// Days from March 1 of the year 0 to 1970-01-01.
const EPOCH_DAY: u64 = 719_468;

/// The year, month and day that is `days` days after 1970-01-01.
#[must_use]
pub const fn date_of_day(day_since_epoch: u64) -> (u64, u64, u64) {
    let days = day_since_epoch + EPOCH_DAY;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = 400 * era + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

/// The number of days from 1970-01-01 to a date; `None` before it. The caller ensures a year of at most 9999,
/// a month of 1 to 12 and a day of 1 to 31.
#[must_use]
pub const fn day_of_date(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month_from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(EPOCH_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_088, (2024, 12, 31)),
            (47_482, (2100, 1, 1)),
        ] {
            assert_eq!(date_of_day(day), date);
            assert_eq!(day_of_date(date.0, date.1, date.2), Some(day));
        }
        assert_eq!(day_of_date(1969, 12, 31), None);
    }
}
