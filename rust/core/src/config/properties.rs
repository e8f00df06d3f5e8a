//! `tables.properties`: what Iceberg, and whoever reads the table, makes of them.

use std::collections::BTreeMap;

use iceberg::spec::TableProperties;

/// Properties of Iceberg that are whole numbers from 0 on ("Table Properties" of its documentation), as far as we go by them.
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
/// Those that are true or false.
const BOOLEANS: [&str; 5] = [
    "commit.manifest-merge.enabled",
    "gc.enabled",
    "write.metadata.delete-after-commit.enabled",
    "write.object-storage.enabled",
    "write.object-storage.partitioned-paths",
];

/// Adds what is wrong with properties, each with its key. Java's catalogs pass reserved ones over without a word, so whoever sets
/// them is told everywhere; and a value that nobody can read would be taken for its default here, and for an error there.
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
        for (key, value, told) in [
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
            ("format-version", "v2", "1, 2 or 3"),
            ("uuid", "x", "reserved"),
        ] {
            let problem = problem(key, value).expect(key);
            assert!(problem.contains(told), "{key}: {problem}");
        }
        for (key, value) in [
            ("history.expire.max-snapshot-age-ms", "0"),
            ("commit.retry.num-retries", "4"),
            ("gc.enabled", "TRUE"),
            ("owner", "ops"),
            ("write.parquet.compression-codec", "zstd"),
        ] {
            assert_eq!(problem(key, value), None, "{key}");
        }
    }
}
