//! Checks `tables.properties` by the rules of Iceberg and of the table's readers.

use std::collections::BTreeMap;

use iceberg::spec::TableProperties;

use crate::table_properties::{
    BLOOM_FILTER_MAX_BYTES, DICT_SIZE_BYTES, FORMAT_VERSION, GC_ENABLED, MANIFEST_MERGE_ENABLED,
    MANIFEST_MIN_COUNT_TO_MERGE, MANIFEST_TARGET_SIZE_BYTES, MAX_REF_AGE_MS, MAX_SNAPSHOT_AGE_MS,
    METADATA_DELETE_AFTER_COMMIT_ENABLED, METADATA_PREVIOUS_VERSIONS_MAX, MIN_SNAPSHOTS_TO_KEEP, NUM_RETRIES,
    OBJECT_STORAGE_ENABLED, OBJECT_STORAGE_PARTITIONED_PATHS, PAGE_ROW_LIMIT, PAGE_SIZE_BYTES,
    RETRY_MAX_WAIT_MS, RETRY_MIN_WAIT_MS, RETRY_TOTAL_TIMEOUT_MS, ROW_GROUP_SIZE_BYTES,
    TARGET_FILE_SIZE_BYTES,
};

/// Iceberg properties with non-negative integer values ("Table Properties" of its documentation), as far as
/// we use them.
const NUMBERS: [&str; 16] = [
    MANIFEST_MIN_COUNT_TO_MERGE,
    MANIFEST_TARGET_SIZE_BYTES,
    RETRY_MAX_WAIT_MS,
    RETRY_MIN_WAIT_MS,
    NUM_RETRIES,
    RETRY_TOTAL_TIMEOUT_MS,
    MAX_REF_AGE_MS,
    MAX_SNAPSHOT_AGE_MS,
    MIN_SNAPSHOTS_TO_KEEP,
    METADATA_PREVIOUS_VERSIONS_MAX,
    BLOOM_FILTER_MAX_BYTES,
    DICT_SIZE_BYTES,
    PAGE_ROW_LIMIT,
    PAGE_SIZE_BYTES,
    ROW_GROUP_SIZE_BYTES,
    TARGET_FILE_SIZE_BYTES,
];
/// Iceberg properties with boolean values.
const BOOLEANS: [&str; 5] = [
    MANIFEST_MERGE_ENABLED,
    GC_ENABLED,
    METADATA_DELETE_AFTER_COMMIT_ENABLED,
    OBJECT_STORAGE_ENABLED,
    OBJECT_STORAGE_PARTITIONED_PATHS,
];

/// Adds the problems of properties, each with its key. Java's catalogs silently ignore reserved properties,
/// so setting one is reported for every catalog. An invalid value would be treated as the default by some
/// software, and as an error by other software. An empty value leaves the property out of new tables.
pub(super) fn problems(properties: &BTreeMap<String, String>, problems: &mut Vec<String>) {
    for (key, value) in properties {
        if let Some(problem) = problem(key, value) {
            problems.push(format!("tables.properties.{key}: {problem}"));
        }
    }
}

fn problem(key: &str, value: &str) -> Option<String> {
    if key == FORMAT_VERSION {
        let is_version = matches!(value, "1" | "2" | "3");
        return (!is_version).then(|| format!("{value:?} is no format version; give 1, 2 or 3"));
    }
    if TableProperties::RESERVED_PROPERTIES.contains(&key) {
        return Some("is reserved by Iceberg; the catalog sets it".to_owned());
    }
    if value.is_empty() {
        return None;
    }
    if NUMBERS.contains(&key) {
        let is_number = value.parse::<i64>().is_ok_and(|number| number >= 0);
        let unit = match key.rsplit('-').next() {
            Some("ms") => " of milliseconds, such as \"3600000\"",
            Some("bytes") => " of bytes",
            _ => "",
        };
        return (!is_number).then(|| format!("{value:?} is no number; give one{unit}"));
    }
    if BOOLEANS.contains(&key) {
        let is_boolean = ["true", "false"]
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word));
        return (!is_boolean).then(|| format!("{value:?} is neither true nor false"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_nobody_can_read_are_told() {
        for (key, value, text) in [
            (
                "history.expire.max-snapshot-age-ms",
                "1h",
                "no number; give one of milliseconds",
            ),
            (
                "history.expire.min-snapshots-to-keep",
                "-1",
                "no number; give one",
            ),
            (
                "write.target-file-size-bytes",
                "abc",
                "no number; give one of bytes",
            ),
            ("gc.enabled", "no", "neither true nor false"),
            ("commit.retry.num-retries", " 4", "no number; give one"),
            ("commit.retry.num-retries", " ", "no number; give one"),
            ("format-version", "v2", "1, 2 or 3"),
            ("format-version", "", "1, 2 or 3"),
            ("uuid", "x", "reserved"),
            ("uuid", "", "reserved"),
        ] {
            let problem = problem(key, value).expect(key);
            assert!(problem.contains(text), "{key}: {problem}");
        }
        for (key, value) in [
            ("history.expire.max-snapshot-age-ms", "0"),
            ("commit.retry.num-retries", "4"),
            ("gc.enabled", "TRUE"),
            ("owner", "ops"),
            ("write.parquet.compression-codec", "zstd"),
            ("write.parquet.compression-codec", ""),
            ("write.target-file-size-bytes", ""),
            ("gc.enabled", ""),
        ] {
            assert_eq!(problem(key, value), None, "{key}");
        }
    }
}
