//! Our columns in tables that are not quite ours.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use iceberg::spec::{
    Datum, ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type,
};
use otlp2iceberg::config::ParquetConfig;
use otlp2iceberg::{Error, ErrorKind, RetryClass, Table};
use parquet::basic::Repetition;

use super::support::{
    DAY, TestTable, batch, id, integers, labels, read, strings, texts, times, write_logs, write_with,
};
use super::tables::sample;

fn schema(fields: Vec<NestedField>) -> Schema {
    Schema::builder()
        .with_fields(fields.into_iter().map(Arc::new))
        .build()
        .unwrap()
}

fn optional(id: i32, name: &str, primitive: PrimitiveType) -> NestedField {
    NestedField::optional(id, name, Type::Primitive(primitive))
}

fn rows() -> RecordBatch {
    let flags: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    batch(&[
        ("Timestamp", times([DAY, DAY + 1])),
        ("TraceFlags", flags),
        ("Body", texts([Some("one"), Some("two")])),
        ("ServiceName", labels([Some("shop"), None])),
    ])
}

async fn refusal(schema: Schema, table: Table, rows: RecordBatch) -> Error {
    let metadata = TestTable::with_schema(schema).build();
    let error = write_with(&metadata, table, rows, &ParquetConfig::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
    assert_eq!(error.retry_class(), RetryClass::Permanent);
    error
}

#[tokio::test]
async fn columns_are_matched_by_name_in_the_tables_order_with_its_ids() {
    let metadata = TestTable::with_schema(schema(vec![
        optional(1, "Body", PrimitiveType::String),
        optional(2, "NotOurs", PrimitiveType::Long),
        optional(3, "body", PrimitiveType::Int),
        optional(4, "Timestamp", PrimitiveType::Timestamptz),
    ]))
    .build();
    let (written, file_io) = write_logs(&metadata, rows()).await;
    let (read, footer) = read(&file_io, &written.files[0]).await;
    let leaves: Vec<(String, i32)> = footer
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|leaf| (leaf.path().string(), leaf.self_type().get_basic_info().id()))
        .collect();
    let expected = ["Body", "Timestamp"].map(|name| (name.to_owned(), id(&metadata, name)));
    assert_eq!(leaves, expected);
    assert_eq!(strings(&read, "Body"), [Some("one".into()), Some("two".into())]);
    assert_eq!(integers(&read, "Timestamp"), [Some(DAY), Some(DAY + 1)]);
}

#[tokio::test]
async fn an_int_of_ours_widens_to_a_long_of_the_table() {
    let metadata =
        TestTable::with_schema(schema(vec![optional(1, "TraceFlags", PrimitiveType::Long)])).build();
    let (written, file_io) = write_logs(&metadata, rows()).await;
    let file = &written.files[0];
    assert_eq!(
        integers(&read(&file_io, file).await.0, "TraceFlags"),
        [Some(1), None]
    );
    assert_eq!(file.lower_bounds()[&id(&metadata, "TraceFlags")], Datum::long(1));
}

#[tokio::test]
async fn a_clash_of_types_names_the_column_and_both_types() {
    let clash = schema(vec![
        optional(1, "Timestamp", PrimitiveType::Timestamptz),
        optional(2, "Body", PrimitiveType::Binary),
    ]);
    let error = refusal(clash, Table::Logs, rows()).await;
    assert_eq!(
        error.to_string(),
        "column Body is binary in the table and string in ours, or name another table under \
         tables.names.logs (location: memory://warehouse/otel/logs)"
    );
}

#[tokio::test]
async fn times_of_another_unit_or_zone_clash() {
    for primitive in [PrimitiveType::Timestamp, PrimitiveType::Long, PrimitiveType::Date] {
        let expected = format!("column Timestamp is {primitive} in the table and timestamptz in ours");
        let error = refusal(
            schema(vec![optional(1, "Timestamp", primitive)]),
            Table::Logs,
            rows(),
        )
        .await;
        assert!(error.message().starts_with(&expected), "{error}");
    }
}

#[tokio::test]
async fn a_clash_inside_a_list_names_its_path() {
    let element = StructType::new(vec![Arc::new(optional(3, "Name", PrimitiveType::Long))]);
    let list = ListType::new(Arc::new(NestedField::list_element(
        2,
        Type::Struct(element),
        true,
    )));
    let events = schema(vec![NestedField::optional(1, "Events", Type::List(list))]);
    let error = refusal(events, Table::Traces, sample(Table::Traces, 4)).await;
    let expected = "column Events.element.Name is long in the table and string in ours";
    assert!(error.message().starts_with(expected), "{error}");
}

#[tokio::test]
async fn a_map_in_place_of_text_clashes() {
    let map = MapType::optional(
        2,
        Type::Primitive(PrimitiveType::String),
        3,
        Type::Primitive(PrimitiveType::Long),
    );
    let body = schema(vec![NestedField::optional(1, "Body", Type::Map(map))]);
    let error = refusal(body, Table::Logs, rows()).await;
    let expected = "column Body is map<string, long> in the table and string in ours";
    assert!(error.message().starts_with(expected), "{error}");
}

#[tokio::test]
async fn a_required_column_must_have_a_value_in_every_row() {
    let string = || Type::Primitive(PrimitiveType::String);
    for name in ["Tenant", "ServiceName"] {
        let table = schema(vec![
            optional(1, "Timestamp", PrimitiveType::Timestamptz),
            NestedField::required(2, name, string()),
        ]);
        let error = refusal(table, Table::Logs, rows()).await;
        let expected = format!(
            "column {name} is required in the table and our rows have no value for it; make it optional, \
             or name another table under tables.names.logs"
        );
        assert_eq!(error.message(), expected);
    }
    let complete = schema(vec![NestedField::required(1, "Body", string())]);
    let metadata = TestTable::with_schema(complete).build();
    let (written, file_io) = write_logs(&metadata, rows()).await;
    let footer = read(&file_io, &written.files[0]).await.1;
    let body = footer.file_metadata().schema_descr().column(0);
    assert_eq!(
        body.self_type().get_basic_info().repetition(),
        Repetition::REQUIRED
    );
}

#[tokio::test]
async fn nested_fields_are_matched_by_name_too() {
    let string = |id, name: &str| -> NestedFieldRef { Arc::new(optional(id, name, PrimitiveType::String)) };
    let link = StructType::new(vec![
        string(3, "NotOurs"),
        string(4, "SpanId"),
        string(5, "TraceId"),
    ]);
    let list = ListType::new(Arc::new(NestedField::list_element(2, Type::Struct(link), false)));
    let metadata =
        TestTable::with_schema(schema(vec![NestedField::optional(1, "Links", Type::List(list))])).build();
    let rows = sample(Table::Traces, 8);
    let (written, file_io) = write_with(&metadata, Table::Traces, rows, &ParquetConfig::default())
        .await
        .unwrap();
    let (read, footer) = read(&file_io, &written.files[0]).await;
    let leaves: Vec<(String, i32)> = footer
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|leaf| (leaf.path().string(), leaf.self_type().get_basic_info().id()))
        .collect();
    assert_eq!(
        leaves,
        [
            (
                "Links.list.element.SpanId".to_owned(),
                id(&metadata, "Links.element.SpanId")
            ),
            (
                "Links.list.element.TraceId".to_owned(),
                id(&metadata, "Links.element.TraceId")
            ),
        ]
    );
    assert_eq!(read.num_rows(), 8);
}

#[tokio::test]
async fn a_table_with_no_column_of_ours_is_refused() {
    let error = refusal(
        schema(vec![optional(1, "x", PrimitiveType::Int)]),
        Table::Logs,
        rows(),
    )
    .await;
    assert!(
        error.message().starts_with("the table has no column of ours"),
        "{error}"
    );
}
