//! `commit`.

use std::time::Duration;

use serde::Deserialize;

use super::{CatalogType, Config, duration};

/// `commit`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommitConfig {
    /// Minimum time between two commits of a table; files finished in the meantime share the next commit.
    /// Default 0. [`CommitConfig::WAITING_BYTES_MAX`] can shorten it.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// How often a commit that lost a race is retried. If not set, the table's property
    /// `commit.retry.num-retries` applies, else [`CommitConfig::MAX_RETRIES`].
    pub max_retries: Option<u32>,
    /// A request is searched for in at least this many of a table's newest snapshots, not counting our
    /// compactions. Default 500.
    pub dedup_snapshots: usize,
    /// It is also searched for in all snapshots that are at most this much older than the newest. Default 30
    /// min.
    #[serde(deserialize_with = "duration::deserialize")]
    pub dedup_window: Duration,
    /// How a call ends whose files are stored but that the catalog does not commit. Default `retry`.
    pub on_failure: OnFailure,
    /// The interval for looking for a table's receipts. Default 60 s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub receipts_interval: Duration,
    /// Whether commits expire the table's old snapshots if its property `history.expire.max-snapshot-age-ms`
    /// is set. In S3 Tables, which deletes the files, they do so without the property, too. Default true.
    pub expire_snapshots: bool,
}

impl CommitConfig {
    /// The default of `max_retries`.
    pub const MAX_RETRIES: u32 = 100;
    /// A commit stops waiting for its turn when the requests waiting for it have this many bytes: a host
    /// whose queue is full of them accepts no more. It is half of the default queue size of the Collector's
    /// exporter.
    pub const WAITING_BYTES_MAX: u64 = 256 << 20;
    /// `history.expire.max-snapshot-age-ms` of new tables: one hour, or twice `dedup_window`.
    pub(crate) const MAX_SNAPSHOT_AGE: Duration = Duration::from_secs(3_600);

    /// The greatest age of snapshots without other settings, in milliseconds.
    #[must_use]
    pub fn max_snapshot_age_ms(&self) -> i64 {
        let age = Self::MAX_SNAPSHOT_AGE.max(self.dedup_window.saturating_mul(2));
        i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Default for CommitConfig {
    fn default() -> Self {
        Self {
            interval: Duration::ZERO,
            max_retries: None,
            dedup_snapshots: 500,
            dedup_window: Duration::from_secs(30 * 60),
            on_failure: OnFailure::default(),
            receipts_interval: Duration::from_secs(60),
            expire_snapshots: true,
        }
    }
}

/// `commit.on_failure`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The call fails, and the host sends the request again.
    #[default]
    Retry,
    /// The call succeeds as soon as a receipt for its files is stored; the files are committed later.
    Accept,
}

/// Every problem of the section.
pub(super) fn problems(config: &Config, problems: &mut Vec<String>) {
    let commit = &config.commit;
    if commit.dedup_snapshots == 0 {
        problems.push("commit.dedup_snapshots: must be at least 1 snapshot".into());
    }
    if commit.receipts_interval < Duration::from_secs(1) {
        problems.push("commit.receipts_interval: must be at least 1s".into());
    }
    if commit.on_failure == OnFailure::Accept && config.catalog.r#type == CatalogType::None {
        problems.push(
            "commit.on_failure: accept has no meaning here: type none has no catalog that could fail".into(),
        );
    }
    if commit.on_failure == OnFailure::Accept && config.catalog.is_in_s3_tables() {
        problems.push(
            "commit.on_failure: accept does not go with S3 Tables, whose files cannot be listed, so that receipts \
             would not be found again; give retry"
                .into(),
        );
    }
}
