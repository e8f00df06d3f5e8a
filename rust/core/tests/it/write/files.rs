//! The Parquet files themselves: names, sizes, bloom filters, indexes, codec.

use std::collections::HashSet;

use arrow_array::RecordBatch;
use iceberg::io::FileIO;
use iceberg::spec::{Datum, TableMetadata};
use otlp2iceberg::config::{Compression, ParquetConfig};
use otlp2iceberg::convert::TableBatch;
use otlp2iceberg::request::IdRange;
use otlp2iceberg::write::write;
use otlp2iceberg::{ErrorKind, RetryClass, Table};
use parquet::basic::{Compression as Codec, Encoding};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;

use super::support::{
    DAY, TestTable, batch, id, ids, integers, labels, read, read_bytes, texts, times, write_logs, write_with,
};

fn rows(count: i64) -> RecordBatch {
    let trace_ids: Vec<String> = (0..count).map(trace_id).collect();
    batch(&[
        ("Timestamp", times(DAY..DAY + count)),
        ("TraceId", texts(trace_ids.iter().map(|id| Some(id.as_str())))),
        ("ServiceName", labels((0..count).map(|_| Some("shop")))),
    ])
}

/// Well mixed, so that it does not compress away.
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
        assert_eq!(file.split_offsets().unwrap().len(), footer.num_row_groups());
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
        assert!(matches!(chunk.compression(), Codec::ZSTD(_)));
        // Many releases of Iceberg's vectorised reader for Spark read no other encodings.
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
