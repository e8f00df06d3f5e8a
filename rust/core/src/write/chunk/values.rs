//! The values of one column chunk, encoded page by page.

use std::ops::Range as Span;

use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;

use super::boolean::Booleans;
use super::buffer::PageBuffer;
use super::dictionary_memory::DictionaryMemory;
use super::distinct::Distinct;
use super::expansion::Expansion;
use super::leaf::Repeat;
use super::lists::{Lists, until_full};
use super::number::Numbers;
use super::pages::DictionaryPage;
use super::range::Range;
use super::search::Content;
use super::text::Texts;
use super::view::{Leaf, Values as View};

/// The number of values from which on a dictionary can be given up because most values are new.
const TRIAL_VALUES: usize = 4096;
/// The number of values from which on a dictionary is given up if nearly all values are new.
const SHORT_TRIAL_VALUES: usize = 512;

/// The greatest number of dictionary values whose indices take at most one byte.
const NARROW_VALUES: usize = 256;

/// The share of new values in a dictionary's first page; the unit of `new` and `all` depends on the type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Values so far.
    pub values: usize,
    /// The new ones among them.
    pub new: usize,
    /// All of them.
    pub all: usize,
}

impl Share {
    /// Whether most values are new, known before the page ends; if nearly all are new, it is known earlier.
    #[inline]
    pub fn is_seen_to_be_new(self) -> bool {
        match self.values {
            TRIAL_VALUES.. => self.is_new(),
            SHORT_TRIAL_VALUES.. => self.new * 8 > self.all * 7,
            _ => false,
        }
    }

    /// Whether most values are new, at the end of the page.
    #[inline]
    pub fn is_new(self) -> bool {
        self.new * 2 > self.all
    }
}

/// The metadata of a page's values.
pub(super) struct PageValues {
    /// How they are encoded.
    pub encoding: Encoding,
    /// Their content type in encoded form.
    pub content: Content,
    /// The minimum and the maximum, if requested and if there are values.
    pub range: Option<Range>,
}

/// The values of a chunk.
pub(super) enum Values {
    /// UTF-8.
    Text(Box<Texts>),
    /// 32-bit integers.
    Int(Numbers<i32>),
    /// 64-bit integers, times too.
    Long(Numbers<i64>),
    /// Doubles.
    Double(Numbers<f64>),
    /// Booleans.
    Bool(Booleans),
}

impl Values {
    /// Inspects the coming values.
    pub fn look_ahead(&mut self, view: &Leaf<'_>, rows: &[u32]) {
        match (self, &view.values) {
            (Values::Text(texts), View::Text(array)) => texts.look_ahead(|| Distinct::of(array, rows)),
            (Values::Text(texts), View::Label(labels)) => {
                texts.look_ahead(|| Distinct::of_labels(labels, view.nulls, rows));
                texts.expect(Expansion::of_labels(labels, rows));
            }
            _ => {}
        }
    }

    /// Tells how much the coming texts take.
    pub fn expect(&mut self, expansion: Expansion) {
        if let Values::Text(texts) = self {
            texts.expect(expansion);
        }
    }

    /// Appends consecutive values; `place` is the position of the first in its list. Consecutive rows often
    /// have the same value at a position.
    #[inline]
    pub fn push_each(&mut self, view: &View<'_>, indices: Span<usize>, place: usize, page_bytes_max: usize) {
        match (self, view) {
            (Values::Text(texts), View::Text(array)) => {
                texts.push_texts(array, indices, place, page_bytes_max);
            }
            (Values::Text(texts), View::Label(labels)) => texts.push_labels(labels, indices),
            (Values::Int(numbers), View::Int(values)) => numbers.push_list(values, indices),
            (Values::Long(numbers), View::Long(values)) => numbers.push_list(values, indices),
            (Values::Double(numbers), View::Double(values)) => numbers.push_list(values, indices),
            (Values::Bool(booleans), View::Bool(array)) => {
                indices.for_each(|index| booleans.push(array.value(index)));
            }
            // Cannot happen: a view is made for the encoder's own type.
            _ => {}
        }
    }

    /// Appends the lists of rows, none of them empty, until the open page is full; returns how many rows were
    /// taken, at least one.
    pub fn extend_lists(
        &mut self,
        view: &View<'_>,
        lists: Lists<'_>,
        rows: &[u32],
        page_bytes_max: usize,
    ) -> usize {
        match (self, view) {
            (Values::Text(texts), View::Text(array)) => {
                texts.extend_lists(array, lists, rows, page_bytes_max)
            }
            (Values::Text(texts), View::Label(labels)) => {
                texts.extend_label_lists(labels, lists, rows, page_bytes_max)
            }
            (Values::Int(numbers), View::Int(values)) => {
                numbers.extend_lists(values, lists, rows, page_bytes_max)
            }
            (Values::Long(numbers), View::Long(values)) => {
                numbers.extend_lists(values, lists, rows, page_bytes_max)
            }
            (Values::Double(numbers), View::Double(values)) => {
                numbers.extend_lists(values, lists, rows, page_bytes_max)
            }
            (values, view) => until_full(rows, |row| {
                values.push_each(view, lists.span(row), 0, page_bytes_max);
                values.page_is_full(page_bytes_max)
            }),
        }
    }

    /// Appends the values of rows until the open page is full; returns how many were taken.
    pub fn extend(&mut self, view: &View<'_>, rows: &[u32], page_bytes_max: usize) -> usize {
        match (self, view) {
            (Values::Text(texts), View::Text(array)) => {
                return texts.extend(array, rows, page_bytes_max);
            }
            (Values::Text(texts), View::Label(labels)) => {
                return texts.extend_labels(labels, rows, page_bytes_max);
            }
            (Values::Int(numbers), View::Int(values)) => {
                return numbers.extend(rows, values, page_bytes_max);
            }
            (Values::Long(numbers), View::Long(values)) => {
                return numbers.extend(rows, values, page_bytes_max);
            }
            (Values::Double(numbers), View::Double(values)) => {
                return numbers.extend(rows, values, page_bytes_max);
            }
            (Values::Bool(booleans), View::Bool(array)) => {
                for row in rows {
                    booleans.push(array.value(*row as usize));
                }
            }
            _ => {}
        }
        rows.len()
    }

    /// Whether each value of the open page takes at most one byte, whatever the number of rows: the
    /// dictionary has few values, or the page has none.
    pub fn are_narrow(&self) -> bool {
        let dictionary_values = match self {
            Values::Text(texts) => texts.dictionary_values(),
            Values::Int(numbers) => numbers.dictionary_values(),
            Values::Long(numbers) => numbers.dictionary_values(),
            Values::Double(numbers) => numbers.dictionary_values(),
            Values::Bool(_) => return true,
        };
        match dictionary_values {
            Some(values) => values <= NARROW_VALUES,
            None => self.page_bytes() == 0,
        }
    }

    /// Whether appended values can be repeated.
    #[inline]
    pub fn has_dictionary(&self) -> bool {
        matches!(self, Values::Text(texts) if texts.has_dictionary())
    }

    /// Repeats values `times` times that were appended while there was a dictionary.
    #[inline]
    pub fn repeat(&mut self, repeat: &Repeat, times: usize) {
        if let Values::Text(texts) = self {
            texts.repeat(repeat, times);
        }
    }

    /// The values that were appended last, for repeating them.
    pub fn last(&self, count: usize) -> Option<Repeat> {
        match self {
            Values::Text(texts) => texts.last(count),
            _ => None,
        }
    }

    /// Whether the open page must end.
    #[inline]
    pub fn page_is_full(&self, page_bytes_max: usize) -> bool {
        self.page_bytes() >= page_bytes_max
            || matches!(self, Values::Text(texts) if texts.dictionary_is_full())
    }

    /// The number of NaNs so far.
    pub fn nans(&self) -> u64 {
        match self {
            Values::Double(numbers) => numbers.nans(),
            _ => 0,
        }
    }

    /// Approximate bytes of the open page.
    #[inline]
    pub fn page_bytes(&self) -> usize {
        match self {
            Values::Text(texts) => texts.page_bytes(),
            Values::Int(numbers) => numbers.page_bytes(),
            Values::Long(numbers) => numbers.page_bytes(),
            Values::Double(numbers) => numbers.page_bytes(),
            Values::Bool(booleans) => booleans.page_bytes(),
        }
    }

    /// Bytes of the dictionary so far.
    pub fn dictionary_bytes(&self) -> usize {
        match self {
            Values::Text(texts) => texts.dictionary_bytes(),
            Values::Int(numbers) => numbers.dictionary_bytes(),
            Values::Long(numbers) => numbers.dictionary_bytes(),
            Values::Double(numbers) => numbers.dictionary_bytes(),
            Values::Bool(_) => 0,
        }
    }

    /// Ends the page; its bytes stay in the buffer.
    pub fn end_page(&mut self) -> PageValues {
        match self {
            Values::Text(texts) => texts.end_page(),
            Values::Int(numbers) => numbers.end_page(),
            Values::Long(numbers) => numbers.end_page(),
            Values::Double(numbers) => numbers.end_page(),
            Values::Bool(booleans) => booleans.end_page(),
        }
    }

    /// The buffer of the open page.
    pub fn page(&mut self) -> &mut PageBuffer {
        match self {
            Values::Text(texts) => &mut texts.page,
            Values::Int(numbers) => &mut numbers.page,
            Values::Long(numbers) => &mut numbers.page,
            Values::Double(numbers) => &mut numbers.page,
            Values::Bool(booleans) => &mut booleans.page,
        }
    }

    /// Takes the memory of the dictionary, which must get no more values.
    pub fn take_dictionary_memory(&mut self) -> DictionaryMemory {
        match self {
            Values::Text(texts) => texts.take_dictionary_memory(),
            Values::Int(numbers) => numbers.take_dictionary_memory(),
            Values::Long(numbers) => numbers.take_dictionary_memory(),
            Values::Double(numbers) => numbers.take_dictionary_memory(),
            Values::Bool(_) => DictionaryMemory::default(),
        }
    }

    /// The dictionary, if a page uses it, and the bloom filter, if there is one.
    pub fn finish(self) -> (Option<DictionaryPage>, Option<Sbbf>) {
        match self {
            Values::Text(texts) => texts.finish(),
            Values::Int(numbers) => numbers.finish(),
            Values::Long(numbers) => numbers.finish(),
            Values::Double(numbers) => numbers.finish(),
            Values::Bool(_) => (None, None),
        }
    }
}
