//! A folder of files, their content, and the checks on a file that they are joined into.

use std::ops::Range;
use std::path::Path;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{DataFile, TableMetadata};
use otlp2iceberg::config::ParquetConfig;
use otlp2iceberg::convert::TableBatch;
use otlp2iceberg::request::IdRange;
use otlp2iceberg::storage::local_file_io;
use otlp2iceberg::write::{Join, JoinOptions, Joined, join};
use otlp2iceberg::{Result, Table};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use tempfile::TempDir;

use super::super::support::{
    DAY, TestTable, batch, encode_with, footer, labels, read_bytes, texts, times, write,
};

/// A table's files in their own folder.
pub struct Folder {
    pub directory: TempDir,
    pub metadata: TableMetadata,
    pub table: Table,
    pub config: ParquetConfig,
    pub file_io: FileIO,
    pub written: u64,
}

impl Folder {
    pub fn new(table: Table, of: TestTable) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = format!("file://{}", folder.path().display());
        Self {
            metadata: of.located(location).build(),
            directory: folder,
            table,
            config: ParquetConfig::default(),
            file_io: local_file_io(),
            written: 0,
        }
    }

    /// Sets the maximum rows of a row group. A row group with half as many counts as large.
    pub fn with_rows_max(mut self, rows: usize) -> Self {
        self.config.max_row_group_rows = Some(rows);
        self
    }

    /// A table of logs with small row groups.
    pub fn logs(rows_max: usize) -> Self {
        Self::new(Table::Logs, TestTable::default(Table::Logs)).with_rows_max(rows_max)
    }

    pub async fn write(&mut self, batch: RecordBatch) -> DataFile {
        self.written += 1;
        let ids = [IdRange {
            writer: [9; 16],
            from: self.written,
            to: self.written,
        }];
        let batch = TableBatch {
            table: self.table,
            batch,
        };
        let written = write(&self.metadata, &self.file_io, &batch, &ids, &self.config).await;
        let [file] = <[_; 1]>::try_from(written.unwrap().files).unwrap();
        file
    }

    pub async fn try_join(&self, sources: &[DataFile]) -> Result<Join> {
        let options = JoinOptions {
            parquet: &self.config,
            proceed: &|| Ok(()),
        };
        join(&self.metadata, &self.file_io, sources, &options).await
    }

    pub async fn join(&self, sources: &[DataFile]) -> Joined {
        self.try_join(sources).await.unwrap().joined.unwrap()
    }

    pub async fn bytes(&self, file: &DataFile) -> Bytes {
        read_bytes(&self.file_io, file).await
    }

    /// The file that a single write of all rows would have made.
    pub fn at_once(&self, batches: &[RecordBatch]) -> (Bytes, DataFile) {
        let all = concat_batches(&batches[0].schema(), batches).unwrap();
        let encoded = encode_with(&self.metadata, self.table, all, &self.config).unwrap();
        let [file] = <[_; 1]>::try_from(encoded.files).unwrap();
        (file.bytes, file.data_file)
    }

    /// The names of all files, hidden ones too.
    pub fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, names: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, names);
                } else {
                    names.push(path.display().to_string());
                }
            }
        }
        let mut names = Vec::new();
        walk(self.directory.path(), &mut names);
        names.sort();
        names
    }
}

pub fn local(file: &DataFile) -> &str {
    file.file_path().strip_prefix("file://").unwrap()
}

/// The rows of files as texts, sorted.
pub fn multiset<'a>(files: impl IntoIterator<Item = &'a Bytes>) -> Vec<String> {
    let mut rows = Vec::new();
    for file in files {
        let reader = SerializedFileReader::new(file.clone()).unwrap();
        rows.extend(
            reader
                .get_row_iter(None)
                .unwrap()
                .map(|row| row.unwrap().to_string()),
        );
    }
    rows.sort();
    rows
}

pub fn some_rows(batch: &RecordBatch, rows: impl IntoIterator<Item = u32>) -> RecordBatch {
    take_record_batch(batch, &UInt32Array::from_iter_values(rows)).unwrap()
}

pub fn trace_id(row: i64) -> String {
    let mixed = (row as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    format!("{mixed:032x}")
}

/// Logs of three services. Each row has its own trace, except every seventh.
pub fn logs(rows: Range<i64>) -> RecordBatch {
    let ids: Vec<String> = rows.clone().map(trace_id).collect();
    let with_ids = rows.clone().zip(&ids);
    let services = [
        "shop",
        "cart",
        "a service of a name that is longer than bounds are",
    ];
    let bodies: Vec<String> = rows.clone().map(|row| format!("body {row}")).collect();
    batch(&[
        ("Timestamp", times(rows.clone().map(|row| DAY + 1_000_000 - row))),
        (
            "TraceId",
            texts(with_ids.map(|(row, id)| (row % 7 != 0).then_some(id.as_str()))),
        ),
        (
            "ServiceName",
            labels(rows.map(|row| services.get(row as usize % 4).copied())),
        ),
        ("Body", texts(bodies.iter().map(|body| Some(body.as_str())))),
    ])
}

fn chunk_bytes<'a>(bytes: &'a Bytes, chunk: &ColumnChunkMetaData) -> &'a [u8] {
    let (begin, length) = chunk.byte_range();
    &bytes[begin as usize..][..length as usize]
}

/// Checks that one row group is a copy of another, including everything that its file stores about it.
pub fn assert_copied((ours, at): (&Bytes, usize), (theirs, their_at): (&Bytes, usize)) {
    let (our_footer, their_footer) = (footer(ours), footer(theirs));
    let (group, their_group) = (our_footer.row_group(at), their_footer.row_group(their_at));
    assert_eq!(group.num_rows(), their_group.num_rows());
    assert_eq!(group.total_byte_size(), their_group.total_byte_size());
    assert_eq!(group.sorting_columns(), their_group.sorting_columns());
    for (column, (chunk, their_chunk)) in group.columns().iter().zip(their_group.columns()).enumerate() {
        let name = chunk.column_path().string();
        assert!(
            chunk_bytes(ours, chunk) == chunk_bytes(theirs, their_chunk),
            "{name}: bytes"
        );
        let moved = chunk.byte_range().0 as i64 - their_chunk.byte_range().0 as i64;
        assert_eq!(
            chunk.data_page_offset(),
            their_chunk.data_page_offset() + moved,
            "{name}"
        );
        assert_eq!(
            chunk.dictionary_page_offset(),
            their_chunk.dictionary_page_offset().map(|offset| offset + moved),
            "{name}"
        );
        assert_eq!(chunk.num_values(), their_chunk.num_values(), "{name}");
        assert_eq!(chunk.statistics(), their_chunk.statistics(), "{name}");
        assert_eq!(chunk.compression(), their_chunk.compression(), "{name}");
        assert_eq!(chunk.encodings_mask(), their_chunk.encodings_mask(), "{name}");
        assert!(chunk.page_encoding_stats_mask().is_some(), "{name}");
        assert_eq!(
            chunk.page_encoding_stats_mask(),
            their_chunk.page_encoding_stats_mask(),
            "{name}"
        );
        assert_eq!(
            our_footer.column_index().unwrap()[at][column],
            their_footer.column_index().unwrap()[their_at][column],
            "{name}"
        );
        let pages = our_footer.offset_index().unwrap()[at][column].page_locations();
        let mut their_pages = their_footer.offset_index().unwrap()[their_at][column]
            .page_locations()
            .clone();
        for page in &mut their_pages {
            page.offset += moved;
        }
        assert_eq!(pages, &their_pages, "{name}");
        let filter = |bytes: &Bytes, chunk: &ColumnChunkMetaData| {
            Sbbf::read_from_column_chunk(chunk, bytes).unwrap().map(|filter| {
                let mut bitset = Vec::new();
                filter.write(&mut bitset).unwrap();
                bitset
            })
        };
        assert_eq!(filter(ours, chunk), filter(theirs, their_chunk), "{name}");
    }
}
