//! Small files that are merged through the whole pipeline.

use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};

use crate::commit_support::Warehouse;
use crate::found::support::{changed, export, loaded, open, values};

/// Their partitions could not be written anew: values of `int` where the table has `long` now.
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
    let table = loaded(&warehouse).await;
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
    changed(&warehouse, updates).await;

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
