//! Files described from their footers, as if they were written by others.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch};
use iceberg::spec::{DataFile, Literal, NestedField, PrimitiveType, Schema, TableMetadata, Transform, Type};
use otlp2iceberg::config::ParquetConfig;
use otlp2iceberg::schema::{ColumnCase, iceberg_schema};
use otlp2iceberg::write::register::{Described, FOOTER_BYTES_MAX, Footer, Tail, describe, table_of};
use otlp2iceberg::{ErrorKind, Result, RetryClass, Table};
use parquet::arrow::ArrowWriter;

use super::support::{DAY, TestTable, batch, encode_with, id, labels, texts, times};

const LOCATION: &str = "s3://elsewhere/logs/file.parquet";

fn footer(bytes: &[u8]) -> Result<Footer> {
    match Footer::read(bytes, bytes.len() as u64)? {
        Tail::Whole(footer) => Ok(*footer),
        Tail::Needs(bytes) => panic!("{bytes} bytes are there"),
    }
}

fn rows(count: i64) -> RecordBatch {
    let bodies: Vec<String> = (0..count).map(|row| format!("{row:03}").repeat(30)).collect();
    let numbers: ArrayRef = Arc::new(
        (0..count as i32)
            .map(|n| (n % 2 == 0).then_some(n))
            .collect::<Int32Array>(),
    );
    batch(&[
        ("Timestamp", times((0..count).map(|row| DAY + row * 1_000_000))),
        (
            "ServiceName",
            labels((0..count).map(|row| (row % 3 > 0).then_some("service"))),
        ),
        ("SeverityNumber", numbers),
        ("Body", texts(bodies.iter().map(|body| Some(body.as_str())))),
    ])
}

/// The only file of a batch, and its entry from the write stage.
fn written(
    metadata: &TableMetadata,
    table: Table,
    rows: RecordBatch,
    group_rows: usize,
) -> (Vec<u8>, DataFile) {
    let config = ParquetConfig {
        max_row_group_rows: Some(group_rows),
        ..ParquetConfig::default()
    };
    let encoded = encode_with(metadata, table, rows, &config).unwrap();
    let [file] = <[_; 1]>::try_from(encoded.files).unwrap();
    (file.bytes.to_vec(), file.data_file)
}

fn described(metadata: &TableMetadata, bytes: &[u8]) -> Result<Described> {
    describe(metadata, LOCATION, &footer(bytes)?)
}

#[test]
fn a_footer_says_what_the_rows_say() {
    let metadata = TestTable::default(Table::Logs).build();
    let (bytes, ours) = written(&metadata, Table::Logs, rows(100), 30);
    let Described {
        data_file,
        name_mapping,
    } = described(&metadata, &bytes).unwrap();
    assert_eq!(name_mapping, None, "our files have ids");
    assert_eq!(data_file.file_path(), LOCATION);
    assert_eq!(data_file.partition(), ours.partition());
    assert_eq!(data_file.record_count(), 100);
    assert_eq!(data_file.file_size_in_bytes(), ours.file_size_in_bytes());
    assert_eq!(data_file.split_offsets(), ours.split_offsets());
    assert_eq!(data_file.column_sizes(), ours.column_sizes());
    assert_eq!(data_file.value_counts(), ours.value_counts());
    assert_eq!(data_file.null_value_counts(), ours.null_value_counts());
    assert_eq!(data_file.lower_bounds(), ours.lower_bounds());
    // Parquet truncates texts at 64 bytes and increments the last byte. Cut to 16, they are equal again.
    assert_eq!(data_file.upper_bounds(), ours.upper_bounds());
    assert_eq!(ours.split_offsets(), Some(&[4][..]), "its row groups are small");
}

#[test]
fn zeros_take_the_sign_that_covers_both_and_nan_is_no_bound() {
    let metadata = TestTable::ours(Table::Gauge).build();
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN]));
    let rows = batch(&[("TimeUnix", times([DAY; 3])), ("Value", values)]);
    let (bytes, ours) = written(&metadata, Table::Gauge, rows, 10);
    let data_file = described(&metadata, &bytes).unwrap().data_file;
    let value = id(&metadata, "Value");
    let bytes_of = |file: &DataFile| {
        let bounds = [&file.lower_bounds()[&value], &file.upper_bounds()[&value]];
        bounds.map(|bound| bound.to_bytes().unwrap().to_vec())
    };
    assert_eq!(bytes_of(&data_file), bytes_of(&ours));
    assert!(
        data_file.nan_value_counts().is_empty(),
        "footers do not hold them"
    );
}

#[test]
fn rows_of_several_partition_values_are_refused() {
    let unpartitioned = TestTable::ours(Table::Logs).build();
    let partitioned = |fields| TestTable::ours(Table::Logs).partitioned(fields).build();
    let (bytes, _) = written(&unpartitioned, Table::Logs, rows(100), 30);
    let day = described(&partitioned(&[("Timestamp", Transform::Day)]), &bytes).unwrap();
    assert_eq!(day.data_file.partition().fields().len(), 1);
    for (fields, reason) in [
        (&[("Timestamp", Transform::Identity)], "its rows go from"),
        (
            &[("SeverityNumber", Transform::Identity)],
            "some rows have no value",
        ),
        (&[("Body", Transform::Truncate(2))], "cut"),
        (&[("Timestamp", Transform::Bucket(1))], "its rows go from"),
    ] {
        let error = described(&partitioned(fields), &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TableMismatch);
        assert_eq!(error.retry_class(), RetryClass::Permanent);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let absent = described(&partitioned(&[("TraceId", Transform::Identity)]), &bytes).unwrap();
    assert!(absent.data_file.partition().is_null_at_index(0), "no row has one");
}

/// Readers give its rows that default, so null would be the wrong partition.
#[test]
fn a_file_without_a_partition_column_that_has_a_default_is_refused() {
    let ours = TestTable::ours(Table::Logs).build();
    let (bytes, _) = written(&ours, Table::Logs, rows(10), 10);
    let mut fields = ours.current_schema().as_struct().fields().to_vec();
    let region = NestedField::optional(900, "region", Type::Primitive(PrimitiveType::String));
    fields.push(Arc::new(
        region.with_initial_default(Literal::string("eu-west-1")),
    ));
    let table = |transform| {
        let schema = Schema::builder().with_fields(fields.clone()).build().unwrap();
        TestTable::with_schema(schema)
            .partitioned(&[("region", transform)])
            .build()
    };
    let error = described(&table(Transform::Truncate(2)), &bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
    assert!(error.to_string().contains("column region"), "{error}");
    assert!(described(&table(Transform::Void), &bytes).is_ok());
}

#[test]
fn times_out_of_the_calendar_are_refused() {
    let metadata = TestTable::default(Table::Logs).build();
    let unpartitioned = TestTable::ours(Table::Logs).build();
    for time in [-1, i64::MIN, i64::MAX, 253_402_300_800_000_000] {
        let (bytes, _) = written(
            &unpartitioned,
            Table::Logs,
            batch(&[("Timestamp", times([time]))]),
            10,
        );
        let error = described(&metadata, &bytes).unwrap_err();
        assert!(error.to_string().contains("before 1970 or after 9999"), "{error}");
    }
    let rows = batch(&[(
        "Timestamp",
        times([DAY, DAY + 86_399_999_999, DAY + 86_400_000_000]),
    )]);
    let (bytes, _) = written(&unpartitioned, Table::Logs, rows, 10);
    let error = described(&metadata, &bytes).unwrap_err().to_string();
    assert!(
        error.contains("from 2026-11-21T00:00:00Z to 2026-11-22T00:00:00Z"),
        "{error}"
    );
}

#[test]
fn ids_of_another_table_are_refused() {
    let ours = TestTable::default(Table::Logs).build();
    let (bytes, _) = written(&ours, Table::Logs, rows(1), 10);
    // The same ids belong to other columns there.
    let other = TestTable::ours(Table::Traces).build();
    let error = described(&other, &bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableMismatch, "{error}");
}

#[test]
fn the_nearest_folder_names_the_table_and_else_the_columns_do() {
    let metadata = TestTable::ours(Table::Logs).build();
    let (bytes, _) = written(&metadata, Table::Logs, rows(1), 10);
    let footer = footer(&bytes).unwrap();
    let tables = otlp2iceberg::config::TablesConfig {
        names: [("logs".to_owned(), "records".to_owned())].into(),
        ..Default::default()
    };
    for (key, table) in [
        ("traces/records/Timestamp_day=2026-11-21/a.parquet", Table::Logs),
        ("records/traces/a.parquet", Table::Traces),
        ("metrics_sum/logs/records.parquet", Table::Sum),
    ] {
        assert_eq!(table_of(key, &footer, &tables).unwrap(), table, "{key}");
    }
    // It has some columns of several tables.
    let error = table_of("logs/a.parquet", &footer, &tables).unwrap_err();
    assert!(error.to_string().contains("records, traces"), "{error}");
}

/// Readers find the columns of such a file by the table's name mapping, which has exact names.
#[test]
fn a_file_without_ids_must_have_the_tables_case() {
    let schema = |case| iceberg_schema(Table::Logs, &[], case).unwrap();
    let rows = batch(&[("Timestamp", times([DAY]))]);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let pascal = TestTable::with_schema(schema(ColumnCase::Pascal)).build();
    assert!(described(&pascal, &bytes).unwrap().name_mapping.is_some());
    let lower = TestTable::with_schema(schema(ColumnCase::Lower)).build();
    let error = described(&lower, &bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TableMismatch);
    let reason = "column Timestamp is timestamp in the table, and a file without field ids must have the table's names";
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_tail_that_is_too_short_says_how_much_is_needed() {
    let metadata = TestTable::ours(Table::Logs).build();
    let (bytes, _) = written(&metadata, Table::Logs, rows(10), 10);
    let size = bytes.len() as u64;
    let Tail::Needs(needed) = Footer::read(&bytes[bytes.len() - 100..], size).unwrap() else {
        panic!("100 bytes are no footer");
    };
    let tail = &bytes[bytes.len() - needed as usize..];
    assert!(matches!(Footer::read(tail, size).unwrap(), Tail::Whole(_)));
    let mut endless = bytes.clone();
    let length = endless.len() - 8;
    endless[length..length + 4].copy_from_slice(&(FOOTER_BYTES_MAX as u32 + 1).to_le_bytes());
    let error = Footer::read(&endless, FOOTER_BYTES_MAX * 2).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

/// Broken input leads to an error or another file, never to a panic or unlimited memory.
#[test]
fn broken_footers_do_no_harm() {
    let metadata = TestTable::default(Table::Logs).build();
    let (bytes, _) = written(&metadata, Table::Logs, rows(40), 20);
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let begin = bytes.len() - 8 - length;
    let mut refused = 0;
    for position in begin..bytes.len() {
        for value in [
            0x00,
            0xff,
            bytes[position] ^ 0x80,
            bytes[position].wrapping_add(1),
        ] {
            let mut broken = bytes.clone();
            broken[position] = value;
            if let Ok(Tail::Whole(footer)) = Footer::read(&broken, broken.len() as u64) {
                refused += usize::from(describe(&metadata, LOCATION, &footer).is_err());
            } else {
                refused += 1;
            }
        }
    }
    assert!(refused > length, "{refused} of {}", 4 * length);
    for end in begin..bytes.len() {
        assert!(Footer::read(&bytes[..end], end as u64).is_err());
    }
}
