//! `compaction`.

use std::time::Duration;

use serde::Deserialize;

use super::{Config, duration};

/// `compaction`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompactionConfig {
    /// Whether small data files are merged in the background, in tables whose old snapshots are expired, by
    /// hosts that can run background work. Never in S3 Tables, where the service does it. Default true.
    pub enabled: bool,
    /// The average interval for examining tables. Default 60 s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// The minimum number of files of similar size in one partition that are merged together. Default 16.
    pub min_files: usize,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(60),
            min_files: 16,
        }
    }
}

/// Every problem of the section.
pub(super) fn problems(config: &Config, problems: &mut Vec<String>) {
    let compaction = &config.compaction;
    if compaction.interval < Duration::from_secs(1) {
        problems.push("compaction.interval: must be at least 1s".into());
    }
    if compaction.min_files < 2 {
        problems.push("compaction.min_files: must be at least 2 files".into());
    }
}
