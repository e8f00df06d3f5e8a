//! The remaining time of an invocation, and the part of it that the library may use.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reserved for the answer itself: Lambda discards an answer after the deadline.
const ANSWER: Duration = Duration::from_millis(150);

/// The greatest time reserved for a commit to finish; it is less on functions with a short timeout.
const COMMIT_MAX: Duration = Duration::from_secs(2);

/// The time at which Lambda ends the invocation.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// From the invocation's context: milliseconds since the Unix epoch.
    #[must_use]
    pub fn from_unix_ms(deadline_ms: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::after(Duration::from_millis(deadline_ms).saturating_sub(now))
    }

    /// A deadline this long from now; Lambda's longest timeout is 15 minutes.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time.min(Duration::from_secs(3600)))
    }

    /// The deadline of one of `shares` equal shares of the time until the answer must be ready, for work that
    /// is followed by more.
    #[must_use]
    pub fn share(self, shares: u32) -> Self {
        Self(Instant::now() + self.answer_by() / shares)
    }

    /// The total remaining time.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The remaining time until the answer must be ready.
    #[must_use]
    pub fn answer_by(self) -> Duration {
        self.left().saturating_sub(ANSWER)
    }

    /// The remaining time in which a commit may start: a later one could not finish.
    #[must_use]
    pub fn commit_by(self) -> Duration {
        let left = self.answer_by();
        left.saturating_sub(COMMIT_MAX.min(left / 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_commit_begins_in_the_last_seconds() {
        let minute = Deadline::after(Duration::from_secs(60));
        assert!(minute.answer_by() > Duration::from_secs(59) && minute.answer_by() < Duration::from_secs(60));
        let kept = minute.answer_by().saturating_sub(minute.commit_by());
        assert!(
            kept > Duration::from_millis(1900) && kept < Duration::from_millis(2100),
            "{kept:?}"
        );
        assert_eq!(
            Deadline::after(Duration::from_millis(100)).commit_by(),
            Duration::ZERO
        );
        assert_eq!(Deadline::from_unix_ms(0).answer_by(), Duration::ZERO);
    }

    #[test]
    fn a_share_leaves_the_others() {
        let minute = Deadline::after(Duration::from_secs(60));
        for (shares, seconds) in [(1, 59.85), (2, 29.925)] {
            let left = minute.share(shares).left().as_secs_f64();
            assert!(left <= seconds && left > seconds - 1.0, "{left}");
        }
        let nothing = Deadline::after(Duration::from_millis(200)).share(2);
        assert_eq!(nothing.commit_by(), Duration::ZERO);
    }
}
