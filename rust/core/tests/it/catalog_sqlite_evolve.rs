//! The `SQLite` catalog's tables with other columns than ours: missing ones are added.

use std::path::Path;
use std::sync::Arc;

use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
use otlp2iceberg::catalog::TableSpec;
use otlp2iceberg::commit::{Committer, Wanted};
use otlp2iceberg::config::CommitConfig;
use otlp2iceberg::schema::{ColumnCase, iceberg_schema};
use otlp2iceberg::{ErrorKind, Table};

use crate::commit_support::{Warehouse, append, entries, file_names, logs, soon};

fn all(schema: &Schema) -> Wanted<'_> {
    Wanted {
        schema,
        attributes: &[],
    }
}

/// The logs table without some columns and with one column of another tool.
fn other_spec(warehouse: &Warehouse, body: PrimitiveType) -> TableSpec {
    let spec = warehouse.spec();
    let kept = spec
        .schema
        .as_struct()
        .fields()
        .iter()
        .filter(|field| !matches!(field.name.as_str(), "Body" | "EventName"));
    let body = NestedField::optional(900, "Body", Type::Primitive(body));
    let theirs = NestedField::optional(901, "Theirs", Type::Primitive(PrimitiveType::String));
    let fields = kept.cloned().chain([Arc::new(body), Arc::new(theirs)]);
    TableSpec {
        schema: Schema::builder().with_fields(fields).build().expect("schema"),
        ..spec
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_columns_are_added_once_by_many_writers() {
    let warehouse = Arc::new(Warehouse::new());
    let catalog = warehouse.catalog().await;
    let old = catalog
        .ensure(&logs(), Some(other_spec(&warehouse, PrimitiveType::String)))
        .await
        .expect("ensured");
    let tasks: Vec<_> = (1..=4u8)
        .map(|writer| {
            let warehouse = Arc::clone(&warehouse);
            tokio::spawn(async move {
                let wanted = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("schema");
                let catalog = warehouse.catalog().await;
                let config = CommitConfig::default();
                let committer = Committer::open(catalog, logs(), None, Some(all(&wanted)), config)
                    .await
                    .expect("opens");
                committer
                    .append(append(writer, 1), soon())
                    .await
                    .expect("committed");
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("joined");
    }
    let table = catalog.load(&logs()).await.expect("loads");
    let schema = table.metadata.current_schema();
    assert_eq!(table.metadata.schemas_iter().len(), 2);
    assert!(
        schema
            .field_by_name("EventName")
            .is_some_and(|field| field.id > old.metadata.last_column_id())
    );
    assert_eq!(
        schema.field_id_by_name("Theirs"),
        old.metadata.current_schema().field_id_by_name("Theirs")
    );
    assert_eq!(entries(&table).await.len(), 4);
}

#[tokio::test]
async fn column_of_another_type_is_a_mismatch_that_names_both() {
    let warehouse = Warehouse::new();
    let catalog = warehouse.catalog().await;
    catalog
        .ensure(&logs(), Some(other_spec(&warehouse, PrimitiveType::Long)))
        .await
        .expect("ensured");
    let wanted = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("schema");
    let error = Committer::open(catalog, logs(), None, Some(all(&wanted)), CommitConfig::default())
        .await
        .expect_err("clash");
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
    let text = error.to_string();
    assert!(
        text.contains("\"Body\" is long") && text.contains("otel.logs"),
        "{text}"
    );
    assert_eq!(
        file_names(
            &Path::new(warehouse.folder.path()).join("otel/logs/metadata"),
            ".json"
        )
        .len(),
        1
    );
}
