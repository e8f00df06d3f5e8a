//! Format versions 1, 2 and 3, tables that were upgraded, and tables whose partitioning changed.

use std::collections::HashMap;

use iceberg::TableUpdate;
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, FormatVersion, Literal, ManifestContentType,
    ManifestFile, ManifestListWriter, ManifestWriterBuilder, Operation, Snapshot, SnapshotReference,
    SnapshotRetention, Summary, Transform, UNASSIGNED_SEQUENCE_NUMBER, UnboundPartitionField,
    UnboundPartitionSpec,
};
use otlp2iceberg::RetryClass;
use otlp2iceberg::catalog::LoadedTable;

use super::support::{changed, export, loaded, open, stored, values};
use crate::commit_support::{Warehouse, entries, manifests};

fn with_version(version: u8) -> Warehouse {
    Warehouse::with(&format!(r#"{{"properties": {{"format-version": "{version}"}}}}"#))
}

fn upgrade(format_version: FormatVersion) -> Vec<TableUpdate> {
    vec![TableUpdate::UpgradeFormatVersion { format_version }]
}

/// `(first row id, rows)` of the data manifests, oldest first.
async fn row_ranges(table: &LoadedTable) -> Vec<(Option<u64>, u64)> {
    let mut ranges: Vec<_> = manifests(table)
        .await
        .iter()
        .filter(|manifest| manifest.content == ManifestContentType::Data)
        .map(|manifest| {
            let rows = manifest.added_rows_count.unwrap() + manifest.existing_rows_count.unwrap();
            (manifest.first_row_id, rows)
        })
        .collect();
    ranges.sort();
    ranges
}

#[tokio::test]
async fn tables_of_each_format_version_take_rows() {
    for version in 1..=3 {
        let warehouse = with_version(version);
        stored(&warehouse, 1, &["a", "b"]).await;
        stored(&warehouse, 2, &["c"]).await;
        let table = loaded(&warehouse).await;
        assert_eq!(table.metadata.format_version() as u8, version);
        assert_eq!(values(&table, "Body").await, ["a", "b", "c"], "version {version}");
        let snapshot = table.metadata.current_snapshot().unwrap();
        let expected = if version == 1 { 0 } else { 2 };
        assert_eq!(snapshot.sequence_number(), expected, "version {version}");
        let sequence_numbers: Vec<Option<i64>> = entries(&table)
            .await
            .values()
            .map(|entry| entry.sequence_number())
            .collect();
        let mut sorted = sequence_numbers.clone();
        sorted.sort();
        let expected = if version == 1 {
            [Some(0), Some(0)]
        } else {
            [Some(1), Some(2)]
        };
        assert_eq!(sorted, expected, "version {version}");
    }
}

/// What a reader that knows only version 1 expects (spec, "Appendix C", and Java's `V1Metadata`).
#[tokio::test]
async fn manifests_of_version_1_have_what_version_1_requires_and_nothing_else() {
    let warehouse = with_version(1);
    stored(&warehouse, 1, &["a"]).await;
    let table = loaded(&warehouse).await;
    let text = |path: &str| {
        let path = path.strip_prefix("file://").unwrap().to_owned();
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
    };
    let list = text(table.metadata.current_snapshot().unwrap().manifest_list());
    let manifest = text(&manifests(&table).await[0].manifest_path);
    for name in ["added_data_files_count", "added_snapshot_id"] {
        assert!(list.contains(&format!(r#""name":"{name}""#)), "{name}");
    }
    for name in ["block_size_in_bytes", "snapshot_id", "file_path"] {
        assert!(manifest.contains(&format!(r#""name":"{name}""#)), "{name}");
    }
    for name in [
        "sequence_number",
        "min_sequence_number",
        "content",
        "first_row_id",
    ] {
        let field = format!(r#""name":"{name}""#);
        assert!(!list.contains(&field) && !manifest.contains(&field), "{name}");
    }
    let json = text(&table.metadata_location);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["format-version"], 1);
    assert!(json["schema"].is_object() && json["partition-spec"].is_array());
    assert!(json["snapshots"][0].get("sequence-number").is_none());
}

#[tokio::test]
async fn a_table_upgraded_from_version_1_keeps_its_files() {
    let warehouse = with_version(1);
    stored(&warehouse, 1, &["a"]).await;
    changed(&warehouse, upgrade(FormatVersion::V2)).await;
    stored(&warehouse, 2, &["b"]).await;
    let table = loaded(&warehouse).await;
    assert_eq!(values(&table, "Body").await, ["a", "b"]);
    let mut numbers: Vec<_> = entries(&table)
        .await
        .values()
        .map(|entry| entry.sequence_number())
        .collect();
    numbers.sort();
    assert_eq!(numbers, [Some(0), Some(1)]);
}

#[tokio::test]
async fn rows_from_before_version_3_get_their_ids_with_the_first_append_after() {
    for old in [1, 2] {
        let warehouse = with_version(old);
        stored(&warehouse, 1, &["a", "b"]).await;
        stored(&warehouse, 2, &["c"]).await;
        if old == 1 {
            changed(&warehouse, upgrade(FormatVersion::V2)).await;
        }
        changed(&warehouse, upgrade(FormatVersion::V3)).await;
        stored(&warehouse, 3, &["d", "e", "f", "g"]).await;
        let table = loaded(&warehouse).await;
        assert_eq!(values(&table, "Body").await.len(), 7, "from version {old}");
        let snapshot = table.metadata.current_snapshot().unwrap();
        assert_eq!(
            (snapshot.row_range(), table.metadata.next_row_id()),
            (Some((0, 7)), 7)
        );
        assert!(covers(&row_ranges(&table).await, 7), "from version {old}");

        stored(&warehouse, 4, &["h"]).await;
        let table = loaded(&warehouse).await;
        let snapshot = table.metadata.current_snapshot().unwrap();
        assert_eq!(
            (snapshot.row_range(), table.metadata.next_row_id()),
            (Some((7, 1)), 8)
        );
        assert!(covers(&row_ranges(&table).await, 8), "from version {old}");
    }
}

/// Whether the manifests' rows cover each id below `rows` once.
fn covers(ranges: &[(Option<u64>, u64)], rows: u64) -> bool {
    let mut next = 0;
    for (first, count) in ranges {
        if *first != Some(next) {
            return false;
        }
        next += count;
    }
    next == rows
}

/// A snapshot of another tool that marks rows of one of our files as deleted, with a deletion vector.
async fn deletion_vector(table: &LoadedTable) -> (ManifestFile, Vec<TableUpdate>) {
    const SNAPSHOT: i64 = 4_711;
    let metadata = &table.metadata;
    let location = metadata.location();
    let output = |name: &str| {
        let path = format!("{location}/metadata/{name}");
        table.file_io.new_output(path).unwrap()
    };
    let (path, entry) = entries(table).await.into_iter().next().unwrap();
    let vector = DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(format!("{location}/data/deletes.puffin"))
        .file_format(DataFileFormat::Puffin)
        .partition(entry.data_file().partition().clone())
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(100)
        .referenced_data_file(Some(path))
        .content_offset(Some(4))
        .content_size_in_bytes(Some(40))
        .build()
        .unwrap();
    let spec = metadata.default_partition_spec().as_ref().clone();
    let schema = metadata.current_schema().clone();
    let mut writer =
        ManifestWriterBuilder::new(output("dv.avro"), Some(SNAPSHOT), schema, spec).build_v3_deletes();
    writer.add_file(vector, UNASSIGNED_SEQUENCE_NUMBER).unwrap();
    let manifest = writer.write_manifest_file().await.unwrap();
    let parent = metadata.current_snapshot_id();
    let sequence = metadata.next_sequence_number();
    let writer = output("dv-list.avro").writer().await.unwrap();
    let mut list = ManifestListWriter::v3(writer, SNAPSHOT, parent, sequence, Some(metadata.next_row_id()));
    let listed = manifests(table).await.into_iter().chain([manifest.clone()]);
    list.add_manifests(listed).unwrap();
    list.close().await.unwrap();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(SNAPSHOT)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(sequence)
        .with_timestamp_ms(metadata.last_updated_ms() + 1)
        .with_manifest_list(format!("{location}/metadata/dv-list.avro"))
        .with_summary(Summary {
            operation: Operation::Delete,
            additional_properties: HashMap::new(),
        })
        .with_schema_id(metadata.current_schema_id())
        .with_row_range(metadata.next_row_id(), 0)
        .build();
    let retention = SnapshotRetention::Branch {
        min_snapshots_to_keep: None,
        max_snapshot_age_ms: None,
        max_ref_age_ms: None,
    };
    let updates = vec![
        TableUpdate::AddSnapshot { snapshot },
        TableUpdate::SetSnapshotRef {
            ref_name: "main".to_owned(),
            reference: SnapshotReference::new(SNAPSHOT, retention),
        },
    ];
    (manifest, updates)
}

#[tokio::test]
async fn deletion_vectors_of_others_are_carried_over_as_they_are() {
    let warehouse = with_version(3);
    stored(&warehouse, 1, &["a", "b"]).await;
    let (manifest, updates) = deletion_vector(&loaded(&warehouse).await).await;
    let bytes = |manifest: &ManifestFile| {
        let path = manifest.manifest_path.strip_prefix("file://").unwrap().to_owned();
        std::fs::read(path).unwrap()
    };
    let before = bytes(&manifest);
    changed(&warehouse, updates).await;
    stored(&warehouse, 2, &["c"]).await;
    let table = loaded(&warehouse).await;
    let listed = manifests(&table).await;
    let deletes: Vec<&ManifestFile> = listed
        .iter()
        .filter(|manifest| manifest.content == ManifestContentType::Deletes)
        .collect();
    assert_eq!(deletes.len(), 1);
    assert_eq!(deletes[0].manifest_path, manifest.manifest_path);
    assert_eq!((deletes[0].sequence_number, deletes[0].first_row_id), (2, None));
    assert_eq!(bytes(deletes[0]), before);
    assert_eq!(row_ranges(&table).await, [(Some(0), 2), (Some(2), 1)]);
    assert_eq!(table.metadata.next_row_id(), 3);
}

#[tokio::test]
async fn a_table_that_another_tool_repartitions_is_written_by_its_new_spec() {
    for version in 1..=3 {
        let warehouse = with_version(version);
        let running = open(&warehouse).await;
        export(&running, 1, &["a"]).await.expect("stored");
        let table = loaded(&warehouse).await;
        let id = |name: &str| table.metadata.current_schema().field_id_by_name(name).unwrap();
        // Version 1 cannot drop a field of a spec, so Java keeps it as void.
        let fields = [
            ("Timestamp", Transform::Void),
            ("ServiceName", Transform::Bucket(4)),
            ("Body", Transform::Truncate(2)),
        ];
        let fields = (1000..).zip(fields).map(|(field_id, (column, transform))| {
            UnboundPartitionField::builder()
                .source_id(id(column))
                .field_id(field_id)
                .name(format!(
                    "{column}_{}",
                    if field_id == 1000 { "day" } else { "part" }
                ))
                .transform(transform)
                .build()
        });
        let spec = UnboundPartitionSpec::builder()
            .add_partition_fields(fields)
            .unwrap()
            .build();
        let updates = vec![
            TableUpdate::AddSpec { spec },
            TableUpdate::SetDefaultSpec { spec_id: -1 },
        ];
        changed(&warehouse, updates).await;
        // A running process still uses the old spec, which the table keeps.
        export(&running, 2, &["b"]).await.expect("stored");
        running.close().await;
        stored(&warehouse, 3, &["c-first", "c-second", "d"]).await;

        let table = loaded(&warehouse).await;
        assert_eq!(
            values(&table, "Body").await,
            ["a", "b", "c-first", "c-second", "d"],
            "version {version}"
        );
        let mut specs: Vec<i32> = manifests(&table)
            .await
            .iter()
            .map(|m| m.partition_spec_id)
            .collect();
        specs.sort_unstable();
        // Manifests of a spec that is no longer written are merged, but not in version 3.
        let expected: &[i32] = if version == 3 { &[0, 0, 1] } else { &[0, 1] };
        assert_eq!(specs, expected, "version {version}");
        let day = Some(Literal::date(20_255));
        let mut partitions: Vec<Vec<Option<Literal>>> = entries(&table)
            .await
            .values()
            .map(|entry| entry.data_file().partition().clone().into_iter().collect())
            .collect();
        partitions.sort_by_key(|partition| format!("{partition:?}"));
        let truncated = |text: &str| vec![None, None, Some(Literal::string(text))];
        let mut expected = vec![vec![day.clone()], vec![day], truncated("c-"), truncated("d")];
        expected.sort_by_key(|partition| format!("{partition:?}"));
        assert_eq!(partitions, expected, "version {version}");
    }
}

/// iceberg-rust neither reads nor writes references of version 1, and the files that they keep would be
/// deleted later.
#[tokio::test]
async fn a_table_of_version_1_with_a_tag_is_left_alone() {
    let warehouse = with_version(1);
    stored(&warehouse, 1, &["a"]).await;
    let location = loaded(&warehouse).await.metadata_location;
    let path = location.strip_prefix("file://").unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let id = json["current-snapshot-id"].clone();
    let mut with_references = |references: serde_json::Value| {
        json["refs"] = references;
        std::fs::write(path, json.to_string()).unwrap();
    };
    with_references(serde_json::json!({
        "main": {"snapshot-id": id, "type": "branch"}, "release": {"snapshot-id": id, "type": "tag"},
    }));
    let pipeline = open(&warehouse).await;
    let error = export(&pipeline, 2, &["b"]).await.expect_err("refused");
    assert!(error.to_string().contains("format-version"), "{error}");
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    let table = loaded(&warehouse).await;
    assert_eq!(table.metadata_location, location, "nothing is written");
    // The tag is dropped by an engine.
    with_references(serde_json::json!({"main": {"snapshot-id": id, "type": "branch"}}));
    export(&pipeline, 2, &["b"]).await.expect("stored");
    pipeline.close().await;
    assert_eq!(values(&loaded(&warehouse).await, "Body").await, ["a", "b"]);
}
