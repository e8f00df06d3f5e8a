//! A warehouse with tables of others, the library opened on it like a process, and rows read back.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_cast::cast;
use arrow_schema::DataType;
use iceberg::TableUpdate;
use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
use otlp2iceberg::catalog::{CommitOutcome, LoadedTable, TableSpec};
use otlp2iceberg::{Export, Outcome, Part, Pipeline, RequestId, Result, Signal};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio_util::sync::CancellationToken;

use crate::commit_support::{Warehouse, entries, logs};
use crate::decode::encode::{delimited, fixed64, nested};

/// 2025-06-16 16:00:00 UTC.
pub const TIME: u64 = 1_750_089_600_000_000_000;

/// A logs request with a record for each body, a second apart.
pub fn request(bodies: &[&str]) -> Vec<u8> {
    let records = bodies.iter().zip(0..).flat_map(|(body, second)| {
        let time = fixed64(1, TIME + second * 1_000_000_000);
        delimited(2, [time, nested(&[5, 1], body)].concat())
    });
    nested(&[1, 2], records.collect::<Vec<u8>>())
}

/// Stores one request.
pub async fn export(pipeline: &Pipeline, sequence: u64, bodies: &[&str]) -> Result<Outcome> {
    export_logs(pipeline, sequence, &request(bodies)).await
}

/// Stores a request of logs.
pub async fn export_logs(pipeline: &Pipeline, sequence: u64, payload: &[u8]) -> Result<Outcome> {
    let id = RequestId {
        writer: [7; 16],
        sequence,
    };
    let len = payload.len() as u64;
    pipeline
        .export(Export {
            signal: Signal::Logs,
            payload,
            parts: &[Part { id, len }],
            received_unix_nano: TIME,
            cancel: CancellationToken::new(),
            timeout: Duration::from_secs(60),
        })
        .await
}

/// The library opened on the warehouse.
pub async fn open(warehouse: &Warehouse) -> Pipeline {
    Pipeline::open(warehouse.config.clone()).await.expect("opens")
}

/// Opens the library, stores one request and closes it.
pub async fn stored(warehouse: &Warehouse, sequence: u64, bodies: &[&str]) -> Outcome {
    let pipeline = open(warehouse).await;
    let outcome = export(&pipeline, sequence, bodies).await.expect("stored");
    pipeline.close().await;
    outcome
}

/// A table of logs with these columns, all optional, in this order, without partitions.
pub async fn made(warehouse: &Warehouse, columns: &[(&str, PrimitiveType)]) -> LoadedTable {
    let fields = (1..).zip(columns).map(|(id, (name, primitive))| {
        Arc::new(NestedField::optional(
            id,
            *name,
            Type::Primitive(primitive.clone()),
        ))
    });
    let spec = TableSpec {
        schema: Schema::builder().with_fields(fields).build().expect("schema"),
        partition_spec: iceberg::spec::UnboundPartitionSpec::builder().build(),
        sort_order: iceberg::spec::SortOrder::unsorted_order(),
        properties: warehouse.config.tables.properties.clone().into_iter().collect(),
    };
    warehouse
        .catalog()
        .await
        .ensure(&logs(), Some(spec))
        .await
        .expect("made")
}

pub async fn loaded(warehouse: &Warehouse) -> LoadedTable {
    warehouse.catalog().await.load(&logs()).await.expect("loads")
}

/// Changes the table as another tool would.
pub async fn changed(warehouse: &Warehouse, updates: Vec<TableUpdate>) -> LoadedTable {
    let catalog = warehouse.catalog().await;
    let base = catalog.load(&logs()).await.expect("loads");
    match catalog.commit(&base, Vec::new(), updates).await {
        CommitOutcome::Committed(table) => table,
        other => panic!("{other:?}"),
    }
}

/// The rows of all live files of the current snapshot, by file.
pub async fn rows(table: &LoadedTable) -> Vec<RecordBatch> {
    let mut rows = Vec::new();
    for path in entries(table).await.keys() {
        let input = table.file_io.new_input(path).expect("input");
        let bytes = input.read().await.expect("file is there");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet");
        rows.extend(reader.build().expect("reader").map(|batch| batch.expect("rows")));
    }
    rows
}

/// A string column of all rows, sorted.
pub async fn values(table: &LoadedTable, column: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for batch in rows(table).await {
        let array = batch.column_by_name(column).expect("column");
        let strings = cast(array, &DataType::Utf8).expect("strings");
        let strings = strings.as_string::<i32>();
        values.extend(strings.iter().map(|value| value.expect("not null").to_owned()));
    }
    values.sort();
    values
}
