//! The end of a wait.

use std::time::Duration;

use tokio::time::Instant;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// When a wait that begins now is over. A longer wait than a year counts as a year: adding it could exceed
/// the clock's range.
pub(crate) fn after(wait: Duration) -> Instant {
    Instant::now() + wait.min(YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_end_is_over_in_a_year() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        for (wait, expected) in [
            (Duration::ZERO, Duration::ZERO),
            (second, second),
            (YEAR, YEAR),
            (YEAR + second, YEAR),
            (Duration::MAX, YEAR),
        ] {
            assert_eq!(after(wait) - now, expected, "{wait:?}");
        }
    }
}
