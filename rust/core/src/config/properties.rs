//! Checks `tables.properties` by the rules of Iceberg and of the table's readers.

use std::collections::BTreeMap;

use iceberg::spec::TableProperties;

/// Iceberg properties with non-negative integer values ("Table Properties" of its documentation), as far as
/// we use them.
const NUMBERS: [&str; 16] = [
    "commit.manifest.min-count-to-merge",
    "commit.manifest.target-size-bytes",
    "commit.retry.max-wait-ms",
    "commit.retry.min-wait-ms",
    "commit.retry.num-retries",
    "commit.retry.total-timeout-ms",
    "history.expire.max-ref-age-ms",
    "history.expire.max-snapshot-age-ms",
    "history.expire.min-snapshots-to-keep",
    "write.metadata.previous-versions-max",
    "write.parquet.bloom-filter-max-bytes",
    "write.parquet.dict-size-bytes",
    "write.parquet.page-row-limit",
    "write.parquet.page-size-bytes",
    "write.parquet.row-group-size-bytes",
    "write.target-file-size-bytes",
];
/// Iceberg properties with boolean values.
const BOOLEANS: [&str; 5] = [
    "commit.manifest-merge.enabled",
    "gc.enabled",
    "write.metadata.delete-after-commit.enabled",
    "write.object-storage.enabled",
    "write.object-storage.partitioned-paths",
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
    if key == TableProperties::PROPERTY_FORMAT_VERSION {
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
