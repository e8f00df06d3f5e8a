//! Writes a table's metadata as JSON without copying it.
//!
//! iceberg-rust copies the metadata before it writes it, including every snapshot's summary. That is tens of
//! thousands of strings per commit for a table with hundreds of snapshots. This module copies nothing, and
//! reuses the text of the snapshots that the last file had. The JSON reads back as the same metadata (Iceberg
//! spec: "Table Metadata Fields"). The tests compare it with iceberg-rust's.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use iceberg::spec::{
    EncryptedKey, FormatVersion, MetadataLog, PartitionSpec, PartitionStatisticsFile, Schema, Snapshot,
    SnapshotLog, SnapshotRef, SortOrder, StatisticsFile, Summary, TableMetadata,
};
use serde::Serialize;

use super::references::References;

/// Approximate sizes of one of our snapshots, and of a schema with all the rest. A buffer that is too large
/// costs less than growing it.
const SNAPSHOT_BYTES: usize = 1024;
const REST_BYTES: usize = 32 * 1024;

/// Metadata in JSON.
#[derive(Debug, Clone)]
pub(super) struct Json {
    /// The whole JSON text.
    pub(super) text: Bytes,
    /// All branches and tags in it, if they are known.
    pub(super) references: Option<Arc<References>>,
    snapshots: Arc<Snapshots>,
}

/// The positions of snapshots in a text.
#[derive(Debug, Default)]
struct Snapshots {
    format_version: Option<FormatVersion>,
    by_id: HashMap<i64, (SnapshotRef, Range<usize>)>,
}

impl Json {
    /// Writes the metadata as JSON. `references` are all of its branches and tags, if they are known. `last`
    /// is the JSON of other metadata of the same table, if there is any.
    ///
    /// # Errors
    /// Those of iceberg-rust, for metadata that has no JSON.
    pub(super) fn of(
        metadata: &TableMetadata,
        references: Option<Arc<References>>,
        last: Option<&Json>,
    ) -> serde_json::Result<Self> {
        let format_version = metadata.format_version();
        let Some(references) = references.filter(|_| format_version > FormatVersion::V1) else {
            return Self::by_iceberg_rust(metadata);
        };
        let mut text = Vec::with_capacity(REST_BYTES + metadata.snapshots().len() * SNAPSHOT_BYTES);
        serde_json::to_writer(&mut text, &Fields::of(metadata, &references))?;
        // The snapshots are the last field of the same object.
        text.pop();
        text.extend_from_slice(br#","snapshots":["#);
        let last = last.filter(|last| last.snapshots.format_version == Some(format_version));
        let mut by_id = HashMap::with_capacity(metadata.snapshots().len());
        for snapshot in in_order(metadata) {
            if !by_id.is_empty() {
                text.push(b',');
            }
            let begin = text.len();
            match last.and_then(|last| last.text_of(snapshot)) {
                Some(known) => text.extend_from_slice(known),
                None => serde_json::to_writer(&mut text, &SnapshotFields::of(snapshot, format_version))?,
            }
            by_id.insert(snapshot.snapshot_id(), (Arc::clone(snapshot), begin..text.len()));
        }
        text.extend_from_slice(b"]}");
        let format_version = Some(format_version);
        Ok(Self {
            text: text.into(),
            references: Some(references),
            snapshots: Arc::new(Snapshots {
                format_version,
                by_id,
            }),
        })
    }

    /// The slow path by iceberg-rust: for a table that was just read, and for format v1, which stores many
    /// fields twice and is no longer used for new tables.
    fn by_iceberg_rust(metadata: &TableMetadata) -> serde_json::Result<Self> {
        let text = serde_json::to_vec(metadata)?;
        let is_v1 = metadata.format_version() == FormatVersion::V1;
        let references = if is_v1 { None } else { References::in_json(&text) };
        Ok(Self {
            text: text.into(),
            references: references.map(Arc::new),
            snapshots: Arc::default(),
        })
    }

    /// The JSON of this snapshot, if it is the same object as the one written here.
    fn text_of(&self, snapshot: &SnapshotRef) -> Option<&[u8]> {
        let (known, place) = self.snapshots.by_id.get(&snapshot.snapshot_id())?;
        Arc::ptr_eq(known, snapshot).then(|| self.text.get(place.clone()))?
    }
}

/// The snapshots in the order of their creation, as other writers store them.
fn in_order(metadata: &TableMetadata) -> Vec<&SnapshotRef> {
    let mut snapshots: Vec<&SnapshotRef> = metadata.snapshots().collect();
    snapshots.sort_by_cached_key(|snapshot| (snapshot.sequence_number(), snapshot.snapshot_id()));
    snapshots
}

/// The fields of formats v2 and v3 without the snapshots. Fields that v2 lacks are empty there.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Fields<'a> {
    format_version: FormatVersion,
    table_uuid: String,
    location: &'a str,
    last_sequence_number: i64,
    last_updated_ms: i64,
    last_column_id: i32,
    current_schema_id: i32,
    schemas: Vec<&'a Schema>,
    default_spec_id: i32,
    partition_specs: Vec<&'a PartitionSpec>,
    last_partition_id: i32,
    default_sort_order_id: i64,
    sort_orders: Vec<&'a SortOrder>,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    properties: &'a HashMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_snapshot_id: Option<i64>,
    refs: &'a References,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statistics: Vec<&'a StatisticsFile>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partition_statistics: Vec<&'a PartitionStatisticsFile>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    snapshot_log: &'a [SnapshotLog],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    metadata_log: &'a [MetadataLog],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_row_id: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    encryption_keys: Vec<&'a EncryptedKey>,
}

impl<'a> Fields<'a> {
    fn of(metadata: &'a TableMetadata, references: &'a References) -> Self {
        let is_v3 = metadata.format_version() >= FormatVersion::V3;
        Self {
            format_version: metadata.format_version(),
            table_uuid: metadata.uuid().to_string(),
            location: metadata.location(),
            last_sequence_number: metadata.last_sequence_number(),
            last_updated_ms: metadata.last_updated_ms(),
            last_column_id: metadata.last_column_id(),
            current_schema_id: metadata.current_schema_id(),
            schemas: metadata.schemas_iter().map(AsRef::as_ref).collect(),
            default_spec_id: metadata.default_partition_spec_id(),
            partition_specs: metadata.partition_specs_iter().map(AsRef::as_ref).collect(),
            last_partition_id: metadata.last_partition_id(),
            default_sort_order_id: metadata.default_sort_order_id(),
            sort_orders: metadata.sort_orders_iter().map(AsRef::as_ref).collect(),
            properties: metadata.properties(),
            current_snapshot_id: metadata.current_snapshot_id(),
            refs: references,
            statistics: metadata.statistics_iter().collect(),
            partition_statistics: metadata.partition_statistics_iter().collect(),
            snapshot_log: metadata.history(),
            metadata_log: metadata.metadata_log(),
            next_row_id: is_v3.then(|| metadata.next_row_id()),
            encryption_keys: metadata.encryption_keys_iter().filter(|_| is_v3).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SnapshotFields<'a> {
    snapshot_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_snapshot_id: Option<i64>,
    sequence_number: i64,
    timestamp_ms: i64,
    manifest_list: &'a str,
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_row_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
}

impl<'a> SnapshotFields<'a> {
    fn of(snapshot: &'a Snapshot, format_version: FormatVersion) -> Self {
        let is_v3 = format_version >= FormatVersion::V3;
        Self {
            snapshot_id: snapshot.snapshot_id(),
            parent_snapshot_id: snapshot.parent_snapshot_id(),
            sequence_number: snapshot.sequence_number(),
            timestamp_ms: snapshot.timestamp_ms(),
            manifest_list: snapshot.manifest_list(),
            summary: snapshot.summary(),
            schema_id: snapshot.schema_id(),
            first_row_id: snapshot.first_row_id().filter(|_| is_v3),
            added_rows: snapshot.added_rows_count().filter(|_| is_v3),
            key_id: snapshot.encryption_key_id().filter(|_| is_v3),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A table with a value in every field of its format.
    fn everything(version: u8) -> TableMetadata {
        let snapshot = |id: i64, parent: Option<i64>| {
            let mut snapshot = json!({
                "snapshot-id": id, "sequence-number": id, "timestamp-ms": id * 1_000, "schema-id": 1,
                "manifest-list": format!("file:///t/metadata/snap-{id}.avro"),
                "summary": {"operation": "overwrite", "total-records": "7", "a \"quoted\" \u{1F980}": "\n"},
            });
            if let Some(parent) = parent {
                snapshot["parent-snapshot-id"] = parent.into();
            }
            if version == 1 {
                snapshot["sequence-number"].take();
            }
            if version == 3 {
                snapshot["first-row-id"] = ((id - 1) * 10).into();
                snapshot["added-rows"] = 10.into();
                snapshot["key-id"] = "key".into();
            }
            snapshot
        };
        let fields = json!([{"id": 1, "name": "a", "required": true, "type": "long", "doc": "b"},
            {"id": 2, "name": "m", "required": false, "type": {"type": "map", "key-id": 3, "key": "string",
                "value-id": 4, "value-required": false, "value": "string"}}]);
        let mut table = json!({
            "format-version": version,
            "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
            "location": "file:///t",
            "last-updated-ms": 3_000, "last-column-id": 4, "current-schema-id": 1,
            "schemas": [
                {"type": "struct", "schema-id": 0, "fields": []},
                {"type": "struct", "schema-id": 1, "identifier-field-ids": [1], "fields": fields},
            ],
            "default-spec-id": 1,
            "partition-specs": [{"spec-id": 0, "fields": []}, {"spec-id": 1, "fields": [
                {"source-id": 1, "field-id": 1000, "name": "a_bucket", "transform": "bucket[4]"}]}],
            "last-partition-id": 1000,
            "default-sort-order-id": 1,
            "sort-orders": [{"order-id": 0, "fields": []}, {"order-id": 1, "fields": [
                {"source-id": 1, "transform": "identity", "direction": "desc", "null-order": "nulls-last"}]}],
            "properties": {"write.metadata.previous-versions-max": "3"},
            "current-snapshot-id": 3,
            "snapshots": [snapshot(3, Some(2)), snapshot(1, None), snapshot(2, Some(1))],
            "snapshot-log": [{"snapshot-id": 2, "timestamp-ms": 2_000}, {"snapshot-id": 3, "timestamp-ms": 3_000}],
            "metadata-log": [{"metadata-file": "file:///t/metadata/1.metadata.json", "timestamp-ms": 1_500}],
            "statistics": [{"snapshot-id": 2, "statistics-path": "file:///t/metadata/s.puffin",
                "file-size-in-bytes": 9, "file-footer-size-in-bytes": 1, "key-metadata": "a2V5",
                "blob-metadata": [{"type": "apache-datasketches-theta-v1", "snapshot-id": 2,
                    "sequence-number": 2, "fields": [1], "properties": {"ndv": "4"}}]}],
            "partition-statistics": [{"snapshot-id": 1, "statistics-path": "file:///t/metadata/p.parquet",
                "file-size-in-bytes": 9}],
        });
        if version > 1 {
            table["last-sequence-number"] = 3.into();
            table["refs"] = json!({
                "main": {"snapshot-id": 3, "type": "branch", "min-snapshots-to-keep": 5,
                    "max-snapshot-age-ms": 6, "max-ref-age-ms": 7},
                "side": {"snapshot-id": 2, "type": "branch"},
                "release": {"snapshot-id": 1, "type": "tag", "max-ref-age-ms": 8},
            });
        }
        if version == 3 {
            table["next-row-id"] = 30.into();
            table["encryption-keys"] = json!([{"key-id": "key", "encrypted-key-metadata": "a2V5",
                "encrypted-by-id": "other", "properties": {"a": "b"}}]);
        }
        serde_json::from_value(table).expect("a table")
    }

    /// A table without any changes or snapshots.
    fn nothing(version: u8) -> TableMetadata {
        serde_json::from_value(json!({
            "format-version": version,
            "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
            "location": "file:///t",
            "last-sequence-number": 0, "last-updated-ms": 0, "last-column-id": 0, "next-row-id": 0,
            "current-schema-id": 0, "schemas": [{"type": "struct", "schema-id": 0, "fields": []}],
            "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "last-partition-id": 999,
            "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}],
        }))
        .expect("a table")
    }

    /// The JSON with its lists in a fixed order. iceberg-rust's order differs each time.
    fn in_order(json: &[u8]) -> Value {
        let mut value: Value = serde_json::from_slice(json).expect("JSON");
        for list in value
            .as_object_mut()
            .expect("fields")
            .values_mut()
            .filter_map(Value::as_array_mut)
        {
            list.sort_by_key(ToString::to_string);
        }
        value
    }

    fn json(metadata: &TableMetadata, last: Option<&Json>) -> Json {
        let references = References::of(metadata).map(Arc::new);
        Json::of(metadata, references, last).expect("written")
    }

    fn read(json: &Json) -> TableMetadata {
        serde_json::from_slice(&json.text).expect("read")
    }

    fn ids(json: &Json) -> Vec<Option<i64>> {
        let value: Value = serde_json::from_slice(&json.text).expect("JSON");
        let snapshots = value["snapshots"].as_array().expect("snapshots");
        snapshots
            .iter()
            .map(|snapshot| snapshot["snapshot-id"].as_i64())
            .collect()
    }

    #[test]
    fn what_is_written_is_what_iceberg_rust_writes() {
        for metadata in [1, 2, 3].map(everything) {
            let ours = json(&metadata, None);
            assert_eq!(read(&ours), metadata);
            let theirs = serde_json::to_vec(&metadata).expect("written");
            assert_eq!(in_order(&ours.text), in_order(&theirs));
        }
        for metadata in [2, 3].map(nothing) {
            assert_eq!(read(&json(&metadata, None)), metadata);
        }
    }

    #[test]
    fn snapshots_are_in_the_order_in_which_they_were_made() {
        assert_eq!(ids(&json(&everything(2), None)), [1, 2, 3].map(Some));
    }

    #[test]
    fn what_the_last_file_had_is_taken_from_it() {
        for version in [2, 3] {
            let before = everything(version);
            let last = json(&before, None);
            let snapshot = Snapshot::builder()
                .with_snapshot_id(4)
                .with_parent_snapshot_id(Some(3))
                .with_sequence_number(4)
                .with_timestamp_ms(4_000)
                .with_manifest_list("file:///t/metadata/snap-4.avro")
                .with_summary(before.snapshots().next().expect("one").summary().clone())
                .with_row_range(30, 10)
                .build();
            let after = before
                .into_builder(None)
                .set_branch_snapshot(snapshot, "main")
                .map(|builder| builder.remove_snapshots(&[1]))
                .and_then(iceberg::spec::TableMetadataBuilder::build)
                .expect("built")
                .metadata;
            let next = json(&after, Some(&last));
            assert_eq!(ids(&next), [2, 3, 4].map(Some));
            assert_eq!(in_order(&next.text), in_order(&json(&after, None).text));
            let known = after
                .snapshot_by_id(3)
                .and_then(|snapshot| next.text_of(snapshot));
            let first = after
                .snapshot_by_id(3)
                .and_then(|snapshot| last.text_of(snapshot));
            assert!(known.is_some() && known == first);
        }
    }

    /// The last JSON may be that of another table, or of the same table after it was registered again.
    #[test]
    fn what_is_of_another_snapshot_is_not_taken() {
        let last = json(&everything(2), None);
        let mut changed = serde_json::to_value(everything(2)).expect("JSON");
        for snapshot in changed["snapshots"].as_array_mut().expect("snapshots") {
            snapshot["manifest-list"] = "file:///elsewhere.avro".into();
        }
        let changed: TableMetadata = serde_json::from_value(changed).expect("a table");
        assert_eq!(read(&json(&changed, Some(&last))), changed);
    }

    #[test]
    fn what_is_of_another_format_is_not_taken() {
        let last = json(&everything(2), None);
        let upgraded = everything(2)
            .into_builder(None)
            .upgrade_format_version(FormatVersion::V3)
            .and_then(iceberg::spec::TableMetadataBuilder::build)
            .expect("upgraded")
            .metadata;
        let next = json(&upgraded, Some(&last));
        assert_eq!(in_order(&next.text), in_order(&json(&upgraded, None).text));
    }
}
