//! Table properties for the content and location of files, and the configuration, which takes precedence.

use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use bytes::Bytes;
use iceberg::spec::{DataFile, TableMetadata};
use otlp2iceberg::Table;
use otlp2iceberg::config::{Compression, ParquetConfig};
use parquet::basic::{Compression as Codec, Encoding, PageType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

use super::support::{DAY, LOCATION, TestTable, batch, encode_with, rows_of, strings, texts, times};

/// Encodes logs, each with its own body and trace id.
fn encoded(metadata: &TableMetadata, rows: i64, config: &ParquetConfig) -> Vec<(DataFile, Bytes)> {
    let texts_of =
        |prefix: &str| -> Vec<String> { (0..rows).map(|row| format!("{prefix}{row:040}")).collect() };
    let (bodies, trace_ids) = (texts_of("b"), texts_of("t"));
    // Ten rows each.
    let services: Vec<String> = (0..rows).map(|row| format!("s{:040}", row / 10)).collect();
    let batch = batch(&[
        ("Timestamp", times(DAY..DAY + rows)),
        ("TraceId", texts(trace_ids.iter().map(|id| Some(id.as_str())))),
        ("Body", texts(bodies.iter().map(|body| Some(body.as_str())))),
        (
            "ServiceName",
            texts(services.iter().map(|service| Some(service.as_str()))),
        ),
    ]);
    let encoded = encode_with(metadata, Table::Logs, batch, config).unwrap();
    encoded
        .files
        .into_iter()
        .map(|file| (file.data_file, file.bytes))
        .collect()
}

fn footer(bytes: &Bytes) -> Arc<ParquetMetaData> {
    let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new()
        .with_reader_properties(properties)
        .with_page_index()
        .build();
    let reader = SerializedFileReader::new_with_options(bytes.clone(), options).unwrap();
    Arc::new(reader.metadata().clone())
}

fn table(properties: &[(&str, &str)]) -> TableMetadata {
    TestTable::ours(Table::Logs).properties(properties).build()
}

fn footer_with(properties: &[(&str, &str)], rows: i64, config: &ParquetConfig) -> Arc<ParquetMetaData> {
    footer(&encoded(&table(properties), rows, config)[0].1)
}

fn codec(properties: &[(&str, &str)], config: &ParquetConfig) -> Codec {
    footer_with(properties, 1000, config)
        .row_group(0)
        .column(0)
        .compression()
}

const CODEC: &str = "write.parquet.compression-codec";

#[test]
fn the_tables_codec_holds_unless_one_is_configured() {
    let ours = ParquetConfig::default();
    for (name, same) in [
        ("snappy", Codec::SNAPPY),
        ("GZIP", Codec::GZIP(parquet::basic::GzipLevel::default())),
        ("brotli", Codec::BROTLI(parquet::basic::BrotliLevel::default())),
        ("lz4", Codec::LZ4_RAW),
        ("uncompressed", Codec::UNCOMPRESSED),
        ("zstd", Codec::ZSTD(parquet::basic::ZstdLevel::default())),
        ("lzo", Codec::ZSTD(parquet::basic::ZstdLevel::default())),
    ] {
        let found = codec(&[(CODEC, name)], &ours);
        assert_eq!(
            std::mem::discriminant(&found),
            std::mem::discriminant(&same),
            "{name} gave {found}"
        );
    }
    let configured = ParquetConfig {
        compression: Some(Compression::None),
        ..ParquetConfig::default()
    };
    assert_eq!(codec(&[(CODEC, "gzip")], &configured), Codec::UNCOMPRESSED);
}

#[test]
fn a_level_of_the_table_makes_other_files_unless_one_is_configured() {
    const LEVEL: &str = "write.parquet.compression-level";
    let size = |properties: &[(&str, &str)], level: Option<i32>| {
        let config = ParquetConfig {
            compression_level: level,
            ..ParquetConfig::default()
        };
        encoded(&table(properties), 20_000, &config)[0].1.len()
    };
    let fast = size(&[], None);
    assert_ne!(size(&[(LEVEL, "19")], None), fast);
    assert_eq!(size(&[(LEVEL, "19")], Some(1)), fast);
    assert_eq!(
        size(&[(LEVEL, "high")], None),
        fast,
        "what means nothing is passed over"
    );
    assert_eq!(
        size(&[(CODEC, "snappy"), (LEVEL, "19")], Some(1)),
        size(&[(CODEC, "snappy")], None),
        "a configured level is one of zstd"
    );
}

fn position(footer: &ParquetMetaData, name: &str) -> usize {
    let mut chunks = footer.row_group(0).columns().iter();
    chunks
        .position(|chunk| chunk.column_path().string() == name)
        .unwrap()
}

fn pages(footer: &ParquetMetaData, column: usize) -> usize {
    footer.offset_index().unwrap()[0][column].page_locations().len()
}

#[test]
fn pages_hold_as_many_rows_as_icebergs_own_or_end_earlier_by_their_bytes() {
    for kind in [Table::Logs, Table::Traces, Table::Gauge] {
        let (time, text) = match kind {
            Table::Gauge => ("TimeUnix", "MetricUnit"),
            Table::Logs => ("Timestamp", "Body"),
            _ => ("Timestamp", "StatusMessage"),
        };
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..30_000).map(|row| format!("{row:0>196}")),
        ));
        let batch = batch(&[(time, times(DAY..DAY + 30_000)), (text, texts)]);
        let metadata = TestTable::ours(kind).build();
        let file = encode_with(&metadata, kind, batch, &ParquetConfig::default())
            .unwrap()
            .files
            .remove(0);
        let footer = footer(&file.bytes);
        assert_eq!(pages(&footer, position(&footer, time)), 2, "{kind}");
        // Pages of texts of 200 bytes each.
        let by_bytes = (30_000 * 200_usize).div_ceil(1 << 20);
        assert_eq!(pages(&footer, position(&footer, text)), by_bytes, "{kind}");
    }
}

#[test]
fn ids_have_a_dictionary_where_they_repeat_however_far_apart() {
    let (metadata, config) = (table(&[]), ParquetConfig::default());
    for (different, with_dictionary) in [(500_usize, true), (6000, true), (7000, false), (8000, false)] {
        let ids: Vec<String> = (0..8000).map(|row| format!("{:032x}", row % different)).collect();
        let batch = batch(&[
            ("Timestamp", times(DAY..DAY + 8000)),
            ("TraceId", texts(ids.iter().map(|id| Some(id.as_str())))),
        ]);
        let file = encode_with(&metadata, Table::Logs, batch, &config)
            .unwrap()
            .files
            .remove(0);
        let footer = footer(&file.bytes);
        let chunk = footer.row_group(0).column(position(&footer, "TraceId"));
        assert_eq!(
            chunk.dictionary_page_offset().is_some(),
            with_dictionary,
            "{different}"
        );
        let in_pages = if with_dictionary {
            Encoding::RLE_DICTIONARY
        } else {
            Encoding::PLAIN
        };
        let pages = chunk.page_encoding_stats().cloned().unwrap_or_default();
        for page in pages.iter().filter(|page| page.page_type == PageType::DATA_PAGE) {
            assert_eq!(page.encoding, in_pages, "{different}");
        }
        assert_eq!(
            strings(&rows_of(&file.bytes), "TraceId"),
            ids.into_iter().map(Some).collect::<Vec<_>>()
        );
    }
}

#[test]
fn row_groups_pages_and_dictionaries_are_as_large_as_the_table_says() {
    let rows = 100_000;
    let ours = ParquetConfig {
        bloom_filter_columns: Some(vec![]),
        ..ParquetConfig::default()
    };
    let plain = footer_with(&[], rows, &ours);
    assert_eq!(plain.num_row_groups(), 1);
    let (body, service) = (position(&plain, "Body"), position(&plain, "ServiceName"));

    let groups = footer_with(&[("write.parquet.row-group-size-bytes", "1000000")], rows, &ours);
    assert!(
        groups.num_row_groups() > 2,
        "{} row groups",
        groups.num_row_groups()
    );

    let limited = footer_with(&[("write.parquet.page-row-limit", "1000")], rows, &ours);
    assert!(pages(&limited, body) > 90 && pages(&plain, body) < 20);

    let paged = footer_with(&[("write.parquet.page-size-bytes", "100000")], rows, &ours);
    assert!(pages(&paged, body) > pages(&plain, body));

    let data_pages_after = |properties: &[(&str, &str)]| {
        let footer = footer_with(properties, rows, &ours);
        let chunk = footer.row_group(0).column(service).clone();
        chunk.data_page_offset() - chunk.dictionary_page_offset().unwrap()
    };
    assert!(
        data_pages_after(&[("write.parquet.dict-size-bytes", "10000")]) < data_pages_after(&[]),
        "a dictionary is given up earlier"
    );
}

#[test]
fn files_are_closed_at_the_tables_target_size_unless_one_is_configured() {
    let table = table(&[
        ("write.target-file-size-bytes", "1000000"),
        (CODEC, "uncompressed"),
    ]);
    let files = encoded(&table, 100_000, &ParquetConfig::default());
    assert!(files.len() > 2, "{} files", files.len());
    let configured = ParquetConfig {
        target_file_size_bytes: Some(1 << 30),
        ..ParquetConfig::default()
    };
    assert_eq!(encoded(&table, 100_000, &configured).len(), 1);
}

#[test]
fn bloom_filters_are_where_the_table_wants_them_unless_configured() {
    const ENABLED: &str = "write.parquet.bloom-filter-enabled.column.";
    let (body, trace) = (format!("{ENABLED}Body"), format!("{ENABLED}TraceId"));
    let filters = |properties: &[(&str, &str)], columns: Option<&[&str]>| -> Vec<String> {
        let config = ParquetConfig {
            bloom_filter_columns: columns.map(|columns| columns.iter().map(|c| (*c).to_owned()).collect()),
            ..ParquetConfig::default()
        };
        footer_with(properties, 10, &config)
            .row_group(0)
            .columns()
            .iter()
            .filter(|chunk| chunk.bloom_filter_offset().is_some())
            .map(|chunk| chunk.column_path().string())
            .collect()
    };
    assert_eq!(filters(&[], None), ["TraceId"]);
    assert_eq!(filters(&[(&body, "true")], None), ["TraceId", "Body"]);
    assert_eq!(filters(&[(&trace, "false")], None), Vec::<String>::new());
    assert_eq!(filters(&[(&trace, "false")], Some(&["TraceId"])), ["TraceId"]);
    assert_eq!(filters(&[(&body, "true")], Some(&[])), Vec::<String>::new());
}

#[test]
fn bloom_filters_are_as_exact_and_as_large_as_the_table_says() {
    let bytes = |properties: &[(&str, &str)]| {
        let footer = footer_with(properties, 50_000, &ParquetConfig::default());
        let columns = footer.row_group(0).columns();
        columns
            .iter()
            .find_map(ColumnChunkMetaData::bloom_filter_length)
            .unwrap()
    };
    const SHARE: &str = "write.parquet.bloom-filter-fpp.column.TraceId";
    let usual = bytes(&[]);
    assert!(bytes(&[(SHARE, "0.0001")]) > usual);
    assert_eq!(bytes(&[(SHARE, "7")]), usual, "what means nothing is passed over");
    let capped = bytes(&[("write.parquet.bloom-filter-max-bytes", "9000")]);
    assert!(
        (4096..=9000).contains(&capped) && usual > 32_768,
        "{capped} of {usual} bytes"
    );
}

#[test]
fn data_files_of_object_stores_have_a_hash_in_their_path() {
    const ENABLED: (&str, &str) = ("write.object-storage.enabled", "true");
    const FLAT: (&str, &str) = ("write.object-storage.partitioned-paths", "false");
    let day = |properties: &[(&str, &str)]| {
        let table = TestTable::default(Table::Logs).properties(properties);
        encoded(&table.build(), 1, &ParquetConfig::default())[0]
            .0
            .file_path()
            .to_owned()
    };
    /// The parts of the path after a folder, with hashes replaced by their number of bits.
    fn shape(path: &str, folder: &str) -> Vec<String> {
        let rest = path
            .strip_prefix(folder)
            .unwrap_or_else(|| panic!("{path} is not in {folder}"));
        let is_bits = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0' | b'1'));
        rest.split('/')
            .map(|part| match part.split_once('-') {
                _ if is_bits(part) => part.len().to_string(),
                Some((bits, _)) if bits.len() == 8 && is_bits(bits) => "8-file".to_owned(),
                _ if part.ends_with(".parquet") => "file".to_owned(),
                _ => part.to_owned(),
            })
            .collect()
    }
    let own = format!("{LOCATION}/data/");
    let partition = "Timestamp_day=2026-11-21";
    assert_eq!(shape(&day(&[]), &own), [partition, "file"]);
    assert_eq!(
        shape(&day(&[ENABLED]), &own),
        ["4", "4", "4", "8", partition, "file"]
    );
    assert_eq!(shape(&day(&[ENABLED, FLAT]), &own), ["4", "4", "4", "8-file"]);
    assert_eq!(
        shape(
            &day(&[ENABLED, ("write.data.path", "s3://data/x/")]),
            "s3://data/x/"
        ),
        ["4", "4", "4", "8", "otel", "logs", partition, "file"]
    );
    assert_eq!(
        shape(&day(&[("write.folder-storage.path", "s3://old")]), "s3://old/"),
        [partition, "file"]
    );
}
