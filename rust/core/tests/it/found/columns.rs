//! Tables with other columns than ours: the columns are added, left out, or refused.

use std::sync::Arc;

use futures::future::join_all;
use iceberg::TableUpdate;
use iceberg::spec::PrimitiveType::{Int, Long, String as Text, Timestamptz};
use iceberg::spec::{NestedField, Schema, SortOrder, Type, UnboundPartitionSpec};
use otlp2iceberg::catalog::TableSpec;
use otlp2iceberg::schema::{ColumnCase, columns, iceberg_schema};
use otlp2iceberg::{ErrorKind, Pipeline, RetryClass, Table};
use serde_json::{Value, json};

use super::support::{changed, export, loaded, made, open, rows, stored, values};
use crate::commit_support::{Fault, Faulty, Warehouse, logs};

fn without_evolution() -> Warehouse {
    Warehouse::with(r#"{"auto_evolve": false}"#)
}

#[tokio::test]
async fn columns_in_another_order_and_case_and_of_others_take_rows_as_they_are() {
    let warehouse = without_evolution();
    made(
        &warehouse,
        &[
            ("theirs", Long),
            ("body", Text),
            ("TIMESTAMP", Timestamptz),
            ("severitynumber", Long),
        ],
    )
    .await;
    stored(&warehouse, 1, &["one", "two"]).await;
    let table = loaded(&warehouse).await;
    assert_eq!(table.metadata.schemas_iter().len(), 1, "nothing is added");
    assert_eq!(values(&table, "body").await, ["one", "two"]);
    let names: Vec<String> = rows(&table).await[0]
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["body", "TIMESTAMP", "severitynumber"]);
}

/// Of each record, body and time are stored, and the values that cannot be absent in OTLP are left out.
#[tokio::test]
async fn values_without_a_column_are_counted_in_each_call() {
    let warehouse = without_evolution();
    made(&warehouse, &[("Body", Text)]).await;
    let pipeline = open(&warehouse).await;
    let first = export(&pipeline, 1, &["one", "two"]).await.expect("stored");
    let second = export(&pipeline, 2, &["three"]).await.expect("stored");
    pipeline.close().await;
    assert_eq!((first.rows, second.rows), (2, 1));
    // Timestamp, TraceFlags, SeverityNumber and three counts of what was dropped.
    assert_eq!((first.values_left_out, second.values_left_out), (12, 6));
}

#[tokio::test]
async fn nothing_is_left_out_of_a_table_that_has_all_columns_or_gets_them() {
    let warehouse = without_evolution();
    assert_eq!(stored(&warehouse, 1, &["one"]).await.values_left_out, 0);
    let warehouse = Warehouse::new();
    made(&warehouse, &[("Body", Text), ("theirs", Long)]).await;
    assert_eq!(stored(&warehouse, 1, &["one"]).await.values_left_out, 0);
    let table = loaded(&warehouse).await;
    let schema = table.metadata.current_schema();
    assert_eq!(
        schema.as_struct().fields().len(),
        1 + columns(Table::Logs, &[]).len()
    );
}

#[tokio::test]
async fn a_column_of_another_type_is_a_permanent_error_with_or_without_evolution() {
    for tables in [r#"{"auto_evolve": false}"#, "{}"] {
        let warehouse = Warehouse::with(tables);
        made(&warehouse, &[("Timestamp", Timestamptz), ("BODY", Int)]).await;
        let pipeline = open(&warehouse).await;
        let error = export(&pipeline, 1, &["one"]).await.expect_err("refused");
        pipeline.close().await;
        assert_eq!(error.kind(), ErrorKind::TableMismatch);
        assert_eq!(error.retry_class(), RetryClass::Permanent);
        let text = error.to_string();
        for part in ["BODY", "int", "string", "tables.names", "otel.logs"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_table_that_is_mended_takes_the_next_rows_without_a_restart() {
    for tables in [r#"{"auto_evolve": false}"#, "{}"] {
        let warehouse = Warehouse::with(tables);
        made(&warehouse, &[("Timestamp", Timestamptz), ("Body", Int)]).await;
        let pipeline = open(&warehouse).await;
        export(&pipeline, 1, &["one"]).await.expect_err("refused");
        let time = NestedField::optional(1, "Timestamp", Type::Primitive(Timestamptz));
        let schema = Schema::builder()
            .with_fields([Arc::new(time)])
            .build()
            .expect("schema");
        let updates = vec![
            TableUpdate::AddSchema { schema },
            TableUpdate::SetCurrentSchema { schema_id: -1 },
        ];
        changed(&warehouse, updates).await;
        let outcome = export(&pipeline, 2, &["two"]).await.expect("stored");
        pipeline.close().await;
        assert_eq!(outcome.rows, 1, "{tables}");
    }
}

/// Several processes find another tool's table at once. Each column is added once, and no process's values
/// are left out.
#[tokio::test]
async fn processes_that_add_columns_at_once_add_each_of_them_once() {
    let warehouse = Warehouse::new();
    made(&warehouse, &[("body", Text), ("theirs", Long)]).await;
    let process = |sequence: u64| {
        let warehouse = &warehouse;
        async move {
            let pipeline = open(warehouse).await;
            let body = format!("from {sequence}");
            let outcome = export(&pipeline, sequence, &[&body]).await.expect("stored");
            pipeline.close().await;
            outcome
        }
    };
    for outcome in join_all((1..=6).map(process)).await {
        assert_eq!((outcome.rows, outcome.values_left_out), (1, 0));
    }
    let table = loaded(&warehouse).await;
    assert_eq!(
        table.metadata.schemas_iter().len(),
        2,
        "the columns were added in one step"
    );
    let schema = table.metadata.current_schema();
    let ours = iceberg_schema(Table::Logs, &[], ColumnCase::Pascal).expect("schema");
    assert_eq!(
        schema.as_struct().fields().len(),
        1 + ours.as_struct().fields().len()
    );
    assert_eq!(
        (schema.field_id_by_name("body"), schema.field_id_by_name("Body")),
        (Some(1), None)
    );
    assert_eq!(values(&table, "body").await.len(), 6);
    let times: usize = rows(&table)
        .await
        .iter()
        .map(|batch| batch.column_by_name("Timestamp").expect("a new column").len())
        .sum();
    assert_eq!(times, 6);
}

/// The rows are refused, so the table of another tool does not get our columns for nothing.
#[tokio::test]
async fn a_table_that_requires_a_column_of_others_gets_none_of_ours() {
    let warehouse = Warehouse::new();
    let fields = [
        NestedField::optional(1, "Timestamp", Type::Primitive(Timestamptz)),
        NestedField::required(2, "tenant", Type::Primitive(Text)),
    ];
    let spec = TableSpec {
        schema: Schema::builder()
            .with_fields(fields.map(Arc::new))
            .build()
            .expect("schema"),
        partition_spec: UnboundPartitionSpec::builder().build(),
        sort_order: SortOrder::unsorted_order(),
        properties: std::collections::HashMap::new(),
    };
    let catalog = warehouse.catalog().await;
    catalog.ensure(&logs(), Some(spec)).await.expect("made");
    let pipeline = open(&warehouse).await;
    let error = export(&pipeline, 1, &["a"]).await.expect_err("refused");
    assert!(error.to_string().contains("column tenant is required"), "{error}");
    let names: Vec<String> = loaded(&warehouse)
        .await
        .metadata
        .current_schema()
        .as_struct()
        .fields()
        .iter()
        .map(|field| field.name.clone())
        .collect();
    assert_eq!(names, ["Timestamp", "tenant"]);
}

/// A role may be allowed to append and not to change schemas. The error names the columns and the remedy.
#[tokio::test]
async fn refused_columns_are_named_and_waited_for() {
    for (fault, tells) in [(Fault::Refusal, true), (Fault::Throttled, false)] {
        let warehouse = Warehouse::new();
        made(&warehouse, &[("Timestamp", Timestamptz)]).await;
        let catalog = Faulty::new(warehouse.catalog().await, [fault]);
        let pipeline = Pipeline::open_with(warehouse.config.clone(), catalog).expect("opens");
        let error = export(&pipeline, 1, &["a"]).await.expect_err("refused");
        let text = error.to_string();
        for part in [
            "they could not be added: ObservedTimestamp, TraceId, SpanId",
            "tables.auto_evolve",
        ] {
            assert_eq!(text.contains(part), tells, "{part:?} in {text}");
        }
        if !tells {
            // Throttling is no reason to change a key.
            assert!(text.contains("told to wait"), "{text}");
            assert!(error.retry_after().is_some(), "{error}");
        }
        export(&pipeline, 1, &["a"]).await.expect("stored");
        let table = loaded(&warehouse).await;
        assert!(table.metadata.current_schema().field_by_name("TraceId").is_some());
        pipeline.close().await;
    }
}

const NAME_MAPPING: &str = "schema.name-mapping.default";

async fn set_name_mapping(warehouse: &Warehouse, mapping: &str) {
    let updates = [(NAME_MAPPING.to_owned(), mapping.to_owned())].into();
    changed(warehouse, vec![TableUpdate::SetProperties { updates }]).await;
}

/// Readers find the columns of files without field ids by this mapping. A column that is not in it reads as null.
#[tokio::test]
async fn columns_that_are_added_come_into_the_tables_name_mapping() {
    let warehouse = Warehouse::new();
    made(&warehouse, &[("theirs", Long), ("text", Text)]).await;
    let mapping = json!([
        {"field-id": 1, "names": ["theirs"]},
        {"field-id": 2, "names": ["text", "message"]},
    ]);
    set_name_mapping(&warehouse, &mapping.to_string()).await;
    stored(&warehouse, 1, &["one"]).await;

    let metadata = loaded(&warehouse).await.metadata;
    let schema = metadata.current_schema();
    let fields: Vec<Value> = serde_json::from_str(&metadata.properties()[NAME_MAPPING]).expect("JSON");
    assert_eq!(fields[..2], mapping.as_array().expect("a list")[..]);
    let expected: Vec<(i32, &str)> = schema.as_struct().fields()[2..]
        .iter()
        .map(|field| (field.id, field.name.as_str()))
        .collect();
    let found: Vec<(i32, &str)> = fields[2..]
        .iter()
        .map(|field| {
            let id = field["field-id"].as_i64().expect("an id");
            (id as i32, field["names"][0].as_str().expect("a name"))
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(expected.len(), columns(Table::Logs, &[]).len());
    let attributes = fields
        .iter()
        .find(|field| field["names"] == json!(["LogAttributes"]));
    let inside = ["key", "value"].map(|name| {
        let id = schema.field_id_by_name(&format!("LogAttributes.{name}"));
        json!({"field-id": id.expect("a field"), "names": [name]})
    });
    assert_eq!(attributes.expect("is mapped")["fields"], json!(inside));
}

#[tokio::test]
async fn a_table_gets_no_name_mapping_and_one_that_cannot_be_read_stays() {
    for mapping in [None, Some("none of ours")] {
        let warehouse = Warehouse::new();
        made(&warehouse, &[("theirs", Long)]).await;
        if let Some(mapping) = mapping {
            set_name_mapping(&warehouse, mapping).await;
        }
        assert_eq!(stored(&warehouse, 1, &["one"]).await.rows, 1);
        let metadata = loaded(&warehouse).await.metadata;
        assert!(metadata.current_schema().field_by_name("Body").is_some());
        assert_eq!(
            metadata.properties().get(NAME_MAPPING).map(String::as_str),
            mapping
        );
    }
}
