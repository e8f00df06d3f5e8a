//! The files to be joined, described by their footers and page indexes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use iceberg::io::{FileIO, FileRead};
use iceberg::spec::{DataContentType, DataFile, DataFileFormat};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    RowGroupMetaData,
};

use super::super::layout::CREATED_BY_US;
use super::super::register::{FOOTER_GUESS_BYTES, Footer, Tail, thrift};
use super::{JoinOptions, blocking, guarded, unreadable};
use crate::cause::IcebergCause;
use crate::error::{Error, ErrorKind, Result};

/// Footers that are read concurrently.
const READ_AT_ONCE: usize = 8;
/// The greatest number of bytes read from a file's end for its footer and page indexes. Ours have some 10 KB
/// per row group, and a file may have thousands of row groups where they are configured small.
const ENDING_BYTES_MAX: u64 = 64 << 20;

/// A file of ours.
#[derive(Debug)]
pub(super) struct Source {
    /// Its position among the given files.
    pub place: usize,
    /// Its path.
    pub path: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// Its footer, including page indexes.
    pub footer: Arc<ParquetMetaData>,
}

impl Source {
    /// Its row groups with their indices.
    pub fn row_groups(&self) -> impl Iterator<Item = (usize, &RowGroupMetaData)> {
        self.footer.row_groups().iter().enumerate()
    }
}

/// Reads the footers of files, and returns the files that we wrote.
///
/// # Errors
/// `Storage` or `Decode` with the path of a file that cannot be read.
pub(super) async fn read_all(
    file_io: &FileIO,
    files: &[DataFile],
    options: &JoinOptions<'_>,
) -> Result<Vec<Source>> {
    let may_be_ours = |file: &DataFile| {
        file.file_format() == DataFileFormat::Parquet
            && file.content_type() == DataContentType::Data
            && file.key_metadata().is_none()
    };
    let files: Vec<(usize, &DataFile)> = files
        .iter()
        .enumerate()
        .filter(|(_, file)| may_be_ours(file))
        .collect();
    let mut sources = Vec::with_capacity(files.len());
    for some in files.chunks(READ_AT_ONCE) {
        (options.proceed)()?;
        let mut reads = Vec::with_capacity(some.len());
        for (place, file) in some {
            reads.push(read(file_io, *place, file));
        }
        sources.extend(try_join_all(reads).await?.into_iter().flatten());
    }
    Ok(sources)
}

/// `None` if another writer wrote it.
async fn read(file_io: &FileIO, place: usize, file: &DataFile) -> Result<Option<Source>> {
    let path = file.file_path();
    let bytes = file.file_size_in_bytes();
    let reader = open(file_io, path).await?;
    let mut tail = Ending::read(reader.as_ref(), path, FOOTER_GUESS_BYTES.min(bytes), bytes).await?;
    let mut footer = guarded(path, || tail.footer(path))?;
    if let Tail::Needs(needed) = footer {
        tail = Ending::read(reader.as_ref(), path, needed, bytes).await?;
        footer = guarded(path, || tail.footer(path))?;
    }
    let Tail::Whole(footer) = footer else {
        return Err(unreadable(path, "its footer has no end"));
    };
    let footer = footer.metadata;
    let created_by = footer.file_metadata().created_by();
    if !created_by.is_some_and(|by| by.starts_with(CREATED_BY_US)) {
        return Ok(None);
    }
    let rows = footer.row_groups().iter().try_fold(0_u64, |sum, group| {
        sum.checked_add(u64::try_from(group.num_rows()).ok()?)
    });
    if rows != Some(file.record_count()) {
        return Err(unreadable(path, "its rows are not as many as its manifest says"));
    }
    if let Some(begin) = indexes(&footer).map(|range| range.start).min()
        && begin < tail.begin
    {
        let needed = bytes - begin;
        if needed > ENDING_BYTES_MAX {
            return Err(unreadable(path, "its page indexes are too far from its end"));
        }
        tail = Ending::read(reader.as_ref(), path, needed, bytes).await?;
    }
    let path = path.to_owned();
    blocking(move || {
        let footer = guarded(&path, || {
            tail.with_indexes(footer)
                .map_err(|cause| unreadable(&path, cause))
        })?;
        Ok(Some(Source {
            place,
            path,
            bytes,
            footer: Arc::new(footer),
        }))
    })
    .await
}

/// Opens a file.
///
/// # Errors
/// `Storage` with the path.
pub(super) async fn open(file_io: &FileIO, path: &str) -> Result<Box<dyn FileRead>> {
    let failed = |cause| cannot_read(path, cause);
    let input = file_io.new_input(path).map_err(failed)?;
    input.reader().await.map_err(failed)
}

/// Reads a part of a file.
///
/// # Errors
/// `Storage` with the path.
pub(super) async fn read_range(reader: &dyn FileRead, path: &str, range: Range<u64>) -> Result<Bytes> {
    let length = range.end.saturating_sub(range.start);
    let bytes = reader
        .read(range)
        .await
        .map_err(|cause| cannot_read(path, cause))?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(unreadable(path, "it is shorter than its manifest says"))
    }
}

fn cannot_read(path: &str, cause: iceberg::Error) -> Error {
    Error::new(ErrorKind::Storage, "cannot read the data file")
        .with("path", path)
        .because(IcebergCause(cause))
}

/// The last bytes of a file.
struct Ending {
    bytes: Bytes,
    /// Their file offset.
    begin: u64,
    file_bytes: u64,
}

impl Ending {
    async fn read(reader: &dyn FileRead, path: &str, length: u64, file_bytes: u64) -> Result<Self> {
        let begin = file_bytes.saturating_sub(length);
        Ok(Self {
            bytes: read_range(reader, path, begin..file_bytes).await?,
            begin,
            file_bytes,
        })
    }

    fn footer(&self, path: &str) -> Result<Tail> {
        // The counts of pages per encoding are written again with each chunk.
        let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
        Footer::read_with(&self.bytes, self.file_bytes, ENDING_BYTES_MAX, Some(&options))
            .map_err(|error| error.with("path", path))
    }

    /// The footer with the page indexes that these bytes contain.
    fn with_indexes(&self, footer: ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
        for range in indexes(&footer) {
            let within = |at: u64| usize::try_from(at.checked_sub(self.begin)?).ok();
            let index = within(range.start)
                .zip(within(range.end))
                .and_then(|(begin, end)| self.bytes.get(begin..end))
                .ok_or_else(|| ParquetError::EOF("a page index is not within the file".to_owned()))?;
            thrift::check_index(index)
                .map_err(|problem| ParquetError::General(format!("a page index: {problem}")))?;
        }
        let mut reader = ParquetMetaDataReader::new_with_metadata(footer)
            .with_page_index_policy(PageIndexPolicy::Optional);
        reader.read_page_indexes_sized(&self.bytes, self.file_bytes)?;
        reader.finish()
    }
}

/// The byte ranges of a file's page indexes.
fn indexes(footer: &ParquetMetaData) -> impl Iterator<Item = Range<u64>> {
    let chunks = footer.row_groups().iter().flat_map(RowGroupMetaData::columns);
    chunks.flat_map(|chunk: &ColumnChunkMetaData| {
        let column_index = range(chunk.column_index_offset(), chunk.column_index_length());
        let offset_index = range(chunk.offset_index_offset(), chunk.offset_index_length());
        column_index.into_iter().chain(offset_index)
    })
}

fn range(offset: Option<i64>, length: Option<i32>) -> Option<Range<u64>> {
    let begin = u64::try_from(offset?).ok()?;
    let length = u64::try_from(length?).ok()?;
    Some(begin..begin.checked_add(length)?)
}
