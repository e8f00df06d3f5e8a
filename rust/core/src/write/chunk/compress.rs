//! Compresses pages with one context for all columns and files: creating a context costs more than
//! compressing a small page.

use std::fmt;

use hashbrown::HashMap;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::ColumnPath;
use zstd::zstd_safe::compress_bound;

use super::dictionary_memory::DictionaryMemory;
use super::hex_ids;
use super::levels::Levels;
use super::reused::Reused;
use super::search::{Content, Zstd};

/// Compresses pages with the codec that was set last, in reusable memory.
pub(in crate::write) struct Compressor {
    codec: Compression,
    /// `None` when pages are stored uncompressed.
    zstd: Option<Zstd>,
    /// The compressed page.
    compressed: Reused,
    /// The levels of the page that is being ended.
    levels: Reused,
    /// A chunk's dictionary page in stored form.
    dictionary: Reused,
    /// Memory of finished columns. Whichever table comes next, a column gets the memory of an earlier column
    /// of its name. Columns of one name are never encoded at the same time.
    columns: HashMap<ColumnPath, ColumnMemory>,
    /// Whether a codec was used since the last trim.
    used: bool,
}

/// Memory of a finished column, for reuse.
#[derive(Debug, Default)]
pub(super) struct ColumnMemory {
    /// The memory its pages were built in.
    pub page: Reused,
    /// The memory its pages were stored in.
    pub stored: Reused,
    /// The memory of its definition levels.
    pub definitions: Levels,
    /// The memory of its repetition levels.
    pub repetitions: Levels,
    /// The memory of its dictionary.
    pub dictionary: DictionaryMemory,
}

impl Default for Compressor {
    fn default() -> Self {
        Self {
            codec: Compression::UNCOMPRESSED,
            zstd: None,
            compressed: Reused::default(),
            levels: Reused::default(),
            dictionary: Reused::default(),
            columns: HashMap::new(),
            used: false,
        }
    }
}

impl Compressor {
    /// Sets the codec; `false` when it is not one that we implement.
    ///
    /// # Errors
    /// When zstd cannot allocate memory.
    pub fn use_codec(&mut self, codec: Compression) -> Result<bool> {
        if self.codec != codec {
            self.zstd = match codec {
                Compression::UNCOMPRESSED => None,
                Compression::ZSTD(level) => Some(Zstd::new(level.compression_level()).map_err(external)?),
                _ => return Ok(false),
            };
            self.codec = codec;
        }
        self.used = true;
        Ok(true)
    }

    /// A page's bytes in stored form. `values_at` is the offset of its values.
    ///
    /// # Errors
    /// When zstd fails.
    pub(super) fn page<'a>(
        &'a mut self,
        bytes: &'a [u8],
        values_at: usize,
        content: Content,
    ) -> Result<&'a [u8]> {
        let Some(zstd) = &mut self.zstd else {
            return Ok(bytes);
        };
        let compressed = self.compressed.with_room(compress_bound(bytes.len()));
        let framed = content == Content::Unlike && hex_ids::frame(bytes, values_at, compressed);
        if !framed {
            compressed.clear();
            zstd.compress(bytes, content, compressed).map_err(external)?;
        }
        Ok(compressed)
    }

    /// A buffer for the levels of the page that is being ended.
    pub fn levels(&mut self) -> &mut Vec<u8> {
        self.levels.clear();
        &mut self.levels.bytes
    }

    /// Lends memory for a dictionary page; the caller returns it.
    pub(super) fn take_dictionary(&mut self) -> Reused {
        std::mem::take(&mut self.dictionary)
    }

    /// Lends memory for a column, until it is given back: empty, and large enough if the column was encoded
    /// before.
    pub(super) fn take_spare(&mut self, column: &ColumnPath) -> ColumnMemory {
        self.columns
            .get_mut(column)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Takes back the memory of a dictionary page.
    pub(super) fn give_back_dictionary(&mut self, mut stored: Reused) {
        stored.clear();
        self.dictionary = stored;
    }

    /// Takes back the memory of a finished column.
    pub(super) fn give_back(&mut self, column: &ColumnPath, mut memory: ColumnMemory) {
        memory.stored.clear();
        match self.columns.get_mut(column) {
            Some(spare) => *spare = memory,
            None => {
                self.columns.insert(column.clone(), memory);
            }
        }
    }

    /// Releases memory that was not needed since the last call.
    pub fn trim(&mut self) {
        if !std::mem::take(&mut self.used) {
            *self = Self::default();
            return;
        }
        self.levels.clear();
        self.compressed.clear();
        for shared in [&mut self.compressed, &mut self.levels, &mut self.dictionary] {
            shared.trim();
        }
        self.columns.retain(|_, memory| {
            let page_needed = memory.page.trim();
            memory.stored.trim() || page_needed
        });
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Compressor")
            .field("codec", &self.codec)
            .field("columns", &self.columns.len())
            .finish_non_exhaustive()
    }
}

fn external(cause: std::io::Error) -> ParquetError {
    ParquetError::External(Box::new(cause))
}

#[cfg(test)]
mod tests {
    use parquet::basic::ZstdLevel;

    use super::*;

    fn zstd(level: i32) -> Compression {
        Compression::ZSTD(ZstdLevel::try_new(level).unwrap())
    }

    fn column(name: &str) -> ColumnPath {
        ColumnPath::new(vec![name.to_owned()])
    }

    /// Encodes a chunk of this many bytes; returns the addresses of its page buffer and its stored pages.
    fn chunk(compressor: &mut Compressor, name: &str, bytes: usize) -> [*const u8; 2] {
        let mut memory = compressor.take_spare(&column(name));
        let (page, stored) = (&mut memory.page, &mut memory.stored);
        assert_eq!((page.bytes.len(), stored.bytes.len()), (0, 0));
        page.bytes.resize(bytes, 7);
        stored.bytes.resize(bytes, 7);
        let places = [page.bytes.as_ptr(), stored.bytes.as_ptr()];
        page.clear();
        let dictionary = compressor.take_dictionary();
        compressor.give_back_dictionary(dictionary);
        compressor.give_back(&column(name), memory);
        places
    }

    fn decompressed(compressor: &mut Compressor, bytes: &[u8]) -> Vec<u8> {
        let compressed = compressor.page(bytes, 0, Content::Alike).unwrap();
        zstd::bulk::decompress(compressed, bytes.len()).unwrap()
    }

    #[test]
    fn a_column_gets_its_memory_whatever_came_between() {
        let mut compressor = Compressor::default();
        let a = chunk(&mut compressor, "a", 1000);
        let b = chunk(&mut compressor, "b", 10);
        chunk(&mut compressor, "c", 100);
        assert_eq!(chunk(&mut compressor, "b", 10), b);
        assert_eq!(chunk(&mut compressor, "a", 1000), a);
    }

    #[test]
    fn what_was_taken_and_not_given_back_is_made_anew() {
        let mut compressor = Compressor::default();
        assert!(compressor.use_codec(zstd(1)).unwrap());
        chunk(&mut compressor, "a", 1000);
        drop(compressor.take_spare(&column("a")));
        drop(compressor.take_dictionary());
        chunk(&mut compressor, "a", 1000);
        assert_eq!(decompressed(&mut compressor, &[7; 500]), [7; 500]);
    }

    #[test]
    fn codecs_take_turns() {
        let mut compressor = Compressor::default();
        let a = chunk(&mut compressor, "a", 1000);
        assert!(compressor.use_codec(zstd(1)).unwrap());
        assert!(!compressor.use_codec(Compression::SNAPPY).unwrap());
        assert_eq!(decompressed(&mut compressor, &[7; 500]), [7; 500]);
        assert!(compressor.use_codec(Compression::UNCOMPRESSED).unwrap());
        assert_eq!(compressor.page(b"page", 0, Content::Alike).unwrap(), b"page");
        assert!(compressor.use_codec(zstd(3)).unwrap());
        assert_eq!(decompressed(&mut compressor, &[7; 500]), [7; 500]);
        assert_eq!(chunk(&mut compressor, "a", 1000), a);
    }

    #[test]
    fn what_is_not_needed_is_trimmed() {
        let mut compressor = Compressor::default();
        compressor.use_codec(zstd(1)).unwrap();
        compressor.page(&vec![7; 100_000], 0, Content::Alike).unwrap();
        chunk(&mut compressor, "a", 1000);
        let b = chunk(&mut compressor, "b", 1000);
        compressor.trim();
        assert_eq!(compressor.columns.len(), 2);
        assert!(compressor.compressed.bytes.capacity() >= 100_000);

        compressor.use_codec(zstd(1)).unwrap();
        compressor.page(&[7; 100], 0, Content::Alike).unwrap();
        assert_eq!(chunk(&mut compressor, "b", 1000), b);
        compressor.trim();
        assert_eq!(compressor.columns.keys().collect::<Vec<_>>(), [&column("b")]);
        assert_eq!(compressor.compressed.bytes.capacity(), 0);
        assert!(compressor.zstd.is_some());

        compressor.trim();
        assert!(compressor.columns.is_empty());
        assert!(compressor.zstd.is_none());
        compressor.use_codec(zstd(1)).unwrap();
        assert_eq!(decompressed(&mut compressor, &[7; 500]), [7; 500]);
    }
}
