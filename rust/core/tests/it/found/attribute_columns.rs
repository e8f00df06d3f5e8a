//! `tables.attribute_columns`, through the whole pipeline: in new tables, in existing tables, and for
//! partitioning.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_cast::cast;
use arrow_schema::DataType;
use iceberg::spec::PrimitiveType;
use otlp2iceberg::catalog::LoadedTable;
use otlp2iceberg::{Outcome, Pipeline, Result};

use super::support::{TIME, export_logs, loaded, made, open, rows};
use crate::commit_support::{Warehouse, entries};
use crate::decode::encode::{delimited, fixed64, nested};

const COLUMNS: &str = r#""tables": {"attribute_columns": [
    "http.route",
    {"attribute": "http.response.status_code", "column": "StatusCode", "type": "long", "tables": ["logs"]},
    {"attribute": "tenant", "from": "resource", "type": "string"},
    {"attribute": "took", "type": "double"}, {"attribute": "cached", "type": "boolean"},
    {"attribute": "shard", "from": "scope", "type": "long", "tables": ["traces"]}
]}"#;

/// The values of a row in the columns.
type Row = (
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<f64>,
    Option<bool>,
);

fn row(route: &str, status: i64, tenant: &str, took: f64, cached: bool) -> Row {
    (
        Some(route.to_owned()),
        Some(status),
        Some(tenant.to_owned()),
        Some(took),
        Some(cached),
    )
}

/// A `KeyValue` with a text.
fn attribute(key: &str, value: &str) -> Vec<u8> {
    [delimited(1, key), nested(&[2, 1], value)].concat()
}

/// A log record of each tenant with these attributes, all of them as text.
fn request(records: &[(&str, &[(&str, &str)])]) -> Vec<u8> {
    let resources = records.iter().flat_map(|(tenant, attributes)| {
        let resource = nested(&[1, 1], attribute("tenant", tenant));
        let attributes = attributes
            .iter()
            .flat_map(|(key, value)| delimited(6, attribute(key, value)));
        let record = [fixed64(1, TIME), attributes.collect()].concat();
        delimited(1, [resource, nested(&[2, 2], record)].concat())
    });
    resources.collect()
}

async fn export(pipeline: &Pipeline, sequence: u64, records: &[(&str, &[(&str, &str)])]) -> Result<Outcome> {
    export_logs(pipeline, sequence, &request(records)).await
}

async fn stored(warehouse: &Warehouse, sequence: u64, records: &[(&str, &[(&str, &str)])]) -> Outcome {
    let pipeline = open(warehouse).await;
    let outcome = export(&pipeline, sequence, records).await.expect("stored");
    pipeline.close().await;
    outcome
}

const CART: (&str, &[(&str, &str)]) = (
    "blue",
    &[
        ("http.route", "/cart"),
        ("http.response.status_code", "200"),
        ("took", "0.25"),
        ("cached", "true"),
    ],
);
const PAY: (&str, &[(&str, &str)]) = (
    "red",
    &[
        ("cached", "false"),
        ("took", "1e3"),
        ("http.response.status_code", "503"),
        ("http.route", "/pay"),
    ],
);

/// The columns of all rows, sorted.
async fn found(table: &LoadedTable) -> Vec<Row> {
    let mut found = Vec::new();
    for batch in rows(table).await {
        let column = |name: &str, data_type: &DataType| {
            let array = batch.column_by_name(name).expect("a column");
            cast(array, data_type).expect("of the type")
        };
        let route = column("HttpRoute", &DataType::Utf8);
        let status = column("StatusCode", &DataType::Int64);
        let tenant = column("Tenant", &DataType::Utf8);
        let took = column("Took", &DataType::Float64);
        let cached = column("Cached", &DataType::Boolean);
        let (route, tenant) = (route.as_string::<i32>(), tenant.as_string::<i32>());
        for (at, status) in status.as_primitive::<Int64Type>().iter().enumerate() {
            let text = |texts: &arrow_array::StringArray| texts.iter().nth(at).flatten().map(str::to_owned);
            let took = took.as_primitive::<Float64Type>().iter().nth(at).flatten();
            let cached = cached.as_boolean().iter().nth(at).flatten();
            found.push((text(route), status, text(tenant), took, cached));
        }
    }
    found.sort_by(|one, other| one.partial_cmp(other).expect("no NaN"));
    found
}

fn names(table: &LoadedTable) -> Vec<&str> {
    let fields = table.metadata.current_schema().as_struct().fields();
    fields.iter().map(|field| field.name.as_str()).collect()
}

#[tokio::test]
async fn a_new_table_has_them_after_its_own_columns() {
    let warehouse = Warehouse::with_sections(COLUMNS);
    let other = ("red", &[("http.route", "/pay"), ("took", "long")][..]);
    let outcome = stored(&warehouse, 1, &[CART, PAY, other]).await;
    assert_eq!((outcome.rows, outcome.values_left_out), (3, 0));
    let table = loaded(&warehouse).await;
    assert!(names(&table).ends_with(&[
        "ScopeDroppedAttributesCount",
        "HttpRoute",
        "StatusCode",
        "Tenant",
        "Took",
        "Cached"
    ]));
    let types: Vec<String> = table.metadata.current_schema().as_struct().fields()[20..]
        .iter()
        .map(|field| field.field_type.to_string())
        .collect();
    assert_eq!(types, ["string", "long", "string", "double", "boolean"]);
    let without = (Some("/pay".to_owned()), None, Some("red".to_owned()), None, None);
    assert_eq!(
        found(&table).await,
        [
            row("/cart", 200, "blue", 0.25, true),
            without,
            row("/pay", 503, "red", 1000.0, false)
        ]
    );
}

#[tokio::test]
async fn a_table_that_is_there_gets_them_and_old_rows_have_none() {
    let warehouse = Warehouse::new();
    stored(&warehouse, 1, &[CART]).await;
    let later = warehouse.reconfigured(COLUMNS);
    stored(&later, 2, &[PAY]).await;
    let table = loaded(&later).await;
    assert!(names(&table).ends_with(&["HttpRoute", "StatusCode", "Tenant", "Took", "Cached"]));
    let batches = rows(&table).await;
    let with: Vec<bool> = batches
        .iter()
        .map(|batch| batch.column_by_name("HttpRoute").is_some())
        .collect();
    assert_eq!(
        with.iter().filter(|with| **with).count(),
        1,
        "the first file was written without"
    );
}

/// Files from before the change are merged together, and so are those from after it, although files are first
/// selected by size only.
#[tokio::test]
async fn files_of_before_and_after_are_merged_with_their_like() {
    const OFTEN: &str = r#""compaction": {"min_files": 4}"#;
    let warehouse = Warehouse::with_sections(OFTEN);
    for sequence in 1..=3 {
        stored(&warehouse, sequence, &[CART]).await;
    }
    let later = warehouse.reconfigured(&format!("{OFTEN}, {COLUMNS}"));
    let pipeline = open(&later).await;
    export(&pipeline, 4, &[PAY]).await.expect("stored");
    let merged = async || {
        let done = pipeline.compact().await.expect("merged");
        (done.made, done.replaced)
    };
    assert_eq!(merged().await, (1, 3), "the three of before");
    for sequence in 5..=7 {
        export(&pipeline, sequence, &[PAY]).await.expect("stored");
        let done = if sequence == 7 { (1, 4) } else { (0, 0) };
        assert_eq!(merged().await, done, "after {sequence}");
    }
    pipeline.close().await;
    let table = loaded(&later).await;
    let files: Vec<u64> = entries(&table)
        .await
        .values()
        .map(|entry| entry.record_count())
        .collect();
    assert_eq!(files.iter().sum::<u64>(), 7);
    assert_eq!(files.len(), 2);
    let with = rows(&table)
        .await
        .into_iter()
        .filter(|batch| batch.column_by_name("HttpRoute").is_some());
    assert_eq!(with.map(|batch| batch.num_rows()).sum::<usize>(), 4);
}

#[tokio::test]
async fn without_evolution_their_values_are_left_out_and_counted() {
    let warehouse = Warehouse::new();
    stored(&warehouse, 1, &[CART]).await;
    let later =
        warehouse.reconfigured(r#""tables": {"auto_evolve": false, "attribute_columns": ["http.route"]}"#);
    let outcome = stored(&later, 2, &[PAY, PAY]).await;
    assert_eq!((outcome.rows, outcome.values_left_out), (2, 2));
    assert_eq!(names(&loaded(&later).await).len(), 20);
}

/// The maps contain the values, so the rows are stored.
#[tokio::test]
async fn values_of_another_type_than_the_tables_are_left_out_and_counted() {
    let warehouse = Warehouse::with_sections(COLUMNS);
    stored(&warehouse, 1, &[CART]).await;
    let later = warehouse.reconfigured(
        r#""tables": {"attribute_columns": [{"attribute": "http.route", "type": "long"}, {"attribute": "took", "type": "double"}]}"#,
    );
    let (_, cart) = CART;
    let numbers = [("http.route", "17"), cart[2]];
    let outcome = stored(&later, 2, &[("blue", &numbers)]).await;
    assert_eq!((outcome.rows, outcome.values_left_out), (1, 1));
    let table = loaded(&later).await;
    assert_eq!(table.metadata.schemas_iter().len(), 1);
    let mut found = Vec::new();
    for batch in rows(&table).await {
        let has_route = batch.column_by_name("HttpRoute").is_some();
        let took = batch
            .column_by_name("Took")
            .expect("a column")
            .as_primitive::<Float64Type>();
        found.push((has_route, took.value(0)));
    }
    found.sort_by_key(|(has_route, _)| *has_route);
    assert_eq!(found, [(false, 0.25), (true, 0.25)]);
}

/// In a column of our own, this would be an error.
#[tokio::test]
async fn a_table_with_such_a_column_of_another_type_takes_the_rows_and_gets_the_others() {
    let warehouse = Warehouse::with(r#"{"attribute_columns": ["http.route", "took"]}"#);
    made(
        &warehouse,
        &[
            ("Timestamp", PrimitiveType::Timestamptz),
            ("HttpRoute", PrimitiveType::Long),
        ],
    )
    .await;
    let outcome = stored(&warehouse, 1, &[CART]).await;
    assert_eq!((outcome.rows, outcome.values_left_out), (1, 1));
    assert!(names(&loaded(&warehouse).await).contains(&"Took"));
}

#[tokio::test]
async fn rows_are_partitioned_by_them() {
    let warehouse = Warehouse::with(
        r#"{"partition_by": ["day(Timestamp)", "identity(Tenant)", "truncate(100, Code)"],
            "attribute_columns": [{"attribute": "tenant", "from": "resource"},
                                  {"attribute": "http.response.status_code", "column": "Code", "type": "long"}]}"#,
    );
    stored(&warehouse, 1, &[CART, PAY, CART, ("red", &[])]).await;
    let table = loaded(&warehouse).await;
    let mut rows_of: BTreeMap<String, u64> = BTreeMap::new();
    for (path, entry) in entries(&table).await {
        let (_, partition) = path.split_once("Timestamp_day=").expect("partitioned");
        let (partition, _) = partition.rsplit_once('/').expect("a file");
        let (_, partition) = partition.split_once('/').expect("more than a day");
        *rows_of.entry(partition.to_owned()).or_default() += entry.record_count();
    }
    let wanted = [
        ("Tenant=blue/Code_trunc=200", 2),
        ("Tenant=red/Code_trunc=500", 1),
        ("Tenant=red/Code_trunc=null", 1),
    ];
    let wanted: BTreeMap<String, u64> = wanted.map(|(path, rows)| (path.to_owned(), rows)).into();
    assert_eq!(rows_of, wanted);
}
