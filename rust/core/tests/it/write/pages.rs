//! How many rows pages hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use otlp2iceberg::config::ParquetConfig;
use otlp2iceberg::convert::{ConvertOptions, ValueLimits, convert};
use otlp2iceberg::{Signal, Table};
use prost::Message;

use super::support::{DAY, TestTable, batch, encode_with, footer, rows_of, times};

/// Rows of DuckDB's vectors.
const VECTOR: i64 = 2048;

fn file(properties: &[(&str, &str)], batch: &RecordBatch) -> Bytes {
    let metadata = TestTable::ours(Table::Logs).properties(properties).build();
    let encoded = encode_with(&metadata, Table::Logs, batch.clone(), &ParquetConfig::default());
    let mut files = encoded.unwrap().files;
    assert_eq!(files.len(), 1);
    files.remove(0).bytes
}

/// The first row of each page, by column.
fn first_rows(file: &Bytes) -> BTreeMap<String, Vec<i64>> {
    let footer = footer(file);
    assert_eq!(footer.num_row_groups(), 1);
    let offsets = &footer.offset_index().unwrap()[0];
    let columns = footer.row_group(0).columns().iter();
    let columns = columns.zip(offsets).map(|(column, offsets)| {
        let pages = offsets.page_locations().iter();
        (
            column.column_path().string(),
            pages.map(|page| page.first_row_index).collect(),
        )
    });
    columns.collect()
}

#[test]
fn pages_are_of_whole_vectors_and_of_more_rows_where_values_are_few() {
    let rows = 100_000;
    let numbered = |prefix: &str, different: i64| -> ArrayRef {
        let texts = (0..rows).map(|row| format!("{prefix}{}", row % different));
        Arc::new(StringArray::from_iter_values(texts))
    };
    let nothing: ArrayRef = Arc::new(StringArray::new_null(rows as usize));
    let batch = batch(&[
        ("Timestamp", times(DAY..DAY + rows)),
        ("ServiceName", numbered("service-", 256)),
        ("EventName", numbered("event-", 257)),
        ("Body", nothing.clone()),
        ("SpanId", nothing),
    ]);
    let (most, narrow) = (vec![0, 20_480, 40_960, 61_440, 81_920], vec![0, 61_440]);
    let pages = first_rows(&file(&[], &batch));
    for (column, expected) in [
        ("Timestamp", &most),
        ("ServiceName", &narrow),
        ("EventName", &most),
        ("Body", &narrow),
        ("SpanId", &narrow),
    ] {
        assert_eq!(&pages[column], expected, "{column}");
    }
    let limited = first_rows(&file(&[("write.parquet.page-row-limit", "50000")], &batch));
    for column in ["Timestamp", "ServiceName", "EventName", "Body", "SpanId"] {
        assert_eq!(limited[column], [0, 50_000], "{column}");
    }
}

fn attribute(key: &str, text: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }),
        ..Default::default()
    }
}

/// Few values in the first 50,000 rows, and then hundreds or thousands, in columns of each kind: a text and a
/// label with nulls in between, a list, maps that rows share.
fn request(rows: usize) -> ExportLogsServiceRequest {
    const ROWS_PER_RESOURCE: usize = 200;
    let few_then_many = |row: usize, many: usize| if row < 50_000 { row % 200 } else { row % many };
    let record = |row: usize| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000 + row as u64 * 1000,
        severity_text: match row % 7 {
            0 => String::new(),
            _ => format!("severity {}", few_then_many(row, 1000)),
        },
        trace_id: match row {
            ..45_000 => vec![],
            _ => (row as u128 + 1).to_be_bytes().to_vec(),
        },
        attributes: (0..row % 3)
            .map(|number| attribute(&format!("key {number}"), few_then_many(row, 9000).to_string()))
            .collect(),
        ..Default::default()
    };
    let resources = (0..rows.div_ceil(ROWS_PER_RESOURCE)).map(|number| {
        let start = number * ROWS_PER_RESOURCE;
        ResourceLogs {
            resource: Some(Resource {
                attributes: vec![attribute("pod", format!("pod {number}"))],
                ..Default::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: (start..rows.min(start + ROWS_PER_RESOURCE)).map(record).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    });
    ExportLogsServiceRequest {
        resource_logs: resources.collect(),
    }
}

#[test]
fn pages_in_which_values_become_many_are_of_whole_vectors_too() {
    let options = ConvertOptions {
        arrival_time_unix_nano: 1_700_000_000_000_000_000,
        column_bytes_max: 64 << 20,
        batch_bytes_max: 256 << 20,
        values: ValueLimits::default(),
    };
    let converted = convert(Signal::Logs, &request(100_000).encode_to_vec(), &options).unwrap();
    assert_eq!(converted.batches.len(), 1);
    let batch = &converted.batches[0].batch;
    let ours = file(&[], batch);
    // Written by the parquet crate, because our encoder does not support snappy.
    let theirs = file(&[("write.parquet.compression-codec", "snappy")], batch);
    assert!(
        rows_of(&ours) == rows_of(&theirs),
        "rows are not as the parquet crate writes them"
    );

    let pages = first_rows(&ours);
    for (column, first_rows) in &pages {
        let whole = first_rows.iter().all(|row| row % VECTOR == 0);
        assert!(whole, "{column}: {first_rows:?}");
    }
    for column in [
        "SeverityText",
        "TraceId",
        "LogAttributes.key_value.value",
        "ResourceAttributes.key_value.value",
    ] {
        assert_eq!(pages[column], [0, 61_440, 81_920], "{column}");
    }
    assert_eq!(pages["LogAttributes.key_value.key"], [0, 61_440]);
}
