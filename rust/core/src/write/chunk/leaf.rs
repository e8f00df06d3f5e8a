//! A growing column chunk: the levels and values of the open page, and the finished pages.

use std::io::Write;

use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::buffer::PageBuffer;
use super::compress::{ColumnMemory, Compressor};
use super::expansion::Expansion;
use super::levels::Levels;
use super::lists::{Lists, are_all_null};
use super::pages::{DataPage, Pages};
use super::range::Range;
use super::values::Values;
use super::view::{self, split_run};

/// A single-page chunk of at most this many bytes, including its dictionary, is stored uncompressed, since a
/// zstd frame adds some ten bytes. Every file has many such columns: without values or with a single value.
const SMALL_CHUNK_BYTES: usize = 128;

/// The least number of lists of one length that are appended together.
const LISTS_MIN: usize = 4;

/// A column chunk of a primitive type.
pub(super) struct Leaf {
    column: ColumnDescPtr,
    definition_max: u8,
    repetition_max: u8,
    page_rows: PageRows,
    /// The number of rows in the open page at which it ends, or continues if it is narrow.
    look_at: usize,
    page_bytes_max: usize,
    values: Values,
    definitions: Levels,
    repetitions: Levels,
    rows: usize,
    nulls: u64,
    pages: Pages,
    /// Values already appended for a shared key, by key.
    known: Vec<Option<Repeat>>,
}

/// The greatest number of rows of a page, if its bytes do not end it earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::write) struct PageRows {
    /// Rows of a normal page.
    pub most: usize,
    /// Rows of a page with few distinct values, which take at most a byte each: a multiple of `most`. If the
    /// number of distinct values grows, the page ends at the next multiple of `most`.
    pub narrow: usize,
}

/// The values of a list that is repeated as a whole.
#[derive(Debug, Clone)]
pub(super) struct Repeat {
    /// Indices into the chunk's dictionary.
    pub indices: Box<[u32]>,
    /// Bytes of the values in plain encoding.
    pub plain_bytes: usize,
}

/// The Iceberg metrics of a column in a data file.
#[derive(Debug, Default)]
pub(in crate::write) struct Summary {
    /// Values, including nulls.
    pub entries: u64,
    /// Nulls.
    pub nulls: u64,
    /// NaNs.
    pub nans: u64,
    /// The minimum and the maximum, not truncated.
    pub range: Option<Range>,
}

impl Leaf {
    /// An empty chunk in the memory of an earlier one. `None` when its levels exceed one byte, which the
    /// format's readers do not support either.
    pub fn new(
        column: ColumnDescPtr,
        mut values: Values,
        memory: ColumnMemory,
        page_rows: PageRows,
        page_bytes_max: usize,
    ) -> Option<Self> {
        *values.page() = PageBuffer::reusing(memory.page);
        Some(Self {
            definition_max: u8::try_from(column.max_def_level()).ok()?,
            repetition_max: u8::try_from(column.max_rep_level()).ok()?,
            page_rows,
            look_at: page_rows.most,
            page_bytes_max,
            column,
            values,
            definitions: memory.definitions,
            repetitions: memory.repetitions,
            rows: 0,
            nulls: 0,
            pages: Pages::reusing(memory.stored),
            known: Vec::new(),
        })
    }

    /// Inspects the rows that will be appended, to choose their encoding.
    pub fn look_ahead(&mut self, view: &view::Leaf<'_>, rows: &[u32]) {
        self.values.look_ahead(view, rows);
    }

    /// Tells how much the texts that will be appended take.
    pub fn expect(&mut self, expansion: Expansion) {
        self.values.expect(expansion);
    }

    /// The definition level of a non-null value.
    pub fn definition_max(&self) -> u8 {
        self.definition_max
    }

    /// Appends rows of a column that is in no list.
    ///
    /// # Errors
    /// When a page cannot be compressed.
    pub fn append_rows(
        &mut self,
        view: &view::Leaf<'_>,
        rows: &[u32],
        compressor: &mut Compressor,
    ) -> Result<()> {
        let Some(nulls) = view.nulls else {
            return self.append_values(view, rows, compressor);
        };
        if are_all_null(nulls) {
            return self.append_missing(self.definition_max.saturating_sub(1), rows.len(), compressor);
        }
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let is_null = nulls.is_null(*first as usize);
            let (these, later) = split_run(rest, |row| nulls.is_null(row as usize) == is_null);
            if is_null {
                self.append_missing(self.definition_max.saturating_sub(1), these.len(), compressor)?;
            } else {
                self.append_values(view, these, compressor)?;
            }
            rest = later;
        }
        Ok(())
    }

    fn append_values(
        &mut self,
        view: &view::Leaf<'_>,
        rows: &[u32],
        compressor: &mut Compressor,
    ) -> Result<()> {
        let mut rest = rows;
        while !rest.is_empty() {
            let room = rest.len().min(self.rows_left());
            let these = rest.get(..room).unwrap_or(rest);
            let taken = self.values.extend(&view.values, these, self.page_bytes_max);
            self.definitions.push(self.definition_max, taken);
            self.rows += taken;
            self.end_page_if_full(compressor)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Appends rows without a value: this column, or the list that contains it, is null or empty.
    ///
    /// # Errors
    /// When a page cannot be compressed.
    pub fn append_missing(
        &mut self,
        definition: u8,
        count: usize,
        compressor: &mut Compressor,
    ) -> Result<()> {
        let mut rest = count;
        while rest > 0 {
            let taken = rest.min(self.rows_left());
            if self.repetition_max > 0 {
                self.repetitions.push(0, taken);
            }
            self.definitions.push(definition, taken);
            self.nulls += taken as u64;
            self.rows += taken;
            self.end_page_if_full(compressor)?;
            rest -= taken;
        }
        Ok(())
    }

    /// Appends the lists of rows, each of `len` elements, at least one: their levels together, their values
    /// list by list.
    ///
    /// # Errors
    /// When a page cannot be compressed.
    pub fn append_lists(
        &mut self,
        view: &view::Leaf<'_>,
        lists: Lists<'_>,
        rows: &[u32],
        len: usize,
        repetition: u8,
        compressor: &mut Compressor,
    ) -> Result<()> {
        if view.nulls.is_some() || rows.len() < LISTS_MIN {
            return rows.iter().try_for_each(|row| {
                self.push_elements(view, lists.span(*row), 0, repetition);
                self.end_row(compressor)
            });
        }
        let mut rest = rows;
        while !rest.is_empty() {
            let room = rest.len().min(self.rows_left());
            let these = rest.get(..room).unwrap_or(rest);
            let taken = self
                .values
                .extend_lists(&view.values, lists, these, self.page_bytes_max);
            self.end_lists(len, taken, repetition, compressor)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Appends the levels of rows whose lists of `len` elements were appended.
    fn end_lists(
        &mut self,
        len: usize,
        rows: usize,
        repetition: u8,
        compressor: &mut Compressor,
    ) -> Result<()> {
        self.repetitions.push_lists(0, repetition, len, rows);
        self.definitions.push(self.definition_max, len * rows);
        self.rows += rows;
        self.end_page_if_full(compressor)
    }

    /// Appends consecutive elements of a list: the first at repetition level `first`, the others at the level
    /// of the list.
    pub fn push_elements(
        &mut self,
        view: &view::Leaf<'_>,
        elements: std::ops::Range<usize>,
        first: u8,
        others: u8,
    ) {
        self.repetitions.push_lists(first, others, elements.len(), 1);
        match view.nulls {
            None => {
                self.definitions.push(self.definition_max, elements.len());
                self.values
                    .push_each(&view.values, elements, 0, self.page_bytes_max);
            }
            Some(nulls) => {
                for (place, index) in elements.enumerate() {
                    if nulls.is_valid(index) {
                        self.definitions.push(self.definition_max, 1);
                        self.values
                            .push_each(&view.values, index..index + 1, place, self.page_bytes_max);
                    } else {
                        self.definitions.push(self.definition_max.saturating_sub(1), 1);
                        self.nulls += 1;
                    }
                }
            }
        }
    }

    /// Whether the elements of this key are known, and the dictionary that holds them still takes values.
    #[inline]
    pub fn can_repeat(&self, key: usize) -> bool {
        matches!(self.known.get(key), Some(Some(_))) && self.values.has_dictionary()
    }

    /// Appends the first of these rows, as far as the elements of their keys are known and equally many, until
    /// the open page is full; returns how many rows were taken.
    ///
    /// # Errors
    /// When a page cannot be compressed.
    pub fn repeat_rows(
        &mut self,
        rows: &[u32],
        key_of: impl Fn(u32) -> Option<usize>,
        repetition: u8,
        compressor: &mut Compressor,
    ) -> Result<usize> {
        let known = |row: &u32| self.known.get(key_of(*row)?)?.as_ref();
        let Some(elements) = rows.first().and_then(known).map(|repeat| repeat.indices.len()) else {
            return Ok(0);
        };
        // An index counts as two bytes, as in the page's size.
        let room = self.page_bytes_max.saturating_sub(self.values.page_bytes()) / (2 * elements.max(1)) + 1;
        let room = room.min(self.rows_left()).min(rows.len());
        let mut rest = rows.get(..room).unwrap_or(rows);
        while let Some(repeat) = rest.first().and_then(known)
            && repeat.indices.len() == elements
        {
            let key = rest.first().and_then(|row| key_of(*row));
            let (same, later) = split_run(rest, |row| key_of(row) == key);
            self.values.repeat(repeat, same.len());
            rest = later;
        }
        let taken = room - rest.len();
        self.end_lists(elements, taken, repetition, compressor)?;
        Ok(taken)
    }

    /// Appends the elements of a row's list and records them under a key.
    pub fn push_to_repeat(
        &mut self,
        key: usize,
        view: &view::Leaf<'_>,
        elements: std::ops::Range<usize>,
        repetition: u8,
    ) {
        let count = elements.len();
        let nulls = self.nulls;
        self.push_elements(view, elements, 0, repetition);
        // Null elements have different levels, so lists with nulls are not recorded.
        if self.nulls == nulls {
            if self.known.len() <= key {
                self.known.resize(key + 1, None);
            }
            if let Some(known) = self.known.get_mut(key) {
                *known = self.values.last(count);
            }
        }
    }

    /// Appends an entry without a value: its parent is null or empty.
    pub fn push_missing(&mut self, definition: u8, repetition: u8) {
        self.repetitions.push(repetition, 1);
        self.definitions.push(definition, 1);
        self.nulls += 1;
    }

    /// Ends a row whose elements were appended.
    ///
    /// # Errors
    /// When a page cannot be compressed.
    #[inline]
    pub fn end_row(&mut self, compressor: &mut Compressor) -> Result<()> {
        self.rows += 1;
        self.end_page_if_full(compressor)
    }

    #[inline]
    fn end_page_if_full(&mut self, compressor: &mut Compressor) -> Result<()> {
        if self.rows >= self.look_at {
            if self.rows >= self.page_rows.narrow || !self.values.are_narrow() {
                return self.end_page(compressor);
            }
            self.look_at += self.page_rows.most;
        }
        if self.values.page_is_full(self.page_bytes_max) {
            return self.end_page(compressor);
        }
        Ok(())
    }

    /// Rows that the open page takes before the next size check; at least one.
    fn rows_left(&self) -> usize {
        self.look_at.saturating_sub(self.rows).max(1)
    }

    fn end_page(&mut self, compressor: &mut Compressor) -> Result<()> {
        self.end_page_that(false, compressor)
    }

    /// Ends a page; `is_only` says that it is the only one of the chunk.
    fn end_page_that(&mut self, is_only: bool, compressor: &mut Compressor) -> Result<()> {
        // Required columns have no levels.
        let entries = self.definitions.len();
        let values = self.values.end_page();
        let dictionary_bytes = self.values.dictionary_bytes();
        let levels = compressor.levels();
        if self.repetition_max > 0 {
            self.repetitions.take_encoded(self.repetition_max, levels);
        }
        if self.definition_max > 0 {
            self.definitions.take_encoded(self.definition_max, levels);
        } else {
            self.definitions.clear();
        }
        let page = DataPage {
            encoding: values.encoding,
            rows: std::mem::take(&mut self.rows),
            entries,
            nulls: std::mem::take(&mut self.nulls),
            range: values.range,
        };
        self.look_at = self.page_rows.most;
        let buffer = self.values.page();
        let values_at = levels.len();
        let bytes = buffer.page(levels);
        if is_only && bytes.len() + dictionary_bytes <= SMALL_CHUNK_BYTES {
            self.pages.store_as_is();
        }
        self.pages
            .push(page, bytes, values_at, values.content, compressor)?;
        buffer.clear();
        Ok(())
    }

    /// Bytes so far; the open page counts uncompressed.
    pub fn bytes(&self) -> usize {
        self.pages.stored_bytes() + self.values.page_bytes() + self.values.dictionary_bytes()
    }

    /// Ends the chunk and writes it to the file.
    ///
    /// # Errors
    /// When a page is larger than the format allows; when the file rejects the chunk.
    pub fn finish<W: Write + Send>(
        mut self,
        properties: &WriterProperties,
        compressor: &mut Compressor,
        writer: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<Summary> {
        if self.rows > 0 || self.pages.is_empty() {
            self.end_page_that(self.pages.is_empty(), compressor)?;
        }
        let nans = self.values.nans();
        let page = std::mem::take(self.values.page()).into_memory();
        let dictionary_memory = self.values.take_dictionary_memory();
        let (dictionary, bloom_filter) = self.values.finish();
        let ((bytes, close), summary) =
            self.pages
                .finish(&self.column, properties, dictionary, bloom_filter, compressor)?;
        writer.append_column(&&bytes, close)?;
        compressor.give_back_dictionary(bytes.dictionary);
        let memory = ColumnMemory {
            page,
            stored: bytes.pages,
            definitions: self.definitions.into_memory(),
            repetitions: self.repetitions.into_memory(),
            dictionary: dictionary_memory,
        };
        compressor.give_back(self.column.path(), memory);
        Ok(Summary { nans, ..summary })
    }
}
