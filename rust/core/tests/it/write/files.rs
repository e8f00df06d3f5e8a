//! The Parquet files themselves: names, sizes, bloom filters, indexes, codec.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::{Float64Array, Int32Array, Int64Array, RecordBatch};
use iceberg::io::FileIO;
use iceberg::spec::{Datum, TableMetadata};
use otlp2iceberg::config::{Compression, ParquetConfig};
use otlp2iceberg::convert::TableBatch;
use otlp2iceberg::request::IdRange;
use otlp2iceberg::{ErrorKind, RetryClass, Table};
use parquet::basic::{Compression as Codec, Encoding};
use parquet::bloom_filter::Sbbf;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;

use super::support::{
    DAY, TestTable, batch, encode_with, footer, id, ids, integers, labels, read, read_bytes, texts, times,
    write, write_logs, write_with,
};

fn rows(count: i64) -> RecordBatch {
    let trace_ids: Vec<String> = (0..count).map(trace_id).collect();
    batch(&[
        ("Timestamp", times(DAY..DAY + count)),
        ("TraceId", texts(trace_ids.iter().map(|id| Some(id.as_str())))),
        ("ServiceName", labels((0..count).map(|_| Some("shop")))),
    ])
}

/// Well mixed, so that it does not compress.
fn trace_id(row: i64) -> String {
    let mixed = (row as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    format!("{mixed:032x}")
}

async fn path(metadata: &TableMetadata, ids: &[IdRange], config: &ParquetConfig) -> String {
    let batch = TableBatch {
        table: Table::Logs,
        batch: rows(1),
    };
    let written = write(metadata, &FileIO::new_with_memory(), &batch, ids, config)
        .await
        .unwrap();
    written.files[0].file_path().to_owned()
}

#[tokio::test]
async fn the_same_request_writes_the_same_file_and_another_one_does_not() {
    let metadata = TestTable::default(Table::Logs).build();
    let config = ParquetConfig::default();
    let first = path(&metadata, &ids(), &config).await;
    assert_eq!(path(&metadata, &ids(), &config).await, first);

    let (_, name) = first.rsplit_once('/').unwrap();
    let (digest, rest) = name.split_once('-').unwrap();
    let (number, checksum) = rest.split_once('-').unwrap();
    assert_eq!(number, "00000");
    assert!(
        checksum.len() == 16 && checksum.ends_with(".parquet"),
        "{checksum}"
    );
    assert!(
        digest.len() == 32
            && digest
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    );

    let mut other_ids = ids();
    other_ids[0].to = 4;
    let other_table = TestTable::default(Table::Logs).build();
    let other_config = ParquetConfig {
        compression_level: Some(3),
        ..ParquetConfig::default()
    };
    let others = [
        path(&metadata, &other_ids, &config).await,
        path(&other_table, &ids(), &config).await,
        path(&metadata, &ids(), &other_config).await,
    ];
    let distinct: HashSet<&String> = others.iter().chain([&first]).collect();
    assert_eq!(distinct.len(), 4);
}

#[tokio::test]
async fn the_same_request_writes_the_same_bytes() {
    let metadata = TestTable::default(Table::Logs).build();
    let (first, first_io) = write_logs(&metadata, rows(1000)).await;
    let (second, second_io) = write_logs(&metadata, rows(1000)).await;
    assert_eq!(first.files, second.files);
    let bytes = read_bytes(&first_io, &first.files[0]).await;
    assert_eq!(bytes, read_bytes(&second_io, &second.files[0]).await);
}

#[tokio::test]
async fn data_files_go_where_the_table_says() {
    let metadata = TestTable::ours(Table::Logs)
        .property("write.data.path", "memory://elsewhere/logs/")
        .build();
    let (written, _) = write_logs(&metadata, rows(1)).await;
    let path = written.files[0].file_path();
    assert!(
        path.starts_with("memory://elsewhere/logs/") && path.matches('/').count() == 4,
        "{path}"
    );
}

#[tokio::test]
async fn files_are_written_to_a_local_directory() {
    let directory = tempfile::tempdir().unwrap();
    let location = format!("file://{}", directory.path().display());
    let metadata = TestTable::default(Table::Logs).located(location).build();
    let file_io = FileIO::new_with_fs();
    let batch = TableBatch {
        table: Table::Logs,
        batch: rows(10),
    };
    let written = write(&metadata, &file_io, &batch, &ids(), &ParquetConfig::default())
        .await
        .unwrap();
    assert_eq!(read(&file_io, &written.files[0]).await.0.num_rows(), 10);
    assert!(directory.path().join("data/Timestamp_day=2026-11-21").is_dir());
}

#[tokio::test]
async fn storage_that_fails_is_an_error_to_retry_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("data");
    std::fs::write(&blocked, "a file where the directory should be").unwrap();
    let location = format!("file://{}", directory.path().display());
    let metadata = TestTable::ours(Table::Logs).located(location).build();
    let batch = TableBatch {
        table: Table::Logs,
        batch: rows(1),
    };
    let error = write(
        &metadata,
        &FileIO::new_with_fs(),
        &batch,
        &ids(),
        &ParquetConfig::default(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_eq!(error.retry_class(), RetryClass::Retry { after: None });
    assert!(
        error.to_string().contains(&blocked.display().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_passes_the_target_size_is_followed_by_another() {
    let metadata = TestTable::default(Table::Logs).build();
    let config = ParquetConfig {
        target_file_size_bytes: Some(1 << 20),
        max_row_group_rows: Some(10_000),
        ..ParquetConfig::default()
    };
    let count = 150_000;
    let (written, file_io) = write_with(&metadata, Table::Logs, rows(count), &config)
        .await
        .unwrap();
    assert!(written.files.len() > 2, "{} files", written.files.len());
    assert_eq!(written.rows, 150_000);
    let mut next = DAY;
    for (number, file) in written.files.iter().enumerate() {
        assert!(file.file_path().contains(&format!("-{number:05}-")));
        let (read, footer) = read(&file_io, file).await;
        assert_eq!(read.num_rows() as u64, file.record_count());
        assert!(footer.row_groups().iter().all(|group| group.num_rows() <= 10_000));
        assert!(footer.num_row_groups() > 1);
        assert_eq!(file.split_offsets(), Some(&[4][..]));
        let time = id(&metadata, "Timestamp");
        let last = next + i64::try_from(file.record_count()).unwrap() - 1;
        assert_eq!(file.lower_bounds()[&time], Datum::timestamptz_micros(next));
        assert_eq!(file.upper_bounds()[&time], Datum::timestamptz_micros(last));
        for time in integers(&read, "Timestamp") {
            assert_eq!(time, Some(next));
            next += 1;
        }
    }
    assert_eq!(next, DAY + count);
}

#[tokio::test]
async fn an_empty_batch_writes_nothing() {
    let metadata = TestTable::default(Table::Logs).build();
    let (written, _) = write_logs(&metadata, rows(0)).await;
    assert_eq!((written.files.len(), written.rows, written.bytes), (0, 0, 0));
}

#[tokio::test]
async fn the_bloom_filter_knows_trace_ids_and_hardly_any_other() {
    let metadata = TestTable::default(Table::Logs).build();
    let (written, file_io) = write_logs(&metadata, rows(5000)).await;
    let bytes = read_bytes(&file_io, &written.files[0]).await;
    // The reader loads filters only when asked to.
    let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new()
        .with_reader_properties(properties)
        .build();
    let reader = SerializedFileReader::new_with_options(bytes, options).unwrap();
    let leaves = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .columns()
        .to_vec();
    let with_filter: Vec<&str> = leaves
        .iter()
        .zip(reader.metadata().row_group(0).columns())
        .filter(|(_, chunk)| chunk.bloom_filter_offset().is_some())
        .map(|(leaf, _)| leaf.name())
        .collect();
    assert_eq!(with_filter, ["TraceId"]);

    let column = leaves.iter().position(|leaf| leaf.name() == "TraceId").unwrap();
    let row_group = reader.get_row_group(0).unwrap();
    let filter = row_group.get_column_bloom_filter(column).unwrap();
    assert!((0..5000).all(|row| filter.check(&trace_id(row).as_str())));
    let false_positives = (1_000_000..1_010_000)
        .filter(|row| filter.check(&trace_id(*row).as_str()))
        .count();
    assert!(
        false_positives < 300,
        "{false_positives} of 10,000 at a target of 100"
    );
}

/// The bloom filters of the only row group of rows, by their columns' names.
fn filters_of(
    table: Table,
    properties: &[(&str, &str)],
    rows: RecordBatch,
    config: &ParquetConfig,
) -> HashMap<String, Sbbf> {
    let metadata = TestTable::ours(table).properties(properties).build();
    let encoded = encode_with(&metadata, table, rows, config).unwrap();
    let [file] = <[_; 1]>::try_from(encoded.files).unwrap();
    let with_filters = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new()
        .with_reader_properties(with_filters)
        .build();
    let reader = SerializedFileReader::new_with_options(file.bytes, options).unwrap();
    let row_group = reader.get_row_group(0).unwrap();
    let columns = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .enumerate();
    columns
        .filter_map(|(at, column)| {
            Some((
                column.name().to_owned(),
                row_group.get_column_bloom_filter(at)?.clone(),
            ))
        })
        .collect()
}

/// Encoded in a dictionary, plain, and as a dictionary that falls back to plain.
#[test]
fn bloom_filters_know_numbers_too() {
    let rows = 60_000_i64;
    let config = ParquetConfig {
        bloom_filter_columns: Some(vec!["Duration".to_owned(), "TraceFlags".to_owned()]),
        ..ParquetConfig::default()
    };
    let small = [("write.parquet.dict-size-bytes", "8192")];
    for (spread, properties) in [(1, &[][..]), (1_000, &[]), (20, &small)] {
        let duration = move |row: i64| (row % 2 == 0).then_some(row / spread * 1_000_003 - 5_000);
        let flags = move |row: i64| i32::try_from(row / spread).unwrap() - 7;
        let batch = batch(&[
            ("Timestamp", times((0..rows).map(|_| 0))),
            (
                "Duration",
                Arc::new((0..rows).map(duration).collect::<Int64Array>()),
            ),
            (
                "TraceFlags",
                Arc::new((0..rows).map(flags).collect::<Int32Array>()),
            ),
        ]);
        let filters = filters_of(Table::Traces, properties, batch, &config);
        assert_eq!(filters.len(), 2);
        assert!(
            (0..rows)
                .filter_map(duration)
                .all(|value| filters["Duration"].check(&value))
        );
        assert!(
            (0..rows)
                .map(flags)
                .all(|value| filters["TraceFlags"].check(&value))
        );
        let others = (1..10_000_i64)
            .filter(|other| filters["Duration"].check(&(other * 1_000_003 + 1)))
            .count();
        assert!(others < 300, "{others} of 10,000 at a target of 100");
    }
}

/// Readers look for a number, not for its bits.
#[test]
fn bloom_filters_of_doubles_know_what_is_equal() {
    let config = ParquetConfig {
        bloom_filter_columns: Some(vec!["Value".to_owned()]),
        ..ParquetConfig::default()
    };
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    for (held, equal) in [(-0.0, 0.0), (0.0, -0.0), (stale, f64::NAN), (1.5, 1.5)] {
        let batch = batch(&[
            ("TimeUnix", times([0])),
            ("Value", Arc::new(Float64Array::from(vec![held]))),
        ]);
        let filters = filters_of(Table::Gauge, &[], batch, &config);
        assert!(
            filters["Value"].check(&held) && filters["Value"].check(&equal),
            "{held} and {equal}"
        );
        assert!(!filters["Value"].check(&2.5));
    }
}

#[tokio::test]
async fn footers_have_page_indexes_our_name_and_no_arrow_schema() {
    let metadata = TestTable::default(Table::Logs).build();
    let (written, file_io) = write_logs(&metadata, rows(50_000)).await;
    let footer = read(&file_io, &written.files[0]).await.1;
    let file_metadata = footer.file_metadata();
    let created_by = format!("otlp2iceberg version {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(file_metadata.created_by(), Some(created_by.as_str()));
    assert_eq!(file_metadata.key_value_metadata(), None);
    for chunk in footer.row_group(0).columns() {
        assert!(chunk.statistics().is_some() && chunk.column_index_offset().is_some());
        assert!(chunk.offset_index_offset().is_some());
        let is_small = chunk.uncompressed_size() < 128 + 60;
        assert_eq!(
            chunk.compression() == Codec::UNCOMPRESSED,
            is_small,
            "but for headers"
        );
        // Many releases of Iceberg's vectorised reader for Spark support no other encodings.
        assert!(chunk.encodings().all(|encoding| {
            matches!(
                encoding,
                Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY
            )
        }));
    }
    let dictionaries = footer
        .row_group(0)
        .columns()
        .iter()
        .map(|chunk| chunk.dictionary_page_offset().is_some());
    assert_eq!(dictionaries.collect::<Vec<_>>(), [false, false, true]);
}

/// For the chunks of `MetricUnit` and `Value`: whether they are compressed, have a dictionary, and their
/// bytes.
fn stored(values: Vec<f64>) -> Vec<(bool, bool, i64)> {
    let rows = values.len();
    let batch = batch(&[
        ("TimeUnix", times((0..rows as i64).map(|row| DAY + row))),
        ("MetricUnit", texts(vec![Some("By"); rows])),
        ("Value", Arc::new(Float64Array::from(values))),
    ]);
    let metadata = TestTable::default(Table::Gauge).build();
    let encoded = encode_with(&metadata, Table::Gauge, batch, &ParquetConfig::default()).unwrap();
    let footer = footer(&encoded.files[0].bytes);
    let [_, chunks @ ..] = footer.row_group(0).columns() else {
        panic!("no columns");
    };
    let stored = chunks.iter().map(|chunk| {
        let is_compressed = chunk.compression() != Codec::UNCOMPRESSED;
        let has_dictionary = chunk.dictionary_page_offset().is_some();
        (is_compressed, has_dictionary, chunk.compressed_size())
    });
    stored.collect()
}

#[test]
fn small_chunks_are_stored_as_they_are_and_dictionaries_must_be_of_use() {
    let unlike = |rows: i32| (0..rows).map(f64::from).collect::<Vec<_>>();
    let unit = (false, true);
    for (values, expected) in [
        (vec![0.5; 1000], [unit, (false, true)]),
        (unlike(1000), [unit, (true, false)]),
        // Half of the values are distinct, and then more than half.
        (unlike(300).repeat(2), [unit, (true, true)]),
        ([unlike(300), unlike(299)].concat(), [unit, (true, false)]),
        (unlike(2), [unit, (false, false)]),
        (unlike(1), [(false, false), (false, false)]),
    ] {
        let (rows, stored) = (values.len(), stored(values));
        let found = stored
            .iter()
            .map(|(is_compressed, has_dictionary, _)| (*is_compressed, *has_dictionary));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{rows} rows");
    }
    // Page headers take about 20 bytes each.
    let bytes = stored(vec![0.5; 1000]).into_iter().map(|(_, _, bytes)| bytes);
    assert!(
        bytes.clone().all(|bytes| bytes < 70),
        "{:?}",
        bytes.collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn compression_can_be_off() {
    let metadata = TestTable::default(Table::Logs).build();
    let config = ParquetConfig {
        compression: Some(Compression::None),
        ..ParquetConfig::default()
    };
    let (written, file_io) = write_with(&metadata, Table::Logs, rows(10), &config)
        .await
        .unwrap();
    let footer = read(&file_io, &written.files[0]).await.1;
    assert!(
        footer
            .row_group(0)
            .columns()
            .iter()
            .all(|chunk| chunk.compression() == Codec::UNCOMPRESSED)
    );
}
