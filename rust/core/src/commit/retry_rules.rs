//! The rules for commit retries: `commit.max_retries`, then the table's `commit.retry.*` properties, then our
//! defaults. `backoff` applies them.

use std::time::Duration;

use iceberg::spec::TableMetadata;

use crate::config::CommitConfig;

const NUM_RETRIES: &str = "commit.retry.num-retries";
const MIN_WAIT: &str = "commit.retry.min-wait-ms";
const MAX_WAIT: &str = "commit.retry.max-wait-ms";
const TOTAL_TIMEOUT: &str = "commit.retry.total-timeout-ms";

/// Maximum wait before the second attempt, after a quick failure.
const WAIT_FIRST: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The retry rules of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetryRules {
    /// Number of attempts after the first.
    pub(super) retries_max: u32,
    /// A wait is at least half as long.
    pub(super) wait_first: Duration,
    /// No wait is longer.
    pub(super) wait_max: Duration,
    /// No attempt begins later than this after the first. The caller's deadline applies as well.
    pub(super) time_max: Option<Duration>,
}

impl RetryRules {
    pub(super) fn of(config: &CommitConfig, metadata: &TableMetadata) -> Self {
        let number = |key: &str| -> Option<u64> { metadata.properties().get(key)?.trim().parse().ok() };
        let wait = |key: &str| number(key).map(Duration::from_millis);
        let in_table = number(NUM_RETRIES).map(|retries| u32::try_from(retries).unwrap_or(u32::MAX));
        let wait_first = wait(MIN_WAIT).unwrap_or(WAIT_FIRST);
        Self {
            retries_max: config
                .max_retries
                .or(in_table)
                .unwrap_or(CommitConfig::MAX_RETRIES),
            wait_first,
            wait_max: wait(MAX_WAIT).unwrap_or(WAIT_MAX).max(wait_first),
            time_max: wait(TOTAL_TIMEOUT),
        }
    }
}
