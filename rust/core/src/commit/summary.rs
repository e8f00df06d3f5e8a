//! A snapshot's summary, as Java's `SnapshotSummary` and `SnapshotProducer` write it.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{DataFile, Operation, Snapshot, Summary, TableMetadata};

use super::Files;
use super::carried_ids::CARRIED_IDS;
use super::ids::COMMIT_IDS;

/// The summary property that marks a snapshot as a compaction of ours, which only moved rows to other files.
/// Its value is the table's last sequence number when the replaced files were chosen.
pub(super) const COMPACTION: &str = "otlp2iceberg.compaction";

/// How many manifests of the snapshot are new, kept, and merged into new ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ManifestCounts {
    pub(super) created: usize,
    pub(super) kept: usize,
    pub(super) replaced: usize,
}

/// The summary of a snapshot that adds `files` to the table: an append, or with `removed` a replacement of
/// files that held the same rows.
pub(super) fn summary(
    metadata: &TableMetadata,
    files: &[Files],
    removed: Option<Removed>,
    [ids, carried]: [String; 2],
    manifests: ManifestCounts,
) -> Summary {
    let mut properties: HashMap<String, String> = HashMap::new();
    let mut set = |key: &str, value: String| properties.insert(key.to_owned(), value);
    let (added, partitions) = added(files);
    set("engine-name", "otlp2iceberg".to_owned());
    set("engine-version", env!("CARGO_PKG_VERSION").to_owned());
    for (key, ids) in [(COMMIT_IDS, ids), (CARRIED_IDS, carried)] {
        if !ids.is_empty() {
            set(key, ids);
        }
    }
    set("added-data-files", added.files.to_string());
    set("added-records", added.records.to_string());
    set("added-files-size", added.bytes.to_string());
    set("changed-partition-count", partitions.to_string());
    set("manifests-created", manifests.created.to_string());
    set("manifests-kept", manifests.kept.to_string());
    set("manifests-replaced", manifests.replaced.to_string());
    let mut taken = Totals::default();
    if let Some(removed) = removed {
        taken = removed.totals;
        set(COMPACTION, removed.chosen_at.to_string());
        set("deleted-data-files", taken.files.to_string());
        set("deleted-records", taken.records.to_string());
        set("removed-files-size", taken.bytes.to_string());
    }
    for (key, added, taken) in [
        ("total-data-files", added.files, taken.files),
        ("total-records", added.records, taken.records),
        ("total-files-size", added.bytes, taken.bytes),
        ("total-delete-files", 0, 0),
        ("total-position-deletes", 0, 0),
        ("total-equality-deletes", 0, 0),
    ] {
        let total = previous_total(metadata, key)
            .and_then(|total| total.checked_add(added))
            .and_then(|total| total.checked_sub(taken));
        if let Some(total) = total {
            set(key, total.to_string());
        }
    }
    Summary {
        operation: match removed {
            None => Operation::Append,
            Some(_) => Operation::Replace,
        },
        additional_properties: properties,
    }
}

/// Whether a snapshot is a compaction of ours: it only replaced files with others that have the same rows.
pub(super) fn is_compaction(snapshot: &Snapshot) -> bool {
    let summary = snapshot.summary();
    summary.operation == Operation::Replace && summary.additional_properties.contains_key(COMPACTION)
}

/// The table's last sequence number when a compaction's files were chosen; 0 if it is not recorded.
pub(super) fn chosen_at(compaction: &Snapshot) -> i64 {
    let number = compaction.summary().additional_properties.get(COMPACTION);
    number.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// The replaced files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) totals: Totals,
    /// As [`chosen_at`].
    pub(super) chosen_at: i64,
}

/// Totals of some data files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) files: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Totals {
    pub(super) fn add(&mut self, file: &DataFile) {
        self.files += 1;
        self.records += file.record_count();
        self.bytes += file.file_size_in_bytes();
    }
}

/// The totals of the added files, and their number of partitions.
fn added(groups: &[Files]) -> (Totals, usize) {
    let mut added = Totals::default();
    let mut partitions = HashSet::new();
    for group in groups {
        for file in &group.files {
            added.add(file);
            // A table without partitions has one, which is empty. Java counts paths. iceberg-rust panics on
            // the path of a value from before its column was widened.
            partitions.insert((group.partition_spec_id, file.partition()));
        }
    }
    (added, partitions.len())
}

/// The parent's total: 0 without a parent; `None` if the parent's writer did not record it.
fn previous_total(metadata: &TableMetadata, key: &str) -> Option<u64> {
    match metadata.current_snapshot() {
        None => Some(0),
        Some(parent) => parent.summary().additional_properties.get(key)?.parse().ok(),
    }
}
