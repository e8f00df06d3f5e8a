//! Pages' compression: one context for all columns of a file, since making one costs more than a small page.

use std::collections::VecDeque;

use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use zstd::bulk;
use zstd::zstd_safe::compress_bound;

use super::chunk_bytes::ChunkBytes;
use super::hex_ids;

/// Compresses pages by the codec of a file, in memory that is used again for each.
pub(in crate::write) struct Compressor {
    /// `None` when pages are stored as they are.
    zstd: Option<bulk::Compressor<'static>>,
    /// A page that is compressed.
    compressed: Vec<u8>,
    /// Levels of a page that ends.
    levels: Vec<u8>,
    /// A chunk's dictionary page, as it is stored.
    dictionary: Vec<u8>,
    /// Memory of columns that are done, the first column's first.
    spare: VecDeque<ColumnMemory>,
}

/// Memory of a column that is done, for another.
#[derive(Debug, Default)]
pub(super) struct ColumnMemory {
    /// Where its pages were made.
    pub page: Vec<u8>,
    /// Where they were stored.
    pub stored: Vec<u8>,
}

impl Compressor {
    /// `None` when the codec is not one of ours.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new(codec: Compression) -> Result<Option<Self>> {
        let zstd = match codec {
            Compression::UNCOMPRESSED => None,
            Compression::ZSTD(level) => {
                Some(bulk::Compressor::new(level.compression_level()).map_err(external)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            zstd,
            compressed: Vec::new(),
            levels: Vec::new(),
            dictionary: Vec::new(),
            spare: VecDeque::new(),
        }))
    }

    /// A page's bytes as they are stored. `unlike_at` is where its values begin, if few of them are alike.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn page<'a>(&'a mut self, bytes: &'a [u8], unlike_at: Option<usize>) -> Result<&'a [u8]> {
        let Self { zstd, compressed, .. } = self;
        let Some(zstd) = zstd else {
            return Ok(bytes);
        };
        compressed.clear();
        let framed = unlike_at.is_some_and(|values_at| hex_ids::frame(bytes, values_at, compressed));
        if !framed {
            compressed.clear();
            let room = compress_bound(bytes.len());
            if compressed.capacity() < room {
                // To grow would copy what is of no use any more.
                *compressed = Vec::with_capacity(room);
            }
            zstd.compress_to_buffer(bytes, compressed).map_err(external)?;
        }
        Ok(compressed)
    }

    /// Room for the levels of a page that ends.
    pub fn levels(&mut self) -> &mut Vec<u8> {
        self.levels.clear();
        &mut self.levels
    }

    /// Memory for a dictionary page, until it is given back.
    pub(super) fn take_dictionary(&mut self) -> Vec<u8> {
        let mut dictionary = std::mem::take(&mut self.dictionary);
        dictionary.clear();
        dictionary
    }

    /// Memory for a column. Columns come in the same order in each row group, and so get what they had.
    pub(super) fn take_spare(&mut self) -> ColumnMemory {
        self.spare.pop_front().unwrap_or_default()
    }

    /// Takes memory of a column that is done: what its pages were made in, and what they became.
    pub(super) fn give_back(&mut self, page: Vec<u8>, chunk: ChunkBytes) {
        self.dictionary = chunk.dictionary;
        self.spare.push_back(ColumnMemory {
            page,
            stored: chunk.pages,
        });
    }
}

fn external(cause: std::io::Error) -> ParquetError {
    ParquetError::External(Box::new(cause))
}
