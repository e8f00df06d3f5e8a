//! `tables.column_case`, through the whole pipeline: in new tables, for added columns, and beside tables and files in
//! the other case.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Fields};
use iceberg::TableIdent;
use iceberg::spec::PrimitiveType::{Long, String as Text, Timestamptz};
use otlp2iceberg::catalog::LoadedTable;
use otlp2iceberg::schema::{columns, sort_columns, time_column};
use otlp2iceberg::write::register::{Footer, Tail, describe, table_of};
use otlp2iceberg::{Export, Part, RequestId, Signal, Table};
use tokio_util::sync::CancellationToken;

use super::support::{TIME, export_logs, loaded, made, open, rows, stored};
use crate::commit_support::{Warehouse, entries};
use crate::decode::encode::{delimited, fixed64, nested};

const PAYLOADS: [(Signal, &[u8]); 3] = [
    (Signal::Logs, include_bytes!("../../../../../testdata/logs.binpb")),
    (
        Signal::Traces,
        include_bytes!("../../../../../testdata/traces.binpb"),
    ),
    (
        Signal::Metrics,
        include_bytes!("../../../../../testdata/metrics.binpb"),
    ),
];

/// A warehouse with rows in every table.
async fn filled(case: &str) -> Warehouse {
    let warehouse = Warehouse::with(&format!(r#"{{"column_case": "{case}"}}"#));
    let pipeline = open(&warehouse).await;
    for (sequence, (signal, payload)) in (1..).zip(PAYLOADS) {
        let id = RequestId {
            writer: [7; 16],
            sequence,
        };
        let len = payload.len() as u64;
        let outcome = pipeline
            .export(Export {
                signal,
                payload,
                parts: &[Part { id, len }],
                received_unix_nano: TIME,
                cancel: CancellationToken::new(),
                timeout: Duration::from_secs(60),
            })
            .await
            .expect("stored");
        assert_eq!(outcome.values_left_out, 0, "{case}");
    }
    pipeline.close().await;
    warehouse
}

async fn loaded_as(warehouse: &Warehouse, table: Table) -> LoadedTable {
    let ident = TableIdent::from_strs(["otel", table.default_name()]).expect("ident");
    warehouse.catalog().await.load(&ident).await.expect("loads")
}

/// The names of fields and of what is in their structs.
fn names(fields: &Fields, found: &mut Vec<String>) {
    for field in fields {
        found.push(field.name().clone());
        match field.data_type() {
            DataType::Struct(inside) => names(inside, found),
            DataType::List(element) => names(&Fields::from(vec![Arc::clone(element)]), found),
            _ => {}
        }
    }
}

fn names_in(batches: &[RecordBatch]) -> Vec<String> {
    let mut found = Vec::new();
    names(
        batches.first().expect("a batch").schema_ref().fields(),
        &mut found,
    );
    found
}

/// Each row as text in lower case, sorted: texts of structs hold the names of their fields.
fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let mut found = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let columns = batch.columns().iter();
            let values: Vec<String> = columns
                .map(|column| format!("{:?}", column.slice(row, 1)))
                .collect();
            found.push(values.join(" | ").to_lowercase());
        }
    }
    found.sort();
    found
}

fn lower(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn top_names(table: &LoadedTable) -> Vec<&str> {
    let fields = table.metadata.current_schema().as_struct().fields();
    fields.iter().map(|field| field.name.as_str()).collect()
}

#[tokio::test]
async fn rows_of_every_kind_are_the_same_in_both_cases() {
    let (pascal, folded) = (filled("pascal").await, filled("lower").await);
    for table in Table::ALL {
        let ours = rows(&loaded_as(&pascal, table).await).await;
        let theirs = rows(&loaded_as(&folded, table).await).await;
        assert!(!ours.is_empty(), "{table:?}");
        assert_eq!(texts(&theirs), texts(&ours), "{table:?}");
        assert_eq!(names_in(&theirs), lower(&names_in(&ours)), "{table:?}");
        assert_ne!(names_in(&theirs), names_in(&ours), "{table:?}");
    }
}

#[tokio::test]
async fn a_new_tables_layout_and_properties_follow_the_case() {
    let warehouse = filled("lower").await;
    for table in Table::ALL {
        let loaded = loaded_as(&warehouse, table).await;
        let schema = loaded.metadata.current_schema();
        let expected: Vec<String> = columns(table, &[])
            .iter()
            .map(|column| column.name.to_ascii_lowercase())
            .collect();
        assert_eq!(top_names(&loaded), expected);
        assert!(
            schema
                .field_id_to_name_map()
                .values()
                .all(|name| *name == name.to_ascii_lowercase()),
            "{table:?}"
        );
        let spec = loaded.metadata.default_partition_spec();
        let partitions: Vec<&str> = spec.fields().iter().map(|field| field.name.as_str()).collect();
        let time = time_column(table).to_ascii_lowercase();
        assert_eq!(partitions, [format!("{time}_day")]);
        for path in entries(&loaded).await.keys() {
            assert!(path.contains(&format!("/data/{time}_day=")), "{path}");
        }
        let order = loaded.metadata.default_sort_order();
        let sorted: Vec<Option<&str>> = order
            .fields
            .iter()
            .map(|field| schema.name_by_field_id(field.source_id))
            .collect();
        let expected: Vec<String> = sort_columns(table)
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        assert_eq!(
            sorted,
            expected
                .iter()
                .map(|name| Some(name.as_str()))
                .collect::<Vec<_>>()
        );
        let filters: Vec<&String> = loaded
            .metadata
            .properties()
            .keys()
            .filter(|key| key.contains(".column."))
            .collect();
        let expected: &[&str] = match table {
            Table::Logs | Table::Traces => &["write.parquet.bloom-filter-enabled.column.traceid"],
            _ => &[],
        };
        assert_eq!(filters, expected, "{table:?}");
    }
}

/// The Lambda registers files that another process wrote, maybe in the other case.
#[tokio::test]
async fn files_of_either_case_are_registered_in_tables_of_either_case() {
    let (pascal, folded) = (filled("pascal").await, filled("lower").await);
    for table in Table::ALL {
        let (ours, theirs) = (loaded_as(&pascal, table).await, loaded_as(&folded, table).await);
        for (from, into, tables) in [
            (&ours, &theirs, &folded.config.tables),
            (&theirs, &ours, &pascal.config.tables),
        ] {
            for path in entries(from).await.keys() {
                let input = from.file_io.new_input(path).expect("input");
                let bytes = input.read().await.expect("file is there");
                let Tail::Whole(footer) = Footer::read(&bytes, bytes.len() as u64).expect("Parquet") else {
                    panic!("the whole file is there");
                };
                assert_eq!(
                    table_of("some/where.parquet", &footer, tables).expect("known"),
                    table
                );
                let described = describe(&into.metadata, path, &footer).expect("fits");
                assert_eq!(described.name_mapping, None, "its ids are the table's");
            }
        }
    }
}

const ROUTES: &str = r#""tables": {"column_case": "lower", "attribute_columns": [
    "http.route", {"attribute": "took", "column": "TookMs", "type": "long"}
]}"#;

/// A log record with a route.
fn routed() -> Vec<u8> {
    let route = [delimited(1, "http.route"), nested(&[2, 1], "/cart")].concat();
    let record = [fixed64(1, TIME), delimited(6, route)].concat();
    nested(&[1, 2, 2], record)
}

#[tokio::test]
async fn added_columns_follow_the_case_and_columns_of_the_table_do_not_change() {
    let warehouse = Warehouse::with_sections(ROUTES);
    made(&warehouse, &[("Timestamp", Timestamptz), ("body", Text)]).await;
    let pipeline = open(&warehouse).await;
    let outcome = export_logs(&pipeline, 1, &routed()).await.expect("stored");
    pipeline.close().await;
    assert_eq!((outcome.rows, outcome.values_left_out), (1, 0));
    let table = loaded(&warehouse).await;
    let found = top_names(&table);
    assert_eq!(found[..2], ["Timestamp", "body"]);
    assert!(
        found[2..].iter().all(|name| *name == name.to_ascii_lowercase()),
        "{found:?}"
    );
    assert!(found.contains(&"traceid") && found.ends_with(&["httproute", "tookms"]));
    assert_eq!(
        found.len(),
        columns(Table::Logs, &[]).len() + 2,
        "none comes twice"
    );
    assert_eq!(super::support::values(&table, "httproute").await, ["/cart"]);
}

#[tokio::test]
async fn tables_of_the_other_case_take_rows_without_a_change() {
    for (made_in, written_in) in [("pascal", "lower"), ("lower", "pascal")] {
        let tables = |case: &str| format!(r#""tables": {{"column_case": "{case}"}}"#);
        let warehouse = Warehouse::with_sections(&tables(made_in));
        stored(&warehouse, 1, &["one"]).await;
        let later = warehouse.reconfigured(&tables(written_in));
        assert_eq!(stored(&later, 2, &["two"]).await.values_left_out, 0);
        let table = loaded(&later).await;
        assert_eq!(table.metadata.schemas_iter().len(), 1, "{written_in}");
        let body = if made_in == "lower" { "body" } else { "Body" };
        assert_eq!(super::support::values(&table, body).await, ["one", "two"]);
    }
}

/// The table's column is that of the attribute, although its name has another case.
#[tokio::test]
async fn an_attributes_column_of_another_type_is_left_alone() {
    let warehouse = Warehouse::with_sections(ROUTES);
    made(&warehouse, &[("timestamp", Timestamptz), ("httproute", Long)]).await;
    let pipeline = open(&warehouse).await;
    let outcome = export_logs(&pipeline, 1, &routed()).await.expect("stored");
    pipeline.close().await;
    assert_eq!((outcome.rows, outcome.values_left_out), (1, 1));
}

/// Without a catalog, the files have the names that a new table would have.
#[tokio::test]
async fn files_without_a_catalog_follow_the_case() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let json = format!(
        r#"{{"catalog": {{"type": "none", "warehouse": "{}"}}, "tables": {{"column_case": "lower"}}}}"#,
        folder.path().display()
    );
    let config = otlp2iceberg::config::Config::from_json(json.as_bytes()).expect("valid");
    let pipeline = otlp2iceberg::Pipeline::open(config).await.expect("opens");
    export_logs(&pipeline, 1, &routed()).await.expect("stored");
    pipeline.close().await;
    let partition = folder.path().join("otel/logs/timestamp_day=2025-06-16");
    let names: Vec<_> = std::fs::read_dir(&partition).expect("a folder").collect();
    assert_eq!(names.len(), 1);
    let path = names[0].as_ref().expect("entry").path();
    let file = std::fs::File::open(path).expect("opens");
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let fields = reader.schema().fields();
    assert!(
        fields.iter().any(|field| field.name() == "servicename"),
        "{fields:?}"
    );
    assert!(
        fields
            .iter()
            .all(|field| *field.name() == field.name().to_ascii_lowercase())
    );
}
