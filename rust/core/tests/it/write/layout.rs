//! Which rows go to which file, and in which order.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use iceberg::spec::{
    DataFile, Literal, NestedField, NullOrder, PrimitiveType, Schema, SortDirection, Struct, Transform, Type,
};
use otlp2iceberg::Table;
use otlp2iceberg::config::ParquetConfig;

use super::support::{
    DAY, LOCATION, TestTable, batch, encode_with, id, integers, labels, read, strings, texts, times,
    write_logs, write_with,
};

const HOUR: i64 = 3_600_000_000;
const TODAY: i32 = 20_778;

fn partition(file: &DataFile) -> Vec<Option<Literal>> {
    file.partition().clone().into_iter().collect()
}

#[tokio::test]
async fn rows_are_split_by_day() {
    let metadata = TestTable::default(Table::Logs).build();
    let rows = batch(&[
        ("Timestamp", times([DAY + 2, DAY - 1, DAY + 1, DAY + 24 * HOUR])),
        ("Body", texts([Some("c"), Some("a"), Some("b"), Some("d")])),
    ]);
    let (written, file_io) = write_logs(&metadata, rows).await;
    assert_eq!((written.files.len(), written.rows), (3, 4));
    let expected = [
        (TODAY, "2026-11-21", vec!["b", "c"]),
        (TODAY - 1, "2026-11-20", vec!["a"]),
        (TODAY + 1, "2026-11-22", vec!["d"]),
    ];
    for (file, (day, directory, bodies)) in written.files.iter().zip(expected) {
        assert_eq!(partition(file), [Some(Literal::date(day))]);
        assert!(
            file.file_path()
                .starts_with(&format!("{LOCATION}/data/Timestamp_day={directory}/")),
            "{}",
            file.file_path()
        );
        let read = read(&file_io, file).await.0;
        let bodies: Vec<_> = bodies.into_iter().map(|body| Some(body.to_owned())).collect();
        assert_eq!(strings(&read, "Body"), bodies);
    }
    assert_eq!(
        written.bytes,
        written
            .files
            .iter()
            .map(DataFile::file_size_in_bytes)
            .sum::<u64>()
    );
}

/// The bucket and truncation values are those of the Iceberg spec's appendix B and transform tables.
#[tokio::test]
async fn rows_are_split_by_several_transforms_at_once() {
    let metadata = TestTable::ours(Table::Logs)
        .partitioned(&[
            ("ServiceName", Transform::Bucket(16)),
            ("Body", Transform::Truncate(3)),
            ("Timestamp", Transform::Hour),
            ("TraceFlags", Transform::Identity),
            ("SpanId", Transform::Void),
        ])
        .build();
    let flags: ArrayRef = Arc::new(Int32Array::from(vec![Some(34), Some(34), None]));
    let rows = batch(&[
        ("Timestamp", times([DAY, DAY + 1, DAY + HOUR])),
        ("ServiceName", labels([Some("iceberg"), Some("iceberg"), None])),
        ("Body", texts([Some("iceberg"), Some("ice"), Some("äöü√")])),
        ("TraceFlags", flags),
        ("SpanId", texts([Some("a"), Some("b"), None])),
    ]);
    let (written, _) = write_logs(&metadata, rows).await;
    assert_eq!(written.files.len(), 2);
    // The spec's 32-bit hash of "iceberg" is 1210000089.
    let bucket = (1_210_000_089 & i32::MAX) % 16;
    let hour = TODAY * 24;
    assert_eq!(
        partition(&written.files[0]),
        [
            Some(Literal::int(bucket)),
            Some(Literal::string("ice")),
            Some(Literal::int(hour)),
            Some(Literal::int(34)),
            None,
        ]
    );
    assert_eq!(
        partition(&written.files[1]),
        [
            None,
            Some(Literal::string("äöü")),
            Some(Literal::int(hour + 1)),
            None,
            None
        ]
    );
    assert_eq!(written.files[0].record_count(), 2);
}

/// A column of nanoseconds gives the same partitions as one of microseconds, for every time transform.
#[tokio::test]
async fn times_in_a_column_of_nanoseconds_are_split_as_others() {
    for transform in [
        Transform::Year,
        Transform::Month,
        Transform::Day,
        Transform::Hour,
        Transform::Bucket(16),
    ] {
        let mut partitions = Vec::new();
        for primitive in [PrimitiveType::Timestamptz, PrimitiveType::TimestamptzNs] {
            let column = NestedField::optional(1, "Timestamp", Type::Primitive(primitive));
            let schema = Schema::builder().with_fields([Arc::new(column)]).build().unwrap();
            let metadata = TestTable::with_schema(schema)
                .partitioned(&[("Timestamp", transform)])
                .build();
            let rows = batch(&[("Timestamp", times([DAY - 1, DAY, DAY + HOUR - 1, DAY + HOUR]))]);
            let (written, _) = write_logs(&metadata, rows).await;
            let of_files: Vec<_> = written
                .files
                .iter()
                .map(|file| (partition(file), file.record_count()))
                .collect();
            if transform == Transform::Hour {
                let hours = [(TODAY * 24 - 1, 1), (TODAY * 24, 2), (TODAY * 24 + 1, 1)];
                assert_eq!(
                    of_files,
                    hours.map(|(hour, rows)| (vec![Some(Literal::int(hour))], rows))
                );
            }
            partitions.push(of_files);
        }
        assert_eq!(partitions[0], partitions[1], "{transform}");
    }
}

#[tokio::test]
async fn a_partition_source_that_rows_do_not_have_is_null() {
    let metadata = TestTable::ours(Table::Logs)
        .partitioned(&[("EventName", Transform::Identity)])
        .build();
    let (written, _) = write_logs(&metadata, batch(&[("Timestamp", times([DAY]))])).await;
    assert_eq!(partition(&written.files[0]), [None]);
    assert!(written.files[0].file_path().contains("/data/EventName=null/"));
}

#[tokio::test]
async fn a_partition_value_cannot_name_a_directory_outside_the_table() {
    let metadata = TestTable::ours(Table::Logs)
        .partitioned(&[("ServiceName", Transform::Identity)])
        .build();
    let rows = batch(&[
        ("Timestamp", times([DAY])),
        ("ServiceName", labels([Some("../../../other table")])),
    ]);
    let (written, _) = write_logs(&metadata, rows).await;
    let path = written.files[0].file_path();
    assert!(
        path.starts_with(&format!(
            "{LOCATION}/data/ServiceName=..%2F..%2F..%2Fother+table/"
        )),
        "{path}"
    );
    assert_eq!(
        partition(&written.files[0]),
        [Some(Literal::string("../../../other table"))]
    );
}

#[tokio::test]
async fn an_unpartitioned_table_has_one_file_with_an_empty_partition() {
    let metadata = TestTable::ours(Table::Logs).build();
    let (written, _) = write_logs(&metadata, batch(&[("Timestamp", times([DAY, DAY + 48 * HOUR]))])).await;
    assert_eq!(written.files.len(), 1);
    assert_eq!(written.files[0].partition(), &Struct::empty());
    assert_eq!(written.files[0].sort_order_id(), None);
}

fn unsorted_rows() -> RecordBatch {
    batch(&[
        ("Timestamp", times([DAY + 3, DAY + 1, DAY + 2, DAY + 1, DAY])),
        (
            "ServiceName",
            labels([Some("b"), Some("a"), None, Some("a"), Some("c")]),
        ),
        (
            "Body",
            texts([
                Some("b3"),
                Some("a1 first"),
                Some("null"),
                Some("a1 second"),
                Some("c0"),
            ]),
        ),
    ])
}

async fn sorted_bodies(table: TestTable) -> (Vec<String>, Option<i32>) {
    let (written, file_io) = write_logs(&table.build(), unsorted_rows()).await;
    let rows = read(&file_io, &written.files[0]).await.0;
    let bodies = strings(&rows, "Body").into_iter().flatten().collect();
    (bodies, written.files[0].sort_order_id())
}

#[tokio::test]
async fn rows_come_in_the_tables_sort_order_and_equal_ones_keep_theirs() {
    let (bodies, order) = sorted_bodies(TestTable::default(Table::Logs)).await;
    assert_eq!(bodies, ["null", "a1 first", "a1 second", "b3", "c0"]);
    assert_eq!(order, Some(1));
}

#[tokio::test]
async fn direction_and_null_order_are_honoured() {
    let table = TestTable::ours(Table::Logs)
        .sorted("ServiceName", SortDirection::Descending, NullOrder::Last)
        .sorted("Timestamp", SortDirection::Ascending, NullOrder::First);
    assert_eq!(
        sorted_bodies(table).await.0,
        ["c0", "b3", "a1 first", "a1 second", "null"]
    );
    let table = TestTable::ours(Table::Logs).sorted("Timestamp", SortDirection::Descending, NullOrder::Last);
    assert_eq!(
        sorted_bodies(table).await.0,
        ["b3", "null", "a1 first", "a1 second", "c0"]
    );
    let table = TestTable::ours(Table::Logs).sorted("Body", SortDirection::Descending, NullOrder::Last);
    assert_eq!(
        sorted_bodies(table).await.0,
        ["null", "c0", "b3", "a1 second", "a1 first"]
    );
}

#[tokio::test]
async fn a_sort_field_may_be_a_transform() {
    let table = TestTable::ours(Table::Logs)
        .sorted_by(
            "Body",
            Transform::Truncate(1),
            SortDirection::Ascending,
            NullOrder::First,
        )
        .sorted("Timestamp", SortDirection::Descending, NullOrder::Last);
    let (bodies, order) = sorted_bodies(table).await;
    assert_eq!(bodies, ["a1 first", "a1 second", "b3", "c0", "null"]);
    assert_eq!(order, Some(1));
}

/// Times that span all 64 bits do not fit into one number with another key.
#[tokio::test]
async fn keys_wider_than_one_number_sort_the_same() {
    let metadata = TestTable::ours(Table::Logs)
        .sorted("Timestamp", SortDirection::Ascending, NullOrder::First)
        .sorted("ObservedTimestamp", SortDirection::Ascending, NullOrder::First)
        .sorted("Body", SortDirection::Ascending, NullOrder::First)
        .build();
    let rows = batch(&[
        ("Timestamp", times([i64::MAX, i64::MIN, i64::MAX, 0])),
        ("ObservedTimestamp", times([i64::MAX, 0, i64::MIN, 5])),
        ("Body", texts([Some("4"), Some("1"), Some("3"), Some("2")])),
    ]);
    let (written, file_io) = write_logs(&metadata, rows).await;
    let read = read(&file_io, &written.files[0]).await.0;
    assert_eq!(
        strings(&read, "Body"),
        ["1", "2", "3", "4"].map(|body| Some(body.to_owned()))
    );
}

#[tokio::test]
async fn each_partition_is_sorted_by_itself() {
    let metadata = TestTable::default(Table::Logs).build();
    let rows = batch(&[
        ("Timestamp", times([DAY + 2, DAY - 1, DAY + 1, DAY - 2])),
        (
            "ServiceName",
            labels([Some("a"), Some("b"), Some("a"), Some("b")]),
        ),
    ]);
    let (written, file_io) = write_logs(&metadata, rows).await;
    let mut read_times = Vec::new();
    for file in &written.files {
        read_times.push(integers(&read(&file_io, file).await.0, "Timestamp"));
    }
    assert_eq!(
        read_times,
        [[Some(DAY + 1), Some(DAY + 2)], [Some(DAY - 2), Some(DAY - 1)]]
    );
}

#[tokio::test]
async fn parquet_says_what_rows_are_sorted_by() {
    let metadata = TestTable::default(Table::Logs).build();
    let (written, file_io) = write_logs(&metadata, unsorted_rows()).await;
    let footer = read(&file_io, &written.files[0]).await.1;
    let leaves = footer.file_metadata().schema_descr();
    let sorting: Vec<(String, bool, bool)> = footer
        .row_group(0)
        .sorting_columns()
        .unwrap()
        .iter()
        .map(|column| {
            let leaf = leaves.column(usize::try_from(column.column_idx).unwrap());
            (leaf.name().to_owned(), column.descending, column.nulls_first)
        })
        .collect();
    assert_eq!(
        sorting,
        [
            ("ServiceName".to_owned(), false, true),
            ("Timestamp".to_owned(), false, true)
        ]
    );
}

#[tokio::test]
async fn a_dictionary_shared_by_partitions_bounds_each_by_its_own_values() {
    let metadata = TestTable::default(Table::Logs).build();
    let rows = batch(&[
        ("Timestamp", times([DAY, DAY - 1])),
        ("ServiceName", labels([Some("a"), Some("z")])),
    ]);
    let (written, _) = write_with(&metadata, Table::Logs, rows, &ParquetConfig::default())
        .await
        .unwrap();
    let service = id(&metadata, "ServiceName");
    let uppers: Vec<_> = written
        .files
        .iter()
        .map(|file| file.upper_bounds()[&service].clone())
        .collect();
    assert_eq!(
        uppers,
        [
            iceberg::spec::Datum::string("a"),
            iceberg::spec::Datum::string("z")
        ]
    );
}

#[tokio::test]
async fn a_sort_column_that_rows_do_not_have_does_not_break_the_order() {
    let metadata = TestTable::default(Table::Logs).build();
    let rows = batch(&[("Timestamp", times([DAY + 2, DAY, DAY + 1]))]);
    let (written, file_io) = write_logs(&metadata, rows).await;
    let read = read(&file_io, &written.files[0]).await.0;
    assert_eq!(
        integers(&read, "Timestamp"),
        [Some(DAY), Some(DAY + 1), Some(DAY + 2)]
    );
    assert_eq!(written.files[0].sort_order_id(), Some(1));
}

/// Rows whose services are these, by number; written for each row, a long name is more than an array holds.
fn of_services(names: &[&str], rows: impl Iterator<Item = i32> + Clone) -> RecordBatch {
    let names = Arc::new(StringArray::from(names.to_vec()));
    let times = times(rows.clone().map(|_| DAY));
    let services = DictionaryArray::<Int32Type>::new(rows.collect(), names);
    batch(&[("Timestamp", times), ("ServiceName", Arc::new(services))])
}

#[test]
fn a_long_name_of_many_rows_is_transformed_once() {
    let metadata = TestTable::ours(Table::Logs)
        .partitioned(&[("ServiceName", Transform::Truncate(3))])
        .sorted_by(
            "ServiceName",
            Transform::Truncate(20_000),
            SortDirection::Descending,
            NullOrder::First,
        )
        .build();
    let long = "long ".repeat(4 << 10);
    let rows = of_services(
        &[long.as_str(), "lonely"],
        (0..130_000).map(|row| i32::from(row % 10 == 0)),
    );
    let encoded = encode_with(&metadata, Table::Logs, rows, &ParquetConfig::default()).unwrap();
    assert!(encoded.rejected.is_empty());
    assert_eq!(encoded.files.len(), 1);
    let file = &encoded.files[0].data_file;
    assert_eq!(partition(file), [Some(Literal::string("lon"))]);
    assert_eq!((file.record_count(), file.sort_order_id()), (130_000, Some(1)));
}

#[test]
fn rows_with_a_long_text_as_partition_value_are_rejected() {
    let metadata = TestTable::ours(Table::Logs)
        .partitioned(&[("ServiceName", Transform::Identity)])
        .build();
    let (allowed, long, longest) = ("a".repeat(1024), "l".repeat(1025), "x".repeat(20 << 10));
    let names = [allowed.as_str(), &long, "shop", &longest];
    let rows = of_services(&names, [0, 1, 2, 1, 2, 0].into_iter());
    let encoded = encode_with(&metadata, Table::Logs, rows, &ParquetConfig::default()).unwrap();
    assert_eq!(encoded.rejected, [1, 3]);
    let partitions: Vec<_> = encoded
        .files
        .iter()
        .map(|file| (partition(&file.data_file), file.data_file.record_count()))
        .collect();
    let expected = [(allowed.as_str(), 2), ("shop", 2)];
    assert_eq!(
        partitions,
        expected.map(|(name, rows)| (vec![Some(Literal::string(name))], rows))
    );

    // In each row, the longest name is more than an array holds.
    let rows = of_services(&names, (0..110_000).map(|row| if row == 7 { 2 } else { 3 }));
    let encoded = encode_with(&metadata, Table::Logs, rows, &ParquetConfig::default()).unwrap();
    assert_eq!(encoded.rejected.len(), 109_999);
    assert_eq!(encoded.rejected[6..8], [6, 8]);
    assert_eq!(encoded.files.len(), 1);
    assert_eq!(
        partition(&encoded.files[0].data_file),
        [Some(Literal::string("shop"))]
    );

    // Texts that rows do not share.
    let metadata = TestTable::ours(Table::Logs)
        .partitioned(&[("Body", Transform::Identity)])
        .build();
    let rows = batch(&[
        ("Timestamp", times([DAY; 3])),
        ("Body", texts([Some(long.as_str()), None, Some(allowed.as_str())])),
    ]);
    let encoded = encode_with(&metadata, Table::Logs, rows, &ParquetConfig::default()).unwrap();
    assert_eq!((encoded.rejected, encoded.files.len()), (vec![0], 2));
}

/// A dictionary may have a value twice after a transform, and others that no row has.
#[test]
fn rows_of_equal_truncated_names_are_one_partition() {
    let metadata = TestTable::ours(Table::Logs)
        .partitioned(&[("ServiceName", Transform::Truncate(2))])
        .build();
    let rows = of_services(&["shop", "cart", "show", "unused"], [0, 1, 2, 0].into_iter());
    let encoded = encode_with(&metadata, Table::Logs, rows, &ParquetConfig::default()).unwrap();
    let partitions: Vec<_> = encoded
        .files
        .iter()
        .map(|file| (partition(&file.data_file), file.data_file.record_count()))
        .collect();
    let expected = [("sh", 3), ("ca", 1)];
    assert_eq!(
        partitions,
        expected.map(|(name, rows)| (vec![Some(Literal::string(name))], rows))
    );
}
