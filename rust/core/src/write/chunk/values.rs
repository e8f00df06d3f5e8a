//! The values of one column chunk, encoded page by page.

use std::ops::Range as Span;

use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;

use super::boolean::Booleans;
use super::buffer::PageBuffer;
use super::distinct::Distinct;
use super::leaf::Repeat;
use super::number::Numbers;
use super::pages::DictionaryPage;
use super::range::Range;
use super::search::Content;
use super::text::Texts;
use super::view::{Leaf, Values as View};

/// Values so far from which on a dictionary must prove itself.
const TRIAL_VALUES: usize = 4096;
/// Values from which on a dictionary must not be of new values almost alone.
const SHORT_TRIAL_VALUES: usize = 512;

/// Values of a dictionary whose indices take a byte or less.
const NARROW_VALUES: usize = 256;

/// What of a dictionary's first page is new in it, by whatever measures the values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Values so far.
    pub values: usize,
    /// What of them is new.
    pub new: usize,
    /// All of them.
    pub all: usize,
}

impl Share {
    /// Whether most is new, which shows before the page is done; nearly all of it shows soon.
    #[inline]
    pub fn is_seen_to_be_new(self) -> bool {
        match self.values {
            TRIAL_VALUES.. => self.is_new(),
            SHORT_TRIAL_VALUES.. => self.new * 8 > self.all * 7,
            _ => false,
        }
    }

    /// Whether most is new, now that the page ends.
    #[inline]
    pub fn is_new(self) -> bool {
        self.new * 2 > self.all
    }
}

/// What there is to tell of a page's values.
pub(super) struct PageValues {
    /// How they are encoded.
    pub encoding: Encoding,
    /// What they are, as they are encoded.
    pub content: Content,
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
    pub fn look_ahead(&mut self, view: &Leaf<'_>, rows: &[u32]) {
        match (self, &view.values) {
            (Values::Text(texts), View::Text(array)) => texts.look_ahead(|| Distinct::of(array, rows)),
            (Values::Text(texts), View::Label(labels)) => {
                texts.look_ahead(|| Distinct::of_labels(labels, view.nulls, rows));
            }
            _ => {}
        }
    }

    /// Appends neighbouring values. Each one's place in its list is counted from `place`: neighbouring rows often have
    /// the same there.
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
            // A view is made for the encoder's own type.
            _ => {}
        }
    }

    /// Appends the values of rows, until the open page is full; gives how many were taken.
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

    /// Whether the open page takes a byte or less for a value, however many there are: of few in the dictionary, or of none.
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

    /// Whether values that were appended can be repeated.
    #[inline]
    pub fn has_dictionary(&self) -> bool {
        matches!(self, Values::Text(texts) if texts.has_dictionary())
    }

    /// Appends values again, `times` over, that were appended while there was a dictionary.
    #[inline]
    pub fn repeat(&mut self, repeat: &Repeat, times: usize) {
        if let Values::Text(texts) = self {
            texts.repeat(repeat, times);
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

    /// Ends the page, which stays in its buffer.
    pub fn end_page(&mut self) -> PageValues {
        match self {
            Values::Text(texts) => texts.end_page(),
            Values::Int(numbers) => numbers.end_page(),
            Values::Long(numbers) => numbers.end_page(),
            Values::Double(numbers) => numbers.end_page(),
            Values::Bool(booleans) => booleans.end_page(),
        }
    }

    /// Where the open page is.
    pub fn page(&mut self) -> &mut PageBuffer {
        match self {
            Values::Text(texts) => &mut texts.page,
            Values::Int(numbers) => &mut numbers.page,
            Values::Long(numbers) => &mut numbers.page,
            Values::Double(numbers) => &mut numbers.page,
            Values::Bool(booleans) => &mut booleans.page,
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
