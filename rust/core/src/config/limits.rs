//! `limits`: bounds on the cost of requests.

use std::thread::available_parallelism;

use serde::Deserialize;

/// The greatest number of nesting levels that conversion keeps.
const NESTING_MAX: u32 = 64;
/// A call with more requests may open no more partitions than one with this many.
const REQUESTS_COUNTED_MAX: usize = 10;

/// `limits`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// A batch is closed before a string column exceeds this many bytes. Default 1 GiB, at most 2 GiB - 1.
    pub column_bytes_max: usize,
    /// Rows are encoded when they take this many bytes in memory, over all tables. Default 16 MiB.
    pub batch_bytes_max: usize,
    /// The greatest size of one unmerged request, bytes. Default 1 GiB.
    pub payload_bytes_max: usize,
    /// The greatest total payload bytes of all running calls; further calls wait. Default 512 MiB, 0 is no
    /// limit.
    pub in_flight_bytes_max: usize,
    /// The greatest number of records of one unmerged request. Default 1,000,000, 0 is no limit.
    pub records_per_request_max: u64,
    /// The greatest number of attributes kept in one list. Default 1,024, 0 is no limit.
    pub attributes_max: usize,
    /// The greatest number of bytes kept of one text. Default 16 MiB, 0 is no limit.
    pub value_bytes_max: usize,
    /// The greatest number of levels kept of nested values, 1 to 64. Default 64.
    pub nesting_max: u32,
    /// The greatest number of a table's partition values that one request may open files for. A call with
    /// several requests may open as many for each, for ten requests at most. Default 100.
    pub partitions_max: usize,
    /// The greatest number of calls that convert and encode at the same time. Default: the number of CPUs of
    /// the process, at most 2.
    pub parallel_calls_max: usize,
}

impl LimitsConfig {
    /// The greatest number of a table's partition values that a call with this many requests may open files
    /// for. One call can combine requests of many tenants, or of objects from many hours, so each adds to the
    /// limit, up to ten. Without an upper limit, requests with single records, each with a wrong clock, could
    /// open any number of files.
    #[must_use]
    pub fn partitions_of_call(&self, requests: usize) -> usize {
        self.partitions_max
            .saturating_mul(requests.clamp(1, REQUESTS_COUNTED_MAX))
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            column_bytes_max: 1 << 30,
            batch_bytes_max: 16 << 20,
            payload_bytes_max: 1 << 30,
            in_flight_bytes_max: 512 << 20,
            records_per_request_max: 1_000_000,
            attributes_max: 1_024,
            value_bytes_max: 16 << 20,
            nesting_max: NESTING_MAX,
            partitions_max: 100,
            parallel_calls_max: available_parallelism().map_or(2, |cpus| cpus.get().min(2)),
        }
    }
}

/// Adds the problems of `limits`, each with its key.
pub(super) fn problems(limits: &LimitsConfig, problems: &mut Vec<String>) {
    if !(1 << 16..=i32::MAX as usize).contains(&limits.column_bytes_max) {
        problems.push("limits.column_bytes_max: must be from 65536 to 2147483647 bytes".into());
    }
    if limits.batch_bytes_max < 1 << 20 {
        problems.push("limits.batch_bytes_max: must be at least 1048576 bytes (1 MiB)".into());
    }
    for (key, value, unit) in [
        ("payload_bytes_max", limits.payload_bytes_max, "byte"),
        ("partitions_max", limits.partitions_max, "partition"),
        ("parallel_calls_max", limits.parallel_calls_max, "call"),
    ] {
        if value == 0 {
            problems.push(format!("limits.{key}: must be at least 1 {unit}"));
        }
    }
    if !(1..=NESTING_MAX).contains(&limits.nesting_max) {
        problems.push(format!(
            "limits.nesting_max: must be from 1 to {NESTING_MAX} levels"
        ));
    }
    if (1..1 << 20).contains(&limits.in_flight_bytes_max) {
        problems.push(
            "limits.in_flight_bytes_max: must be at least 1048576 bytes (1 MiB), or 0 for no limit".into(),
        );
    }
}
