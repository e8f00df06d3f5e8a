//! The values of one column chunk, encoded page by page.

use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;

use super::boolean::Booleans;
use super::distinct::Distinct;
use super::leaf::Repeat;
use super::number::Numbers;
use super::pages::DictionaryPage;
use super::range::Range;
use super::text::Texts;
use super::view::Values as View;

/// Values so far from which on a dictionary must prove itself.
pub(super) const TRIAL_VALUES: usize = 4096;

/// A page's values.
pub(super) struct PageValues {
    /// As they go into the page, after the levels.
    pub bytes: Vec<u8>,
    /// How they are encoded.
    pub encoding: Encoding,
    /// Whether like values may be found in it.
    pub repeats: bool,
    /// The least and the greatest, if they are wanted and there are any.
    pub range: Option<Range>,
}

/// What a chunk's values are.
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
    /// Looks at the values that will come.
    pub fn look_ahead(&mut self, view: &View<'_>, rows: &[u32]) {
        if let (Values::Text(texts), View::Text(array)) = (self, view) {
            texts.look_ahead(|| Distinct::of(array, rows));
        }
    }

    /// Appends one value. `place` is its place in its list, in which neighbouring rows often have the same.
    #[inline]
    pub fn push(&mut self, view: &View<'_>, index: usize, place: usize) {
        match (self, view) {
            (Values::Text(texts), View::Text(array)) => texts.push(array.value(index).as_bytes(), place),
            (Values::Text(texts), View::Label(labels)) => texts.push_label(labels, index),
            (Values::Int(numbers), View::Int(values)) => numbers.push(values.get(index)),
            (Values::Long(numbers), View::Long(values)) => numbers.push(values.get(index)),
            (Values::Double(numbers), View::Double(values)) => numbers.push(values.get(index)),
            (Values::Bool(booleans), View::Bool(array)) => booleans.push(array.value(index)),
            // A view is made for the encoder's own type.
            _ => {}
        }
    }

    /// Appends the values of rows, until the open page is full; gives how many were taken.
    pub fn extend(&mut self, view: &View<'_>, rows: &[u32], page_bytes_max: usize) -> usize {
        match (self, view) {
            (Values::Text(texts), View::Text(array)) => {
                for (taken, row) in (1..).zip(rows) {
                    texts.push(array.value(*row as usize).as_bytes(), 0);
                    if texts.page_bytes() >= page_bytes_max || texts.dictionary_is_full() {
                        return taken;
                    }
                }
            }
            (Values::Text(texts), View::Label(labels)) => {
                for (taken, row) in (1..).zip(rows) {
                    texts.push_label(labels, *row as usize);
                    if texts.page_bytes() >= page_bytes_max || texts.dictionary_is_full() {
                        return taken;
                    }
                }
            }
            (Values::Int(numbers), View::Int(values)) => numbers.extend(rows, values),
            (Values::Long(numbers), View::Long(values)) => numbers.extend(rows, values),
            (Values::Double(numbers), View::Double(values)) => numbers.extend(rows, values),
            (Values::Bool(booleans), View::Bool(array)) => {
                for row in rows {
                    booleans.push(array.value(*row as usize));
                }
            }
            _ => {}
        }
        rows.len()
    }

    /// Appends values that were appended before; `false` if they are in no dictionary any more.
    #[inline]
    pub fn repeat(&mut self, repeat: &Repeat) -> bool {
        match self {
            Values::Text(texts) => texts.repeat(repeat),
            _ => false,
        }
    }

    /// What was appended last, to be repeated.
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

    /// NaNs so far.
    pub fn nans(&self) -> u64 {
        match self {
            Values::Double(numbers) => numbers.nans(),
            _ => 0,
        }
    }

    /// Bytes of the open page, about.
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

    /// Ends the page.
    pub fn take_page(&mut self) -> PageValues {
        match self {
            Values::Text(texts) => texts.take_page(),
            Values::Int(numbers) => numbers.take_page(),
            Values::Long(numbers) => numbers.take_page(),
            Values::Double(numbers) => numbers.take_page(),
            Values::Bool(booleans) => booleans.take_page(),
        }
    }

    /// The dictionary, if a page uses it, and the bloom filter, if there is one.
    pub fn finish(self) -> (Option<DictionaryPage>, Option<Sbbf>) {
        match self {
            Values::Text(texts) => texts.finish(),
            Values::Int(numbers) => (numbers.finish(), None),
            Values::Long(numbers) => (numbers.finish(), None),
            Values::Double(numbers) => (numbers.finish(), None),
            Values::Bool(_) => (None, None),
        }
    }
}
