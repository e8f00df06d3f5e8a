//! Our columns in tables that differ slightly from ours.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int32Array, RecordBatch};
use iceberg::spec::{
    Datum, ListType, Literal, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType,
    Transform, Type,
};
use otlp2iceberg::config::ParquetConfig;
use otlp2iceberg::{Error, ErrorKind, RetryClass, Table};
use parquet::basic::Repetition;

use super::support::{
    DAY, TestTable, batch, encode_with, id, integers, labels, read, strings, texts, times, write_logs,
    write_with,
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
        "column Body is binary in the table and string in ours; rename or drop the table's, or name another \
         table under tables.names.logs (location: memory://warehouse/otel/logs)"
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

#[tokio::test]
async fn a_long_of_ours_fits_no_int_and_a_double_no_float() {
    for (column, primitive, expected) in [
        (
            "Count",
            PrimitiveType::Int,
            "column Count is int in the table and long in ours",
        ),
        (
            "Sum",
            PrimitiveType::Float,
            "column Sum is float in the table and double in ours",
        ),
    ] {
        let rows = sample(Table::Histogram, 3);
        let error = refusal(
            schema(vec![optional(1, column, primitive)]),
            Table::Histogram,
            rows,
        )
        .await;
        assert!(error.message().starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn times_of_ours_go_into_a_column_of_nanoseconds() {
    let table = TestTable::with_schema(schema(vec![optional(
        1,
        "Timestamp",
        PrimitiveType::TimestamptzNs,
    )]));
    let metadata = table.partitioned(&[("Timestamp", Transform::Day)]).build();
    let (written, file_io) = write_logs(&metadata, rows()).await;
    let file = &written.files[0];
    assert_eq!(
        integers(&read(&file_io, file).await.0, "Timestamp"),
        [Some(DAY * 1000), Some((DAY + 1) * 1000)]
    );
    assert_eq!(
        file.upper_bounds()[&id(&metadata, "Timestamp")],
        Datum::timestamptz_nanos((DAY + 1) * 1000)
    );
    let day = i32::try_from(DAY / 86_400_000_000).unwrap();
    assert_eq!(file.partition().fields(), [Some(Literal::date(day))]);
}

/// AWS Glue creates our columns like this.
#[tokio::test]
async fn columns_in_another_case_are_ours() {
    let name = NestedField::optional(5, "name", Type::Primitive(PrimitiveType::String));
    let events = ListType::new(Arc::new(NestedField::list_element(
        4,
        Type::Struct(StructType::new(vec![Arc::new(name)])),
        true,
    )));
    let metadata = TestTable::with_schema(schema(vec![
        optional(1, "timestamp", PrimitiveType::Timestamptz),
        optional(2, "traceid", PrimitiveType::String),
        NestedField::optional(3, "events", Type::List(events)),
        optional(6, "SERVICENAME", PrimitiveType::String),
    ]))
    .partitioned(&[("timestamp", Transform::Day)])
    .build();
    let (written, file_io) = write_with(
        &metadata,
        Table::Traces,
        sample(Table::Traces, 8),
        &ParquetConfig::default(),
    )
    .await
    .unwrap();
    let (read, footer) = read(&file_io, &written.files[0]).await;
    assert_eq!(
        strings(&read, "SERVICENAME"),
        vec![Some("ServiceName".to_owned()); 8]
    );
    assert_eq!(integers(&read, "timestamp")[7], Some(DAY + 7));
    let leaves: Vec<(String, bool, bool)> = footer
        .row_group(0)
        .columns()
        .iter()
        .map(|chunk| {
            (
                chunk.column_path().string(),
                chunk.dictionary_page_offset().is_some(),
                chunk.bloom_filter_offset().is_some(),
            )
        })
        .collect();
    let leaf = |name: &str, dictionary, bloom_filter| (name.to_owned(), dictionary, bloom_filter);
    assert_eq!(
        leaves,
        [
            leaf("timestamp", false, false),
            leaf("traceid", false, true),
            leaf("events.list.element.name", false, false),
            leaf("SERVICENAME", true, false),
        ]
    );
    assert!(written.files[0].file_path().contains("/data/timestamp_day="));
}

#[tokio::test]
async fn two_columns_that_differ_in_case_alone_are_refused_unless_one_is_ours_to_the_letter() {
    let theirs = |names: &[&str]| {
        let columns = (1..)
            .zip(names)
            .map(|(id, name)| optional(id, name, PrimitiveType::String));
        schema(columns.collect())
    };
    let error = refusal(theirs(&["body", "BODY"]), Table::Logs, rows()).await;
    assert_eq!(
        error.message(),
        "columns body and BODY of the table differ in case alone, and our Body could go into either; rename or drop \
         one of the table's, or name another table under tables.names.logs"
    );
    let metadata = TestTable::with_schema(theirs(&["body", "BODY", "Body"])).build();
    let (written, file_io) = write_logs(&metadata, rows()).await;
    let read = read(&file_io, &written.files[0]).await.0;
    assert_eq!(read.num_columns(), 1);
    assert_eq!(strings(&read, "Body"), [Some("one".into()), Some("two".into())]);
}

#[tokio::test]
async fn what_the_table_requires_and_we_do_not_have_is_refused() {
    let required = NestedField::required(2, "Tenant", Type::Primitive(PrimitiveType::String));
    let error = refusal(
        schema(vec![optional(1, "Body", PrimitiveType::String), required]),
        Table::Logs,
        rows(),
    )
    .await;
    assert_eq!(
        error.message(),
        "column Tenant is required in the table and our rows have no value for it; make it optional, or name another \
         table under tables.names.logs"
    );
    let map = MapType::required(
        2,
        Type::Primitive(PrimitiveType::String),
        3,
        Type::Primitive(PrimitiveType::String),
    );
    let attributes = schema(vec![NestedField::optional(1, "SpanAttributes", Type::Map(map))]);
    let error = refusal(attributes, Table::Traces, sample(Table::Traces, 9)).await;
    assert!(
        error
            .message()
            .starts_with("column SpanAttributes.value is required in the table"),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_table_has_no_column_for_is_told() {
    let name = NestedField::optional(3, "Name", Type::Primitive(PrimitiveType::String));
    let list = ListType::new(Arc::new(NestedField::list_element(
        2,
        Type::Struct(StructType::new(vec![Arc::new(name)])),
        true,
    )));
    let metadata = TestTable::with_schema(schema(vec![
        NestedField::optional(1, "Events", Type::List(list)),
        optional(4, "Timestamp", PrimitiveType::Timestamptz),
    ]))
    .build();
    let all = sample(Table::Traces, 8);
    let rows = all
        .project(
            &["Timestamp", "TraceId", "SpanAttributes", "Events"]
                .map(|name| all.schema().index_of(name).unwrap()),
        )
        .unwrap();
    let values = |name: &str| {
        let column = rows.column_by_name(name).unwrap();
        (column.len() - column.null_count()) as u64
    };
    let events = rows.column_by_name("Events").unwrap();
    let events = events.as_list::<i32>().values().as_struct();
    let inside: u64 = ["Timestamp", "Attributes", "DroppedAttributesCount"]
        .map(|name| {
            let column = events.column_by_name(name).unwrap();
            (column.len() - column.null_count()) as u64
        })
        .iter()
        .sum();
    let encoded = encode_with(&metadata, Table::Traces, rows.clone(), &ParquetConfig::default()).unwrap();
    let columns: Vec<&str> = encoded.left_out.columns.iter().map(String::as_str).collect();
    assert_eq!(
        columns,
        [
            "Events.element.Attributes",
            "Events.element.DroppedAttributesCount",
            "Events.element.Timestamp",
            "SpanAttributes",
            "TraceId",
        ]
    );
    assert!(inside > 0);
    assert_eq!(
        encoded.left_out.values,
        values("TraceId") + values("SpanAttributes") + inside
    );
}

#[tokio::test]
async fn default_values_of_columns_of_others_are_written() {
    let string = |value: &str| Literal::string(value);
    let fields = vec![
        optional(1, "Body", PrimitiveType::String),
        optional(2, "both", PrimitiveType::String)
            .with_initial_default(string("old"))
            .with_write_default(string("new")),
        optional(3, "initial", PrimitiveType::Long).with_initial_default(Literal::long(7)),
        NestedField::required(4, "required", Type::Primitive(PrimitiveType::Date))
            .with_write_default(Literal::date(9)),
        optional(5, "none", PrimitiveType::Int),
        optional(
            6,
            "price",
            PrimitiveType::Decimal {
                precision: 10,
                scale: 2,
            },
        )
        .with_write_default(Literal::decimal(1999)),
        optional(7, "opens", PrimitiveType::Time).with_write_default(Literal::time(3_600_000_001)),
        optional(8, "code", PrimitiveType::Fixed(3)).with_write_default(Literal::fixed(*b"abc")),
    ];
    let metadata = TestTable::with_schema(schema(fields)).build();
    let (written, file_io) = write_logs(&metadata, rows()).await;
    let read = read(&file_io, &written.files[0]).await.0;
    assert_eq!(strings(&read, "both"), vec![Some("new".to_owned()); 2]);
    assert_eq!(
        integers(&read, "initial"),
        [None, None],
        "left out it would read as its initial default"
    );
    assert_eq!(strings(&read, "required"), vec![Some("1970-01-10".to_owned()); 2]);
    assert!(read.column_by_name("none").is_none());
    assert_eq!(strings(&read, "price"), vec![Some("19.99".to_owned()); 2]);
    assert_eq!(
        strings(&read, "opens"),
        vec![Some("01:00:00.000001".to_owned()); 2]
    );
    let codes = read.column_by_name("code").unwrap().as_fixed_size_binary();
    assert_eq!(codes.iter().collect::<Vec<_>>(), [Some(&b"abc"[..]); 2]);
    assert_eq!(written.files[0].null_value_counts()[&id(&metadata, "initial")], 2);

    let uuid = optional(2, "uuid", PrimitiveType::Uuid).with_write_default(Literal::uuid(uuid::Uuid::nil()));
    let fields = schema(vec![optional(1, "Body", PrimitiveType::String), uuid]);
    let error = refusal(fields, Table::Logs, rows()).await;
    assert!(
        error
            .message()
            .starts_with("column uuid has a default value of type uuid, which cannot be written"),
        "{error}"
    );
}

/// Other engines could not read its manifests, and we read null for its partition values.
#[tokio::test]
async fn a_partition_field_that_avro_cannot_name_makes_rows_wait() {
    let fields = vec![
        optional(1, "Body", PrimitiveType::String),
        optional(2, "svc-name", PrimitiveType::String),
    ];
    let metadata = TestTable::with_schema(schema(fields))
        .partitioned(&[("svc-name", Transform::Identity)])
        .build();
    let error = write_with(&metadata, Table::Logs, rows(), &ParquetConfig::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    assert!(error.to_string().contains("svc-name"), "{error}");
}

#[tokio::test]
async fn an_encrypted_table_is_refused() {
    let metadata = TestTable::ours(Table::Logs)
        .property("encryption.key-id", "key")
        .build();
    let error = write_with(&metadata, Table::Logs, rows(), &ParquetConfig::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
    assert!(
        error
            .message()
            .starts_with("the table is encrypted (encryption.key-id)"),
        "{error}"
    );
}
