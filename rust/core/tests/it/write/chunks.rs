//! Column chunks: our encoder writes the same as the parquet crate, and batches of a call share files.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use iceberg::spec::TableMetadata;
use otlp2iceberg::config::ParquetConfig;
use otlp2iceberg::convert::{ConvertOptions, TableBatch, ValueLimits, convert};
use otlp2iceberg::write::{EncodeOptions, Files, Memory, NewFile};
use otlp2iceberg::{Signal, Table};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};
use proptest::prelude::*;
use prost::Message;

use super::support::{
    DAY, TestTable, batch, chunk_of, encode_with, footer, ids, labels, logs_of_resource, rows_of, texts,
    times,
};
use crate::strategies;

/// Our encoder does not support snappy, so the parquet crate writes such a file.
const OTHER_CODEC: (&str, &str) = ("write.parquet.compression-codec", "snappy");

/// Small pages and dictionaries, so that few rows fill many of them.
fn table(table: Table, properties: &[(&str, &str)]) -> TestTable {
    let small = [
        ("write.parquet.page-row-limit", "5"),
        ("write.parquet.page-size-bytes", "300"),
        ("write.parquet.dict-size-bytes", "200"),
    ];
    TestTable::ours(table).properties(small.iter().chain(properties))
}

fn check_same(signal: Signal, payload: &[u8]) {
    let options = ConvertOptions {
        arrival_time_unix_nano: 1_700_000_000_000_000_000,
        column_bytes_max: 1 << 20,
        batch_bytes_max: 1 << 20,
        values: ValueLimits::default(),
    };
    let converted = convert(signal, payload, &options).unwrap();
    let mut memory = Memory::default();
    for TableBatch { table: of, batch } in converted.batches {
        let config = ParquetConfig::default();
        let file = |properties: &[(&str, &str)]| {
            let metadata = table(of, properties).build();
            let encoded = encode_with(&metadata, of, batch.clone(), &config).unwrap();
            assert_eq!(encoded.files.len(), 1);
            encoded.files.into_iter().next().unwrap()
        };
        let (ours, theirs) = (file(&[]), file(&[OTHER_CODEC]));
        assert_eq!(rows_of(&ours.bytes), rows_of(&theirs.bytes), "{of}");
        assert_same_metrics(&ours, &theirs);
        let metadata = table(of, &[]).build();
        for _ in 0..2 {
            let again = append(&metadata, of, vec![batch.clone()], &mut memory);
            assert_eq!(again.len(), 1);
            assert!(again[0].bytes == ours.bytes, "{of}: in memory of other tables");
        }
    }
}

fn assert_same_metrics(ours: &NewFile, theirs: &NewFile) {
    let (ours, theirs) = (&ours.data_file, &theirs.data_file);
    assert_eq!(ours.record_count(), theirs.record_count());
    assert_eq!(ours.value_counts(), theirs.value_counts());
    assert_eq!(ours.null_value_counts(), theirs.null_value_counts());
    assert_eq!(ours.nan_value_counts(), theirs.nan_value_counts());
    assert_eq!(ours.lower_bounds(), theirs.lower_bounds());
    assert_eq!(ours.upper_bounds(), theirs.upper_bounds());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn logs_are_as_the_parquet_crate_writes_them(request in strategies::logs_request(), times in 1_usize..9) {
        check_same(Signal::Logs, &request.encode_to_vec().repeat(times));
    }

    #[test]
    fn spans_are_as_the_parquet_crate_writes_them(request in strategies::traces_request(), times in 1_usize..9) {
        check_same(Signal::Traces, &request.encode_to_vec().repeat(times));
    }

    #[test]
    fn points_are_as_the_parquet_crate_writes_them(request in strategies::metrics_request(), times in 1_usize..9) {
        check_same(Signal::Metrics, &request.encode_to_vec().repeat(times));
    }
}

/// Two services, a time and a body per row.
fn rows(start: i64, count: i64) -> RecordBatch {
    let numbers = || start..start + count;
    let bodies: Vec<String> = numbers().map(|row| format!("body {row}")).collect();
    let ids: Vec<String> = numbers().map(|row| format!("{row:032x}")).collect();
    batch(&[
        ("Timestamp", times(numbers().map(|row| DAY + row))),
        ("TraceId", texts(ids.iter().map(|id| Some(id.as_str())))),
        (
            "ServiceName",
            labels(numbers().map(|row| Some(["b", "a"][row as usize % 2]))),
        ),
        ("Body", texts(bodies.iter().map(|body| Some(body.as_str())))),
    ])
}

fn files_of(properties: &[(&str, &str)], batches: Vec<RecordBatch>) -> Vec<NewFile> {
    files_in(&mut Memory::default(), properties, batches)
}

fn files_in(memory: &mut Memory, properties: &[(&str, &str)], batches: Vec<RecordBatch>) -> Vec<NewFile> {
    let table = TestTable::default(Table::Logs).properties(properties);
    append(&table.build(), Table::Logs, batches, memory)
}

fn append(
    metadata: &TableMetadata,
    table: Table,
    batches: Vec<RecordBatch>,
    memory: &mut Memory,
) -> Vec<NewFile> {
    let options = EncodeOptions {
        ids: &ids(),
        parquet: &ParquetConfig::default(),
        partitions_max: usize::MAX,
        request_bytes: usize::MAX,
        proceed: &|| Ok(()),
    };
    let mut files = Files::default();
    for batch in batches {
        let batch = TableBatch { table, batch };
        let appended = files.append(metadata, &batch, &options, memory).unwrap();
        assert_eq!(appended.rejected, Vec::<u32>::new());
    }
    files.finish(metadata, &options).unwrap()
}

#[test]
fn files_are_the_same_in_whatever_memory() {
    const CODEC: &str = "write.parquet.compression-codec";
    let layouts: [&[(&str, &str)]; 5] = [
        &[],
        &[(CODEC, "uncompressed")],
        &[(CODEC, "zstd"), ("write.parquet.compression-level", "3")],
        &[OTHER_CODEC],
        &[("write.parquet.page-row-limit", "7")],
    ];
    let mut memory = Memory::default();
    for count in [1000, 10, 5000] {
        for layout in layouts {
            let batches = || vec![rows(0, count), rows(count, 20)];
            let (fresh, again) = (
                files_of(layout, batches()),
                files_in(&mut memory, layout, batches()),
            );
            assert_eq!((fresh.len(), again.len()), (1, 1));
            assert!(fresh[0].bytes == again[0].bytes, "{layout:?}");
        }
        memory.trim();
    }
}

#[test]
fn batches_of_a_call_are_row_groups_of_one_file_each_sorted() {
    let files = files_of(&[], vec![rows(0, 1000), rows(1000, 500)]);
    assert_eq!(files.len(), 1);
    let file = &files[0];
    assert_eq!(file.data_file.record_count(), 1500);
    assert_eq!(
        file.data_file.sort_order_id(),
        None,
        "the file as a whole is not sorted"
    );
    let footer = footer(&file.bytes);
    let group_rows: Vec<i64> = footer
        .row_groups()
        .iter()
        .map(RowGroupMetaData::num_rows)
        .collect();
    assert_eq!(group_rows, [1000, 500]);
    assert!(
        footer
            .row_groups()
            .iter()
            .all(|group| group.sorting_columns().is_some())
    );
    assert_eq!(file.data_file.split_offsets(), Some(&[4][..]), "they are small");

    let read = rows_of(&file.bytes);
    let services = arrow_cast::cast(
        read.column_by_name("ServiceName").unwrap(),
        &arrow_schema::DataType::Utf8,
    );
    let services = services.unwrap();
    let services = services.as_string::<i32>();
    let times = read
        .column_by_name("Timestamp")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>()
        .clone();
    for group in [0..1000, 1000..1500] {
        let keys: Vec<_> = group.map(|row| (services.value(row), times.value(row))).collect();
        assert!(keys.is_sorted());
    }
    let mut all: Vec<i64> = times.values().to_vec();
    all.sort_unstable();
    assert_eq!(all, (DAY..DAY + 1500).collect::<Vec<_>>());
}

#[test]
fn a_file_of_one_batch_says_that_it_is_sorted_and_a_full_one_is_closed() {
    let files = files_of(&[], vec![rows(0, 1000)]);
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].data_file.sort_order_id(), Some(1));

    let files = files_of(
        &[
            ("write.target-file-size-bytes", "20000"),
            ("write.parquet.compression-codec", "uncompressed"),
        ],
        vec![rows(0, 1000), rows(1000, 1000), rows(2000, 10)],
    );
    let counts: Vec<u64> = files.iter().map(|file| file.data_file.record_count()).collect();
    assert_eq!(counts, [1000, 1000, 10]);
}

#[test]
fn a_page_is_found_by_the_index() {
    let files = files_of(&[("write.parquet.page-row-limit", "100")], vec![rows(0, 2000)]);
    let footer = footer(&files[0].bytes);
    let columns = footer.row_group(0).columns();
    let column = columns
        .iter()
        .position(|chunk| chunk.column_path().string() == "Timestamp")
        .unwrap();
    let locations = footer.offset_index().unwrap()[0][column].page_locations().clone();
    assert_eq!(locations.len(), 20);
    // The rows of only one page, by its position in the offset index.
    let first = locations[7].first_row_index as usize;
    let selection = RowSelection::from_consecutive_ranges(std::iter::once(first..first + 100), 2000);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new_with_options(files[0].bytes.clone(), options).unwrap();
    let page = reader
        .with_row_selection(selection)
        .build()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let whole = rows_of(&files[0].bytes);
    assert_eq!(page, whole.slice(first, 100));
    assert_eq!(whole.column(column).null_count(), 0);
}

/// The parquet crate gives a dictionary up at 1 MiB, and takes no more than 2 GiB of texts at a time.
#[test]
fn other_codecs_keep_texts_that_rows_share_in_a_dictionary_too() {
    let attribute = "x".repeat(1200 << 10);
    let batch = logs_of_resource(&attribute, 40);
    let file = |codec: &str| {
        let codec = ("write.parquet.compression-codec", codec);
        let metadata = TestTable::ours(Table::Logs).properties(&[codec]).build();
        let encoded = encode_with(&metadata, Table::Logs, batch.clone(), &ParquetConfig::default());
        encoded.unwrap().files.remove(0).bytes
    };
    let (ours, theirs) = (file("zstd"), file("gzip"));
    for bytes in [&ours, &theirs] {
        let chunk = chunk_of(bytes, "ResourceAttributes.key_value.value");
        let bytes = chunk.uncompressed_size();
        assert!((1200 << 10..1210 << 10).contains(&bytes), "{bytes} bytes");
    }
    let rows = rows_of(&theirs);
    assert_eq!(rows.num_rows(), 40);
    assert!(rows == rows_of(&ours), "rows are not as our encoder writes them");
    let maps = rows.column_by_name("ResourceAttributes").unwrap().as_map();
    let values = maps.values().as_string::<i32>();
    assert_eq!(values.len(), 40);
    assert!(values.iter().all(|value| value == Some(attribute.as_str())));
}
