//! Small files that are merged through the whole pipeline, and the files that remain after a failure.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
use otlp2iceberg::{ErrorKind, Pipeline};

use crate::commit_foreign::foreign_snapshot;
use crate::commit_requests::data_files;
use crate::commit_support::{Warehouse, entries, logs, taken};
use crate::found::support::{changed, export, loaded, open, values};
use crate::logged::warnings;

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
