//! Large row groups are copied unchanged.

use bytes::Bytes;
use otlp2iceberg::Table;
use otlp2iceberg::write::Joined;
use otlp2iceberg::write::register::FOOTER_BYTES_MAX;
use parquet::basic::Compression;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::super::support::{TestTable, footer, rows_of, strings};
use super::super::tables::sample;
use super::support::{Folder, assert_copied, logs, multiset, some_rows, trace_id};

fn trace_filter(bytes: &Bytes, footer: &ParquetMetaData, group: usize) -> Sbbf {
    let mut chunks = footer.row_group(group).columns().iter();
    let chunk = chunks
        .find(|chunk| chunk.column_path().string() == "TraceId")
        .unwrap();
    Sbbf::read_from_column_chunk(chunk, bytes).unwrap().unwrap()
}

#[tokio::test]
async fn large_row_groups_are_copied_and_small_ones_between_them_are_joined() {
    let mut folder = Folder::logs(100);
    let sources = [
        folder.write(logs(0..20)).await,
        folder.write(logs(20..270)).await,
        folder.write(logs(270..310)).await,
        folder.write(logs(310..390)).await,
        folder.write(logs(390..410)).await,
    ];
    let Joined { data_file, taken, .. } = folder.join(&sources).await;
    assert_eq!(taken, [0, 1, 2, 3, 4]);
    let bytes = folder.bytes(&data_file).await;
    let joined = footer(&bytes);
    let rows: Vec<i64> = joined
        .row_groups()
        .iter()
        .map(RowGroupMetaData::num_rows)
        .collect();
    // The three small files, joined; the large file, whose last row group of 50 rows is large enough; the 80.
    assert_eq!(rows, [20 + 40 + 20, 100, 100, 50, 80]);
    let large = folder.bytes(&sources[1]).await;
    for group in 0..3 {
        assert_copied((&bytes, 1 + group), (&large, group));
    }
    assert_copied((&bytes, 4), (&folder.bytes(&sources[3]).await, 0));
    assert_eq!(joined.file_metadata().num_rows(), 410);
    assert_eq!(data_file.sort_order_id(), None, "not sorted as a whole");
    assert_eq!(data_file.split_offsets(), Some(&[4][..]));

    let all = rows_of(&bytes);
    let mut read = Vec::new();
    for source in &sources {
        read.push(folder.bytes(source).await);
    }
    assert_eq!(multiset([&bytes]), multiset(&read));
    let first = all.slice(0, 80);
    let (mut sorted, services) = (strings(&first, "ServiceName"), strings(&first, "ServiceName"));
    sorted.sort();
    assert_eq!(services, sorted);

    // The bloom filter of each row group contains its ids, and almost no others.
    let present = |row: i64| (row % 7 != 0).then(|| trace_id(row));
    for (group, rows) in [(0, 0..20), (0, 270..310), (1, 20..21), (4, 310..390)] {
        let filter = trace_filter(&bytes, &joined, group);
        let ids = rows.clone().filter_map(present).filter(|_| group != 1);
        assert!(ids.into_iter().all(|id| filter.check(&id.as_str())), "{group}");
        let found = (1_000..2_000)
            .filter(|row| filter.check(&trace_id(*row).as_str()))
            .count();
        assert!(found < 60, "{group}: {found} of 1000");
    }
    let entry = folder.at_once(&[logs(0..410)]).1;
    assert_eq!(data_file.value_counts(), entry.value_counts());
    assert_eq!(data_file.null_value_counts(), entry.null_value_counts());
    assert_eq!(data_file.lower_bounds(), entry.lower_bounds());
    assert_eq!(data_file.upper_bounds(), entry.upper_bounds());
    let sizes: u64 = data_file.column_sizes().values().sum();
    let chunks = joined.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let stored: i64 = chunks.map(ColumnChunkMetaData::compressed_size).sum();
    assert_eq!(sizes, stored as u64);
}

#[tokio::test]
async fn columns_of_nested_types_are_copied_too() {
    for table in [Table::Traces, Table::Histogram] {
        let mut folder = Folder::new(table, TestTable::default(table)).with_rows_max(100);
        let rows = sample(table, 300);
        let sources = [
            folder.write(some_rows(&rows, 0..100)).await,
            folder.write(some_rows(&rows, 100..120)).await,
            folder.write(some_rows(&rows, 120..180)).await,
            folder.write(some_rows(&rows, 180..200)).await,
        ];
        let joined = folder.join(&sources).await;
        let bytes = folder.bytes(&joined.data_file).await;
        assert_eq!(footer(&bytes).num_row_groups(), 3, "{table}");
        assert_copied((&bytes, 0), (&folder.bytes(&sources[0]).await, 0));
        assert_copied((&bytes, 2), (&folder.bytes(&sources[2]).await, 0));
        let at_once = folder.at_once(&[some_rows(&rows, 0..200)]).0;
        assert_eq!(multiset([&bytes]), multiset([&at_once]), "{table}");
    }
}

#[tokio::test]
async fn what_was_joined_is_joined_again() {
    let mut folder = Folder::logs(100);
    let sources = [
        folder.write(logs(0..30)).await,
        folder.write(logs(30..50)).await,
        folder.write(logs(50..130)).await,
    ];
    let first = folder.join(&sources).await.data_file;
    let later = [
        first.clone(),
        folder.write(logs(130..150)).await,
        folder.write(logs(150..160)).await,
    ];
    let Joined { data_file, taken, .. } = folder.join(&later).await;
    assert_eq!(taken, [0, 1, 2]);
    let (bytes, first_bytes) = (folder.bytes(&data_file).await, folder.bytes(&first).await);
    // 50 and 80 rows are copied, 20 and 10 joined.
    let rows: Vec<i64> = footer(&bytes)
        .row_groups()
        .iter()
        .map(RowGroupMetaData::num_rows)
        .collect();
    assert_eq!(rows, [50, 80, 30]);
    assert_copied((&bytes, 0), (&first_bytes, 0));
    assert_copied((&bytes, 1), (&first_bytes, 1));
    let (at_once, entry) = folder.at_once(&[logs(0..160)]);
    assert_eq!(multiset([&bytes]), multiset([&at_once]));
    assert_eq!(data_file.lower_bounds(), entry.lower_bounds());
    assert_eq!(data_file.upper_bounds(), entry.upper_bounds());
}

/// Such a file results from joining many files. Its footer is longer than what is read of files of others.
#[tokio::test]
async fn a_file_of_thousands_of_row_groups_is_joined_again() {
    const ROWS: i64 = 19_000;
    let mut folder = Folder::logs(1);
    let sources = [
        folder.write(logs(0..ROWS)).await,
        folder.write(logs(ROWS..ROWS + 1)).await,
    ];
    let bytes = folder.bytes(&sources[0]).await;
    let footer_bytes = bytes[bytes.len() - 8..]
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes);
    assert!(footer_bytes > Some(FOOTER_BYTES_MAX as u32), "{footer_bytes:?}");
    let joined = folder.join(&sources).await;
    assert_eq!(joined.taken, [0, 1]);
    let found = footer(&folder.bytes(&joined.data_file).await);
    assert_eq!(found.num_row_groups() as i64, ROWS + 1);
}

#[tokio::test]
async fn other_codecs_are_joined_and_copied() {
    let snappy = [("write.parquet.compression-codec", "snappy")];
    let mut folder = Folder::new(
        Table::Traces,
        TestTable::default(Table::Traces).properties(&snappy),
    );
    folder.config.max_row_group_rows = Some(100);
    let rows = sample(Table::Traces, 120);
    let sources = [
        folder.write(some_rows(&rows, 0..60)).await,
        folder.write(some_rows(&rows, (60..90).rev())).await,
        folder.write(some_rows(&rows, 90..120)).await,
    ];
    let bytes = folder.bytes(&folder.join(&sources).await.data_file).await;
    let joined = footer(&bytes);
    assert_eq!(joined.num_row_groups(), 2);
    let mut chunks = joined.row_groups().iter().flat_map(RowGroupMetaData::columns);
    assert!(chunks.all(|chunk| chunk.compression() == Compression::SNAPPY));
    assert_copied((&bytes, 0), (&folder.bytes(&sources[0]).await, 0));
    let at_once = folder.at_once(&[rows]).0;
    assert_eq!(multiset([&bytes]), multiset([&at_once]));
}

/// If the table limits row groups by bytes, row groups that were cut for that reason are not split again.
#[tokio::test]
async fn row_groups_that_were_cut_by_their_bytes_are_copied() {
    let limited = [("write.parquet.row-group-size-bytes", "100000")];
    let mut folder = Folder::new(Table::Logs, TestTable::default(Table::Logs).properties(&limited));
    let sources = [
        folder.write(logs(0..6_000)).await,
        folder.write(logs(6_000..6_100)).await,
        folder.write(logs(6_100..6_200)).await,
    ];
    let large = folder.bytes(&sources[0]).await;
    let cut = footer(&large).num_row_groups();
    assert!(cut > 2, "{cut}");
    let first = folder.join(&sources).await.data_file;
    let later = [first.clone(), folder.write(logs(6_200..6_300)).await];
    for file in [&first, &folder.join(&later).await.data_file] {
        let bytes = folder.bytes(file).await;
        for group in 0..cut {
            assert_copied((&bytes, group), (&large, group));
        }
        assert_eq!(footer(&bytes).num_row_groups(), cut + 1, "one of all small ones");
    }
}
