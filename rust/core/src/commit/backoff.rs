//! How often a commit is retried, and how long it waits before each retry.

use std::time::Duration;

use tokio::time::Instant;

use super::retry_rules::RetryRules;
use crate::random::random_part;

/// Maximum number of retries after failures other than lost races. The caller must learn within half a minute
/// that the catalog is unreachable.
const FAILURES_MAX: u32 = 10;
/// Longest wait after a lost race, as a multiple of the attempt's duration. The wait doubles up to it.
const ATTEMPTS_WAITED_MAX: u32 = 8;

/// The remaining retries of one commit.
#[derive(Debug)]
pub(super) struct Backoff {
    rules: RetryRules,
    /// No attempt except the first begins after it.
    deadline: Instant,
    lost_races: u32,
    failures: u32,
    /// The range from which the next wait is drawn; `None` before the first attempt.
    next_wait: Option<(Duration, Duration)>,
    /// The minimum wait that the catalog asked for.
    asked: Duration,
}

impl Backoff {
    /// For a commit that begins now, limited by the rules' time and the deadline.
    pub(super) fn new(rules: RetryRules, deadline: Instant) -> Self {
        // A limit beyond the range of the clock counts as none.
        let latest = rules.time_max.and_then(|time| Instant::now().checked_add(time));
        Self {
            rules,
            deadline: latest.map_or(deadline, |latest| latest.min(deadline)),
            lost_races: 0,
            failures: 0,
            next_wait: None,
            asked: Duration::ZERO,
        }
    }

    /// Records a race lost to another writer. `took` is the attempt's duration, including the load of the
    /// table.
    ///
    /// The next attempt succeeds if no other writer commits during it. So the wait is measured in attempts.
    /// It is random, starting near zero, to separate writers that collided. It does not grow without limit: a
    /// writer that waits ever longer while others do not would starve.
    pub(super) fn lost_race(&mut self, took: Duration) {
        let attempts = (2 << self.lost_races.min(8)).min(ATTEMPTS_WAITED_MAX);
        let first = self.rules.wait_first;
        let longest = took.max(first).saturating_mul(attempts).min(self.rules.wait_max);
        self.next_wait = Some((first / 2, longest));
        self.asked = Duration::ZERO;
        self.lost_races += 1;
    }

    /// Records that the catalog was unreachable or the attempt's outcome is unknown. `asked` is the wait that
    /// the catalog asked for.
    pub(super) fn failed(&mut self, asked: Option<Duration>) {
        let doubled = self.rules.wait_first.saturating_mul(1 << self.failures.min(16));
        let longest = doubled.min(self.rules.wait_max);
        self.next_wait = Some((longest / 2, longest));
        self.asked = asked.unwrap_or_default();
        self.failures += 1;
    }

    /// Sleeps before the next attempt; the first is made at once. Returns false if the retries or the time
    /// are used up.
    pub(super) async fn allows_another(&self) -> bool {
        let Some((shortest, longest)) = self.next_wait else {
            return true;
        };
        let wait = shortest + random_part(longest.saturating_sub(shortest));
        match Instant::now().checked_add(wait.max(self.asked)) {
            Some(until) if until < self.deadline && !self.is_over() => {
                tokio::time::sleep_until(until).await;
                true
            }
            _ => false,
        }
    }

    fn is_over(&self) -> bool {
        self.failures > FAILURES_MAX || self.lost_races.saturating_add(self.failures) > self.rules.retries_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn backoff(retries_max: u32, wait_first: Duration, deadline: Duration) -> Backoff {
        let rules = RetryRules {
            retries_max,
            wait_first,
            wait_max: wait_first.max(5_000 * MILLISECOND),
            time_max: None,
        };
        Backoff::new(rules, Instant::now() + deadline)
    }

    #[test]
    fn lost_races_are_bounded_by_the_setting_only() {
        let mut backoff = backoff(100, MILLISECOND, Duration::ZERO);
        for _ in 0..100 {
            backoff.lost_race(MILLISECOND);
            assert!(!backoff.is_over());
        }
        backoff.lost_race(MILLISECOND);
        assert!(backoff.is_over());
    }

    #[test]
    fn other_failures_are_bounded_in_number_too() {
        for (setting, most) in [(100, 10), (2, 2), (0, 0)] {
            let mut backoff = backoff(setting, MILLISECOND, Duration::ZERO);
            for _ in 0..most {
                backoff.failed(None);
                assert!(!backoff.is_over(), "{setting}");
            }
            backoff.failed(None);
            assert!(backoff.is_over(), "{setting}");
        }
    }

    #[tokio::test]
    async fn no_attempt_but_the_first_is_begun_after_the_deadline() {
        for wait_first in [MILLISECOND, Duration::from_millis(u64::MAX)] {
            let mut backoff = backoff(100, wait_first, Duration::ZERO);
            assert!(backoff.allows_another().await);
            backoff.failed(None);
            assert!(!backoff.allows_another().await);
            backoff.lost_race(MILLISECOND);
            assert!(!backoff.allows_another().await);
        }
    }

    #[tokio::test]
    async fn a_wait_that_was_asked_for_is_kept_or_too_long() {
        let mut backoff = backoff(100, MILLISECOND, Duration::from_secs(60));
        backoff.failed(Some(Duration::from_secs(120)));
        assert!(!backoff.allows_another().await);
        backoff.failed(Some(50 * MILLISECOND));
        let begun = Instant::now();
        assert!(backoff.allows_another().await);
        assert!(begun.elapsed() >= 50 * MILLISECOND);
    }

    #[test]
    fn waits_after_lost_races_follow_the_attempts_length_and_stop_growing() {
        let mut backoff = backoff(100, 20 * MILLISECOND, Duration::ZERO);
        for (took, longest) in [
            (100, 200),
            (100, 400),
            (100, 800),
            (100, 800),
            (1, 160),
            (5_000, 5_000),
        ] {
            backoff.lost_race(took * MILLISECOND);
            assert_eq!(backoff.next_wait, Some((10 * MILLISECOND, longest * MILLISECOND)));
        }
    }

    #[test]
    fn waits_after_other_failures_double_up_to_the_longest() {
        let mut backoff = backoff(100, 20 * MILLISECOND, Duration::ZERO);
        for longest in [20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000] {
            backoff.failed(None);
            assert_eq!(
                backoff.next_wait,
                Some((longest * MILLISECOND / 2, longest * MILLISECOND))
            );
        }
    }
}
