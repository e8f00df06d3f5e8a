//! The configuration of a seed's exporters.

use crate::random::Random;

/// Drawn once for all exporters of a seed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The keys of `commit`, as JSON without its braces.
    pub commit: String,
    /// `tables`, as JSON.
    pub tables: String,
    /// Whether some of the processes accept receipts (`commit.on_failure: accept`).
    pub receipts: bool,
    /// Part size of multipart uploads, bytes.
    pub part_bytes: Option<usize>,
    /// Whether commits expire old snapshots; a table then has some before the first exporter starts.
    pub expires: bool,
}

/// The number of snapshots created before any faults where snapshots are expired: these are the ones that
/// expire. It is greater than [`WINDOW`], so that any commit may expire some.
pub(crate) const HISTORY: usize = 24;
/// The number of snapshots that are never expired then. It exceeds the number that all exporters together
/// create in one table, since each request may be repeated until it is acknowledged.
const WINDOW: usize = 20;

impl Settings {
    /// The settings of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::labelled(seed, "settings");
        let retries = random.pick(&[0, 1, 3, 10]);
        let interval = random.pick(&["0s", "0s", "50ms", "1s"]);
        let merge = random.pick(&["2", "3", "100"]);
        let partition = random.pick(&["day", "day", "none", "hour"]);
        let expires = random.permille(300);
        let (window, expiry) = if expires {
            let age =
                r#", "history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "1""#;
            (
                format!(r#", "dedup_snapshots": {WINDOW}, "dedup_window": "0s""#),
                age,
            )
        } else {
            (String::new(), "")
        };
        Self {
            commit: format!(r#""max_retries": {retries}, "interval": "{interval}"{window}"#),
            tables: format!(
                r#"{{"partition_by": "{partition}", "properties": {{"commit.manifest.min-count-to-merge": "{merge}"{expiry}}}}}"#
            ),
            receipts: Random::labelled(seed, "receipts").permille(300),
            part_bytes: Random::labelled(seed, "parts").pick(&[
                Some(1_000),
                Some(3_000),
                None,
                None,
                None,
                None,
            ]),
            expires,
        }
    }
}
