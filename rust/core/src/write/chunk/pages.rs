//! The pages of one column chunk, and their entries in the footer and the page index.

use parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType};
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnDescPtr;

use super::chunk_bytes::ChunkBytes;
use super::compress::Compressor;
use super::leaf::Summary;
use super::page_header::PageHeader;
use super::range::Range;
use super::reused::Reused;
use super::search::Content;

/// A column chunk: its bytes and its metadata.
pub(super) type Chunk = (ChunkBytes, ColumnCloseResult);

/// The metadata of a data page.
pub(super) struct DataPage {
    /// How the values are encoded.
    pub encoding: Encoding,
    /// Rows that begin in it.
    pub rows: usize,
    /// Levels: values and nulls.
    pub entries: usize,
    /// Entries that have no value.
    pub nulls: u64,
    /// The minimum and the maximum, for columns that readers prune by; truncated once the page is stored.
    pub range: Option<Range>,
}

/// A dictionary page before compression: plain values.
pub(super) struct DictionaryPage {
    /// The values.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub values: usize,
    /// What they are.
    pub content: Content,
}

impl DictionaryPage {
    /// Appends it in stored form, after its header. Returns the size of the uncompressed page with its
    /// header, bytes.
    fn write(&self, as_is: bool, out: &mut Vec<u8>, compressor: &mut Compressor) -> Result<usize> {
        let compressed = if as_is {
            &self.bytes
        } else {
            compressor.page(&self.bytes, 0, self.content)?
        };
        let header = PageHeader {
            size: self.bytes.len(),
            stored: compressed.len(),
            entries: self.values,
            encoding: Encoding::PLAIN,
        };
        header.write_dictionary(out)?;
        let size = out.len() + self.bytes.len();
        out.extend_from_slice(compressed);
        Ok(size)
    }
}

/// Collects compressed pages in file order; only the dictionary precedes them.
#[derive(Default)]
pub(super) struct Pages {
    /// One page after the other, each after its header.
    stored: Reused,
    /// Bytes of the pages without headers.
    bytes: usize,
    done: Vec<Stored>,
    /// The minimum and the maximum of all pages, not truncated: a text may be as large as a page.
    range: Option<Range>,
    /// Whether pages are stored uncompressed, whatever the codec.
    as_is: bool,
}

struct Stored {
    page: DataPage,
    /// Its end offset in the stored bytes.
    end: usize,
    /// The size of the uncompressed page with its header, bytes.
    size: usize,
}

impl Pages {
    /// No pages yet; reuses the memory of another chunk.
    pub fn reusing(stored: Reused) -> Self {
        Self {
            stored,
            ..Self::default()
        }
    }

    /// Stores all pages uncompressed; must be called before the first page.
    pub fn store_as_is(&mut self) {
        self.as_is = true;
    }

    /// Adds the chunk's next page: levels, and values from `values_at` on.
    ///
    /// # Errors
    /// When it cannot be compressed or is larger than the format allows.
    pub fn push(
        &mut self,
        page: DataPage,
        bytes: &[u8],
        values_at: usize,
        content: Content,
        compressor: &mut Compressor,
    ) -> Result<()> {
        let page = self.take_range(page);
        let compressed = if self.as_is {
            bytes
        } else {
            compressor.page(bytes, values_at, content)?
        };
        let header = PageHeader {
            size: bytes.len(),
            stored: compressed.len(),
            entries: page.entries,
            encoding: page.encoding,
        };
        let stored = &mut self.stored.bytes;
        let begin = stored.len();
        header.write_data(stored)?;
        let size = stored.len() - begin + bytes.len();
        stored.extend_from_slice(compressed);
        self.bytes += compressed.len();
        self.done.push(Stored {
            page,
            end: stored.len(),
            size,
        });
        Ok(())
    }

    /// Merges a page's range into the chunk's, and leaves the page its truncated range for the index.
    fn take_range(&mut self, page: DataPage) -> DataPage {
        let cut = page.range.as_ref().and_then(Range::cut);
        match (&mut self.range, page.range) {
            (Some(widest), Some(range)) => widest.widen(range),
            (none, range) => *none = none.take().or(range),
        }
        DataPage { range: cut, ..page }
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Bytes of all pages so far, without headers.
    pub fn stored_bytes(&self) -> usize {
        self.bytes
    }

    /// Ends the chunk and sums up its pages' metadata; NaNs are not counted here.
    ///
    /// # Errors
    /// When a page is larger than the format allows.
    pub fn finish(
        self,
        column: &ColumnDescPtr,
        properties: &WriterProperties,
        dictionary: Option<DictionaryPage>,
        bloom_filter: Option<Sbbf>,
        compressor: &mut Compressor,
    ) -> Result<(Chunk, Summary)> {
        let mut metadata = ChunkMetadata::new(column);
        let mut bytes = ChunkBytes {
            dictionary: compressor.take_dictionary(),
            pages: self.stored,
        };
        if let Some(dictionary) = dictionary {
            let size = dictionary.write(self.as_is, &mut bytes.dictionary.bytes, compressor)?;
            metadata.add_dictionary(bytes.dictionary.bytes.len(), size);
        }
        let pages_at = bytes.dictionary.bytes.len();
        let mut begin = 0;
        for Stored { page, end, size } in self.done {
            metadata.add_data(&page, pages_at + begin, end - begin, size);
            begin = end;
        }
        let codec = if self.as_is {
            Compression::UNCOMPRESSED
        } else {
            properties.compression(column.path())
        };
        let (close, summary) = metadata.finish(column, codec, self.range, bloom_filter)?;
        Ok(((bytes, close), summary))
    }
}

/// The metadata of the chunk.
struct ChunkMetadata {
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
    encoding_stats: Vec<PageEncodingStats>,
    dictionary_offset: Option<i64>,
    data_offset: Option<i64>,
    bytes: u64,
    size: u64,
    rows: u64,
    entries: u64,
    nulls: u64,
    order: Order,
}

impl ChunkMetadata {
    fn new(column: &ColumnDescPtr) -> Self {
        Self {
            column_index: ColumnIndexBuilder::new(column.physical_type()),
            offset_index: OffsetIndexBuilder::new(),
            encoding_stats: Vec::new(),
            dictionary_offset: None,
            data_offset: None,
            bytes: 0,
            size: 0,
            rows: 0,
            entries: 0,
            nulls: 0,
            order: Order::default(),
        }
    }

    fn add_dictionary(&mut self, bytes: usize, size: usize) {
        self.dictionary_offset = Some(0);
        self.add_page(PageType::DICTIONARY_PAGE, Encoding::PLAIN);
        self.add_bytes(bytes, size);
    }

    fn add_data(&mut self, page: &DataPage, offset: usize, bytes: usize, size: usize) {
        self.data_offset.get_or_insert(offset as i64);
        self.add_page(PageType::DATA_PAGE, page.encoding);
        self.add_bytes(bytes, size);
        self.offset_index.append_row_count(page.rows as i64);
        self.offset_index
            .append_offset_and_size(offset as i64, i32::try_from(bytes).unwrap_or(i32::MAX));
        self.rows += page.rows as u64;
        self.entries += page.entries as u64;
        self.nulls += page.nulls;
        let nulls = page.nulls as i64;
        match &page.range {
            _ if !self.column_index.valid() => {}
            _ if page.nulls == page.entries as u64 => {
                self.column_index.append(true, Vec::new(), Vec::new(), nulls);
            }
            Some(range) => {
                self.order.add(range);
                let (least, greatest) = range.plain();
                self.column_index.append(false, least, greatest, nulls);
            }
            None => self.column_index.to_invalid(),
        }
    }

    fn add_page(&mut self, page_type: PageType, encoding: Encoding) {
        let same =
            |stats: &&mut PageEncodingStats| stats.page_type == page_type && stats.encoding == encoding;
        match self.encoding_stats.iter_mut().find(same) {
            Some(stats) => stats.count += 1,
            None => self.encoding_stats.push(PageEncodingStats {
                page_type,
                encoding,
                count: 1,
            }),
        }
    }

    /// The format includes a page's header in both sizes.
    fn add_bytes(&mut self, bytes: usize, size: usize) {
        self.bytes += bytes as u64;
        self.size += size as u64;
    }

    fn finish(
        mut self,
        column: &ColumnDescPtr,
        codec: Compression,
        range: Option<Range>,
        bloom_filter: Option<Sbbf>,
    ) -> Result<(ColumnCloseResult, Summary)> {
        let encodings = self.encoding_stats.iter().map(|stats| stats.encoding);
        let encodings: Vec<Encoding> = encodings.chain([Encoding::RLE]).collect();
        let mut metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(codec)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(self.encoding_stats)
            .set_total_compressed_size(self.bytes as i64)
            .set_total_uncompressed_size(self.size as i64)
            .set_num_values(self.entries as i64)
            .set_data_page_offset(self.data_offset.unwrap_or(0))
            .set_dictionary_page_offset(self.dictionary_offset);
        // Readers do not prune by columns inside lists and maps.
        if column.max_rep_level() == 0 {
            metadata = metadata.set_statistics(Range::statistics(
                range.as_ref(),
                column.physical_type(),
                self.nulls,
            ));
        } else {
            self.column_index.to_invalid();
        }
        self.column_index.set_boundary_order(self.order.boundary_order());
        let column_index = if self.column_index.valid() {
            Some(self.column_index.build()?)
        } else {
            None
        };
        let close = ColumnCloseResult {
            bytes_written: self.bytes,
            rows_written: self.rows,
            metadata: metadata.build()?,
            bloom_filter,
            column_index,
            offset_index: Some(self.offset_index.build()),
        };
        let summary = Summary {
            entries: self.entries,
            nulls: self.nulls,
            nans: 0,
            range,
        };
        Ok((close, summary))
    }
}

/// Whether the pages' ranges are ascending or descending.
struct Order {
    last: Option<Range>,
    ascending: bool,
    descending: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            last: None,
            ascending: true,
            descending: true,
        }
    }
}

impl Order {
    fn add(&mut self, range: &Range) {
        if let Some(last) = &self.last {
            self.ascending &= last.is_at_most(range);
            self.descending &= range.is_at_most(last);
        }
        self.last = Some(range.clone());
    }

    fn boundary_order(&self) -> BoundaryOrder {
        match (self.ascending, self.descending) {
            (true, _) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (false, false) => BoundaryOrder::UNORDERED,
        }
    }
}
