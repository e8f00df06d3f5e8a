//! Reads the bytes of one row group in a single request.

use std::ops::Range;
use std::sync::Arc;

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use futures::future::try_join_all;
use iceberg::io::FileIO;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::super::internal;
use super::plan::Group;
use super::source::{Source, open, read_range};
use crate::error::Result;

/// The greatest gap between parts of a row group that is read along with them, bytes.
const GAPS_BYTES_MAX: u64 = 64 << 10;
/// Row groups that are read concurrently.
const READ_AT_ONCE: usize = 8;

/// A row group in memory.
pub(super) struct Piece {
    /// The file's path, for errors.
    pub path: String,
    /// Its bytes, addressed by file offset.
    pub bytes: Excerpt,
    /// The file's footer.
    pub footer: Arc<ParquetMetaData>,
    /// Its index in the file.
    pub number: usize,
}

/// Reads small row groups concurrently.
///
/// # Errors
/// `Storage` with the path of the file.
pub(super) async fn read_all(file_io: &FileIO, sources: &[Source], groups: &[Group]) -> Result<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(groups.len());
    for some in groups.chunks(READ_AT_ONCE) {
        let mut reads = Vec::with_capacity(some.len());
        for group in some {
            reads.push(read(file_io, sources, group));
        }
        pieces.extend(try_join_all(reads).await?);
    }
    Ok(pieces)
}

/// Reads a row group with its bloom filters.
///
/// # Errors
/// `Storage` with the file's path.
pub(super) async fn read(file_io: &FileIO, sources: &[Source], group: &Group) -> Result<Piece> {
    let Some(source) = sources.get(group.source) else {
        return Err(internal("a row group has no source", "its number is too large"));
    };
    let reader = open(file_io, &source.path).await?;
    let bytes = read_range(reader.as_ref(), &source.path, group.extent.clone()).await?;
    Ok(Piece {
        path: source.path.clone(),
        bytes: Excerpt {
            bytes,
            begin: group.extent.start,
        },
        footer: Arc::clone(&source.footer),
        number: group.number,
    })
}

/// The byte range of a row group's chunks and bloom filters; `None` if they are not adjacent.
///
/// # Errors
/// The inconsistency in the footer.
pub(super) fn extent(group: &RowGroupMetaData, file_bytes: u64) -> Result<Option<Range<u64>>, &'static str> {
    let mut whole: Option<Range<u64>> = None;
    let mut sum = 0_u64;
    for chunk in group.columns() {
        let begin = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let filter = chunk
            .bloom_filter_offset()
            .zip(chunk.bloom_filter_length().map(i64::from));
        for (begin, length) in [(begin, chunk.compressed_size())].into_iter().chain(filter) {
            let part = part(begin, length, file_bytes).ok_or("a column chunk is not within the file")?;
            sum = sum.saturating_add(part.end - part.start);
            whole = Some(match whole {
                Some(whole) => whole.start.min(part.start)..whole.end.max(part.end),
                None => part,
            });
        }
    }
    Ok(whole.filter(|whole| whole.end - whole.start <= sum.saturating_add(GAPS_BYTES_MAX)))
}

fn part(begin: i64, length: i64, file_bytes: u64) -> Option<Range<u64>> {
    let begin = u64::try_from(begin).ok()?;
    let end = begin.checked_add(u64::try_from(length).ok()?)?;
    (end <= file_bytes).then_some(begin..end)
}

/// A part of a file, for readers that use file offsets.
#[derive(Debug, Clone)]
pub(super) struct Excerpt {
    bytes: Bytes,
    begin: u64,
}

impl Excerpt {
    fn get(&self, begin: u64, length: Option<usize>) -> ParquetResult<Bytes> {
        let within = || {
            let begin = usize::try_from(begin.checked_sub(self.begin)?).ok()?;
            let end = match length {
                Some(length) => begin.checked_add(length)?,
                None => self.bytes.len(),
            };
            (begin <= end && end <= self.bytes.len()).then(|| self.bytes.slice(begin..end))
        };
        within().ok_or_else(|| ParquetError::EOF("a part of a row group is not within it".to_owned()))
    }
}

impl Length for Excerpt {
    fn len(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }
}

impl ChunkReader for Excerpt {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.get(start, None)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.get(start, Some(length))
    }
}
