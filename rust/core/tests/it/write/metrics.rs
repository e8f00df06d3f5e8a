//! The metrics in the manifest entry.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array};
use iceberg::spec::{DataFile, Datum, TableMetadata};
use otlp2iceberg::Table;
use otlp2iceberg::config::ParquetConfig;

use super::support::{DAY, TestTable, batch, id, labels, read, texts, times, write_logs, write_with};

fn bounds(metadata: &TableMetadata, file: &DataFile, column: &str) -> (Option<Datum>, Option<Datum>) {
    let id = id(metadata, column);
    (
        file.lower_bounds().get(&id).cloned(),
        file.upper_bounds().get(&id).cloned(),
    )
}

/// Parquet truncates the statistics of the second row group. A bound from only the first one's would hide the
/// long bodies from readers.
#[tokio::test]
async fn an_upper_bound_covers_row_groups_whose_parquet_statistics_are_cut() {
    let metadata = TestTable::ours(Table::Logs).build();
    let bodies: Vec<String> = (0..20)
        .map(|row| {
            if row < 10 {
                format!("a{row}")
            } else {
                format!("z{row}").repeat(34)
            }
        })
        .collect();
    assert!(bodies[10].len() > 100);
    let rows = batch(&[
        ("Timestamp", times(DAY..DAY + 20)),
        ("Body", texts(bodies.iter().map(|body| Some(body.as_str())))),
    ]);
    let config = ParquetConfig {
        max_row_group_rows: Some(10),
        ..ParquetConfig::default()
    };
    let (written, file_io) = write_with(&metadata, Table::Logs, rows, &config).await.unwrap();
    let file = &written.files[0];
    assert_eq!(read(&file_io, file).await.1.num_row_groups(), 2);
    assert_eq!(
        bounds(&metadata, file, "Body"),
        (Some(Datum::string("a0")), Some(Datum::string("z19z19z19z19z19{")))
    );
    assert_eq!(file.split_offsets(), Some(&[4][..]));
}

#[tokio::test]
async fn counts_and_bounds_of_every_primitive_type() {
    let metadata = TestTable::ours(Table::Sum).build();
    let columns: [(&str, ArrayRef); 6] = [
        ("TimeUnix", times([DAY + 5, DAY, DAY + 9])),
        ("MetricName", labels([None, Some("up"), Some("down")])),
        (
            "Flags",
            Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(7)])),
        ),
        (
            "Value",
            Arc::new(Float64Array::from(vec![f64::NAN, -2.5, f64::INFINITY])),
        ),
        (
            "ValueInt",
            Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, 0])),
        ),
        (
            "IsMonotonic",
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)])),
        ),
    ];
    let (written, _) = write_with(&metadata, Table::Sum, batch(&columns), &ParquetConfig::default())
        .await
        .unwrap();
    let file = &written.files[0];
    let expected = [
        (
            "TimeUnix",
            0,
            Datum::timestamptz_micros(DAY),
            Datum::timestamptz_micros(DAY + 9),
        ),
        ("MetricName", 1, Datum::string("down"), Datum::string("up")),
        ("Flags", 1, Datum::int(i32::MIN), Datum::int(7)),
        ("Value", 0, Datum::double(-2.5), Datum::double(f64::INFINITY)),
        ("ValueInt", 0, Datum::long(i64::MIN), Datum::long(i64::MAX)),
        ("IsMonotonic", 1, Datum::bool(true), Datum::bool(true)),
    ];
    for (column, nulls, lower, upper) in expected {
        let id = id(&metadata, column);
        assert_eq!(file.value_counts()[&id], 3, "{column}");
        assert_eq!(file.null_value_counts()[&id], nulls, "{column}");
        assert!(file.column_sizes()[&id] > 0, "{column}");
        assert_eq!(
            bounds(&metadata, file, column),
            (Some(lower), Some(upper)),
            "{column}"
        );
    }
    assert_eq!(
        file.nan_value_counts(),
        &HashMap::from([(id(&metadata, "Value"), 1)])
    );
    assert_eq!(file.value_counts().len(), 6);
    assert_eq!((file.record_count(), written.rows), (3, 3));
}

#[tokio::test]
async fn columns_of_nothing_but_null_or_nan_have_counts_and_no_bounds() {
    let metadata = TestTable::ours(Table::Gauge).build();
    let columns: [(&str, ArrayRef); 3] = [
        ("TimeUnix", times([DAY, DAY])),
        ("MetricName", labels([None, None])),
        ("Value", Arc::new(Float64Array::from(vec![Some(f64::NAN), None]))),
    ];
    let (written, _) = write_with(
        &metadata,
        Table::Gauge,
        batch(&columns),
        &ParquetConfig::default(),
    )
    .await
    .unwrap();
    let file = &written.files[0];
    assert_eq!(bounds(&metadata, file, "MetricName"), (None, None));
    assert_eq!(file.null_value_counts()[&id(&metadata, "MetricName")], 2);
    assert_eq!(bounds(&metadata, file, "Value"), (None, None));
    assert_eq!(file.null_value_counts()[&id(&metadata, "Value")], 1);
    assert_eq!(file.nan_value_counts()[&id(&metadata, "Value")], 1);
}

#[tokio::test]
async fn column_sizes_are_those_of_the_footer() {
    let metadata = TestTable::ours(Table::Logs).build();
    let rows = batch(&[
        ("Timestamp", times([DAY, DAY + 1])),
        ("Body", texts([Some("one"), Some("two")])),
    ]);
    let (written, file_io) = write_logs(&metadata, rows).await;
    let footer = read(&file_io, &written.files[0]).await.1;
    let chunks = footer.row_group(0).columns();
    let sizes: HashMap<i32, u64> = ["Timestamp", "Body"]
        .into_iter()
        .zip(chunks)
        .map(|(column, chunk)| {
            (
                id(&metadata, column),
                u64::try_from(chunk.compressed_size()).unwrap(),
            )
        })
        .collect();
    assert_eq!(written.files[0].column_sizes(), &sizes);
}

#[tokio::test]
async fn table_properties_choose_the_metrics_of_each_column() {
    let metadata = TestTable::ours(Table::Logs)
        .sorted(
            "ServiceName",
            iceberg::spec::SortDirection::Ascending,
            iceberg::spec::NullOrder::First,
        )
        .property("write.metadata.metrics.default", "counts")
        .property("write.metadata.metrics.column.Body", "full")
        .property("write.metadata.metrics.column.EventName", "truncate(2)")
        .property("write.metadata.metrics.column.SpanId", "none")
        .build();
    let long = "0123456789abcdefghij";
    let rows = batch(&[
        ("Timestamp", times([DAY])),
        ("ServiceName", labels([Some("checkout")])),
        ("Body", texts([Some(long)])),
        ("EventName", labels([Some(long)])),
        ("SpanId", texts([Some("00f067aa0ba902b7")])),
    ]);
    let (written, _) = write_logs(&metadata, rows).await;
    let file = &written.files[0];
    let both = |lower: &str, upper: &str| (Some(Datum::string(lower)), Some(Datum::string(upper)));
    assert_eq!(bounds(&metadata, file, "Timestamp"), (None, None));
    assert_eq!(file.value_counts()[&id(&metadata, "Timestamp")], 1);
    // Readers use the sort columns to plan scans, so these keep their bounds.
    assert_eq!(
        bounds(&metadata, file, "ServiceName"),
        both("checkout", "checkout")
    );
    assert_eq!(bounds(&metadata, file, "Body"), both(long, long));
    assert_eq!(bounds(&metadata, file, "EventName"), both("01", "02"));
    let span_id = id(&metadata, "SpanId");
    assert!(!file.value_counts().contains_key(&span_id) && !file.column_sizes().contains_key(&span_id));
}
