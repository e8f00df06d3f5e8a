//! Manifests of other programs that iceberg-rust refuses: some versions of DuckDB cut string bounds within a
//! character (duckdb/duckdb-iceberg#1334).

use std::collections::HashMap;
use std::fs;

use iceberg::TableUpdate;
use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, Datum, Literal, ManifestListWriter,
    ManifestWriterBuilder, Operation, Snapshot, SnapshotReference, SnapshotRetention, Struct, Summary,
    UNASSIGNED_SEQUENCE_NUMBER,
};

use crate::commit_support::{Warehouse, entries, manifests};
use crate::found::support::{changed, export, loaded, open};
use crate::logged::warnings;

const SNAPSHOT: i64 = 78;
/// A string bound that occurs nowhere else.
const BOUND: &str = "BOUND-€";

const SECTIONS: &str = r#""compaction": {"min_files": 4},
    "tables": {"properties": {"commit.manifest.min-count-to-merge": "2"}}"#;

/// Another program appends a file, in a manifest of which the bound of a string ends within a character.
/// Returns the manifest's location.
pub async fn odd_append(warehouse: &Warehouse, file: &str, partition: Struct, bytes: u64) -> String {
    let table = loaded(warehouse).await;
    let metadata = &table.metadata;
    let location = metadata.location();
    let output = |path: &str| table.file_io.new_output(path).expect("output");
    let body = metadata.current_schema().field_by_name("Body").expect("a column");
    let file = DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(file.to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(bytes)
        .lower_bounds(HashMap::from([(body.id, Datum::string(BOUND))]))
        .build()
        .expect("data file");
    let path = format!("{location}/metadata/odd.avro");
    let spec = metadata.default_partition_spec().as_ref().clone();
    let schema = metadata.current_schema().clone();
    let mut writer = ManifestWriterBuilder::new(output(&path), Some(SNAPSHOT), schema, spec).build_v2_data();
    writer.add_file(file, UNASSIGNED_SEQUENCE_NUMBER).expect("added");
    let manifest = writer.write_manifest_file().await.expect("manifest");
    cut_bound(&path);
    let refused = manifest.load_manifest(&table.file_io).await;
    let refused = refused
        .expect_err("iceberg-rust has become more tolerant")
        .to_string();
    assert!(refused.contains("utf-8"), "{refused}");

    let (parent, sequence) = (metadata.current_snapshot_id(), metadata.next_sequence_number());
    let list_path = format!("{location}/metadata/odd-list.avro");
    let writer = output(&list_path).writer().await.expect("writer");
    let mut list = ManifestListWriter::v2(writer, SNAPSHOT, parent, sequence);
    list.add_manifests(manifests(&table).await.into_iter().chain([manifest]))
        .expect("added");
    list.close().await.expect("list");
    let snapshot = Snapshot::builder()
        .with_snapshot_id(SNAPSHOT)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(sequence)
        .with_timestamp_ms(metadata.last_updated_ms() + 1)
        .with_manifest_list(list_path)
        .with_summary(Summary {
            operation: Operation::Append,
            additional_properties: HashMap::from([("added-data-files".to_owned(), "1".to_owned())]),
        })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let main = TableUpdate::SetSnapshotRef {
        ref_name: "main".to_owned(),
        reference: SnapshotReference::new(SNAPSHOT, SnapshotRetention::branch(None, None, None)),
    };
    changed(warehouse, vec![TableUpdate::AddSnapshot { snapshot }, main]).await;
    path
}

/// Of the bound's last character, only the first of three bytes stays.
fn cut_bound(path: &str) {
    let path = path.strip_prefix("file://").expect("a local file");
    let mut avro = fs::read(path).expect("a manifest");
    let bound = BOUND.as_bytes();
    let at = avro.windows(bound.len()).position(|bytes| bytes == bound);
    let end = at.expect("the bound, not compressed") + bound.len();
    avro[end - 3..end].copy_from_slice(b"--\xe2");
    fs::write(path, avro).expect("written");
}

fn some_day() -> Struct {
    Struct::from_iter([Some(Literal::date(20_000))])
}

#[tokio::test]
async fn a_manifest_that_is_refused_holds_up_neither_merging_nor_compaction() {
    let (logged, _guard) = warnings();
    let warehouse = Warehouse::with_sections(SECTIONS);
    let pipeline = open(&warehouse).await;
    export(&pipeline, 1, &["one"]).await.expect("stored");
    let odd = odd_append(&warehouse, "file:///nowhere/theirs.parquet", some_day(), 900).await;
    export(&pipeline, 2, &["one"]).await.expect("stored");
    let files_elsewhere = |table: Vec<iceberg::spec::ManifestFile>| {
        let live = table.into_iter().filter(|manifest| manifest.manifest_path != odd);
        let live = live.map(|it| it.added_files_count.unwrap_or(0) + it.existing_files_count.unwrap_or(0));
        live.filter(|files| *files > 0).collect::<Vec<_>>()
    };
    let listed = manifests(&loaded(&warehouse).await).await;
    assert!(listed.iter().any(|manifest| manifest.manifest_path == odd));
    assert_eq!(files_elsewhere(listed), [2], "the other ones are merged at once");

    // It is known from now on, and not read any more.
    let local = odd.strip_prefix("file://").expect("a local file");
    let aside = warehouse.folder.path().join("aside");
    fs::rename(local, &aside).expect("moved");
    for sequence in 3..=4 {
        export(&pipeline, sequence, &["one"]).await.expect("stored");
    }
    fs::rename(&aside, local).expect("moved back");
    assert_eq!(files_elsewhere(manifests(&loaded(&warehouse).await).await), [4]);

    let done = pipeline.compact().await.expect("merged");
    assert_eq!((done.made, done.replaced), (1, 4), "our files");
    let done = pipeline.compact().await.expect("nothing to do");
    assert_eq!((done.made, done.replaced), (0, 0));
    export(&pipeline, 5, &["one"]).await.expect("stored");
    pipeline.close().await;
    let listed = manifests(&loaded(&warehouse).await).await;
    assert!(listed.iter().any(|manifest| manifest.manifest_path == odd));
    assert_eq!(files_elsewhere(listed), [2], "the merged file, and the last one");
    let mut lines = logged.lines();
    lines.retain(|line| line.contains("manifest"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("odd.avro") && lines[0].contains("otel.logs"),
        "{lines:?}"
    );
}

/// If it was replaced, it would be deleted while the table still has it.
#[tokio::test]
async fn a_file_that_such_a_manifest_lists_as_well_is_not_replaced() {
    let warehouse = Warehouse::with_sections(SECTIONS);
    let pipeline = open(&warehouse).await;
    export(&pipeline, 1, &["one"]).await.expect("stored");
    let listed = entries(&loaded(&warehouse).await).await;
    let (path, entry) = listed.into_iter().next().expect("a file");
    let file = entry.data_file();
    odd_append(
        &warehouse,
        &path,
        file.partition().clone(),
        file.file_size_in_bytes(),
    )
    .await;
    for sequence in 2..=5 {
        export(&pipeline, sequence, &["one"]).await.expect("stored");
    }
    let done = pipeline.compact().await.expect("merged");
    pipeline.close().await;
    assert_eq!((done.made, done.replaced), (1, 4), "the others");
    let table = loaded(&warehouse).await;
    let mut ours = Vec::new();
    for manifest in manifests(&table).await {
        if let Ok(manifest) = manifest.load_manifest(&table.file_io).await {
            let live = manifest.entries().iter().filter(|entry| entry.is_alive());
            ours.extend(live.map(|entry| entry.file_path().to_owned()));
        }
    }
    assert_eq!(ours.len(), 2);
    assert!(ours.contains(&path), "{ours:?}");
}
