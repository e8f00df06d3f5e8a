//! The snapshot summary of an append, as Java's `SnapshotSummary` and `SnapshotProducer` write it.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{Operation, Summary, TableMetadata};

use super::Files;
use super::ids::COMMIT_IDS;

/// How many manifests of the snapshot are new, carried over, and merged into new ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ManifestCounts {
    pub(super) created: usize,
    pub(super) kept: usize,
    pub(super) replaced: usize,
}

/// The summary of a snapshot that adds `files` to the table.
pub(super) fn append_summary(
    metadata: &TableMetadata,
    files: &[Files],
    ids_text: String,
    manifests: ManifestCounts,
) -> Summary {
    let mut properties: HashMap<String, String> = HashMap::new();
    let mut set = |key: &str, value: String| properties.insert(key.to_owned(), value);
    let added = Added::of(metadata, files);
    set("engine-name", "otlp2iceberg".to_owned());
    set("engine-version", env!("CARGO_PKG_VERSION").to_owned());
    if !ids_text.is_empty() {
        set(COMMIT_IDS, ids_text);
    }
    set("added-data-files", added.files.to_string());
    set("added-records", added.records.to_string());
    set("added-files-size", added.bytes.to_string());
    set("changed-partition-count", added.partitions.to_string());
    set("manifests-created", manifests.created.to_string());
    set("manifests-kept", manifests.kept.to_string());
    set("manifests-replaced", manifests.replaced.to_string());
    for (key, added) in [
        ("total-data-files", added.files),
        ("total-records", added.records),
        ("total-files-size", added.bytes),
        ("total-delete-files", 0),
        ("total-position-deletes", 0),
        ("total-equality-deletes", 0),
    ] {
        if let Some(total) = previous_total(metadata, key).and_then(|total| total.checked_add(added)) {
            set(key, total.to_string());
        }
    }
    Summary {
        operation: Operation::Append,
        additional_properties: properties,
    }
}

/// What the files add.
struct Added {
    files: u64,
    records: u64,
    bytes: u64,
    partitions: usize,
}

impl Added {
    fn of(metadata: &TableMetadata, groups: &[Files]) -> Self {
        let mut added = Added {
            files: 0,
            records: 0,
            bytes: 0,
            partitions: 0,
        };
        let mut partitions = HashSet::new();
        for group in groups {
            let spec = metadata.partition_spec_by_id(group.partition_spec_id);
            for file in &group.files {
                added.files += 1;
                added.records += file.record_count();
                added.bytes += file.file_size_in_bytes();
                // Java counts paths; a table without partitions has one, which is empty.
                partitions.insert(spec.map_or_else(String::new, |spec| {
                    spec.partition_to_path(file.partition(), metadata.current_schema().clone())
                }));
            }
        }
        added.partitions = partitions.len();
        added
    }
}

/// The parent's total: 0 without a parent, and unknown if the parent's writer did not keep it.
fn previous_total(metadata: &TableMetadata, key: &str) -> Option<u64> {
    match metadata.current_snapshot() {
        None => Some(0),
        Some(parent) => parent.summary().additional_properties.get(key)?.parse().ok(),
    }
}
