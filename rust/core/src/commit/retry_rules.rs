//! The rules for commit retries: `commit.max_retries`, then the table's `commit.retry.*` properties, then our
//! defaults. `backoff` applies them.

use std::time::Duration;

use iceberg::spec::TableMetadata;

use crate::config::CommitConfig;
use crate::table_properties::{
    NUM_RETRIES, Properties, RETRY_MAX_WAIT_MS, RETRY_MIN_WAIT_MS, RETRY_TOTAL_TIMEOUT_MS,
};

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
        let properties = Properties::of(metadata);
        let wait = |key: &str| properties.parsed(key).map(Duration::from_millis);
        let in_table = properties.parsed::<u64>(NUM_RETRIES);
        let in_table = in_table.map(|retries| u32::try_from(retries).unwrap_or(u32::MAX));
        let wait_first = wait(RETRY_MIN_WAIT_MS).unwrap_or(WAIT_FIRST);
        Self {
            retries_max: config
                .max_retries
                .or(in_table)
                .unwrap_or(CommitConfig::MAX_RETRIES),
            wait_first,
            wait_max: wait(RETRY_MAX_WAIT_MS).unwrap_or(WAIT_MAX).max(wait_first),
            time_max: wait(RETRY_TOTAL_TIMEOUT_MS),
        }
    }
}
