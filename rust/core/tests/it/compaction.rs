//! Small files that are merged through the whole pipeline, and the files that remain after a failure.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use iceberg::TableUpdate;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, ManifestStatus, NestedField,
    PrimitiveType, Schema, Struct, Type,
};
use otlp2iceberg::catalog::LoadedTable;
use otlp2iceberg::commit::Append;
use otlp2iceberg::compact::{Budget, Compacted, Compactor};
use otlp2iceberg::{ErrorKind, Pipeline};
use parquet::arrow::ArrowWriter;
use tokio_util::sync::CancellationToken;

use crate::commit_foreign::foreign_snapshot;
use crate::commit_requests::data_files;
use crate::commit_support::{Warehouse, append, entries, logs, manifests, soon, taken};
use crate::decode::encode::{delimited, fixed64, nested};
use crate::found::support::{TIME, changed, export, export_logs, loaded, open, values};
use crate::logged::warnings;

const DAY_NANOS: u64 = 86_400 * 1_000_000_000;

/// Stores a request with a record of each of so many days.
async fn export_days(pipeline: &Pipeline, sequence: u64, days: u64) {
    let records = (0..days).flat_map(|day| {
        let time = fixed64(1, TIME - day * DAY_NANOS);
        let body = nested(&[5, 1], format!("{sequence} of day {day}"));
        delimited(2, [time, body].concat())
    });
    let payload = nested(&[1, 2], records.collect::<Vec<u8>>());
    export_logs(pipeline, sequence, &payload).await.expect("stored");
}

/// Otherwise a table with many partitions gets a snapshot for each partition, and more files than are merged.
#[tokio::test]
async fn the_files_of_many_partitions_are_merged_in_one_snapshot() {
    const DAYS: u64 = 20;
    let warehouse = Warehouse::with_sections(r#""compaction": {"min_files": 4}"#);
    let pipeline = open(&warehouse).await;
    for sequence in 1..=5 {
        export_days(&pipeline, sequence, DAYS).await;
    }
    let before = loaded(&warehouse).await;
    let rows = values(&before, "Body").await;
    assert_eq!(rows.len() as u64, 5 * DAYS);

    let done = pipeline.compact().await.expect("merged");
    assert_eq!((done.made, done.replaced), (DAYS, 5 * DAYS));
    let after = loaded(&warehouse).await;
    assert_eq!(
        after.metadata.snapshots().len(),
        before.metadata.snapshots().len() + 1
    );
    let files = entries(&after).await;
    assert_eq!(files.len() as u64, DAYS);
    assert!(files.values().all(|entry| entry.record_count() == 5));
    assert_eq!(values(&after, "Body").await, rows);

    let done = pipeline.compact().await.expect("nothing to do");
    assert_eq!((done.made, done.replaced), (0, 0));
    pipeline.close().await;
    let last = loaded(&warehouse).await;
    assert_eq!(
        last.metadata.current_snapshot_id(),
        after.metadata.current_snapshot_id()
    );
}

/// A process opens tables for their receipts, too. Those are their writers' to merge.
#[tokio::test]
async fn a_table_that_was_only_opened_is_not_merged() {
    let warehouse = Warehouse::with_sections(r#""compaction": {"min_files": 4}"#);
    let writer = open(&warehouse).await;
    for sequence in 1..=5 {
        export_days(&writer, sequence, 1).await;
    }
    writer.close().await;

    let pipeline = open(&warehouse).await;
    pipeline.warm().await;
    let done = pipeline.compact().await.expect("nothing to do");
    assert_eq!((done.made, done.replaced), (0, 0));
    export_days(&pipeline, 6, 1).await;
    let done = pipeline.compact().await.expect("merged");
    assert_eq!((done.made, done.replaced), (1, 6));
    pipeline.close().await;
}

/// How many entries the current snapshot wrote: added, existing and deleted.
async fn written(table: &LoadedTable) -> [usize; 3] {
    let mut written = [0; 3];
    for manifest in manifests(table).await {
        if Some(manifest.added_snapshot_id) != table.metadata.current_snapshot_id() {
            continue;
        }
        let manifest = manifest.load_manifest(&table.file_io).await.expect("manifest");
        for entry in manifest.entries() {
            let place = match entry.status() {
                ManifestStatus::Added => 0,
                ManifestStatus::Existing => 1,
                ManifestStatus::Deleted => 2,
            };
            written[place] += 1;
        }
    }
    written
}

/// Not the files that stay once for each partition: iceberg-rust leaks memory for each entry.
#[tokio::test]
async fn each_manifest_entry_is_written_once_however_many_partitions_are_merged() {
    for days in [3, 12] {
        let warehouse = Warehouse::with_sections(r#""compaction": {"min_files": 4}"#);
        let pipeline = open(&warehouse).await;
        // As many days again have one file less than a merge takes. They stay in three of the manifests.
        for sequence in 1..=3 {
            export_days(&pipeline, sequence, 2 * days).await;
        }
        export_days(&pipeline, 4, days).await;
        let before = loaded(&warehouse).await;
        let done = pipeline.compact().await.expect("merged");
        pipeline.close().await;
        assert_eq!((done.made, done.replaced), (days, 4 * days));
        let after = loaded(&warehouse).await;
        let snapshots = |table: &LoadedTable| table.metadata.snapshots().len();
        assert_eq!(snapshots(&after), snapshots(&before) + 1);
        let expected = [days, 3 * days, 4 * days].map(|entries| entries as usize);
        assert_eq!(written(&after).await, expected, "added, existing and deleted");
        // Those that stay are as they were.
        let (before, after) = (entries(&before).await, entries(&after).await);
        let stay: Vec<_> = after
            .iter()
            .filter(|(path, _)| before.contains_key(*path))
            .collect();
        assert_eq!(stay.len() as u64, 3 * days);
        for (path, entry) in stay {
            let same = &before[path];
            assert_eq!(entry.status(), ManifestStatus::Existing);
            assert_eq!(entry.snapshot_id(), same.snapshot_id());
            assert_eq!(entry.sequence_number(), same.sequence_number());
            assert_eq!(entry.file_sequence_number, same.file_sequence_number);
            assert_eq!(entry.data_file(), same.data_file());
        }
    }
}

/// A Parquet file of another program with one row, in storage.
fn foreign_file(warehouse: &Warehouse, number: usize) -> DataFile {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let rows = RecordBatch::try_from_iter([("number", column)]).expect("rows");
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).expect("writer");
    writer.write(&rows).expect("written");
    let bytes = writer.into_inner().expect("closed");
    let path = warehouse.folder.path().join(format!("{number}.parquet"));
    fs::write(&path, &bytes).expect("written");
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("file://{}", path.display()))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::date(20_000))]))
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(bytes.len() as u64)
        .build()
        .expect("data file")
}

/// Each of them is opened to learn that. A hundred thousand of them must not take a single round.
#[tokio::test]
async fn files_that_turn_out_to_be_of_others_count_against_the_budget() {
    let warehouse = Warehouse::new();
    let committer = warehouse.committer(warehouse.catalog().await).await;
    let files = (0..3 * 64)
        .map(|number| foreign_file(&warehouse, number))
        .collect();
    let append = Append {
        files,
        ..append(1, 1)
    };
    committer.append(append, soon()).await.expect("committed");
    let config = (&warehouse.config.compaction, &warehouse.config.parquet);
    let budget = Budget {
        files: 1,
        ..Budget::UNLIMITED
    };
    let (mut compactor, mut done) = (Compactor::default(), Compacted::default());
    for expected in [128, 64, 0, 0] {
        let stop = CancellationToken::new();
        let left = compactor.run(&committer, config, budget, &stop, &mut done).await;
        assert_eq!(left.expect("looked at"), expected);
    }
    assert_eq!(done, Compacted::default());
}

#[tokio::test]
async fn a_merged_file_is_deleted_when_its_manifests_cannot_be_written() {
    let warehouse = Warehouse::with_sections(r#""compaction": {"min_files": 4}"#);
    let catalog = warehouse.catalog().await;
    let pipeline = Pipeline::open_with(warehouse.config.clone(), Arc::clone(&catalog)).expect("opens");
    for sequence in 1..=4 {
        export(&pipeline, sequence, &["one"]).await.expect("stored");
    }
    // The new location of manifests is no folder. The catalog has the metadata in memory.
    let folder = warehouse.folder.path().join("elsewhere");
    let base = catalog.load(&logs()).await.expect("loads");
    let place = format!("file://{}", folder.display());
    let updates = HashMap::from([("write.metadata.path".to_owned(), place)]);
    let updates = vec![TableUpdate::SetProperties { updates }];
    taken(catalog.commit(&base, vec![], updates).await);
    fs::remove_dir_all(&folder).expect("removed");
    fs::write(&folder, "").expect("written");

    let error = pipeline.compact().await.expect_err("no manifest can be written");
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    let files = data_files(&warehouse);
    assert_eq!(files.len(), 4, "the merged one is gone: {files:?}");
}

#[tokio::test]
async fn a_file_that_storage_does_not_return_does_not_hold_up_the_others() {
    let warehouse = Warehouse::with_sections(r#""compaction": {"min_files": 4}"#);
    let pipeline = open(&warehouse).await;
    export(&pipeline, 1, &["a"]).await.expect("stored");
    let file = entries(&loaded(&warehouse).await).await.into_keys().next();
    let file = file.expect("a file");
    let lost = file.strip_prefix("file://").expect("a local one");
    for (sequence, body) in (2..).zip(["b", "c", "d", "e"]) {
        export(&pipeline, sequence, &[body]).await.expect("stored");
    }
    let aside = warehouse.folder.path().join("aside");
    fs::rename(lost, &aside).expect("moved");
    for _ in 0..2 {
        let error = pipeline.compact().await.expect_err("it may come back");
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    }
    let done = pipeline.compact().await.expect("merged");
    pipeline.close().await;
    assert_eq!((done.made, done.replaced), (1, 4), "the others");
    fs::rename(&aside, lost).expect("moved back");
    assert_eq!(
        values(&loaded(&warehouse).await, "Body").await,
        ["a", "b", "c", "d", "e"]
    );
}

#[tokio::test]
async fn what_was_merged_before_a_file_cannot_be_read_is_committed() {
    let warehouse = Warehouse::with_sections(r#""compaction": {"min_files": 4}"#);
    let pipeline = open(&warehouse).await;
    for sequence in 1..=4 {
        export_days(&pipeline, sequence, 2).await;
    }
    // The day with the most files is merged first.
    export_days(&pipeline, 5, 1).await;
    let files = entries(&loaded(&warehouse).await).await;
    let newest = files.values().find(|entry| entry.sequence_number() == Some(5));
    let newest = newest.expect("a file").data_file().partition().clone();
    let lost = files
        .values()
        .find(|entry| *entry.data_file().partition() != newest);
    let lost = lost.expect("a file").file_path().to_owned();
    let lost = lost.strip_prefix("file://").expect("a local one");
    fs::remove_file(lost).expect("removed");
    let error = pipeline.compact().await.expect_err("a file is gone");
    pipeline.close().await;
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    let mut rows: Vec<u64> = entries(&loaded(&warehouse).await)
        .await
        .values()
        .map(|entry| entry.record_count())
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [1, 1, 1, 1, 5]);
    assert_eq!(
        data_files(&warehouse).len(),
        9,
        "those of before, and the new one"
    );
}

/// Otherwise nothing shows why the table is not compacted any more.
#[tokio::test]
async fn delete_files_of_an_engine_are_logged_once() {
    let (logged, _guard) = warnings();
    let warehouse = Warehouse::with_sections(r#""compaction": {"min_files": 2}"#);
    let pipeline = open(&warehouse).await;
    export(&pipeline, 1, &["a"]).await.expect("stored");
    let updates = foreign_snapshot(&loaded(&warehouse).await).await;
    changed(&warehouse, updates).await;
    for (sequence, body) in (2..).zip(["b", "c"]) {
        export(&pipeline, sequence, &[body]).await.expect("stored");
        let done = pipeline.compact().await.expect("nothing is merged");
        assert_eq!((done.made, done.replaced), (0, 0));
    }
    pipeline.close().await;
    let mut lines = logged.lines();
    lines.retain(|line| line.contains("delete files"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("otel.logs"), "{lines:?}");
}

/// Their partitions cannot be written again: they have `int` values where the table now has `long`.
#[tokio::test]
async fn files_from_before_a_partition_column_was_made_wider_are_left_alone() {
    let warehouse = Warehouse::with_sections(
        r#""compaction": {"min_files": 2}, "tables": {"partition_by": ["identity(ScopeDroppedAttributesCount)"]}"#,
    );
    let pipeline = open(&warehouse).await;
    for (sequence, body) in (1..).zip(["a", "b"]) {
        export(&pipeline, sequence, &[body]).await.expect("stored");
    }
    pipeline.close().await;
    widen(&warehouse).await;

    let pipeline = open(&warehouse).await;
    for (sequence, body) in (3..).zip(["c", "d"]) {
        export(&pipeline, sequence, &[body]).await.expect("stored");
    }
    let done = pipeline.compact().await.expect("merged");
    pipeline.close().await;
    assert_eq!((done.made, done.replaced), (1, 2), "those of after");
    assert_eq!(
        values(&loaded(&warehouse).await, "Body").await,
        ["a", "b", "c", "d"]
    );
}

/// Makes the column `ScopeDroppedAttributesCount` wider, as an engine would.
pub async fn widen(warehouse: &Warehouse) {
    let table = loaded(warehouse).await;
    let fields = table.metadata.current_schema().as_struct().fields().iter();
    let fields = fields.map(|field| {
        let mut field = NestedField::clone(field);
        if field.name == "ScopeDroppedAttributesCount" {
            *field.field_type = Type::Primitive(PrimitiveType::Long);
        }
        Arc::new(field)
    });
    let schema = Schema::builder().with_fields(fields).build().expect("schema");
    let updates = vec![
        TableUpdate::AddSchema { schema },
        TableUpdate::SetCurrentSchema { schema_id: -1 },
    ];
    changed(warehouse, updates).await;
}
