//! Properties of tables: their names in Iceberg, and one way to read their values.
//!
//! `docs/tables-found.md` says which of them we honour, and what overrides them.

use std::collections::HashMap;
use std::str::FromStr;

use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, TableMetadata, TableProperties};

pub(crate) const FORMAT_VERSION: &str = TableProperties::PROPERTY_FORMAT_VERSION;
/// Names of columns, for files without field ids.
pub(crate) const NAME_MAPPING: &str = DEFAULT_SCHEMA_NAME_MAPPING;
/// Of a table whose files must be encrypted (format v3).
pub(crate) const ENCRYPTION_KEY: &str = TableProperties::PROPERTY_ENCRYPTION_KEY_ID;
/// False in tables that share their files with another table.
pub(crate) const GC_ENABLED: &str = TableProperties::PROPERTY_GC_ENABLED;

pub(crate) const NUM_RETRIES: &str = TableProperties::PROPERTY_COMMIT_NUM_RETRIES;
pub(crate) const RETRY_MIN_WAIT_MS: &str = TableProperties::PROPERTY_COMMIT_MIN_RETRY_WAIT_MS;
pub(crate) const RETRY_MAX_WAIT_MS: &str = TableProperties::PROPERTY_COMMIT_MAX_RETRY_WAIT_MS;
pub(crate) const RETRY_TOTAL_TIMEOUT_MS: &str = TableProperties::PROPERTY_COMMIT_TOTAL_RETRY_TIME_MS;
pub(crate) const MANIFEST_MERGE_ENABLED: &str = "commit.manifest-merge.enabled";
pub(crate) const MANIFEST_MIN_COUNT_TO_MERGE: &str = "commit.manifest.min-count-to-merge";
pub(crate) const MANIFEST_TARGET_SIZE_BYTES: &str = "commit.manifest.target-size-bytes";

pub(crate) const MAX_REF_AGE_MS: &str = TableProperties::PROPERTY_MAX_REF_AGE_MS;
pub(crate) const MAX_SNAPSHOT_AGE_MS: &str = TableProperties::PROPERTY_MAX_SNAPSHOT_AGE_MS;
pub(crate) const MIN_SNAPSHOTS_TO_KEEP: &str = TableProperties::PROPERTY_MIN_SNAPSHOTS_TO_KEEP;

/// The folder of data files. The next two are its deprecated predecessors.
pub(crate) const DATA_PATH: &str = "write.data.path";
pub(crate) const FOLDER_STORAGE_PATH: &str = "write.folder-storage.path";
pub(crate) const OBJECT_STORAGE_PATH: &str = "write.object-storage.path";
pub(crate) const OBJECT_STORAGE_ENABLED: &str = "write.object-storage.enabled";
pub(crate) const OBJECT_STORAGE_PARTITIONED_PATHS: &str = "write.object-storage.partitioned-paths";

/// The folder of metadata files, manifests and manifest lists.
pub(crate) const METADATA_PATH: &str = "write.metadata.path";
pub(crate) const METADATA_DELETE_AFTER_COMMIT_ENABLED: &str = "write.metadata.delete-after-commit.enabled";
pub(crate) const METADATA_PREVIOUS_VERSIONS_MAX: &str =
    TableProperties::PROPERTY_METADATA_PREVIOUS_VERSIONS_MAX;
pub(crate) const METRICS_DEFAULT: &str = "write.metadata.metrics.default";
/// A column's name follows, as after every prefix here.
pub(crate) const METRICS_COLUMN_PREFIX: &str = "write.metadata.metrics.column.";

pub(crate) const TARGET_FILE_SIZE_BYTES: &str = TableProperties::PROPERTY_WRITE_TARGET_FILE_SIZE_BYTES;
pub(crate) const COMPRESSION_CODEC: &str = "write.parquet.compression-codec";
pub(crate) const COMPRESSION_LEVEL: &str = "write.parquet.compression-level";
pub(crate) const ROW_GROUP_SIZE_BYTES: &str = "write.parquet.row-group-size-bytes";
pub(crate) const PAGE_SIZE_BYTES: &str = "write.parquet.page-size-bytes";
pub(crate) const PAGE_ROW_LIMIT: &str = "write.parquet.page-row-limit";
pub(crate) const DICT_SIZE_BYTES: &str = "write.parquet.dict-size-bytes";
pub(crate) const BLOOM_FILTER_ENABLED_PREFIX: &str = "write.parquet.bloom-filter-enabled.column.";
pub(crate) const BLOOM_FILTER_FPP_PREFIX: &str = "write.parquet.bloom-filter-fpp.column.";
pub(crate) const BLOOM_FILTER_MAX_BYTES: &str = "write.parquet.bloom-filter-max-bytes";

/// A table's properties. Spaces around a value do not count. Paths are not read here: Java takes them as they
/// are, and so do we, because files must be where other writers look for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Properties<'a>(&'a HashMap<String, String>);

impl<'a> Properties<'a> {
    pub(crate) fn of(metadata: &'a TableMetadata) -> Self {
        Self(metadata.properties())
    }

    pub(crate) fn text(self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(|value| value.trim())
    }

    /// `None` also if the value cannot be read.
    pub(crate) fn parsed<T: FromStr>(self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// As [`Properties::parsed`]; `None` also if the number is not above zero.
    pub(crate) fn positive<T: FromStr + PartialOrd + Default>(self, key: &str) -> Option<T> {
        self.parsed(key).filter(|value| *value > T::default())
    }

    /// `default` applies only if the table does not have the property.
    pub(crate) fn flag(self, key: &str, default: bool) -> bool {
        self.text(key).map_or(default, is_true)
    }

    /// The columns that properties with this prefix name, with their values.
    pub(crate) fn columns(self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.trim())))
    }
}

/// Whether a boolean value is true: `true` in any case. As in Java, every other text is false.
pub(crate) fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are those of Java's `PropertyUtil.propertyAsBoolean`, but for the spaces.
    #[test]
    fn flags_are_read_as_in_java() {
        for (value, expected) in [
            ("true", true),
            ("TRUE", true),
            (" True ", true),
            ("false", false),
            ("False", false),
            ("no", false),
            ("0", false),
            ("1", false),
            ("", false),
        ] {
            let properties = HashMap::from([(GC_ENABLED.to_owned(), value.to_owned())]);
            for default in [true, false] {
                let found = Properties(&properties).flag(GC_ENABLED, default);
                assert_eq!(found, expected, "{value:?}, by default {default}");
            }
        }
        let none = HashMap::new();
        for default in [true, false] {
            assert_eq!(Properties(&none).flag(GC_ENABLED, default), default);
        }
    }

    #[test]
    fn what_cannot_be_read_counts_as_absent() {
        for (value, parsed, positive) in [
            (" 12 ", Some(12), Some(12)),
            ("0", Some(0), None),
            ("-1", Some(-1), None),
            ("1h", None, None),
            ("", None, None),
        ] {
            let properties = HashMap::from([(PAGE_ROW_LIMIT.to_owned(), value.to_owned())]);
            let properties = Properties(&properties);
            assert_eq!(properties.parsed::<i64>(PAGE_ROW_LIMIT), parsed, "{value:?}");
            assert_eq!(properties.positive::<i64>(PAGE_ROW_LIMIT), positive, "{value:?}");
        }
    }
}
