//! `compaction`.

use std::time::Duration;

use serde::Deserialize;

use super::{Config, duration};

/// `compaction`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompactionConfig {
    /// Whether small data files are merged in the background, by hosts that have one, in tables whose old snapshots
    /// are expired. Never in S3 Tables, where the service does it. Default true.
    pub enabled: bool,
    /// How often tables are looked at, on average. Default 60 s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// Files of about the same size, in one partition, that are merged at a time at least. Default 16.
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
